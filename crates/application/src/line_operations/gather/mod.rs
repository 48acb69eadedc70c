//! What must be known before a command is sent: how the line stands, and whether an earlier sending was taken.

mod activation;
mod bundle;
mod device;
mod line;

use serde_json::json;
use simdepot_domain::carrier::{
    Carrier, Concern, Numbering, ReadError, Refusal, TransactionReading, Unavailable,
};
use simdepot_domain::line::{Judgement, LineStanding, SuspendedBy};
use simdepot_domain::operation::OperationRequest;
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::Profile;

use super::outcome::Done;
use super::shown::{Shown, shown};
use super::{Known, Order};
use crate::depot::{Account, Depot};
use crate::error::AppError;
use crate::observations::Sightings;

pub(super) use bundle::Wanted;

/// What follows from what was read.
#[derive(Debug, Clone)]
pub(super) enum Decision {
    /// Send, with what was known before.
    Send(Box<(Order, Known)>),
    /// It is so already, by an earlier sending: nothing is to be sent.
    Reached(Box<Done>),
    /// An earlier sending was taken, and the carrier works on it: nothing is to be sent.
    Taken(String),
    /// Try again later; nothing was sent.
    Defer(Unavailable),
    /// It cannot be done; nothing was sent.
    Refuse(Refusal),
    /// Its order is being taken back, and the carrier has nothing of it.
    Cancel,
    /// What it needs cannot be read from our own tables.
    Unpreparable,
}

/// An operation with what was read for it.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub(super) operation: Operation,
    pub(super) seen: Sightings,
    pub(super) decision: Decision,
}

/// An operation about to be prepared, with what is known of it.
pub(super) struct Preparing<'a> {
    pub(super) depot: &'a Depot,
    pub(super) account: &'a Account,
    pub(super) operation: &'a Operation,
    pub(super) profile: &'a Profile,
    /// Who stopped the line, as far as was known before.
    pub(super) suspended_by: Option<SuspendedBy>,
    /// Its order is being taken back.
    pub(super) cancelling: bool,
}

impl Preparing<'_> {
    /// Reads what must be known and decides.
    pub(super) async fn gather(&self) -> Result<Gathered, AppError> {
        let (seen, decision) = match self.earlier().await {
            Some(decision) => (Sightings::default(), decision),
            None => self.prepare().await?,
        };
        Ok(Gathered { operation: self.operation.clone(), seen, decision })
    }

    fn carrier(&self) -> &dyn Carrier {
        self.account.carrier.as_ref()
    }

    /// What is decided without looking at the line: by the order, and by what became of an earlier sending.
    async fn earlier(&self) -> Option<Decision> {
        if self.operation.answer_lost
            && let Some(decision) = self.asked_for().await
        {
            return Some(decision);
        }
        if self.operation.answer_lost
            && let Some(decision) = self.reached().await
        {
            return Some(decision);
        }
        self.cancelling.then_some(Decision::Cancel)
    }

    /// What the carrier says of an earlier sending, when we have numbered it.
    async fn asked_for(&self) -> Option<Decision> {
        if self.carrier().numbering() != Numbering::Ours {
            return None;
        }
        let id = self.operation.id.to_string();
        match self.carrier().transaction(&id).await {
            // The same number is the same command: it may be sent again.
            Ok(None) | Err(ReadError::Denied { .. }) => None,
            Ok(Some(TransactionReading::Done)) => {
                let evidence = json!({ "source": "transaction", "transaction": id });
                let shown = shown(self.carrier(), self.operation, self.profile).await;
                let shown = shown.unwrap_or_else(|_| Shown::nothing());
                Some(Decision::Reached(Box::new(shown.proven("transaction_done", evidence))))
            }
            Ok(Some(reading)) => Some(Decision::Taken(format!("the carrier knows it: {}", word(&reading)))),
            Err(ReadError::Unavailable(why)) => Some(Decision::Defer(why)),
            Err(ReadError::Unreadable { what }) => Some(later(what)),
        }
    }

    /// Whether the line shows that an earlier sending was taken.
    async fn reached(&self) -> Option<Decision> {
        match shown(self.carrier(), self.operation, self.profile).await {
            Ok(shown) if shown.judgement == Judgement::Reached => {
                Some(Decision::Reached(Box::new(shown.found())))
            }
            Ok(_) | Err(ReadError::Denied { .. }) => None,
            Err(ReadError::Unavailable(why)) => Some(Decision::Defer(why)),
            Err(ReadError::Unreadable { what }) => Some(later(what)),
        }
    }

    async fn prepare(&self) -> Result<(Sightings, Decision), AppError> {
        match &self.operation.request {
            OperationRequest::Line { command } => self.line(command).await,
            OperationRequest::ChangeBundle { subscription_id, product, change } => {
                let wanted = Wanted { subscription_id, product, change: *change };
                Ok((Sightings::default(), self.bundle(&wanted).await))
            }
            OperationRequest::ActivateSubscription { terms } => Ok(self.activation(terms).await),
            OperationRequest::ChangeDevice { change } => Ok(self.device_change(change).await),
            OperationRequest::BlockDevice { imei, block } => Ok(self.device_block(imei, *block).await),
            OperationRequest::PlaceBundle { .. } => {
                Err(AppError::Internal(format!("operation {} is a sold product", self.operation.id)))
            }
        }
    }

    /// What was known before the first sending; `now` is how the line stands.
    fn known(&self, now: LineStanding) -> Known {
        if self.operation.answer_lost {
            return Known::of(self.operation).for_another_sending();
        }
        Known { before: now, ..Known::default() }
    }

    /// As [`Preparing::known`], for a command whose end the carrier may show already.
    async fn known_of_device(&self, now: LineStanding) -> Known {
        let known = self.known(now);
        if self.operation.answer_lost {
            return known;
        }
        let shown = shown(self.carrier(), self.operation, self.profile).await;
        Known { shown_before: shown.is_ok_and(|shown| shown.judgement == Judgement::Reached), ..known }
    }
}

fn word(reading: &TransactionReading) -> &str {
    match reading {
        TransactionReading::Pending => "pending",
        TransactionReading::Done => "done",
        TransactionReading::Failed(_) => "failed",
        TransactionReading::Unrecognised { status } => status,
    }
}

fn later(reason: String) -> Decision {
    Decision::Defer(Unavailable { reason, retry_after_ms: None })
}

fn not_in_status(detail: String) -> Decision {
    Decision::Refuse(Refusal {
        code: "invalid-transition".to_owned(),
        detail: Some(detail),
        concerns: Concern::LineStatus,
    })
}
