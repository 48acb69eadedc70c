//! Our books against the carrier's: what differs is found, and what could not be read proves nothing.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use simdepot_application::profiles;
use simdepot_application::reconciliation::{self, ReconciliationView, sweep};
use simdepot_carrier_twin::{CallName, Fault, LineSpec, Script};
use simdepot_domain::bundle::OrderType;
use simdepot_domain::carrier::{
    BundleOrder, BundleReading, Capability, Carrier, EsimReading, EventRefused, FleetPage, LineKey,
    LineReading, Placement, Probe, ReadError, Unavailable, UnreadableEvent,
};
use simdepot_domain::carrier_event::CarrierEvent;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ReconciliationId;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::product::Product;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::reconciliation::ReconciliationStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::Backend;
use simdepot_tests::depot::{OTHER_PRODUCT, stock_keeper};
use simdepot_tests::{TestDepot, on_both_databases};

/// How a carrier's list of bundles is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    AsItIs,
    Empty,
    Unreadable,
    Denied,
}

/// A carrier whose lists of bundles can be hidden; everything else passes.
pub(super) struct Lens {
    inner: Arc<dyn Carrier>,
    seen: Mutex<Seen>,
}

impl Lens {
    pub(super) fn see(&self, seen: Seen) {
        *self.seen.lock().unwrap() = seen;
    }
}

