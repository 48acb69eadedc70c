//! What a line can be told to do.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use super::LineOption;
use crate::country::CountryCode;
use crate::iccid::Iccid;

/// A command without its data.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
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
pub enum LineAction {
    /// Put the line into service.
    Activate,
    /// Change rate plan, options, group or external reference.
    Modify,
    /// Stop traffic; billing goes on.
    Suspend,
    /// Let a suspended line work again.
    Reactivate,
    /// End the line for ever.
    Terminate,
    /// Move the line to another SIM.
    SwapSim,
    /// Give the line another number.
    SwapMsisdn,
    /// Pause the line, without traffic and billing, from the next bill cycle on.
    TariffHoliday,
    /// End the pause.
    LeaveTariffHoliday,
    /// Begin with a free test period.
    TestMode,
    /// End the test period: the line becomes active.
    LeaveTestMode,
    /// Change the subscriber's contact data, or the group with it.
    SetContact,
}

impl LineAction {
    /// Whether the carrier may be told twice without doing it twice: all but the swap of the number either set what was
    /// asked or are refused, because the line is not in a status for them any more.
    pub fn is_idempotent(self) -> bool {
        self != Self::SwapMsisdn
    }

    /// Whether it takes a line into use that is on sale: then it must leave the stock first.
    pub fn takes_into_use(self) -> bool {
        matches!(self, Self::Activate | Self::TestMode)
    }
}

/// What a line is set up with. Absent values are the carrier's defaults at an activation, and stay as they are at a
/// modification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LineSetup {
    /// The rate plan; the account's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_plan: Option<String>,
    /// The options to set; others are not touched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<LineOption>,
    /// The group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The owner's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<String>,
    /// Where the subscriber lives; at an activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_of_residence: Option<CountryCode>,
}

/// A command with its data. Contact data are personal: they travel sealed, beside the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum LineCommand {
    /// See [`LineAction::Activate`].
    Activate(LineSetup),
    /// See [`LineAction::Modify`].
    Modify(LineSetup),
    /// See [`LineAction::Suspend`].
    Suspend,
    /// See [`LineAction::Reactivate`].
    Reactivate,
    /// See [`LineAction::Terminate`].
    Terminate,
    /// See [`LineAction::SwapSim`].
    SwapSim {
        /// The SIM that takes over, of the same account's stock.
        new_iccid: Iccid,
    },
    /// See [`LineAction::SwapMsisdn`].
    SwapMsisdn,
    /// See [`LineAction::TariffHoliday`].
    TariffHoliday,
    /// See [`LineAction::LeaveTariffHoliday`].
    LeaveTariffHoliday,
    /// See [`LineAction::TestMode`].
    TestMode(LineSetup),
    /// See [`LineAction::LeaveTestMode`].
    LeaveTestMode,
    /// See [`LineAction::SetContact`].
    SetContact {
        /// The new group, when it changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
}

impl LineCommand {
    /// What it does.
    pub fn action(&self) -> LineAction {
        match self {
            Self::Activate(_) => LineAction::Activate,
            Self::Modify(_) => LineAction::Modify,
            Self::Suspend => LineAction::Suspend,
            Self::Reactivate => LineAction::Reactivate,
            Self::Terminate => LineAction::Terminate,
            Self::SwapSim { .. } => LineAction::SwapSim,
            Self::SwapMsisdn => LineAction::SwapMsisdn,
            Self::TariffHoliday => LineAction::TariffHoliday,
            Self::LeaveTariffHoliday => LineAction::LeaveTariffHoliday,
            Self::TestMode(_) => LineAction::TestMode,
            Self::LeaveTestMode => LineAction::LeaveTestMode,
            Self::SetContact { .. } => LineAction::SetContact,
        }
    }

    /// What the line is set up with, for commands that do so.
    pub fn setup(&self) -> Option<&LineSetup> {
        match self {
            Self::Activate(setup) | Self::Modify(setup) | Self::TestMode(setup) => Some(setup),
            Self::Suspend
            | Self::Reactivate
            | Self::Terminate
            | Self::SwapSim { .. }
            | Self::SwapMsisdn
            | Self::TariffHoliday
            | Self::LeaveTariffHoliday
            | Self::LeaveTestMode
            | Self::SetContact { .. } => None,
        }
    }
}
