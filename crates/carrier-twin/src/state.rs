//! The twin itself: its whole state, and the way of a request through it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::assumptions::Assumptions;
use crate::clock::TwinClock;
use crate::config::TwinConfig;
use crate::control;
use crate::events::TwinEvent;
use crate::gateway::Route;
use crate::line::Line;
use crate::orders::RecordedOrder;
use crate::random::Random;
use crate::reply::{Body, Outcome, TwinReply, add_unknown_fields};
use crate::request::TwinRequest;
use crate::requests::RequestLog;
use crate::schedule::Schedule;
use crate::scripts::{ActiveScript, CallName};
use crate::subscription::Subscription;
use crate::transactions::{Failure, Transactions};
use crate::webhook::Stream;

/// Keeps the dice apart from the ids, so that a script does not change them.
const DICE: u64 = 0x5CA1_AB1E;

/// A twin of one Transatel account. See the crate's documentation.
pub struct Twin {
    pub(crate) config: TwinConfig,
    pub(crate) assumptions: Assumptions,
    pub(crate) clock: TwinClock,
    pub(crate) ids: Random,
    pub(crate) random: Random,
    pub(crate) lines_made: u64,
    pub(crate) lines: BTreeMap<String, Line>,
    pub(crate) msisdns: BTreeMap<String, String>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) subscriptions_by_iccid: BTreeMap<String, Vec<usize>>,
    pub(crate) deadlines: BTreeSet<(DateTime<Utc>, usize)>,
    pub(crate) tokens: BTreeMap<String, DateTime<Utc>>,
    pub(crate) orders: Vec<RecordedOrder>,
    pub(crate) scripts: Vec<ActiveScript>,
    pub(crate) outbox: Vec<TwinEvent>,
    pub(crate) events_forgotten: usize,
    pub(crate) stream: Stream,
    pub(crate) rate: (i64, u32),
    pub(crate) groups: BTreeSet<String>,
    pub(crate) numbers_made: u64,
    pub(crate) transactions: Transactions,
    pub(crate) late_failure: Option<Failure>,
    pub(crate) schedule: Schedule,
    pub(crate) log: RequestLog,
}

impl Twin {
    /// A twin without lines.
    pub fn new(config: TwinConfig) -> Self {
        Self {
            assumptions: config.assumptions.clone(),
            clock: TwinClock::default(),
            ids: Random::new(config.seed),
            random: Random::new(config.seed ^ DICE),
            lines_made: 0,
            lines: BTreeMap::new(),
            msisdns: BTreeMap::new(),
            subscriptions: Vec::new(),
            subscriptions_by_iccid: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            tokens: BTreeMap::new(),
            orders: Vec::new(),
            scripts: Vec::new(),
            outbox: Vec::new(),
            events_forgotten: 0,
            stream: Stream::new(config.webhook.clone()),
            rate: (0, 0),
            groups: config.groups.iter().cloned().collect(),
            numbers_made: 0,
            transactions: Transactions::default(),
            late_failure: None,
            schedule: Schedule::default(),
            log: RequestLog::default(),
            config,
        }
    }

    /// Back to the state of [`Twin::new`]: no lines, no tokens, no scripts, the assumptions of the configuration.
    pub fn reset(&mut self) {
        let stream = self.stream.renewed(self.config.webhook.clone());
        *self = Self { stream, ..Self::new(self.config.clone()) };
    }

    /// Answers a request. `now` is the caller's time; the twin's own may differ from it ([`Twin::clock_mut`]).
    pub fn handle(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> TwinReply {
        let arrival = now;
        let now = self.begin(arrival);
        if control::is_control(request) {
            return self.control(arrival, request);
        }
        let route = Route::of(request);
        let scripted = route.as_ref().map(Route::call).filter(|_| request.method != "OPTIONS");
        let fault = self.draw_fault(scripted, request);
        let reply = match &fault {
            None => {
                let outcome = self.answer(now, arrival, request);
                self.finish(request, outcome, Duration::ZERO)
            }
            Some(fault) => self.fail(now, arrival, request, fault),
        };
        self.record(now, request, route.as_ref(), reply.status(), fault);
        reply
    }

    /// The configuration.
    pub fn config(&self) -> &TwinConfig {
        &self.config
    }

    /// The assumptions in force.
    pub fn assumptions(&self) -> &Assumptions {
        &self.assumptions
    }

    /// The assumptions, to turn one over.
    pub fn assumptions_mut(&mut self) -> &mut Assumptions {
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
    pub(crate) fn answer(
        &mut self,
        now: DateTime<Utc>,
        arrival: DateTime<Utc>,
        request: &TwinRequest,
    ) -> Outcome {
        let route = self.admit(now, arrival, request)?;
        self.perform(now, &route, request)
    }

    /// Writes an outcome out with what every reply of the gateway has.
    pub(crate) fn finish(&mut self, request: &TwinRequest, outcome: Outcome, delay: Duration) -> TwinReply {
        let mut answer = outcome
            .unwrap_or_else(|problem| problem.answer(&request.path, &self.assumptions.error_content_type));
        if let Body::Json(value) = &mut answer.body
            && self.assumptions.unknown_fields
        {
            add_unknown_fields(value);
        }
        answer.with_header("x-tsl-request-id", &self.ids.uuid()).render(delay)
    }
}

/// Counts only: the state holds codes and tokens.
impl fmt::Debug for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twin")
            .field("mvno_ref", &self.config.mvno_ref)
            .field("lines", &self.lines.len())
            .field("orders", &self.orders.len())
            .field("requests", &self.calls(CallName::Any))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
