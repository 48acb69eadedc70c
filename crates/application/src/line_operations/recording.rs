//! Recording how one command ended, or how far it has come, in the caller's transaction: the operation, what is learned of
//! the line, and what that means for stock, order and bundles.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::{CommandReceipt, Commanded, Concern, Refusal, Unavailable};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineAction;
use simdepot_domain::operation::{BundleCommand, OperationRequest, OperationStatus, OperationStep};
use simdepot_domain::order::ProfileOutcome;
use simdepot_persistence::bundles::BundleChange;
use simdepot_persistence::operations::{self, Operation, OperationChange};
use simdepot_persistence::{Conn, bundles, profiles};
use uuid::Uuid;

use super::outcome::{Done, Ended};
use super::swap;
use super::{Known, books};
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::Sightings;
use crate::operations::deferral::{LONGEST_PAUSE, TRIES, backoff};
use crate::operations::writes::{change_bundle, change_operation, lock_order, step as next};

/// When an accepted command is first asked for.
const FIRST_LOOK: TimeDelta = TimeDelta::seconds(1);

/// A sent command whose process died: its answer is lost.
///
/// # Errors
/// When the store refuses, or the operation changed.
pub(crate) fn mark_unknown(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    reason: &str,
) -> Result<(), AppError> {
    lock_order(conn, operation)?;
    let now = conn.now()?;
    Recording { depot, operation, token: None, now }.lose(conn, reason, None)
}

/// One operation about to be changed.
pub(super) struct Recording<'a> {
    pub(super) depot: &'a Depot,
    pub(super) operation: &'a Operation,
    pub(super) token: Option<Uuid>,
    pub(super) now: DateTime<Utc>,
}

