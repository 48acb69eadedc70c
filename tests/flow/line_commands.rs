//! Commands to lines: each ends in the truth, whatever comes late, early, twice or never, and none is sent twice.

use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::line_operations::{self, LineRequest};
use simdepot_application::operations::{Verdict, decide_by_hand};
use simdepot_application::{AppError, orders, timeline};
use simdepot_carrier_twin::requests::WriteCount;
use simdepot_carrier_twin::{CallName, Fault, LineOperation, LineSpec, Script};
use simdepot_domain::line::{Contact, LineCommand, LineOption, LineSetup};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::operations::Operation;
use simdepot_tests::depot::{PRODUCT, stock_keeper, storefront};
use simdepot_tests::lines::{LineDepot, setup};
use simdepot_tests::on_both_databases;

/// How often the twin got a write, and how often it did it.
fn sent(test: &LineDepot, line: &LineSpec, operation: LineOperation) -> (u64, u64) {
    let WriteCount { arrived, done, .. } = test.twin.twin().line_writes(line.iccid.as_str(), operation);
    (arrived, done)
}

fn problem(operation: &Operation) -> (String, String) {
    let problem = operation.problem.as_ref().unwrap();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("detail"))
}

async fn status(test: &LineDepot, line: &LineSpec) -> SimStatus {
    test.profile(&line.iccid).await.sim.unwrap().status
}

