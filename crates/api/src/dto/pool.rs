//! Pools.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use simdepot_application::pools::{PoolChange, Stock};
use simdepot_domain::carrier;
use simdepot_domain::channel;
use simdepot_domain::pool::{DEFAULT_ACTIVATED, DEFAULT_SELLABLE, PoolSettings};
use simdepot_domain::stock;
use simdepot_persistence::pools;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::words::{AlertLevel, Capability, SimStatus};
use super::{identifiers, text, time};
use crate::pagination::Limit;

/// A new pool.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "pool": "travel-world", "carrier_account": "spc", "name": "Travel, worldwide",
    "low_threshold": 500, "critical_threshold": 100, "lead_time_days": 14
}))]
pub struct PoolRequest {
    /// Its name in paths and orders.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// The carrier account whose profiles it holds.
    #[schema(value_type = identifiers::AccountName)]
    pub carrier_account: channel::AccountName,
    /// Its title for people.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub name: String,
    /// With this many profiles for sale, or fewer, the stock is low.
    #[validate(range(max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub low_threshold: Option<u32>,
    /// With this many profiles for sale, or fewer, the stock is critical. Not above `low_threshold`.
    #[validate(range(max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub critical_threshold: Option<u32>,
    /// Orders leave at least this many profiles. Default 0.
    #[validate(range(max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub safety_buffer: Option<u32>,
    /// Days between an order at the carrier and its delivery.
    #[validate(range(max = 3650))]
    #[schema(minimum = 0, maximum = 3650)]
    pub lead_time_days: Option<u32>,
    /// Days after an import until its profiles are no longer sold, when neither the file nor the import says.
    #[validate(range(min = 1, max = 36500))]
    #[schema(minimum = 1, maximum = 36500)]
    pub shelf_life_days: Option<u32>,
    /// With this share of a plan's data left, or less, in percent, `bundle.balance_low` tells of it.
    #[validate(range(min = 1, max = 99))]
    #[schema(minimum = 1, maximum = 99)]
    pub balance_low_percent: Option<u32>,
    /// A plan that ends within so many days is told of by `bundle.expires_soon`.
    #[validate(range(min = 1, max = 365))]
    #[schema(minimum = 1, maximum = 365)]
    pub expiry_warning_days: Option<u32>,
    /// Line statuses in which a first sale is made. Default `["preactivated"]`.
    #[validate(length(min = 1, max = 9))]
    #[schema(min_items = 1, max_items = 9)]
    pub sellable_statuses: Option<Vec<SimStatus>>,
    /// What the carrier needs to activate a subscription at the sale, for carriers that need it.
    #[validate(custom(function = "text::storable"))]
    #[schema(value_type = Option<Object>)]
    pub activation: Option<serde_json::Map<String, Json>>,
}

impl From<PoolRequest> for PoolSettings {
    fn from(request: PoolRequest) -> Self {
        let activated = request.activation.is_some();
        let default: &[_] = if activated { &DEFAULT_ACTIVATED } else { &DEFAULT_SELLABLE };
        let sellable = request.sellable_statuses.map(statuses).unwrap_or_else(|| default.to_vec());
        Self {
            pool: request.pool,
            carrier_account: request.carrier_account,
            name: request.name,
            low_threshold: request.low_threshold,
            critical_threshold: request.critical_threshold,
            safety_buffer: request.safety_buffer.unwrap_or_default(),
            lead_time_days: request.lead_time_days,
            shelf_life_days: request.shelf_life_days,
            balance_low_percent: request.balance_low_percent,
            expiry_warning_days: request.expiry_warning_days,
            sellable_statuses: sellable,
            activation: request.activation.map(Json::Object),
        }
    }
}

