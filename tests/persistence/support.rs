//! A pool and profiles, written by the repository functions alone.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::channel::{AccountName, ChannelName, PoolName};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::delivery::Format;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{BundleId, IdGenerator, ImportId, OperationId, OrderId, RandomIds};
use simdepot_domain::import::OnError;
use simdepot_domain::operation::OperationRequest;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::pool::{InitialStock, PoolSettings};
use simdepot_domain::profile::{FormFactor, QuarantineReason, no_sell_by};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::{StockStatus, Transition};
use simdepot_persistence::allocations::{self, Claim, NewAllocation};
use simdepot_persistence::bundles::Bundle;
use simdepot_persistence::imports::{Import, NewImport};
use simdepot_persistence::operations::NewOperation;
use simdepot_persistence::orders::{Line, Order};
use simdepot_persistence::pools::Pool;
use simdepot_persistence::profiles::{Batch, NewProfile, Profile};
use simdepot_persistence::{Conn, Store, StoreError, imports, orders, pools, profiles};
use simdepot_tests::TestDatabase;
use simdepot_tests::database::RawConnection;
use uuid::Uuid;

/// The machine's time, to the microsecond that both databases store.
pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now().trunc_subsecs(6)
}

pub(crate) fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

pub(crate) fn uuid() -> Uuid {
    RandomIds.uuid()
}

