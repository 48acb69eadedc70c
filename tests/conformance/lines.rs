//! Commands to lines: each ends in the truth, and none takes effect twice.

use std::time::Duration;

use simdepot_application::{AppError, line_operations};
use simdepot_carrier_twin::Fault;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::line::{LineCommand, LineSetup};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::sim::SimStatus;
use simdepot_tests::depot::{profiles_of, stock_keeper};
use simdepot_tests::lines::setup;
use simdepot_tests::settle::send;
use simdepot_tests::{TestCarrier, TestDepot, for_every_carrier};

/// How a line stands, as far as is known.
pub(crate) async fn status<C: TestCarrier>(test: &TestDepot<C>, iccid: &Iccid) -> Option<SimStatus> {
    test.profile(iccid).await.sim.map(|seen| seen.status)
}

/// Tells a line something.
pub(crate) async fn command<C: TestCarrier>(
    test: &TestDepot<C>,
    iccid: &Iccid,
    command: LineCommand,
) -> Result<OperationId, AppError> {
    let caller = stock_keeper("default");
    let taken = line_operations::command(&test.depot, &caller, iccid.clone(), setup(command), None).await?;
    Ok(taken.0.operation.id)
}

/// A line in service, sold and with everything heard that the carrier told of it.
pub(crate) async fn active<C: TestCarrier>(test: &TestDepot<C>) -> Iccid {
    test.stock_up(1).await;
    let reference = format!("sale-{}", test.operations(None).await.len());
    let id = test.sell(&reference, 1).await;
    test.settle().await;
    let iccid = profiles_of(&test.read_order(id).await).remove(0).iccid;
    if status(test, &iccid).await != Some(SimStatus::Active) {
        command(test, &iccid, LineCommand::Activate(LineSetup::default())).await.unwrap();
        test.settle().await;
    }
    test.hear(&test.told()).await;
    assert_eq!(status(test, &iccid).await, Some(SimStatus::Active));
    iccid
}

for_every_carrier! {
    async fn a_line_is_stopped_works_again_and_ends<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let iccid = active(&test).await;
        let rules = test.depot.accounts.values().next().unwrap().carrier.line_rules().unwrap();
        for asked in [LineCommand::Suspend, LineCommand::Reactivate, LineCommand::Terminate] {
            let action = asked.action();
            let from = status(&test, &iccid).await.unwrap();
            let to = rules.check(action, from, None).unwrap();
            let id = command(&test, &iccid, asked).await.unwrap();
            test.settle().await;
            let done = test.operation(id).await;
            assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{action}: {done:#?}");
            assert_eq!(status(&test, &iccid).await, to, "{action}");
            assert_eq!(test.carried_out(&iccid, action), 1, "{action}");
        }
        // What the carrier tells of it afterwards changes nothing.
        let ended = status(&test, &iccid).await;
        test.hear(&test.told()).await;
        test.settle().await;
        assert_eq!(status(&test, &iccid).await, ended);
        test.finish().await;
    }

    async fn what_the_status_forbids_is_refused_without_a_call<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let iccid = active(&test).await;
        let before = test.calls(C::COMMAND);
        let refused = command(&test, &iccid, LineCommand::Reactivate).await;
        assert!(
            matches!(&refused, Err(AppError::InvalidTransition { from, .. }) if from == "active"),
            "{refused:?}"
        );
        test.settle().await;
        assert_eq!(test.calls(C::COMMAND), before);
        // One at a time.
        let id = command(&test, &iccid, LineCommand::Suspend).await.unwrap();
        let second = command(&test, &iccid, LineCommand::Terminate).await;
        assert!(matches!(second, Err(AppError::InvalidTransition { .. })), "{second:?}");
        test.settle().await;
        assert_eq!(test.operation(id).await.status, OperationStatus::Done);
        assert_eq!(test.calls(C::COMMAND), before + 1);
        test.finish().await;
    }

    async fn a_lost_answer_has_no_second_effect<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let mut asked = Vec::new();
        for fault in [
            Fault::DropAfterApply,
            Fault::DropBeforeApply,
            Fault::Status503AfterApply,
            Fault::Garbage,
            Fault::ApplyLate { ms: 300 },
        ] {
            let iccid = active(&test).await;
            test.fail_once(C::COMMAND, fault.clone());
            let id = command(&test, &iccid, LineCommand::Suspend).await.unwrap();
            send(&test.depot).await;
            assert_eq!(test.operation(id).await.status, OperationStatus::Unknown, "{fault:?}");
            asked.push((iccid, id, fault));
        }
        test.settle_by(&test.restarted()).await;
        for (iccid, id, fault) in asked {
            assert_eq!(test.operation(id).await.status, OperationStatus::Done, "{fault:?}");
            assert_eq!(test.carried_out(&iccid, LineCommand::Suspend.action()), 1, "{fault:?}");
            assert_eq!(status(&test, &iccid).await, Some(SimStatus::Suspended), "{fault:?}");
        }
        test.finish().await;
    }

    async fn what_the_carrier_tells_while_it_works_ends_a_command_once<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let iccid = active(&test).await;
        let heard = test.told().len();
        let id = command(&test, &iccid, LineCommand::Suspend).await.unwrap();
        send(&test.depot).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while test.told().len() == heard {
            assert!(tokio::time::Instant::now() < deadline, "nothing is told");
            tokio::time::sleep(Duration::from_millis(20)).await;
            // What is due at the carrier happens with the next request.
            let carrier = test.depot.accounts.values().next().unwrap().carrier.clone();
            drop(carrier.transaction("nobody-s").await);
        }
        let told = test.told()[heard..].to_vec();
        test.hear(&told).await;
        test.hear(&told).await;
        test.settle().await;
        assert_eq!(test.operation(id).await.status, OperationStatus::Done);
        assert_eq!(status(&test, &iccid).await, Some(SimStatus::Suspended));
        let ends = "SELECT COUNT(*) AS value FROM carrier_events WHERE status = 'pending'";
        assert_eq!(test.db.raw().number(ends), 0);
        assert_eq!(test.carried_out(&iccid, LineCommand::Suspend.action()), 1);
        test.finish().await;
    }
}
