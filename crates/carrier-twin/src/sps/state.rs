//! The SPS twin itself: its whole state, and the way of a request through it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::assumptions::SpsAssumptions;
use super::config::SpsConfig;
use super::devices::DeviceModel;
use super::gateway::Route;
use super::notifications::SpsEvent;
use super::records::Records;
use super::sims::Sim;
use super::subscriptions::Subscriptions;
use super::transactions::SpsTransactions;
use crate::clock::TwinClock;
use crate::control::is_control;
use crate::machine::Machine;
use crate::random::Random;
use crate::reply::{Outcome, TwinReply};
use crate::request::TwinRequest;
use crate::requests::CallLog;
use crate::schedule::Schedule;
use crate::scripts::{ActiveScript, CallName};
use crate::transactions::Failure;
use crate::webhook::{Delivery, Stream};

/// Keeps the dice apart from the ids, so that a script does not change them.
const DICE: u64 = 0x5CA1_AB1E;

/// What the twin has yet to do.
#[derive(Debug)]
pub(super) enum Due {
    /// A request that was held up.
    Request(Box<(Route, TwinRequest)>),
    /// A transaction, by its place, is taken up.
    PickUp(usize),
    /// It ends.
    End(usize),
}

/// A twin of one SPS account. See the module's documentation.
pub struct SpsTwin {
    pub(super) config: SpsConfig,
    pub(super) assumptions: SpsAssumptions,
    pub(super) clock: TwinClock,
    pub(super) ids: Random,
    pub(super) random: Random,
    pub(super) sims: BTreeMap<String, Sim>,
    pub(super) esims_in_stock: BTreeSet<String>,
    pub(super) sims_made: u64,
    pub(super) subscriptions: Subscriptions,
    pub(super) numbers_made: u64,
    pub(super) reservations: BTreeMap<String, String>,
    pub(super) devices: BTreeMap<String, DeviceModel>,
    pub(super) block_list: BTreeSet<String>,
    pub(super) tokens: BTreeMap<String, DateTime<Utc>>,
    pub(super) scripts: Vec<ActiveScript>,
    pub(super) outbox: Vec<SpsEvent>,
    pub(super) events_forgotten: usize,
    pub(super) stream: Stream<SpsEvent>,
    pub(super) rate: (i64, u32),
    pub(super) transactions: SpsTransactions,
    pub(super) late_failure: Option<Failure>,
    /// How long the answer to the present request waits (S9).
    pub(super) hold: Duration,
    pub(super) schedule: Schedule<Due>,
    pub(super) log: CallLog,
    pub(super) records: Records,
}

impl SpsTwin {
    /// A twin without SIMs.
    pub fn new(config: SpsConfig) -> Self {
        Self {
            assumptions: config.assumptions.clone(),
            clock: TwinClock::default(),
            ids: Random::new(config.seed),
            random: Random::new(config.seed ^ DICE),
            sims: BTreeMap::new(),
            esims_in_stock: BTreeSet::new(),
            sims_made: 0,
            subscriptions: Subscriptions::default(),
            numbers_made: 0,
            reservations: BTreeMap::new(),
            devices: config.devices.iter().cloned().collect(),
            block_list: BTreeSet::new(),
            tokens: BTreeMap::new(),
            scripts: Vec::new(),
            outbox: Vec::new(),
            events_forgotten: 0,
            stream: Stream::new(config.webhook.clone()),
            rate: (0, 0),
            transactions: SpsTransactions::default(),
            late_failure: None,
            hold: Duration::ZERO,
            schedule: Schedule::default(),
            log: CallLog::default(),
            records: Records::default(),
            config,
        }
    }

    /// Back to the state of [`SpsTwin::new`]: no SIMs, no tokens, no scripts, the assumptions of the configuration.
    pub fn reset(&mut self) {
        let stream = self.stream.renewed(self.config.webhook.clone());
        *self = Self { stream, ..Self::new(self.config.clone()) };
    }

    /// Answers a request. `now` is the caller's time; the twin's own may differ from it ([`SpsTwin::clock_mut`]).
    pub fn handle(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> TwinReply {
        let arrival = now;
        let now = self.settle(arrival);
        if is_control(request) {
            return self.control(arrival, request);
        }
        let route = self.route(request);
        let call = route.as_ref().map(Route::call);
        let fault = self.draw_fault(route.as_ref(), request);
        let reply = match &fault {
            None => {
                let outcome = self.answer(now, arrival, request);
                self.finish(outcome, Duration::ZERO)
            }
            Some(fault) => self.fail(now, arrival, request, fault),
        };
        self.record(now, request, call, reply.status(), fault);
        reply
    }

    /// Lets everything happen that is due by the caller's time; returns the twin's.
    pub fn settle(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let now = self.clock.read(now);
        while let Some((at, due)) = self.schedule.take(now) {
            match due {
                // Nobody is left to be told whether it was refused.
                Due::Request(held) => drop(self.perform(at, &held.0, &held.1)),
                Due::PickUp(place) => self.pick_up(place),
                Due::End(place) => self.end_transaction(at, place),
            }
        }
        self.hold = Duration::ZERO;
        now
    }

    /// When something happens next by itself, on the twin's clock; deliveries apart.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.schedule.next()
    }

    /// The configuration.
    pub fn config(&self) -> &SpsConfig {
        &self.config
    }

    /// The assumptions in force.
    pub fn assumptions(&self) -> &SpsAssumptions {
        &self.assumptions
    }

    /// The assumptions, to turn one over.
    pub fn assumptions_mut(&mut self) -> &mut SpsAssumptions {
        &mut self.assumptions
    }

    /// The test clock.
    pub fn clock(&self) -> TwinClock {
        self.clock
    }

    /// The test clock, to advance, stop or release it.
    pub fn clock_mut(&mut self) -> &mut TwinClock {
        &mut self.clock
    }

    /// What a request comes to when nothing goes wrong on its way.
    pub(super) fn answer(
        &mut self,
        now: DateTime<Utc>,
        arrival: DateTime<Utc>,
        request: &TwinRequest,
    ) -> Outcome {
        let route = self.admit(now, arrival, request)?;
        self.perform(now, &route, request)
    }
}

impl Machine for SpsTwin {
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
        // A notification that is given up is lost; the next one is sent all the same.
        false
    }
}

/// Counts only: the state holds codes and tokens.
impl fmt::Debug for SpsTwin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpsTwin")
            .field("sims", &self.sims.len())
            .field("subscriptions", &self.subscriptions.len())
            .field("requests", &self.calls(CallName::Any))
            .finish_non_exhaustive()
    }
}
