//! One run: who goes on, when time passes, and what goes wrong meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use diesel::connection::SimpleConnection as _;
use diesel::sqlite::SqliteConnection;
use simdepot_application::depot::WorkSettings;
use simdepot_application::{Depot, verify};
use simdepot_domain::channel::AccountName;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::sim::SimStatus;

use super::clients::Client;
use super::end_state;
use super::executor::Executor;
use super::network::Network;
use super::process::Surroundings;
use super::requests::{Codes, Request, take_event};
use super::template::{self, RunDatabase, STOCKS, Templates};
use super::time::{Ids, Time};
use super::weather::Weather;
use crate::checker::EndState;
use crate::guards::Guard;
use crate::history::{Answer, Ask, History, Micros, What};
use crate::rng::Rng;

const MILLISECOND: Micros = 1_000;
const SECOND: Micros = 1_000_000;
/// The longest that things go wrong.
const STORM: Micros = 240 * SECOND;
/// The longest that may be needed afterwards.
const GRACE: Micros = 3_600 * SECOND;
/// What the ids of events begin with that are not the carrier's.
pub(super) const FORGED: &str = "forged-";
/// A run of more steps than this does not end by itself.
const MOST_STEPS: u64 = 600_000;

struct Process {
    depot: Option<Depot>,
    begins_at: Micros,
    stands_still_until: Micros,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Things go wrong.
    Storm,
    /// Nothing goes wrong any more.
    Grace,
    /// Our books are compared with the carrier's.
    Comparing,
    /// The storefronts look at their orders once more.
    Closing,
}

/// A run under way.
pub(super) struct World {
    rng: Rng,
    time: Arc<Time>,
    history: Arc<Mutex<History>>,
    network: Arc<Network>,
    surroundings: Surroundings,
    database: RunDatabase,
    raw: SqliteConnection,
    executor: Executor,
    processes: Vec<Process>,
    clients: Vec<Client>,
    weather: Weather,
    codes: Codes,
    /// Profiles whose codes customers have.
    phones: Vec<Iccid>,
    requests: u32,
    /// Events under way: the carrier's number of the delivery.
    events: BTreeMap<u32, u64>,
    forged: u32,
    phase: Phase,
    phase_begun: Micros,
    looked_at: Micros,
    comparisons: i64,
}

/// What a run leaves behind.
pub(super) struct Run {
    pub(super) history: History,
    pub(super) end: EndState,
}

impl World {
    /// A run about to begin.
    pub(super) fn new(templates: &Templates, seed: u64, broken: Option<Guard>) -> Result<Self> {
        let mut rng = Rng::new(seed);
        let number = rng.place(STOCKS.len());
        let stock = STOCKS.get(number).copied().unwrap_or(STOCKS[0]);
        let database =
            templates.copy(number, &format!("run-{seed:016x}-{:?}", std::thread::current().id()))?;
        let mut raw = database.raw()?;
        raw.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = OFF")?;
        if let Some(guard) = broken {
            guard.tamper(&mut raw)?;
        }
        let (mut twin, lines) = template::carrier(stock)?;
        let time = Arc::new(Time::default());
        time.pass(60 * SECOND);
        vary(&mut twin, &mut rng, &time);
        let codes = lines.values().flatten().filter_map(|line| {
            Some((line.iccid.to_string(), line.activation_code.as_ref()?.code().to_owned()))
        });
        let codes: Codes = Arc::new(codes.collect::<BTreeMap<_, _>>());
        let history = Arc::new(Mutex::new(History::default()));
        let weather = Weather::draw(&mut rng);
        let timeout = Duration::from_secs(*rng.pick(&[15, 15, 6]).unwrap_or(&15));
        let late_after = late_after(timeout);
        let network =
            Network::new(time.clone(), history.clone(), twin, weather.clone(), late_after, rng.split());
        let network = Arc::new(network);
        let ids = Arc::new(Ids::new(time.clone(), rng.split()));
        let surroundings = Surroundings {
            time: time.clone(),
            ids,
            network: network.clone(),
            history: history.clone(),
            timeout,
            broken,
        };
        let processes = (0..*rng.pick(&[1, 2, 2, 3]).unwrap_or(&2))
            .map(|_| Process { depot: None, begins_at: 0, stands_still_until: 0 })
            .collect();
        let wants = u32::try_from(rng.within(3, 8)).unwrap_or(3);
        let clients = (0..rng.within(2, 4))
            .map(|number| {
                let channel = if number % 2 == 0 { "shop-a" } else { "shop-b" };
                Client::new(usize::try_from(number).unwrap_or_default(), channel, wants, rng.split())
            })
            .collect();
        let phase_begun = time.micros();
        Ok(Self {
            rng,
            time,
            history,
            network,
            surroundings,
            database,
            raw,
            executor: Executor::default(),
            processes,
            clients,
            weather,
            codes,
            phones: Vec::new(),
            requests: 0,
            events: BTreeMap::new(),
            forged: 0,
            phase: Phase::Storm,
            phase_begun,
            looked_at: 0,
            comparisons: 0,
        })
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: What) {
        self.history().push(self.time.micros(), what);
    }

