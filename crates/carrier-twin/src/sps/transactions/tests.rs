use super::*;
use crate::sps::testing::Bench;

fn word(bench: &mut Bench, id: &str) -> Value {
    bench.get_ok(&format!("/transaction/status/{id}"))["status"].clone()
}

fn suspend(gpsi: &str) -> Value {
    json!({"gpsi": gpsi, "action": "Suspend"})
}

#[test]
fn s4_a_write_is_acknowledged_taken_up_and_ends_once() {
    let mut bench = Bench::assume(&json!({"accepted_word": "Accepted", "pickup_delay_ms": 1000}));
    let line = bench.active();
    let id = bench.accepted("/status", &suspend(&line.gpsi));
    assert_eq!(word(&mut bench, &id), "Accepted");
    bench.pass(1);
    assert_eq!(word(&mut bench, &id), "InProgress");
    assert_eq!(bench.twin.effects(&line.iccid, Effect::Suspend), 0, "not yet");
    bench.pass(1);
    assert_eq!(word(&mut bench, &id), "Completed");
    bench.pass(60);
    assert_eq!(bench.twin.effects(&line.iccid, Effect::Suspend), 1);
    let transaction = bench.twin.transaction(&id).unwrap();
    assert_eq!(
        (transaction.iccid.as_ref(), transaction.gpsi.as_ref()),
        (Some(&line.iccid), Some(&line.gpsi))
    );
    assert_eq!((transaction.ended_at.unwrap() - transaction.accepted_at).num_seconds(), 2);
}

#[test]
fn s3_words_are_settings_and_the_sample_can_be_taken_literally() {
    let mut bench = Bench::new();
    let line = bench.active();
    let id = bench.accepted("/status", &suspend(&line.gpsi));
    bench.twin.assumptions_mut().transaction_profile = TransactionProfile::SeedLiteral;
    assert_eq!(bench.get_ok(&format!("/transaction/status/{id}")), json!({"status": "Success"}));
    bench.twin.assumptions_mut().transaction_profile = TransactionProfile::Assumed;
    bench.twin.assumptions_mut().completed_word = "DONE".to_owned();
    bench.pass(2);
    assert_eq!(word(&mut bench, &id), "DONE");
    let id = bench.accepted("/status", &json!({"gpsi": line.gpsi, "action": "Resume"}));
    bench.twin.operator_cease(&line.iccid, crate::testing::at(0)).unwrap();
    bench.twin.assumptions_mut().status_has_reason = false;
    bench.pass(2);
    assert_eq!(bench.get_ok(&format!("/transaction/status/{id}")), json!({"status": "Failed"}));
}

#[test]
fn an_unknown_or_unwritable_id_is_refused() {
    let mut bench = Bench::new();
    bench.get_refused("/transaction/status/none", 404, "TRANSACTION_NOT_FOUND");
    bench.get_refused(&format!("/transaction/status/{}", "x".repeat(37)), 400, "BAD_REQUEST");
    let line = bench.active();
    let mut body = suspend(&line.gpsi);
    body["partnerTransactionId"] = json!("a/b c");
    bench.accepted("/status", &body);
    assert_eq!(word(&mut bench, "a%2Fb%20c"), "InProgress");
    for id in [json!(""), json!("x".repeat(37)), json!(7), json!("a\nb")] {
        body["partnerTransactionId"] = id;
        bench.refused("/status", &body, 400, "BAD_REQUEST");
    }
}

#[test]
fn s8_the_same_write_again_is_acknowledged_without_a_second_effect() {
    let mut bench = Bench::new();
    let line = bench.active();
    let mut body = suspend(&line.gpsi);
    body["partnerTransactionId"] = json!("T1");
    bench.accepted("/status", &body);
    bench.accepted("/status", &body);
    bench.pass(2);
    // The line is suspended by now, which would refuse a new write.
    bench.accepted("/status", &body);
    bench.pass(2);
    assert_eq!(bench.twin.effects(&line.iccid, Effect::Suspend), 1);
    let transaction = bench.twin.transaction("T1").unwrap();
    assert_eq!((transaction.acknowledged, transaction.status), (3, SpsTransactionStatus::Completed));
    assert_eq!(bench.twin.events().iter().filter(|e| e.transaction_id.as_deref() == Some("T1")).count(), 1);

    let mut other = body.clone();
    other["action"] = json!("Cease");
    bench.refused("/status", &other, 409, "DUPLICATE_TRANSACTION");
    bench.twin.assumptions_mut().repeats_acknowledged = false;
    bench.refused("/status", &body, 409, "DUPLICATE_TRANSACTION");
}

