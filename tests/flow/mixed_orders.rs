//! Orders that failed in part: a person closes them, or has the rest tried again.

use simdepot_application::idempotency::IdempotencyKey;
use simdepot_application::orders::{self, OrderDecided, OrderVerdict, OrderView};
use simdepot_application::{AppError, activation, cancellations, replacements};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{idempotency_key, stock_keeper, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

async fn resolve_with(
    test: &TestDepot,
    id: OrderId,
    verdict: OrderVerdict,
    key: Option<&IdempotencyKey>,
) -> Result<OrderDecided, AppError> {
    let reason = "the customer takes what works".to_owned();
    orders::decide_by_hand(&test.depot, &stock_keeper("other"), id, verdict, reason, key).await
}

async fn resolve(test: &TestDepot, id: OrderId, verdict: OrderVerdict) -> Result<OrderDecided, AppError> {
    resolve_with(test, id, verdict, None).await
}

async fn cancel(test: &TestDepot, id: OrderId) -> Result<cancellations::Cancelled, AppError> {
    let wait = std::time::Duration::ZERO;
    cancellations::cancel(&test.depot, &storefront("default"), id, None, None, wait).await
}

fn refused_from<T: std::fmt::Debug>(refused: Result<T, AppError>) -> String {
    match refused {
        Err(AppError::InvalidTransition { from, command, .. }) if command == "resolve" => from,
        other => panic!("{other:?}"),
    }
}

fn refuse(test: &TestDepot, times: u32) {
    let fault = Fault::RefuseTitle { status: 402, title: "INSUFFICIENT_FUND".to_owned() };
    let script = Script { times: Some(times), ..Script::always(CallName::Order, fault) };
    test.twin.twin().add_script(script);
}

/// An order of `quantity` of which the carrier has refused `failed`.
async fn mixed(test: &TestDepot, reference: &str, quantity: u32, failed: u32) -> OrderId {
    refuse(test, failed);
    let id = test.order_with_product(reference, quantity).await.unwrap().order.order.id;
    test.work_until_settled().await;
    assert_eq!(test.read_order(id).await.order.status, OrderStatus::NeedsAttention);
    id
}

fn outcomes(order: &OrderView) -> Vec<ProfileOutcome> {
    order.lines.iter().flat_map(|line| line.profiles.iter().map(|entry| entry.outcome)).collect()
}

fn count(order: &OrderView, outcome: ProfileOutcome) -> usize {
    outcomes(order).into_iter().filter(|found| *found == outcome).count()
}

fn told(test: &TestDepot, type_name: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) AS value FROM events WHERE type_name = '{type_name}'");
    test.db.raw().number(&sql)
}

