//! One run: who goes on, when time passes, and what goes wrong meanwhile.

mod carrier_events;
mod commands;
mod customers;
mod people;
mod phases;
mod processes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use diesel::connection::SimpleConnection as _;
use diesel::sqlite::SqliteConnection;
use simdepot_application::depot::WorkSettings;
use simdepot_application::{Depot, verify};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::sim::SimStatus;

use super::Setup;
use super::carriers::{Carriers, Habits, To, Twins};
use super::clients::Client;
use super::end_state;
use super::executor::Executor;
use super::network::Network;
use super::people::Person;
use super::post::Post;
use super::process::{Pace, Surroundings};
use super::requests::Codes;
use super::template::{RunDatabase, STOCKS, Templates};
use super::time::{Ids, Time};
use super::weather::Weather;
use crate::checker::{EndState, Endpoint};
use crate::history::{History, Micros, What};
use crate::rng::Rng;

pub(super) use carrier_events::FORGED;
use phases::Phase;

const MILLISECOND: Micros = 1_000;
const SECOND: Micros = 1_000_000;
/// A run of more steps than this does not end by itself.
const MOST_STEPS: u64 = 400_000;

struct Process {
    depot: Option<Depot>,
    begins_at: Micros,
    stands_still_until: Micros,
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
    carriers: Carriers,
    weather: Weather,
    codes: Codes,
    /// Profiles whose codes customers have.
    phones: Vec<Iccid>,
    /// Who helps customers, decides what the carrier could not tell, and looks after webhook endpoints.
    person: Person,
    /// Who tells lines what to do.
    engineer: Person,
    /// Where webhooks go.
    post: Arc<Post>,
    endpoints: Vec<Endpoint>,
    requests: u32,
    /// Events under way: whose, and the carrier's number of the delivery.
    events: BTreeMap<u32, (To, u64)>,
    forged: u32,
    /// Sendings that were committed so far, where that is watched.
    sendings: i64,
    phase: Phase,
    phase_begun: Micros,
    looked_at: Micros,
    comparisons: i64,
    /// What waited for its delivery when it was last looked at.
    undelivered: i64,
}

/// What a run leaves behind.
pub(super) struct Run {
    pub(super) history: History,
    pub(super) end: EndState,
}

