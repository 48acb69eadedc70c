//! Our own axis: where a profile stands in the stock.
//!
//! It moves by commands only. [`apply`] is the whole rule; the database guards the same move with
//! `WHERE stock_status = from AND version = v`, and its CHECK constraints mirror [`StockStatus`].

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumDiscriminants, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

/// Status of a profile in the stock.
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
pub enum StockStatus {
    /// May be sold.
    Available,
    /// Reserved by a hold.
    Held,
    /// Handed to an order.
    Allocated,
    /// Set aside: something about it must be looked at.
    Quarantined,
    /// Out of the stock for good.
    Retired,
}

/// A profile's standing, as far as the commands look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockState {
    /// Where it stands.
    pub status: StockStatus,
    /// It is not sold at or after this moment.
    pub sell_by: DateTime<Utc>,
}

/// What must be proven before an allocated profile may be sold a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnProof {
    /// The activation code never left simdepot.
    pub never_revealed: bool,
    /// The eSIM is still released at the SM-DP+ (or the SIM is physical and was not shipped).
    pub never_downloaded: bool,
    /// The carrier holds no bundle for it, by a complete read.
    pub no_bundle: bool,
}

impl ReturnProof {
    fn is_complete(self) -> bool {
        self.never_revealed && self.never_downloaded && self.no_bundle
    }
}

/// What can be asked of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(name(StockCommandKind))]
#[strum_discriminants(derive(Hash, Serialize, Deserialize, AsRefStr, Display, IntoStaticStr, VariantArray))]
#[strum_discriminants(serde(rename_all = "snake_case"))]
#[strum_discriminants(strum(serialize_all = "snake_case"))]
#[strum_discriminants(doc = "A [`StockCommand`] without its data: names a command in errors and tables.")]
pub enum StockCommand {
    /// Reserve it.
    Hold,
    /// End the reservation (expiry or cancellation).
    ReleaseHold,
    /// Hand it to an order.
    Allocate,
    /// Take it back from an order: on sale again only with proof.
    Return(ReturnProof),
    /// Take it out of an order because it cannot be sold; another takes its place.
    Substitute,
    /// Set it aside, by a person or because it was seen in use.
    Quarantine,
    /// The carrier's record completed a delivery that had no activation code.
    CompleteDelivery,
    /// Put it back on sale, by a person.
    Release,
    /// Take over the line, and the order, of another SIM.
    TakeOver,
    /// Take it out of the stock for good.
    Retire,
}

impl StockCommand {
    /// Its name.
    pub fn kind(self) -> StockCommandKind {
        self.into()
    }
}

/// A move that the rules allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Where the profile stood.
    pub from: StockStatus,
    /// Where it stands now.
    pub to: StockStatus,
}

/// A move that the rules forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a profile that is {from} cannot take the command {command}: {}", reason.explain())]
pub struct TransitionError {
    /// Where the profile stands.
    pub from: StockStatus,
    /// What was asked.
    pub command: StockCommandKind,
    /// Why not.
    pub reason: TransitionRefusal,
}

/// Why a move is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransitionRefusal {
    /// The command does not apply to this status.
    WrongStatus,
    /// The profile's `sell_by` has passed.
    PastSellBy,
}

impl TransitionRefusal {
    fn explain(self) -> &'static str {
        match self {
            Self::WrongStatus => "the command does not apply to this status",
            Self::PastSellBy => "its sell_by has passed",
        }
    }
}

