//! Orders that are taken back: what is in flight ends first, and only what is proven to be unused is sold again.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::cancellations::{self, Cancelled};
use simdepot_application::orders::PlaceOrder;
use simdepot_application::{AppError, activation, deliveries, operations};
use simdepot_carrier_twin::line::NewLine;
use simdepot_carrier_twin::{CallName, Fault, LineSpec, Script};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{OTHER_PRODUCT, PRODUCT, idempotency_key, order_of, storefront, work_until_idle};
use simdepot_tests::{TestDepot, on_both_databases};

use crate::carriers::{At, Between};

async fn cancel(test: &TestDepot, id: OrderId) -> Result<Cancelled, AppError> {
    let reason = Some("ordered twice".to_owned());
    cancellations::cancel(&test.depot, &storefront("default"), id, reason, None, Duration::ZERO).await
}

async fn cancelled(test: &TestDepot, id: OrderId) -> Cancelled {
    let cancelled = cancel(test, id).await.unwrap();
    let order = &cancelled.order.order;
    assert_eq!((order.status, order.cancelling_since), (OrderStatus::Cancelled, None));
    assert!(cancelled.order.lines[0].profiles.iter().all(|entry| entry.outcome == ProfileOutcome::Cancelled));
    cancelled
}

/// An order that shows no code yet.
fn quiet(reference: &str, quantity: u32, product: Option<&str>) -> PlaceOrder {
    PlaceOrder { reveal: false, ..order_of(reference, quantity, product) }
}

async fn quiet_order(test: &TestDepot, reference: &str, quantity: u32) -> OrderId {
    test.place(quiet(reference, quantity, None)).await.unwrap().order.order.id
}

async fn assert_on_sale(test: &TestDepot, iccid: &Iccid) {
    let profile = test.profile(iccid).await;
    assert_eq!((profile.stock_status, profile.quarantine_reason), (StockStatus::Available, None));
}

async fn assert_unproven(test: &TestDepot, iccid: &Iccid) {
    let profile = test.profile(iccid).await;
    assert_eq!(
        (profile.stock_status, profile.quarantine_reason),
        (StockStatus::Quarantined, Some(QuarantineReason::ReturnedUnproven)),
        "{iccid}"
    );
}

fn events_of(test: &TestDepot, type_name: &str) -> i64 {
    test.db.raw().number(&format!("SELECT COUNT(*) AS value FROM events WHERE type_name = '{type_name}'"))
}

/// Steps until nothing is left to decide.
async fn step_until_idle(test: &TestDepot) -> usize {
    let mut steps = 0;
    while cancellations::step(&test.depot).await.unwrap() {
        steps += 1;
        assert!(steps < 1_000, "the work does not end");
    }
    steps
}

fn hold(test: &mut TestDepot, at: At) -> Arc<Between> {
    let mut held = None;
    test.wrap_carrier(|inner| {
        let carrier = Arc::new(Between::holding(inner, at));
        held = Some(Arc::clone(&carrier));
        carrier
    });
    held.unwrap()
}

fn physical() -> NewLine {
    NewLine {
        iccid: Iccid::parse("8988247100000000017").unwrap(),
        msisdn: Some(Msisdn::parse("33700000019").unwrap()),
        sim_status: SimStatus::Preactivated,
        esim_status: EsimStatus::Released,
        physical: true,
        activation_code: None,
    }
}

/// One physical SIM on sale, and an order for it with a product, carried out.
async fn sold_plastic(test: &TestDepot) -> (LineSpec, OrderId) {
    let line = test.twin.twin().add_line(physical()).unwrap();
    let file = format!(
        "TransatelId;Msisdn;Release;IccId;HLRStatus;Pin1;Puk1\n900100;{};R1;{};Pre-Activated;1234;12345678\n",
        line.msisdn(),
        line.iccid
    );
    test.import(file, test.import_of()).await.unwrap();
    while deliveries::step(&test.depot).await.unwrap() {}
    (line, quiet_order(test, "plastic", 1).await)
}

