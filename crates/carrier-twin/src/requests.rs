//! What arrived: the requests themselves, as many as fit, and counts that are never forgotten.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::gateway::Route;
use crate::line::is_sim_serial;
use crate::line_operation::LineOperation;
use crate::request::TwinRequest;
use crate::scripts::{CallName, Fault};
use crate::state::Twin;

/// How many requests are remembered; older ones are forgotten so that a long benchmark does not fill the memory.
const MAX_REQUESTS: usize = 100_000;

/// A request that the twin has answered or dropped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedRequest {
    /// 1 for the first request since the start or the last reset.
    pub number: u64,
    /// The twin's time.
    pub at: DateTime<Utc>,
    /// Method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query without `?`.
    pub query: String,
    /// Which API; `None` for an unknown URL.
    pub call: Option<CallName>,
    /// Status of the answer; `None` when the connection was dropped.
    pub status: Option<u16>,
    /// The fault that a script chose.
    pub fault: Option<Fault>,
    /// Body of a write: an order, a line write, an activation, a change.
    pub body: Option<Value>,
}

/// How often one operation was asked of one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WriteCount {
    /// Requests that reached the twin, refused and dropped ones included.
    pub arrived: u64,
    /// Transactions that they made.
    pub accepted: u64,
    /// Transactions that ended well.
    pub done: u64,
    /// Transactions that ended in an error.
    pub failed: u64,
}

/// The requests of a twin of either carrier, and how often each call arrived.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    kept: Vec<RecordedRequest>,
    seen: u64,
    calls: BTreeMap<CallName, u64>,
}

impl CallLog {
    /// The requests so far, oldest first.
    pub(crate) fn kept(&self) -> &[RecordedRequest] {
        &self.kept
    }

    /// How many requests of a call have arrived; [`CallName::Any`] counts all.
    pub(crate) fn count(&self, call: CallName) -> u64 {
        if call == CallName::Any { self.seen } else { self.calls.get(&call).copied().unwrap_or_default() }
    }

    pub(crate) fn counts(&self) -> &BTreeMap<CallName, u64> {
        &self.calls
    }

    /// Remembers a request, with its body when there is one to keep.
    pub(crate) fn keep(
        &mut self,
        at: DateTime<Utc>,
        request: &TwinRequest,
        call: Option<CallName>,
        (status, fault): (Option<u16>, Option<Fault>),
        body: Option<Value>,
    ) {
        self.seen += 1;
        if let Some(call) = call {
            *self.calls.entry(call).or_default() += 1;
        }
        if self.kept.len() >= MAX_REQUESTS * 2 {
            self.kept.drain(..MAX_REQUESTS);
        }
        self.kept.push(RecordedRequest {
            number: self.seen,
            at,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            call,
            status,
            fault,
            body,
        });
    }
}

/// The requests of a twin.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    calls: CallLog,
    writes: BTreeMap<String, BTreeMap<LineOperation, WriteCount>>,
}

impl RequestLog {
    pub(crate) fn count_write(&mut self, iccid: &str, operation: LineOperation) -> &mut WriteCount {
        self.writes.entry(iccid.to_owned()).or_default().entry(operation).or_default()
    }
}

impl Twin {
    /// The requests so far, oldest first; at least the last hundred thousand.
    pub fn requests(&self) -> &[RecordedRequest] {
        self.log.calls.kept()
    }

    /// How many requests of a call have arrived; [`CallName::Any`] counts all.
    pub fn calls(&self, call: CallName) -> u64 {
        self.log.calls.count(call)
    }

    /// How often each call has arrived.
    pub fn call_counts(&self) -> &BTreeMap<CallName, u64> {
        self.log.calls.counts()
    }

    /// How often an operation was asked of a line; found without a scan.
    pub fn line_writes(&self, iccid: &str, operation: LineOperation) -> WriteCount {
        let of_line = self.log.writes.get(iccid);
        of_line.and_then(|counts| counts.get(&operation)).copied().unwrap_or_default()
    }

    /// The counts of every line that something was asked of, in the order of the ICCIDs.
    pub fn all_line_writes(&self) -> impl Iterator<Item = (&str, LineOperation, WriteCount)> {
        self.log.writes.iter().flat_map(|(iccid, counts)| {
            counts.iter().map(move |(operation, count)| (iccid.as_str(), *operation, *count))
        })
    }

    /// The counts of one line.
    pub(crate) fn writes_of(&self, iccid: &str) -> impl Iterator<Item = (LineOperation, WriteCount)> {
        let counts = self.log.writes.get(iccid).into_iter().flatten();
        counts.map(|(operation, count)| (*operation, *count))
    }

    pub(crate) fn record(
        &mut self,
        at: DateTime<Utc>,
        request: &TwinRequest,
        route: Option<&Route>,
        status: Option<u16>,
        fault: Option<Fault>,
    ) {
        let log = &mut self.log;
        let call = route.map(Route::call);
        if let Some(Route::LineWrite { iccid, operation }) = route
            && request.method == operation.method()
            && is_sim_serial(iccid)
        {
            log.count_write(iccid, *operation).arrived += 1;
        }
        let has_body = matches!(call, Some(CallName::Order | CallName::LineWrite));
        let body = has_body.then(|| serde_json::from_slice(&request.body).ok()).flatten();
        log.calls.keep(at, request, call, (status, fault), body);
    }
}