/// Decides a command. There is no other way for `stock_status` to change.
///
/// # Errors
/// [`TransitionError`] names the status and the command, for the answer `invalid-transition`.
pub fn apply(
    state: StockState,
    command: StockCommand,
    now: DateTime<Utc>,
) -> Result<Transition, TransitionError> {
    use StockCommand as C;
    use StockStatus as S;
    let refuse = |reason| Err(TransitionError { from: state.status, command: command.kind(), reason });
    let to = match (state.status, command) {
        (S::Available, C::Hold | C::Allocate) | (S::Held, C::Allocate) if state.sell_by <= now => {
            return refuse(TransitionRefusal::PastSellBy);
        }
        (S::Available, C::Hold) => S::Held,
        (S::Available | S::Held, C::Allocate) | (S::Quarantined, C::TakeOver) => S::Allocated,
        (S::Allocated, C::Return(proof)) if proof.is_complete() => S::Available,
        (S::Held, C::ReleaseHold) | (S::Quarantined, C::CompleteDelivery | C::Release) => S::Available,
        (S::Allocated, C::Return(_) | C::Substitute) | (S::Available | S::Held, C::Quarantine) => {
            S::Quarantined
        }
        (S::Available | S::Held | S::Allocated | S::Quarantined, C::Retire) => S::Retired,
        (
            S::Available,
            C::ReleaseHold | C::Return(_) | C::Substitute | C::CompleteDelivery | C::Release | C::TakeOver,
        )
        | (
            S::Held,
            C::Hold | C::Return(_) | C::Substitute | C::CompleteDelivery | C::Release | C::TakeOver,
        )
        | (
            S::Allocated,
            C::Hold
            | C::ReleaseHold
            | C::Allocate
            | C::Quarantine
            | C::CompleteDelivery
            | C::Release
            | C::TakeOver,
        )
        | (
            S::Quarantined,
            C::Hold | C::ReleaseHold | C::Allocate | C::Return(_) | C::Substitute | C::Quarantine,
        )
        | (
            S::Retired,
            C::Hold
            | C::ReleaseHold
            | C::Allocate
            | C::Return(_)
            | C::Substitute
            | C::Quarantine
            | C::CompleteDelivery
            | C::Release
            | C::TakeOver
            | C::Retire,
        ) => return refuse(TransitionRefusal::WrongStatus),
    };
    Ok(Transition { from: state.status, to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn command() -> impl Strategy<Value = StockCommand> {
        let flags = (any::<bool>(), any::<bool>(), any::<bool>());
        prop_oneof![
            Just(StockCommand::Hold),
            Just(StockCommand::ReleaseHold),
            Just(StockCommand::Allocate),
            flags.prop_map(|(a, b, c)| StockCommand::Return(ReturnProof {
                never_revealed: a,
                never_downloaded: b,
                no_bundle: c
            })),
            Just(StockCommand::Substitute),
            Just(StockCommand::Quarantine),
            Just(StockCommand::CompleteDelivery),
            Just(StockCommand::Release),
            Just(StockCommand::TakeOver),
            Just(StockCommand::Retire),
        ]
    }

    #[test]
    fn the_whole_matrix() {
        insta::assert_snapshot!(crate::lifecycle_doc::stock_matrix());
    }

    #[test]
    fn an_expired_profile_is_not_sold() {
        let state = StockState { status: StockStatus::Available, sell_by: at(100) };
        assert!(apply(state, StockCommand::Allocate, at(99)).is_ok());
        let error = apply(state, StockCommand::Allocate, at(100)).unwrap_err();
        assert_eq!(error.reason, TransitionRefusal::PastSellBy);
        assert!(apply(state, StockCommand::Retire, at(100)).is_ok());
    }

    proptest! {
        /// On sale again only with the whole proof; retired for ever; never two owners.
        #[test]
        fn random_walks_keep_the_promises(commands in prop::collection::vec(command(), 0..40)) {
            let mut state = StockState { status: StockStatus::Available, sell_by: at(i64::from(u32::MAX)) };
            for command in commands {
                let before = state.status;
                match apply(state, command, at(0)) {
                    Ok(transition) => {
                        prop_assert_eq!(transition.from, before);
                        prop_assert_ne!(before, StockStatus::Retired);
                        if before == StockStatus::Allocated && transition.to == StockStatus::Available {
                            let StockCommand::Return(proof) = command else {
                                return Err(TestCaseError::fail("returned without a proof"));
                            };
                            prop_assert!(proof.never_revealed && proof.never_downloaded && proof.no_bundle);
                        }
                        if transition.to == StockStatus::Allocated {
                            // A SIM that takes a sold line over was set aside for it.
                            let by_sale = matches!(before, StockStatus::Available | StockStatus::Held);
                            prop_assert!(by_sale || command == StockCommand::TakeOver);
                        }
                        state.status = transition.to;
                    }
                    Err(error) => {
                        prop_assert_eq!(error.from, before);
                        prop_assert_eq!(error.command, command.kind());
                    }
                }
            }
        }
    }
}
