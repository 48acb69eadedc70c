//! Webhooks out: Standard Webhooks 1.0.
//!
//! What is decided about a delivery is decided here: how it is signed, when it is tried again, in which order, and
//! where it may go. Sending is behind the port [`Courier`].

mod courier;
mod event_types;
mod health;
mod retry;
mod signature;
mod target;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

pub use courier::{Courier, Parcel, Reply};
pub use event_types::{event_types, is_event_type, order_key, suggested_types, wants};
pub use health::Health;
pub use retry::{TRIES, Verdict, judge};
pub use signature::{BadSecret, OVERLAP, WebhookSecret, signatures};
pub use target::{TargetError, Targets, is_on_this_machine};

/// Longest body, in bytes: Standard Webhooks asks for less than 20 kB.
pub const MAX_BODY: usize = 20_000;

/// Status of an endpoint.
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
pub enum EndpointStatus {
    /// Receives deliveries.
    Enabled,
    /// Receives none, by a person's decision or because it said that it is gone.
    Disabled,
}

/// Status of a delivery.
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
pub enum DeliveryStatus {
    /// Waits for its next try.
    Pending,
    /// Accepted by the endpoint.
    Delivered,
    /// Given up after the last try, or withdrawn.
    Failed,
}
