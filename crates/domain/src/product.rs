//! A carrier's catalogue.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, VariantArray};

use crate::country::CountryCode;

/// One plan that the carrier sells to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The carrier's id.
    pub product: String,
    /// Name for people.
    pub name: String,
    /// The carrier's category, for example `One-off`.
    pub category: Option<String>,
    /// Countries covered.
    pub countries: Vec<CountryCode>,
    /// Data allowance in bytes; `None` when unlimited or unknown.
    pub data_bytes: Option<u64>,
    /// Whether the carrier calls it unlimited.
    pub unlimited: bool,
    /// How long it runs once it has started.
    pub validity: Option<Validity>,
    /// What the carrier charges us.
    pub price: Option<Price>,
    /// Whether the carrier offers it now.
    pub available: bool,
}

/// A running time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// How many units.
    pub duration: u32,
    /// Of what.
    pub unit: ValidityUnit,
}

/// Unit of a running time. A month is a calendar month.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr, Display, EnumString, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ValidityUnit {
    /// Hours.
    Hours,
    /// Days of 24 hours.
    Days,
    /// Calendar months.
    Months,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// In hundredths of the currency unit.
    pub amount_cents: i64,
    /// ISO 4217 code.
    pub currency: String,
}
