//! What arrived and what it did, for tests: every write with its body and time, and how often each effect happened.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gateway::is_write;
use super::state::SpsTwin;
use crate::request::TwinRequest;
use crate::requests::RecordedRequest;
use crate::scripts::{CallName, Fault};

/// How many writes are remembered, at least; older ones are forgotten so that a long run does not fill the memory.
const MAX_WRITES: usize = 100_000;

/// What a completed write did to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Put it in service.
    Activate,
    /// Suspended it.
    Suspend,
    /// Ended the suspension.
    Resume,
    /// Ended it.
    Cease,
    /// Put it in service again.
    Reactivate,
    /// Gave it another device, another SIM or both.
    Change,
    /// Put a device on the blocklist at its request.
    Block,
    /// Took one off.
    Unblock,
}

/// A write that arrived, whatever became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReceivedWrite {
    /// `partnerTransactionId`, when the body has one.
    pub id: Option<String>,
    /// Which write.
    pub call: CallName,
    /// Body; `null` when it is not JSON.
    pub body: Value,
    /// The twin's time.
    pub at: DateTime<Utc>,
    /// Status of the answer; `None` when the connection was dropped.
    pub status: Option<u16>,
}

/// The memory of a twin.
#[derive(Debug, Default)]
pub(super) struct Records {
    received: Vec<ReceivedWrite>,
    effects: BTreeMap<String, BTreeMap<Effect, u64>>,
}

impl Records {
    pub(super) fn count_effect(&mut self, iccid: &str, effect: Effect) {
        *self.effects.entry(iccid.to_owned()).or_default().entry(effect).or_default() += 1;
    }
}

impl SpsTwin {
    /// The writes that arrived, oldest first; at least the last hundred thousand.
    pub fn received(&self) -> &[ReceivedWrite] {
        &self.records.received
    }

    /// The writes that arrived under one `partnerTransactionId`.
    pub fn received_as(&self, id: &str) -> impl Iterator<Item = &ReceivedWrite> {
        self.records.received.iter().filter(move |write| write.id.as_deref() == Some(id))
    }

    /// How often something happened to the line of a SIM; a change of SIM counts under the SIM before.
    pub fn effects(&self, iccid: &str, effect: Effect) -> u64 {
        self.records.effects.get(iccid).and_then(|counts| counts.get(&effect)).copied().unwrap_or_default()
    }

    /// The counts of every line that something happened to, in the order of the ICCIDs.
    pub fn all_effects(&self) -> &BTreeMap<String, BTreeMap<Effect, u64>> {
        &self.records.effects
    }

    /// The requests so far, oldest first; at least the last hundred thousand.
    pub fn requests(&self) -> &[RecordedRequest] {
        self.log.kept()
    }

    /// How many requests of a call have arrived; [`CallName::Any`] counts all.
    pub fn calls(&self, call: CallName) -> u64 {
        self.log.count(call)
    }

    pub(super) fn record(
        &mut self,
        at: DateTime<Utc>,
        request: &TwinRequest,
        call: Option<CallName>,
        status: Option<u16>,
        fault: Option<Fault>,
    ) {
        let Some(write) = call.filter(|call| is_write(*call)) else {
            self.log.keep(at, request, call, (status, fault), None);
            return;
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let id = body.get("partnerTransactionId").and_then(Value::as_str).map(str::to_owned);
        let received = &mut self.records.received;
        if received.len() >= MAX_WRITES * 2 {
            received.drain(..MAX_WRITES);
        }
        received.push(ReceivedWrite { id, call: write, body: body.clone(), at, status });
        self.log.keep(at, request, call, (status, fault), Some(body));
    }
}
