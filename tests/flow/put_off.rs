//! What the carrier surely did not take: it is tried again later, and done once.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use simdepot_carrier_transatel::{LocalTurns, Transatel};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::clock::SystemClock;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::account_at;
use simdepot_tests::{TestDepot, on_both_databases};

use crate::carriers::Between;

on_both_databases! {
    async fn too_many_requests_are_tried_again(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        for retry_after in [None, Some(1)] {
            test.twin.twin().add_script(Script::once(CallName::Order, Fault::TooMany429 { retry_after }));
        }
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let started = std::time::Instant::now();
        test.work_until_idle().await;
        let waiting = test.operations(Some(OperationStatus::Pending)).await.remove(0);
        assert_eq!((waiting.attempts, waiting.deferrals), (1, 1));
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::InProgress);
        test.work_until_settled().await;
        assert!(started.elapsed() > Duration::from_secs(1), "Retry-After was not kept");
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (3, 1));
        test.finish().await;
    }

    /// Nobody listens: the request surely did not arrive.
    async fn a_refused_connection_is_tried_again(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.deliver(1).await;
        // A port that was free a moment ago. The token is fetched there as well, so nothing can be sent.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let account = account_at(&nobody, Duration::from_secs(2));
        let dead =
            Transatel::new(account, Arc::new(SystemClock), Arc::new(LocalTurns::default())).unwrap();
        test.wrap_carrier(|inner| Arc::new(Between::detour(inner, Arc::new(dead), 2)));
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (1, 1));
        let operation = test.operations(None).await.remove(0);
        assert_eq!((operation.attempts, operation.deferrals), (3, 2));
        test.finish().await;
    }

    /// A firewall's page, or the gateway's own problem, is no word of the service: nothing was decided, nothing done.
    async fn what_only_the_gateway_refuses_is_tried_again(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.pace(|pace| pace.backoff_cap = TimeDelta::milliseconds(20));
        test.deliver(1).await;
        for call in [CallName::Inventory, CallName::Esim, CallName::Order] {
            for fault in [
                Fault::TurnedAway { status: 403 },
                Fault::TurnedAway { status: 404 },
                Fault::RefuseTitle { status: 405, title: "METHOD_NOT_ALLOWED".to_owned() },
            ] {
                test.twin.twin().add_script(Script::once(call, fault));
            }
        }
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_idle().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::InProgress);
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (4, 1));
        let operation = test.operations(None).await.remove(0);
        assert_eq!((operation.attempts, operation.deferrals), (4, 9));
        test.finish().await;
    }

    /// One that stays is a failure in the end, and says what was seen.
    async fn a_gateway_that_stays_closed_fails_the_order_in_the_end(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.pace(|pace| pace.give_up = TimeDelta::milliseconds(300));
        let line = test.deliver(1).await.remove(0);
        test.twin.twin().add_script(Script::always(CallName::Order, Fault::TurnedAway { status: 403 }));
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await.order;
        let problem = order.problem.unwrap();
        assert_eq!((order.status, &problem["code"]), (OrderStatus::Failed, &"carrier_unavailable".into()));
        assert!(problem["detail"].as_str().unwrap().contains("HTTP 403"), "{problem}");
        assert_eq!(test.profile(&line.iccid).await.stock_status, StockStatus::Available);
        test.finish().await;
    }

    /// A token that is not accepted is renewed; the gateway turned the first request away unread.
    async fn an_expired_token_is_renewed(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::Unauthorized401));
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_idle().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_eq!(test.carrier_orders().len(), 1);
        test.finish().await;
    }

    /// A failed read sends nothing: not knowing is not "nothing there".
    async fn a_failed_read_sends_nothing(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(3).await;
        for (number, call) in
            [CallName::SimSearch, CallName::Esim, CallName::Inventory].into_iter().enumerate()
        {
            test.twin.twin().add_script(Script::once(call, Fault::Status503Before));
            let id = test.order_with_product(&format!("ref-{number}"), 1).await.unwrap().order.order.id;
            test.work_until_idle().await;
            let sent_before = u64::try_from(number).unwrap();
            assert_eq!(test.order_requests(), sent_before, "{call:?}");
            let waiting = test.operations(Some(OperationStatus::Pending)).await.remove(0);
            assert_eq!((waiting.attempts, waiting.deferrals, waiting.sent_at), (0, 1, None), "{call:?}");
            test.work_until_settled().await;
            assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        }
        assert_eq!(test.carrier_orders().len(), 3);
        test.finish().await;
    }

    async fn a_carrier_that_stays_away_fails_the_order(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.pace(|pace| pace.give_up = TimeDelta::milliseconds(300));
        let line = test.deliver(1).await.remove(0);
        test.twin.twin().add_script(Script::always(CallName::Order, Fault::TooMany429 { retry_after: None }));
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Failed);
        assert_eq!(order.order.problem.unwrap()["code"], "carrier_unavailable");
        assert_eq!(test.profile(&line.iccid).await.stock_status, StockStatus::Available);
        assert!(test.carrier_orders().is_empty());
        test.finish().await;
    }
}
