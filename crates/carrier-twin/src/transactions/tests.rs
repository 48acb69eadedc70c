use serde_json::json;
use simdepot_domain::sim::SimStatus;

use super::*;
use crate::testing::{Bench, at};
use crate::{CallName, Fault, Script};

use LineOperation::{Activate, Suspend, TariffHoliday};

fn status(bench: &Bench, iccid: &simdepot_domain::iccid::Iccid) -> SimStatus {
    bench.twin.line(iccid.as_str()).unwrap().sim_status
}

#[test]
fn a10_a_write_is_pending_and_then_done() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    let id = bench.accepted(&iccid, Activate, &json!({}));
    bench.pass(4);
    assert_eq!(bench.transaction(&id)["transactionStatus"], "PENDING");
    assert_eq!((status(&bench, &iccid), bench.line_events().len()), (SimStatus::Available, 0));
    bench.pass(1);
    let view = bench.transaction(&id);
    assert_eq!((&view["transactionStatus"], &view["simSerial"]), (&json!("DONE"), &json!(iccid)));
    assert!(view.get("errorCode").is_none());
    assert_eq!((status(&bench, &iccid), bench.line_events()), (SimStatus::Active, vec!["ACTIVATED"]));
    let body = &bench.twin.events()[0].body;
    assert_eq!((&body["transactionId"], &body["source"]), (&json!(id), &json!("api")));
    assert_eq!((&body["status"], &body["simSerial"]), (&json!("Active"), &json!(iccid)));
    assert!(body["msisdn"].is_string());
    bench.get_refused(
        "/connectivity-management/subscribers/api/transactions/none",
        404,
        "TRANSACTION_NOT_FOUND",
    );
}

#[test]
fn what_the_carrier_finds_later_fails_the_transaction_and_changes_nothing() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    let bar = json!([{"name": "M2M_TSL_BAR_DATA", "value": "perhaps"}]);
    for (body, code) in [
        (json!({"group": "fleet-x", "externalReference": "car-1"}), "GROUP_NOT_FOUND"),
        (json!({"options": [{"name": "FAST", "value": "on"}]}), "OPTION_NOT_FOUND"),
        (json!({"ratePlan": "M2MA_WW_TSL_OTHER"}), "RATE_PLAN_NOT_FOUND"),
        (json!({ "options": bar }), "OPTION_VALUE_INVALID"),
    ] {
        let id = bench.accepted(&iccid, Activate, &body);
        bench.pass(5);
        let view = bench.transaction(&id);
        assert_eq!((&view["transactionStatus"], &view["errorCode"]), (&json!("ERROR"), &json!(code)));
        assert!(view["errorMessage"].is_string());
    }
    let line = bench.subscriber(&iccid);
    assert_eq!((&line["status"], &line["externalReference"]), (&json!("Available"), &Value::Null));
    assert!(bench.twin.events().is_empty() && bench.twin.line(iccid.as_str()).unwrap().msisdn.is_none());
    bench.twin.add_group("fleet-x");
    bench.done(&iccid, Activate, &json!({"group": "fleet-x"}));
    let count = bench.twin.line_writes(iccid.as_str(), Activate);
    assert_eq!((count.arrived, count.accepted, count.done, count.failed), (5, 5, 1, 4));
}

#[test]
fn a_script_fails_a_transaction_which_may_have_an_event() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    let fault = || Fault::LateFailure { code: "NETWORK".to_owned(), message: "Not provisioned".to_owned() };
    bench.twin.add_script(Script::once(CallName::LineWrite, fault()));
    bench.twin.assumptions_mut().failed_transaction_event = true;
    let id = bench.accepted(&iccid, Activate, &json!({}));
    bench.pass(5);
    assert_eq!(bench.transaction(&id)["errorCode"], "NETWORK");
    assert_eq!(bench.line_events(), ["ACTIVATED"]);
    let body = bench.twin.events()[0].body.clone();
    assert_eq!((&body["status"], &body["transactionId"]), (&json!("ERROR"), &json!(id)));
    // A read has nothing to fail later, and does not doom the next write.
    bench.twin.add_script(Script::once(CallName::Subscriber, fault()));
    assert_eq!(bench.subscriber(&iccid)["status"], "Available");
    bench.done(&iccid, Activate, &json!({}));
}

#[test]
fn the_event_may_come_before_the_answer_or_never() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    bench.twin.assumptions_mut().line_event = LineEvent::BeforeAnswer;
    let id = bench.accepted(&iccid, Activate, &json!({}));
    assert_eq!((bench.line_events(), status(&bench, &iccid)), (vec!["ACTIVATED"], SimStatus::Active));
    assert_eq!(bench.transaction(&id)["transactionStatus"], "PENDING");
    bench.pass(5);
    assert_eq!(bench.transaction(&id)["transactionStatus"], "DONE");
    assert_eq!(bench.line_events().len(), 1, "told once");
    bench.twin.assumptions_mut().line_event = LineEvent::Never;
    bench.done(&iccid, Suspend, &json!({}));
    assert_eq!((bench.line_events().len(), status(&bench, &iccid)), (1, SimStatus::Suspended));
}

