//! Rate plans: what their lines may be set to.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_domain::line;
use simdepot_persistence::rate_plans;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::pagination::Limit;

/// What a rate plan allows for one option. Names and values have 1 to 100 characters on a single line.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptionRule {
    /// One name that is `on` or `off`.
    OnOff {
        /// The option's name.
        name: String,
        /// On unless a command says otherwise.
        default: bool,
    },
    /// Several names, of which exactly one is `on`.
    OneOf {
        /// What the choice is about, for people.
        name: String,
        /// The names.
        choices: Vec<String>,
        /// The one that is on unless a command says otherwise.
        default: String,
    },
    /// One name with one of several values.
    Value {
        /// The option's name.
        name: String,
        /// The values that it may have.
        values: Vec<String>,
        /// The one that it has unless a command says otherwise.
        default: String,
    },
}

impl From<OptionRule> for line::OptionRule {
    fn from(rule: OptionRule) -> Self {
        match rule {
            OptionRule::OnOff { name, default } => Self::OnOff { name, default },
            OptionRule::OneOf { name, choices, default } => Self::OneOf { name, choices, default },
            OptionRule::Value { name, values, default } => Self::Value { name, values, default },
        }
    }
}

impl From<line::OptionRule> for OptionRule {
    fn from(rule: line::OptionRule) -> Self {
        match rule {
            line::OptionRule::OnOff { name, default } => Self::OnOff { name, default },
            line::OptionRule::OneOf { name, choices, default } => Self::OneOf { name, choices, default },
            line::OptionRule::Value { name, values, default } => Self::Value { name, values, default },
        }
    }
}

/// The options of a rate plan, all of them.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"options": [
    {"type": "on_off", "name": "M2M_TSL_BAR_DATA", "default": false},
    {"type": "one_of", "name": "Data limit",
        "choices": ["RESTRICT_NO_THRESHOLD", "RESTRICT_THRESHOLD_250MB", "RESTRICT_THRESHOLD_1GB"],
        "default": "RESTRICT_NO_THRESHOLD"},
    {"type": "value", "name": "OFFER_901_IOT_CONNECT_CAP_PRICING", "values": ["IOTC_REF_BUNDLES", "IOTC_REF_PAYG"],
        "default": "IOTC_REF_BUNDLES"}
]}))]
pub struct RatePlanOptionsRequest {
    /// At most 500.
    #[schema(max_items = 500)]
    pub options: Vec<OptionRule>,
}

impl From<RatePlanOptionsRequest> for line::OptionCatalogue {
    fn from(request: RatePlanOptionsRequest) -> Self {
        Self { options: request.options.into_iter().map(Into::into).collect() }
    }
}

/// A rate plan with its options.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "rate_plan": "M2MA_WW_TSL_IOTCONNECT_CAPPED", "version": 3,
    "options": [{"type": "on_off", "name": "M2M_TSL_BAR_DATA", "default": false}],
    "updated_at": "2026-11-21T18:04:06Z"
}))]
pub struct RatePlan {
    /// The carrier's name of it.
    pub rate_plan: String,
    /// How often it was written.
    pub version: i64,
    /// What its lines may be set to.
    pub options: Vec<OptionRule>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl From<rate_plans::RatePlan> for RatePlan {
    fn from(plan: rate_plans::RatePlan) -> Self {
        Self {
            rate_plan: plan.rate_plan,
            version: plan.version,
            options: plan.catalogue.options.into_iter().map(Into::into).collect(),
            updated_at: plan.updated_at,
        }
    }
}

/// Which rate plans, or service profiles, to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CatalogueQuery {
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}