pub(crate) fn account() -> AccountName {
    AccountName::parse("spc").unwrap()
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(crate) fn settings(pool: &str, safety_buffer: u32) -> PoolSettings {
    PoolSettings {
        pool: PoolName::parse(pool).unwrap(),
        carrier_account: account(),
        name: pool.to_owned(),
        low_threshold: None,
        critical_threshold: None,
        safety_buffer,
        lead_time_days: None,
        shelf_life_days: None,
        balance_low_percent: None,
        expiry_warning_days: None,
        sellable_statuses: vec![SimStatus::Preactivated],
        activation: None,
    }
}

/// 19 digits that nobody else has.
pub(crate) fn iccid() -> Iccid {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Iccid::parse(&format!("8988247{:012}", COUNT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

pub(crate) fn new_profile() -> NewProfile {
    NewProfile {
        iccid: iccid(),
        form_factor: FormFactor::Esim,
        stock: InitialStock::Available,
        sell_by: no_sell_by(),
        msisdn: None,
        eid: None,
        sim: None,
    }
}

pub(crate) fn new_order(reference: &str) -> Order {
    Order {
        id: OrderId(uuid()),
        channel: channel("shop"),
        reference: reference.to_owned(),
        request_hash: vec![1, 2, 3],
        status: OrderStatus::InProgress,
        reveal: true,
        problem: None,
        cancelling_since: None,
        accepted_at: None,
        version: 1,
        created_at: now(),
        updated_at: now(),
    }
}

pub(crate) fn line_of(pool: &Pool, quantity: i64) -> Line {
    Line { line_no: 0, pool_id: pool.id, product: None, quantity, carrier_parameters: None }
}

pub(crate) fn new_bundle(profile: &Profile, reference: Option<&str>) -> Bundle {
    Bundle {
        id: BundleId(uuid()),
        profile_id: profile.id,
        order: None,
        channel: channel("shop"),
        reference: reference.map(str::to_owned),
        request_hash: Some(vec![7]),
        product: "FRANCE_1GB".to_owned(),
        order_type: None,
        status: BundleStatus::Ordering,
        carrier_account: account(),
        subscription_id: None,
        activated_at: None,
        expires_at: None,
        balances: Vec::new(),
        fetched_at: None,
        observed_at: None,
        low_told_for: None,
        expiry_told_for: None,
        version: 1,
        created_at: now(),
        updated_at: now(),
    }
}

pub(crate) fn new_operation(profile: &Profile) -> NewOperation {
    NewOperation {
        id: OperationId(uuid()),
        carrier_account: account(),
        request: OperationRequest::PlaceBundle {
            product: "FRANCE_1GB".to_owned(),
            order_type: None,
            first_sale: true,
        },
        profile_id: profile.id,
        allocation_id: None,
        order: None,
        bundle: None,
        sealed: None,
    }
}

pub(crate) fn new_import(pool: &Pool, sha256: &str) -> NewImport {
    NewImport {
        id: ImportId(uuid()),
        pool_id: pool.id,
        format: Format::Delivery,
        on_error: OnError::All,
        dry_run: false,
        sell_by: None,
        file_name: None,
        file_sha256: sha256.to_owned(),
    }
}

/// A store with a pool and one delivery.
pub(crate) struct Stock {
    pub(crate) store: Store,
    pub(crate) pool: Pool,
    pub(crate) import: Import,
    /// Behind the store, so that it is dropped after it.
    pub(crate) db: TestDatabase,
}

impl Stock {
    pub(crate) async fn empty(db: TestDatabase) -> Self {
        Self::with_buffer(db, 0).await
    }

    pub(crate) async fn with_buffer(db: TestDatabase, safety_buffer: u32) -> Self {
        let store = db.store();
        let pool = make_pool(&store, "world", safety_buffer).await;
        let import = make_import(&store, &pool).await;
        Self { store, pool, import, db }
    }

    /// With this many ordinary profiles, in the order of their rows.
    pub(crate) async fn of(db: TestDatabase, profiles: usize) -> (Self, Vec<Profile>) {
        let stock = Self::empty(db).await;
        let profiles = stock.add((0..profiles).map(|_| new_profile()).collect()).await;
        (stock, profiles)
    }

    pub(crate) async fn add(&self, new: Vec<NewProfile>) -> Vec<Profile> {
        add_profiles(&self.store, &self.pool, &self.import, new).await
    }

    pub(crate) async fn profile(&self, id: i64) -> Profile {
        self.store.read(move |conn| profiles::get(conn, id)).await.unwrap()
    }

    pub(crate) async fn take_aside(&self, id: i64) {
        let (profile, reason) = (self.profile(id).await, Some(QuarantineReason::Manual));
        let aside = Transition { from: StockStatus::Available, to: StockStatus::Quarantined };
        let moved = self.store.write(move |conn| profiles::move_stock(conn, &profile, aside, reason, now()));
        moved.await.unwrap();
    }

    /// On sale again.
    pub(crate) async fn put_back(&self, id: i64) {
        let profile = self.profile(id).await;
        let back = Transition { from: StockStatus::Quarantined, to: StockStatus::Available };
        let moved = self.store.write(move |conn| profiles::move_stock(conn, &profile, back, None, now()));
        moved.await.unwrap();
    }

    /// Claims and allocates to a new order in one transaction; the rows taken, or how many were there.
    pub(crate) async fn sell(&self, quantity: u32) -> Result<Vec<i64>, u64> {
        let (pool, moment) = (self.pool.clone(), now());
        let sold = self.store.write(move |conn| sell(conn, &pool, quantity, moment)).await;
        sold.unwrap()
    }
}

/// The ways to ask a pool for a profile.
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    InABatch,
    Aside,
    Alone,
}

pub(crate) const ASKS: [Ask; 3] = [Ask::InABatch, Ask::Aside, Ask::Alone];

/// The row that a claim of one profile takes. Nothing is allocated: the next one takes it again.
pub(crate) async fn asked(store: &Store, pool: &Pool, ask: Ask) -> Vec<i64> {
    let pool = pool.clone();
    let claim = move |conn: &mut Conn<'_>| match ask {
        Ask::InABatch => allocations::claim_up_to(conn, &pool, 1, false, now()),
        Ask::Aside => allocations::claim_up_to(conn, &pool, 1, true, now()),
        Ask::Alone => Ok(match allocations::claim(conn, &pool, 1, now())? {
            Claim::Taken(claimed) => claimed,
            Claim::OutOfStock { available } => {
                assert_eq!(available, 0);
                Vec::new()
            }
        }),
    };
    store.write(claim).await.unwrap().iter().map(|claimed| claimed.id).collect()
}

pub(crate) fn sell(
    conn: &mut Conn<'_>,
    pool: &Pool,
    quantity: u32,
    moment: DateTime<Utc>,
) -> Result<Result<Vec<i64>, u64>, StoreError> {
    let claimed = match allocations::claim(conn, pool, quantity, moment)? {
        Claim::Taken(claimed) => claimed,
        Claim::OutOfStock { available } => return Ok(Err(available)),
    };
    let order = new_order(&uuid().to_string());
    assert!(orders::insert(conn, &order, &[line_of(pool, i64::from(quantity))])?);
    let ids = claimed.iter().map(|profile| profile.id).collect();
    let new: Vec<NewAllocation> = (0i32..)
        .zip(claimed)
        .map(|(position, profile)| NewAllocation {
            profile,
            line_no: 0,
            position,
            outcome: ProfileOutcome::Pending,
        })
        .collect();
    allocations::allocate(conn, order.id, &new, false, moment)?;
    Ok(Ok(ids))
}

pub(crate) async fn make_pool(store: &Store, name: &str, safety_buffer: u32) -> Pool {
    let wanted = settings(name, safety_buffer);
    let made = store.write(move |conn| {
        pools::insert(conn, &wanted, now())?;
        pools::find(conn, &wanted.pool)
    });
    made.await.unwrap().unwrap()
}

pub(crate) async fn make_import(store: &Store, pool: &Pool) -> Import {
    let new = new_import(pool, &uuid().to_string());
    let made = store.write(move |conn| {
        imports::insert(conn, &new, now())?;
        imports::find(conn, new.id)
    });
    made.await.unwrap().unwrap()
}

pub(crate) async fn add_profiles(
    store: &Store,
    pool: &Pool,
    import: &Import,
    new: Vec<NewProfile>,
) -> Vec<Profile> {
    let batch = Batch { import: import.id, batch_no: import.batch_no, pool_id: pool.id, at: now() };
    let added = store.write(move |conn| {
        let rows = profiles::insert_many(conn, batch, &new)?;
        assert_eq!(rows.len(), new.len());
        rows.into_iter().map(|(id, _)| profiles::get(conn, id)).collect::<Result<Vec<_>, StoreError>>()
    });
    let mut added = added.await.unwrap();
    added.sort_by_key(|profile| profile.id);
    added
}

/// The error's shape: a guarded statement that found something else.
pub(crate) fn is_race<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::RowsAffected { .. }))
}

/// The error's shape: a unique index.
pub(crate) fn is_unique<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unique { .. }))
}

/// The steps of SQLite's plan.
pub(crate) fn explain_sqlite(db: &TestDatabase, sql: &str) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Step {
        #[diesel(sql_type = diesel::sql_types::Text)]
        detail: String,
    }
    let RawConnection::Sqlite(mut connection) = db.raw() else { panic!("not SQLite") };
    let explained = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}"));
    let steps: Vec<Step> = diesel::RunQueryDsl::load(explained, &mut connection).unwrap();
    steps.into_iter().map(|step| step.detail).collect()
}
