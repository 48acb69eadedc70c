//! Workers that die, and workers that wake up too late.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::{housekeeping, operations};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_tests::{TestDepot, on_both_databases};

use crate::carriers::{At, Between};

/// Stops the depot's carrier at one place.
fn hold(test: &mut TestDepot, at: At) -> Arc<Between> {
    let mut held = None;
    test.wrap_carrier(|inner| {
        let carrier = Arc::new(Between::holding(inner, at));
        held = Some(Arc::clone(&carrier));
        carrier
    });
    held.unwrap()
}

on_both_databases! {
    async fn a_crash_after_sent_leaves_an_operation_that_says_so(db: TestDatabase) {
        let mut test = TestDepot::start_with(db, Duration::from_millis(700)).await;
        test.pace(|pace| pace.resolve_margin = TimeDelta::milliseconds(300));
        test.deliver(2).await;
        let survivor = test.restarted();
        let held = hold(&mut test, At::Order);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let worker = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        worker.abort();
        assert!(worker.await.unwrap_err().is_cancelled());

        let sent = test.operations(None).await.remove(0);
        assert_eq!((sent.status, sent.attempts), (OperationStatus::Sent, 1));
        assert!(sent.sent_at.is_some() && sent.before_set == Some(Vec::new()));
        // Nobody decides before the answer could have come.
        housekeeping::step(&survivor).await.unwrap();
        assert_eq!(simdepot_tests::depot::work_until_idle(&survivor).await, 0);
        assert_eq!(test.operations(None).await[0].status, OperationStatus::Sent);
        assert_eq!(test.read_order(id).await.lines[0].profiles[0].outcome, ProfileOutcome::Pending);

        tokio::time::sleep(Duration::from_millis(1_200)).await;
        housekeeping::step(&survivor).await.unwrap();
        let unknown = test.operations(None).await.remove(0);
        assert_eq!((unknown.status, unknown.attempts), (OperationStatus::Unknown, 1));
        let order = test.read_order(id).await;
        assert_eq!(
            (order.order.status, order.lines[0].profiles[0].outcome),
            (OrderStatus::InProgress, ProfileOutcome::Unknown)
        );
        for _ in 0..3 {
            housekeeping::step(&survivor).await.unwrap();
            assert_eq!(simdepot_tests::depot::work_until_idle(&survivor).await, 0);
        }
        assert_eq!(test.order_requests(), 0);
        test.finish().await;
    }

    /// More of them than a step takes cannot be read: the one behind them is marked all the same, and the rest is done.
    async fn what_cannot_be_marked_hides_nothing(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(102).await;
        test.order_with_product("ref-1", 102).await.unwrap();
        let mut raw = test.db.raw();
        raw.execute("UPDATE operations SET status = 'sent', sent_at = created_at, resolve_after = created_at");
        raw.execute(
            "UPDATE operations SET before_set = '5' \
             WHERE profile_id <> (SELECT MAX(profile_id) FROM operations)",
        );
        drop(raw);
        housekeeping::step(&test.depot).await.unwrap();
        let count = |status: &str| {
            let sql = format!("SELECT COUNT(*) AS value FROM operations WHERE status = '{status}'");
            test.db.raw().number(&sql)
        };
        assert_eq!((count("unknown"), count("sent")), (1, 101));
        // Read again, they are marked as well.
        test.db.raw().execute("UPDATE operations SET before_set = '[]'");
        housekeeping::step(&test.depot).await.unwrap();
        assert_eq!((count("unknown"), count("sent")), (101, 1), "as many as a step takes");
        housekeeping::step(&test.depot).await.unwrap();
        assert_eq!((count("unknown"), count("sent")), (102, 0));
        test.finish_broken();
    }

    async fn a_worker_that_died_before_sent_is_replaced(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.deliver(1).await;
        let survivor = test.restarted();
        test.shorten_leases(TimeDelta::milliseconds(700));
        let held = hold(&mut test, At::Line);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let worker = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        worker.abort();
        assert!(worker.await.unwrap_err().is_cancelled());
        assert_eq!(
            simdepot_tests::depot::work_until_idle(&survivor).await,
            0,
            "the lease is still another's"
        );
        tokio::time::sleep(Duration::from_millis(800)).await;
        simdepot_tests::depot::work_until_idle(&survivor).await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        let operation = test.operations(None).await.remove(0);
        assert_eq!(
            (operation.status, operation.attempts, test.order_requests()),
            (OperationStatus::Done, 1, 1)
        );
        test.finish().await;
    }

    /// A worker that was paused between its lease and its send finds the work done by another: it sends nothing.
    async fn a_worker_that_wakes_up_too_late_sends_nothing(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.deliver(1).await;
        let other = test.restarted();
        test.shorten_leases(TimeDelta::milliseconds(400));
        let held = hold(&mut test, At::Line);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let sleeper = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        simdepot_tests::depot::work_until_idle(&other).await;
        assert_eq!(test.order_requests(), 1);
        held.go_on.notify_one();
        assert!(sleeper.await.unwrap().unwrap());
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (1, 1));
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        test.finish().await;
    }

    /// The lease ran out and nobody took over: the late worker still sends nothing under it.
    async fn a_lease_that_ran_out_is_not_sent_under(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.shorten_leases(TimeDelta::milliseconds(300));
        test.deliver(1).await;
        let held = hold(&mut test, At::Line);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let sleeper = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        held.go_on.notify_one();
        assert!(sleeper.await.unwrap().unwrap());
        assert_eq!(test.order_requests(), 0);
        let waiting = test.operations(None).await.remove(0);
        assert_eq!((waiting.status, waiting.attempts), (OperationStatus::Pending, 0));
        assert_eq!(waiting.sent_at, None);
        // It is done by the next one, once.
        test.pace(|pace| pace.lease = TimeDelta::seconds(30));
        test.work_until_settled().await;
        assert_eq!(
            (test.order_requests(), test.read_order(id).await.order.status),
            (1, OrderStatus::Fulfilled)
        );
        test.finish().await;
    }
}
