//! The carriers' catalogues.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_domain::channel;
use simdepot_domain::country::CountryCode;
use simdepot_persistence::products::CachedProduct;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::identifiers;
use super::words::ValidityUnit;
use crate::pagination::Limit;

/// Which products to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProductsQuery {
    /// Covering this country (ISO 3166-1, two letters).
    #[param(value_type = Option<String>, min_length = 2, max_length = 2, pattern = "^[A-Za-z]{2}$", example = "FR")]
    pub country: Option<CountryCode>,
    /// That can be put on profiles of this pool.
    #[param(value_type = Option<identifiers::PoolName>, inline)]
    pub pool: Option<channel::PoolName>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A plan in the carrier's catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "product": "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D", "name": "France 3 GB 15 days", "category": "One-off",
    "countries": ["FR"], "data_bytes": 3_221_225_472_u64, "unlimited": false,
    "validity": {"duration": 15, "unit": "days"}, "price": {"amount_cents": 420, "currency": "EUR"},
    "carrier_account": "spc", "fetched_at": "2026-11-21T17:55:00Z"
}))]
pub struct Product {
    /// The carrier's id of it: what an order line names.
    pub product: String,
    /// Name for people.
    pub name: String,
    /// The carrier's category.
    pub category: Option<String>,
    /// Countries covered.
    #[schema(value_type = Vec<identifiers::Country>)]
    pub countries: Vec<CountryCode>,
    /// Data allowance in bytes; null when unlimited or unknown.
    pub data_bytes: Option<u64>,
    /// Whether the carrier calls it unlimited.
    pub unlimited: bool,
    /// How long it runs once it has started.
    pub validity: Option<Validity>,
    /// What the carrier charges you.
    pub price: Option<Price>,
    /// The carrier account that sells it.
    #[schema(value_type = identifiers::AccountName)]
    pub carrier_account: channel::AccountName,
    /// When the catalogue was read.
    pub fetched_at: DateTime<Utc>,
}

/// A running time.
#[derive(Debug, Serialize, ToSchema)]
pub struct Validity {
    /// How many units.
    pub duration: u32,
    /// Of what.
    pub unit: ValidityUnit,
}

/// An amount of money.
#[derive(Debug, Serialize, ToSchema)]
pub struct Price {
    /// In hundredths of the currency unit.
    pub amount_cents: i64,
    /// ISO 4217 code.
    pub currency: String,
}

impl From<CachedProduct> for Product {
    fn from(cached: CachedProduct) -> Self {
        let CachedProduct { carrier_account, product, fetched_at } = cached;
        Self {
            product: product.product,
            name: product.name,
            category: product.category,
            countries: product.countries,
            data_bytes: product.data_bytes,
            unlimited: product.unlimited,
            validity: product
                .validity
                .map(|validity| Validity { duration: validity.duration, unit: validity.unit.into() }),
            price: product
                .price
                .map(|price| Price { amount_cents: price.amount_cents, currency: price.currency }),
            carrier_account,
            fetched_at,
        }
    }
}
