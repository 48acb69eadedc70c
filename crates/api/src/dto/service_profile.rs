//! Service profiles: a rate plan with options under a name.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::service_profiles::ServiceProfileView;
use simdepot_domain::line;
use utoipa::ToSchema;
use validator::Validate;

use super::text;

/// An option of a line.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineOption {
    /// The carrier's technical name.
    pub name: String,
    /// `on`, `off` or a symbolic value.
    pub value: String,
}

impl From<line::LineOption> for LineOption {
    fn from(option: line::LineOption) -> Self {
        Self { name: option.name, value: option.value }
    }
}

impl From<LineOption> for line::LineOption {
    fn from(option: LineOption) -> Self {
        Self { name: option.name, value: option.value }
    }
}

/// A service profile as it shall be.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "rate_plan": "M2MA_WW_TSL_IOTCONNECT_CAPPED",
    "options": [{"name": "M2M_TSL_BAR_DATA", "value": "off"}],
    "description": "Trackers in Europe"
}))]
pub struct ServiceProfileRequest {
    /// The rate plan; the carrier account's when absent.
    #[validate(length(min = 1, max = 100), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub rate_plan: Option<String>,
    /// The options that it sets; at most 500.
    #[serde(default)]
    #[schema(max_items = 500)]
    pub options: Vec<LineOption>,
    /// For people.
    #[validate(length(max = 500), custom(function = "text::single_line"))]
    #[schema(max_length = 500)]
    pub description: Option<String>,
}

impl From<ServiceProfileRequest> for line::ServiceProfile {
    fn from(request: ServiceProfileRequest) -> Self {
        Self {
            rate_plan: request.rate_plan,
            options: request.options.into_iter().map(Into::into).collect(),
            description: request.description,
        }
    }
}

/// A service profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "trackers", "rate_plan": "M2MA_WW_TSL_IOTCONNECT_CAPPED",
    "options": [{"name": "M2M_TSL_BAR_DATA", "value": "off"}], "description": "Trackers in Europe",
    "fits": true, "problems": [], "version": 1, "updated_at": "2026-11-21T18:04:06Z"
}))]
pub struct ServiceProfile {
    /// Its name.
    pub name: String,
    /// The rate plan; the carrier account's when null.
    pub rate_plan: Option<String>,
    /// The options that it sets.
    pub options: Vec<LineOption>,
    /// For people.
    pub description: Option<String>,
    /// Whether the rate plan allows its options, as far as they are known here. Commands with a profile that does not
    /// fit are refused.
    pub fits: bool,
    /// What does not fit.
    pub problems: Vec<OptionProblem>,
    /// How often it was written.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// What does not fit of an option.
#[derive(Debug, Serialize, ToSchema)]
pub struct OptionProblem {
    /// JSON pointer into the service profile.
    pub pointer: String,
    /// Stable code.
    pub code: String,
    /// What is wrong and what is expected.
    pub message: String,
}

impl From<line::OptionProblem> for OptionProblem {
    fn from(problem: line::OptionProblem) -> Self {
        Self {
            pointer: format!("/options/{}/{}", problem.position, problem.field),
            code: problem.code.to_owned(),
            message: problem.message,
        }
    }
}

impl From<ServiceProfileView> for ServiceProfile {
    fn from(view: ServiceProfileView) -> Self {
        let ServiceProfileView { named, problems } = view;
        Self {
            name: named.name,
            rate_plan: named.profile.rate_plan,
            options: named.profile.options.into_iter().map(Into::into).collect(),
            description: named.profile.description,
            fits: problems.is_empty(),
            problems: problems.into_iter().map(Into::into).collect(),
            version: named.version,
            updated_at: named.updated_at,
        }
    }
}
