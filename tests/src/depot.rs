//! A depot at work: a test database, a carrier's twin over real HTTP, its adapter between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use simdepot_application::bundles::{TopUp, ToppedUp, top_up};
use simdepot_application::depot::{Account, Depot, WorkSettings};
use simdepot_application::idempotency::IdempotencyKey;
use simdepot_application::imports::{self, ImportView, StartImport, StartedAs};
use simdepot_application::orders::{self, OrderView, PlaceOrder, Placed};
use simdepot_application::turns::SharedTurns;
use simdepot_application::{AppError, Caller, feed, housekeeping, operations, pools, verify};
use simdepot_carrier_transatel::{LineSettings, Transatel, TransatelAccount};
use simdepot_carrier_twin::{LineSpec, RecordedOrder, Twin, TwinConfig, TwinServer};
use simdepot_domain::carrier::Carrier;
use simdepot_domain::channel::{AccountName, ChannelName, PoolName, Scope};
use simdepot_domain::clock::Clock;
use simdepot_domain::delivery::Format;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{OrderId, RandomIds};
use simdepot_domain::import::{ImportStatus, OnError};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderLine;
use simdepot_domain::pool::{DEFAULT_SELLABLE, PoolSettings};
use simdepot_domain::secret::Secret;
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::Profile;
use strum::VariantArray;
use tempfile::TempDir;

use crate::carrier::TestCarrier;
use crate::clock::TestClock;
use crate::database::TestDatabase;

/// The pool of every test depot.
pub const POOL: &str = "world";
/// Its carrier account.
pub const ACCOUNT: &str = "spc";
/// A product that the twin sells.
pub const PRODUCT: &str = "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D";
/// Another one.
pub const OTHER_PRODUCT: &str = "WW_901O_STACK_ONEOFF_WORLD_1GB_7D";
/// What the carrier signs its events with.
pub const WEBHOOK_SECRET: &str = "events-of-the-twin";
/// How long one call to the twin may take, unless a test needs it shorter.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a test waits for work that was put off.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a test waits for the transactions of others.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// A depot at work. End a test with [`TestDepot::finish`]: it looks at what is left behind.
pub struct TestDepot<M: TestCarrier = Twin> {
    /// The depot.
    pub depot: Depot,
    /// The carrier.
    pub twin: TwinServer<M>,
    /// The depot's clock.
    pub clock: Arc<TestClock>,
    /// The database; declared behind the depot, so that it is dropped after it.
    pub db: TestDatabase,
    files: TempDir,
    finished: bool,
}

impl<M: TestCarrier> std::fmt::Debug for TestDepot<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestDepot").field("depot", &self.depot).finish_non_exhaustive()
    }
}

/// A caller of a channel with every scope but the ones that see the whole stock.
///
/// # Panics
/// When the name is no channel name.
pub fn storefront(channel: &str) -> Caller {
    let scopes =
        Scope::VARIANTS.iter().copied().filter(|scope| !matches!(scope, Scope::Stock | Scope::Admin));
    Caller {
        key: None,
        channel: ChannelName::parse(channel).expect("a channel name"),
        scopes: scopes.collect(),
    }
}

/// A caller of a channel with every scope.
///
/// # Panics
/// When the name is no channel name.
pub fn stock_keeper(channel: &str) -> Caller {
    Caller { scopes: Scope::VARIANTS.to_vec(), ..storefront(channel) }
}

/// The settings of [`POOL`].
///
/// # Panics
/// Never: the names are constants.
pub fn pool_settings() -> PoolSettings {
    PoolSettings {
        pool: PoolName::parse(POOL).expect("a pool name"),
        carrier_account: AccountName::parse(ACCOUNT).expect("an account name"),
        name: "World".to_owned(),
        low_threshold: None,
        critical_threshold: None,
        safety_buffer: 0,
        lead_time_days: None,
        shelf_life_days: None,
        balance_low_percent: None,
        expiry_warning_days: None,
        sellable_statuses: DEFAULT_SELLABLE.to_vec(),
        activation: None,
    }
}

