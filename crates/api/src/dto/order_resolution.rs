//! Deciding about orders that failed in part.

use serde::Deserialize;
use simdepot_application::orders::OrderVerdict;
use utoipa::ToSchema;
use validator::Validate;

use super::text;

/// What a person decided about the profiles of an order that failed.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"outcome": "accept", "reason": "the customer takes the two that work"}))]
pub struct ResolveOrderRequest {
    /// What is to become of them.
    pub outcome: OrderResolution,
    /// Kept with the event.
    #[validate(length(min = 1, max = 500), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub reason: String,
}

/// What becomes of the profiles of an order that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderResolution {
    /// They are given up: the order is fulfilled with the others.
    Accept,
    /// Another profile of the pool is tried in the place of each, with the product again.
    Refill,
}

impl From<OrderResolution> for OrderVerdict {
    fn from(outcome: OrderResolution) -> Self {
        match outcome {
            OrderResolution::Accept => Self::Accept,
            OrderResolution::Refill => Self::Refill,
        }
    }
}
