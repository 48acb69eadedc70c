//! What speaks for an order's having been taken, whatever a list shows: it is not sent again by itself.

use std::time::Duration;

use simdepot_application::operations::{self, Verdict};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_persistence::operations::Operation;
use simdepot_tests::depot::stock_keeper;
use simdepot_tests::{TestDepot, on_both_databases};

use super::inbound::{now, product, tell};
use super::reconciliation::{Seen, look_through, reconcile};
use super::resolver::{lose, lose_on, start, until_a_person_must, work_until_fulfilled};

/// Lets worker and resolver look often enough that they would have sent again, had nothing spoken against it.
async fn look_many_times(test: &TestDepot) -> Operation {
    let begun = tokio::time::Instant::now();
    let reads = || async { test.operations(None).await.remove(0).reads };
    while reads().await < 4 {
        assert!(begun.elapsed() < Duration::from_secs(15), "nobody looks");
        while operations::resolve_step(&test.depot).await.unwrap() {}
        while operations::step(&test.depot).await.unwrap() {}
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    test.operations(None).await.remove(0)
}

on_both_databases! {
    /// A success that cannot be read: it was taken, or will be.
    async fn a_success_is_not_sent_again(db: TestDatabase) {
        let mut test = start(db).await;
        let lens = look_through(&mut test);
        test.pace(|pace| pace.give_up = chrono::TimeDelta::hours(1));
        let id = lose(&test, Fault::Garbage).await;
        lens.see(Seen::Empty);
        let operation = look_many_times(&test).await;
        assert_eq!((operation.status, operation.hints), (OperationStatus::Unknown, vec!["HTTP 201".to_owned()]));
        assert_eq!(test.order_requests(), 1);
        lens.see(Seen::AsItIs);
        test.resolve_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (1, 1));
        test.finish().await;
    }

    /// An event shows the bundle and names nobody; the list that is asked lags behind it.
    async fn what_an_event_showed_is_not_sent_again(db: TestDatabase) {
        let mut test = start(db).await;
        let lens = look_through(&mut test);
        let (id, line) = lose_on(&test, Fault::DropAfterApply).await;
        let taken = test.carrier_orders().remove(0).subscription_id;
        lens.see(Seen::Empty);
        tell(&test, &product(&line, "PRELOADED", now(), &taken)).await;
        let operation = look_many_times(&test).await;
        assert_eq!((operation.status, operation.hints), (OperationStatus::Unknown, vec![taken]));
        assert_eq!(test.order_requests(), 1);
        lens.see(Seen::AsItIs);
        test.resolve_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }

    /// A comparison reads the list when it is there, the resolver when it is not.
    async fn what_a_comparison_showed_is_not_sent_again(db: TestDatabase) {
        let mut test = start(db).await;
        let lens = look_through(&mut test);
        let id = lose(&test, Fault::DropAfterApply).await;
        reconcile(&test).await;
        lens.see(Seen::Empty);
        let operation = look_many_times(&test).await;
        assert_eq!((operation.hints.len(), test.order_requests()), (1, 1));
        // A person who has looked may say otherwise; it is looked for once more all the same.
        let by = stock_keeper("default");
        operations::decide_by_hand(&test.depot, &by, operation.id, Verdict::Retry, "not there".to_owned(), None)
            .await
            .unwrap();
        assert_eq!(test.operations(None).await[0].hints, Vec::<String>::new());
        lens.see(Seen::AsItIs);
        test.resolve_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }

    /// Put back, and then the line cannot be read: the list still shows it.
    async fn the_list_is_asked_before_the_line(db: TestDatabase) {
        let mut test = start(db).await;
        let lens = look_through(&mut test);
        let id = lose(&test, Fault::DropAfterApply).await;
        lens.see(Seen::Empty);
        test.twin.twin().add_script(Script::always(CallName::SimSearch, Fault::Status503Before));
        while test.operations(None).await[0].status == OperationStatus::Unknown {
            operations::resolve_step(&test.depot).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        lens.see(Seen::AsItIs);
        test.resolve_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }

    /// A carrier that fails every order is not asked for ever.
    async fn sendings_are_counted(db: TestDatabase) {
        let mut test = start(db).await;
        test.pace(|pace| pace.sends = 3);
        test.twin.twin().add_script(Script::always(CallName::Order, Fault::Status500Before));
        test.deliver(1).await;
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let operation = until_a_person_must(&test).await;
        assert_eq!(operation.attempts, 3);
        assert_eq!(operation.problem.unwrap()["code"], "never_answered");
        assert_eq!(test.order_requests(), 3);
        let order = test.read_order(id).await;
        assert_eq!(order.lines[0].profiles[0].outcome, ProfileOutcome::NeedsAttention);
        // A person grants one more.
        test.twin.twin().clear_scripts();
        let by = stock_keeper("default");
        operations::decide_by_hand(&test.depot, &by, operation.id, Verdict::Retry, "mended".to_owned(), None)
            .await
            .unwrap();
        work_until_fulfilled(&test, id).await;
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (4, 1));
        test.finish().await;
    }
}
