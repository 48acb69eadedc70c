//! What a person called done without naming the carrier's subscription takes it when it becomes known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::Value as Json;
use simdepot_application::bundles;
use simdepot_application::operations::{self, Concluded, Verdict};
use simdepot_carrier_twin::events::TwinEvent;
use simdepot_carrier_twin::{CallName, Fault, LineSpec, Script};
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::carrier::{
    BundleOrder, BundleReading, Capability, Carrier, EsimReading, EventRefused, FleetPage, LineKey,
    LineReading, Placement, Probe, ReadError, UnreadableEvent,
};
use simdepot_domain::carrier_event::{BundleNews, CarrierEvent};
use simdepot_domain::drift::DriftKind;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::product::Product;
use simdepot_persistence::bundles::Bundle;
use simdepot_tests::depot::{PRODUCT, stock_keeper};
use simdepot_tests::{TestDepot, on_both_databases};

use super::inbound::{count, drifts, now, product, tell};
use super::reconciliation::{reconcile, sweep_profiles};

/// A carrier whose lists echo the references that a test says, by subscription.
pub(super) struct Echo {
    inner: Arc<dyn Carrier>,
    references: Mutex<HashMap<String, String>>,
}

impl Echo {
    /// Puts it before the carrier.
    pub(super) fn before(test: &mut TestDepot) -> Arc<Self> {
        let mut kept = None;
        test.wrap_carrier(|inner| {
            let echo = Arc::new(Self { inner, references: Mutex::default() });
            kept = Some(Arc::clone(&echo));
            echo
        });
        kept.unwrap()
    }

    pub(super) fn echo(&self, subscription: &str, reference: &str) {
        self.references.lock().unwrap().insert(subscription.to_owned(), reference.to_owned());
    }
}

#[async_trait]
impl Carrier for Echo {
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
        let mut listed = self.inner.bundles(msisdn).await?;
        for bundle in listed.iter_mut().flatten() {
            bundle.reference = self.references.lock().unwrap().get(&bundle.subscription_id).cloned();
        }
        Ok(listed)
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

/// Orders one profile whose answer is lost after the carrier has taken it, and has a person call it done.
pub(super) async fn done_by_hand(test: &TestDepot) -> LineSpec {
    called_done(test, Fault::DropAfterApply).await
}

async fn called_done(test: &TestDepot, fault: Fault) -> LineSpec {
    let line = test.deliver(1).await.remove(0);
    test.twin.twin().add_script(Script::once(CallName::Order, fault));
    test.order_with_product("ref-1", 1).await.unwrap();
    test.work_until_settled().await;
    let operation = test.operations(None).await.remove(0);
    assert_eq!(operation.status, OperationStatus::Unknown);
    let (by, verdict) = (stock_keeper("default"), Verdict::Done { subscription_id: None });
    let decided =
        operations::decide_by_hand(&test.depot, &by, operation.id, verdict, "seen".to_owned(), None);
    assert_eq!(decided.await.unwrap().0.operation.status, OperationStatus::Done);
    line
}

/// Somebody buys at the carrier, not through us; returns the subscription.
pub(super) async fn buy_in_portal(test: &TestDepot, line: &LineSpec, product: &str) -> String {
    let order = BundleOrder {
        iccid: line.iccid.clone(),
        msisdn: Msisdn::parse(line.msisdn()).unwrap(),
        product: product.to_owned(),
        order_type: OrderType::Preload,
        reference: "portal".to_owned(),
    };
    let carrier = Arc::clone(&test.depot.accounts.values().next().unwrap().carrier);
    let placed = carrier.place_bundle(&order).await;
    assert!(matches!(placed, Placement::Done(_)), "{placed:?}");
    subscriptions(test, line).pop().unwrap()
}

/// The carrier's ids of what is on a line, oldest first.
pub(super) fn subscriptions(test: &TestDepot, line: &LineSpec) -> Vec<String> {
    let twin = test.twin.twin();
    twin.subscriptions_of(line.msisdn()).iter().map(|plan| plan.subscription_id.clone()).collect()
}

/// The bundles of a profile as they are stored.
pub(super) async fn stored(test: &TestDepot, line: &LineSpec) -> Vec<Bundle> {
    let id = test.profile(&line.iccid).await.id;
    test.depot.store.read(move |conn| simdepot_persistence::bundles::of_profile(conn, id)).await.unwrap()
}

async fn named(test: &TestDepot, line: &LineSpec) -> Option<String> {
    let [bundle] = stored(test, line).await.try_into().unwrap();
    bundle.subscription_id
}

on_both_databases! {
    /// The carrier's own event echoes our reference. Without it an event says nothing of whose the subscription is.
    async fn an_event_names_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = done_by_hand(&test).await;
        let subscription = subscriptions(&test, &line).remove(0);
        tell(&test, &product(&line, "PRELOADED", now(), &subscription)).await;
        assert_eq!((named(&test, &line).await, drifts(&test)), (None, vec!["unexpected_bundle open".to_owned()]));
        let events: Vec<Json> = test.twin.twin().events().iter().map(TwinEvent::envelope).collect();
        let echoed = events.iter().find(|event| event["header"]["eventType"] == "OCS/PRODUCT/PRELOADED").unwrap();
        tell(&test, echoed).await;
        assert_eq!(named(&test, &line).await, Some(subscription.clone()));
        assert_eq!((drifts(&test), count(&test, "bundle.identified")), (vec!["unexpected_bundle healed".to_owned()], 1));
        tell(&test, &product(&line, "ACTIVATED", now(), &subscription)).await;
        assert_eq!(stored(&test, &line).await[0].status, BundleStatus::Active);
        test.finish().await;
    }

