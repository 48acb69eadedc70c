//! A first sale needs a fresh profile; another takes the place of one that is not.

use simdepot_carrier_twin::{Fault, LineSpec, Script};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::{TestDepot, on_both_databases};

/// Somebody has it already.
fn downloaded(test: &TestDepot, line: &LineSpec) {
    test.twin.twin().simulate_download(&line.iccid, None, SystemClock.now()).unwrap();
}

async fn assert_aside(test: &TestDepot, iccid: &Iccid, reason: QuarantineReason) {
    let profile = test.profile(iccid).await;
    assert_eq!((profile.stock_status, profile.quarantine_reason), (StockStatus::Quarantined, Some(reason)));
}

fn events_of(test: &TestDepot, type_name: &str) -> i64 {
    test.db.raw().number(&format!("SELECT COUNT(*) AS value FROM events WHERE type_name = '{type_name}'"))
}

on_both_databases! {
    async fn what_is_not_fresh_is_set_aside_and_replaced(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(6).await;
        downloaded(&test, &lines[0]);
        let now = SystemClock.now();
        test.twin.twin().set_line_status(&lines[1].iccid, SimStatus::Active, now).unwrap();
        test.twin.twin().set_esim_status(&lines[2].iccid, EsimStatus::Allocated, now).unwrap();
        let id = test.order_with_product("ref-1", 3).await.unwrap().order.order.id;
        test.work_until_settled().await;

        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        let mut given: Vec<_> =
            order.lines[0].profiles.iter().map(|entry| entry.profile.iccid.to_string()).collect();
        given.sort();
        let mut fresh: Vec<_> = lines[3..].iter().map(|line| line.iccid.to_string()).collect();
        fresh.sort();
        assert_eq!(given, fresh);
        assert!(order.lines[0].profiles.iter().all(|entry| entry.outcome == ProfileOutcome::Fulfilled));
        assert_aside(&test, &lines[0].iccid, QuarantineReason::DeviceBound).await;
        assert_aside(&test, &lines[1].iccid, QuarantineReason::LineNotSellable).await;
        assert_aside(&test, &lines[2].iccid, QuarantineReason::ProfileNotReleased).await;
        // What was seen is kept with the profile.
        assert!(test.profile(&lines[0].iccid).await.eid.is_some());
        assert_eq!(test.profile(&lines[1].iccid).await.sim.unwrap().status, SimStatus::Active);
        assert_eq!((test.order_requests(), events_of(&test, "order.profile_substituted")), (3, 3));
        test.finish().await;
    }

    async fn a_sim_that_the_carrier_does_not_know_is_set_aside(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let stranger = Iccid::parse("8988247999999999992").unwrap();
        let file = format!("ICCID;MSISDN;ActivationCode\n{stranger};33699999999;1$smdp.example$STRANGER\n");
        test.import(file, test.import_of()).await.unwrap();
        let line = test.deliver(1).await.remove(0);
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(
            (order.order.status, &order.lines[0].profiles[0].profile.iccid),
            (OrderStatus::Fulfilled, &line.iccid)
        );
        assert_aside(&test, &stranger, QuarantineReason::UnknownToCarrier).await;
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }

    async fn the_third_substitute_is_the_last(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(6).await;
        for line in &lines[..3] {
            downloaded(&test, line);
        }
        let id = test.order_with_product("three bad", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(
            (order.order.status, &order.lines[0].profiles[0].profile.iccid),
            (OrderStatus::Fulfilled, &lines[3].iccid)
        );
        assert_eq!(test.order_requests(), 1);

        let more = test.deliver(5).await;
        for line in lines[4..].iter().chain(&more[..2]) {
            downloaded(&test, line);
        }
        let id = test.order_with_product("four bad", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::Failed);
        assert_eq!(order.order.problem.unwrap()["code"], "device_bound");
        assert_eq!(order.lines[0].profiles.len(), 1);
        assert_eq!(order.lines[0].profiles[0].outcome, ProfileOutcome::Failed);
        for line in lines[4..].iter().chain(&more[..2]) {
            assert_aside(&test, &line.iccid, QuarantineReason::DeviceBound).await;
        }
        for line in &more[2..] {
            assert_eq!(test.profile(&line.iccid).await.stock_status, StockStatus::Available);
        }
        assert_eq!(test.order_requests(), 1, "nothing was sent for it");
        test.finish().await;
    }

    async fn without_a_substitute_left_the_place_fails_and_a_person_looks(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        downloaded(&test, &lines[0]);
        let id = test.order_with_product("ref-1", 2).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(order.order.status, OrderStatus::NeedsAttention);
        let outcomes: Vec<_> = order.lines[0].profiles.iter().map(|entry| entry.outcome).collect();
        assert_eq!(outcomes, [ProfileOutcome::Failed, ProfileOutcome::Fulfilled]);
        test.finish().await;
    }

    /// The carrier turns the profile itself away: another takes its place, without a second try of the first.
    async fn a_refusal_of_the_profile_substitutes(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        let fault = Fault::RefuseTitle { status: 400, title: "SUBSCRIBER_NOT_FOUND".to_owned() };
        test.twin.twin().add_script(Script::once(simdepot_carrier_twin::CallName::Order, fault));
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(
            (order.order.status, &order.lines[0].profiles[0].profile.iccid),
            (OrderStatus::Fulfilled, &lines[1].iccid)
        );
        assert_aside(&test, &lines[0].iccid, QuarantineReason::RefusedByCarrier).await;
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (2, 1));
        test.finish().await;
    }

    /// The line takes neither type, whatever SIM Search still says: it is set aside.
    async fn a_line_that_takes_neither_type_is_replaced(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        test.twin.twin().assumptions_mut().sim_search_lag_seconds = 600;
        test.twin.twin().set_line_status(&lines[0].iccid, SimStatus::Suspended, SystemClock.now()).unwrap();
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order = test.read_order(id).await;
        assert_eq!(
            (order.order.status, &order.lines[0].profiles[0].profile.iccid),
            (OrderStatus::Fulfilled, &lines[1].iccid)
        );
        assert_aside(&test, &lines[0].iccid, QuarantineReason::RefusedByCarrier).await;
        assert_eq!((test.order_requests(), test.carrier_orders().len()), (3, 1));
        test.finish().await;
    }

    /// With rights to the system of record, the first sale goes by it.
    async fn the_subscriber_record_is_believed_over_the_index(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.deliver(2).await;
        test.twin.twin().assumptions_mut().connectivity_open = true;
        test.twin.twin().assumptions_mut().sim_search_lag_seconds = 600;
        test.twin.twin().set_line_status(&lines[0].iccid, SimStatus::Suspended, SystemClock.now()).unwrap();
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        assert_eq!(test.read_order(id).await.order.status, OrderStatus::Fulfilled);
        assert_aside(&test, &lines[0].iccid, QuarantineReason::LineNotSellable).await;
        assert_eq!(test.order_requests(), 1);
        test.finish().await;
    }
}
