//! What the harness needs of a carrier's twin, so that a test is written once and holds for every carrier.
//!
//! A new carrier implements [`TestCarrier`] for its twin and is named in [`crate::carriers!`]: then the whole suite
//! `conformance` runs against it.

mod transatel;
mod wholesale;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use simdepot_carrier_twin::machine::Machine;
use simdepot_carrier_twin::requests::RecordedRequest;
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::carrier::{Carrier, Turns};
use simdepot_domain::clock::Clock;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineAction;
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::sim::SimStatus;

pub use wholesale::wholesale_account;

/// How long a carrier works on a command, or on an activation.
pub(crate) const WORKING_MS: u64 = 150;

/// What a carrier refuses a sale for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The profile: another may be sold in its place.
    Profile,
    /// What was sent, without saying what is wrong with it.
    Request,
    /// The account.
    Account,
}

/// A carrier that a depot is tested with.
pub trait TestCarrier: Machine + Sized {
    /// The product that a profile is sold with; none where the sale is itself what the carrier is told.
    const PRODUCT: Option<&'static str>;
    /// The call that a sale is.
    const SALE: CallName;
    /// The call that a command to a line is.
    const COMMAND: CallName;
    /// The header that an event's signature comes in, in lower case.
    const SIGNATURE: &'static str;
    /// Whether an authentic event proves what it tells of a line; else a read must confirm it.
    const EVENTS_PROVE: bool;

    /// A carrier without SIMs.
    fn sandbox() -> Self;

    /// Makes it answer as tests want it to, unless they say otherwise.
    fn prepare(&mut self);

    /// Lets the account manage its lines, without making a test wait for it.
    fn open_lines(&mut self);

    /// The adapter of its account.
    fn adapter(
        &self,
        base_url: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
    ) -> Arc<dyn Carrier>;

    /// What `Debug` prints of the account and of its adapter.
    fn printed(&self, base_url: &str) -> String;

    /// What the account proves itself with.
    fn client_secret(&self) -> String;

    /// The pool of every test depot, with its SIMs.
    fn pool() -> PoolSettings;

    /// Makes SIMs, and the delivery file that comes with them.
    fn make_stock(&mut self, count: u32) -> (Vec<Iccid>, String);

    /// The secret part of a SIM's activation code.
    fn code_of(&self, iccid: &Iccid) -> String;

    /// Makes calls fail.
    fn script(&mut self, script: Script);

    /// How many requests of a call have arrived; [`CallName::Any`] counts all.
    fn calls(&self, call: CallName) -> u64;

    /// What has arrived, oldest first.
    fn log(&self) -> &[RecordedRequest];

    /// How often the carrier has sold on a SIM.
    fn sold(&self, iccid: &Iccid) -> u64;

    /// How often it has sold at all.
    fn sold_in_all(&self) -> u64;

    /// How it refuses a sale.
    fn refusal(why: Refused) -> Fault;

    /// How often it has done something to the line of a SIM.
    fn done(&self, iccid: &Iccid, action: LineAction) -> u64;

    /// Stops a working line by itself, and tells of it.
    fn stop(&mut self, iccid: &Iccid);

    /// The events so far, as they are posted, in the order in which they were written.
    fn told(&self) -> Vec<Json>;

    /// An event that tells that a line has a status (active or suspended) since a moment.
    fn news(&self, iccid: &Iccid, status: SimStatus, at: DateTime<Utc>) -> Json;
}
