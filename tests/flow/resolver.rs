//! Lost answers found out: exactly one bundle at the carrier for each order, whatever became of the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::operations::{self, Concluded, Verdict};
use simdepot_application::{AppError, cancellations, housekeeping};
use simdepot_carrier_twin::{CallName, Fault, LineSpec, Script};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier_event::BundleNews;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::operations::Operation;
use simdepot_tests::depot::{PRODUCT, profiles_of, stock_keeper, storefront};
use simdepot_tests::{TestDatabase, TestDepot, on_both_databases};

/// Time-out of the calls; the twin is near, so a short one loses nothing.
const TIMEOUT: Duration = Duration::from_millis(600);

pub(super) async fn start(db: TestDatabase) -> TestDepot {
    let mut test = TestDepot::start_with(db, TIMEOUT).await;
    test.pace(|pace| {
        pace.resolve_margin = TimeDelta::milliseconds(400);
        pace.absence_gap = TimeDelta::milliseconds(200);
        pace.backoff_cap = TimeDelta::milliseconds(100);
    });
    test
}

/// Orders one profile with a product, whose order to the carrier meets `fault`.
pub(super) async fn lose(test: &TestDepot, fault: Fault) -> simdepot_domain::id::OrderId {
    lose_on(test, fault).await.0
}

/// And the line that it is for.
pub(super) async fn lose_on(test: &TestDepot, fault: Fault) -> (simdepot_domain::id::OrderId, LineSpec) {
    let line = test.deliver(1).await.remove(0);
    test.twin.twin().add_script(Script::once(CallName::Order, fault));
    let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
    test.work_until_settled().await;
    (id, line)
}

