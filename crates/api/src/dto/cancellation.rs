//! Taking orders back.

use serde::Deserialize;
use utoipa::ToSchema;
use validator::Validate;

use super::text;

/// Why an order is taken back. The body may be left out.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the customer ordered twice"}))]
pub struct CancelRequest {
    /// Kept with the event.
    #[validate(length(min = 1, max = 500), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub reason: Option<String>,
}
