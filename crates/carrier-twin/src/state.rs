//! The twin itself: its whole state, and the way of a request through it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::assumptions::Assumptions;
use crate::clock::TwinClock;
use crate::config::TwinConfig;
use crate::control;
use crate::events::TwinEvent;
use crate::gateway::Route;
use crate::line::Line;
use crate::orders::RecordedOrder;
use crate::random::Random;
use crate::reply::{Answer, Body, Outcome, Problem, TwinReply, add_unknown_fields};
use crate::request::TwinRequest;
use crate::scripts::{ActiveScript, CallName, Fault};
use crate::subscription::Subscription;
use crate::token::oauth_error;
use crate::webhook::Stream;

/// How many requests are remembered; older ones are forgotten so that a long benchmark does not fill the memory.
const MAX_REQUESTS: usize = 100_000;
/// Keeps the dice apart from the ids, so that a script does not change them.
const DICE: u64 = 0x5CA1_AB1E;

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
    /// Body of an order.
    pub body: Option<Value>,
}

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
    late: Vec<(DateTime<Utc>, Route, TwinRequest)>,
    requests: Vec<RecordedRequest>,
    requests_seen: u64,
    calls: BTreeMap<CallName, u64>,
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
            late: Vec::new(),
            requests: Vec::new(),
            requests_seen: 0,
            calls: BTreeMap::new(),
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
        let call = Route::of(request).map(|route| route.call());
        let scripted = call.filter(|_| request.method != "OPTIONS");
        let fault = self.draw_fault(scripted, request);
        let reply = match &fault {
            None => {
                let outcome = self.answer(now, arrival, request);
                self.finish(request, outcome, Duration::ZERO)
            }
            Some(fault) => self.fail(now, arrival, request, fault),
        };
        self.record(now, request, call, reply.status(), fault);
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

    /// The requests so far, oldest first; at least the last hundred thousand.
    pub fn requests(&self) -> &[RecordedRequest] {
        &self.requests
    }

    /// How many requests of a call have arrived; [`CallName::Any`] counts all.
    pub fn calls(&self, call: CallName) -> u64 {
        if call == CallName::Any {
            self.requests_seen
        } else {
            self.calls.get(&call).copied().unwrap_or_default()
        }
    }

    /// The twin's time, after everything that was due by then has happened.
    pub(crate) fn begin(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let now = self.clock.read(now);
        while let Some(place) = self.late.iter().position(|(at, ..)| *at <= now) {
            let (at, route, request) = self.late.remove(place);
            self.settle_plans(at);
            // Nobody is left to be told whether it was refused.
            drop(self.perform(at, &route, &request));
        }
        self.settle_plans(now);
        now
    }

    fn answer(&mut self, now: DateTime<Utc>, arrival: DateTime<Utc>, request: &TwinRequest) -> Outcome {
        let route = self.admit(now, arrival, request)?;
        self.perform(now, &route, request)
    }

    fn fail(
        &mut self,
        now: DateTime<Utc>,
        arrival: DateTime<Utc>,
        request: &TwinRequest,
        fault: &Fault,
    ) -> TwinReply {
        let unavailable = || Problem::new(503, "SERVICE_UNAVAILABLE", "The service is unavailable");
        let mut delay = Duration::ZERO;
        let outcome = match fault {
            Fault::DropBeforeApply => return TwinReply::Drop { applied: false },
            Fault::DropAfterApply => {
                let outcome = self.answer(now, arrival, request);
                return TwinReply::Drop { applied: outcome.is_ok_and(|answer| answer.is_success()) };
            }
            Fault::ApplyLate { ms } => {
                if let Ok(route) = self.admit(now, arrival, request) {
                    let wait = TimeDelta::milliseconds(i64::try_from(*ms).unwrap_or(i64::MAX));
                    let at = now.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC);
                    self.late.push((at, route, request.clone()));
                    self.late.sort_by_key(|(at, ..)| *at);
                }
                return TwinReply::Drop { applied: false };
            }
            Fault::Status503Before => Err(unavailable()),
            Fault::Status503AfterApply => self.answer(now, arrival, request).and(Err(unavailable())),
            Fault::Status504AfterApply => {
                let late = Problem::new(504, "GATEWAY_TIMEOUT", "The service did not answer in time");
                self.answer(now, arrival, request).and(Err(late))
            }
            Fault::Status500Before => Err(Problem::new(500, "INTERNAL_ERROR", "Internal error")),
            Fault::Slow { ms } => {
                delay = Duration::from_millis(*ms);
                self.answer(now, arrival, request)
            }
            Fault::Unauthorized401 if Route::of(request) == Some(Route::Token) => {
                Ok(oauth_error(401, "invalid_client", "Bad client credentials"))
            }
            Fault::Unauthorized401 => Err(Problem::new(401, "UNAUTHORIZED", "Access token is not accepted")),
            Fault::TooMany429 { retry_after } => {
                let problem = Problem::new(429, "TOO_MANY_REQUESTS", "Too many requests");
                Err(Problem { retry_after: *retry_after, ..problem })
            }
            Fault::WrongShape => self
                .answer(now, arrival, request)
                .map(|answer| Answer { body: Body::Json(json!([{ "shape": "wrong" }])), ..answer }),
            Fault::Garbage => self.answer(now, arrival, request).map(|answer| {
                let text = "<html><body>It works!</body".to_owned();
                Answer { body: Body::Text { media_type: "text/html", text }, ..answer }
            }),
            Fault::RefuseTitle { status, title } => Err(Problem::new(*status, title, "Refused by a script")),
            Fault::TurnedAway { status } => {
                let text = "<html><body><h1>Request blocked</h1></body></html>".to_owned();
                let body = Body::Text { media_type: "text/html", text };
                Ok(Answer { status: *status, headers: Vec::new(), body })
            }
        };
        self.finish(request, outcome, delay)
    }

    /// Writes an outcome out with what every reply of the gateway has.
    fn finish(&mut self, request: &TwinRequest, outcome: Outcome, delay: Duration) -> TwinReply {
        let mut answer = outcome
            .unwrap_or_else(|problem| problem.answer(&request.path, &self.assumptions.error_content_type));
        if let Body::Json(value) = &mut answer.body
            && self.assumptions.unknown_fields
        {
            add_unknown_fields(value);
        }
        answer.with_header("x-tsl-request-id", &self.ids.uuid()).render(delay)
    }

    fn record(
        &mut self,
        at: DateTime<Utc>,
        request: &TwinRequest,
        call: Option<CallName>,
        status: Option<u16>,
        fault: Option<Fault>,
    ) {
        self.requests_seen += 1;
        if let Some(call) = call {
            *self.calls.entry(call).or_default() += 1;
        }
        if self.requests.len() >= MAX_REQUESTS * 2 {
            self.requests.drain(..MAX_REQUESTS);
        }
        let is_order = call == Some(CallName::Order);
        self.requests.push(RecordedRequest {
            number: self.requests_seen,
            at,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            call,
            status,
            fault,
            body: is_order.then(|| serde_json::from_slice(&request.body).ok()).flatten(),
        });
    }
}

/// Counts only: the state holds codes and tokens.
impl fmt::Debug for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twin")
            .field("mvno_ref", &self.config.mvno_ref)
            .field("lines", &self.lines.len())
            .field("orders", &self.orders.len())
            .field("requests", &self.requests_seen)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
