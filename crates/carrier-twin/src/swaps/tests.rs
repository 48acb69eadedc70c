use serde_json::{Value, json};
use simdepot_domain::iccid::Iccid;

use crate::testing::{Bench, at};
use crate::{LineOperation, LineSpec};

use LineOperation::{Activate, MsisdnSwap, SimSwap, Suspend};

const PLAN: &str = "WW_901I_IOTC_ONEOFF_WORLD_1GB_12M";

/// An active line with a plan, and its number.
fn subscribed(bench: &mut Bench) -> (Iccid, String) {
    let iccid = bench.line().iccid;
    bench.done(&iccid, Activate, &json!({"group": "fleet-a", "externalReference": "car-1"}));
    let line = bench.twin.line(iccid.as_str()).unwrap();
    let spec = LineSpec { msisdn: line.msisdn.clone(), ..line.spec.clone() };
    assert_eq!(bench.order_of(&spec, "subscribe", PLAN).status(), Some(201));
    (iccid, spec.msisdn().to_owned())
}

fn plans(bench: &mut Bench, msisdn: &str) -> Value {
    bench.get_ok(&format!("/ocs/inventory/api/subscriptions/products?msisdn={msisdn}"))["productSubscriptions"].clone()
}

#[test]
fn a_sim_swap_moves_the_subscriber_and_its_plans() {
    let mut bench = Bench::iot();
    let (old, msisdn) = subscribed(&mut bench);
    let new = bench.line().iccid;
    bench.done(&old, Suspend, &json!({}));
    bench.done(&old, SimSwap, &json!({ "newSimSerial": new }));
    let line = bench.subscriber(&new);
    assert_eq!((&line["msisdn"], &line["status"]), (&json!(msisdn), &json!("Suspended")));
    assert_eq!((&line["group"], &line["suspendedBy"]), (&json!("fleet-a"), &json!("customer")));
    assert_eq!(line["activationDate"], "2026-03-01T12:00:05.000Z");
    let gone = bench.subscriber(&old);
    assert_eq!((&gone["status"], &gone["msisdn"]), (&json!("Terminated"), &Value::Null));
    assert_eq!(plans(&mut bench, &msisdn).as_array().unwrap().len(), 1);
    let event = bench.twin.events().last().unwrap();
    assert_eq!(event.event_type, "CONNECTIVITY-MANAGEMENT/SUBSCRIBER/SIMCARD/SWAPPED");
    assert_eq!((&event.body["simSerial"], &event.body["oldSimSerial"]), (&json!(new), &json!(old)));
    // The plan starts on the new SIM.
    bench.done(&new, LineOperation::Reactivate, &json!({}));
    bench.install(&new);
    assert!(bench.twin.attach(&new, "FR", at(1)).unwrap().subscription_started.is_some());
    assert_eq!(bench.twin.subscriptions_on(new.as_str()).len(), 1);
    assert!(bench.twin.subscriptions_on(old.as_str()).is_empty());
}

#[test]
fn two_swaps_to_one_sim_end_in_one() {
    let mut bench = Bench::iot();
    let (first, _) = subscribed(&mut bench);
    let (second, number) = subscribed(&mut bench);
    let new = bench.line().iccid;
    let swap = json!({ "newSimSerial": new });
    let won = bench.accepted(&first, SimSwap, &swap);
    let lost = bench.accepted(&second, SimSwap, &swap);
    bench.pass(5);
    assert_eq!(bench.transaction(&won)["transactionStatus"], "DONE");
    assert_eq!(bench.transaction(&lost)["transactionStatus"], "ERROR");
    let line = bench.subscriber(&second);
    assert_eq!((&line["status"], &line["msisdn"]), (&json!("Active"), &json!(number)));
}

#[test]
fn a_number_swap_takes_the_plans_along() {
    let mut bench = Bench::iot();
    let (iccid, former) = subscribed(&mut bench);
    bench.done(&iccid, MsisdnSwap, &json!({}));
    let number = bench.subscriber(&iccid)["msisdn"].as_str().unwrap().to_owned();
    assert_ne!(number, former);
    assert_eq!(plans(&mut bench, &number).as_array().unwrap().len(), 1);
    bench.get_refused(
        &format!("/ocs/inventory/api/subscriptions/products?msisdn={former}"),
        404,
        "SUBSCRIBER_NOT_FOUND",
    );
    let event = bench.twin.events().last().unwrap();
    assert_eq!(event.event_type, "CONNECTIVITY-MANAGEMENT/SUBSCRIBER/MSISDN/SWAPPED");
    assert_eq!((&event.body["msisdn"], &event.body["oldMsisdn"]), (&json!(number), &json!(former)));
    // Later events of the plan carry the new number.
    bench.install(&iccid);
    bench.twin.attach(&iccid, "FR", at(1)).unwrap();
    assert_eq!(bench.twin.events().last().unwrap().body["msisdn"], json!(number));
}
