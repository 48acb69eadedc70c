//! Commands to subscriptions and to their devices, at a carrier that takes our own number of a command.

use serde_json::json;
use simdepot_application::AppError;
use simdepot_application::line_operations::{self, LineRequest};
use simdepot_application::operations::{Verdict, decide_by_hand};
use simdepot_carrier_twin::sps::{Effect, Reading, SpsTwin, StateCheck};
use simdepot_carrier_twin::{CallName, Fault};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::device::{ChangeType, DeviceChange};
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::{LineAction, LineCommand, LineSetup};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_domain::order::OrderStatus;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{profiles_of, stock_keeper};
use simdepot_tests::{TestDepot, on_both_databases};
use strum::VariantArray;

const DEVICE: &str = "353490069873319";
const OTHER_DEVICE: &str = "490154203237518";
const EID: &str = "89049032020008884800228685583432";

type Depot = TestDepot<SpsTwin>;

/// A profile that was sold, in service, with a number that the carrier has told.
async fn in_service(test: &Depot, reference: &str) -> Iccid {
    test.stock_up(1).await;
    let order = test.sell(reference, 1).await;
    let order = test.settle_order(order, OrderStatus::Fulfilled).await;
    let told = test.notifications();
    test.notify(&told[told.len() - 1..]).await;
    let profile = profiles_of(&order).remove(0);
    assert!(test.profile(&profile.iccid).await.msisdn.is_some());
    profile.iccid
}

async fn tell(test: &Depot, iccid: &Iccid, command: LineCommand) -> Result<OperationId, AppError> {
    let asked = LineRequest { command, contact: None, service_profile: None };
    let caller = stock_keeper("default");
    let taken = line_operations::command(&test.depot, &caller, iccid.clone(), asked, None);
    Ok(taken.await?.0.operation.id)
}

async fn done(test: &Depot, iccid: &Iccid, command: LineCommand) {
    let id = tell(test, iccid, command).await.unwrap();
    test.settle().await;
    let operation = test.operation(id).await;
    assert_eq!(operation.status, OperationStatus::Done, "{operation:#?}");
}

async fn line_that_is(test: &Depot, status: SimStatus, reference: &str) -> Iccid {
    let iccid = in_service(test, reference).await;
    match status {
        SimStatus::Suspended => done(test, &iccid, LineCommand::Suspend).await,
        SimStatus::Ceased => done(test, &iccid, LineCommand::Terminate).await,
        _ => {}
    }
    assert_eq!(test.profile(&iccid).await.sim.unwrap().status, status);
    iccid
}

fn command(action: LineAction, spare: &Iccid) -> LineCommand {
    match action {
        LineAction::Activate => LineCommand::Activate(LineSetup::default()),
        LineAction::Modify => LineCommand::Modify(LineSetup::default()),
        LineAction::Suspend => LineCommand::Suspend,
        LineAction::Reactivate => LineCommand::Reactivate,
        LineAction::Terminate => LineCommand::Terminate,
        LineAction::SwapSim => LineCommand::SwapSim { new_iccid: spare.clone() },
        LineAction::SwapMsisdn => LineCommand::SwapMsisdn,
        LineAction::TariffHoliday => LineCommand::TariffHoliday,
        LineAction::LeaveTariffHoliday => LineCommand::LeaveTariffHoliday,
        LineAction::TestMode => LineCommand::TestMode(LineSetup::default()),
        LineAction::LeaveTestMode => LineCommand::LeaveTestMode,
        LineAction::SetContact => LineCommand::SetContact { group: None },
    }
}

/// What a command comes to; what is refused reaches nobody.
async fn told(test: &Depot, iccid: &Iccid, command: LineCommand) -> String {
    let before = test.twin.twin().received().len();
    match tell(test, iccid, command).await {
        Err(AppError::InvalidTransition { detail, .. }) => {
            assert_eq!(test.twin.twin().received().len(), before);
            format!("refused, {}", detail.split(':').next().unwrap_or_default())
        }
        Err(AppError::Unsupported { .. }) => {
            assert_eq!(test.twin.twin().received().len(), before);
            "unsupported".to_owned()
        }
        Err(other) => panic!("{other}"),
        Ok(id) => {
            test.settle().await;
            assert_eq!(test.twin.twin().received().len(), before + 1);
            let operation = test.operation(id).await;
            let now = test.profile(iccid).await.sim.map(|seen| seen.status);
            format!("{} -> {}", operation.status, now.map(|now| now.to_string()).unwrap_or_default())
        }
    }
}

