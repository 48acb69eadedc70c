//! Drift: where our books and the carrier's differ.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

/// What differs.
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
pub enum DriftKind {
    /// The carrier has a bundle on the line that nobody ordered here.
    UnexpectedBundle,
    /// A bundle that was placed is not in the carrier's complete list.
    MissingBundle,
    /// The carrier does not know the SIM.
    UnknownToCarrier,
    /// The line or the eSIM moved in a way that the carrier's documents do not know.
    ImpossibleMove,
    /// A profile in the stock is in use.
    InUseUnsold,
}

/// Whether it still differs.
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
pub enum DriftStatus {
    /// It does.
    Open,
    /// A rule made it right.
    Healed,
    /// It was not there any more at the next comparison.
    Gone,
}