fn statuses(words: Vec<SimStatus>) -> Vec<simdepot_domain::sim::SimStatus> {
    let mut statuses: Vec<_> = words.into_iter().map(Into::into).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// What to change about a pool. Absent fields stay as they are; null takes an optional setting away.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"low_threshold": 800, "safety_buffer": 20, "shelf_life_days": null}))]
pub struct PoolPatch {
    /// Another carrier account.
    #[schema(value_type = Option<identifiers::AccountName>)]
    pub carrier_account: Option<channel::AccountName>,
    /// Another title.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub name: Option<String>,
    /// With this many profiles for sale, or fewer, the stock is low.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(range(max = 1_000_000_000))]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1_000_000_000)]
    pub low_threshold: Option<Option<u32>>,
    /// With this many profiles for sale, or fewer, the stock is critical.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(range(max = 1_000_000_000))]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1_000_000_000)]
    pub critical_threshold: Option<Option<u32>>,
    /// Orders leave at least this many profiles.
    #[validate(range(max = 1_000_000_000))]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub safety_buffer: Option<u32>,
    /// Days between an order at the carrier and its delivery.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(range(max = 3650))]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 3650)]
    pub lead_time_days: Option<Option<u32>>,
    /// Days after an import until its profiles are no longer sold. Changes later imports only.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(range(min = 1, max = 36500))]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 36500)]
    pub shelf_life_days: Option<Option<u32>>,
    /// With this share of a plan's data left, or less, in percent, `bundle.balance_low` tells of it.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(range(min = 1, max = 99))]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 99)]
    pub balance_low_percent: Option<Option<u32>>,
    /// A plan that ends within so many days is told of by `bundle.expires_soon`.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(range(min = 1, max = 365))]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 365)]
    pub expiry_warning_days: Option<Option<u32>>,
    /// Line statuses in which a first sale is made.
    #[validate(length(min = 1, max = 9))]
    #[schema(min_items = 1, max_items = 9)]
    pub sellable_statuses: Option<Vec<SimStatus>>,
    /// What the carrier needs to activate a subscription at the sale.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(custom(function = "text::storable"))]
    #[schema(value_type = Option<Object>)]
    pub activation: Option<Option<serde_json::Map<String, Json>>>,
}

impl From<PoolPatch> for PoolChange {
    fn from(patch: PoolPatch) -> Self {
        Self {
            carrier_account: patch.carrier_account,
            name: patch.name,
            low_threshold: patch.low_threshold,
            critical_threshold: patch.critical_threshold,
            safety_buffer: patch.safety_buffer,
            lead_time_days: patch.lead_time_days,
            shelf_life_days: patch.shelf_life_days,
            balance_low_percent: patch.balance_low_percent,
            expiry_warning_days: patch.expiry_warning_days,
            sellable_statuses: patch.sellable_statuses.map(statuses),
            activation: patch.activation.map(|document| document.map(Json::Object)),
        }
    }
}

/// Which pools to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PoolsQuery {
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A pool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "pool": "travel-world", "carrier_account": "spc", "name": "Travel, worldwide", "low_threshold": 500,
    "critical_threshold": 100, "safety_buffer": 0, "lead_time_days": 14, "shelf_life_days": null,
    "balance_low_percent": 20, "expiry_warning_days": 3,
    "sellable_statuses": ["preactivated"], "activation": null,
    "capabilities": ["products", "line_commands", "esim_status", "fleet", "sim_card", "usage"], "alert_level": "ok",
    "created_at": "2026-11-02T09:00:00Z", "updated_at": "2026-11-02T09:00:00Z"
}))]
pub struct Pool {
    /// Its name in paths and orders.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// The carrier account whose profiles it holds.
    #[schema(value_type = identifiers::AccountName)]
    pub carrier_account: channel::AccountName,
    /// Its title for people.
    pub name: String,
    /// With this many profiles for sale, or fewer, the stock is low.
    pub low_threshold: Option<u32>,
    /// With this many profiles for sale, or fewer, the stock is critical.
    pub critical_threshold: Option<u32>,
    /// Orders leave at least this many profiles.
    pub safety_buffer: u32,
    /// Days between an order at the carrier and its delivery.
    pub lead_time_days: Option<u32>,
    /// Days after an import until its profiles are no longer sold.
    pub shelf_life_days: Option<u32>,
    /// With this share of a plan's data left, or less, in percent, it is told of.
    pub balance_low_percent: Option<u32>,
    /// So many days before its end a plan is told of.
    pub expiry_warning_days: Option<u32>,
    /// Line statuses in which a first sale is made.
    pub sellable_statuses: Vec<SimStatus>,
    /// What the carrier needs to activate a subscription at the sale.
    #[schema(value_type = Option<Object>)]
    pub activation: Option<Json>,
    /// What its carrier has; empty while the carrier account is not configured.
    pub capabilities: Vec<Capability>,
    /// What its stock was last alerted as.
    pub alert_level: AlertLevel,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Pool {
    /// The answer for a pool whose carrier has so much.
    pub fn new(pool: pools::Pool, capabilities: Vec<carrier::Capability>) -> Self {
        let settings = pool.settings;
        Self {
            pool: settings.pool,
            carrier_account: settings.carrier_account,
            name: settings.name,
            low_threshold: settings.low_threshold,
            critical_threshold: settings.critical_threshold,
            safety_buffer: settings.safety_buffer,
            lead_time_days: settings.lead_time_days,
            shelf_life_days: settings.shelf_life_days,
            balance_low_percent: settings.balance_low_percent,
            expiry_warning_days: settings.expiry_warning_days,
            sellable_statuses: settings.sellable_statuses.into_iter().map(Into::into).collect(),
            activation: settings.activation,
            capabilities: capabilities.into_iter().map(Into::into).collect(),
            alert_level: pool.alert_level.into(),
            created_at: pool.created_at,
            updated_at: pool.updated_at,
        }
    }
}

/// How many profiles of a pool may be sold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"pool": "travel-world", "available": 1874}))]
pub struct Availability {
    /// The pool.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// How many an order could take now.
    pub available: u64,
}

/// The counts of a pool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "pool": "travel-world",
    "counts": {"available": 1874, "held": 0, "allocated": 3120, "quarantined": 5, "retired": 1},
    "expired": 0, "sellable": 1874, "burn_rate": 31.5, "counted_at": "2026-11-21T18:00:00Z"
}))]
pub struct PoolStock {
    /// The pool.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// Profiles by their status.
    pub counts: StatusCounts,
    /// Available ones whose `sell_by` has passed: neither sold nor sellable.
    pub expired: u64,
    /// What orders could take now: available, not expired, above the safety buffer.
    pub sellable: u64,
    /// Profiles that are handed out on a day, on average over the last 28 days (UTC, today's as far as it goes), or since
    /// the pool was made.
    pub burn_rate: f64,
    /// When they were counted.
    pub counted_at: DateTime<Utc>,
}

