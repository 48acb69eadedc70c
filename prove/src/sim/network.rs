//! The way to the carrier: requests travel, arrive, take effect and are answered, each at a time of its own, whether
//! or not the process that sent them is still there. Everything that goes wrong with a carrier goes wrong here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use simdepot_carrier_transatel::{Exchange, ExchangeAnswer, ExchangeRequest, Failure};
use simdepot_carrier_twin::sps::SpsTwin;
use simdepot_carrier_twin::{CallName, Fault, Script, TransactionStatus, Twin, TwinReply, TwinRequest};
use simdepot_domain::carrier::{Lost, Unavailable};

use super::calls::{call_of, is_write, reference_of, without};
use super::carriers::To;
use super::ended::Ended;
use super::time::Time;
use super::weather::{Trouble, Weather};
use crate::history::{History, Micros, What};
use crate::rng::Rng;

const MILLISECOND: Micros = 1_000;

/// A request on its way, or waiting in a queue of the carrier's.
struct Flight {
    number: u64,
    to: To,
    reference: Option<String>,
    arrives: Micros,
    request: TwinRequest,
    fault: Option<Fault>,
    late: bool,
    /// How long the answer takes; `None` when it never comes.
    back: Option<Micros>,
    letterbox: Arc<Letterbox>,
}

type Reply = Result<ExchangeAnswer, Failure>;

#[derive(Default)]
struct Letterbox(Mutex<(Option<Reply>, Option<Waker>)>);

impl Letterbox {
    fn put(&self, reply: Reply) {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inside.0 = Some(reply);
        if let Some(waker) = inside.1.take() {
            waker.wake();
        }
    }

