use super::*;
use crate::scripts::Matches;
use crate::sps::records::Effect;
use crate::sps::testing::{Bench, at};
use crate::sps::transactions::SpsTransactionStatus;

/// What a suspension comes to under a fault: the status of its answer, and how often it happened.
fn under(fault: Fault) -> (Option<u16>, u64, TwinReply) {
    let mut bench = Bench::new();
    let line = bench.active();
    bench.twin.add_script(Script::once(CallName::Status, fault));
    let (_, reply) = bench.write("/status", &json!({"gpsi": line.gpsi, "action": "Suspend"}));
    bench.pass(5);
    (reply.status(), bench.twin.effects(&line.iccid, Effect::Suspend), reply)
}

#[test]
fn each_fault_does_what_its_name_says() {
    let failure = Fault::LateFailure { code: "E1".to_owned(), message: "no".to_owned() };
    for (fault, status, effects) in [
        (Fault::DropAfterApply, None, 1),
        (Fault::DropBeforeApply, None, 0),
        (Fault::ApplyLate { ms: 1000 }, None, 1),
        (Fault::Status503Before, Some(503), 0),
        (Fault::Status503AfterApply, Some(503), 1),
        (Fault::Status504AfterApply, Some(504), 1),
        (Fault::Status500Before, Some(500), 0),
        (Fault::Slow { ms: 1500 }, Some(200), 1),
        (Fault::Unauthorized401, Some(401), 0),
        (Fault::TooMany429 { retry_after: Some(2) }, Some(429), 0),
        (Fault::WrongShape, Some(200), 1),
        (Fault::Garbage, Some(200), 1),
        (Fault::RefuseTitle { status: 409, title: "BUSY".to_owned() }, Some(409), 0),
        (Fault::TurnedAway { status: 403 }, Some(403), 0),
        (failure, Some(200), 0),
    ] {
        let (got, applied, reply) = under(fault.clone());
        assert_eq!((got, applied), (status, effects), "{fault:?}");
        match fault {
            Fault::DropAfterApply => assert_eq!(reply, TwinReply::Drop { applied: true }),
            Fault::TooMany429 { .. } => assert_eq!(reply.header("retry-after"), Some("2")),
            Fault::Garbage | Fault::TurnedAway { .. } => assert!(reply.json().is_none()),
            Fault::WrongShape => assert!(reply.json().unwrap().get("status").is_none()),
            Fault::RefuseTitle { .. } => assert_eq!(reply.json().unwrap()["code"], "BUSY"),
            Fault::Slow { .. } => {
                let TwinReply::Answer { delay, .. } = reply else { panic!("dropped") };
                assert_eq!(delay.as_millis(), 1500);
            }
            _ => {}
        }
    }
}

#[test]
fn a_script_aims_at_a_line_however_it_is_named() {
    let mut bench = Bench::new();
    let (first, second) = (bench.active(), bench.active());
    let matches = Matches { iccid: Some(first.iccid.clone()), ..Matches::default() };
    let script = Script { matches, ..Script::always(CallName::Any, Fault::Status503Before) };
    bench.twin.add_script(script);
    let suspend = |gpsi: &str| json!({"gpsi": gpsi, "action": "Suspend"});
    assert_eq!(bench.write("/status", &suspend(&first.gpsi)).1.status(), Some(503));
    assert_eq!(bench.get(&format!("/deviceDetails?gpsi={}", first.gpsi)).status(), Some(503));
    assert_eq!(bench.write("/status", &suspend(&second.gpsi)).1.status(), Some(200));
    assert_eq!(bench.get(&format!("/deviceDetails?gpsi={}", second.gpsi)).status(), Some(200));
    assert_eq!(bench.twin.scripts()[0].fired, 2);
}

#[test]
fn a_script_aims_at_an_action_and_at_a_transaction() {
    let mut bench = Bench::new();
    let line = bench.active();
    let matches = Matches { operation: Some(LineOperation::Terminate), ..Matches::default() };
    bench.twin.add_script(Script { matches, ..Script::always(CallName::Status, Fault::Status500Before) });
    let update = |action: &str| json!({"gpsi": line.gpsi, "action": action});
    assert_eq!(bench.write("/status", &update("Cease")).1.status(), Some(500));
    let id = bench.accepted("/status", &update("Suspend"));
    bench.twin.clear_scripts();
    let matches = Matches { msisdn: Some(line.gpsi.clone()), ..Matches::default() };
    bench.twin.add_script(Script { matches, ..Script::always(CallName::Transaction, Fault::Garbage) });
    assert!(bench.get(&format!("/transaction/status/{id}")).json().is_none());
}

#[test]
fn a_late_failure_leaves_the_line_as_it_was_and_is_told() {
    let mut bench = Bench::new();
    let line = bench.active();
    let fault = Fault::LateFailure { code: "HLR_DOWN".to_owned(), message: "try later".to_owned() };
    bench.twin.add_script(Script::once(CallName::Status, fault));
    let ended = bench.ended("/status", &json!({"gpsi": line.gpsi, "action": "Suspend"}));
    assert_eq!(ended.status, SpsTransactionStatus::Failed);
    let told = bench.get_ok(&format!("/transaction/status/{}", ended.id));
    assert_eq!(told, json!({"status": "Failed", "reasonCode": "HLR_DOWN", "reasonDesc": "try later"}));
    let event = bench.twin.events().last().unwrap();
    assert_eq!((&event.body["status"], &event.body["reasonCode"]), (&json!("Failed"), &json!("HLR_DOWN")));
    assert_eq!(event.body["subscription"]["status"], "Active");
}

#[test]
fn every_request_is_remembered_with_its_fault() {
    let mut bench = Bench::new();
    let line = bench.active();
    bench.twin.add_script(Script::once(CallName::Status, Fault::DropBeforeApply));
    let body = json!({"partnerTransactionId": "T1", "gpsi": line.gpsi, "action": "Suspend"});
    bench.post("/status", &body);
    bench.post("/status", &body);
    let received: Vec<_> = bench.twin.received_as("T1").collect();
    assert_eq!((received[0].status, received[1].status, &received[1].body), (None, Some(200), &body));
    assert_eq!(received[0].at, at(0) + chrono::TimeDelta::seconds(2));
    assert_eq!(bench.twin.calls(CallName::Status), 2);
    let dropped = bench.twin.requests().iter().find(|request| request.status.is_none()).unwrap();
    assert_eq!(dropped.fault, Some(Fault::DropBeforeApply));
}

#[test]
fn unknown_fields_come_with_everything_when_the_switch_says_so() {
    let mut bench = Bench::new();
    let line = bench.active();
    bench.twin.assumptions_mut().unknown_fields = true;
    let details = bench.get_ok(&format!("/deviceDetails?gpsi={}", line.gpsi));
    assert!(details["addedWithoutNotice"].is_object());
    let (_, reply) = bench.write("/status", &json!({"gpsi": line.gpsi, "action": "Suspend"}));
    assert!(reply.json().unwrap()["addedWithoutNotice"].is_object());
}
