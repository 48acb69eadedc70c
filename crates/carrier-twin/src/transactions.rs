//! Transactions of connectivity management: accepted at once, carried out a while later, well or not (§10.2 A10).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::line_operation::{LineEvent, LineOperation};
use crate::line_write::WriteBody;
use crate::reply::{Answer, Outcome, Problem};
use crate::schedule::{Due, later};
use crate::state::Twin;

/// Status of a transaction; the names of the final ones are assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TransactionStatus {
    /// Accepted.
    Pending,
    /// Carried out.
    Done,
    /// Not carried out; the line is as it was.
    Error,
}

/// Why a transaction ended in an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Code, in the spelling of problem titles.
    pub code: String,
    /// Text for people.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned() }
    }
}

/// An accepted line write.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transaction {
    /// `transactionId`, in the shape of a UUID.
    pub id: String,
    /// The SIM that was named in the request.
    pub iccid: String,
    /// What was asked for.
    pub operation: LineOperation,
    /// Status.
    pub status: TransactionStatus,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it ended in an error.
    pub failure: Option<Failure>,
    /// The request.
    #[serde(skip)]
    pub(crate) body: WriteBody,
    /// A script's decision that it fails.
    #[serde(skip)]
    doomed: Option<Failure>,
    /// What it came to, once known; it is told when the transaction ends.
    #[serde(skip)]
    outcome: Option<Result<(), Failure>>,
}

/// All transactions since the start or the last reset, and where to find them.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    list: Vec<Transaction>,
    by_id: BTreeMap<String, usize>,
    by_iccid: BTreeMap<String, Vec<usize>>,
}

impl Transactions {
    fn push(&mut self, transaction: Transaction) -> usize {
        let place = self.list.len();
        self.by_id.insert(transaction.id.clone(), place);
        self.by_iccid.entry(transaction.iccid.clone()).or_default().push(place);
        self.list.push(transaction);
        place
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Transaction> {
        self.list.get(place)
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id).and_then(|&place| self.list.get(place))
    }
}

impl Twin {
    /// The transactions, in the order accepted.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions.list
    }

    /// The transactions that named a SIM, in the order accepted. Those that have come due since the last request end
    /// with the next one.
    pub fn transactions_of(&self, iccid: &str) -> impl Iterator<Item = &Transaction> {
        let places = self.transactions.by_iccid.get(iccid).into_iter().flatten();
        places.filter_map(|&place| self.transactions.list.get(place))
    }

    pub(crate) fn has_pending(&self, iccid: &str) -> bool {
        self.transactions_of(iccid).any(|transaction| transaction.status == TransactionStatus::Pending)
    }

    /// Takes a checked write on.
    pub(crate) fn accept(
        &mut self,
        now: DateTime<Utc>,
        iccid: &str,
        operation: LineOperation,
        body: WriteBody,
    ) -> Answer {
        let place = self.transactions.push(Transaction {
            id: self.ids.uuid(),
            iccid: iccid.to_owned(),
            operation,
            status: TransactionStatus::Pending,
            accepted_at: now,
            ended_at: None,
            failure: None,
            body,
            doomed: self.late_failure.take(),
            outcome: None,
        });
        self.log.count_write(iccid, operation).accepted += 1;
        let reply = self.transactions.get(place).map(transaction_view).unwrap_or_default();
        if self.assumptions.line_event == LineEvent::BeforeAnswer {
            self.try_transaction(now, place);
        }
        let due = later(now, self.assumptions.transaction_delay_ms);
        self.schedule.add(due, Due::Transaction(place));
        Answer::json(201, reply)
    }

    /// `GET /connectivity-management/subscribers/api/transactions/{id}`.
    pub(crate) fn transaction_lookup(&self, id: &str) -> Outcome {
        let unknown = || Problem::new(404, "TRANSACTION_NOT_FOUND", "Transaction is unknown");
        self.transactions.find(id).map(|found| Answer::json(200, transaction_view(found))).ok_or_else(unknown)
    }

    /// Ends a transaction, carrying it out unless that was done within the write.
    pub(crate) fn end_transaction(&mut self, at: DateTime<Utc>, place: usize) {
        if self.transactions.get(place).is_some_and(|transaction| transaction.outcome.is_none()) {
            self.try_transaction(at, place);
        }
        let Some(transaction) = self.transactions.list.get_mut(place) else { return };
        let failure = transaction.outcome.take().and_then(Result::err);
        transaction.ended_at = Some(at);
        transaction.status =
            if failure.is_some() { TransactionStatus::Error } else { TransactionStatus::Done };
        let count = self.log.count_write(&transaction.iccid, transaction.operation);
        if failure.is_some() {
            count.failed += 1;
        } else {
            count.done += 1;
        }
        transaction.failure = failure;
    }

    fn try_transaction(&mut self, at: DateTime<Utc>, place: usize) {
        let Some(transaction) = self.transactions.list.get_mut(place) else { return };
        let outcome = match transaction.doomed.take() {
            Some(failure) => Err(failure),
            None => self.carry_out(at, place),
        };
        if outcome.is_err() && self.assumptions.failed_transaction_event {
            self.tell_failure(at, place);
        }
        if let Some(transaction) = self.transactions.list.get_mut(place) {
            transaction.outcome = Some(outcome);
        }
    }
}

/// A transaction as the carrier answers it. That an error has a code and a message is assumed.
fn transaction_view(transaction: &Transaction) -> Value {
    let mut view = json!({
        "transactionId": transaction.id,
        "simSerial": transaction.iccid,
        "transactionStatus": transaction.status,
    });
    if let (Some(fields), Some(failure)) = (view.as_object_mut(), &transaction.failure) {
        fields.insert("errorCode".to_owned(), json!(failure.code));
        fields.insert("errorMessage".to_owned(), json!(failure.message));
    }
    view
}

#[cfg(test)]
mod tests;
