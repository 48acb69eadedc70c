//! Bundles: products on profiles.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::AppError;
use simdepot_application::orders::OrderBundle;
use simdepot_domain::bundle::Balance as DomainBalance;
use simdepot_domain::id;
use utoipa::ToSchema;
use validator::Validate;

use super::identifiers;
use super::text;
use super::words::{BalanceUnit, BundleStatus, OperationStatus, OrderType};

/// A top-up: one more product on a profile of yours.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reference": "top-up-1042", "product": "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D"}))]
pub struct TopUpRequest {
    /// Your own reference, unique among the top-ups of your channel for ever: the same request again answers the same
    /// bundle.
    #[validate(length(min = 1, max = 255), custom(function = "text::reference"))]
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069][^\\u0000-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069]*$"
    )]
    pub reference: String,
    /// The product, by its id in the catalogue.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub product: String,
    /// Chosen from the line's status when absent, checked against it when given.
    pub order_type: Option<OrderType>,
}

/// Nothing needs to be said to cancel a renewal: an empty object, or no body at all.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRenewalRequest {}

/// The end of a bundle, at once and for ever.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"confirm": true}))]
pub struct BundleTerminateRequest {
    /// Must be true.
    #[serde(default)]
    pub confirm: bool,
}

impl BundleTerminateRequest {
    /// Whether it was meant.
    ///
    /// # Errors
    /// [`AppError::ConfirmationRequired`].
    pub fn check(&self) -> Result<(), AppError> {
        let what = "the termination of a bundle";
        if self.confirm { Ok(()) } else { Err(AppError::ConfirmationRequired { what }) }
    }
}

/// A bundle: one product placed on one profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "bdl_01kamf2r8zfq0sh2v2w4r3t9xd", "reference": "top-up-1042",
    "product": "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D", "order_type": "subscribe", "status": "active",
    "operation": {"id": "op_01kamf2r8zfq0sh2v2x7mwh3qe", "status": "done"},
    "balances": [{
        "resource": "DATA_BUNDLE_COUNTRY", "unit": "bytes", "remaining": 3_221_225_472_u64, "total": 3_221_225_472_u64,
        "starts_at": "2026-11-21T18:04:05Z", "ends_at": "2026-12-06T18:04:05Z"
    }],
    "activated_at": "2026-11-21T18:04:05Z", "expires_at": "2026-12-06T18:04:05Z", "fetched_at": "2026-11-21T18:30:00Z"
}))]
pub struct Bundle {
    /// Its id.
    #[schema(value_type = identifiers::BundleId)]
    pub id: id::BundleId,
    /// Your reference of the top-up; null when it came with an order.
    pub reference: Option<String>,
    /// The carrier's product id.
    pub product: String,
    /// How it was placed, once decided.
    pub order_type: Option<OrderType>,
    /// Where it stands.
    pub status: BundleStatus,
    /// The operation that places it at the carrier.
    pub operation: Option<BundleOperation>,
    /// What is left, when `fetched_at` says; empty before the start.
    pub balances: Vec<Balance>,
    /// When it started.
    pub activated_at: Option<DateTime<Utc>>,
    /// Before the start the last moment to start, then the end.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the carrier was last asked about it.
    pub fetched_at: Option<DateTime<Utc>>,
}

/// The operation behind a bundle.
#[derive(Debug, Serialize, ToSchema)]
pub struct BundleOperation {
    /// Its id.
    #[schema(value_type = identifiers::OperationId)]
    pub id: id::OperationId,
    /// Where it stands.
    pub status: OperationStatus,
}

/// What is left of one resource.
#[derive(Debug, Serialize, ToSchema)]
pub struct Balance {
    /// The carrier's name of the resource.
    pub resource: String,
    /// Unit of the amounts.
    pub unit: BalanceUnit,
    /// What is left; null when unlimited.
    pub remaining: Option<u64>,
    /// What it began with, where the carrier says so.
    pub total: Option<u64>,
    /// When the resource starts to count.
    pub starts_at: Option<DateTime<Utc>>,
    /// When what is left is lost.
    pub ends_at: Option<DateTime<Utc>>,
}

impl From<OrderBundle> for Bundle {
    fn from(placed: OrderBundle) -> Self {
        let OrderBundle { bundle, operation } = placed;
        let operation =
            operation.map(|operation| BundleOperation { id: operation.id, status: operation.status.into() });
        Self {
            id: bundle.id,
            reference: bundle.reference,
            product: bundle.product,
            order_type: bundle.order_type.map(Into::into),
            status: bundle.status.into(),
            operation,
            balances: bundle.balances.into_iter().map(Into::into).collect(),
            activated_at: bundle.activated_at,
            expires_at: bundle.expires_at,
            fetched_at: bundle.fetched_at,
        }
    }
}

impl From<DomainBalance> for Balance {
    fn from(balance: DomainBalance) -> Self {
        Self {
            resource: balance.resource,
            unit: balance.unit.into(),
            remaining: balance.remaining,
            total: balance.total,
            starts_at: balance.starts_at,
            ends_at: balance.ends_at,
        }
    }
}
