//! Webhook endpoints and their deliveries.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::webhooks::endpoints::{EndpointChange, NewEndpoint, WithSecret};
use simdepot_application::webhooks::replay::Replay;
use simdepot_domain::id;
use simdepot_domain::webhook;
use simdepot_persistence::webhooks::{deliveries, endpoints};
use utoipa::{IntoParams, ToSchema};
use validator::{Validate, ValidationError};

use super::words::{DeliveryStatus, EndpointStatus};
use super::{identifiers, text, time};
use crate::pagination::Limit;

/// A new webhook endpoint.
// No `Debug`: an address may carry its owner's token.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "url": "https://shop.example.com/webhooks/simdepot", "description": "web shop",
    "types": ["order.*", "pool.stock_low"]
}))]
pub struct WebhookEndpointRequest {
    /// Where deliveries go: `https://`, without user and fragment, not to a private address.
    #[validate(length(min = 1, max = 2048))]
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    pub url: String,
    /// What it is, for people.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub description: Option<String>,
    /// Event types that it gets (`docs/EVENTS.md` lists them), with `.*` for all of a kind, such as `order.*`. All when
    /// absent.
    #[validate(length(min = 1, max = 100), custom(function = "short_types"))]
    #[schema(min_items = 1, max_items = 100)]
    pub types: Option<Vec<String>>,
}

fn short_types(types: &[String]) -> Result<(), ValidationError> {
    if types.iter().all(|name| name.len() <= 100) { Ok(()) } else { Err(ValidationError::new("length")) }
}

impl From<WebhookEndpointRequest> for NewEndpoint {
    fn from(request: WebhookEndpointRequest) -> Self {
        Self { url: request.url, description: request.description, types: request.types }
    }
}

/// What to change about an endpoint. Absent fields stay as they are; null takes an optional setting away.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"types": ["order.*"], "status": "enabled"}))]
pub struct WebhookEndpointPatch {
    /// Another address.
    #[validate(length(min = 1, max = 2048))]
    #[schema(min_length = 1, max_length = 2048, format = "uri")]
    pub url: Option<String>,
    /// Another description.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub description: Option<Option<String>>,
    /// Other event types; null for all. What is queued already is sent.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(length(min = 1, max = 100), custom(function = "short_types"))]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 100)]
    pub types: Option<Option<Vec<String>>>,
    /// `enabled` goes on where it stood, at once: events that came meanwhile are sent, and what waits for its next try
    /// waits no longer, also when it is enabled already.
    pub status: Option<EndpointStatus>,
}

impl From<WebhookEndpointPatch> for EndpointChange {
    fn from(patch: WebhookEndpointPatch) -> Self {
        Self {
            url: patch.url,
            description: patch.description,
            types: patch.types,
            status: patch.status.map(Into::into),
        }
    }
}

/// Which endpoints to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WebhookEndpointsQuery {
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A webhook endpoint, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "whe_01kamd3t5qe0r9v7m2h8x4j6zp", "url": "https://shop.example.com/webhooks/simdepot",
    "description": "web shop", "types": ["order.*", "pool.stock_low"], "status": "enabled",
    "disabled_reason": null, "previous_secret_until": null, "position": 1042, "failures": 0, "not_before": null,
    "created_at": "2026-11-02T09:00:00Z", "updated_at": "2026-11-02T09:00:00Z"
}))]
pub struct WebhookEndpoint {
    /// Its id.
    #[schema(value_type = identifiers::WebhookEndpointId)]
    pub id: id::WebhookEndpointId,
    /// Where deliveries go.
    #[schema(format = "uri")]
    pub url: String,
    /// What it is, for people.
    pub description: Option<String>,
    /// Event types that it gets; null for all.
    pub types: Option<Vec<String>>,
    /// Whether it gets any.
    pub status: EndpointStatus,
    /// Why it does not.
    pub disabled_reason: Option<String>,
    /// Until when the secret before signs as well; null when none does.
    pub previous_secret_until: Option<DateTime<Utc>>,
    /// The events of the feed up to this number have been queued for it.
    pub position: i64,
    /// Tries in a row that failed.
    pub failures: u32,
    /// No try before this moment, of any delivery: it failed, or asked for time with `Retry-After`. Null when there is
    /// none to wait for.
    pub not_before: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl WebhookEndpoint {
    /// As it is shown at `now`.
    pub fn new(endpoint: endpoints::Endpoint, now: DateTime<Utc>) -> Self {
        let settings = endpoint.settings;
        Self {
            id: endpoint.id,
            url: settings.url,
            description: settings.description,
            types: settings.types,
            status: settings.status.into(),
            disabled_reason: settings.disabled_reason,
            previous_secret_until: endpoint.previous_until.filter(|until| *until > now),
            position: endpoint.position,
            failures: endpoint.health.failures,
            not_before: endpoint.health.not_before.filter(|moment| *moment > now),
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint with its secret, the only time that it is shown.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "secret": "whsec_…", "id": "whe_01kamd3t5qe0r9v7m2h8x4j6zp",
    "url": "https://shop.example.com/webhooks/simdepot", "description": "web shop",
    "types": ["order.*", "pool.stock_low"], "status": "enabled", "disabled_reason": null,
    "previous_secret_until": null, "position": 1042, "failures": 0, "created_at": "2026-11-02T09:00:00Z",
    "updated_at": "2026-11-02T09:00:00Z"
}))]
pub struct NewWebhookEndpoint {
    /// What deliveries are signed with. Keep it: it is shown once, and is null when the request is replayed.
    pub secret: Option<String>,
    /// The endpoint.
    #[serde(flatten)]
    pub details: WebhookEndpoint,
}

