//! What lines use.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::usage::{AskUsage, BundleLeft, LineUsage};
use simdepot_domain::carrier;
use simdepot_domain::country::CountryCode;
use simdepot_domain::iccid::Iccid;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::bundle::Balance;
use super::words::{BundleStatus, UsageInterval};
use super::{identifiers, time};

/// Which usage.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// From this moment; 30 days before `to` when absent. At most 366 days before `to`.
    #[serde(default, deserialize_with = "time::optional")]
    #[param(value_type = Option<String>, format = "date-time")]
    pub from: Option<DateTime<Utc>>,
    /// To this moment, not included; now when absent.
    #[serde(default, deserialize_with = "time::optional")]
    #[param(value_type = Option<String>, format = "date-time")]
    pub to: Option<DateTime<Utc>>,
    /// By which interval; `day` when absent.
    #[param(inline)]
    pub by: Option<UsageInterval>,
}

impl From<UsageQuery> for AskUsage {
    fn from(query: UsageQuery) -> Self {
        let by = query.by.map_or(carrier::UsageInterval::Day, Into::into);
        Self { from: query.from, to: query.to, by }
    }
}

/// Whether the carrier was asked.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The carrier listed the bundles now.
    Read,
    /// What was last known: the carrier could not be asked.
    Known,
}

/// What a line uses: what is left of its bundles now, and what it used by interval where the carrier counts that.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "iccid": "8988247000000210014", "from": "2026-10-22T18:00:00Z", "to": "2026-11-21T18:00:00Z", "by": "day",
    "source": "read",
    "bundles": [{
        "product": "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D", "subscription_id": "5501", "status": "active",
        "balances": [{
            "resource": "DATA_BUNDLE_COUNTRY", "unit": "bytes", "remaining": 400_000_000_u64,
            "total": 1_073_741_824_u64, "starts_at": null, "ends_at": "2026-11-28T18:00:00Z"
        }],
        "expires_at": "2026-11-28T18:00:00Z"
    }],
    "intervals": [{"from": "2026-11-20T00:00:00Z", "country": "FR", "data_bytes": 73_400_320_u64}],
    "intervals_unavailable": null
}))]
pub struct Usage {
    /// The SIM.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// From this moment.
    pub from: DateTime<Utc>,
    /// To this moment, not included.
    pub to: DateTime<Utc>,
    /// By which interval.
    pub by: UsageInterval,
    /// Whether the bundles were read now.
    pub source: UsageSource,
    /// What is left of the bundles on the line.
    pub bundles: Vec<BundleUsage>,
    /// What was used, oldest first; null when the carrier does not tell.
    pub intervals: Option<Vec<IntervalUsage>>,
    /// Why there are no intervals; null when there are.
    pub intervals_unavailable: Option<String>,
}

/// What is left of a bundle.
#[derive(Debug, Serialize, ToSchema)]
pub struct BundleUsage {
    /// The carrier's product id.
    pub product: String,
    /// The carrier's id of the bundle, once known.
    pub subscription_id: Option<String>,
    /// Where it stands.
    pub status: BundleStatus,
    /// What is left; empty before the start.
    pub balances: Vec<Balance>,
    /// Before the start the last moment to start, then the end.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What was used in one interval.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntervalUsage {
    /// Where the interval begins.
    pub from: DateTime<Utc>,
    /// In which country; null when the carrier does not tell them apart.
    #[schema(value_type = Option<identifiers::Country>)]
    pub country: Option<CountryCode>,
    /// Data, in bytes.
    pub data_bytes: u64,
}

impl From<BundleLeft> for BundleUsage {
    fn from(left: BundleLeft) -> Self {
        Self {
            product: left.product,
            subscription_id: left.subscription_id,
            status: left.status.into(),
            balances: left.balances.into_iter().map(Into::into).collect(),
            expires_at: left.expires_at,
        }
    }
}

impl From<carrier::UsageReading> for IntervalUsage {
    fn from(reading: carrier::UsageReading) -> Self {
        Self { from: reading.from, country: reading.country, data_bytes: reading.data_bytes }
    }
}

impl From<LineUsage> for Usage {
    fn from(usage: LineUsage) -> Self {
        let (intervals, why_not) = match usage.intervals {
            Ok(mut readings) => {
                readings.sort_by_key(|reading| reading.from);
                (Some(readings.into_iter().map(Into::into).collect()), None)
            }
            Err(why_not) => (None, Some(why_not)),
        };
        Self {
            iccid: usage.iccid,
            from: usage.from,
            to: usage.to,
            by: usage.by.into(),
            source: if usage.is_live { UsageSource::Read } else { UsageSource::Known },
            bundles: usage.bundles.into_iter().map(Into::into).collect(),
            intervals,
            intervals_unavailable: why_not,
        }
    }
}