on_both_databases! {
    async fn every_command_in_every_status(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let mut table = String::new();
        for status in [SimStatus::Active, SimStatus::Suspended, SimStatus::Ceased] {
            let mut line: Option<Iccid> = None;
            for action in LineAction::VARIANTS {
                let iccid = match line.take() {
                    Some(line) => line,
                    None => line_that_is(&test, status, &format!("{status}-{action}")).await,
                };
                let outcome = told(&test, &iccid, command(*action, &iccid)).await;
                // What was refused has changed nothing.
                line = Some(iccid).filter(|_| !outcome.starts_with("done"));
                table.push_str(&format!("{action:<21} {status:<10} {outcome}\n"));
            }
        }
        insta::assert_snapshot!("subscription_matrix", table);
        test.finish().await;
    }

    async fn a_lost_answer_of_a_command_is_asked_after(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let iccid = in_service(&test, "lost").await;
        let commands = [LineCommand::Suspend, LineCommand::Reactivate, LineCommand::Terminate, LineCommand::Reactivate];
        let faults = [Fault::DropAfterApply, Fault::DropBeforeApply, Fault::Status504AfterApply, Fault::Garbage];
        for (command, fault) in commands.into_iter().zip(faults) {
            test.fail_once(CallName::Status, fault);
            done(&test, &iccid, command).await;
        }
        let effects = [Effect::Suspend, Effect::Resume, Effect::Cease, Effect::Reactivate];
        assert_eq!(effects.map(|effect| test.twin.twin().effects(iccid.as_str(), effect)), [1, 1, 1, 1]);
        test.finish().await;
    }

    async fn a_command_that_fails_late_is_refused_in_the_carrier_s_words(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let iccid = in_service(&test, "late").await;
        test.fail_once(CallName::Status, Fault::LateFailure { code: "E7".to_owned(), message: "no such node".to_owned() });
        let id = tell(&test, &iccid, LineCommand::Suspend).await.unwrap();
        test.settle().await;
        let operation = test.operation(id).await;
        assert_eq!(operation.status, OperationStatus::Refused);
        assert!(operation.problem.unwrap().to_string().contains("no such node"));
        assert_eq!(test.profile(&iccid).await.sim.unwrap().status, SimStatus::Active);
        test.finish().await;
    }

    async fn a_line_that_the_operator_has_stopped_is_told_by_the_read(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let iccid = in_service(&test, "stopped").await;
        test.twin.twin().operator_suspend(iccid.as_str(), SystemClock.now()).unwrap();
        let refused = tell(&test, &iccid, LineCommand::Suspend).await.unwrap_err();
        let AppError::InvalidTransition { from, .. } = refused else { panic!("{refused}") };
        assert_eq!(from, "suspended");
        test.finish().await;
    }

    async fn a_line_moves_to_another_device_and_sim(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(2).await;
        let order = test
            .sell_with("device", json!({ "imei": DEVICE, "eid": EID, "delivery": "qr" }))
            .await
            .unwrap();
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        let iccid = profiles_of(&order)[0].iccid.clone();
        test.notify(&test.notifications()).await;
        let new_iccid = test.stock_up(1).await.remove(0);
        let change = DeviceChange {
            change_type: ChangeType::DeviceAndEsim,
            new_imei: Some(Imei::parse(OTHER_DEVICE).unwrap()),
            new_iccid: Some(new_iccid.clone()),
            new_eid: Some(Eid::parse(EID).unwrap()),
            delivery: None,
        };
        test.fail_once(CallName::Change, Fault::DropAfterApply);
        let id = test.request(&iccid, OperationRequest::ChangeDevice { change }).await.unwrap();
        test.settle().await;
        let operation = test.operation(id).await;
        assert_eq!(operation.status, OperationStatus::Done, "{operation:#?}");
        assert_eq!(test.twin.twin().effects(iccid.as_str(), Effect::Change), 1);
        assert_eq!(test.profile(&iccid).await.stock_status, StockStatus::Retired);
        let moved = test.profile(&new_iccid).await;
        assert_eq!(moved.stock_status, StockStatus::Allocated);
        let order = test.read_order(order.order.id).await;
        assert_eq!(profiles_of(&order)[0].iccid, new_iccid);
        test.finish().await;
    }

    async fn the_books_follow_a_sim_of_the_carrier_s_own_choice(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(1).await;
        let parameters = json!({ "imei": DEVICE, "eid": EID, "delivery": "qr" });
        let order = test.sell_with("chosen", parameters).await.unwrap();
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        let iccid = profiles_of(&order)[0].iccid.clone();
        test.notify(&test.notifications()).await;
        let told = test.notifications().len();
        // One that the stock lacks, for now.
        let (chosen, file) = {
            let sims = test.twin.twin().add_sims(1);
            (sims[0].iccid.clone(), simdepot_carrier_twin::sps::sps_delivery_file(&sims))
        };
        let change = DeviceChange {
            change_type: ChangeType::DeviceAndEsim,
            new_imei: Some(Imei::parse(OTHER_DEVICE).unwrap()),
            new_iccid: None,
            new_eid: Some(Eid::parse(EID).unwrap()),
            delivery: None,
        };
        let id = test.request(&iccid, OperationRequest::ChangeDevice { change }).await.unwrap();
        test.settle().await;
        let operation = test.operation(id).await;
        assert_eq!(operation.status, OperationStatus::NeedsAttention, "{operation:#?}");
        assert!(operation.problem.unwrap().to_string().contains(chosen.as_str()));
        // It is imported, and a person ends the command.
        test.import_delivery(file, 1).await;
        test.notify(&test.notifications()[told..]).await;
        let caller = stock_keeper("default");
        let verdict = Verdict::Done { subscription_id: None };
        decide_by_hand(&test.depot, &caller, id, verdict, "imported".to_owned(), None).await.unwrap();
        assert_eq!(test.profile(&iccid).await.stock_status, StockStatus::Retired);
        assert_eq!(test.profile(&chosen).await.stock_status, StockStatus::Allocated);
        let order = test.read_order(order.order.id).await;
        assert_eq!(profiles_of(&order)[0].iccid, chosen);
        test.finish().await;
    }

    async fn a_sim_whose_line_has_moved_is_told_nothing(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let iccid = in_service(&test, "moved").await;
        let new_iccid = test.stock_up(1).await.remove(0);
        let change = DeviceChange {
            change_type: ChangeType::DeviceAndEsim,
            new_imei: Some(Imei::parse(OTHER_DEVICE).unwrap()),
            new_iccid: Some(new_iccid.clone()),
            new_eid: Some(Eid::parse(EID).unwrap()),
            delivery: None,
        };
        let id = test.request(&iccid, OperationRequest::ChangeDevice { change }).await.unwrap();
        test.settle().await;
        assert_eq!(test.operation(id).await.status, OperationStatus::Done);
        let before = test.twin.twin().received().len();
        let block = OperationRequest::BlockDevice { imei: Imei::parse(DEVICE).unwrap(), block: true };
        for refused in [
            tell(&test, &iccid, LineCommand::Suspend).await.map(drop),
            test.request(&iccid, block).await.map(drop),
        ] {
            let Err(AppError::InvalidTransition { detail, .. }) = refused else { panic!("{refused:?}") };
            assert!(detail.contains(new_iccid.as_str()), "{detail}");
        }
        assert_eq!(test.twin.twin().received().len(), before);
        done(&test, &new_iccid, LineCommand::Suspend).await;
        test.finish().await;
    }

    async fn a_device_is_blocked_once_and_let_go(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        let iccid = in_service(&test, "blocked").await;
        let imei = Imei::parse(OTHER_DEVICE).unwrap();
        for (block, fault) in [(true, Fault::DropAfterApply), (false, Fault::DropBeforeApply)] {
            test.fail_once(CallName::BlockList, fault);
            let request = OperationRequest::BlockDevice { imei: imei.clone(), block };
            let id = test.request(&iccid, request).await.unwrap();
            test.settle().await;
            let operation = test.operation(id).await;
            assert_eq!(operation.status, OperationStatus::Done, "{operation:#?}");
        }
        let effects = [Effect::Block, Effect::Unblock];
        assert_eq!(effects.map(|effect| test.twin.twin().effects(iccid.as_str(), effect)), [1, 1]);
        test.finish().await;
    }

    async fn a_state_that_is_checked_late_and_read_leniently_ends_in_the_truth(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        {
            let mut twin = test.twin.twin();
            twin.assumptions_mut().state_check = StateCheck::Late;
            twin.assumptions_mut().reading = Reading::Lenient;
            twin.assumptions_mut().repeats_acknowledged = false;
        }
        let iccid = in_service(&test, "late-check").await;
        // It is stopped behind our back between the read and the command.
        test.fail_once(CallName::DeviceDetails, Fault::Status503Before);
        test.twin.twin().operator_suspend(iccid.as_str(), SystemClock.now()).unwrap();
        let id = tell(&test, &iccid, LineCommand::Suspend).await.unwrap();
        test.settle().await;
        let ended = test.operation(id).await;
        assert_eq!(ended.status, OperationStatus::Refused, "{ended:#?}");
        assert_eq!(test.profile(&iccid).await.sim.unwrap().status, SimStatus::Suspended);
        // A repeated number is refused by this carrier: the first sending is found all the same.
        test.twin.twin().operator_resume(iccid.as_str(), SystemClock.now()).unwrap();
        test.fail_once(CallName::Status, Fault::DropAfterApply);
        done(&test, &iccid, LineCommand::Suspend).await;
        assert_eq!(test.twin.twin().effects(iccid.as_str(), Effect::Suspend), 1);
        test.finish().await;
    }
}
