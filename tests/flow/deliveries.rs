//! Deliveries without codes are completed from the carrier's record before they go on sale.

use std::time::Duration;

use simdepot_application::{AppError, activation, deliveries};
use simdepot_carrier_twin::line::NewLine;
use simdepot_carrier_twin::{CallName, Fault, LineSpec, Script};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::storefront;
use simdepot_tests::{TestDepot, on_both_databases};

/// The delivery file of seven columns: no activation codes.
fn codeless(lines: &[LineSpec]) -> String {
    let mut file = "TransatelId;Msisdn;Release;IccId;HLRStatus;Pin1;Puk1\r\n".to_owned();
    for line in lines {
        let (pin, puk) = (line.pin.expose(), line.puk.expose());
        file.push_str(&format!("900100;{};R1;{};Pre-Activated;{pin};{puk}\r\n", line.msisdn(), line.iccid));
    }
    file
}

async fn deliver_codeless(test: &TestDepot, lines: &[LineSpec]) {
    let (view, _) = test.import(codeless(lines), test.import_of()).await.unwrap();
    let accepted = usize::try_from(view.import.counts.accepted).unwrap();
    assert_eq!((accepted, view.import.counts.rejected), (lines.len(), 0), "{:?}", view.errors);
}

async fn complete(test: &TestDepot) -> usize {
    let mut steps = 0;
    while deliveries::step(&test.depot).await.unwrap() {
        steps += 1;
    }
    steps
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

on_both_databases! {
    async fn codes_are_read_from_the_carrier_before_the_sale(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.twin.twin().add_lines(25);
        deliver_codeless(&test, &lines).await;
        let waiting = test.profile(&lines[0].iccid).await;
        assert_eq!(
            (waiting.stock_status, waiting.quarantine_reason),
            (StockStatus::Quarantined, Some(QuarantineReason::CodeMissing))
        );
        assert!(matches!(test.order("early", 1).await, Err(AppError::OutOfStock { available: 0, .. })));
        assert!(complete(&test).await >= 2, "more than one step has to do");
        assert!(!deliveries::step(&test.depot).await.unwrap());
        let ready = test.profile(&lines[0].iccid).await;
        assert_eq!((ready.stock_status, ready.quarantine_reason), (StockStatus::Available, None));
        let order = test.order("ref-1", 25).await.unwrap().order;
        for (entry, line) in order.lines[0].profiles.iter().zip(&lines) {
            assert_eq!((&entry.profile.iccid, &entry.activation), (&line.iccid, &line.activation_code));
        }
        test.finish().await;
    }

    async fn a_sim_that_the_carrier_does_not_know_stays_set_aside(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let stranger = "TransatelId;Msisdn;Release;IccId;HLRStatus;Pin1;Puk1\r\n\
                        900100;33700000026;R1;8988247100000000025;Pre-Activated;1234;12345678\r\n";
        let (view, _) = test.import(stranger.to_owned(), test.import_of()).await.unwrap();
        assert_eq!(view.import.counts.accepted, 1, "{:?}", view.errors);
        complete(&test).await;
        let profile = test.profile(&Iccid::parse("8988247100000000025").unwrap()).await;
        assert_eq!(
            (profile.stock_status, profile.quarantine_reason, profile.form_factor),
            (StockStatus::Quarantined, Some(QuarantineReason::CodeMissing), FormFactor::Esim)
        );
        assert!(matches!(test.order("early", 1).await, Err(AppError::OutOfStock { available: 0, .. })));
        test.finish().await;
    }

    async fn a_physical_sim_needs_no_code(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.twin.twin().add_line(physical()).unwrap();
        deliver_codeless(&test, std::slice::from_ref(&line)).await;
        complete(&test).await;
        let profile = test.profile(&line.iccid).await;
        assert_eq!((profile.form_factor, profile.stock_status), (FormFactor::Psim, StockStatus::Available));
        let id = test.order_with_product("ref-1", 1).await.unwrap().order.order.id;
        test.work_until_settled().await;
        let order =
            simdepot_application::orders::get(&test.depot, &storefront("default"), id, true).await.unwrap();
        assert_eq!(
            (order.order.status, &order.lines[0].profiles[0].activation),
            (OrderStatus::Fulfilled, &None)
        );
        let code = activation::reveal(&test.depot, &storefront("default"), line.iccid.clone()).await;
        assert!(matches!(code, Err(AppError::NotFound { what: "activation code" })), "{code:?}");
        test.finish().await;
    }

    async fn what_is_in_use_does_not_go_on_sale(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.twin.twin().add_lines(3);
        test.twin.twin().simulate_download(&lines[0].iccid, None, SystemClock.now()).unwrap();
        test.twin.twin().set_esim_status(&lines[1].iccid, EsimStatus::Allocated, SystemClock.now()).unwrap();
        deliver_codeless(&test, &lines).await;
        complete(&test).await;
        for line in &lines[..2] {
            assert_eq!(test.profile(&line.iccid).await.stock_status, StockStatus::Quarantined);
        }
        assert!(test.profile(&lines[0].iccid).await.eid.is_some());
        assert_eq!(test.profile(&lines[2].iccid).await.stock_status, StockStatus::Available);
        test.finish().await;
    }

    /// A carrier that cannot be asked is asked again later; the others are not held up.
    async fn a_record_that_cannot_be_read_waits(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let lines = test.twin.twin().add_lines(3);
        deliver_codeless(&test, &lines).await;
        test.twin.twin().add_script(Script::once(CallName::Esim, Fault::Status503Before));
        test.twin.twin().add_script(Script::once(CallName::Esim, Fault::Garbage));
        complete(&test).await;
        let mut statuses = Vec::new();
        for line in &lines {
            statuses.push(test.profile(&line.iccid).await.stock_status.to_string());
        }
        statuses.sort();
        assert_eq!(statuses, ["available", "quarantined", "quarantined"]);
        test.db.raw().execute("UPDATE profiles SET recheck_at = created_at WHERE recheck_at IS NOT NULL");
        complete(&test).await;
        for line in &lines {
            assert_eq!(test.profile(&line.iccid).await.stock_status, StockStatus::Available);
        }
        test.finish().await;
    }

    /// The carrier gives two SIMs one code: the second one is not sold.
    async fn a_code_that_another_profile_holds_is_set_aside(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let first = test.deliver(1).await.remove(0);
        let twice = NewLine { physical: false, activation_code: first.activation_code.clone(), ..physical() };
        let second = test.twin.twin().add_line(twice).unwrap();
        deliver_codeless(&test, std::slice::from_ref(&second)).await;
        complete(&test).await;
        assert_eq!(test.profile(&second.iccid).await.stock_status, StockStatus::Quarantined);
        assert_eq!(test.profile(&first.iccid).await.stock_status, StockStatus::Available);
        test.finish().await;
    }

    async fn two_workers_complete_each_delivery_once(db: TestDatabase) {
        let test = TestDepot::start_with(db, Duration::from_secs(10)).await;
        let lines = test.twin.twin().add_lines(60);
        deliver_codeless(&test, &lines).await;
        let other = test.restarted();
        let workers: Vec<_> = [test.depot.clone(), other]
            .into_iter()
            .map(|depot| tokio::spawn(async move { while deliveries::step(&depot).await.unwrap() {} }))
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        complete(&test).await;
        let received = test
            .db
            .raw()
            .number("SELECT COUNT(*) AS value FROM events WHERE type_name = 'profile.code_received'");
        assert_eq!(received, 60);
        assert_eq!(test.order("all", 60).await.unwrap().order.lines[0].profiles.len(), 60);
        test.finish().await;
    }
}
