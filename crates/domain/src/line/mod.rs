//! A subscriber line: what a carrier tells of it beside its status, and what it can be told to do.

mod command;
mod contact;
mod learning;
mod moves;
mod name;
mod options;
mod outcome;
mod rules;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::msisdn::Msisdn;
use crate::sim::SimStatus;

pub use command::{LineAction, LineCommand, LineSetup};
pub use contact::Contact;
pub use learning::Telling;
pub(crate) use moves::TRANSATEL;
pub use moves::{LineMove, MOVES};
pub use name::{CatalogueName, CatalogueNameError};
pub use options::{LineOption, OptionCatalogue, OptionProblem, OptionRule, ServiceProfile};
pub use outcome::{Judgement, judge};
pub use rules::{LineRules, Offer, RuleBroken};

/// Who stopped a line. Only the carrier lifts its own suspension.
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
pub enum SuspendedBy {
    /// The account's owner.
    Customer,
    /// A usage threshold.
    Automatic,
    /// The carrier, for a malfunction or fraud.
    Operator,
}

/// What a carrier tells of a line beside its status and number. What it does not tell is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LineDetails {
    /// Who stopped it.
    pub suspended_by: Option<SuspendedBy>,
    /// Its rate plan.
    pub rate_plan: Option<String>,
    /// Its options; `None` when the source does not list them.
    pub options: Option<Vec<LineOption>>,
    /// Its group.
    pub group: Option<String>,
    /// The owner's reference; not unique.
    pub external_reference: Option<String>,
    /// When it was activated.
    pub activated_at: Option<DateTime<Utc>>,
    /// When it was last modified.
    pub modified_at: Option<DateTime<Utc>>,
    /// When its contract ends.
    pub contract_ends_at: Option<DateTime<Utc>>,
}

/// How a line stands: before a command was sent, and when its outcome is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineStanding {
    /// Its status.
    pub sim_status: Option<SimStatus>,
    /// Its number.
    pub msisdn: Option<Msisdn>,
    /// The rest.
    #[serde(default)]
    pub details: LineDetails,
}
