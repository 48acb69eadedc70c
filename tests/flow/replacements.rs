//! A sold profile that cannot be used is replaced in its place.

use std::time::Duration;

use simdepot_application::orders::{OrderVerdict, OrderView};
use simdepot_application::replacements::{self, Replacement};
use simdepot_application::{AppError, activation, cancellations, orders, refunds};
use simdepot_carrier_twin::{CallName, Fault, Script};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::refund::RefundReason;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{idempotency_key, stock_keeper, storefront};
use simdepot_tests::{TestDepot, on_both_databases};

async fn replace(test: &TestDepot, iccid: &Iccid) -> Result<Replacement, AppError> {
    let reason = "deleted by the customer".to_owned();
    replacements::replace(&test.depot, &stock_keeper("other"), iccid.clone(), reason, None).await
}

fn refused_from(refused: Result<Replacement, AppError>) -> String {
    match refused {
        Err(AppError::InvalidTransition { from, command, .. }) if command == "replace" => from,
        other => panic!("{other:?}"),
    }
}

/// The customer installs the profile and removes it again.
fn delete(test: &TestDepot, iccid: &Iccid) {
    let now = SystemClock.now();
    let mut twin = test.twin.twin();
    twin.simulate_download(iccid, None, now).unwrap();
    twin.simulate_install(iccid, now).unwrap();
    twin.simulate_delete(iccid, now).unwrap();
}

/// An order of one profile that was delivered with its code, replaced, and whose replacement the carrier refuses.
async fn delivered_and_lost(test: &TestDepot, reference: &str) -> OrderView {
    let order = test.order_with_product(reference, 1).await.unwrap().order;
    test.work_until_settled().await;
    let sold = test.read_order(order.order.id).await.lines[0].profiles[0].profile.iccid.clone();
    activation::reveal(&test.depot, &storefront("default"), sold.clone()).await.unwrap();
    lose_replacement(test, order.order.id, &sold).await
}

async fn lose_replacement(test: &TestDepot, id: OrderId, sold: &Iccid) -> OrderView {
    let fault = Fault::RefuseTitle { status: 402, title: "INSUFFICIENT_FUND".to_owned() };
    test.twin.twin().add_script(Script::once(CallName::Order, fault));
    replace(test, sold).await.unwrap();
    test.work_until_settled().await;
    let order = test.read_order(id).await;
    let [entry] = &order.lines[0].profiles[..] else { panic!("{order:#?}") };
    assert_eq!((order.order.status, entry.outcome), (OrderStatus::NeedsAttention, ProfileOutcome::Failed));
    assert_eq!(order.order.problem.as_ref().unwrap()["code"], "INSUFFICIENT_FUND");
    order
}

async fn resolve(test: &TestDepot, id: OrderId, verdict: OrderVerdict) -> OrderView {
    let reason = "the customer waits".to_owned();
    let decided =
        orders::decide_by_hand(&test.depot, &stock_keeper("other"), id, verdict, reason, None).await;
    decided.unwrap().order
}

async fn cancel(test: &TestDepot, id: OrderId) -> OrderView {
    let caller = storefront("default");
    cancellations::cancel(&test.depot, &caller, id, None, None, Duration::ZERO).await.unwrap().order
}