impl NewWebhookEndpoint {
    /// As it is shown at `now`.
    pub fn new(made: WithSecret, now: DateTime<Utc>) -> Self {
        let secret = made.secret.map(|secret| secret.text().expose().to_owned());
        Self { secret, details: WebhookEndpoint::new(made.endpoint, now) }
    }
}

/// Nothing: the body may be absent.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecretRequest {}

/// What to send again: one event, or all from one number of the feed to another.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "one_or_a_range"))]
#[schema(example = json!({"from_seq": 1000, "to_seq": 1042}))]
pub struct WebhookReplayRequest {
    /// The event, whether or not the endpoint's types name it.
    #[schema(value_type = Option<identifiers::EventId>)]
    pub event_id: Option<id::EventId>,
    /// The first number. With `to_seq`, in place of `event_id`.
    #[validate(range(min = 1))]
    #[schema(minimum = 1)]
    pub from_seq: Option<i64>,
    /// The last number; at most 10,000 in all. Only events that the endpoint's types name are sent.
    #[validate(range(min = 1))]
    #[schema(minimum = 1)]
    pub to_seq: Option<i64>,
}

fn one_or_a_range(request: &WebhookReplayRequest) -> Result<(), ValidationError> {
    if request.asked().is_some() {
        return Ok(());
    }
    let mut error = ValidationError::new("required");
    error.message = Some("either event_id, or from_seq and to_seq, must be given".into());
    Err(error)
}

impl WebhookReplayRequest {
    /// What is asked for; `None` when it is neither the one nor the other.
    pub fn asked(&self) -> Option<Replay> {
        match (self.event_id, self.from_seq, self.to_seq) {
            (Some(event), None, None) => Some(Replay::Event(event)),
            (None, Some(from), Some(to)) => Some(Replay::Range { from, to }),
            _ => None,
        }
    }
}

/// What was queued.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"deliveries": 17}))]
pub struct WebhookReplay {
    /// How many deliveries.
    pub deliveries: u64,
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WebhookDeliveriesQuery {
    /// Standing there.
    #[param(inline)]
    pub status: Option<DeliveryStatus>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// One event for one endpoint. Kept for 30 days after its end; its body is that of the event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "seq": 1042, "event_id": "evt_01kamf2r8zfq0sh2v2y5c8w1nk", "type": "order.status_changed", "replay": false,
    "status": "pending", "attempts": 2, "next_try_at": "2026-11-21T18:05:00Z", "last_status": 503,
    "last_error": null, "created_at": "2026-11-21T18:00:00Z", "finished_at": null
}))]
pub struct WebhookDelivery {
    /// The event's number in the feed.
    pub seq: i64,
    /// The event, and the `webhook-id` of every try.
    #[schema(value_type = identifiers::EventId)]
    pub event_id: id::EventId,
    /// Its type.
    pub r#type: String,
    /// Whether it was asked for by a replay.
    pub replay: bool,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried, of 10 times.
    pub attempts: u32,
    /// Not before this moment; null when it has ended, or waits for an earlier event about the same thing.
    pub next_try_at: Option<DateTime<Utc>>,
    /// HTTP status of the last answer.
    pub last_status: Option<u16>,
    /// Why there was no answer to the last try.
    pub last_error: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

impl From<deliveries::Delivery> for WebhookDelivery {
    fn from(delivery: deliveries::Delivery) -> Self {
        let is_pending = delivery.status == webhook::DeliveryStatus::Pending;
        Self {
            seq: delivery.seq,
            event_id: delivery.event,
            r#type: delivery.event_type,
            replay: delivery.replay,
            status: delivery.status.into(),
            attempts: delivery.attempts,
            next_try_at: delivery.run_at.filter(|_| is_pending),
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_of_one_event_or_of_a_range() {
        let read = |text: &str| {
            serde_json::from_str::<WebhookReplayRequest>(text).map(|asked| asked.validate().is_ok())
        };
        assert!(read(r#"{"event_id": "evt_01kamf2r8zfq0sh2v2y5c8w1nk"}"#).unwrap());
        assert!(read(r#"{"from_seq": 1, "to_seq": 9}"#).unwrap());
        for bad in [
            "{}",
            r#"{"from_seq": 1}"#,
            r#"{"to_seq": 1}"#,
            r#"{"from_seq": 0, "to_seq": 1}"#,
            r#"{"event_id": "evt_01kamf2r8zfq0sh2v2y5c8w1nk", "from_seq": 1, "to_seq": 2}"#,
        ] {
            assert!(!read(bad).unwrap(), "{bad}");
        }
        assert!(read(r#"{"event_id": "ord_01kamf2r8zfq0sh2v2y5c8w1nk"}"#).is_err());
    }

    #[test]
    fn a_patch_tells_null_from_absent() {
        let patch: WebhookEndpointPatch =
            serde_json::from_str(r#"{"types": null, "status": "disabled"}"#).unwrap();
        assert!(patch.validate().is_ok());
        let change = EndpointChange::from(patch);
        assert!(change.types == Some(None) && change.description.is_none() && change.url.is_none());
        assert_eq!(change.status, Some(webhook::EndpointStatus::Disabled));
        for bad in [r#"{"types": []}"#, r#"{"url": ""}"#, r#"{"description": "a\nb"}"#] {
            assert!(serde_json::from_str::<WebhookEndpointPatch>(bad).unwrap().validate().is_err(), "{bad}");
        }
    }
}
