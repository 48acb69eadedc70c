//! What the carrier surely did not do: the order fails, and the profile goes back where that is proven to be safe.

use std::time::Duration;

use simdepot_application::{AppError, orders};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::Concern;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{PRODUCT, order_of, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

fn refuse(test: &TestDepot, status: u16, title: &str) {
    let fault = Fault::RefuseTitle { status, title: title.to_owned() };
    test.twin.twin().add_script(Script::once(CallName::Order, fault));
}

on_both_databases! {
    async fn a_refused_product_fails_the_order_and_frees_the_profile(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        refuse(&test, 400, "PRODUCT_NOT_ELIGIBLE");
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        let entry = &order.lines[0].profiles[0];
        assert_eq!((order.order.status, entry.outcome), (OrderStatus::Failed, ProfileOutcome::Failed));
        assert_eq!(order.order.problem.as_ref().unwrap()["code"], "PRODUCT_NOT_ELIGIBLE");
        let placed = entry.bundle.as_ref().unwrap();
        assert_eq!(
            (placed.bundle.status, placed.operation_status()),
            (BundleStatus::Refused, Some(OperationStatus::Refused))
        );
        let profile = test.profile(&line.iccid).await;
        assert_eq!((profile.stock_status, profile.revealed_at), (StockStatus::Available, None));
        assert!(test.carrier_orders().is_empty());
        // The reference stays with the failed order; another one sells the same profile.
        let again = test.order_with_product("ref-1", 1).await.unwrap();
        assert_eq!((again.order.order.id, again.order.order.status), (id, OrderStatus::Failed));
        let second = test.order_with_product("ref-2", 1).await.unwrap().order;
        test.work_until_settled().await;
        let second = test.read_order(second.order.id).await;
        assert_eq!(
            (second.order.status, &second.lines[0].profiles[0].profile.iccid),
            (OrderStatus::Fulfilled, &line.iccid)
        );
        test.finish().await;
    }

    async fn every_sure_refusal_is_told_by_its_code(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        for (status, title) in [
            (400, "PRODUCT_NOT_FOUND"),
            (402, "INSUFFICIENT_FUND"),
            (403, "INSUFFICIENT_PERMISSION"),
            (400, "BAD_REQUEST"),
        ] {
            refuse(&test, status, title);
            let worker = test.worker();
            let asked = order_of(title, 1, Some(PRODUCT));
            let told =
                orders::place(&test.depot, &storefront("default"), asked, None, Duration::from_secs(10))
                    .await;
            drop(worker);
            match told {
                Err(AppError::CarrierRefused { order: Some(_), bundle: None, refusal }) => {
                    assert_eq!(refusal.code, title);
                    assert!(!matches!(refusal.concerns, Concern::Profile | Concern::LineStatus));
                }
                other => panic!("{title}: {other:?}"),
            }
        }
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (4, 0));
        test.finish().await;
    }

    async fn one_refused_of_two_needs_attention(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        refuse(&test, 400, "PRODUCT_NOT_ELIGIBLE");
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::NeedsAttention);
        // Not fulfilled: no code of it leaves, not even the good one's.
        let refused = orders::get(&test.depot, &storefront("default"), id, true).await;
        assert!(matches!(refused, Err(AppError::InvalidTransition { .. })), "{refused:?}");
        test.finish().await;
    }
}