on_both_databases! {
    async fn accepted_it_is_delivered_for_what_it_has(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(3).await;
        let id = mixed(&test, "ref-1", 3, 1).await;
        let decided = resolve(&test, id, OrderVerdict::Accept).await.unwrap();
        let (order, view) = (&decided.order.order, &decided.order);
        assert_eq!((order.status, decided.replayed), (OrderStatus::Fulfilled, false));
        assert_eq!(order.problem.as_ref().unwrap()["code"], "INSUFFICIENT_FUND");
        assert!(order.accepted_at.is_some());
        assert_eq!((count(view, ProfileOutcome::Fulfilled), count(view, ProfileOutcome::Failed)), (2, 1));
        assert!(view.lines[0].profiles.iter().all(|entry| entry.activation.is_none()), "codes are not a stock keeper's");
        // The two that are paid can be delivered; the third has nothing to show.
        let shown = orders::get(&test.depot, &storefront("default"), id, true).await.unwrap();
        for entry in &shown.lines[0].profiles {
            let delivered = entry.outcome == ProfileOutcome::Fulfilled;
            assert_eq!(entry.activation.is_some(), delivered);
            let profile = test.profile(&entry.profile.iccid).await;
            assert_eq!(profile.revealed_at.is_some(), delivered);
            let single = activation::reveal(&test.depot, &storefront("default"), profile.iccid).await;
            assert_eq!(single.is_ok(), delivered);
            let stock = if delivered { StockStatus::Allocated } else { StockStatus::Available };
            assert_eq!(profile.stock_status, stock);
        }
        // Its creation, asked for again, tells the same.
        let again = test.order_with_product("ref-1", 3).await.unwrap().order;
        assert_eq!((again.order.status, again.order.id), (OrderStatus::Fulfilled, id));
        assert_eq!((told(&test, "order.accepted"), test.order_requests()), (1, 3));
        assert_eq!(refused_from(resolve(&test, id, OrderVerdict::Accept).await), "fulfilled");
        assert_eq!(refused_from(resolve(&test, id, OrderVerdict::Refill).await), "fulfilled");
        test.finish().await;
    }

    /// What was given up does not come back; what fails later is news.
    async fn an_accepted_order_lives_on(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(4).await;
        let id = mixed(&test, "ref-1", 3, 1).await;
        let accepted = resolve(&test, id, OrderVerdict::Accept).await.unwrap().order;
        let sold = accepted.lines[0].profiles.iter().find(|entry| entry.outcome == ProfileOutcome::Fulfilled);
        let replace = |iccid: Iccid| {
            let depot = &test.depot;
            async move {
                let reason = "does not install".to_owned();
                replacements::replace(depot, &stock_keeper("other"), iccid, reason, None).await
            }
        };
        let by = replace(sold.unwrap().profile.iccid.clone()).await.unwrap().profile.profile.iccid;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::InProgress);
        assert_eq!(refused_from(resolve(&test, id, OrderVerdict::Accept).await), "in_progress");
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        // The next replacement fails, and that is not what was accepted.
        refuse(&test, 1);
        replace(by).await.unwrap();
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::NeedsAttention);
        assert_eq!((count(&order, ProfileOutcome::Fulfilled), count(&order, ProfileOutcome::Failed)), (1, 2));
        let order = resolve(&test, id, OrderVerdict::Refill).await.unwrap().order;
        assert_eq!((order.order.status, count(&order, ProfileOutcome::Failed)), (OrderStatus::InProgress, 1));
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!((order.order.status, count(&order, ProfileOutcome::Failed)), (OrderStatus::Fulfilled, 1));
        assert_eq!(cancel(&test, id).await.unwrap().order.order.status, OrderStatus::Cancelled);
        assert_eq!(refused_from(resolve(&test, id, OrderVerdict::Accept).await), "cancelled");
        test.finish().await;
    }

    async fn refilled_each_failed_place_is_tried_again(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(4).await;
        let id = mixed(&test, "ref-1", 3, 2).await;
        let decided = resolve(&test, id, OrderVerdict::Refill).await.unwrap();
        assert_eq!(decided.order.order.status, OrderStatus::InProgress);
        assert_eq!(count(&decided.order, ProfileOutcome::Pending), 2);
        assert_eq!(outcomes(&decided.order).len(), 3, "one profile a place");
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!((order.order.status, order.order.problem.as_ref()), (OrderStatus::Fulfilled, None));
        assert_eq!((count(&order, ProfileOutcome::Fulfilled), order.order.accepted_at), (3, None));
        assert_eq!((told(&test, "order.place_refilled"), test.carrier_orders().len()), (2, 3));
        let shown = orders::get(&test.depot, &storefront("default"), id, true).await.unwrap();
        assert!(shown.lines[0].profiles.iter().all(|entry| entry.activation.is_some()));
        test.finish().await;
    }

    async fn refilled_all_of_it_or_nothing(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(3).await;
        let id = mixed(&test, "ref-1", 3, 2).await;
        test.order("ref-2", 1).await.unwrap();
        match resolve(&test, id, OrderVerdict::Refill).await {
            Err(AppError::OutOfStock { requested: 2, available: 1, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::NeedsAttention);
        assert_eq!(told(&test, "order.place_refilled"), 0);
        // What is left can be sold; and the order can still be accepted.
        test.order("ref-3", 1).await.unwrap();
        assert_eq!(resolve(&test, id, OrderVerdict::Accept).await.unwrap().order.order.status, OrderStatus::Fulfilled);
        test.finish().await;
    }

    /// Another profile that cannot be sold is substituted again, however many had to be before the decision.
    async fn a_refilled_place_has_its_tries_anew(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(7).await;
        // The first place fails with its three substitutes; the decision's own profile cannot be sold either.
        for line in [0, 2, 3, 4, 5] {
            let fault = Fault::RefuseTitle { status: 400, title: "SUBSCRIBER_NOT_FOUND".to_owned() };
            let mut script = Script::once(CallName::Order, fault);
            script.matches.iccid = Some(lines[line].iccid.to_string());
            test.twin.twin().add_script(script);
        }
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::NeedsAttention);
        resolve(&test, id, OrderVerdict::Refill).await.unwrap();
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        assert_eq!(order.lines[0].profiles[0].profile.iccid, lines[6].iccid);
        test.finish().await;
    }

    /// What the carrier took after a person had something mended says nothing of what it refused before that.
    async fn a_refilled_place_blames_nobody_from_before(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(5).await;
        let refused = [0, 2, 3, 4];
        for line in refused {
            let fault = Fault::RefuseTitle { status: 400, title: "BAD_REQUEST".to_owned() };
            let mut script = Script::once(CallName::Order, fault);
            script.matches.iccid = Some(lines[line].iccid.to_string());
            test.twin.twin().add_script(script);
        }
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::NeedsAttention);
        resolve(&test, id, OrderVerdict::Refill).await.unwrap();
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        for line in refused {
            let profile = test.profile(&lines[line].iccid).await;
            assert_ne!(profile.stock_status, StockStatus::Quarantined, "{profile:?}");
        }
        test.finish().await;
    }

    async fn only_what_failed_in_part_is_decided(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(4).await;
        let id = mixed(&test, "ref-1", 2, 1).await;
        let reason = || "x".to_owned();
        let shop = storefront("default");
        let refused = orders::decide_by_hand(&test.depot, &shop, id, OrderVerdict::Accept, reason(), None).await;
        assert!(matches!(refused, Err(AppError::Forbidden { .. })), "{refused:?}");
        let nobody = OrderId(uuid::Uuid::from_u128(1));
        let missing = resolve(&test, nobody, OrderVerdict::Accept).await;
        assert!(matches!(missing, Err(AppError::NotFound { what: "order" })), "{missing:?}");

        let open = test.order_with_product("ref-2", 1).await.unwrap().order.order.id;
        assert_eq!(refused_from(resolve(&test, open, OrderVerdict::Accept).await), "in_progress");
        refuse(&test, 1);
        test.work_until_settled().await;
        assert_eq!(refused_from(resolve(&test, open, OrderVerdict::Refill).await), "failed");
        // One whose outcome nobody knows is decided at its operation.
        let sql = "UPDATE allocations SET outcome = 'needs_attention' WHERE outcome = 'fulfilled'";
        test.db.raw().execute(sql);
        assert_eq!(refused_from(resolve(&test, id, OrderVerdict::Accept).await), "needs_attention");
        test.db.raw().execute("UPDATE allocations SET outcome = 'fulfilled' WHERE outcome = 'needs_attention'");
        assert!(resolve(&test, id, OrderVerdict::Accept).await.is_ok());
        test.finish().await;
    }

    async fn a_key_decides_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        let id = mixed(&test, "ref-1", 2, 1).await;
        let key = idempotency_key("k-1", "{}");
        for replayed in [false, true] {
            let decided = resolve_with(&test, id, OrderVerdict::Accept, Some(&key)).await.unwrap();
            assert_eq!((decided.replayed, decided.order.order.status), (replayed, OrderStatus::Fulfilled));
        }
        assert_eq!(told(&test, "order.accepted"), 1);
        test.finish().await;
    }

    /// One of them comes first, and the others find what it left.
    async fn deciders_and_a_cancellation_meet(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(12).await;
        for round in 0..4 {
            let id = mixed(&test, &format!("ref-{round}"), 2, 1).await;
            let (accepted, refilled, cancelled) = tokio::join!(
                resolve(&test, id, OrderVerdict::Accept),
                resolve(&test, id, OrderVerdict::Refill),
                cancel(&test, id),
            );
            assert!(!(accepted.is_ok() && refilled.is_ok()), "{accepted:?} {refilled:?}");
            let asked = cancelled.unwrap().order.order;
            test.work_until_settled().await;
            while cancellations::step(&test.depot).await.unwrap() {}
            let order = test.read_order(id).await;
            assert_eq!(order.order.status, OrderStatus::Cancelled, "{asked:?}");
            let open = test.operations(Some(OperationStatus::Pending)).await;
            assert!(open.is_empty(), "{open:?}");
        }
        test.finish().await;
    }
}
