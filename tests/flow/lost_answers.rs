//! Lost answers: the operation says so, and nothing is ever sent twice.

use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::{AppError, housekeeping, orders};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{PRODUCT, storefront, work_until_idle};
use simdepot_tests::{TestDepot, on_both_databases};

/// Each way to lose an answer, and whether the carrier took the order.
fn faults() -> Vec<(Fault, bool)> {
    vec![
        (Fault::ApplyLate { ms: 400 }, true),
        (Fault::DropAfterApply, true),
        (Fault::DropBeforeApply, false),
        (Fault::Status503Before, false),
        (Fault::Status503AfterApply, true),
        (Fault::Status504AfterApply, true),
        (Fault::Status500Before, false),
        (Fault::Slow { ms: 3_000 }, true),
        (Fault::WrongShape, true),
        (Fault::Garbage, true),
    ]
}

on_both_databases! {
    async fn a_lost_answer_is_unknown_and_never_sent_again(db: TestDatabase) {
        let mut test = TestDepot::start_with(db, Duration::from_millis(900)).await;
        test.pace(|pace| pace.resolve_margin = TimeDelta::milliseconds(400));
        let faults = faults();
        let count = u32::try_from(faults.len()).unwrap();
        test.deliver(count + 1).await;
        let mut ids = Vec::new();
        for (number, (fault, _)) in faults.iter().enumerate() {
            test.twin.twin().add_script(Script::once(CallName::Order, fault.clone()));
            let order = test.order_with_product(&format!("ref-{number}"), 1).await.unwrap().order;
            test.work_until_settled().await;
            assert_eq!(test.order_requests(), u64::try_from(number).unwrap() + 1, "{fault:?}");
            let order = test.read_order(order.order.id).await;
            let entry = &order.lines[0].profiles[0];
            assert_eq!(
                (order.order.status, entry.outcome),
                (OrderStatus::InProgress, ProfileOutcome::Unknown),
                "{fault:?}"
            );
            assert_eq!(entry.profile.stock_status, StockStatus::Allocated);
            let placed = entry.bundle.as_ref().unwrap();
            let operation = placed.operation.as_ref().unwrap();
            assert_eq!(placed.bundle.status, BundleStatus::Unknown);
            assert_eq!((operation.status, operation.attempts), (OperationStatus::Unknown, 1), "{fault:?}");
            assert_eq!(operation.problem.as_ref().unwrap()["code"], "answer_lost");
            assert!(operation.before_set.is_some() && operation.resolve_after > operation.sent_at);
            ids.push((order.order.id, entry.profile.iccid.clone()));
        }
        // Time passes, work goes on, the process is started again: still nothing.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let restarted = test.restarted();
        for _ in 0..5 {
            housekeeping::step(&test.depot).await.unwrap();
            housekeeping::step(&restarted).await.unwrap();
            assert_eq!((test.work_until_idle().await, work_until_idle(&restarted).await), (0, 0));
        }
        assert_eq!(test.order_requests(), u64::from(count));
        let taken = faults.iter().filter(|(_, taken)| *taken).count();
        assert_eq!(test.carrier_orders().len(), taken);
        for (id, iccid) in ids {
            // No second write on the line, no code, no second sale.
            let topped_up = test.top_up(&iccid, &format!("top-{iccid}"), PRODUCT).await;
            assert!(matches!(topped_up, Err(AppError::InvalidTransition { .. })), "{topped_up:?}");
            let revealed = orders::get(&test.depot, &storefront("default"), id, true).await;
            assert!(matches!(revealed, Err(AppError::InvalidTransition { .. })), "{revealed:?}");
        }
        assert!(matches!(test.order("two", 2).await, Err(AppError::OutOfStock { available: 1, .. })));
        test.finish().await;
    }

    /// One answer of two is lost: the order waits for it, whatever became of the other.
    async fn an_order_waits_for_its_lost_answer(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::Status504AfterApply));
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::InProgress);
        let mut outcomes: Vec<_> =
            order.lines[0].profiles.iter().map(|entry| entry.outcome.to_string()).collect();
        outcomes.sort();
        assert_eq!(
            (outcomes, test.order_requests()),
            (vec!["fulfilled".to_owned(), "unknown".to_owned()], 2)
        );
        test.finish().await;
    }

    async fn a_lost_top_up_blocks_the_next_one(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        test.order("sale", 1).await.unwrap();
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
        test.top_up(&line.iccid, "top-1", PRODUCT).await.unwrap();
        test.work_until_settled().await;
        let again = test.top_up(&line.iccid, "top-1", PRODUCT).await.unwrap();
        assert_eq!(again.bundle.bundle.status, BundleStatus::Unknown);
        let next = test.top_up(&line.iccid, "top-2", PRODUCT).await;
        assert!(matches!(next, Err(AppError::InvalidTransition { .. })), "{next:?}");
        test.work_until_idle().await;
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }
}
