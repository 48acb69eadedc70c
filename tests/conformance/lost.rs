//! Lost answers of sales: nothing is guessed, and each ends done, sold exactly once.

use std::time::Duration;

use simdepot_carrier_twin::Fault;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_tests::depot::profiles_of;
use simdepot_tests::settle::{CALL, send};
use simdepot_tests::{TestCarrier, TestDepot, for_every_carrier};

use crate::sales::ends;

/// Each way to lose an answer.
fn faults() -> Vec<Fault> {
    let slow = u64::try_from(CALL.as_millis()).unwrap() + 300;
    vec![
        Fault::DropBeforeApply,
        Fault::DropAfterApply,
        Fault::Status500Before,
        Fault::Status503AfterApply,
        Fault::Status504AfterApply,
        Fault::Garbage,
        Fault::WrongShape,
        Fault::Slow { ms: slow },
        Fault::ApplyLate { ms: 300 },
    ]
}

/// Sells one profile, and sends that.
async fn sell_one<C: TestCarrier>(test: &TestDepot<C>, reference: &str) -> simdepot_domain::id::OrderId {
    test.stock_up(1).await;
    let id = test.sell(reference, 1).await;
    send(&test.depot).await;
    id
}

async fn assert_sold_once<C: TestCarrier>(test: &TestDepot<C>, id: simdepot_domain::id::OrderId, what: &str) {
    let order = test.read_order(id).await;
    assert_eq!(order.order.status, OrderStatus::Fulfilled, "{what}: {order:#?}");
    assert_eq!(order.order.problem, None, "{what}");
    for profile in profiles_of(&order) {
        assert_eq!(test.sold(&profile.iccid), 1, "{what}");
    }
}

for_every_carrier! {
    /// Another process finds out what became of it: nothing that matters was in memory.
    async fn every_lost_answer_ends_sold_once<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let mut ids = Vec::new();
        for fault in faults() {
            let what = format!("{fault:?}");
            test.fail_once(C::SALE, fault);
            let id = sell_one(&test, &what).await;
            let operation = test.operations(None).await.remove(0);
            assert_eq!((operation.status, operation.attempts), (OperationStatus::Unknown, 1), "{what}");
            assert_eq!(test.read_order(id).await.order.status, OrderStatus::InProgress, "{what}");
            ids.push((id, what.clone()));
            // One that goes well in between: a carrier that only fails is left alone for a while.
            let what = format!("after {what}");
            ids.push((sell_one(&test, &what).await, what));
        }
        test.settle_by(&test.restarted()).await;
        for (id, what) in &ids {
            assert_sold_once(&test, *id, what).await;
        }
        let count = u64::try_from(ids.len()).unwrap();
        assert_eq!((test.sold_in_all(), ends(&test)), (count, i64::try_from(count).unwrap()));
        // What came late moves nothing any more.
        test.hear(&test.told()).await;
        test.settle().await;
        assert_eq!((test.sold_in_all(), ends(&test)), (count, i64::try_from(count).unwrap()));
        test.finish().await;
    }

    async fn a_process_that_dies_while_it_sends_is_taken_over<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        test.stock_up(2).await;
        test.fail_once(C::SALE, Fault::Slow { ms: 600 });
        let id = test.sell("one", 1).await;
        let dying = test.restarted();
        let killed = tokio::spawn(async move { send(&dying).await });
        let sent = async {
            while test.calls(C::SALE) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), sent).await.unwrap();
        killed.abort();
        assert!(killed.await.unwrap_err().is_cancelled());
        assert_eq!(test.operations(None).await[0].status, OperationStatus::Sent);
        test.settle().await;
        assert_sold_once(&test, id, "killed").await;
        assert_eq!((test.sold_in_all(), ends(&test)), (1, 1));
        test.finish().await;
    }

    /// Its answer is lost on the first try and on the second.
    async fn lost_again_and_again<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        for fault in [Fault::DropBeforeApply, Fault::DropBeforeApply, Fault::DropAfterApply] {
            test.fail_once(C::SALE, fault);
        }
        let id = sell_one(&test, "one").await;
        test.settle().await;
        assert_sold_once(&test, id, "three times").await;
        let operation = test.operations(None).await.remove(0);
        assert_eq!((operation.status, operation.attempts), (OperationStatus::Done, 3), "{operation:#?}");
        assert_eq!(ends(&test), 1);
        test.finish().await;
    }
}