on_both_databases! {
    /// What was delivered once is not `failed`, whatever becomes of its replacement: a person fills the place again, or
    /// gives it up.
    async fn a_replacement_that_fails_leaves_a_delivered_order_to_a_person(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(4).await;
        let id = delivered_and_lost(&test, "ref-1").await.order.id;
        // Its creation, asked for again, is no refusal by the carrier.
        let again = test.order_with_product("ref-1", 1).await.unwrap().order;
        assert_eq!((again.order.id, again.order.status), (id, OrderStatus::NeedsAttention));
        let refilled = resolve(&test, id, OrderVerdict::Refill).await;
        assert_eq!((refilled.order.status, refilled.lines[0].profiles.len()), (OrderStatus::InProgress, 1));
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!((order.order.status, order.order.problem.clone()), (OrderStatus::Fulfilled, None));
        let sold = order.lines[0].profiles[0].profile.iccid.clone();
        activation::reveal(&test.depot, &storefront("default"), sold.clone()).await.unwrap();
        // And once more, until they give it up.
        lose_replacement(&test, id, &sold).await;
        let accepted = resolve(&test, id, OrderVerdict::Accept).await.order;
        assert_eq!((accepted.status, accepted.accepted_at.is_some()), (OrderStatus::Fulfilled, true));
        assert_eq!(accepted.problem.unwrap()["code"], "INSUFFICIENT_FUND");
        let shown = orders::get(&test.depot, &storefront("default"), id, true).await.unwrap();
        assert!(shown.lines[0].profiles.iter().all(|entry| entry.activation.is_none()), "it has no profile");
        let refund = refunds::eligibility(&test.depot, &storefront("default"), id).await.unwrap();
        assert_eq!(refund.evidence.len(), 2, "both that the customer had");
        assert_eq!(cancel(&test, id).await.order.status, OrderStatus::Cancelled);
        test.finish().await;
    }

    async fn a_delivered_order_whose_replacement_failed_is_taken_back(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        let id = delivered_and_lost(&test, "ref-1").await.order.id;
        assert_eq!(cancel(&test, id).await.order.status, OrderStatus::Cancelled);
        assert_eq!(cancel(&test, id).await.order.status, OrderStatus::Cancelled, "asked again");
        test.finish().await;
    }

    async fn a_deleted_profile_is_retired_and_the_product_placed_anew(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        delete(&test, &lines[1].iccid);
        let made = replace(&test, &lines[1].iccid).await.unwrap();
        assert_eq!((&made.profile.profile.iccid, &made.replaces, made.order), (&lines[2].iccid, &lines[1].iccid, id));
        assert!(!made.replayed);
        // The deletion was read, not told.
        assert_eq!(test.profile(&lines[1].iccid).await.stock_status, StockStatus::Retired);
        let between = test.read_order(id).await;
        assert_eq!(between.order.status, OrderStatus::InProgress);
        test.work_until_settled().await;
        let order = orders::get(&test.depot, &storefront("default"), id, true).await.unwrap();
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        let entries = &order.lines[0].profiles;
        let iccids: Vec<_> = entries.iter().map(|entry| &entry.profile.iccid).collect();
        assert_eq!(iccids, [&lines[0].iccid, &lines[2].iccid], "the same place");
        assert!(entries.iter().all(|entry| entry.outcome == ProfileOutcome::Fulfilled && entry.activation.is_some()));
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (3, 3));
        let told = test.db.raw().number(
            "SELECT COUNT(*) AS value FROM events WHERE type_name = 'order.profile_replaced'",
        );
        assert_eq!(told, 1);
        // The old one's code is nobody's any more, and it cannot be replaced twice.
        let code = activation::reveal(&test.depot, &storefront("default"), lines[1].iccid.clone()).await;
        assert!(matches!(code, Err(AppError::NotFound { .. })), "{code:?}");
        assert_eq!(refused_from(replace(&test, &lines[1].iccid).await), "retired");
        // What the customer did with it still counts.
        let refund = refunds::eligibility(&test.depot, &storefront("default"), id).await.unwrap();
        assert!(refund.reasons.iter().any(|reason| {
            reason.code == RefundReason::ProfileDownloaded && reason.iccid == lines[1].iccid
        }));
        test.finish().await;
    }

    async fn another_one_is_set_aside_and_handed_over_at_once_without_a_product(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let id = test.order("ref-1", 1).await.unwrap().order.order.id;
        assert!(replace(&test, &lines[0].iccid).await.is_ok());
        let old = test.profile(&lines[0].iccid).await;
        assert_eq!(
            (old.stock_status, old.quarantine_reason),
            (StockStatus::Quarantined, Some(QuarantineReason::ReturnedUnproven))
        );
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        assert_eq!(order.lines[0].profiles[0].profile.iccid, lines[1].iccid);
        let code = activation::reveal(&test.depot, &storefront("default"), lines[1].iccid.clone()).await.unwrap();
        assert_eq!(Some(code), lines[1].activation_code);
        // The pool has no third one, and nothing moved for it.
        let refused = replace(&test, &lines[1].iccid).await;
        assert!(matches!(refused, Err(AppError::OutOfStock { requested: 1, available: 0, .. })), "{refused:?}");
        assert_eq!(test.profile(&lines[1].iccid).await.stock_status, StockStatus::Allocated);
        test.finish().await;
    }

    async fn only_what_was_sold_and_is_quiet_is_replaced(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(4).await;
        assert_eq!(refused_from(replace(&test, &lines[3].iccid).await), "available");
        let unknown = Iccid::parse("8988247999999999992").unwrap();
        assert!(matches!(replace(&test, &unknown).await, Err(AppError::NotFound { what: "profile" })));
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        assert_eq!(refused_from(replace(&test, &lines[0].iccid).await), "in_progress");
        test.work_until_settled().await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
        test.top_up(&lines[0].iccid, "top-1", simdepot_tests::depot::PRODUCT).await.unwrap();
        test.work_until_settled().await;
        assert_eq!(refused_from(replace(&test, &lines[0].iccid).await), "operation_open");
        let caller = storefront("default");
        cancellations::cancel(&test.depot, &caller, id, None, None, Duration::ZERO).await.unwrap();
        assert_eq!(refused_from(replace(&test, &lines[0].iccid).await), "fulfilled", "being cancelled");
        test.finish().await;
    }

    async fn a_key_is_replayed(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        let id = test.order("ref-1", 1).await.unwrap().order.order.id;
        let (key, keeper) = (idempotency_key("key-1", "{}"), stock_keeper("default"));
        for replayed in [false, true] {
            let made = replacements::replace(
                &test.depot,
                &keeper,
                lines[0].iccid.clone(),
                "broken".to_owned(),
                Some(&key),
            );
            let made = made.await.unwrap();
            assert_eq!((made.replayed, made.order), (replayed, id));
            assert_eq!((&made.profile.profile.iccid, &made.replaces), (&lines[1].iccid, &lines[0].iccid));
        }
        assert_eq!(test.profile(&lines[2].iccid).await.stock_status, StockStatus::Available);
        test.finish().await;
    }

    /// One asks for it many times at once: one profile is taken.
    async fn parallel_replacements_take_one(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(9).await;
        test.order("ref-1", 1).await.unwrap();
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let (depot, iccid) = (test.depot.clone(), lines[0].iccid.clone());
                tokio::spawn(async move {
                    let reason = "broken".to_owned();
                    replacements::replace(&depot, &stock_keeper("default"), iccid, reason, None).await
                })
            })
            .collect();
        let mut made = 0;
        for request in requests {
            match request.await.unwrap() {
                Ok(_) => made += 1,
                Err(AppError::InvalidTransition { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        let allocated =
            test.db.raw().number("SELECT COUNT(*) AS value FROM profiles WHERE stock_status = 'allocated'");
        assert_eq!((made, allocated), (1, 1));
        test.finish().await;
    }

    /// The place's substitutes of an earlier life do not count against the new one, and a profile that went back on sale
    /// from a place that failed may come to the order again.
    async fn a_replacement_begins_anew(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(4).await;
        for line in &lines[..3] {
            test.twin.twin().simulate_download(&line.iccid, None, SystemClock.now()).unwrap();
        }
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.lines[0].profiles[0].profile.iccid, lines[3].iccid);
        let more = test.deliver(4).await;
        for line in &more[..3] {
            test.twin.twin().simulate_download(&line.iccid, None, SystemClock.now()).unwrap();
        }
        replace(&test, &lines[3].iccid).await.unwrap();
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(
            (order.order.status, &order.lines[0].profiles[0].profile.iccid),
            (OrderStatus::Fulfilled, &more[3].iccid)
        );
        test.finish().await;
    }

    async fn a_profile_may_come_to_an_order_twice(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let title = "PRODUCT_NOT_ELIGIBLE".to_owned();
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::RefuseTitle { status: 400, title }));
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::NeedsAttention);
        let of = |outcome| {
            let mut entries = order.lines[0].profiles.iter();
            entries.find(|entry| entry.outcome == outcome).unwrap().profile.iccid.clone()
        };
        let (failed, sold) = (of(ProfileOutcome::Failed), of(ProfileOutcome::Fulfilled));
        assert_eq!(lines.len(), 2);
        // The failed place's profile is the only one on sale.
        assert_eq!(replace(&test, &sold).await.unwrap().profile.profile.iccid, failed);
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::NeedsAttention);
        let entries = &order.lines[0].profiles;
        assert!(entries.iter().all(|entry| entry.profile.iccid == failed));
        let mut outcomes: Vec<_> = entries
            .iter()
            .map(|entry| (entry.outcome, entry.bundle.as_ref().unwrap().bundle.status.to_string()))
            .collect();
        outcomes.sort_by_key(|(_, status)| status.clone());
        assert_eq!(
            outcomes,
            [
                (ProfileOutcome::Fulfilled, "preloaded".to_owned()),
                (ProfileOutcome::Failed, "refused".to_owned())
            ]
        );
        test.finish().await;
    }
}
