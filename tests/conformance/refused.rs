//! Sure refusals: what becomes of the order depends on what is to blame, and no stock is lost over it.

use simdepot_carrier_twin::Script;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::carrier::Refused;
use simdepot_tests::depot::profiles_of;
use simdepot_tests::{TestDepot, for_every_carrier};

use crate::sales::ends;

for_every_carrier! {
    async fn a_profile_that_is_refused_makes_way_for_another<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let stock = test.stock_up(2).await;
        test.fail_once(C::SALE, C::refusal(Refused::Profile));
        let id = test.sell("one", 1).await;
        test.settle().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled, "{order:#?}");
        let sold = profiles_of(&order).remove(0).iccid;
        assert_eq!((test.sold(&sold), test.sold_in_all()), (1, 1));
        let aside = stock.iter().find(|iccid| **iccid != sold).unwrap();
        let aside = test.profile(aside).await;
        assert_eq!(
            (aside.stock_status, aside.quarantine_reason),
            (StockStatus::Quarantined, Some(QuarantineReason::RefusedByCarrier))
        );
        let operations = test.operations(None).await;
        let of_it = operations.iter().find(|operation| operation.profile_id == aside.id).unwrap();
        assert_eq!((of_it.status, of_it.attempts), (OperationStatus::Refused, 1));
        assert_eq!(ends(&test), 1);
        test.finish().await;
    }

    async fn a_request_that_is_refused_fails_the_order_and_costs_no_stock<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let stock = test.stock_up(6).await;
        test.twin.twin().script(Script::always(C::SALE, C::refusal(Refused::Request)));
        let id = test.sell("one", 1).await;
        test.settle().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Failed);
        assert_eq!(test.calls(C::SALE), 4, "three others were tried");
        assert_eq!((test.sold_in_all(), ends(&test)), (0, 1));
        for iccid in &stock {
            assert_eq!(test.profile(iccid).await.stock_status, StockStatus::Available);
        }
        test.finish().await;
    }

    async fn an_account_that_is_refused_fails_the_order_at_once<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let stock = test.stock_up(2).await;
        test.fail_once(C::SALE, C::refusal(Refused::Account));
        let id = test.sell("one", 1).await;
        test.settle().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Failed);
        assert!(order.order.problem.unwrap()["code"].is_string());
        assert_eq!((test.calls(C::SALE), test.sold_in_all()), (1, 0));
        for iccid in &stock {
            assert_eq!(test.profile(iccid).await.stock_status, StockStatus::Available);
        }
        // The reference stays with the failed order; another one sells.
        assert_eq!(test.sell("one", 1).await, id);
        let next = test.sell("two", 1).await;
        test.settle().await;
        assert_eq!(test.read_order(next).await.order.status, OrderStatus::Fulfilled);
        assert_eq!(ends(&test), 2);
        test.finish().await;
    }
}