pub(super) async fn work_until_fulfilled(test: &TestDepot, id: simdepot_domain::id::OrderId) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while test.read_order(id).await.order.status != OrderStatus::Fulfilled {
        assert!(tokio::time::Instant::now() < deadline);
        test.work_until_settled().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets worker and resolver go on until a person must decide.
pub(super) async fn until_a_person_must(test: &TestDepot) -> Operation {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        test.work_until_settled().await;
        while operations::resolve_step(&test.depot).await.unwrap() {}
        let operation = test.operations(None).await.remove(0);
        if operation.status == OperationStatus::NeedsAttention {
            return operation;
        }
        assert!(tokio::time::Instant::now() < deadline, "{operation:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

on_both_databases! {
    async fn every_lost_answer_ends_in_exactly_one_bundle(db: TestDatabase) {
        let test = start(db).await;
        let faults = [
            (Fault::DropAfterApply, 1),
            (Fault::DropBeforeApply, 2),
            (Fault::Status503Before, 2),
            (Fault::Status503AfterApply, 1),
            (Fault::Status504AfterApply, 1),
            (Fault::Status500Before, 2),
            (Fault::Slow { ms: 900 }, 1),
            (Fault::WrongShape, 1),
            (Fault::Garbage, 1),
            (Fault::ApplyLate { ms: 300 }, 1),
        ];
        for (number, (fault, sendings)) in faults.iter().enumerate() {
            let line = test.deliver(1).await.remove(0);
            test.twin.twin().add_script(Script::once(CallName::Order, fault.clone()));
            let before = test.order_requests();
            let id = test.order_with_product(&format!("ref-{number}"), 1).await.unwrap().order.order.id;
            test.resolve_until_settled().await;
            let order = test.read_order(id).await;
            assert_eq!(order.order.status, OrderStatus::Fulfilled, "{fault:?}");
            assert_eq!(order.order.problem, None);
            let bundle = order.lines[0].profiles[0].bundle.as_ref().unwrap();
            let operation = bundle.operation.as_ref().unwrap();
            assert_eq!((operation.status, operation.attempts), (OperationStatus::Done, *sendings), "{fault:?}");
            assert!(operation.problem.is_none() && operation.evidence.is_some());
            assert_eq!(bundle.bundle.status, BundleStatus::Preloaded);
            assert_eq!(test.order_requests() - before, u64::from(*sendings), "{fault:?}");
            let msisdn = line.msisdn.unwrap().to_string();
            let there: Vec<_> =
                test.carrier_orders().into_iter().filter(|order| order.msisdn == msisdn).collect();
            assert_eq!(there.len(), 1, "{fault:?}");
            assert_eq!(bundle.bundle.subscription_id.as_ref(), Some(&there[0].subscription_id), "{fault:?}");
        }
        test.finish().await;
    }

    /// A restarted process takes over what a dead one had sent.
    async fn a_dead_senders_order_is_found_out_by_another_process(db: TestDatabase) {
        let test = start(db).await;
        let id = lose(&test, Fault::DropAfterApply).await;
        let other = test.restarted();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while test.read_order(id).await.order.status != OrderStatus::Fulfilled {
            assert!(tokio::time::Instant::now() < deadline);
            housekeeping::step(&other).await.unwrap();
            operations::resolve_step(&other).await.unwrap();
            operations::step(&other).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(test.carrier_orders().len(), 1);
        test.finish().await;
    }

    /// Many resolvers look at the same time: the carrier is asked, and nothing is sent twice.
    async fn resolvers_do_not_meet(db: TestDatabase) {
        let test = start(db).await;
        test.deliver(12).await;
        test.twin.twin().add_script(Script { times: Some(12), ..Script::always(CallName::Order, Fault::DropBeforeApply) });
        let id = test.order_with_product("ref-1", 12).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let sent = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..8).map(|_| {
            let (depot, sent) = (test.restarted(), Arc::clone(&sent));
            tokio::spawn(async move {
                for _ in 0..80 {
                    operations::resolve_step(&depot).await.unwrap();
                    if operations::step(&depot).await.unwrap() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(15)).await;
                }
            })
        }).collect();
        for one in all {
            one.await.unwrap();
        }
        test.resolve_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!((test.carrier_orders().len(), test.order_requests()), (12, 24));
        test.finish().await;
    }

    /// One empty read is not believed: the next one comes after the gap.
    async fn nothing_there_must_be_seen_twice(db: TestDatabase) {
        let mut test = start(db).await;
        test.pace(|pace| pace.absence_gap = TimeDelta::seconds(60));
        lose(&test, Fault::DropBeforeApply).await;
        tokio::time::sleep(TIMEOUT + Duration::from_millis(500)).await;
        assert!(operations::resolve_step(&test.depot).await.unwrap());
        let operation = test.operations(None).await.remove(0);
        assert_eq!((operation.status, operation.reads), (OperationStatus::Unknown, 1));
        assert!(operation.resolution.unwrap()["nothing_since"].is_string());
        assert!(!operations::resolve_step(&test.depot).await.unwrap(), "not due before the gap is over");
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }

    /// The carrier took it long after two reads had shown nothing: the second sending sees it, and does not happen.
    async fn what_is_listed_late_is_not_sent_again(db: TestDatabase) {
        let test = start(db).await;
        let id = lose(&test, Fault::ApplyLate { ms: 2_500 }).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
        while test.operations(None).await[0].status != OperationStatus::Pending {
            assert!(tokio::time::Instant::now() < deadline);
            operations::resolve_step(&test.depot).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(1_800)).await;
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (1, 1));
        test.finish().await;
    }

    /// The same product was on the line before: it is no evidence for the second one.
    async fn an_earlier_bundle_of_the_product_is_no_evidence(db: TestDatabase) {
        let test = start(db).await;
        let line = test.deliver(1).await.remove(0);
        test.order_with_product("sale", 1).await.unwrap();
        test.work_until_settled().await;
        for (number, (fault, requests)) in
            [(Fault::DropBeforeApply, 3), (Fault::DropAfterApply, 4)].into_iter().enumerate()
        {
            test.twin.twin().add_script(Script::once(CallName::Order, fault));
            test.top_up(&line.iccid, &format!("top-{number}"), PRODUCT).await.unwrap();
            test.resolve_until_settled().await;
            assert_eq!(test.carrier_orders().len(), number + 2);
            assert_eq!(test.order_requests(), requests);
        }
        test.finish().await;
    }

    /// A read that fails decides nothing. After too long a person does.
    async fn what_cannot_be_read_is_left_to_a_person(db: TestDatabase) {
        let mut test = start(db).await;
        test.pace(|pace| {
            pace.give_up = TimeDelta::milliseconds(400);
            pace.resolve_reads = 3;
        });
        let id = lose(&test, Fault::DropAfterApply).await;
        test.twin.twin().add_script(Script::always(CallName::Inventory, Fault::Status500Before));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
        while test.operations(None).await[0].status == OperationStatus::Unknown {
            assert!(tokio::time::Instant::now() < deadline);
            operations::resolve_step(&test.depot).await.unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let operation = test.operations(None).await.remove(0);
        assert_eq!(operation.status, OperationStatus::NeedsAttention);
        assert!(operation.reads >= 3);
        let evidence = operation.evidence.unwrap();
        assert!(evidence["looked"]["last_failure"].is_string() && evidence["sent_at"].is_string());
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::NeedsAttention);
        assert_eq!(order.lines[0].profiles[0].outcome, ProfileOutcome::NeedsAttention);
        assert_eq!(test.order_requests(), 1);

        let subscription_id = Some(test.carrier_orders()[0].subscription_id.clone());
        let verdict = Verdict::Done { subscription_id: subscription_id.clone() };
        let by = stock_keeper("default");
        let (view, replayed) =
            operations::decide_by_hand(&test.depot, &by, operation.id, verdict, "in the portal".to_owned(), None)
                .await
                .unwrap();
        assert_eq!((view.operation.status, replayed), (OperationStatus::Done, false));
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        assert_eq!(order.lines[0].profiles[0].bundle.as_ref().unwrap().bundle.subscription_id, subscription_id);
        let again = operations::decide_by_hand(
            &test.depot, &by, operation.id, Verdict::Retry, "again".to_owned(), None,
        ).await;
        assert!(matches!(again, Err(AppError::InvalidTransition { .. })), "{again:?}");
        test.finish().await;
    }

    /// A person's word that nothing was taken is no proof: the profile is set aside.
    async fn refused_by_hand_sets_the_profile_aside(db: TestDatabase) {
        let test = start(db).await;
        let id = lose(&test, Fault::DropBeforeApply).await;
        let operation = test.operations(None).await.remove(0);
        let by = stock_keeper("default");
        operations::decide_by_hand(&test.depot, &by, operation.id, Verdict::Refused, "not there".to_owned(), None)
            .await
            .unwrap();
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Failed);
        assert_eq!(profiles_of(&order)[0].stock_status, StockStatus::Quarantined);
        test.finish().await;
    }

    /// Refused after a sending whose answer was lost: the carrier might still carry that one out, or the credit was used
    /// up by it.
    async fn a_refusal_after_a_lost_answer_is_no_proof(db: TestDatabase) {
        let test = start(db).await;
        let id = lose(&test, Fault::DropBeforeApply).await;
        let refuse = Fault::RefuseTitle { status: 400, title: "INSUFFICIENT_FUND".to_owned() };
        test.twin.twin().add_script(Script::once(CallName::Order, refuse));
        let operation = until_a_person_must(&test).await;
        let problem = operation.problem.unwrap();
        assert_eq!(problem["code"], "INSUFFICIENT_FUND");
        assert!(problem["detail"].as_str().unwrap().contains("an earlier sending was lost"), "{problem}");
        assert!(operation.evidence.unwrap()["earlier"]["looked"].is_object());
        let by = stock_keeper("default");
        operations::decide_by_hand(&test.depot, &by, operation.id, Verdict::Refused, "nothing".to_owned(), None)
            .await
            .unwrap();
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Failed);
        assert_eq!(profiles_of(&order)[0].stock_status, StockStatus::Quarantined);
        test.finish().await;
    }

    async fn sent_again_by_hand(db: TestDatabase) {
        let test = start(db).await;
        let id = lose(&test, Fault::DropBeforeApply).await;
        let operation = test.operations(None).await.remove(0);
        let by = stock_keeper("default");
        operations::decide_by_hand(&test.depot, &by, operation.id, Verdict::Retry, "not there".to_owned(), None)
            .await
            .unwrap();
        assert!(!operations::step(&test.depot).await.unwrap(), "the first sending may still take effect");
        work_until_fulfilled(&test, id).await;
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (2, 1));
        test.finish().await;
    }

    /// A person looked and saw nothing, truthfully: the write was still on its way. It is found, not repeated.
    async fn a_retry_by_hand_waits_for_a_write_on_its_way(db: TestDatabase) {
        let test = start(db).await;
        let id = lose(&test, Fault::ApplyLate { ms: 550 }).await;
        let operation = test.operations(None).await.remove(0);
        assert_eq!((operation.status, test.carrier_orders().len()), (OperationStatus::Unknown, 0));
        let by = stock_keeper("default");
        operations::decide_by_hand(&test.depot, &by, operation.id, Verdict::Retry, "not there".to_owned(), None)
            .await
            .unwrap();
        work_until_fulfilled(&test, id).await;
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (1, 1));
        test.finish().await;
    }

    /// The order is taken back meanwhile: what was on its way is found all the same, and cancelled with the order.
    async fn a_retry_by_hand_of_an_order_that_is_taken_back_looks_first(db: TestDatabase) {
        let test = start(db).await;
        let id = lose(&test, Fault::ApplyLate { ms: 550 }).await;
        let operation = test.operations(None).await.remove(0);
        let by = stock_keeper("default");
        operations::decide_by_hand(&test.depot, &by, operation.id, Verdict::Retry, "not there".to_owned(), None)
            .await
            .unwrap();
        cancellations::cancel(&test.depot, &storefront("default"), id, None, None, Duration::ZERO).await.unwrap();
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::InProgress, "it may still take effect");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while test.read_order(id).await.order.status != OrderStatus::Cancelled {
            assert!(tokio::time::Instant::now() < deadline);
            operations::step(&test.depot).await.unwrap();
            cancellations::step(&test.depot).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(test.operations(None).await[0].status, OperationStatus::Done);
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (1, 1));
        test.finish().await;
    }

    /// The carrier's event names our operation: that decides, once its answer cannot come any more.
    async fn an_event_decides(db: TestDatabase) {
        let test = start(db).await;
        let id = lose(&test, Fault::DropAfterApply).await;
        let operation = test.operations(None).await.remove(0);
        let taken = test.carrier_orders().remove(0);
        let news = BundleNews {
            subscription_id: taken.subscription_id.clone(),
            product: Some(PRODUCT.to_owned()),
            status: Some(BundleStatus::Preloaded),
            ordered_at: Some(taken.submitted_at),
            activated_at: None,
            expires_at: None,
            reference: Some(operation.id.to_string()),
        };
        let other = operations::conclude_by_event(&test.depot, operation.id, -1, &news).await.unwrap();
        assert_eq!(other, Concluded::NotEvidence);
        let done = operations::conclude_by_event(&test.depot, operation.id, operation.profile_id, &news).await;
        assert_eq!(done.unwrap(), Concluded::Done);
        let again = operations::conclude_by_event(&test.depot, operation.id, operation.profile_id, &news).await;
        assert_eq!(again.unwrap(), Concluded::Ended);
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        let bundle = &order.lines[0].profiles[0].bundle.as_ref().unwrap().bundle;
        assert_eq!(bundle.subscription_id.as_ref(), Some(&taken.subscription_id));
        test.finish().await;
    }
}