#[test]
fn a_line_that_moved_meanwhile_fails_the_transaction() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    bench.done(&iccid, Activate, &json!({}));
    let first = bench.accepted(&iccid, Suspend, &json!({}));
    let second = bench.accepted(&iccid, Suspend, &json!({}));
    bench.pass(5);
    assert_eq!(bench.transaction(&first)["transactionStatus"], "DONE");
    assert_eq!(bench.transaction(&second)["errorCode"], "SUBSCRIBER_STATUS_NOT_ELIGIBLE");
    assert_eq!(bench.line_events(), ["ACTIVATED", "SUSPENDED"]);
}

#[test]
fn one_transaction_per_line_is_a_switch() {
    let mut bench = Bench::iot();
    let [first, other] = [bench.line().iccid, bench.line().iccid];
    bench.twin.assumptions_mut().one_transaction_per_line = true;
    bench.accepted(&first, Activate, &json!({}));
    assert_eq!(bench.refused(&first, Activate, &json!({})), "TRANSACTION_PENDING");
    bench.accepted(&other, Activate, &json!({}));
    bench.pass(5);
    bench.accepted(&first, Suspend, &json!({}));
}

#[test]
fn a_lost_answer_is_a_transaction_all_the_same() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    for (fault, accepted) in
        [(Fault::DropBeforeApply, 0), (Fault::DropAfterApply, 1), (Fault::Status504AfterApply, 2)]
    {
        bench.twin.add_script(Script::once(CallName::LineWrite, fault));
        bench.write(&iccid, Activate, &json!({}));
        assert_eq!(bench.twin.line_writes(iccid.as_str(), Activate).accepted, accepted);
    }
    assert_eq!(bench.twin.line_writes(iccid.as_str(), Activate).arrived, 3);
    assert_eq!(bench.twin.transactions_of(iccid.as_str()).count(), 2);
    let recorded = bench.twin.requests().last().unwrap();
    assert_eq!(recorded.body.as_ref().unwrap()["ratePlan"], "M2MA_WW_TSL_IOTCONNECT_CAPPED");
    // A write that was held up is checked and accepted when it gets through.
    bench.twin.add_script(Script::once(CallName::LineWrite, Fault::ApplyLate { ms: 3000 }));
    let other = bench.line().iccid;
    bench.write(&other, Activate, &json!({}));
    bench.pass(3);
    bench.twin.begin(at(0));
    let held = bench.twin.transactions_of(other.as_str()).next().unwrap().clone();
    assert_eq!(held.accepted_at, at(0) + chrono::TimeDelta::seconds(3));
    bench.pass(60);
    bench.twin.begin(at(0));
    assert_eq!(status(&bench, &other), SimStatus::Active);
    let ended = bench.twin.transactions_of(other.as_str()).next().unwrap().ended_at;
    assert_eq!(ended, Some(at(0) + chrono::TimeDelta::seconds(8)));
}

#[test]
fn a_tariff_holiday_begins_with_the_next_cycle() {
    let mut bench = Bench::iot();
    let [iccid, other] = [bench.line().iccid, bench.line().iccid];
    bench.twin.assumptions_mut().tariff_holiday_delay_ms = 1_800_000;
    for iccid in [&iccid, &other] {
        bench.done(iccid, Activate, &json!({}));
        bench.done(iccid, TariffHoliday, &json!({}));
        assert_eq!(status(&bench, iccid), SimStatus::Active);
    }
    bench.done(&other, Suspend, &json!({}));
    bench.pass(1800);
    bench.twin.begin(at(0));
    assert_eq!(status(&bench, &iccid), SimStatus::TariffHoliday);
    assert_eq!(status(&bench, &other), SimStatus::Suspended, "a line that left the status stays");
    assert_eq!(bench.line_events(), ["ACTIVATED", "ACTIVATED", "SUSPENDED", "TARIFF_HOLIDAY"]);
    bench.done(&iccid, LineOperation::LeaveTariffHoliday, &json!({}));
    assert_eq!(
        (status(&bench, &iccid), *bench.line_events().last().unwrap()),
        (SimStatus::Active, "REACTIVATED")
    );
}

#[test]
fn a_fleet_is_written_without_scans() {
    let mut bench = Bench::iot();
    let lines = bench.twin.add_lines(20_000);
    for line in &lines {
        bench.accepted(&line.iccid, Activate, &json!({"group": "fleet-a"}));
    }
    bench.pass(5);
    bench.twin.begin(at(0));
    assert!(bench.twin.lines().all(|line| line.sim_status == SimStatus::Active && line.msisdn.is_some()));
    assert!(bench.twin.all_line_writes().all(|(_, _, count)| count.accepted == 1 && count.done == 1));
    assert_eq!(bench.twin.calls(CallName::LineWrite), 20_000);
}
