//! Operations: one write to a carrier, with its outcome.
//!
//! The promise is that nothing is sent twice: `sent` is committed before the call, and from `sent` only an outcome
//! leads on. A process that dies after `sent` leaves an operation that says so.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

use crate::bundle::OrderType;
use crate::carrier::ActivationTerms;
use crate::device::DeviceChange;
use crate::iccid::Iccid;
use crate::imei::Imei;
use crate::line::LineCommand;

/// Status of an operation.
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
pub enum OperationStatus {
    /// Waits for a worker.
    Pending,
    /// About to be sent, or sent: the outcome is open.
    Sent,
    /// The carrier acknowledged and works on it.
    Accepted,
    /// The carrier did it.
    Done,
    /// The carrier surely did nothing.
    Refused,
    /// The answer was lost.
    Unknown,
    /// Cannot be decided without a person.
    NeedsAttention,
    /// Taken back before it was sent.
    Cancelled,
}

/// What happens to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsRefStr, Display, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OperationStep {
    /// Commit that the next thing is the call.
    Send,
    /// The carrier surely did not take it: it may be sent again.
    PutBack,
    /// The carrier acknowledged.
    Accept,
    /// It is done.
    Complete,
    /// It is surely not done.
    Refuse,
    /// The answer was lost.
    Lose,
    /// A person must decide.
    GiveUp,
    /// Taken back.
    Cancel,
}

/// A step that the rules forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an operation that is {from} cannot take the step {step}")]
pub struct StepError {
    /// Where it stands.
    pub from: OperationStatus,
    /// What was asked.
    pub step: OperationStep,
}

impl OperationStatus {
    /// Whether it may still change: a profile has at most one open operation.
    pub fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::Sent | Self::Accepted | Self::Unknown | Self::NeedsAttention => true,
            Self::Done | Self::Refused | Self::Cancelled => false,
        }
    }

    /// Decides a step.
    ///
    /// # Errors
    /// [`StepError`] when the step does not follow.
    pub fn step(self, step: OperationStep) -> Result<Self, StepError> {
        use OperationStatus as S;
        use OperationStep as T;
        match (self, step) {
            (S::Pending, T::Send) => Ok(S::Sent),
            (S::Pending, T::Cancel) => Ok(S::Cancelled),
            (S::Pending | S::Sent | S::Accepted | S::Unknown | S::NeedsAttention, T::Refuse) => {
                Ok(S::Refused)
            }
            (S::Sent, T::PutBack) | (S::Unknown | S::NeedsAttention, T::PutBack) => Ok(S::Pending),
            (S::Sent | S::Unknown, T::Accept) => Ok(S::Accepted),
            // From pending as well: evidence may come late, when it was about to be sent again.
            (S::Pending | S::Sent | S::Accepted | S::Unknown | S::NeedsAttention, T::Complete) => Ok(S::Done),
            // From pending as well: when it was about to be sent again, and the carrier's list was in doubt.
            (S::Pending | S::Sent | S::Accepted, T::Lose) => Ok(S::Unknown),
            (S::Pending | S::Sent | S::Accepted | S::Unknown, T::GiveUp) => Ok(S::NeedsAttention),
            (S::Pending, T::PutBack | T::Accept)
            | (S::Sent, T::Send | T::Cancel)
            | (S::Accepted, T::Send | T::PutBack | T::Accept | T::Cancel)
            | (S::Unknown, T::Send | T::Lose | T::Cancel)
            | (S::NeedsAttention, T::Send | T::Accept | T::Lose | T::GiveUp | T::Cancel)
            | (
                S::Done | S::Refused | S::Cancelled,
                T::Send | T::PutBack | T::Accept | T::Complete | T::Refuse | T::Lose | T::GiveUp | T::Cancel,
            ) => Err(StepError { from: self, step }),
        }
    }
}

/// What an operation asks of the carrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OperationRequest {
    /// Put a product on the profile's line.
    PlaceBundle {
        /// The carrier's product id.
        product: String,
        /// The order type that the caller insists on; chosen from the line's status when absent.
        order_type: Option<OrderType>,
        /// The first sale of the profile: it must be fresh.
        first_sale: bool,
    },
    /// Change a bundle that the carrier has.
    ChangeBundle {
        /// The carrier's id of it.
        subscription_id: String,
        /// The carrier's product id.
        product: String,
        /// What becomes of it.
        change: BundleCommand,
    },
    /// Tell the profile's line something.
    Line {
        /// What.
        command: LineCommand,
    },
    /// Activate a subscription on the profile.
    ActivateSubscription {
        /// What it is sent with.
        terms: ActivationTerms,
    },
    /// Move the profile's line to another device, SIM or both.
    ChangeDevice {
        /// How.
        change: DeviceChange,
    },
    /// Put a device that the profile's line is used with on the block list, or take it off.
    BlockDevice {
        /// The device.
        imei: Imei,
        /// Put on, else taken off.
        block: bool,
    },
}