#[test]
fn a_refused_write_leaves_its_id_free() {
    let mut bench = Bench::new();
    let line = bench.active();
    let write = |action: &str| json!({"partnerTransactionId": "T1", "gpsi": line.gpsi, "action": action});
    bench.refused("/status", &write("Resume"), 409, "INVALID_STATE");
    bench.done("/status", &write("Suspend"));
}

#[test]
fn s5_a_wrong_state_is_told_at_once_or_late() {
    let mut bench = Bench::new();
    let line = bench.active();
    let resume = json!({"gpsi": line.gpsi, "action": "Resume"});
    bench.refused("/status", &resume, 409, "INVALID_STATE");
    let stranger = json!({"gpsi": "19999999999", "action": "Suspend"});
    bench.refused("/status", &stranger, 404, "SUBSCRIPTION_NOT_FOUND");
    bench.twin.assumptions_mut().conflict_status = 422;
    bench.twin.assumptions_mut().unknown_status = 400;
    bench.refused("/status", &resume, 422, "INVALID_STATE");
    bench.refused("/status", &stranger, 400, "SUBSCRIPTION_NOT_FOUND");
    bench.twin.assumptions_mut().state_check = StateCheck::Late;
    for (body, code) in [(resume, "INVALID_STATE"), (stranger, "SUBSCRIPTION_NOT_FOUND")] {
        let ended = bench.ended("/status", &body);
        assert_eq!(ended.status, SpsTransactionStatus::Failed);
        assert_eq!(ended.failure.unwrap().code, code);
    }
}

#[test]
fn of_two_writes_on_one_line_the_second_fails_or_is_refused() {
    let mut bench = Bench::new();
    let line = bench.active();
    let first = bench.accepted("/status", &suspend(&line.gpsi));
    let second = bench.accepted("/status", &suspend(&line.gpsi));
    bench.pass(2);
    let status = |bench: &Bench, id: &str| bench.twin.transaction(id).unwrap().status;
    assert_eq!(status(&bench, &first), SpsTransactionStatus::Completed);
    assert_eq!(status(&bench, &second), SpsTransactionStatus::Failed);
    assert_eq!(bench.twin.effects(&line.iccid, Effect::Suspend), 1);

    bench.twin.assumptions_mut().one_transaction_per_line = true;
    let resume = json!({"iccid": line.iccid, "action": "Resume"});
    bench.accepted("/status", &resume);
    bench.refused("/status", &resume, 409, "TRANSACTION_PENDING");
    bench.pass(2);
    bench.done("/status", &suspend(&line.gpsi));
}

#[test]
fn s6_s7_cease_and_reactivate_follow_their_switches() {
    let mut bench = Bench::new();
    let line = bench.active();
    let update = |action: &str| json!({"gpsi": line.gpsi, "action": action});
    bench.done("/status", &update("Suspend"));
    bench.refused("/status", &update("Cease"), 409, "INVALID_STATE");
    bench.twin.assumptions_mut().cease_from_suspended = true;
    bench.done("/status", &update("Cease"));
    bench.refused("/status", &update("Suspend"), 409, "INVALID_STATE");
    bench.twin.assumptions_mut().reactivate_accepted = false;
    bench.refused("/status", &update("Reactivate"), 400, "BAD_REQUEST");
    bench.twin.assumptions_mut().reactivate_accepted = true;
    bench.done("/status", &update("Reactivate"));
    bench.done("/status", &update("Cease"));
    assert_eq!(bench.twin.effects(&line.iccid, Effect::Cease), 2);
    assert_eq!(bench.twin.transactions_of(&line.iccid).count(), 5);
}

#[test]
fn s9_a_transaction_can_end_before_it_is_acknowledged() {
    let mut bench = Bench::new();
    let line = bench.active();
    bench.twin.assumptions_mut().notification_before_ack = true;
    let (id, reply) = bench.write("/status", &suspend(&line.gpsi));
    let crate::reply::TwinReply::Answer { delay, .. } = reply else { panic!("dropped") };
    assert_eq!(delay.as_millis(), 250);
    assert_eq!(bench.twin.transaction(&id).unwrap().status, SpsTransactionStatus::Completed);
    assert_eq!(bench.twin.events().last().unwrap().transaction_id, Some(id));
    let crate::reply::TwinReply::Answer { delay, .. } = bench.get("/transaction/status/none") else {
        panic!()
    };
    assert!(delay.is_zero(), "other answers do not wait");
}
