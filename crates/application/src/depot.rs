//! What every use case works with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::carrier::{Capability, Carrier};
use simdepot_domain::channel::AccountName;
use simdepot_domain::clock::Clock;
use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::id::{EventId, IdGenerator};
use simdepot_domain::webhook::{Courier, Targets};
use simdepot_persistence::store::{Backend, Session};
use simdepot_persistence::{Conn, Store};

use crate::carrier_reads::CarrierReads;
use crate::error::AppError;
use crate::feed::InFile;
use crate::gathering::Gathering;
use crate::imports;
use crate::in_flight::InFlight;
use crate::key_lookup::KeyLookup;
use crate::orders;
use crate::signals::Signals;
use crate::together::SmallWrite;
use crate::webhooks::{NoCourier, Probes};

/// A carrier account at work.
#[derive(Clone)]
pub struct Account {
    /// The adapter.
    pub carrier: Arc<dyn Carrier>,
    /// How long one call may take.
    pub timeout: Duration,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Account {
    /// Whether the carrier has something.
    pub fn has(&self, capability: Capability) -> bool {
        self.carrier.capabilities().contains(&capability)
    }

    /// Whether a profile is nothing without the subscription that is activated with its sale.
    pub fn sells_by_activation(&self) -> bool {
        self.has(Capability::Activation) && !self.has(Capability::Products)
    }

    /// Goes on only with a carrier that has something.
    ///
    /// # Errors
    /// [`AppError::Unsupported`].
    pub fn require(&self, capability: Capability) -> Result<(), AppError> {
        if self.has(capability) { Ok(()) } else { Err(AppError::unsupported()) }
    }
}

/// The configured carrier accounts by name.
pub type Accounts = BTreeMap<AccountName, Account>;

/// How background work is paced.
#[derive(Debug, Clone)]
pub struct WorkSettings {
    /// Operations of one account that a process carries out at a time.
    pub account_concurrency: usize,
    /// How long a worker has an operation for itself, at least: an account whose calls may take longer has longer
    /// leases.
    pub lease: TimeDelta,
    /// Added to the carrier's time-out before an open outcome may be decided.
    pub resolve_margin: TimeDelta,
    /// How far apart two empty reads must be before nothing is believed to be there: inventories are replicated.
    pub absence_gap: TimeDelta,
    /// How often the carrier is asked for an open outcome before a person must decide, once `give_up` has passed.
    pub resolve_reads: u32,
    /// How often an order is sent whose answers are all lost, while the carrier shows nothing of it, before a person must
    /// decide.
    pub sends: u32,
    /// Longest pause between two tries.
    pub backoff_cap: TimeDelta,
    /// A carrier that cannot be reached for this long fails the operation.
    pub give_up: TimeDelta,
    /// How long a line must show nothing of a command whose answer was lost before that is sent again: carriers work
    /// on one for minutes.
    pub line_settle: TimeDelta,
    /// How long a carrier may say that it works on a command before a person must decide.
    pub transaction_give_up: TimeDelta,
    /// How old a cached catalogue may be.
    pub catalogue_age: TimeDelta,
    /// Time between two checkpoints of the feed.
    pub checkpoints: TimeDelta,
    /// A file outside the database that keeps the checkpoints.
    pub checkpoint_file: Option<PathBuf>,
    /// The continuous comparison with the carriers looks at one profile in this time, over all processes; zero switches
    /// it off.
    pub sweep_every: TimeDelta,
    /// How long one try of a webhook delivery may take.
    pub webhook_timeout: Duration,
    /// Tries at failing webhook endpoints that a process has under way at a time.
    pub webhook_probes: usize,
    /// Most webhook endpoints of a channel.
    pub webhook_endpoints: u32,
}

impl Default for WorkSettings {
    fn default() -> Self {
        Self {
            account_concurrency: 6,
            lease: TimeDelta::seconds(30),
            resolve_margin: TimeDelta::seconds(5),
            absence_gap: TimeDelta::seconds(5),
            resolve_reads: 10,
            sends: 6,
            backoff_cap: TimeDelta::seconds(15),
            give_up: TimeDelta::minutes(30),
            line_settle: TimeDelta::minutes(5),
            transaction_give_up: TimeDelta::days(1),
            catalogue_age: TimeDelta::minutes(10),
            checkpoints: TimeDelta::hours(1),
            checkpoint_file: None,
            sweep_every: TimeDelta::seconds(2),
            webhook_timeout: Duration::from_secs(20),
            webhook_probes: 8,
            webhook_endpoints: 20,
        }
    }
}

/// How often a lost race is decided again.
const RACES: usize = 4;

/// Batches that are under way at a time: one is written while another is committed.
const BATCHES: usize = 2;
/// Orders that are taken alone at a time: they may wait for others, and each has a connection meanwhile.
const ASIDE: usize = 4;

/// So many writers at a time on PostgreSQL; SQLite has one.
fn writers(store: &Store, at_once: usize) -> usize {
    match store.backend() {
        Backend::Postgres => at_once,
        Backend::Sqlite => 1,
    }
}

/// The depot: store, ports and settings. Cheap to clone.
#[derive(Clone)]
pub struct Depot {
    /// The store.
    pub store: Store,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn IdGenerator>,
    /// Carrier accounts.
    pub accounts: Arc<Accounts>,
    /// Where orders are taken together.
    pub desk: Arc<Gathering<orders::Together>>,
    /// Where orders are taken that cannot be taken with others.
    pub aside: Arc<Gathering<orders::Aside>>,
    /// Where small writes go along with each other.
    pub small_writes: Arc<Gathering<SmallWrite>>,
    /// Where the keys of requests are looked up.
    pub keys: Arc<Gathering<KeyLookup>>,
    /// Wakes waiters and workers of this process.
    pub signals: Arc<Signals>,
    /// What this process has in hand at the carriers.
    pub in_flight: Arc<InFlight>,
    /// Batches of commands to lines that this process has in hand at the carriers.
    pub line_batches: Arc<InFlight>,
    /// Accounts whose commands are being followed.
    pub followed: Arc<InFlight>,
    /// The imports that this process has taken on.
    pub imports: Arc<imports::AtWork>,
    /// Turns for what is read of the carriers beside the sales.
    pub carrier_reads: CarrierReads,
    /// What this process tries at failing webhook endpoints.
    pub probes: Arc<Probes>,
    /// What this process has seen of its checkpoint file.
    pub checkpoint_file: Arc<InFile>,
    /// Pace.
    pub work: Arc<WorkSettings>,
    /// Takes webhooks to their endpoints.
    pub courier: Arc<dyn Courier>,
    /// Which addresses these may have.
    pub webhook_targets: Targets,
}

impl fmt::Debug for Depot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Depot")
            .field("store", &self.store)
            .field("accounts", &self.accounts)
            .finish_non_exhaustive()
    }
}

