//! Sold exactly once: whoever asks at the same time, and whoever asks again.

use std::time::Duration;

use futures_util::future::join_all;
use simdepot_application::{AppError, orders};
use simdepot_domain::order::OrderStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{order_of, profiles_of, storefront};
use simdepot_tests::settle::work_round;
use simdepot_tests::{TestCarrier, TestDepot, for_every_carrier};

const STOCK: usize = 8;
const ORDERS: usize = 12;

/// How often an order came to an end, over all orders.
pub(crate) fn ends<C: TestCarrier>(test: &TestDepot<C>) -> i64 {
    test.db.raw().number("SELECT COUNT(*) AS value FROM events WHERE type_name = 'order.status_changed'")
}

for_every_carrier! {
    async fn each_profile_is_sold_once<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let stock = test.stock_up(u32::try_from(STOCK).unwrap()).await;
        let processes = [test.depot.clone(), test.restarted(), test.restarted()];
        let place = |number: usize| {
            let depot = processes[number % processes.len()].clone();
            tokio::spawn(async move {
                let asked = order_of(&format!("ref-{number}"), 1, C::PRODUCT);
                orders::place(&depot, &storefront("default"), asked, None, Duration::ZERO).await
            })
        };
        let work = async |number: usize| {
            for _ in 0..20 {
                work_round(&processes[number]).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let (placed, (), (), ()) =
            tokio::join!(join_all((0..ORDERS).map(place)), work(0), work(1), work(2));
        test.settle().await;
        let mut ids = Vec::new();
        for placed in placed {
            match placed.unwrap() {
                Ok(placed) => ids.push(placed.order.order.id),
                Err(AppError::OutOfStock { available: 0, .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(ids.len(), STOCK);
        let mut sold = Vec::new();
        for id in &ids {
            let order = test.read_order(*id).await;
            assert_eq!(order.order.status, OrderStatus::Fulfilled, "{order:#?}");
            sold.extend(profiles_of(&order).into_iter().map(|profile| profile.iccid));
        }
        sold.sort();
        let mut all = stock.clone();
        all.sort();
        assert_eq!(sold, all, "each of them, none of them twice");
        for iccid in &stock {
            assert_eq!(test.sold(iccid), 1, "{iccid}");
            assert_eq!(test.profile(iccid).await.stock_status, StockStatus::Allocated);
        }
        assert_eq!(test.sold_in_all(), 8);
        assert_eq!(ends(&test), 8);
        test.finish().await;
    }

    async fn the_same_reference_sells_nothing_more<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        test.stock_up(3).await;
        let id = test.sell("one", 1).await;
        assert_eq!(test.sell("one", 1).await, id, "before it was sent");
        test.settle().await;
        let sent = test.calls(C::SALE);
        for _ in 0..3 {
            assert_eq!(test.sell("one", 1).await, id, "after it ended");
            test.settle().await;
        }
        assert_eq!(test.calls(C::SALE), sent);
        assert_eq!((test.sold_in_all(), ends(&test)), (1, 1));
        let two = test.place(order_of("one", 2, C::PRODUCT)).await;
        assert!(matches!(two, Err(AppError::ReferenceConflict { .. })), "{two:?}");
        test.finish().await;
    }
}
