//! Transactions: writes that were acknowledged, and what became of them (S3, S4, S5, S8).

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::assumptions::{StateCheck, TransactionProfile};
use super::fields::{Fields, Shape, body_object};
use super::outcome::success;
use super::records::Effect;
use super::state::{Due, SpsTwin};
use super::writes::{SpsWrite, StatusAction};
use crate::reply::{Answer, Outcome, Problem};
use crate::request::TwinRequest;
use crate::schedule::later;
use crate::scripts::CallName;
use crate::transactions::Failure;

/// Status of a transaction inside the twin; its words on the wire are assumptions (S3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SpsTransactionStatus {
    /// Acknowledged.
    Accepted,
    /// Being carried out.
    InProgress,
    /// Carried out.
    Completed,
    /// Not carried out; nothing has changed.
    Failed,
}

impl SpsTransactionStatus {
    /// Whether it stays so.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// A write that was acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpsTransaction {
    /// `partnerTransactionId`.
    pub id: String,
    /// Which write.
    pub call: CallName,
    /// Body of the request.
    pub body: Value,
    /// Status.
    pub status: SpsTransactionStatus,
    /// The line's SIM: as named, or as the subscription has it after a completed activation or change.
    pub iccid: Option<String>,
    /// The line's number.
    pub gpsi: Option<String>,
    /// How often the write was acknowledged, repeats included.
    pub acknowledged: u64,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What the body asks for.
    #[serde(skip)]
    pub(super) write: SpsWrite,
    /// A script's decision that it fails.
    #[serde(skip)]
    doomed: Option<Failure>,
}

/// What a completed write has done.
pub(super) struct Done {
    /// SIM of the line before.
    pub(super) named: String,
    /// SIM of the line now.
    pub(super) iccid: String,
    /// What happened.
    pub(super) effect: Effect,
    /// Whether its notification has the SIM's activation code.
    pub(super) code: bool,
}

/// All transactions since the start or the last reset, and where to find them.
#[derive(Debug, Default)]
pub(super) struct SpsTransactions {
    list: Vec<SpsTransaction>,
    by_id: BTreeMap<String, usize>,
    by_iccid: BTreeMap<String, Vec<usize>>,
}

impl SpsTransactions {
    fn push(&mut self, transaction: SpsTransaction) -> usize {
        let place = self.list.len();
        self.by_id.insert(transaction.id.clone(), place);
        if let Some(iccid) = &transaction.iccid {
            self.by_iccid.entry(iccid.clone()).or_default().push(place);
        }
        self.list.push(transaction);
        place
    }

    pub(super) fn get(&self, place: usize) -> Option<&SpsTransaction> {
        self.list.get(place)
    }
}

impl SpsTwin {
    /// The transactions, in the order accepted.
    pub fn transactions(&self) -> &[SpsTransaction] {
        &self.transactions.list
    }

    /// A transaction by its `partnerTransactionId`.
    pub fn transaction(&self, id: &str) -> Option<&SpsTransaction> {
        self.transactions.by_id.get(id).and_then(|&place| self.transactions.list.get(place))
    }

    /// The transactions that named a SIM or the line of a SIM, in the order accepted.
    pub fn transactions_of(&self, iccid: &str) -> impl Iterator<Item = &SpsTransaction> {
        let places = self.transactions.by_iccid.get(iccid).into_iter().flatten();
        places.filter_map(|&place| self.transactions.list.get(place))
    }

    /// Takes a write.
    pub(super) fn write(&mut self, now: DateTime<Utc>, call: CallName, request: &TwinRequest) -> Outcome {
        let object = body_object(request)?;
        let strict = self.assumptions.strict();
        let id = Fields::new(&object, strict).required("partnerTransactionId", Shape::TRANSACTION_ID)?;
        let write = SpsWrite::read(call, &object, strict)?;
        let body = Value::Object(object);
        if let Some(place) = self.transactions.by_id.get(&id).copied() {
            return self.repeat(place, call, &body);
        }
        let reactivation = matches!(write, SpsWrite::Status { action: StatusAction::Reactivate, .. });
        if reactivation && !self.assumptions.reactivate_accepted {
            return Err(Problem::bad_request("action must be one of Suspend, Resume, Cease"));
        }
        let (iccid, gpsi) = self.line_of(&write);
        let busy = |iccid: &String| self.transactions_of(iccid).any(|found| !found.status.is_final());
        if self.assumptions.one_transaction_per_line && iccid.as_ref().is_some_and(busy) {
            return Err(self.conflict("TRANSACTION_PENDING", "The line has a transaction that has not ended"));
        }
        if self.assumptions.state_check == StateCheck::Synchronous {
            self.check(&write)?;
        }
        let place = self.transactions.push(SpsTransaction {
            id,
            call,
            body,
            status: SpsTransactionStatus::Accepted,
            iccid,
            gpsi,
            acknowledged: 1,
            accepted_at: now,
            ended_at: None,
            failure: None,
            write,
            doomed: self.late_failure.take(),
        });
        self.plan(now, place);
        Ok(success())
    }

    /// A write whose id is known (S8).
    fn repeat(&mut self, place: usize, call: CallName, body: &Value) -> Outcome {
        let acknowledged = self.assumptions.repeats_acknowledged;
        match self.transactions.list.get_mut(place) {
            Some(known) if acknowledged && known.call == call && known.body == *body => {
                known.acknowledged += 1;
                Ok(success())
            }
            _ => Err(Problem::new(409, "DUPLICATE_TRANSACTION", "partnerTransactionId is in use")),
        }
    }