/// Profiles by their stock status.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusCounts {
    /// May be sold.
    pub available: u64,
    /// Reserved.
    pub held: u64,
    /// Handed to orders.
    pub allocated: u64,
    /// Set aside.
    pub quarantined: u64,
    /// Out of the stock for good.
    pub retired: u64,
}

impl From<Stock> for PoolStock {
    fn from(stock: Stock) -> Self {
        let Stock { pool, counts, burn_rate, counted_at } = stock;
        let count = |status| counts.by_status.get(&status).copied().unwrap_or_default();
        Self {
            counts: StatusCounts {
                available: count(stock::StockStatus::Available),
                held: count(stock::StockStatus::Held),
                allocated: count(stock::StockStatus::Allocated),
                quarantined: count(stock::StockStatus::Quarantined),
                retired: count(stock::StockStatus::Retired),
            },
            expired: counts.expired,
            sellable: counts.sellable(pool.settings.safety_buffer),
            pool: pool.settings.pool,
            burn_rate,
            counted_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_tells_null_from_absent() {
        let patch: PoolPatch =
            serde_json::from_str(r#"{"low_threshold": null, "shelf_life_days": 30}"#).unwrap();
        assert!(patch.validate().is_ok());
        let change = PoolChange::from(patch);
        assert_eq!(change.low_threshold, Some(None));
        assert_eq!(change.shelf_life_days, Some(Some(30)));
        assert!(change.critical_threshold.is_none() && change.name.is_none());
    }

    #[test]
    fn bounds_hold_inside_a_patch_too() {
        for body in [
            r#"{"shelf_life_days": 0}"#,
            r#"{"shelf_life_days": 36501}"#,
            r#"{"low_threshold": 1000000001}"#,
            r#"{"name": ""}"#,
            r#"{"sellable_statuses": []}"#,
            r#"{"activation": {"a": "\u0000"}}"#,
        ] {
            let patch: PoolPatch = serde_json::from_str(body).unwrap();
            assert!(patch.validate().is_err(), "{body}");
        }
        assert!(serde_json::from_str::<PoolPatch>(r#"{"pool": "other"}"#).is_err());
    }

    #[test]
    fn a_new_pool_sells_preactivated_lines() {
        let request: PoolRequest =
            serde_json::from_str(r#"{"pool": "world", "carrier_account": "spc", "name": "World"}"#).unwrap();
        let settings = PoolSettings::from(request);
        assert_eq!(settings.sellable_statuses, DEFAULT_SELLABLE.to_vec());
        assert_eq!(settings.safety_buffer, 0);
    }
}