#[async_trait]
impl Carrier for Lens {
    fn capabilities(&self) -> &'static [Capability] {
        self.inner.capabilities()
    }

    async fn products(&self) -> Result<Vec<Product>, ReadError> {
        self.inner.products().await
    }

    async fn product(&self, product: &str) -> Result<Option<Product>, ReadError> {
        self.inner.product(product).await
    }

    async fn line(&self, key: &LineKey) -> Result<Option<LineReading>, ReadError> {
        self.inner.line(key).await
    }

    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError> {
        self.inner.esim(iccid).await
    }

    async fn bundles(&self, msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError> {
        let seen = *self.seen.lock().unwrap();
        match seen {
            Seen::AsItIs => self.inner.bundles(msisdn).await,
            Seen::Empty => Ok(Some(Vec::new())),
            Seen::Unreadable => {
                Err(Unavailable { reason: "no answer".to_owned(), retry_after_ms: None }.into())
            }
            Seen::Denied => Err(ReadError::Denied { code: "FORBIDDEN".to_owned() }),
        }
    }

    async fn place_bundle(&self, order: &BundleOrder) -> Placement {
        self.inner.place_bundle(order).await
    }

    async fn probe(&self) -> Vec<Probe> {
        self.inner.probe().await
    }

    async fn fleet(&self, page: u32) -> Result<FleetPage, ReadError> {
        self.inner.fleet(page).await
    }

    fn authenticate(&self, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<(), EventRefused> {
        self.inner.authenticate(header, body)
    }

    fn event(&self, body: &[u8]) -> Result<CarrierEvent, UnreadableEvent> {
        self.inner.event(body)
    }
}

/// Puts a lens before the carrier.
pub(super) fn look_through(test: &mut TestDepot) -> Arc<Lens> {
    let mut kept = None;
    test.wrap_carrier(|inner| {
        let lens = Arc::new(Lens { inner, seen: Mutex::new(Seen::AsItIs) });
        kept = Some(Arc::clone(&lens));
        lens
    });
    kept.unwrap()
}

/// Somebody orders at the carrier behind our back.
async fn order_behind(test: &TestDepot, line: &LineSpec) {
    let order = BundleOrder {
        iccid: line.iccid.clone(),
        msisdn: Msisdn::parse(line.msisdn()).unwrap(),
        product: OTHER_PRODUCT.to_owned(),
        order_type: OrderType::Preload,
        reference: "somebody else".to_owned(),
    };
    let carrier = Arc::clone(&test.depot.accounts.values().next().unwrap().carrier);
    let placed = carrier.place_bundle(&order).await;
    assert!(matches!(placed, Placement::Done(_)), "{placed:?}");
}

async fn start(test: &TestDepot) -> ReconciliationId {
    let (view, _) = reconciliation::start(&test.depot, &stock_keeper("default"), None, None).await.unwrap();
    assert_eq!(view.reconciliation.status, ReconciliationStatus::Running);
    view.reconciliation.id
}

async fn get(test: &TestDepot, id: ReconciliationId) -> ReconciliationView {
    reconciliation::get(&test.depot, id).await.unwrap()
}

/// A minute and more passes, as far as second looks and put-off steps go.
pub(super) fn pass_time(test: &TestDepot) {
    let earlier = match test.db.backend() {
        Backend::Postgres => "- INTERVAL '90 seconds'",
        Backend::Sqlite => "- 90000000",
    };
    test.db.raw().execute(&format!(
        "UPDATE suspicions SET since = since {earlier}; UPDATE reconciliations SET lease_until = lease_until {earlier}; \
         UPDATE profile_checks SET check_at = check_at {earlier}"
    ));
}

/// Works on it to its end.
async fn finish(test: &TestDepot, id: ReconciliationId) -> ReconciliationView {
    for _ in 0..1_000 {
        let view = get(test, id).await;
        if view.reconciliation.finished_at.is_some() {
            return view;
        }
        if !reconciliation::step(&test.depot).await.unwrap() {
            pass_time(test);
        }
    }
    panic!("it does not end: {:#?}", get(test, id).await);
}

pub(super) async fn reconcile(test: &TestDepot) -> ReconciliationView {
    let id = start(test).await;
    finish(test, id).await
}

/// Sweeps until `count` profiles had their turn.
pub(super) async fn sweep_profiles(test: &mut TestDepot, count: usize) {
    test.pace(|pace| pace.sweep_every = TimeDelta::microseconds(1));
    let mut swept = 0;
    for _ in 0..1_000 {
        if sweep::step(&test.depot).await.unwrap() {
            swept += 1;
            if swept == count {
                return;
            }
        }
    }
    panic!("{swept} of {count}");
}

fn drifts(test: &TestDepot) -> Vec<String> {
    test.db.raw().texts("SELECT kind || ' ' || status AS value FROM drifts ORDER BY id")
}

fn suspicions(test: &TestDepot) -> i64 {
    test.db.raw().number("SELECT COUNT(*) AS value FROM suspicions")
}

on_both_databases! {
    async fn books_that_agree_are_clean(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(13).await;
        test.twin.twin().add_lines(2);
        test.order_with_product("ref-1", 2).await.unwrap();
        test.work_until_settled().await;
        let view = reconcile(&test).await;
        let done = &view.reconciliation;
        assert_eq!((done.status, done.total, done.problem.as_deref()), (ReconciliationStatus::Completed, 13, None));
        assert_eq!((done.counts.compared, done.counts.unread), (13, 0));
        assert_eq!((done.counts.drifts, done.counts.healed, done.counts.unknown_lines), (0, 0, 2));
        assert!(view.open_drifts.is_empty());
        assert_eq!(test.profile(&lines[12].iccid).await.esim.unwrap().status, EsimStatus::Released);
        let told = test.db.raw().texts(
            "SELECT type_name AS value FROM events WHERE subject_kind = 'reconciliation' ORDER BY version",
        );
        assert_eq!(told, ["reconciliation.started", "reconciliation.completed"]);
        test.finish().await;
    }

    async fn a_bundle_behind_our_back_is_found_by_the_sweep_and_closed_when_gone(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let lens = look_through(&mut test);
        let line = test.deliver(1).await.remove(0);
        sweep_profiles(&mut test, 1).await;
        assert_eq!(drifts(&test), Vec::<String>::new());
        // Set aside by a person: nobody's line, so that the books have no place for it.
        let by = stock_keeper("default");
        let aside = profiles::Move::Quarantine;
        profiles::command(&test.depot, &by, line.iccid.clone(), aside, "returned".to_owned(), None).await.unwrap();
        order_behind(&test, &line).await;
        sweep_profiles(&mut test, 2).await;
        assert_eq!(drifts(&test), ["unexpected_bundle open"], "told once");
        for seen in [Seen::Unreadable, Seen::Denied] {
            lens.see(seen);
            sweep_profiles(&mut test, 1).await;
            assert_eq!(drifts(&test), ["unexpected_bundle open"], "{seen:?} proves nothing");
        }
        lens.see(Seen::Empty);
        sweep_profiles(&mut test, 1).await;
        assert_eq!(drifts(&test), ["unexpected_bundle gone"]);
        test.finish().await;
    }

    async fn what_is_in_use_is_set_aside(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(4).await;
        let now = SystemClock.now();
        test.twin.twin().simulate_download(&lines[0].iccid, None, now).unwrap();
        test.twin
            .twin()
            .set_line_status(&lines[1].iccid, simdepot_domain::sim::SimStatus::Terminated, now)
            .unwrap();
        order_behind(&test, &lines[2]).await;
        let view = reconcile(&test).await;
        assert_eq!((view.reconciliation.counts.drifts, view.reconciliation.counts.healed), (4, 3));
        for line in &lines[..3] {
            let profile = test.profile(&line.iccid).await;
            assert_eq!(profile.quarantine_reason, Some(QuarantineReason::SeenInUse), "{profile:?}");
        }
        assert_eq!(test.profile(&lines[3].iccid).await.stock_status, StockStatus::Available);
        assert_eq!(view.open_drifts.len(), 1, "the bundle is still there");
        test.finish().await;
    }

    /// One list may be wrong. Two, a minute apart, are believed; a list that could not be read is none.
    async fn a_missing_bundle_is_missed_twice(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let lens = look_through(&mut test);
        test.deliver(1).await;
        test.order_with_product("ref-1", 1).await.unwrap();
        test.work_until_settled().await;
        lens.see(Seen::Unreadable);
        let view = reconcile(&test).await;
        assert_eq!((view.reconciliation.counts.unread, suspicions(&test)), (1, 0));
        lens.see(Seen::Empty);
        sweep_profiles(&mut test, 2).await;
        assert_eq!((drifts(&test), suspicions(&test)), (vec![], 1));
        lens.see(Seen::AsItIs);
        sweep_profiles(&mut test, 1).await;
        assert_eq!((drifts(&test), suspicions(&test)), (vec![], 0), "it was there after all");
        lens.see(Seen::Empty);
        let view = reconcile(&test).await;
        assert_eq!((drifts(&test), suspicions(&test)), (vec!["missing_bundle open".to_owned()], 0));
        assert_eq!((view.reconciliation.counts.drifts, view.open_drifts.len()), (1, 1));
        lens.see(Seen::AsItIs);
        sweep_profiles(&mut test, 1).await;
        assert_eq!(drifts(&test), ["missing_bundle gone"]);
        test.finish().await;
    }

    async fn a_sim_that_the_carrier_does_not_know_is_set_aside(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let stranger = Iccid::parse("8988247999999999992").unwrap();
        let file = format!("ICCID;MSISDN;ActivationCode\n{stranger};33699999999;1$smdp.example$STRANGER\n");
        test.import(file, test.import_of()).await.unwrap();
        test.twin.twin().add_script(Script::always(CallName::Esim, Fault::Status503Before));
        let view = reconcile(&test).await;
        assert_eq!((view.reconciliation.counts.unread, suspicions(&test)), (1, 0), "half an answer proves nothing");
        assert_eq!(test.profile(&stranger).await.stock_status, StockStatus::Available);
        test.twin.twin().clear_scripts();
        // The circuit breaker has opened meanwhile.
        tokio::time::sleep(std::time::Duration::from_millis(5_100)).await;
        let view = reconcile(&test).await;
        assert_eq!((view.reconciliation.counts.drifts, view.reconciliation.counts.healed), (1, 1), "{view:#?}");
        let profile = test.profile(&stranger).await;
        assert_eq!(profile.quarantine_reason, Some(QuarantineReason::UnknownToCarrier));
        assert_eq!(drifts(&test), ["unknown_to_carrier healed"]);
        assert_eq!(reconcile(&test).await.reconciliation.counts.drifts, 0, "our books say the same now");
        test.finish().await;
    }

    /// What was not read is not known: without its fleet a reconciliation is no comparison.
    async fn a_fleet_that_cannot_be_read_fails_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        test.twin.twin().add_script(Script::always(CallName::SimSearch, Fault::Garbage));
        let view = reconcile(&test).await;
        assert_eq!(view.reconciliation.status, ReconciliationStatus::Failed);
        assert!(view.reconciliation.problem.unwrap().contains("page 1"));
        assert_eq!((view.reconciliation.counts.compared, drifts(&test).len()), (0, 0));
        test.finish().await;
    }

    /// Several processes share one; each profile is counted once, and a dead worker's piece is taken over.
    async fn processes_share_one_reconciliation(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(45).await;
        let id = start(&test).await;
        assert_eq!(start(&test).await, id, "one at a time");
        reconciliation::step(&test.depot).await.unwrap();
        // A worker that died with the lease in its hands.
        test.db.raw().execute(match test.db.backend() {
            Backend::Postgres => {
                "UPDATE reconciliations SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() - INTERVAL '1 second'"
            }
            Backend::Sqlite => "UPDATE reconciliations SET lease_token = randomblob(16), lease_until = 1",
        });
        let workers: Vec<_> = [test.depot.clone(), test.restarted(), test.restarted()]
            .into_iter()
            .map(|depot| {
                tokio::spawn(async move {
                    loop {
                        let view = reconciliation::get(&depot, id).await.unwrap();
                        if view.reconciliation.finished_at.is_some() {
                            return view;
                        }
                        if !reconciliation::step(&depot).await.unwrap() {
                            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            let view = worker.await.unwrap();
            assert_eq!(view.reconciliation.status, ReconciliationStatus::Completed);
            assert_eq!((view.reconciliation.counts.compared, view.reconciliation.counts.unread), (45, 0));
        }
        test.finish().await;
    }

    /// Sales come before the rest of the stock, and are looked at again later and later.
    async fn sales_are_swept_first(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.deliver(30).await;
        let sold = test.order("sale", 1).await.unwrap().order;
        let sold = simdepot_tests::depot::profiles_of(&sold).remove(0);
        let (old, due) = match test.db.backend() {
            Backend::Postgres => ("created_at - INTERVAL '2 hours'", "check_at > clock_timestamp() + INTERVAL '50 minutes'"),
            Backend::Sqlite => ("created_at - 7200000000", "check_at > (unixepoch() + 3000) * 1000000"),
        };
        test.db.raw().execute(&format!("UPDATE allocations SET created_at = {old}"));
        // The round begins elsewhere: only its sale brings this profile to its turn.
        test.db.raw().execute(&format!(
            "INSERT INTO watermarks (name, value) VALUES ('sweep_stock', {})",
            sold.id
        ));
        assert_eq!(test.profile(&sold.iccid).await.esim, None);
        sweep_profiles(&mut test, 1).await;
        assert_eq!(test.profile(&sold.iccid).await.esim.unwrap().status, EsimStatus::Released);
        let next = format!("SELECT COUNT(*) AS value FROM profile_checks WHERE checks = 1 AND {due}");
        assert_eq!(test.db.raw().number(&next), 1, "the next look is in an hour");
        sweep_profiles(&mut test, 30).await;
        let unread = "SELECT COUNT(*) AS value FROM profiles WHERE esim_status IS NULL";
        assert_eq!(test.db.raw().number(unread), 0, "then the rest of the stock, once around");
        test.pace(|pace| pace.sweep_every = TimeDelta::zero());
        assert!(!sweep::step(&test.depot).await.unwrap(), "switched off");
        test.finish().await;
    }

    /// While an operation is open its profile is left to it.
    async fn an_open_operation_is_not_judged(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
        test.order_with_product("ref-1", 1).await.unwrap();
        test.work_until_settled().await;
        let view = reconcile(&test).await;
        assert_eq!((view.reconciliation.counts.drifts, drifts(&test)), (0, vec![]));
        test.resolve_until_settled().await;
        assert_eq!(reconcile(&test).await.reconciliation.counts.drifts, 0);
        test.finish().await;
    }
}
