//! What a carrier has.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

/// Something that one carrier has and another has not.
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
pub enum Capability {
    /// A catalogue of products, and bundles of them on lines.
    Products,
    /// Subscriptions that are activated with the sale.
    Activation,
    /// Commands to lines.
    LineCommands,
    /// The status of an eSIM at the SM-DP+.
    EsimStatus,
    /// A list of all lines.
    Fleet,
    /// Data of the SIM card, with its security codes.
    SimCard,
    /// What a line has used.
    Usage,
    /// The device that a line is used in.
    Device,
    /// Whether a model of devices works in the network.
    DeviceCompatibility,
    /// Moving a line to another device.
    DeviceChange,
    /// The list of devices that may not be used.
    DeviceBlocklist,
}