    /// Runs to the end.
    pub(super) async fn run(mut self) -> Result<Run> {
        while self.step().await? {}
        for process in 0..self.processes.len() {
            self.end_process(process);
        }
        let depot = self.surroundings.open(&self.database)?;
        let report = verify::run(&depot, &|_| ()).await?;
        drop(depot);
        let findings = report.findings.into_iter().map(|finding| finding.what).collect();
        let end = end_state::read(&mut self.raw, &self.network, findings)?;
        let history = self.history().clone();
        Ok(Run { history, end })
    }

    /// One turn. `false` when the run is over.
    async fn step(&mut self) -> Result<bool> {
        self.network.deliver();
        self.begin_processes()?;
        self.ask();
        self.bring_events();
        if self.phase == Phase::Storm {
            self.disturb();
        }
        if self.is_over()? {
            return Ok(false);
        }
        let now = self.time.micros();
        let processes = &self.processes;
        let still = |number: usize| processes.get(number).is_some_and(|p| p.stands_still_until > now);
        let ready = self.executor.ready(still);
        match self.rng.pick(&ready).copied() {
            Some(place) if !self.rng.per_mille(15) => self.go_on(place),
            _ => return self.wait().await.map(|()| true),
        }
        let micros = self.rng.within(100, 1_500);
        self.pass(micros).await;
        if self.history().steps > MOST_STEPS {
            bail!("the run does not end");
        }
        Ok(true)
    }

    async fn pass(&self, micros: Micros) {
        self.time.pass(micros);
        tokio::time::advance(Duration::from_micros(u64::try_from(micros).unwrap_or_default())).await;
    }

    /// Nobody goes on: time passes to something that may be due.
    async fn wait(&mut self) -> Result<()> {
        let most = if self.phase == Phase::Storm { 300 } else { 1_000 };
        let mut micros = self.rng.within(1, most) * MILLISECOND;
        if let Some(next) = self.network.next_arrival() {
            micros = micros.min((next - self.time.micros()).max(MILLISECOND));
        }
        self.pass(micros).await;
        Ok(())
    }

    fn go_on(&mut self, place: usize) {
        let id = self.executor.id_at(place);
        self.history().step(id);
        let process = self.executor.process_at(place);
        let before = self.network.orders_sent();
        if let Some((request, answer)) = self.executor.go_on(place) {
            self.answered(request, answer);
        }
        // The moments around a write are the ones that matter.
        if self.phase == Phase::Storm && self.network.orders_sent() > before {
            if self.weather.kills > 0 && self.rng.per_mille(80) {
                self.kill(process);
            } else if self.weather.pauses > 0 && self.rng.per_mille(80) {
                self.pause(process);
            }
        }
    }

    fn begin_processes(&mut self) -> Result<()> {
        let now = self.time.micros();
        for number in 0..self.processes.len() {
            let Some(process) = self.processes.get_mut(number) else { continue };
            if process.depot.is_some() || process.begins_at > now {
                continue;
            }
            let depot = self.surroundings.open(&self.database)?;
            for work in self.surroundings.loops(number, &depot, &mut self.rng) {
                self.executor.add(number, None, work);
            }
            process.depot = Some(depot);
            process.stands_still_until = 0;
            self.tell(What::Opened { process: number });
        }
        Ok(())
    }