on_both_databases! {
    async fn an_activation_comes_to_its_end(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let asked = LineSetup {
            group: Some("fleet-a".to_owned()),
            external_reference: Some("truck-17".to_owned()),
            ..LineSetup::default()
        };
        let id = test.command(&line, LineCommand::Activate(asked)).await.unwrap();
        let profile = test.profile(&line.iccid).await;
        assert_eq!(
            (profile.stock_status, profile.quarantine_reason),
            (StockStatus::Quarantined, Some(QuarantineReason::InService)),
            "it is not for sale any more"
        );
        let done = test.settle(id).await;
        assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{done:#?}");
        assert_eq!(sent(&test, &line, LineOperation::Activate), (1, 1));
        assert_eq!(status(&test, &line).await, SimStatus::Active);
        let known = test.line(&line.iccid).await;
        assert_eq!((known.group.as_deref(), known.external_reference.as_deref()), (Some("fleet-a"), Some("truck-17")));
        test.finish().await;
    }

    async fn a_late_failure_tells_why_and_gives_the_profile_back(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let unknown = LineSetup { group: Some("nobody-knows".to_owned()), ..LineSetup::default() };
        let id = test.command(&line, LineCommand::Activate(unknown)).await.unwrap();
        test.work().await;
        assert_eq!(test.operation(id).await.status, OperationStatus::Accepted);
        let refused = test.settle(id).await;
        assert_eq!(refused.status, OperationStatus::Refused);
        assert!(!problem(&refused).1.is_empty(), "{refused:#?}");
        assert_eq!(sent(&test, &line, LineOperation::Activate), (1, 0));
        let profile = test.profile(&line.iccid).await;
        assert_eq!((profile.stock_status, profile.sim.unwrap().status), (StockStatus::Available, SimStatus::Preactivated));
        test.finish().await;
    }

    async fn a_lost_answer_is_found_out_and_not_sent_again(db: TestDatabase) {
        let test = LineDepot::start_with(db, Duration::from_millis(400)).await;
        let line = test.deliver(1).await.remove(0);
        test.twin.twin().add_script(Script::once(CallName::LineWrite, Fault::DropAfterApply));
        let id = test.command(&line, LineCommand::Activate(LineSetup::default())).await.unwrap();
        test.work().await;
        assert_eq!(test.operation(id).await.status, OperationStatus::Unknown);
        let done = test.settle(id).await;
        assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{done:#?}");
        assert_eq!(done.evidence.unwrap()["source"], "line");
        assert_eq!(sent(&test, &line, LineOperation::Activate), (1, 1));
        test.finish().await;
    }

    async fn what_the_carrier_never_got_is_sent_again_once_that_is_sure(db: TestDatabase) {
        let mut test = LineDepot::start_with(db, Duration::from_millis(400)).await;
        test.pace(|pace| pace.line_settle = TimeDelta::milliseconds(300));
        let line = test.deliver(1).await.remove(0);
        test.twin.twin().add_script(Script::once(CallName::LineWrite, Fault::DropBeforeApply));
        let id = test.command(&line, LineCommand::Activate(LineSetup::default())).await.unwrap();
        let done = test.settle(id).await;
        assert_eq!((done.status, done.attempts), (OperationStatus::Done, 2), "{done:#?}");
        assert_eq!(sent(&test, &line, LineOperation::Activate), (2, 1));
        test.finish().await;
    }

    async fn another_number_is_never_asked_for_twice(db: TestDatabase) {
        let mut test = LineDepot::start_with(db, Duration::from_millis(400)).await;
        test.pace(|pace| pace.line_settle = TimeDelta::milliseconds(300));
        let line = test.active().await;
        test.twin.twin().add_script(Script::once(CallName::LineWrite, Fault::DropBeforeApply));
        let id = test.command(&line, LineCommand::SwapMsisdn).await.unwrap();
        let left = test.settle_to(id, |operation| operation.status == OperationStatus::NeedsAttention).await;
        assert_eq!(problem(&left).0, "not_repeatable");
        assert_eq!(sent(&test, &line, LineOperation::MsisdnSwap), (1, 0));
        let reason = "the portal shows the old number".to_owned();
        decide_by_hand(&test.depot, &stock_keeper("default"), id, Verdict::Retry, reason, None).await.unwrap();
        assert_eq!(test.settle(id).await.status, OperationStatus::Done);
        let now = test.profile(&line.iccid).await.msisdn.unwrap();
        assert_ne!(Some(now), line.msisdn);
        test.finish().await;
    }

    async fn an_event_may_come_before_the_answer(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        test.twin.twin().assumptions_mut().line_event = simdepot_carrier_twin::LineEvent::BeforeAnswer;
        let id = test.command(&line, LineCommand::Activate(LineSetup::default())).await.unwrap();
        test.twin.twin().add_script(Script::once(CallName::LineWrite, Fault::Slow { ms: 300 }));
        let (worked, ()) = tokio::join!(line_operations::step(&test.depot), async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            test.deliver_events().await;
        });
        assert!(worked.unwrap());
        let done = test.settle(id).await;
        assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{done:#?}");
        assert_eq!(sent(&test, &line, LineOperation::Activate), (1, 1));
        test.finish().await;
    }

    async fn an_event_ends_it_without_a_look(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.active().await;
        test.deliver_events().await;
        let id = test.command(&line, LineCommand::Suspend).await.unwrap();
        test.work().await;
        assert_eq!(test.operation(id).await.status, OperationStatus::Accepted);
        test.twin_time().await;
        test.deliver_events().await;
        let done = test.operation(id).await;
        assert_eq!(done.status, OperationStatus::Done, "{done:#?}");
        assert_eq!(done.evidence.unwrap()["source"], "event");
        assert_eq!(status(&test, &line).await, SimStatus::Suspended);
        assert_eq!(sent(&test, &line, LineOperation::Suspend), (1, 1));
        test.finish().await;
    }

    async fn an_event_may_never_come(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        test.twin.twin().assumptions_mut().line_event = simdepot_carrier_twin::LineEvent::Never;
        let line = test.active().await;
        let id = test.command(&line, LineCommand::Suspend).await.unwrap();
        let done = test.settle(id).await;
        assert_eq!((done.status, done.evidence.unwrap()["source"].clone()), (OperationStatus::Done, "transaction".into()));
        assert_eq!(status(&test, &line).await, SimStatus::Suspended);
        test.finish().await;
    }

    async fn a_process_that_dies_after_the_send_leaves_a_question_that_is_answered(db: TestDatabase) {
        let test = LineDepot::start_with(db, Duration::from_millis(400)).await;
        let line = test.active().await;
        let id = test.command(&line, LineCommand::Suspend).await.unwrap();
        test.twin.twin().add_script(Script::once(CallName::LineWrite, Fault::Slow { ms: 250 }));
        // Cancelled in the middle of the call, as by a kill.
        let killed = tokio::time::timeout(Duration::from_millis(120), line_operations::step(&test.depot)).await;
        assert!(killed.is_err());
        assert_eq!(test.operation(id).await.status, OperationStatus::Sent);
        let done = test.settle(id).await;
        assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{done:#?}");
        assert_eq!(sent(&test, &line, LineOperation::Suspend), (1, 1));
        test.finish().await;
    }

    async fn a_rule_forbids_without_a_call(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let refused = test.command(&line, LineCommand::Suspend).await.unwrap_err();
        let AppError::InvalidTransition { from, command, detail } = refused else { panic!("{refused:?}") };
        assert_eq!((from.as_str(), command.as_str()), ("preactivated", "suspend"));
        assert!(detail.contains("suspend-while-working"), "{detail}");
        // What changes between the request and the sending is seen by the worker.
        let active = test.active().await;
        let id = test.command(&active, LineCommand::Suspend).await.unwrap();
        test.twin.twin().set_line_status(&active.iccid, SimStatus::Terminated, test.now()).unwrap();
        let refused = test.settle(id).await;
        assert_eq!((refused.status, problem(&refused).0.as_str()), (OperationStatus::Refused, "invalid-transition"));
        assert_eq!(test.twin.twin().calls(CallName::LineWrite), 1, "the activation alone");
        test.finish().await;
    }

    async fn only_the_carrier_lifts_its_own_suspension(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.active().await;
        test.twin.twin().suspend_line(&line.iccid, simdepot_carrier_twin::SuspendedBy::Operator, test.now()).unwrap();
        let refused = test.command(&line, LineCommand::Reactivate).await.unwrap_err();
        assert!(refused.to_string().contains("operator-suspension"), "{refused}");
        test.finish().await;
    }

    async fn one_operation_of_a_line_at_a_time(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.active().await;
        let id = test.command(&line, LineCommand::Suspend).await.unwrap();
        let second = test.command(&line, LineCommand::Terminate).await.unwrap_err();
        assert!(matches!(&second, AppError::InvalidTransition { from, .. } if from == "operation_open"), "{second:?}");
        test.settle(id).await;
        let id = test.command(&line, LineCommand::Terminate).await.unwrap();
        assert_eq!(test.settle(id).await.status, OperationStatus::Done);
        assert_eq!(status(&test, &line).await, SimStatus::Terminated);
        test.finish().await;
    }

    async fn a_dry_run_does_nothing(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let options = vec![LineOption { name: "M2M_TSL_BAR_DATA".to_owned(), value: "on".to_owned() }];
        let asked = setup(LineCommand::Activate(LineSetup { options, ..LineSetup::default() }));
        let caller = stock_keeper("default");
        let preview = line_operations::preview(&test.depot, &caller, line.iccid.clone(), asked).await.unwrap();
        assert_eq!((preview.from, preview.to), (Some(SimStatus::Preactivated), Some(SimStatus::Active)));
        assert_eq!(test.profile(&line.iccid).await.stock_status, StockStatus::Available);
        assert!(test.operations(None).await.is_empty());
        assert_eq!(test.twin.twin().calls(CallName::LineWrite), 0);
        test.finish().await;
    }

    async fn contact_data_are_kept_sealed_and_no_longer_than_needed(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.active().await;
        let contact = Contact { last_name: Some("Sklodowska".to_owned()), ..Contact::default() };
        let command = LineCommand::SetContact { group: Some("fleet-b".to_owned()) };
        let asked = LineRequest { command, contact: Some(contact), service_profile: None };
        let id = test.ask(&line.iccid, asked).await.unwrap();
        let sealed = "SELECT COUNT(*) AS value FROM operations WHERE sealed IS NOT NULL";
        assert_eq!(test.db.raw().number(sealed), 1);
        let done = test.settle(id).await;
        assert_eq!(done.status, OperationStatus::Done, "{done:#?}");
        assert_eq!(test.db.raw().number(sealed), 0);
        let seen = format!("{:?}", test.operations(None).await);
        assert!(!seen.contains("Sklodowska"), "{seen}");
        assert_eq!(test.line(&line.iccid).await.group.as_deref(), Some("fleet-b"));
        let written = test.twin.twin().line(line.iccid.as_str()).unwrap().clone();
        assert!(format!("{written:?}").contains("Sklodowska"), "the carrier has it");
        test.finish().await;
    }

    async fn a_line_moves_to_another_sim_with_all_that_is_its(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        test.deliver(2).await;
        let placed = test.order_with_product("sale", 1).await.unwrap();
        test.work_until_settled().await;
        let order = test.read_order(placed.order.order.id).await;
        let old = simdepot_tests::depot::profiles_of(&order).remove(0);
        let line = test.spec(&old.iccid);
        let id = test.command(&line, LineCommand::Activate(LineSetup::default())).await.unwrap();
        assert_eq!(test.settle(id).await.status, OperationStatus::Done);
        let new = test.spare().await;
        let id = test.command(&line, LineCommand::SwapSim { new_iccid: new.iccid.clone() }).await.unwrap();
        assert_eq!(test.profile(&new.iccid).await.stock_status, StockStatus::Quarantined, "reserved for it");
        let done = test.settle(id).await;
        assert_eq!(done.status, OperationStatus::Done, "{done:#?}");

        let (out, by) = (test.profile(&old.iccid).await, test.profile(&new.iccid).await);
        assert_eq!((out.stock_status, by.stock_status), (StockStatus::Retired, StockStatus::Allocated));
        assert_eq!((out.sim.unwrap().status, by.sim.unwrap().status), (SimStatus::Terminated, SimStatus::Active));
        assert_eq!(by.msisdn, old.msisdn);
        let order = test.read_order(order.order.id).await;
        assert_eq!(order.order.status, OrderStatus::Fulfilled);
        let listed = simdepot_tests::depot::profiles_of(&order);
        assert_eq!(listed.iter().map(|profile| &profile.iccid).collect::<Vec<_>>(), [&new.iccid]);
        let shop = storefront("default");
        let mut stories = Vec::new();
        for iccid in [&old.iccid, &new.iccid] {
            let bundles = simdepot_application::bundles::list(&test.depot, &shop, iccid.clone()).await.unwrap();
            assert_eq!(bundles.iter().map(|b| b.bundle.product.as_str()).collect::<Vec<_>>(), [PRODUCT], "{iccid}");
            let told = timeline::get(&test.depot, &shop, iccid.clone()).await.unwrap();
            stories.push(told.entries.into_iter().map(|entry| entry.text).collect::<Vec<_>>());
        }
        assert_eq!(stories[0], stories[1]);
        assert!(stories[0].iter().any(|text| text.starts_with("Took the line over")), "{stories:#?}");
        assert!(stories[0].iter().any(|text| text.contains("Sold with order")), "{stories:#?}");
        // The line goes on under the new SIM.
        let topped_up = test.top_up(&new.iccid, "more", PRODUCT).await.unwrap();
        test.work_until_settled().await;
        let found = orders::get(&test.depot, &shop, order.order.id, false).await.unwrap();
        assert_eq!(found.order.id, order.order.id);
        assert!(topped_up.bundle.operation.is_some());
        test.finish().await;
    }

    async fn a_swap_that_fails_gives_the_new_sim_back(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.active().await;
        let new = test.spare().await;
        let failure = Fault::LateFailure { code: "SIM_SWAP_FAILED".to_owned(), message: "The SIM is broken".to_owned() };
        test.twin.twin().add_script(Script::once(CallName::LineWrite, failure));
        let id = test.command(&line, LineCommand::SwapSim { new_iccid: new.iccid.clone() }).await.unwrap();
        let refused = test.settle(id).await;
        assert_eq!(refused.status, OperationStatus::Refused);
        assert!(problem(&refused).1.contains("The SIM is broken"), "{refused:#?}");
        assert_eq!(test.profile(&new.iccid).await.stock_status, StockStatus::Available);
        assert_eq!(status(&test, &line).await, SimStatus::Active);
        let same = test.command(&line, LineCommand::SwapSim { new_iccid: line.iccid.clone() }).await;
        assert!(matches!(same, Err(AppError::Invalid(_))), "{same:?}");
        test.finish().await;
    }

    async fn a_pause_begins_later_than_it_is_accepted(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.active().await;
        test.twin.twin().assumptions_mut().tariff_holiday_delay_ms = 3_600_000;
        let id = test.command(&line, LineCommand::TariffHoliday).await.unwrap();
        assert_eq!(test.settle(id).await.status, OperationStatus::Done, "it is scheduled");
        assert_eq!(status(&test, &line).await, SimStatus::Active);
        test.twin.twin().assumptions_mut().tariff_holiday_delay_ms = 0;
        test.finish().await;
    }

    async fn many_lines_are_told_side_by_side(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let lines = test.deliver(150).await;
        let mut ids = Vec::new();
        for line in &lines {
            ids.push(test.command(line, LineCommand::Activate(LineSetup::default())).await.unwrap());
        }
        for id in ids {
            assert_eq!(test.settle(id).await.status, OperationStatus::Done);
        }
        for line in &lines {
            assert_eq!(sent(&test, line, LineOperation::Activate), (1, 1));
        }
        test.finish().await;
    }
}
