//! Holds: profiles of a pool reserved for a channel until a deadline.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

/// Status of a hold.
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
pub enum HoldStatus {
    /// Its profiles are reserved.
    Active,
    /// It became an order.
    Converted,
    /// Given back before its deadline.
    Released,
    /// Its deadline passed.
    Expired,
}
