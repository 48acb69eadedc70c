//! A bundle: one product placed on one profile.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::sim::SimStatus;

/// Status of a bundle, in our words for the carrier's.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BundleStatus {
    /// Ours: the order is on its way to the carrier.
    Ordering,
    /// Waits on a pre-activated line for the first use.
    Preloaded,
    /// Waits on an active line for use in a covered country.
    Ready,
    /// Starts at a fixed later moment.
    Scheduled,
    /// Running.
    Active,
    /// Running, nothing left.
    Exhausted,
    /// Its time is over.
    Expired,
    /// Ended before its time.
    Terminated,
    /// Ours: the carrier did not take the order.
    Refused,
    /// Ours: the carrier may or may not have taken the order.
    Unknown,
}

/// How a product is put on a line (Transatel OCS `orderType`).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OrderType {
    /// On a pre-activated line: waits for its first use.
    Preload,
    /// On an active line.
    Subscribe,
}

impl OrderType {
    /// The one that fits a line in `status`; `None` when the line takes no product.
    pub fn for_line(status: SimStatus) -> Option<Self> {
        match status {
            SimStatus::Preactivated => Some(Self::Preload),
            SimStatus::Active => Some(Self::Subscribe),
            SimStatus::Available
            | SimStatus::Loaded
            | SimStatus::Suspended
            | SimStatus::TestMode
            | SimStatus::TariffHoliday
            | SimStatus::Terminated
            | SimStatus::Ceased => None,
        }
    }

    /// The other one: what to try once when the line changed between the read and the order.
    pub fn other(self) -> Self {
        match self {
            Self::Preload => Self::Subscribe,
            Self::Subscribe => Self::Preload,
        }
    }
}

/// What is left of one resource of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The carrier's name of the resource, for example `DATA_BUNDLE_COUNTRY`.
    pub resource: String,
    /// Unit of the two amounts.
    pub unit: BalanceUnit,
    /// What is left; `None` when unlimited.
    pub remaining: Option<u64>,
    /// What it began with, where the carrier says so.
    pub total: Option<u64>,
    /// When the resource starts to count.
    pub starts_at: Option<DateTime<Utc>>,
    /// When what is left is lost.
    pub ends_at: Option<DateTime<Utc>>,
}

/// Unit of a balance. Data is in bytes, whatever the carrier counts in.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BalanceUnit {
    /// Bytes of data.
    Bytes,
    /// Seconds of voice.
    Seconds,
    /// Text messages.
    Messages,
    /// Hundredths of a currency unit.
    Cents,
    /// A unit that the carrier's documents do not name.
    Other,
}
