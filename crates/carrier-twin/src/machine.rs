//! What the HTTP shell, the server and the courier need of a twin, whichever carrier it plays.

use chrono::{DateTime, Utc};

use crate::reply::TwinReply;
use crate::request::TwinRequest;
use crate::state::Twin;
use crate::webhook::Delivery;

/// A twin as its shell sees it: requests in, answers and events out, all at the times that the caller gives.
pub trait Machine: Send + 'static {
    /// Answers a request.
    fn handle(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> TwinReply;

    /// The next event whose time has come. It counts as under way until [`Machine::delivery_ended`].
    fn next_delivery(&mut self, now: DateTime<Utc>) -> Option<Delivery>;

    /// Takes the status that the webhook answered with, `None` when there was no answer. Returns whether the event is
    /// delivered.
    fn delivery_ended(&mut self, now: DateTime<Utc>, ticket: u64, status: Option<u16>) -> bool;

    /// Whether no further event is sent because the webhook stayed down.
    fn stream_is_suspended(&self) -> bool;
}

impl Machine for Twin {
    fn handle(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> TwinReply {
        Self::handle(self, now, request)
    }

    fn next_delivery(&mut self, now: DateTime<Utc>) -> Option<Delivery> {
        Self::next_delivery(self, now)
    }

    fn delivery_ended(&mut self, now: DateTime<Utc>, ticket: u64, status: Option<u16>) -> bool {
        Self::delivery_ended(self, now, ticket, status)
    }

    fn stream_is_suspended(&self) -> bool {
        Self::stream_is_suspended(self)
    }
}
