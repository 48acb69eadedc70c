//! API keys.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use simdepot_application::api_keys::{CreatedApiKey, NewApiKey};
use simdepot_domain::{channel, id};
use simdepot_persistence::api_keys;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::words::Scope;
use super::{identifiers, text, time};
use crate::pagination::Limit;

/// A new API key.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "web shop", "channel": "web", "scopes": ["storefront"]}))]
pub struct ApiKeyRequest {
    /// What it is for, for people.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub name: String,
    /// Its channel: orders and references belong to it, so a later key of the same channel sees the same orders.
    #[schema(value_type = identifiers::ChannelName)]
    pub channel: channel::ChannelName,
    /// What it may do.
    #[validate(length(min = 1, max = 20))]
    #[schema(min_items = 1, max_items = 20)]
    pub scopes: Vec<Scope>,
    /// When it stops working, in the future; never when absent.
    #[serde(default, deserialize_with = "time::optional")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl ApiKeyRequest {
    /// The key to make; `test` marks keys of a sandbox.
    pub fn into_new(self, test: bool) -> NewApiKey {
        NewApiKey {
            name: self.name,
            channel: self.channel,
            scopes: self.scopes.into_iter().map(Into::into).collect(),
            expires_at: self.expires_at,
            test,
        }
    }
}

/// Which keys to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApiKeysQuery {
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// An API key, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "key_01kamcw9q7fd8rsqv1a6x0e4mz", "name": "web shop", "channel": "web", "scopes": ["storefront"],
    "hint": "sd_live_7f3a", "created_at": "2026-11-02T09:00:00Z", "expires_at": null,
    "last_used_at": "2026-11-21T18:00:00Z", "revoked_at": null
}))]
pub struct ApiKey {
    /// Its id.
    #[schema(value_type = identifiers::ApiKeyId)]
    pub id: id::ApiKeyId,
    /// What it is for.
    pub name: String,
    /// Its channel.
    #[schema(value_type = identifiers::ChannelName)]
    pub channel: channel::ChannelName,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Its first characters, to tell keys apart.
    pub hint: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl From<api_keys::ApiKey> for ApiKey {
    fn from(key: api_keys::ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            channel: key.channel,
            scopes: key.scopes.into_iter().map(Into::into).collect(),
            hint: key.hint,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// A key as it was made, the only time that it is shown.
// No `Debug`, so that it cannot be logged.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "key": "sd_live_7f3a9c…", "id": "key_01kamcw9q7fd8rsqv1a6x0e4mz", "name": "web shop", "channel": "web",
    "scopes": ["storefront"], "hint": "sd_live_7f3a", "created_at": "2026-11-02T09:00:00Z", "expires_at": null,
    "last_used_at": null, "revoked_at": null
}))]
pub struct NewKey {
    /// The key. Keep it: it is shown once, and is null when the request is replayed.
    pub key: Option<String>,
    /// What is kept of it.
    #[serde(flatten)]
    pub details: ApiKey,
}

impl From<CreatedApiKey> for NewKey {
    fn from(created: CreatedApiKey) -> Self {
        let CreatedApiKey { key, secret } = created;
        Self { key: secret.map(|secret| secret.expose_secret().to_owned()), details: key.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_scopes_and_a_channel() {
        let read = |text: &str| {
            serde_json::from_str::<ApiKeyRequest>(text).map(|request| request.validate().is_ok())
        };
        assert!(read(r#"{"name": "n", "channel": "web", "scopes": ["storefront", "admin"]}"#).unwrap());
        assert!(!read(r#"{"name": "n", "channel": "web", "scopes": []}"#).unwrap());
        assert!(!read(r#"{"name": "", "channel": "web", "scopes": ["stock"]}"#).unwrap());
        assert!(read(r#"{"name": "n", "channel": "Web", "scopes": ["stock"]}"#).is_err());
        assert!(read(r#"{"name": "n", "channel": "web", "scopes": ["everything"]}"#).is_err());
        assert!(
            read(r#"{"name": "n", "channel": "web", "scopes": ["stock"], "expires_at": "soon"}"#).is_err()
        );
    }
}