/// An order of `quantity` profiles of [`POOL`], with `product` on each.
pub fn order_of(reference: &str, quantity: u32, product: Option<&str>) -> PlaceOrder {
    let line = OrderLine {
        pool: pool_settings().pool,
        product: product.map(str::to_owned),
        quantity,
        carrier_parameters: None,
    };
    PlaceOrder {
        reference: reference.to_owned(),
        lines: vec![line],
        hold: None,
        dry_run: false,
        reveal: true,
    }
}

/// The profiles of an order that has one line.
pub fn profiles_of(order: &OrderView) -> Vec<Profile> {
    order.lines.iter().flat_map(|line| line.profiles.iter().map(|entry| entry.profile.clone())).collect()
}

impl TestDepot {
    /// A depot with the pool [`POOL`], without stock. SIM Search of the twin does not lag unless a test says so.
    ///
    /// # Panics
    /// When any part cannot be started.
    pub async fn start(db: TestDatabase) -> Self {
        Self::start_with(db, TIMEOUT).await
    }

    /// As [`TestDepot::start`], with another time-out of carrier calls.
    ///
    /// # Panics
    /// When any part cannot be started.
    pub async fn start_with(db: TestDatabase, timeout: Duration) -> Self {
        Self::start_as(db, TwinConfig::sandbox(), timeout).await
    }

    /// As [`TestDepot::start_with`], at another carrier account.
    ///
    /// # Panics
    /// When any part cannot be started.
    pub async fn start_as(db: TestDatabase, carrier: TwinConfig, timeout: Duration) -> Self {
        Self::start_at(db, Twin::new(carrier), timeout).await
    }

    /// Gives the carrier account other settings.
    ///
    /// # Panics
    /// When they cannot work.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut TransatelAccount)) {
        let timeout = self.account().timeout;
        let mut account = account_at(&self.twin.base_url, timeout);
        change(&mut account);
        let clock: Arc<dyn Clock> = self.clock.clone();
        let turns = Arc::new(SharedTurns::new(self.depot.store.clone()));
        let carrier = Transatel::new(account, clock, turns).expect("the adapter");
        self.depot.accounts = Arc::new(accounts(Arc::new(carrier), timeout));
    }

    /// `count` new lines at the carrier, and the delivery file that came with them imported.
    ///
    /// # Panics
    /// When the import does not complete.
    pub async fn deliver(&self, count: u32) -> Vec<LineSpec> {
        let lines = self.twin.twin().add_lines(count);
        self.import_delivery(simdepot_carrier_twin::delivery::delivery_file(&lines), count).await;
        lines
    }

    /// The orders that the carrier took, oldest first.
    pub fn carrier_orders(&self) -> Vec<RecordedOrder> {
        self.twin.twin().orders().to_vec()
    }

    /// How many order requests reached the carrier, whatever became of them.
    pub fn order_requests(&self) -> u64 {
        self.twin.twin().calls(simdepot_carrier_twin::CallName::Order)
    }
}

impl<M: TestCarrier> TestDepot<M> {
    /// A depot with the pool [`POOL`], without stock, beside a carrier.
    ///
    /// # Panics
    /// When any part cannot be started.
    pub async fn start_at(db: TestDatabase, mut carrier: M, timeout: Duration) -> Self {
        carrier.prepare();
        let twin = TwinServer::start_with(carrier, "127.0.0.1:0").expect("the twin starts");
        let clock = Arc::new(TestClock::default());
        let depot = open(&db, &clock, &twin, timeout);
        let files = tempfile::Builder::new().prefix("simdepot-files.").tempdir().expect("a temporary folder");
        let test = Self { depot, twin, clock, db, files, finished: false };
        let (pool, _) = pools::create(&test.depot, &stock_keeper("default"), M::pool(), None)
            .await
            .expect("the pool is made");
        assert_eq!(pool.settings.pool.as_str(), POOL);
        test
    }

