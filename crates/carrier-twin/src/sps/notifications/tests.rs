use simdepot_domain::secret::Secret;

use super::*;
use crate::sps::testing::{Bench, EID, Line, OWN_PHONE, at};

fn wired(patch: &Value) -> (Bench, Line) {
    let mut bench = Bench::assume(patch);
    let line = bench.active();
    let webhook = Webhook::new("http://127.0.0.1:9/hook", Secret::new("Jefe")).unwrap();
    bench.twin.set_webhook(Some(webhook));
    (bench, line)
}

fn json_of(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.body).unwrap()
}

/// Everything that is due, each answered with `status`: the transactions that it tells of.
fn post(bench: &mut Bench, status: Option<u16>) -> Vec<String> {
    let mut posted = Vec::new();
    while let Some(delivery) = bench.twin.next_delivery(at(0)) {
        posted.push(json_of(&delivery)["partnerTransactionId"].as_str().unwrap_or_default().to_owned());
        bench.twin.delivery_ended(at(0), delivery.ticket, status);
    }
    posted
}

fn toggle(bench: &mut Bench, line: &Line, times: usize) -> Vec<String> {
    let actions = ["Suspend", "Resume"].into_iter().cycle().take(times);
    actions.map(|action| bench.done("/status", &json!({"gpsi": line.gpsi, "action": action})).id).collect()
}

#[test]
fn a_completed_esim_is_told_with_its_code() {
    let (mut bench, _) = wired(&json!({}));
    let iccid = bench.esim();
    let body = bench.activation(&json!({"iccid": iccid, "pei": OWN_PHONE, "eid": EID}));
    let id = bench.accepted("/activate", &body);
    assert!(bench.twin.next_delivery(at(0)).is_none(), "not before it ends");
    bench.pass(2);
    let delivery = bench.twin.next_delivery(at(0)).unwrap();
    let told = json_of(&delivery);
    let code = bench.twin.sim(&iccid).unwrap().spec.activation_code.clone().unwrap();
    let found = bench.twin.subscription_of_iccid(&iccid).unwrap();
    assert_eq!(
        told,
        json!({
            "eventId": delivery.event_id,
            "eventType": "ActivateSubscription",
            "eventTime": "2026-03-01T12:00:04.000Z",
            "partnerTransactionId": id,
            "wholesaleCustomerId": "920000108464",
            "status": "Completed",
            "subscription": {
                "subscriberId": "Sub001", "gpsi": found.gpsi, "iccid": iccid, "supi": found.supi,
                "pei": OWN_PHONE, "eid": EID, "status": "Active",
            },
            "eSim": {"activationCode": code.lpa()},
        })
    );
    let secret = code.matching_id().expose();
    assert!(!format!("{:?} {delivery:?}", bench.twin.events()).contains(secret));
}

#[test]
fn s10_the_code_stays_away_when_the_switch_says_so_and_from_cards() {
    let (mut bench, _) = wired(&json!({"activation_code_in_notification": false}));
    bench.active();
    assert!(bench.twin.events().iter().all(|event| event.body.get("eSim").is_none()));
    bench.twin.assumptions_mut().activation_code_in_notification = true;
    let card = bench.card();
    let body = bench.activation(&json!({"iccid": card}));
    bench.done("/activate", &body);
    assert!(bench.twin.events().last().unwrap().body.get("eSim").is_none());
}

#[test]
fn s11_each_write_has_its_event_type() {
    let (mut bench, line) = wired(&json!({"change_event": "Changed"}));
    toggle(&mut bench, &line, 2);
    bench.done(
        "/deviceSim/change",
        &json!({"gpsi": line.gpsi, "changeType": "DeviceOnly", "newPei": OWN_PHONE}),
    );
    bench.done("/blockList", &json!({"gpsi": line.gpsi, "pei": OWN_PHONE, "action": "Add"}));
    let types: Vec<&str> = bench.twin.events().iter().map(|event| event.event_type.as_str()).collect();
    let expected = [
        "ActivateSubscription",
        "UpdateSubscriptionStatus",
        "UpdateSubscriptionStatus",
        "Changed",
        "BlockListDevice",
    ];
    assert_eq!(types, expected);
}

#[test]
fn notifications_are_signed_or_carry_the_secret() {
    let (mut bench, line) = wired(&json!({}));
    toggle(&mut bench, &line, 2);
    let delivery = bench.twin.next_delivery(at(0)).unwrap();
    let webhook = bench.twin.webhook().unwrap().clone();
    assert_eq!(delivery.signature_header, "x-signature-256");
    assert_eq!(delivery.signature, webhook.signature(&delivery.body));
    bench.twin.set_webhook_auth(WebhookAuth::Bearer);
    let delivery = bench.twin.next_delivery(at(0)).unwrap();
    assert_eq!(
        (delivery.signature_header.as_str(), delivery.signature.as_str()),
        ("authorization", "Bearer Jefe")
    );
}

#[test]
fn s9_they_come_twice_late_disordered_not_at_all() {
    let (mut bench, line) = wired(&json!({"notification_duplicates_per_mille": 1000}));
    let ids = toggle(&mut bench, &line, 1);
    assert_eq!(post(&mut bench, Some(204)), [ids[0].clone(), ids[0].clone()]);

    let (mut bench, line) = wired(&json!({"notification_late_per_mille": 1000}));
    let ids = toggle(&mut bench, &line, 1);
    assert!(post(&mut bench, Some(204)).is_empty());
    bench.pass(600);
    assert_eq!(post(&mut bench, Some(204)), ids);

    let (mut bench, line) = wired(&json!({"notification_reordered_per_mille": 1000}));
    let ids = toggle(&mut bench, &line, 2);
    assert_eq!(post(&mut bench, Some(204)), [ids[1].clone(), ids[0].clone()]);

    let (mut bench, line) = wired(&json!({"notification_lost_per_mille": 1000}));
    toggle(&mut bench, &line, 1);
    bench.pass(3600);
    assert!(post(&mut bench, Some(204)).is_empty());
    assert_eq!(bench.twin.events().last().unwrap().deliver_at, None);

    let (mut bench, line) = wired(&json!({"notifications": false}));
    toggle(&mut bench, &line, 1);
    assert!(bench.twin.events().is_empty());
}

#[test]
fn s12_what_is_not_taken_comes_again_until_it_is_lost() {
    let (mut bench, line) = wired(&json!({}));
    let ids = toggle(&mut bench, &line, 1);
    for status in [None, Some(500), Some(302), Some(404), Some(503), Some(500)] {
        assert_eq!(post(&mut bench, status), ids, "{status:?}");
        assert!(post(&mut bench, status).is_empty());
        bench.pass(60);
    }
    assert!(post(&mut bench, Some(200)).is_empty());
    let view = bench.twin.stream.view();
    assert_eq!(
        (&view["lost"], &view["failed_attempts"], &view["suspended"]),
        (&json!(1), &json!(6), &json!(false))
    );
    let ids = bench.done("/status", &json!({"gpsi": line.gpsi, "action": "Resume"})).id;
    assert_eq!(post(&mut bench, Some(200)), [ids]);
}