impl Recording<'_> {
    pub(super) fn record(&self, conn: &mut Conn<'_>, ended: &Ended) -> Result<(), AppError> {
        if !matches!(ended, Ended::LookAgain(..)) {
            // Before the operation, as whoever applies an event does; before both the order, whose place stands like it.
            lock_order(conn, self.operation)?;
            profiles::lock(conn, self.operation.profile_id)?;
        }
        match ended {
            Ended::Answer(Commanded::Done(CommandReceipt::Accepted { transaction })) => {
                self.accept(conn, transaction.as_deref())
            }
            Ended::Answer(Commanded::Done(CommandReceipt::Done { reference })) => {
                let evidence = json!({ "source": "answer", "reference": reference });
                self.done(conn, &Done::by("answered", evidence, Sightings::default()))
            }
            Ended::Answer(Commanded::Refused(refusal)) => self.refused(conn, refusal, &Sightings::default()),
            Ended::Answer(Commanded::NotTaken(why)) | Ended::NotTaken(why) => self.put_off(conn, why),
            Ended::Answer(Commanded::Unknown(lost)) => {
                self.lose(conn, &lost.reason, lost.taken_as.as_deref())
            }
            Ended::Cancelled => self.cancel(conn),
            Ended::Refused(refusal, seen) => self.refused(conn, refusal, seen),
            Ended::Failed(refusal, seen) if self.is_sale() => self.refuse_sale(conn, refusal, seen),
            Ended::Failed(refusal, seen) => {
                self.learn(conn, seen)?;
                self.refuse(conn, refusal, None)
            }
            Ended::Done(done) => self.done(conn, done),
            Ended::LookAgain(known, at) => self.look_again(conn, known, *at),
            Ended::SendAgain => self.send_again(conn),
            Ended::GiveUp { code, detail, known } => self.give_up(conn, code, detail, known),
        }
    }

    fn iccid(&self, conn: &mut Conn<'_>) -> Result<Iccid, AppError> {
        Ok(profiles::get(conn, self.operation.profile_id)?.iccid)
    }

    pub(super) fn change(
        &self,
        conn: &mut Conn<'_>,
        change: &OperationChange,
        code: Option<&str>,
    ) -> Result<(), AppError> {
        let iccid = self.iccid(conn)?;
        let code = code.map(str::to_owned);
        change_operation(conn, self.depot, self.operation, self.token, change, &iccid, code, self.now)
    }

    /// The carrier works on it. An event that came before the answer is a hint by then: it is asked for at once.
    fn accept(&self, conn: &mut Conn<'_>, transaction: Option<&str>) -> Result<(), AppError> {
        let current = operations::find(conn, self.operation.id)?;
        let told = current.is_some_and(|operation| !operation.hints.is_empty());
        let look_at = if told { self.now } else { self.now + FIRST_LOOK };
        let change = OperationChange {
            carrier_reference: transaction.map(str::to_owned),
            resolve_after: Some(look_at),
            ..OperationChange::to(next(self.operation, OperationStep::Accept)?)
        };
        self.change(conn, &change, None)
    }

    pub(super) fn done(&self, conn: &mut Conn<'_>, done: &Done) -> Result<(), AppError> {
        let Done { evidence, code, seen, successor, reason, moved_to } = done;
        let new_iccid = match self.successor(conn, moved_to.as_ref())? {
            Ok(new_iccid) => new_iccid,
            Err(missing) => return self.successor_missing(conn, missing, moved_to.as_ref()),
        };
        let change = OperationChange {
            evidence: Some(evidence.clone()),
            reason: reason.clone(),
            ..OperationChange::to(next(self.operation, OperationStep::Complete)?)
        };
        self.change(conn, &change, Some(code))?;
        let seen = match &self.operation.request {
            OperationRequest::Line { command } => self.with_what_was_asked(conn, command, seen)?,
            OperationRequest::ActivateSubscription { terms } => self.with_subscription(conn, terms, seen)?,
            _ => seen.clone(),
        };
        self.learn(conn, &seen)?;
        if let Some(new_iccid) = &new_iccid {
            swap::swap(conn, self.depot, self.operation, new_iccid, successor)?;
        }
        if matches!(
            self.operation.request,
            OperationRequest::ChangeBundle { change: BundleCommand::Terminate, .. }
        ) {
            self.end_bundle(conn)?;
        }
        // It has nothing to do with the line's service: a profile on sale goes back on sale.
        if matches!(self.operation.request, OperationRequest::BlockDevice { .. }) {
            books::give_back(conn, self.depot, self.operation)?;
        }
        self.place(conn, ProfileOutcome::Fulfilled)
    }

    /// An event may have told of its end before.
    fn end_bundle(&self, conn: &mut Conn<'_>) -> Result<(), AppError> {
        let bundle = self.operation.bundle.map(|id| bundles::find(conn, id)).transpose()?.flatten();
        if bundle.is_none_or(|bundle| bundle.status.is_final()) {
            return Ok(());
        }
        let iccid = self.iccid(conn)?;
        let ended = BundleChange { status: Some(BundleStatus::Terminated), ..BundleChange::default() };
        change_bundle(conn, self.depot, self.operation, &ended, &iccid, self.now)
    }

    /// The carrier surely has not taken it. After too long it fails.
    fn put_off(&self, conn: &mut Conn<'_>, why: &Unavailable) -> Result<(), AppError> {
        let (operation, work) = (self.operation, &self.depot.work);
        let waited = self.now - operation.waiting_since.unwrap_or(self.now);
        if waited > work.give_up && operation.deferrals >= TRIES {
            let code = "carrier_unavailable".to_owned();
            let detail = Some(why.reason.clone());
            let refusal = Refusal { code, detail, concerns: Concern::Account };
            return self.refused(conn, &refusal, &Sightings::default());
        }
        let asked = why.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).map(TimeDelta::milliseconds);
        let asked = asked.unwrap_or_default().min(LONGEST_PAUSE);
        let pause = backoff(operation.deferrals, work.backoff_cap, self.depot.ids.uuid()).max(asked);
        if operation.status == OperationStatus::Pending {
            let Some(token) = self.token else {
                return Ok(());
            };
            return Ok(operations::put_off(conn, operation, token, self.now + pause)?);
        }
        let change = OperationChange {
            deferred_to: Some(self.now + pause),
            ..OperationChange::to(next(operation, OperationStep::PutBack)?)
        };
        self.change(conn, &change, Some("not_taken"))
    }

    pub(super) fn lose(
        &self,
        conn: &mut Conn<'_>,
        reason: &str,
        taken_as: Option<&str>,
    ) -> Result<(), AppError> {
        tracing::warn!(operation = %self.operation.id, reason, "the answer to a command is lost; not sent again");
        let change = OperationChange {
            problem: Some(json!({ "code": "answer_lost", "detail": reason })),
            // How the line stood before is what it is compared with.
            resolution: Some(Known::of(self.operation).document()?),
            ..OperationChange::to(next(self.operation, OperationStep::Lose)?)
        };
        self.change(conn, &change, Some("answer_lost"))?;
        if let Some(hint) = taken_as {
            operations::add_hint(conn, self.operation.id, hint)?;
        }
        self.place(conn, ProfileOutcome::Unknown)
    }

    fn look_again(&self, conn: &mut Conn<'_>, known: &Known, at: DateTime<Utc>) -> Result<(), AppError> {
        let Some(token) = self.token else {
            return Ok(());
        };
        Ok(operations::look_again(conn, self.operation, token, &known.document()?, at)?)
    }

    fn send_again(&self, conn: &mut Conn<'_>) -> Result<(), AppError> {
        tracing::info!(operation = %self.operation.id, "a lost answer was found out: surely not taken; sent again");
        // Not the first time: the carrier is left alone for a while.
        let again = self.operation.attempts.saturating_sub(1);
        let pause =
            if again == 0 { TimeDelta::zero() } else { backoff(again, LONGEST_PAUSE, self.depot.ids.uuid()) };
        let change = OperationChange {
            deferred_to: Some(self.now + pause),
            resolution: Some(Known::of(self.operation).for_another_sending().document()?),
            ..OperationChange::to(next(self.operation, OperationStep::PutBack)?)
        };
        self.change(conn, &change, Some("surely_not_taken"))?;
        self.place(conn, ProfileOutcome::Pending)
    }

    fn give_up(&self, conn: &mut Conn<'_>, code: &str, detail: &str, known: &Known) -> Result<(), AppError> {
        tracing::error!(operation = %self.operation.id, code, "a command cannot be decided; a person must");
        let operation = Operation { resolution: Some(known.document()?), ..self.operation.clone() };
        let recording = Recording { operation: &operation, ..*self };
        recording.needs_person(conn, json!({ "code": code, "detail": detail }), code)
    }

    pub(super) fn needs_person(
        &self,
        conn: &mut Conn<'_>,
        problem: Json,
        code: &str,
    ) -> Result<(), AppError> {
        let operation = self.operation;
        let evidence = json!({
            "sent_at": operation.sent_at,
            "first_sent_at": operation.first_sent_at,
            "reads": operation.reads,
            "hints": operation.hints,
            "known": operation.resolution,
        });
        let change = OperationChange {
            problem: Some(problem),
            evidence: Some(evidence),
            resolution: operation.resolution.clone(),
            ..OperationChange::to(next(operation, OperationStep::GiveUp)?)
        };
        self.change(conn, &change, Some(code))?;
        self.place(conn, ProfileOutcome::NeedsAttention)
    }
}

/// The action of a line command.
pub(super) fn action_of(operation: &Operation) -> Option<LineAction> {
    match &operation.request {
        OperationRequest::Line { command } => Some(command.action()),
        OperationRequest::PlaceBundle { .. }
        | OperationRequest::ChangeBundle { .. }
        | OperationRequest::ActivateSubscription { .. }
        | OperationRequest::ChangeDevice { .. }
        | OperationRequest::BlockDevice { .. } => None,
    }
}
