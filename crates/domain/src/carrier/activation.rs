//! Activations of subscriptions with the sale. What a carrier wants to know for one is its own: opaque JSON, which its
//! adapter checks and nobody else looks into.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::iccid::Iccid;
use crate::imei::Imei;
use crate::msisdn::Msisdn;

/// What is wrong with opaque JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterProblem {
    /// Where, as a JSON pointer below the document; empty for all of it.
    pub pointer: String,
    /// Stable code.
    pub code: &'static str,
    /// What to do about it, without the value.
    pub message: String,
}

impl ParameterProblem {
    /// A problem at one place.
    pub fn at(pointer: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), code, message: message.into() }
    }

    /// The carrier activates nothing.
    pub fn unsupported() -> Self {
        Self::at("", super::UNSUPPORTED, "this carrier activates no subscriptions")
    }
}

/// Around an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationContext {
    /// Who the subscriber is when nobody says: at most 36 letters, digits, `-` and `_`.
    pub subscriber: String,
    /// How many profiles are activated with the same parameters.
    pub quantity: u32,
    /// The moment of the order.
    pub ordered_at: DateTime<Utc>,
}

/// Everything that an activation is sent with beside the SIM: settled with the order, so that a repetition says the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivationTerms {
    /// The carrier's own, opaque.
    pub document: Json,
    /// The number that the line will have, when it was reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msisdn: Option<Msisdn>,
    /// The device that the SIM goes into, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imei: Option<Imei>,
    /// An eSIM's code comes with it, where the delivery had none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expects_code: bool,
}

// Nothing in it is compared as a number.
impl Eq for ActivationTerms {}

/// A subscription to activate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationOrder {
    /// Our number of the command, the same when it is sent again: at most 36 letters, digits, `-` and `_`.
    pub reference: String,
    /// The SIM.
    pub iccid: Iccid,
    /// The rest.
    pub terms: ActivationTerms,
}