    /// Also one that tells of its end, and one that comes again.
    async fn an_event_of_its_end_names_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = done_by_hand(&test).await;
        let operation = test.operations(None).await.remove(0);
        let subscription = subscriptions(&test, &line).remove(0);
        let news = BundleNews {
            subscription_id: subscription.clone(),
            product: None,
            status: Some(BundleStatus::Expired),
            ordered_at: None,
            activated_at: None,
            expires_at: None,
            reference: Some(operation.id.to_string()),
        };
        let conclude = |news: BundleNews| {
            let (depot, id, profile) = (test.depot.clone(), operation.id, operation.profile_id);
            async move { operations::conclude_by_event(&depot, id, profile, &news).await.unwrap() }
        };
        assert_eq!(conclude(news.clone()).await, Concluded::Done);
        assert_eq!(conclude(news.clone()).await, Concluded::Ended);
        let other = BundleNews { subscription_id: "another".to_owned(), ..news };
        assert_eq!(conclude(other).await, Concluded::Ended, "it has its subscription");
        assert_eq!((named(&test, &line).await, count(&test, "bundle.identified")), (Some(subscription), 1));
        test.finish().await;
    }

    async fn a_comparison_names_the_only_one_that_fits(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = done_by_hand(&test).await;
        let subscription = subscriptions(&test, &line).remove(0);
        tell(&test, &product(&line, "PRELOADED", now(), &subscription)).await;
        sweep_profiles(&mut test, 1).await;
        assert_eq!(named(&test, &line).await, Some(subscription));
        assert_eq!(drifts(&test), ["unexpected_bundle healed"]);
        let view = reconcile(&test).await;
        assert_eq!((view.reconciliation.counts.drifts, view.open_drifts.len()), (0, 0));
        test.finish().await;
    }

    /// Reading the bundles does as well, and asks no more often for one that is not found.
    async fn reading_the_bundles_names_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = done_by_hand(&test).await;
        let caller = stock_keeper("default");
        let list = || bundles::list(&test.depot, &caller, line.iccid.clone());
        let (listed, subscription) = (list().await.unwrap(), subscriptions(&test, &line).remove(0));
        assert_eq!(listed[0].bundle.subscription_id, Some(subscription));
        assert!(listed[0].bundle.fetched_at.is_some() && listed[0].bundle.expires_at.is_some());
        test.finish().await;
    }

    /// Of two that fit none is guessed, unless one of them echoes our reference.
    async fn nothing_is_guessed(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let echo = Echo::before(&mut test);
        let line = done_by_hand(&test).await;
        let portal = buy_in_portal(&test, &line, PRODUCT).await;
        let ours = subscriptions(&test, &line).remove(0);
        let caller = stock_keeper("default");
        bundles::list(&test.depot, &caller, line.iccid.clone()).await.unwrap();
        assert!(stored(&test, &line).await.iter().any(|bundle| bundle.fetched_at.is_some()), "asked for");
        sweep_profiles(&mut test, 1).await;
        assert_eq!(named(&test, &line).await, None);
        assert_eq!(drifts(&test), ["unexpected_bundle open", "unexpected_bundle open"]);
        echo.echo(&ours, &test.operations(None).await[0].id.to_string());
        sweep_profiles(&mut test, 1).await;
        assert_ne!(ours, portal);
        assert_eq!(stored(&test, &line).await[0].subscription_id, Some(ours));
        assert_eq!(drifts(&test)[0], "unexpected_bundle healed");
        test.finish().await;
    }

    /// A person may be wrong: what was never taken is missed, until something on the line can be it.
    async fn what_was_never_taken_is_missed(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = called_done(&test, Fault::DropBeforeApply).await;
        let view = reconcile(&test).await;
        let [bundle] = stored(&test, &line).await.try_into().unwrap();
        let missed: Vec<_> = view.open_drifts.iter().map(|(_, drift)| (drift.kind, drift.subject.clone())).collect();
        assert_eq!(missed, [(DriftKind::MissingBundle, bundle.id.to_string())]);
        let bought = buy_in_portal(&test, &line, PRODUCT).await;
        sweep_profiles(&mut test, 1).await;
        assert_eq!((named(&test, &line).await, drifts(&test)), (Some(bought), vec!["missing_bundle gone".to_owned()]));
        test.finish().await;
    }
}