impl World {
    /// A run about to begin.
    pub(super) fn new(templates: &Templates, seed: u64, setup: Setup) -> Result<Self> {
        let mut rng = Rng::new(seed);
        let carriers = setup.carriers().unwrap_or_else(|| Carriers::draw(&mut rng));
        let broken = setup.broken;
        let number = rng.place(STOCKS.len());
        let stock = STOCKS.get(number).copied().unwrap_or(STOCKS[0]);
        let database = templates.copy(
            carriers,
            number,
            &format!("run-{seed:016x}-{:?}", std::thread::current().id()),
        )?;
        let mut raw = database.raw()?;
        raw.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = OFF")?;
        if let Some(guard) = broken {
            guard.tamper(&mut raw)?;
        }
        let Twins { mut transatel, mut wholesale, delivered } = Twins::make(carriers, stock)?;
        let time = Arc::new(Time::default());
        time.pass(60 * SECOND);
        vary(&mut transatel, &mut rng, &time);
        let habits = Habits::draw(&mut rng, &mut wholesale);
        let codes = delivered.into_iter().flat_map(|delivered| delivered.codes);
        let codes: Codes = Arc::new(codes.collect::<BTreeMap<_, _>>());
        let history = Arc::new(Mutex::new(History::default()));
        let mut weather = Weather::draw(&mut rng);
        if habits.silent_status {
            weather.spare_transactions();
        }
        if let Some(guard) = broken {
            weather.stress(guard);
        }
        let timeout = Duration::from_secs(*rng.pick(&[15, 15, 6]).unwrap_or(&15));
        let late_after = late_after(timeout, &weather);
        let pace = Pace::draw(&mut rng);
        weather.line_settle_ms = pace.line_settle.num_milliseconds();
        let roads = (transatel, wholesale);
        let network =
            Network::new(time.clone(), history.clone(), roads, weather.clone(), late_after, rng.split());
        let network = Arc::new(network);
        let post = Arc::new(Post::new(time.clone(), history.clone(), &weather, rng.split()));
        let ids = Arc::new(Ids::new(time.clone(), rng.split()));
        let surroundings = Surroundings {
            time: time.clone(),
            ids,
            network: network.clone(),
            history: history.clone(),
            timeout,
            pace,
            post: post.clone(),
            carriers,
            habits,
            broken,
        };
        let processes = (0..*rng.pick(&[1, 2, 2, 3]).unwrap_or(&2))
            .map(|_| Process { depot: None, begins_at: 0, stands_still_until: 0 })
            .collect();
        let wants = u32::try_from(rng.within(3, 8)).unwrap_or(3);
        let clients = (0..rng.within(2, 4))
            .map(|number| {
                let channel = if number % 2 == 0 { "shop-a" } else { "shop-b" };
                let number = usize::try_from(number).unwrap_or_default();
                Client::new(number, channel, wants, (carriers.pools(), weather.regrets), rng.split())
            })
            .collect();
        let person = Person::new(&weather, rng.split());
        let engineer = Person::engineer(&weather, rng.split());
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
            carriers,
            weather,
            codes,
            phones: Vec::new(),
            person,
            engineer,
            post,
            endpoints: Vec::new(),
            requests: 0,
            events: BTreeMap::new(),
            forged: 0,
            sendings: 0,
            phase: Phase::Storm,
            phase_begun,
            looked_at: 0,
            comparisons: 0,
            undelivered: i64::MAX,
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
        self.register_endpoints().await?;
        while self.step().await? {}
        for process in 0..self.processes.len() {
            self.end_process(process);
        }
        let depot = self.surroundings.open(&self.database)?;
        let report = verify::run(&depot, &|_| ()).await?;
        drop(depot);
        let findings = report.findings.into_iter().map(|finding| finding.what).collect();
        let end = end_state::read(&mut self.raw, &self.network, self.endpoints, findings)?;
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Run { history, end })
    }

    /// One turn. `false` when the run is over.
    async fn step(&mut self) -> Result<bool> {
        self.network.deliver();
        self.begin_processes()?;
        self.ask();
        self.let_people_act()?;
        self.let_engineer_act()?;
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
        // The moments around a write are the ones that matter: before it and after it went out.
        let went_out = self.network.orders_sent() > before;
        if self.phase == Phase::Storm && (went_out || self.is_about_to_send()) {
            if self.weather.kills > 0 && self.rng.per_mille(80) {
                self.kill(process);
            } else if self.weather.pauses > 0 && self.rng.per_mille(if went_out { 80 } else { 150 }) {
                // As long as others may need to find it out and send it again.
                let ms = if went_out { self.rng.within(500, 60_000) } else { self.rng.within(500, 24_000) };
                self.pause(process, ms);
            }
        }
    }

    /// Whether the last step committed that the next thing is a call. It is asked of the database, which takes its time,
    /// so only some runs look.
    fn is_about_to_send(&mut self) -> bool {
        if !self.weather.watches_sends {
            return false;
        }
        let sent = end_state::sendings(&mut self.raw).unwrap_or_default();
        std::mem::replace(&mut self.sendings, sent) < sent
    }
}

/// Nobody decides what became of a write before its time-out and a margin are over; the machine's clock may be set by
/// up to three seconds meanwhile, and a worker that was paused begins with the call up to half a margin later. What takes
/// effect within the rest must be found; what takes effect later cannot always be.
fn late_after(timeout: Duration, weather: &Weather) -> Micros {
    let margin = WorkSettings::default().resolve_margin.num_microseconds().unwrap_or_default();
    let clock = if weather.clock_steps > 0 { 3 * SECOND } else { 0 };
    let paused = if weather.pauses > 0 { 5 * SECOND / 2 } else { SECOND / 2 };
    Micros::try_from(timeout.as_micros()).unwrap_or_default() + margin - clock - paused
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