    /// Storefronts ask, each one a process that is there.
    fn ask(&mut self) {
        let now = self.time.micros();
        for number in 0..self.clients.len() {
            let alive: Vec<usize> = (0..self.processes.len())
                .filter(|place| self.processes.get(*place).is_some_and(|process| process.depot.is_some()))
                .collect();
            let Some(process) = self.rng.pick(&alive).copied() else { return };
            let Some(client) = self.clients.get_mut(number) else { return };
            let Some(ask) = client.ask(now) else { continue };
            let channel = client.channel;
            let wait = *self.rng.pick(&[0, 0, 300, 2_000, 10_000]).unwrap_or(&0);
            let Some(request) = self.request(process, channel, ask.clone(), wait) else { continue };
            if let Some(client) = self.clients.get_mut(number) {
                client.sent(request);
            }
            // Now and then the customer clicks twice.
            let twice = matches!(ask, Ask::Order { .. } | Ask::TopUp { .. });
            if twice
                && self.rng.per_mille(120)
                && let Some(other) = self.rng.pick(&alive).copied()
            {
                self.history().count("asked twice at once");
                self.request(other, channel, ask, wait);
            }
        }
    }

    fn request(&mut self, process: usize, channel: &str, ask: Ask, wait: u64) -> Option<u32> {
        let depot = self.processes.get(process)?.depot.clone()?;
        let caller = template::caller(channel).ok()?;
        self.requests += 1;
        let request = self.requests;
        self.tell(What::Asked { request, channel: channel.to_owned(), process, ask: ask.clone() });
        let codes = Arc::clone(&self.codes);
        let work = Request { depot, caller, ask, wait: Duration::from_millis(wait), codes };
        self.executor.add(process, Some(request), Box::pin(work.run()));
        Some(request)
    }

    /// The carrier tells what happened, some of it twice, late, or not at all; and somebody tells what did not.
    fn bring_events(&mut self) {
        let Some(process) = self.alive() else { return };
        let now = self.time.moment();
        let trouble = self.phase == Phase::Storm && self.rng.per_mille(self.weather.event_troubles);
        if let Some(delivery) = self.network.with_twin(|twin| twin.next_delivery(now)) {
            if trouble && self.rng.per_mille(500) {
                self.history().count("event lost");
                self.network.with_twin(|twin| twin.delivery_ended(now, delivery.ticket, None));
                return;
            }
            if trouble {
                self.history().count("event brought twice");
                self.bring_event(
                    process,
                    &delivery.event_id,
                    delivery.signature.clone(),
                    delivery.body.clone(),
                );
            }
            let id = delivery.event_id.clone();
            if let Some(request) = self.bring_event(process, &id, delivery.signature, delivery.body) {
                self.events.insert(request, delivery.ticket);
            }
        } else if trouble && self.rng.per_mille(30) {
            self.forge_event(process);
        }
    }

    fn bring_event(&mut self, process: usize, id: &str, signature: String, body: Vec<u8>) -> Option<u32> {
        let depot = self.processes.get(process)?.depot.clone()?;
        let account = AccountName::parse(template::ACCOUNT).ok()?;
        self.requests += 1;
        let request = self.requests;
        self.tell(What::Event { request, process, id: id.to_owned() });
        self.executor.add(process, Some(request), Box::pin(take_event(depot, account, signature, body)));
        Some(request)
    }

    fn forge_event(&mut self, process: usize) {
        let lines: Vec<String> =
            self.network.with_twin(|twin| twin.lines().map(|line| line.spec.iccid.to_string()).collect());
        let Some(iccid) = self.rng.pick(&lines).cloned() else { return };
        self.forged += 1;
        let id = format!("{FORGED}{}", self.forged);
        let date = self.time.moment().to_rfc3339();
        let body = serde_json::json!({
            "header": { "eventId": id, "eventType": "SIM-MANAGEMENT/ESIM/INSTALLED", "eventDate": date },
            "body": { "simSerial": iccid, "status": "installed", "statusDate": date },
        });
        self.history().count("event forged");
        let signature = format!("sha256={}", "0".repeat(64));
        self.bring_event(process, &id, signature, body.to_string().into_bytes());
    }

