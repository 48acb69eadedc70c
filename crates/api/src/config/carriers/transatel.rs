//! Accounts of the kind `transatel`.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use simdepot_carrier_transatel::{LineSettings, PathError};
use simdepot_domain::channel::AccountName;
use simdepot_domain::line::Offer;
use simdepot_domain::sim::SimStatus;

use super::{ConfigError, Place, default_rate, default_timeout_ms, named, present, shaped};
use crate::config::variables::Variables;

/// A Transatel account.
#[derive(Debug, Clone)]
pub struct TransatelConfig {
    /// Our name of it.
    pub account: AccountName,
    /// Where its API is.
    pub base_url: String,
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: SecretString,
    /// The account's name at Transatel, `M2MA_WW_TSL_…`.
    pub mvno_ref: String,
    /// Class of service.
    pub cos: String,
    /// Rate plan of line operations.
    pub rate_plan: Option<String>,
    /// How lines are managed.
    pub lines: LineSettings,
    /// Signs the events that Transatel sends.
    pub webhook_secret: Option<SecretString>,
    /// How long one call may take.
    pub timeout: Duration,
    /// Calls per second, over all processes on the same database.
    pub max_requests_per_second: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTransatel {
    account: String,
    #[serde(rename = "kind")]
    _kind: String,
    base_url: String,
    client_id: String,
    client_secret: Option<SecretString>,
    mvno_ref: String,
    cos: String,
    rate_plan: Option<String>,
    webhook_secret: Option<SecretString>,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    #[serde(default = "default_rate")]
    max_requests_per_second: u32,
    offer: Option<Offer>,
    #[serde(default)]
    also_terminate: Vec<SimStatus>,
    transaction_done: Option<Vec<String>>,
    transaction_failed: Option<Vec<String>>,
    #[serde(default)]
    group_in_subscriber_info: bool,
    subscription_field: Option<String>,
    #[serde(default)]
    paths: BTreeMap<String, String>,
}

pub(super) fn read(
    table: Value,
    place: &Place<'_>,
    variables: &Variables,
) -> Result<TransatelConfig, ConfigError> {
    let raw: RawTransatel = shaped(table, place)?;
    let lines = lines(&raw, place)?;
    let (account, client_secret) = named(&raw.account, raw.client_secret, place, variables)?;
    Ok(TransatelConfig {
        account,
        base_url: raw.base_url,
        client_id: raw.client_id,
        client_secret,
        mvno_ref: raw.mvno_ref,
        cos: raw.cos,
        rate_plan: raw.rate_plan.filter(|plan| !plan.is_empty()),
        lines,
        webhook_secret: present(raw.webhook_secret),
        timeout: Duration::from_millis(raw.timeout_ms),
        max_requests_per_second: raw.max_requests_per_second,
    })
}

fn lines(raw: &RawTransatel, place: &Place<'_>) -> Result<LineSettings, ConfigError> {
    if raw.offer == Some(Offer::Wholesale) {
        return Err(place.wrong("offer", "must be one of Transatel's"));
    }
    let standard = LineSettings::default();
    let mut paths = standard.paths;
    for (name, text) in &raw.paths {
        let wrong = |error: PathError| place.wrong(&format!("paths.{name}"), error.to_string());
        paths.set(name, text).map_err(wrong)?;
    }
    Ok(LineSettings {
        offer: raw.offer,
        also_terminate: raw.also_terminate.clone(),
        transaction_done: raw.transaction_done.clone().unwrap_or(standard.transaction_done),
        transaction_failed: raw.transaction_failed.clone().unwrap_or(standard.transaction_failed),
        group_in_subscriber_info: raw.group_in_subscriber_info,
        subscription_field: raw.subscription_field.clone().unwrap_or(standard.subscription_field),
        paths,
    })
}