    /// The depot as another process on the same database and carrier sees it: nothing in memory is shared.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn restarted(&self) -> Depot {
        let timeout = self.account().timeout;
        let mut depot = open(&self.db, &self.clock, &self.twin, timeout);
        depot.work = Arc::clone(&self.depot.work);
        depot
    }

    /// Changes the pace of background work.
    pub fn pace(&mut self, change: impl FnOnce(&mut WorkSettings)) {
        change(Arc::make_mut(&mut self.depot.work));
    }

    fn account(&self) -> &Account {
        self.depot.accounts.values().next().expect("the account")
    }

    /// Makes the leases of this depot's workers as short as no account would have them. The adapter keeps its time-out;
    /// other processes are started before.
    pub fn shorten_leases(&mut self, lease: TimeDelta) {
        self.pace(|pace| pace.lease = lease);
        let accounts = Arc::make_mut(&mut self.depot.accounts);
        for account in accounts.values_mut() {
            account.timeout = Duration::ZERO;
        }
    }

    /// Puts something between the depot and the adapter.
    pub fn wrap_carrier(&mut self, wrap: impl FnOnce(Arc<dyn Carrier>) -> Arc<dyn Carrier>) {
        let Account { carrier, timeout } = self.account().clone();
        self.depot.accounts = Arc::new(accounts(wrap(carrier), timeout));
    }

    /// A file in the test's own folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).expect("the file is written");
        path
    }

    /// How an import begins by default.
    pub fn import_of(&self) -> StartImport {
        StartImport {
            pool: pool_settings().pool,
            format: Format::Delivery,
            dry_run: false,
            on_error: OnError::All,
            sell_by: None,
            file_name: None,
        }
    }

    /// Imports a file, to its end.
    ///
    /// # Errors
    /// When it cannot be begun.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn import(
        &self,
        content: impl AsRef<[u8]>,
        asked: StartImport,
    ) -> Result<(ImportView, StartedAs), AppError> {
        let content = content.as_ref();
        let sha256 = hex::encode(Sha256::digest(content));
        let caller = stock_keeper("default");
        let (begun, started_as) = imports::start(&self.depot, &caller, asked, &sha256, None).await?;
        if started_as != StartedAs::Created {
            return Ok((begun, started_as));
        }
        let path = self.file(&format!("{}.csv", begun.import.id), content);
        imports::run(&self.depot, begun.import.id, &path, &|_| ()).await?;
        Ok((imports::get(&self.depot, begun.import.id).await?, started_as))
    }

    /// `count` new SIMs at the carrier, delivered.
    ///
    /// # Panics
    /// When the import does not complete.
    pub async fn stock_up(&self, count: u32) -> Vec<Iccid> {
        let (iccids, file) = self.twin.twin().make_stock(count);
        self.import_delivery(file, count).await;
        iccids
    }

    /// Imports a delivery file of `count` profiles.
    ///
    /// # Panics
    /// When the import does not complete.
    pub async fn import_delivery(&self, file: String, count: u32) {
        let (view, _) = self.import(file, self.import_of()).await.expect("the import begins");
        assert_eq!(
            (view.import.status, view.import.counts.accepted),
            (ImportStatus::Completed, u64::from(count)),
            "{:?}",
            view.import.problem
        );
    }

    /// Orders profiles without product for the channel `default`.
    ///
    /// # Errors
    /// Those of [`orders::place`].
    pub async fn order(&self, reference: &str, quantity: u32) -> Result<Placed, AppError> {
        self.place(order_of(reference, quantity, None)).await
    }

    /// Orders profiles with [`PRODUCT`] for the channel `default`; does not wait for the carrier.
    ///
    /// # Errors
    /// Those of [`orders::place`].
    pub async fn order_with_product(&self, reference: &str, quantity: u32) -> Result<Placed, AppError> {
        self.place(order_of(reference, quantity, Some(PRODUCT))).await
    }

    /// Places an order for the channel `default`; does not wait for the carrier.
    ///
    /// # Errors
    /// Those of [`orders::place`].
    pub async fn place(&self, order: PlaceOrder) -> Result<Placed, AppError> {
        orders::place(&self.depot, &storefront("default"), order, None, Duration::ZERO).await
    }

    /// Tops a profile up for the channel `default`; does not wait for the carrier.
    ///
    /// # Errors
    /// Those of [`top_up`].
    pub async fn top_up(&self, iccid: &Iccid, reference: &str, product: &str) -> Result<ToppedUp, AppError> {
        let asked = TopUp { reference: reference.to_owned(), product: product.to_owned(), order_type: None };
        top_up(&self.depot, &storefront("default"), iccid.clone(), asked, None, Duration::ZERO).await
    }

    /// An order of the channel `default`, without codes.
    ///
    /// # Panics
    /// When there is none.
    pub async fn read_order(&self, id: OrderId) -> OrderView {
        orders::get(&self.depot, &storefront("default"), id, false).await.expect("the order")
    }

    /// Carries out operations until none is due; returns how many steps did something.
    ///
    /// # Panics
    /// When the store fails, or the work does not end.
    pub async fn work_until_idle(&self) -> usize {
        work_until_idle(&self.depot).await
    }

    /// Carries out operations until none is pending, waiting for those that were put off.
    ///
    /// # Panics
    /// When some are still pending after a while.
    pub async fn work_until_settled(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.work_until_idle().await;
            let pending = self.operations(Some(OperationStatus::Pending)).await;
            if pending.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "still pending: {pending:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Carries operations out and finds lost answers out, until every one has ended.
    ///
    /// # Panics
    /// When some are still open after a while.
    pub async fn resolve_until_settled(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            housekeeping::step(&self.depot).await.expect("the store answers");
            self.work_until_idle().await;
            while operations::resolve_step(&self.depot).await.expect("the store answers") {}
            let listed = self.operations(None).await;
            let open: Vec<_> = listed.into_iter().filter(|operation| operation.status.is_open()).collect();
            if open.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "still open: {open:#?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Starts a worker beside the test, as a process has them: it works until it is dropped.
    pub fn worker(&self) -> Worker {
        let depot = self.depot.clone();
        Worker(tokio::spawn(async move {
            loop {
                work_until_idle(&depot).await;
                // Woken, or after a while: another process may have made the work.
                let _ = tokio::time::timeout(Duration::from_millis(100), depot.signals.work.notified()).await;
            }
        }))
    }

    /// The operations that stand at `status`, or all; newest first.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn operations(&self, status: Option<OperationStatus>) -> Vec<Operation> {
        let listed = operations::list(&self.depot, &stock_keeper("default"), status, None, 10_000)
            .await
            .expect("the operations");
        listed.operations.into_iter().map(|view| view.operation).collect()
    }

    /// A profile as it is stored.
    ///
    /// # Panics
    /// When there is none.
    pub async fn profile(&self, iccid: &Iccid) -> Profile {
        let found =
            simdepot_application::profiles::get(&self.depot, &stock_keeper("default"), iccid.clone()).await;
        found.expect("the profile").profile
    }

    /// Numbers the events that are complete, as a server does beside its work.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn number_events(&self) {
        while feed::step(&self.depot).await.expect("the store answers") {}
    }

    /// Numbers every event that is written. On a server of several tests another one's transaction may hold some back
    /// for a while.
    ///
    /// # Panics
    /// When some have no number after a long while.
    pub async fn number_all_events(&self) {
        let deadline = tokio::time::Instant::now() + LONG_PATIENCE;
        let unnumbered = "SELECT (SELECT COUNT(*) FROM events) - (SELECT COUNT(*) FROM feed) AS value";
        loop {
            self.number_events().await;
            let left = self.db.raw().number(unnumbered);
            if left == 0 {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{left} events have no number");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What `simdepot verify` finds.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn findings(&self) -> Vec<String> {
        self.number_events().await;
        let report = verify::run(&self.depot, &|_| ()).await.expect("verify runs");
        report.findings.into_iter().map(|finding| finding.what).collect()
    }

    /// Asserts that the tables follow from the ledger.
    ///
    /// # Panics
    /// When they do not.
    pub async fn assert_verified(&self) {
        let findings = self.findings().await;
        assert!(findings.is_empty(), "verify found: {findings:#?}");
    }

    /// Ends a test: no operation may be waiting, and the tables must follow from the ledger.
    ///
    /// # Panics
    /// When something was left behind.
    pub async fn finish(self) {
        let pending = self.operations(Some(OperationStatus::Pending)).await;
        assert!(pending.is_empty(), "operations were left pending: {pending:#?}");
        self.finish_unsettled().await;
    }

    /// Ends a test that leaves operations waiting, on purpose: the tables must follow from the ledger all the same.
    ///
    /// # Panics
    /// When they do not.
    pub async fn finish_unsettled(mut self) {
        self.finished = true;
        self.assert_verified().await;
    }

    /// Ends a test that has broken the ledger on purpose.
    pub fn finish_broken(mut self) {
        self.finished = true;
    }
}

impl<M: TestCarrier> Drop for TestDepot<M> {
    fn drop(&mut self) {
        // A second panic would hide the first one.
        if !self.finished && !std::thread::panicking() {
            panic!("end the test with finish(), finish_unsettled() or finish_broken()");
        }
    }
}

/// A running worker.
#[derive(Debug)]
pub struct Worker(tokio::task::JoinHandle<()>);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn open<M: TestCarrier>(
    db: &TestDatabase,
    clock: &Arc<TestClock>,
    twin: &TwinServer<M>,
    timeout: Duration,
) -> Depot {
    let clock: Arc<dyn Clock> = clock.clone();
    let store = db.store_with(Arc::clone(&clock));
    let turns = Arc::new(SharedTurns::new(store.clone()));
    let carrier = twin.twin().adapter(&twin.base_url, timeout, Arc::clone(&clock), turns);
    Depot::new(store, clock, Arc::new(RandomIds), accounts(carrier, timeout))
}

fn accounts(carrier: Arc<dyn Carrier>, timeout: Duration) -> BTreeMap<AccountName, Account> {
    BTreeMap::from([(pool_settings().carrier_account, Account { carrier, timeout })])
}

/// The sandbox account of a twin.
pub fn account_at(base_url: &str, timeout: Duration) -> TransatelAccount {
    account_of(&TwinConfig::sandbox(), base_url, timeout)
}

pub(crate) fn account_of(twin: &TwinConfig, base_url: &str, timeout: Duration) -> TransatelAccount {
    let twin = twin.clone();
    TransatelAccount {
        account: ACCOUNT.to_owned(),
        base_url: base_url.to_owned(),
        client_id: twin.client_id,
        client_secret: twin.client_secret,
        mvno_ref: twin.mvno_ref,
        cos: twin.cos,
        rate_plan: Some(twin.rate_plan),
        lines: LineSettings::default(),
        timeout,
        max_requests_per_second: 2_000,
        webhook_secret: Some(Secret::new(WEBHOOK_SECRET)),
        source: "simdepot".to_owned(),
    }
}

/// Carries out operations until none is due; returns how many steps did something.
///
/// # Panics
/// When the store fails, or the work does not end.
pub async fn work_until_idle(depot: &Depot) -> usize {
    for steps in 0..10_000 {
        if !operations::step(depot).await.expect("the store answers") {
            return steps;
        }
    }
    panic!("the work does not end");
}

/// An idempotency key for a request with this body.
pub fn idempotency_key(key: &str, body: &str) -> IdempotencyKey {
    IdempotencyKey {
        key: key.to_owned(),
        request: "POST /v1/orders".to_owned(),
        body_hash: Sha256::digest(body.as_bytes()).to_vec(),
    }
}