    /// A process that is there.
    fn alive(&mut self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.processes.len())
            .filter(|place| self.processes.get(*place).is_some_and(|process| process.depot.is_some()))
            .collect();
        self.rng.pick(&alive).copied()
    }

    fn event_ended(&mut self, request: u32, status: Option<u16>) {
        if let Some(ticket) = self.events.remove(&request) {
            let now = self.time.moment();
            self.network.with_twin(|twin| twin.delivery_ended(now, ticket, status));
        }
    }

    fn answered(&mut self, request: u32, answer: Answer) {
        let now = self.time.micros();
        match &answer {
            Answer::Event { http } => self.event_ended(request, Some(*http)),
            _ => self.event_ended(request, None),
        }
        match &answer {
            Answer::Order { profiles, .. } => {
                for shown in profiles.iter().filter(|shown| shown.code.is_some()) {
                    self.give_phone(&shown.iccid);
                }
            }
            Answer::Code { iccid, .. } => self.give_phone(iccid),
            _ => {}
        }
        if let Some(client) = self.clients.iter_mut().find(|client| client.waits_for(request)) {
            client.answered(&answer, now);
        }
        self.tell(What::Answered { request, answer });
    }

    fn give_phone(&mut self, iccid: &str) {
        if let Ok(iccid) = Iccid::parse(iccid)
            && !self.phones.contains(&iccid)
        {
            self.phones.push(iccid);
        }
    }

    fn unanswered(&mut self, request: u32, why: &'static str) {
        let now = self.time.micros();
        self.event_ended(request, None);
        self.tell(What::Unanswered { request, why });
        if let Some(client) = self.clients.iter_mut().find(|client| client.waits_for(request)) {
            client.unanswered(now);
        }
    }

    /// What goes wrong now, apart from what goes wrong on the way to the carrier.
    fn disturb(&mut self) {
        let mut rarely = |n: u16| self.rng.per_mille(n) && self.rng.per_mille(150);
        let (kill, pause) = (rarely(self.weather.kills), rarely(self.weather.pauses));
        let (gone, clock) = (rarely(self.weather.gone_clients), rarely(self.weather.clock_steps));
        let process = self.rng.place(self.processes.len());
        if kill {
            self.kill(process);
        }
        if pause {
            self.pause(process);
        }
        if gone && let Some(request) = self.rng.pick(&self.executor.requests()).copied() {
            self.history().count("client gone");
            self.executor.drop_request(request);
            self.unanswered(request, "the client went away");
        }
        if clock {
            let ms = self.rng.within(-1_500, 1_500);
            self.history().count("clock set");
            self.time.set_wrong_by(ms * MILLISECOND);
            self.tell(What::ClockSet { ms });
        }
        if self.rng.per_mille(4) {
            self.use_phone();
        }
    }

    fn end_process(&mut self, process: usize) -> usize {
        let requests = self.executor.kill(process);
        let now = self.time.micros();
        let begins_at = now + self.rng.within(100, 20_000) * MILLISECOND;
        if let Some(process) = self.processes.get_mut(process) {
            process.depot = None;
            process.begins_at = begins_at;
        }
        for request in &requests {
            self.unanswered(*request, "the process died");
        }
        requests.len()
    }

    fn kill(&mut self, process: usize) {
        if self.processes.get(process).is_none_or(|process| process.depot.is_none()) {
            return;
        }
        self.history().count("process killed");
        let under_way = self.end_process(process);
        self.tell(What::Killed { process, under_way });
    }

    fn pause(&mut self, process: usize) {
        let ms = self.rng.within(500, 60_000);
        let until = self.time.micros() + ms * MILLISECOND;
        if let Some(process) = self.processes.get_mut(process) {
            process.stands_still_until = until;
        }
        self.history().count("process paused");
        self.tell(What::Paused { process, ms });
    }

    /// A customer does the next thing that one does with a profile.
    fn use_phone(&mut self) {
        let Some(iccid) = self.rng.pick(&self.phones).cloned() else { return };
        let now = self.time.moment();
        let country = if self.rng.per_mille(500) { "FR" } else { "JP" };
        let remove = self.rng.per_mille(150);
        let act = self.network.with_twin(|twin| {
            let status = twin.line(iccid.as_str())?.profile.as_ref()?.status;
            let (act, done) = match status {
                EsimStatus::Released => ("download", twin.simulate_download(&iccid, None, now).is_ok()),
                EsimStatus::Downloaded => ("install", twin.simulate_install(&iccid, now).is_ok()),
                EsimStatus::Installed | EsimStatus::Disabled => {
                    ("enable", twin.simulate_enable(&iccid, now).is_ok())
                }
                EsimStatus::Enabled if remove => ("delete", twin.simulate_delete(&iccid, now).is_ok()),
                EsimStatus::Enabled => ("attach", twin.attach(&iccid, country, now).is_ok()),
                EsimStatus::Available | EsimStatus::Allocated | EsimStatus::Deleted => return None,
            };
            done.then_some(act)
        });
        if let Some(act) = act {
            self.tell(What::Device { iccid: iccid.to_string(), act });
        }
    }

    /// Whether this was the last turn; goes from phase to phase.
    fn is_over(&mut self) -> Result<bool> {
        let now = self.time.micros();
        let lasted = now - self.phase_begun;
        let clients_done = self.clients.iter().all(Client::is_done);
        match self.phase {
            Phase::Storm if clients_done || lasted > STORM => {
                self.network.heal();
                for client in &mut self.clients {
                    client.stop_wanting();
                }
                for process in &mut self.processes {
                    process.begins_at = process.begins_at.min(now);
                    process.stands_still_until = 0;
                }
                self.tell(What::Healed);
                self.enter(Phase::Grace);
            }
            Phase::Storm => {}
            Phase::Grace => {
                if now - self.looked_at < 2 * SECOND {
                    return Ok(false);
                }
                self.looked_at = now;
                let settled =
                    clients_done && self.network.is_quiet() && end_state::open_work(&mut self.raw)? == 0;
                if settled || lasted > GRACE {
                    self.enter(Phase::Comparing);
                }
            }
            Phase::Comparing => {
                if now - self.looked_at < SECOND {
                    return Ok(false);
                }
                let compared = end_state::comparisons(&mut self.raw)?;
                if self.looked_at == 0 {
                    self.comparisons = compared.1;
                    if let Some(process) = self.alive() {
                        self.request(process, "shop-a", Ask::Compare, 0);
                    }
                }
                self.looked_at = now;
                let done = compared.0 == 0 && compared.1 > self.comparisons && self.network.is_quiet();
                if done && end_state::open_work(&mut self.raw)? == 0 || lasted > GRACE {
                    self.clients.iter_mut().for_each(Client::read_all_again);
                    self.enter(Phase::Closing);
                }
            }
            Phase::Closing => return Ok(clients_done || lasted > GRACE),
        }
        Ok(false)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_begun = self.time.micros();
        self.looked_at = 0;
    }
}