/// What can be asked of a bundle that the carrier has.
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
pub enum BundleCommand {
    /// Let it end with its present period.
    CancelRenewal,
    /// End it at once.
    Terminate,
}

/// How an operation is carried out. Both kinds share the rule that a profile has one open operation at most.
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
pub enum Lane {
    /// One by one: sold products, each with its order.
    Sale,
    /// Side by side in batches: commands that leave a line, a bundle or a device in a certain state.
    Line,
}

impl OperationRequest {
    /// Its kind, as the API names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PlaceBundle { .. } => "place_bundle",
            Self::ChangeBundle { change: BundleCommand::CancelRenewal, .. } => "cancel_renewal",
            Self::ChangeBundle { change: BundleCommand::Terminate, .. } => "terminate_bundle",
            Self::Line { command } => command.action().into(),
            Self::ActivateSubscription { .. } => "activate_subscription",
            Self::ChangeDevice { .. } => "change_device",
            Self::BlockDevice { block: true, .. } => "block_device",
            Self::BlockDevice { block: false, .. } => "unblock_device",
        }
    }

    /// How it is carried out.
    pub fn lane(&self) -> Lane {
        match self {
            Self::PlaceBundle { .. } => Lane::Sale,
            Self::ChangeBundle { .. }
            | Self::Line { .. }
            | Self::ActivateSubscription { .. }
            | Self::ChangeDevice { .. }
            | Self::BlockDevice { .. } => Lane::Line,
        }
    }

    /// The product that it places; none for an operation that places nothing.
    pub fn places(&self) -> Option<&str> {
        match self {
            Self::PlaceBundle { product, .. } => Some(product),
            Self::ChangeBundle { .. }
            | Self::Line { .. }
            | Self::ActivateSubscription { .. }
            | Self::ChangeDevice { .. }
            | Self::BlockDevice { .. } => None,
        }
    }

    /// Whether it is the first sale of its profile.
    pub fn is_first_sale(&self) -> bool {
        matches!(self, Self::PlaceBundle { first_sale: true, .. } | Self::ActivateSubscription { .. })
    }

    /// Whether it takes a line into use that is on sale.
    pub fn takes_into_use(&self) -> bool {
        match self {
            Self::Line { command } => command.action().takes_into_use(),
            Self::ActivateSubscription { .. } => true,
            Self::PlaceBundle { .. }
            | Self::ChangeBundle { .. }
            | Self::ChangeDevice { .. }
            | Self::BlockDevice { .. } => false,
        }
    }

    /// Whether the carrier may be told twice without doing it twice.
    pub fn is_idempotent(&self) -> bool {
        match self {
            Self::Line { command } => command.action().is_idempotent(),
            Self::PlaceBundle { .. } | Self::ActivateSubscription { .. } => false,
            Self::ChangeBundle { .. } | Self::ChangeDevice { .. } | Self::BlockDevice { .. } => true,
        }
    }

    /// The SIM of the stock that takes the profile's line over, when it does that.
    pub fn successor(&self) -> Option<&Iccid> {
        match self {
            Self::Line { command: LineCommand::SwapSim { new_iccid } } => Some(new_iccid),
            Self::ChangeDevice { change } => change.new_iccid.as_ref(),
            Self::PlaceBundle { .. }
            | Self::ChangeBundle { .. }
            | Self::Line { .. }
            | Self::ActivateSubscription { .. }
            | Self::BlockDevice { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_matrix() {
        insta::assert_snapshot!(crate::lifecycle_doc::operation_matrix());
    }

    #[test]
    fn nothing_is_sent_from_anywhere_but_pending() {
        for status in OperationStatus::VARIANTS {
            assert_eq!(status.step(OperationStep::Send).is_ok(), *status == OperationStatus::Pending);
            if !status.is_open() {
                assert!(OperationStep::VARIANTS.iter().all(|step| status.step(*step).is_err()));
            }
        }
    }
}