impl Depot {
    /// A depot with the default pace.
    pub fn new(store: Store, clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>, accounts: Accounts) -> Self {
        let (accounts, work) = (Arc::new(accounts), Arc::new(WorkSettings::default()));
        let (signals, in_flight, probes, checkpoint_file) =
            (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        let carrier_reads = CarrierReads::default();
        let (courier, webhook_targets) = (Arc::new(NoCourier), Targets::default());
        let (desk, aside) =
            (Gathering::new(writers(&store, BATCHES)), Gathering::new(writers(&store, ASIDE)));
        let (small_writes, keys) = (Gathering::new(writers(&store, BATCHES)), Gathering::new(BATCHES));
        Self {
            store,
            clock,
            ids,
            accounts,
            desk,
            aside,
            small_writes,
            keys,
            signals,
            in_flight,
            line_batches: Arc::default(),
            followed: Arc::default(),
            imports: Arc::default(),
            carrier_reads,
            probes,
            checkpoint_file,
            work,
            courier,
            webhook_targets,
        }
    }

    /// The same depot with a way out for webhooks.
    #[must_use]
    pub fn with_courier(mut self, courier: Arc<dyn Courier>, targets: Targets) -> Self {
        (self.courier, self.webhook_targets) = (courier, targets);
        self
    }

    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A configured account.
    ///
    /// # Errors
    /// [`AppError::UnknownAccount`] when a pool names one that the configuration lacks.
    pub fn account(&self, name: &AccountName) -> Result<&Account, AppError> {
        self.accounts.get(name).ok_or_else(|| AppError::UnknownAccount { account: name.clone() })
    }

    /// How long a worker has an operation of an account for itself: the reads before the call and the call each take
    /// the account's time-out at most.
    pub fn lease_of(&self, account: &Account) -> TimeDelta {
        let calls = TimeDelta::from_std(account.timeout.saturating_mul(2)).unwrap_or(TimeDelta::MAX);
        self.work.lease.max(calls)
    }

    /// Runs a unit of work that reads, decides and writes under a guard, again when somebody else was faster.
    ///
    /// # Errors
    /// Those of `work`; the race itself only when it is lost again and again.
    pub async fn write_again<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn<'_>) -> Result<T, AppError> + Clone + Send + 'static,
    ) -> Result<T, AppError> {
        for _ in 0..RACES {
            match self.store.write(work.clone()).await {
                Err(error) if error.is_race() => tracing::debug!(%error, "lost a race; deciding again"),
                decided => return decided,
            }
        }
        self.store.write(work).await
    }

    /// An event about to be written.
    pub fn event(&self, at: DateTime<Utc>, subject: Subject, version: i64, fact: Fact) -> Event {
        Event { id: EventId::generate(self.ids.as_ref()), at, subject, version, fact }
    }
}

/// As [`Depot::write_again`], in a session: it waits for its turn as long as that does.
///
/// # Errors
/// Those of `work`; the race itself only when it is lost again and again.
pub(crate) async fn write_again_in<T: Send + 'static>(
    session: &mut Session,
    work: impl Fn(&mut Conn<'_>) -> Result<T, AppError> + Clone + Send + 'static,
) -> Result<T, AppError> {
    for _ in 0..RACES {
        match session.write(work.clone()).await {
            Err(error) if error.is_race() => tracing::debug!(%error, "lost a race; deciding again"),
            decided => return decided,
        }
    }
    session.write(work).await
}