/// Nobody decides what became of a write before its time-out and a margin are over; the machine's clock may be set by
/// up to three seconds meanwhile. What takes effect within that must be found; what takes effect later cannot always be.
fn late_after(timeout: Duration) -> Micros {
    let margin = WorkSettings::default().resolve_margin.num_microseconds().unwrap_or_default();
    Micros::try_from(timeout.as_micros()).unwrap_or_default() + margin - 3 * SECOND
}

/// The carrier's stock is not always as it was delivered, and its APIs are not always open.
fn vary(twin: &mut simdepot_carrier_twin::Twin, rng: &mut Rng, time: &Time) {
    let now = time.moment();
    let lines: Vec<Iccid> = twin.lines().map(|line| line.spec.iccid.clone()).collect();
    let often = if rng.per_mille(300) { 150 } else { 0 };
    for iccid in lines {
        if !rng.per_mille(often) {
            continue;
        }
        let _ = match rng.below(3) {
            0 => twin.set_line_status(&iccid, SimStatus::Suspended, now),
            1 => twin.set_line_status(&iccid, SimStatus::Active, now),
            _ => twin.simulate_download(&iccid, None, now),
        };
    }
    let lag = if rng.per_mille(300) { u32::try_from(rng.within(1, 120)).unwrap_or(1) } else { 0 };
    let open = rng.per_mille(500);
    let assumptions = twin.assumptions_mut();
    assumptions.sim_search_lag_seconds = lag;
    assumptions.connectivity_open = open;
}