on_both_databases! {
    async fn what_was_never_sent_is_taken_back_and_sold_again(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        let taken = cancelled(&test, id).await;
        assert!(!taken.replayed);
        for entry in &taken.order.lines[0].profiles {
            let placed = entry.bundle.as_ref().unwrap();
            assert_eq!(placed.bundle.status, BundleStatus::Terminated);
            assert_eq!(placed.operation_status(), Some(OperationStatus::Cancelled));
        }
        for line in &lines {
            assert_on_sale(&test, &line.iccid).await;
        }
        assert_eq!((test.work_until_idle().await, test.order_requests()), (0, 0));
        assert_eq!(events_of(&test, "order.cancel_requested"), 1);
        // Again is the same answer, and nothing more is told.
        cancelled(&test, id).await;
        assert_eq!((events_of(&test, "order.cancel_requested"), step_until_idle(&test).await), (1, 0));
        // The same profiles are sold to somebody else, under another reference.
        let again = test.order_with_product("ref-1", 2).await.unwrap();
        assert_eq!((again.order.order.id, again.order.order.status), (id, OrderStatus::Cancelled));
        let other = test.order_with_product("ref-2", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        assert_eq!(test.read_order(other).await.order.status, OrderStatus::Fulfilled);
        assert_eq!(test.order_requests(), 2);
        test.finish().await;
    }

    async fn a_fulfilled_order_goes_back_on_sale_when_nobody_saw_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let id = quiet_order(&test, "ref-1", 1).await;
        cancelled(&test, id).await;
        assert_on_sale(&test, &line.iccid).await;
        let code = activation::reveal(&test.depot, &storefront("default"), line.iccid.clone()).await;
        assert!(matches!(code, Err(AppError::NotFound { .. })), "{code:?}");
        test.finish().await;
    }

    async fn a_shown_code_is_not_sold_again(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let id = test.order("ref-1", 1).await.unwrap().order.order.id;
        cancelled(&test, id).await;
        assert_unproven(&test, &line.iccid).await;
        // Nobody had to be asked.
        assert_eq!(test.twin.twin().calls(CallName::Inventory), 0);
        test.finish().await;
    }

    async fn what_a_device_has_or_the_carrier_placed_is_not_sold_again(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(4).await;
        let mut ids = Vec::new();
        for number in 0..4 {
            let product = (number == 1).then_some(PRODUCT);
            let order = quiet(&format!("ref-{number}"), 1, product);
            ids.push(test.place(order).await.unwrap().order.order.id);
        }
        test.work_until_settled().await;
        test.twin.twin().simulate_download(&lines[0].iccid, None, SystemClock.now()).unwrap();
        // Placed by hand at the carrier: the own records know nothing of it.
        let by_hand = simdepot_domain::carrier::BundleOrder {
            iccid: lines[2].iccid.clone(),
            msisdn: lines[2].msisdn.clone().unwrap(),
            product: OTHER_PRODUCT.to_owned(),
            order_type: simdepot_domain::bundle::OrderType::Preload,
            reference: "by hand".to_owned(),
        };
        test.depot.accounts.values().next().unwrap().carrier.place_bundle(&by_hand).await;
        test.twin.twin().set_esim_status(&lines[3].iccid, EsimStatus::Allocated, SystemClock.now()).unwrap();
        for (id, line) in ids.iter().zip(&lines) {
            cancelled(&test, *id).await;
            assert_unproven(&test, &line.iccid).await;
        }
        // What the carrier said is kept, and what it has placed stays as it is.
        assert!(test.profile(&lines[0].iccid).await.eid.is_some());
        let with_bundle = test.read_order(ids[1]).await;
        let bundle = with_bundle.lines[0].profiles[0].bundle.as_ref().unwrap();
        assert_eq!(bundle.bundle.status, BundleStatus::Preloaded);
        test.finish().await;
    }

    async fn a_read_that_fails_proves_nothing(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(3).await;
        let denied = Fault::RefuseTitle { status: 403, title: "INSUFFICIENT_PERMISSION".to_owned() };
        let faults =
            [(CallName::Esim, Fault::Status503Before), (CallName::Inventory, Fault::Garbage), (CallName::Inventory, denied)];
        for (number, (call, fault)) in faults.into_iter().enumerate() {
            let id = quiet_order(&test, &format!("ref-{number}"), 1).await;
            test.twin.twin().add_script(Script::once(call, fault));
            cancelled(&test, id).await;
            assert_unproven(&test, &lines[number].iccid).await;
        }
        test.finish().await;
    }

    async fn a_physical_sim_needs_a_line_that_can_be_sold(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let (line, id) = sold_plastic(&test).await;
        cancelled(&test, id).await;
        assert_on_sale(&test, &line.iccid).await;
        let id = quiet_order(&test, "again", 1).await;
        test.twin.twin().set_line_status(&line.iccid, SimStatus::Active, SystemClock.now()).unwrap();
        cancelled(&test, id).await;
        assert_unproven(&test, &line.iccid).await;
        test.finish().await;
    }

    /// The order is at the carrier: it ends first, and then the profile carries a bundle.
    async fn what_is_in_flight_ends_first(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = test.deliver(2).await.remove(0);
        let held = hold(&mut test, At::Order);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let worker = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        let asked = cancel(&test, id).await.unwrap();
        assert_eq!(asked.order.order.status, OrderStatus::InProgress);
        assert!(asked.order.order.cancelling_since.is_some());
        assert_eq!(step_until_idle(&test).await, 0, "nothing can be decided");
        test.assert_verified().await;
        held.go_on.notify_one();
        worker.await.unwrap().unwrap();
        // It is not called fulfilled on the way, and shows no code.
        let between = test.read_order(id).await;
        assert_eq!(between.order.status, OrderStatus::InProgress);
        assert_eq!(between.lines[0].profiles[0].outcome, ProfileOutcome::Fulfilled);
        let code = activation::reveal(&test.depot, &storefront("default"), line.iccid.clone()).await;
        assert!(matches!(code, Err(AppError::InvalidTransition { .. })), "{code:?}");
        test.assert_verified().await;
        assert_eq!(step_until_idle(&test).await, 1);
        cancelled(&test, id).await;
        assert_unproven(&test, &line.iccid).await;
        assert_eq!(test.carrier_orders().len(), 1);
        test.finish().await;
    }

    /// The carrier turned the order away for now: it is not sent again, and the profile is as fresh as before.
    async fn what_was_not_taken_is_not_sent_again(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::TooMany429 { retry_after: None }));
        let held = hold(&mut test, At::Order);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let worker = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        assert!(cancel(&test, id).await.unwrap().order.order.cancelling_since.is_some());
        held.go_on.notify_one();
        worker.await.unwrap().unwrap();
        // The worker finds it in the queue before anybody else: it takes it back instead of sending it.
        test.work_until_settled().await;
        let operation = test.operations(None).await.remove(0);
        assert_eq!((operation.status, operation.attempts), (OperationStatus::Cancelled, 1));
        test.assert_verified().await;
        cancelled(&test, id).await;
        assert_on_sale(&test, &line.iccid).await;
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (1, 0));
        test.finish().await;
    }

    /// Refused in flight: the place has failed, and the order is cancelled, not failed. No other profile is taken.
    async fn a_refusal_in_flight_ends_the_cancellation(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let title = "SUBSCRIBER_NOT_FOUND".to_owned();
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::RefuseTitle { status: 400, title }));
        let held = hold(&mut test, At::Order);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let worker = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        assert!(cancel(&test, id).await.unwrap().order.order.cancelling_since.is_some());
        held.go_on.notify_one();
        worker.await.unwrap().unwrap();
        let order = test.read_order(id).await;
        assert_eq!((order.order.status, order.order.cancelling_since), (OrderStatus::Cancelled, None));
        assert_eq!(order.lines[0].profiles[0].outcome, ProfileOutcome::Failed);
        assert_on_sale(&test, &lines[1].iccid).await;
        assert_eq!(test.work_until_idle().await, 0);
        test.finish().await;
    }

    async fn a_lost_answer_keeps_the_order_open(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(2).await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        for _ in 0..2 {
            let asked = cancel(&test, id).await.unwrap();
            assert_eq!(asked.order.order.status, OrderStatus::InProgress);
            assert!(asked.order.order.cancelling_since.is_some());
        }
        // The other one is decided on all the same.
        let mut outcomes: Vec<_> = test.read_order(id).await.lines[0]
            .profiles
            .iter()
            .map(|entry| (entry.outcome, entry.profile.stock_status))
            .collect();
        outcomes.sort_by_key(|(outcome, _)| outcome.to_string());
        assert_eq!(
            outcomes,
            [
                (ProfileOutcome::Cancelled, StockStatus::Quarantined),
                (ProfileOutcome::Unknown, StockStatus::Allocated)
            ]
        );
        assert_eq!(events_of(&test, "order.cancel_requested"), 1);
        assert_eq!((step_until_idle(&test).await, test.work_until_idle().await), (0, 0));
        test.finish().await;
    }

    async fn a_top_up_is_part_of_what_is_taken_back(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let id = quiet_order(&test, "ref-1", 1).await;
        test.top_up(&lines[0].iccid, "top-1", PRODUCT).await.unwrap();
        cancelled(&test, id).await;
        assert_on_sale(&test, &lines[0].iccid).await;
        assert_eq!((test.work_until_idle().await, test.order_requests()), (0, 0));
        let bundle = test.top_up(&lines[0].iccid, "top-1", PRODUCT).await;
        assert!(matches!(bundle, Err(AppError::NotFound { .. })), "{bundle:?}");

        // One whose answer was lost holds the order; meanwhile no other is taken.
        let id = quiet_order(&test, "ref-2", 2).await;
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::DropAfterApply));
        test.top_up(&lines[0].iccid, "top-2", PRODUCT).await.unwrap();
        test.work_until_settled().await;
        assert!(cancel(&test, id).await.unwrap().order.order.cancelling_since.is_some());
        let refused = test.top_up(&lines[0].iccid, "top-3", PRODUCT).await;
        assert!(matches!(refused, Err(AppError::InvalidTransition { .. })), "{refused:?}");
        assert_on_sale(&test, &lines[1].iccid).await;
        test.finish().await;
    }

    async fn only_the_own_channel_cancels_and_not_what_failed(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        let id = quiet_order(&test, "ref-1", 1).await;
        let other =
            cancellations::cancel(&test.depot, &storefront("other"), id, None, None, Duration::ZERO).await;
        assert!(matches!(other, Err(AppError::NotFound { what: "order" })), "{other:?}");
        cancelled(&test, id).await;
        let title = "PRODUCT_NOT_ELIGIBLE".to_owned();
        test.twin.twin().add_script(Script::once(CallName::Order, Fault::RefuseTitle { status: 400, title }));
        let id = test.order_with_product("ref-2", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let refused = cancel(&test, id).await;
        assert!(matches!(refused, Err(AppError::InvalidTransition { ref from, .. }) if from == "failed"));
        test.finish().await;
    }

    async fn a_key_is_replayed(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        test.deliver(1).await;
        let id = quiet_order(&test, "ref-1", 1).await;
        let key = idempotency_key("key-1", "{}");
        let caller = storefront("default");
        for replayed in [false, true] {
            let asked =
                cancellations::cancel(&test.depot, &caller, id, None, Some(&key), Duration::ZERO).await.unwrap();
            assert_eq!((asked.replayed, asked.order.order.status), (replayed, OrderStatus::Cancelled));
        }
        let other = idempotency_key("key-1", "{\"reason\":\"x\"}");
        let reused = cancellations::cancel(&test.depot, &caller, id, None, Some(&other), Duration::ZERO).await;
        assert!(matches!(reused, Err(AppError::IdempotencyKeyReused)), "{reused:?}");
        test.finish().await;
    }

    /// An order larger than a step: a process that dies leaves the rest to the next one, which may be two.
    async fn many_profiles_are_decided_on_in_steps_by_any_process(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(70).await;
        let id = test.order_with_product("ref-1", 70).await.unwrap().order.order.id;
        let first = cancel(&test, id).await.unwrap();
        assert!(first.order.order.cancelling_since.is_some(), "one step is not enough");
        test.assert_verified().await;
        let left: Vec<_> = (0..2).map(|_| test.restarted()).collect();
        let steps = left.into_iter().map(|depot| {
            tokio::spawn(async move {
                let worker = work_until_idle(&depot);
                let steps = async { while cancellations::step(&depot).await.unwrap() {} };
                tokio::join!(worker, steps)
            })
        });
        for running in steps.collect::<Vec<_>>() {
            running.await.unwrap();
        }
        step_until_idle(&test).await;
        cancelled(&test, id).await;
        for line in &lines {
            assert_on_sale(&test, &line.iccid).await;
        }
        assert_eq!((test.order_requests(), events_of(&test, "profile.stock_moved")), (0, 140));
        test.finish().await;
    }

    /// More of them than a step takes cannot be decided on: the next order does not wait behind them.
    async fn what_cannot_be_decided_blocks_nobody(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(44).await;
        let broken = quiet_order(&test, "broken", 22).await;
        test.db.raw().execute("UPDATE profiles SET msisdn = 'x' || msisdn WHERE stock_status = 'allocated'");
        assert!(cancel(&test, broken).await.is_err(), "it is being cancelled, and cannot be shown");
        assert!(!cancellations::step(&test.depot).await.unwrap(), "none of them");
        let next = quiet_order(&test, "next", 22).await;
        // The request decides on as many as a step; the last two are behind the others.
        assert!(cancel(&test, next).await.unwrap().order.order.cancelling_since.is_some());
        step_until_idle(&test).await;
        assert_eq!(test.read_order(next).await.order.status, OrderStatus::Cancelled);
        // Mended, they are decided on as well.
        test.db.raw().execute("UPDATE profiles SET msisdn = substr(msisdn, 2) WHERE msisdn LIKE 'x%'");
        step_until_idle(&test).await;
        cancelled(&test, broken).await;
        for line in &lines {
            assert_on_sale(&test, &line.iccid).await;
        }
        test.finish().await;
    }

    /// Either the code was shown, and the profile is not sold again, or it goes back on sale, and was not shown.
    async fn a_reveal_and_a_cancellation_do_not_cross(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(30).await;
        let (mut shown, mut back) = (0, 0);
        for (number, line) in lines.iter().enumerate() {
            let id = quiet_order(&test, &format!("ref-{number}"), 1).await;
            let (depot, iccid) = (test.depot.clone(), line.iccid.clone());
            let other = test.restarted();
            let reveal =
                tokio::spawn(async move { activation::reveal(&depot, &storefront("default"), iccid).await });
            // Now and then the one, now and then the other is first.
            tokio::time::sleep(Duration::from_micros(u64::try_from(number % 6).unwrap() * 700)).await;
            let cancel = tokio::spawn(async move {
                cancellations::cancel(&other, &storefront("default"), id, None, None, Duration::ZERO).await
            });
            let (revealed, done) = (reveal.await.unwrap(), cancel.await.unwrap().unwrap());
            assert_eq!(done.order.order.status, OrderStatus::Cancelled);
            let profile = test.profile(&line.iccid).await;
            let told = test.db.raw().number(&format!(
                "SELECT COUNT(*) AS value FROM events WHERE type_name = 'profile.code_revealed' AND subject_id = '{}'",
                line.iccid
            ));
            // A reveal that was told and then refused is no less told.
            assert!(told == 1 || (told == 0 && revealed.is_err()), "{told} {revealed:?}");
            match profile.stock_status {
                StockStatus::Available => {
                    assert_eq!((profile.revealed_at, told), (None, 0));
                    back += 1;
                    // Out of the way of the next order.
                    quiet_order(&test, &format!("away-{number}"), 1).await;
                }
                StockStatus::Quarantined => {
                    assert_eq!(told, 1);
                    shown += 1;
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(shown + back, 30);
        test.finish().await;
    }

    /// The worker's `sent` and the cancellation meet under the order's lock: the order is at the carrier, and then its
    /// profile is not sold again, or it never was.
    async fn a_worker_and_a_cancellation_do_not_cross(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(30).await;
        let (mut sent, mut back) = (0, 0);
        for (number, line) in lines.iter().enumerate() {
            let id = test.place(quiet(&format!("ref-{number}"), 1, Some(PRODUCT))).await.unwrap().order.order.id;
            let (depot, other) = (test.depot.clone(), test.restarted());
            let worker = tokio::spawn(async move { work_until_idle(&depot).await });
            tokio::time::sleep(Duration::from_millis(u64::try_from(number % 10).unwrap() * 2)).await;
            let cancel = tokio::spawn(async move {
                cancellations::cancel(&other, &storefront("default"), id, None, None, Duration::ZERO).await
            });
            worker.await.unwrap();
            cancel.await.unwrap().unwrap();
            test.work_until_settled().await;
            step_until_idle(&test).await;
            let order = test.read_order(id).await;
            assert_eq!((order.order.status, order.order.cancelling_since), (OrderStatus::Cancelled, None));
            let taken = test.carrier_orders().iter().filter(|order| order.msisdn == line.msisdn()).count();
            let bundle = order.lines[0].profiles[0].bundle.as_ref().unwrap();
            match test.profile(&line.iccid).await.stock_status {
                StockStatus::Available => {
                    assert_eq!((taken, bundle.operation_status()), (0, Some(OperationStatus::Cancelled)));
                    back += 1;
                    quiet_order(&test, &format!("away-{number}"), 1).await;
                }
                StockStatus::Quarantined => {
                    assert_eq!((taken, bundle.operation_status()), (1, Some(OperationStatus::Done)));
                    sent += 1;
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(sent + back, 30);
        test.finish().await;
    }

    /// What is pending when the process that took the order back dies is not sent by the next one.
    async fn a_worker_takes_back_what_it_finds(db: TestDatabase) {
        let mut test = TestDepot::start(db).await;
        test.pace(|pace| pace.lease = TimeDelta::seconds(30));
        let line = test.deliver(1).await.remove(0);
        let held = hold(&mut test, At::Line);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        let depot = test.depot.clone();
        let worker = tokio::spawn(async move { operations::step(&depot).await });
        held.reached.notified().await;
        // The worker has leased it and reads; the request takes it back under its eyes.
        cancelled(&test, id).await;
        held.go_on.notify_one();
        assert!(worker.await.unwrap().unwrap());
        assert_eq!((test.work_until_idle().await, test.order_requests()), (0, 0));
        assert_on_sale(&test, &line.iccid).await;
        test.finish().await;
    }
}
