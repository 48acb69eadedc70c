//! What the carrier surely did not take is sent later, and not before it asked for that.

use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::turns::SharedTurns;
use simdepot_carrier_twin::Fault;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_tests::settle::{CALL, send};
use simdepot_tests::{TestDepot, for_every_carrier};

use crate::sales::ends;
use crate::server::closed_port;

for_every_carrier! {
    async fn too_many_requests_are_kept_from_the_carrier_until_it_wants_them<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        test.stock_up(1).await;
        test.fail_once(C::SALE, Fault::TooMany429 { retry_after: Some(2) });
        let id = test.sell("one", 1).await;
        send(&test.depot).await;
        let waiting = test.operations(Some(OperationStatus::Pending)).await.remove(0);
        assert_eq!((waiting.attempts, waiting.deferrals), (1, 1));
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::InProgress);
        // Another process keeps to it as well.
        test.settle_by(&test.restarted()).await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        let sent: Vec<_> = {
            let twin = test.twin.twin();
            twin.log().iter().filter(|request| request.call == Some(C::SALE)).map(|request| request.at).collect()
        };
        assert_eq!(sent.len(), 2);
        assert!(sent[1] - sent[0] >= TimeDelta::seconds(2), "sent again after {}", sent[1] - sent[0]);
        assert_eq!((test.sold_in_all(), ends(&test)), (1, 1));
        test.finish().await;
    }

    /// Nobody listens: nothing can have arrived.
    async fn a_refused_connection_costs_nothing_but_time<C>(db: TestDatabase) {
        let mut test = TestDepot::<C>::start_paced(db).await;
        test.stock_up(1).await;
        let turns = std::sync::Arc::new(SharedTurns::new(test.depot.store.clone()));
        let nobody = test.twin.twin().adapter(&closed_port(), CALL, test.clock.clone(), turns);
        let id = test.sell("one", 1).await;
        let mut real = None;
        test.wrap_carrier(|inner| {
            real = Some(inner);
            nobody
        });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            send(&test.depot).await;
            let operation = test.operations(None).await.remove(0);
            assert_eq!(operation.status, OperationStatus::Pending, "{operation:#?}");
            if operation.deferrals >= 2 {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::InProgress);
        test.wrap_carrier(|_| real.unwrap());
        test.settle().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!((test.calls(C::SALE), test.sold_in_all()), (1, 1));
        assert_eq!(ends(&test), 1);
        test.finish().await;
    }
}
