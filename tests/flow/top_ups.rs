//! Top-ups: the order type follows the line.

use std::time::Duration;

use simdepot_application::AppError;
use simdepot_application::bundles::{self, TopUp};
use simdepot_application::orders::PlacedAs;
use simdepot_carrier_twin::LineSpec;
use simdepot_carrier_twin::orders::OrderType as SentAs;
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::sim::SimStatus;
use simdepot_tests::depot::{OTHER_PRODUCT, PRODUCT, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

/// Sells one profile without product.
async fn sold(test: &TestDepot) -> LineSpec {
    let line = test.deliver(1).await.remove(0);
    test.order("sale", 1).await.unwrap();
    line
}

/// The customer scans the code, switches the profile on and lands in France.
fn use_it(test: &TestDepot, iccid: &Iccid) {
    let now = SystemClock.now();
    let mut twin = test.twin.twin();
    twin.simulate_download(iccid, None, now).unwrap();
    twin.simulate_install(iccid, now).unwrap();
    twin.simulate_enable(iccid, now).unwrap();
    twin.attach(iccid, "FR", now).unwrap();
}

async fn insist(
    test: &TestDepot,
    iccid: &Iccid,
    reference: &str,
    order_type: OrderType,
) -> Result<bundles::ToppedUp, AppError> {
    let asked =
        TopUp { reference: reference.to_owned(), product: PRODUCT.to_owned(), order_type: Some(order_type) };
    bundles::top_up(&test.depot, &storefront("default"), iccid.clone(), asked, None, Duration::ZERO).await
}

fn sent_as(test: &TestDepot) -> Vec<SentAs> {
    test.carrier_orders().into_iter().map(|sent| sent.order_type).collect()
}

/// The order types of all order requests, refused ones included.
fn asked_as(test: &TestDepot) -> Vec<String> {
    let twin = test.twin.twin();
    let bodies = twin.requests().iter().filter_map(|request| request.body.as_ref());
    bodies.filter_map(|body| Some(body.get("orderType")?.as_str()?.to_owned())).collect()
}

on_both_databases! {
    async fn a_line_that_became_active_is_subscribed(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        test.top_up(&line.iccid, "before", PRODUCT).await.unwrap();
        test.work_until_idle().await;
        use_it(&test, &line.iccid);
        let topped_up = test.top_up(&line.iccid, "after", OTHER_PRODUCT).await.unwrap();
        assert_eq!(
            (topped_up.placed_as, topped_up.bundle.bundle.status),
            (PlacedAs::Created, BundleStatus::Ordering)
        );
        test.work_until_idle().await;
        assert_eq!(sent_as(&test), [SentAs::Preload, SentAs::Subscribe]);
        let listed = bundles::list(&test.depot, &storefront("default"), line.iccid.clone()).await.unwrap();
        let seen: Vec<_> = listed
            .iter()
            .map(|placed| {
                (placed.bundle.order_type, placed.operation_status(), placed.bundle.fetched_at.is_some())
            })
            .collect();
        assert_eq!(
            seen,
            [
                (Some(OrderType::Preload), Some(OperationStatus::Done), true),
                (Some(OrderType::Subscribe), Some(OperationStatus::Done), true),
            ]
        );
        // The first plan started when the line attached; the second waits behind it.
        assert_eq!(listed[0].bundle.status, BundleStatus::Active);
        assert!(!listed[0].bundle.balances.is_empty() && listed[0].bundle.activated_at.is_some());
        assert_eq!(test.profile(&line.iccid).await.sim.unwrap().status, SimStatus::Active);
        test.finish().await;
    }

    async fn a_reference_is_sent_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let first = test.top_up(&line.iccid, "top-1", PRODUCT).await.unwrap();
        test.work_until_idle().await;
        let again = test.top_up(&line.iccid, "top-1", PRODUCT).await.unwrap();
        assert_eq!((again.placed_as, again.bundle.bundle.id), (PlacedAs::Repeated, first.bundle.bundle.id));
        let conflict = test.top_up(&line.iccid, "top-1", OTHER_PRODUCT).await;
        assert!(matches!(conflict, Err(AppError::ReferenceConflict { .. })), "{conflict:?}");
        test.work_until_idle().await;
        assert_eq!(test.order_requests(), 1);
        // The namespace is not that of orders, where "sale" was used.
        test.top_up(&line.iccid, "sale", PRODUCT).await.unwrap();
        test.work_until_idle().await;
        assert_eq!(test.order_requests(), 2);
        test.finish().await;
    }

    async fn one_write_per_profile_at_a_time(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        test.top_up(&line.iccid, "top-1", PRODUCT).await.unwrap();
        let second = test.top_up(&line.iccid, "top-2", PRODUCT).await;
        assert!(matches!(second, Err(AppError::InvalidTransition { .. })), "{second:?}");
        test.work_until_idle().await;
        // What was refused has not used its reference up.
        test.top_up(&line.iccid, "top-2", PRODUCT).await.unwrap();
        test.work_until_idle().await;
        assert_eq!(test.carrier_orders().len(), 2);
        test.finish().await;
    }

    async fn only_the_channel_that_sold_it_tops_up(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        let unsold = test.deliver(1).await.remove(0);
        for (caller, iccid) in [("other", &line.iccid), ("default", &unsold.iccid)] {
            let asked = TopUp { reference: "t".to_owned(), product: PRODUCT.to_owned(), order_type: None };
            let caller = storefront(caller);
            let refused =
                bundles::top_up(&test.depot, &caller, iccid.clone(), asked, None, Duration::ZERO).await;
            assert!(matches!(refused, Err(AppError::NotFound { .. })), "{refused:?}");
            let listed = bundles::list(&test.depot, &caller, iccid.clone()).await;
            assert!(matches!(listed, Err(AppError::NotFound { .. })), "{listed:?}");
        }
        let unknown = test.top_up(&line.iccid, "t", "NO_SUCH_PRODUCT").await;
        assert!(matches!(unknown, Err(AppError::Invalid(_))), "{unknown:?}");
        test.finish().await;
    }

    /// SIM Search still shows the line as it was: the carrier's sure refusal is answered with the other type, once.
    async fn a_status_that_lags_switches_the_order_type_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        test.twin.twin().assumptions_mut().sim_search_lag_seconds = 600;
        test.twin.twin().set_line_status(&line.iccid, SimStatus::Active, SystemClock.now()).unwrap();
        test.top_up(&line.iccid, "top-1", PRODUCT).await.unwrap();
        test.work_until_settled().await;
        assert_eq!(
            (asked_as(&test), sent_as(&test)),
            (vec!["preload".to_owned(), "subscribe".to_owned()], vec![SentAs::Subscribe],)
        );
        let operation = test.operations(None).await.remove(0);
        assert_eq!((operation.status, operation.attempts), (OperationStatus::Done, 2));
        assert_eq!(
            (operation.refused_type, operation.order_type),
            (Some(OrderType::Preload), Some(OrderType::Subscribe))
        );
        test.finish().await;
    }

    /// A line that takes neither is refused; it is not tried a third time.
    async fn a_line_that_takes_neither_type_is_refused(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        test.twin.twin().assumptions_mut().sim_search_lag_seconds = 600;
        test.twin.twin().set_line_status(&line.iccid, SimStatus::Suspended, SystemClock.now()).unwrap();
        let id = test.top_up(&line.iccid, "top-1", PRODUCT).await.unwrap().bundle.bundle.id;
        test.work_until_settled().await;
        assert_eq!(asked_as(&test), ["preload", "subscribe"]);
        let listed = bundles::list(&test.depot, &storefront("default"), line.iccid.clone()).await.unwrap();
        let refused = listed.iter().find(|placed| placed.bundle.id == id).unwrap();
        assert_eq!(refused.bundle.status, BundleStatus::Refused);
        let problem = refused.operation.as_ref().unwrap().problem.clone().unwrap();
        assert_eq!(problem["code"], "SUBSCRIBER_STATUS_NOT_ELIGIBLE");
        // Once the index has caught up, nothing is sent at all.
        test.twin.twin().assumptions_mut().sim_search_lag_seconds = 0;
        test.top_up(&line.iccid, "top-2", PRODUCT).await.unwrap();
        test.work_until_settled().await;
        assert_eq!(test.order_requests(), 2);
        assert_eq!(test.operations(None).await[0].problem.as_ref().unwrap()["code"], "line_not_eligible");
        test.finish().await;
    }

    async fn an_order_type_that_was_asked_for_is_not_changed(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        insist(&test, &line.iccid, "top-1", OrderType::Subscribe).await.unwrap();
        test.work_until_settled().await;
        assert_eq!((asked_as(&test), sent_as(&test)), (vec!["subscribe".to_owned()], vec![]));
        assert_eq!(test.operations(None).await[0].status, OperationStatus::Refused);
        insist(&test, &line.iccid, "top-2", OrderType::Preload).await.unwrap();
        test.work_until_settled().await;
        assert_eq!(sent_as(&test), [SentAs::Preload]);
        // The same reference with another type is another request.
        let conflict = insist(&test, &line.iccid, "top-2", OrderType::Subscribe).await;
        assert!(matches!(conflict, Err(AppError::ReferenceConflict { .. })), "{conflict:?}");
        test.finish().await;
    }

    /// A refusal within the wait is the answer.
    async fn a_refusal_within_the_wait_is_told(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = sold(&test).await;
        test.twin.twin().set_line_status(&line.iccid, SimStatus::Terminated, SystemClock.now()).unwrap();
        let worker = test.worker();
        let asked = TopUp { reference: "top-1".to_owned(), product: PRODUCT.to_owned(), order_type: None };
        let caller = storefront("default");
        let wait = Duration::from_secs(10);
        let told = bundles::top_up(&test.depot, &caller, line.iccid.clone(), asked, None, wait).await;
        drop(worker);
        assert!(
            matches!(&told, Err(AppError::CarrierRefused { bundle: Some(_), refusal, .. })
                if refusal.code == "line_not_eligible"),
            "{told:?}"
        );
        assert_eq!(test.order_requests(), 0);
        test.finish().await;
    }
}