    async fn take(&self) -> Reply {
        std::future::poll_fn(|context| {
            let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match inside.0.take() {
                Some(reply) => Poll::Ready(reply),
                None => {
                    inside.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

struct Inside {
    twin: Twin,
    wholesale: SpsTwin,
    rng: Rng,
    weather: Weather,
    flights: Vec<Flight>,
    answers: Vec<(Micros, u64, Arc<Letterbox>, Reply)>,
    sent: u64,
    orders_sent: u64,
    /// Until then nothing reaches the carrier.
    outage_until: Micros,
    /// When each plan came to be.
    made: BTreeMap<String, Micros>,
    /// What reads of lines were answered, to be answered so again for a while.
    told: VecDeque<(Micros, String, ExchangeAnswer)>,
    /// What went wrong with each operation's writes.
    troubles: BTreeMap<String, Vec<Trouble>>,
    /// Operations whose process died, or gave up, while their write was under way.
    interrupted: BTreeSet<String>,
    /// Writes that took effect so late that nobody can be blamed for having taken them for lost.
    late: BTreeSet<String>,
    /// Commands that were refused under their number: what arrives under it later meets the same.
    refused: BTreeMap<String, Fault>,
    /// How far transactions were told of.
    ended: Ended,
}

/// The network with the carriers at its end.
pub(super) struct Network {
    time: Arc<Time>,
    /// A write that is held up for longer than this may be taken for not taken; one held up for less may not.
    late_after: Micros,
    history: Arc<Mutex<History>>,
    inside: Mutex<Inside>,
}

impl Network {
    pub(super) fn new(
        time: Arc<Time>,
        history: Arc<Mutex<History>>,
        (twin, wholesale): (Twin, SpsTwin),
        weather: Weather,
        late_after: Micros,
        rng: Rng,
    ) -> Self {
        let (flights, answers, troubles) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self {
            time,
            late_after,
            history,
            inside: Mutex::new(Inside {
                twin,
                wholesale,
                rng,
                weather,
                flights,
                answers,
                sent: 0,
                orders_sent: 0,
                outage_until: 0,
                made: BTreeMap::new(),
                told: VecDeque::new(),
                troubles,
                interrupted: BTreeSet::new(),
                late: BTreeSet::new(),
                refused: BTreeMap::new(),
                ended: Ended::default(),
            }),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Transatel, to look at or to play a phone's part.
    pub(super) fn with_twin<T>(&self, look: impl FnOnce(&mut Twin) -> T) -> T {
        look(&mut self.inside().twin)
    }

    /// The wholesale operator, as it is at this moment.
    pub(super) fn with_wholesale<T>(&self, look: impl FnOnce(&mut SpsTwin) -> T) -> T {
        let mut inside = self.inside();
        inside.wholesale.settle(self.time.moment());
        self.tell_ended(&mut inside);
        look(&mut inside.wholesale)
    }

    /// What ended at the carriers since the last look.
    fn tell_ended(&self, inside: &mut Inside) {
        let Inside { twin, wholesale, ended, .. } = inside;
        for what in ended.news(twin, wholesale) {
            self.history().push(self.time.micros(), what);
        }
    }

    /// Commands with a write that took effect very late: by number, or by SIM where the carrier has no number of ours.
    pub(super) fn late(&self) -> BTreeSet<String> {
        self.inside().late.clone()
    }

    /// From here everything goes well; what is on its way stays on its way.
    pub(super) fn heal(&self) {
        let mut inside = self.inside();
        inside.weather = Weather::fair();
        inside.outage_until = 0;
    }

    /// Whether nothing is on its way, and carriers work on nothing.
    pub(super) fn is_quiet(&self) -> bool {
        let mut inside = self.inside();
        inside.wholesale.settle(self.time.moment());
        let at_work =
            inside.twin.transactions().iter().any(|found| found.status == TransactionStatus::Pending)
                || inside.wholesale.transactions().iter().any(|found| !found.status.is_final());
        inside.flights.is_empty() && inside.answers.is_empty() && !at_work
    }

    /// What went wrong with the writes of each operation.
    pub(super) fn troubles(&self) -> BTreeMap<String, Vec<Trouble>> {
        self.inside().troubles.clone()
    }

    /// Operations whose process was gone before the answer came.
    pub(super) fn interrupted(&self) -> BTreeSet<String> {
        self.inside().interrupted.clone()
    }

    /// Their process stands still or is gone: it may come too late to its answers, or never write them down.
    pub(super) fn interrupt(&self, operations: Vec<String>) {
        self.inside().interrupted.extend(operations);
    }

    /// How many orders went out so far.
    pub(super) fn orders_sent(&self) -> u64 {
        self.inside().orders_sent
    }

    /// When the next thing arrives somewhere.
    pub(super) fn next_arrival(&self) -> Option<Micros> {
        let inside = self.inside();
        let flights = inside.flights.iter().map(|flight| flight.arrives);
        flights.chain(inside.answers.iter().map(|(at, ..)| *at)).min()
    }

    /// Lets everything arrive that is due.
    pub(super) fn deliver(&self) {
        let now = self.time.micros();
        loop {
            let mut inside = self.inside();
            let due = inside.flights.iter().filter(|flight| flight.arrives <= now);
            let Some(number) = due.min_by_key(|flight| (flight.arrives, flight.number)).map(|f| f.number)
            else {
                break;
            };
            let Some(place) = inside.flights.iter().position(|flight| flight.number == number) else { break };
            let flight = inside.flights.remove(place);
            self.arrive(&mut inside, flight);
        }
        let mut inside = self.inside();
        let mut due: Vec<_> = Vec::new();
        let mut rest = Vec::new();
        for answer in inside.answers.drain(..) {
            if answer.0 <= now { due.push(answer) } else { rest.push(answer) }
        }
        inside.answers = rest;
        drop(inside);
        due.sort_by_key(|(at, number, ..)| (*at, *number));
        for (_, _, letterbox, reply) in due {
            letterbox.put(reply);
        }
    }

    fn arrive(&self, inside: &mut Inside, flight: Flight) {
        let reply = match flight.to {
            To::Transatel => self.at_transatel(inside, &flight),
            To::Wholesale => self.at_wholesale(inside, &flight),
        };
        self.tell_ended(inside);
        if flight.late
            && let Some(reference) = &flight.reference
        {
            inside.late.insert(reference.clone());
        }
        let Some(back) = flight.back else { return };
        let reply = match reply {
            TwinReply::Answer { status, headers, body, delay: _ } => {
                let answer = ExchangeAnswer { status, headers, body };
                Ok(self.as_it_was(inside, (flight.to, &flight.request), answer))
            }
            TwinReply::Drop { .. } => Err(lost("the connection ended before the answer")),
        };
        inside.answers.push((self.time.micros() + back, flight.number, flight.letterbox, reply));
    }

    fn at_transatel(&self, inside: &mut Inside, flight: &Flight) -> TwinReply {
        let now = self.time.moment();
        let before = inside.twin.orders().len();
        inside.twin.clear_scripts();
        if let Some(fault) = flight.fault.clone() {
            inside.twin.add_script(Script::once(CallName::Any, fault));
        }
        let reply = inside.twin.handle(now, &flight.request);
        inside.twin.clear_scripts();
        for order in inside.twin.orders().iter().skip(before) {
            inside.made.insert(order.subscription_id.clone(), self.time.micros());
            let iccid = inside.twin.lines().find(|line| line.spec.msisdn() == order.msisdn);
            let what = What::Applied {
                iccid: iccid.map(|line| line.spec.iccid.to_string()).unwrap_or_default(),
                product: order.product.clone(),
                reference: order.transaction_reference.clone().unwrap_or_default(),
                subscription: order.subscription_id.clone(),
                late: flight.late,
            };
            self.history().push(self.time.micros(), what);
        }
        reply
    }

    /// A number meets one answer for ever: what was refused under it is not taken later, and what was taken is not
    /// refused.
    fn at_wholesale(&self, inside: &mut Inside, flight: &Flight) -> TwinReply {
        let now = self.time.moment();
        inside.wholesale.settle(now);
        let Inside { wholesale, refused, .. } = inside;
        let mut fault = flight.fault.clone();
        if is_write(call_of(flight.to, &flight.request))
            && let Some(reference) = &flight.reference
        {
            let refuses = matches!(fault, Some(Fault::RefuseTitle { .. }));
            if refuses && wholesale.transaction(reference).is_some() {
                fault = None;
            }
            if let Some(known) = refused.get(reference) {
                fault = Some(known.clone());
            } else if let Some(refusal @ Fault::RefuseTitle { .. }) = &fault {
                refused.insert(reference.clone(), refusal.clone());
            }
        }
        wholesale.clear_scripts();
        if let Some(fault) = fault {
            wholesale.add_script(Script::once(CallName::Any, fault));
        }
        let reply = wholesale.handle(now, &flight.request);
        wholesale.clear_scripts();
        reply
    }

    /// Replicas lag behind: an answer as it would have been some time ago.
    fn as_it_was(
        &self,
        inside: &mut Inside,
        (to, request): (To, &TwinRequest),
        answer: ExchangeAnswer,
    ) -> ExchangeAnswer {
        let call = call_of(to, request);
        if inside.weather.stale == 0 || !matches!(call, "inventory" | "search" | "line" | "device") {
            return answer;
        }
        let stale = inside.rng.per_mille(inside.weather.stale);
        let since = self.time.micros() - inside.rng.within(0, inside.weather.lag_ms) * MILLISECOND;
        let old = if call == "inventory" {
            stale.then(|| without(&answer, |plan| inside.made.get(plan).is_some_and(|made| *made > since)))
        } else {
            inside.told.retain(|(at, ..)| *at >= since);
            let asked = format!("{} {} {:?}", request.path, request.query, request.body);
            let old = inside.told.iter().find(|(_, of, _)| *of == asked && stale);
            let old = old.map(|(_, _, answer)| answer.clone());
            if answer.status == 200 {
                inside.told.push_back((self.time.micros(), asked, answer.clone()));
            }
            Some(old)
        };
        match old.flatten() {
            Some(old) if old.body != answer.body => {
                self.history().count("stale read");
                old
            }
            _ => answer,
        }
    }

    /// Puts a request on its way.
    fn send(&self, to: To, request: TwinRequest) -> Result<Arc<Letterbox>, Failure> {
        let mut inside = self.inside();
        let call = call_of(to, &request);
        let (writes, reference) = (is_write(call), reference_of(call, &request));
        let Inside { weather, rng, outage_until, .. } = &mut *inside;
        let trouble = if *outage_until > self.time.micros() {
            Some(Weather::outage(rng))
        } else {
            weather.trouble(call, rng)
        };
        let goes_dark = writes && trouble.as_ref().is_some_and(Trouble::loses_the_answer);
        if goes_dark && rng.per_mille(weather.outages) {
            *outage_until = self.time.micros() + rng.within(5_000, 75_000) * MILLISECOND;
            self.history().count("outage");
        }
        let name = trouble.as_ref().map(Trouble::name);
        {
            let mut history = self.history();
            if let Some(name) = name {
                history.count(name);
            }
            // Whoever sends again under the same number has asked before.
            let asked_after = to == To::Wholesale && call == "transaction";
            if writes || asked_after || name.is_some() {
                let what = What::Sent { call, reference: reference.clone(), fault: name };
                history.push(self.time.micros(), what);
            }
        }
        if let (true, Some(reference), Some(trouble)) = (writes, &reference, &trouble) {
            inside.troubles.entry(reference.clone()).or_default().push(trouble.clone());
        }
        if matches!(trouble, Some(Trouble::NotConnected)) {
            let why = Unavailable { reason: "no connection to the carrier".to_owned(), retry_after_ms: None };
            return Err(Failure::NotSent { why, carrier_down: true });
        }
        inside.sent += 1;
        inside.orders_sent += u64::from(writes);
        let letterbox = Arc::new(Letterbox::default());
        let there = inside.rng.within(1, 60) * MILLISECOND;
        let back = inside.rng.within(1, 60) * MILLISECOND;
        let mut flight = Flight {
            number: inside.sent,
            to,
            reference,
            arrives: self.time.micros() + there,
            request,
            fault: None,
            late: false,
            back: Some(back),
            letterbox: Arc::clone(&letterbox),
        };
        match trouble {
            None | Some(Trouble::NotConnected) => {}
            Some(Trouble::AtTheCarrier(fault)) => flight.fault = Some(fault),
            Some(Trouble::Slow { ms }) => flight.back = Some(ms * MILLISECOND),
            Some(Trouble::Silent) => flight.back = None,
            Some(Trouble::Late { ms, dropped }) => {
                // A line must show nothing of a command for longer than a list must show nothing of an order.
                let patience = if call == "command" { inside.weather.line_settle_ms } else { 0 };
                flight.late = (ms - patience) * MILLISECOND > self.late_after;
                flight.back = None;
                flight.arrives += ms * MILLISECOND;
                if dropped {
                    let reply = Err(lost("the connection ended before the answer"));
                    let entry = (self.time.micros() + back, flight.number, Arc::clone(&letterbox), reply);
                    inside.answers.push(entry);
                }
            }
        }
        inside.flights.push(flight);
        Ok(letterbox)
    }
}

/// The way to one carrier.
pub(super) struct Road {
    pub(super) network: Arc<Network>,
    pub(super) to: To,
}

#[async_trait]
impl Exchange for Road {
    async fn run(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, Failure> {
        let request = to_twin(request);
        let call = call_of(self.to, &request);
        let reference = is_write(call).then(|| reference_of(call, &request)).flatten();
        let letterbox = self.network.send(self.to, request)?;
        let mut waiting = Waiting { network: &self.network, reference };
        let reply = letterbox.take().await;
        waiting.reference = None;
        reply
    }
}

/// Whoever waits for the answer to a write; gone before it came, it leaves the outcome open.
struct Waiting<'a> {
    network: &'a Network,
    reference: Option<String>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(reference) = self.reference.take() {
            self.network.inside().interrupted.insert(reference);
        }
    }
}

fn lost(reason: &str) -> Failure {
    Failure::Lost(Lost::silent(reason))
}

fn to_twin(request: ExchangeRequest) -> TwinRequest {
    let ExchangeRequest { method, path, query, headers, body, .. } = request;
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    TwinRequest { method: method.to_owned(), path, query, headers, body }
}