    /// The SIM and the number of the line that a write is about, as far as they are known.
    fn line_of(&self, write: &SpsWrite) -> (Option<String>, Option<String>) {
        let found = match write {
            SpsWrite::Activate(activation) => return (activation.iccid.clone(), activation.gpsi.clone()),
            SpsWrite::Status { line, .. } => self.subscription_of(line),
            SpsWrite::Change(change) => self.subscription_of(&change.line),
            SpsWrite::BlockList { gpsi, .. } => self.subscription_of_gpsi(gpsi),
        };
        found.map(|found| (Some(found.iccid.clone()), Some(found.gpsi.clone()))).unwrap_or_default()
    }

    fn plan(&mut self, now: DateTime<Utc>, place: usize) {
        if self.assumptions.notification_before_ack {
            self.end_transaction(now, place);
            self.hold = Duration::from_millis(self.assumptions.ack_hold_ms);
            return;
        }
        self.schedule.add(later(now, self.assumptions.pickup_delay_ms), Due::PickUp(place));
        self.schedule.add(later(now, self.assumptions.completion_delay_ms), Due::End(place));
    }

    pub(super) fn pick_up(&mut self, place: usize) {
        if let Some(transaction) = self.transactions.list.get_mut(place)
            && transaction.status == SpsTransactionStatus::Accepted
        {
            transaction.status = SpsTransactionStatus::InProgress;
        }
    }

    /// Ends a transaction: carries it out unless the state has changed since, or a script forbids it.
    pub(super) fn end_transaction(&mut self, at: DateTime<Utc>, place: usize) {
        let Some(transaction) = self.transactions.list.get_mut(place) else { return };
        // The effect happens once, however often an end is due.
        if transaction.status.is_final() {
            return;
        }
        let write = transaction.write.clone();
        let outcome = match transaction.doomed.take() {
            Some(failure) => Err(failure),
            None => self.carry_out(at, &write),
        };
        let Some(transaction) = self.transactions.list.get_mut(place) else { return };
        transaction.ended_at = Some(at);
        let mut code_of = None;
        match outcome {
            Ok(done) => {
                transaction.status = SpsTransactionStatus::Completed;
                if transaction.iccid.as_ref() != Some(&done.iccid) {
                    transaction.iccid = Some(done.iccid.clone());
                    self.transactions.by_iccid.entry(done.iccid.clone()).or_default().push(place);
                }
                self.records.count_effect(&done.named, done.effect);
                code_of = done.code.then_some(done.iccid);
            }
            Err(failure) => {
                transaction.status = SpsTransactionStatus::Failed;
                transaction.failure = Some(failure);
            }
        }
        self.tell_end(at, place, code_of.as_deref());
    }

    fn carry_out(&mut self, at: DateTime<Utc>, write: &SpsWrite) -> Result<Done, Failure> {
        let failed = |problem: &Problem| Failure::new(&problem.title, &problem.detail);
        self.check(write).map_err(|problem| failed(&problem))?;
        let done = match write {
            SpsWrite::Activate(activation) => self.activate(at, activation),
            SpsWrite::Status { line, action } => self.update_status(at, line, *action),
            SpsWrite::Change(change) => self.change_line(at, change),
            SpsWrite::BlockList { gpsi, pei, add } => self.change_block_list(gpsi, pei, *add),
        };
        done.map_err(|problem| failed(&problem))
    }

    /// Whether the present state takes a write.
    fn check(&self, write: &SpsWrite) -> Result<(), Problem> {
        match write {
            SpsWrite::Activate(activation) => self.check_activation(activation),
            SpsWrite::Status { line, action } => self.check_status(line, *action),
            SpsWrite::Change(change) => self.check_change(change),
            SpsWrite::BlockList { gpsi, .. } => self.check_block_list(gpsi),
        }
    }

    pub(super) fn conflict(&self, code: &str, message: &str) -> Problem {
        Problem::new(self.assumptions.conflict_status, code, message)
    }

    pub(super) fn unknown(&self, code: &str, message: &str) -> Problem {
        Problem::new(self.assumptions.unknown_status, code, message)
    }

    /// `GET /transaction/status/{partnerTransactionId}`.
    pub(super) fn transaction_status(&self, id: &str) -> Outcome {
        let id = Shape::TRANSACTION_ID.take("partnerTransactionId", id.to_owned())?;
        let unknown = || self.unknown("TRANSACTION_NOT_FOUND", "Transaction is unknown");
        let transaction = self.transaction(&id).ok_or_else(unknown)?;
        if self.assumptions.transaction_profile == TransactionProfile::SeedLiteral {
            return Ok(success());
        }
        let assumptions = &self.assumptions;
        let word = match transaction.status {
            SpsTransactionStatus::Accepted => &assumptions.accepted_word,
            SpsTransactionStatus::InProgress => &assumptions.in_progress_word,
            SpsTransactionStatus::Completed => &assumptions.completed_word,
            SpsTransactionStatus::Failed => &assumptions.failed_word,
        };
        let mut view = json!({ "status": word });
        if assumptions.status_has_reason {
            add_reason(&mut view, transaction.failure.as_ref());
        }
        Ok(Answer::json(200, view))
    }
}

/// Why a transaction failed, in fields whose names are assumed.
pub(super) fn add_reason(view: &mut Value, failure: Option<&Failure>) {
    if let (Some(fields), Some(failure)) = (view.as_object_mut(), failure) {
        fields.insert("reasonCode".to_owned(), json!(failure.code));
        fields.insert("reasonDesc".to_owned(), json!(failure.message));
    }
}

#[cfg(test)]
mod tests;
