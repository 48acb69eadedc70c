//! Accounts of the kind `sps`.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{FixedOffset, Offset, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use simdepot_carrier_http::{PathError, TokenCredentials};
use simdepot_carrier_sps::{
    IccidLookup, LineIdentifier, NotificationFields, Paths, SpsSettings, StatusWords, UnknownField,
    WebhookAuth, WebhookSettings,
};
use simdepot_domain::channel::AccountName;
use simdepot_domain::sim::SimStatus;

use super::{ConfigError, Place, default_rate, default_timeout_ms, named, present, shaped};
use crate::config::variables::Variables;

/// An account with a wholesale 5G operator.
#[derive(Debug, Clone)]
pub struct SpsConfig {
    /// Our name of it.
    pub account: AccountName,
    /// Where its API is.
    pub base_url: String,
    /// Where its tokens are had, when that is not below `base_url`.
    pub token_url: Option<String>,
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: SecretString,
    /// Where the two go in a request for a token.
    pub token_credentials: TokenCredentials,
    /// OAuth scope.
    pub scope: Option<String>,
    /// The node of the customer hierarchy.
    pub wholesale_customer_id: Option<String>,
    /// Proves the operator's notifications.
    pub webhook_secret: Option<SecretString>,
    /// How long one call may take.
    pub timeout: Duration,
    /// Calls per second, over all processes on the same database.
    pub max_requests_per_second: u32,
    /// What the operator's published pages leave open.
    pub settings: SpsSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSps {
    account: String,
    #[serde(rename = "kind")]
    _kind: String,
    base_url: String,
    token_url: Option<String>,
    client_id: String,
    client_secret: Option<SecretString>,
    #[serde(default)]
    token_credentials: RawCredentials,
    scope: Option<String>,
    wholesale_customer_id: Option<String>,
    webhook_secret: Option<SecretString>,
    #[serde(default)]
    webhook_auth: WebhookAuth,
    webhook_header: Option<String>,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    #[serde(default = "default_rate")]
    max_requests_per_second: u32,
    terminal_statuses: Option<Vec<String>>,
    failed_statuses: Option<Vec<String>>,
    pending_statuses: Option<Vec<String>>,
    device_statuses: Option<BTreeMap<String, SimStatus>>,
    #[serde(default)]
    iccid_lookup: IccidLookup,
    #[serde(default)]
    line_identifier: LineIdentifier,
    #[serde(default)]
    also_terminate: Vec<SimStatus>,
    #[serde(default = "yes")]
    strict_scenarios: bool,
    bill_cycle_offset: Option<String>,
    #[serde(default)]
    paths: BTreeMap<String, String>,
    #[serde(default)]
    notification: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum RawCredentials {
    #[default]
    Basic,
    Body,
}

fn yes() -> bool {
    true
}

pub(super) fn read(table: Value, place: &Place<'_>, variables: &Variables) -> Result<SpsConfig, ConfigError> {
    let raw: RawSps = shaped(table, place)?;
    let settings = settings(&raw, place)?;
    let (account, client_secret) = named(&raw.account, raw.client_secret, place, variables)?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(SpsConfig {
        account,
        base_url: raw.base_url,
        token_url: given(raw.token_url),
        client_id: raw.client_id,
        client_secret,
        token_credentials: match raw.token_credentials {
            RawCredentials::Basic => TokenCredentials::Basic,
            RawCredentials::Body => TokenCredentials::Body,
        },
        scope: given(raw.scope),
        wholesale_customer_id: given(raw.wholesale_customer_id),
        webhook_secret: present(raw.webhook_secret),
        timeout: Duration::from_millis(raw.timeout_ms),
        max_requests_per_second: raw.max_requests_per_second,
        settings,
    })
}

fn settings(raw: &RawSps, place: &Place<'_>) -> Result<SpsSettings, ConfigError> {
    let standard = SpsSettings::default();
    let words = standard.words;
    Ok(SpsSettings {
        paths: paths(raw, place)?,
        words: StatusWords {
            terminal: raw.terminal_statuses.clone().unwrap_or(words.terminal),
            failed: raw.failed_statuses.clone().unwrap_or(words.failed),
            pending: raw.pending_statuses.clone().unwrap_or(words.pending),
        },
        device_statuses: raw.device_statuses.clone().unwrap_or(standard.device_statuses),
        iccid_lookup: raw.iccid_lookup,
        line_identifier: raw.line_identifier,
        also_terminate: raw.also_terminate.clone(),
        strict_scenarios: raw.strict_scenarios,
        bill_cycle_offset: match &raw.bill_cycle_offset {
            Some(text) => offset(text).ok_or_else(|| {
                place.wrong(
                    "bill_cycle_offset",
                    "must be the operator's distance from UTC, such as \"-06:00\"",
                )
            })?,
            None => standard.bill_cycle_offset,
        },
        webhook: WebhookSettings { auth: raw.webhook_auth, header: raw.webhook_header.clone() },
        notification: notification(raw, place)?,
    })
}

fn paths(raw: &RawSps, place: &Place<'_>) -> Result<Paths, ConfigError> {
    let mut paths = Paths::default();
    for (name, text) in &raw.paths {
        let wrong = |error: PathError| place.wrong(&format!("paths.{name}"), error.to_string());
        paths.set(name, text).map_err(wrong)?;
    }
    Ok(paths)
}

fn notification(raw: &RawSps, place: &Place<'_>) -> Result<NotificationFields, ConfigError> {
    let mut fields = NotificationFields::default();
    for (name, text) in &raw.notification {
        let wrong = |error: UnknownField| place.wrong(&format!("notification.{name}"), error.to_string());
        fields.set(name, text).map_err(wrong)?;
    }
    Ok(fields)
}

fn offset(text: &str) -> Option<FixedOffset> {
    if matches!(text, "Z" | "UTC") { Some(Utc.fix()) } else { text.parse().ok() }
}
