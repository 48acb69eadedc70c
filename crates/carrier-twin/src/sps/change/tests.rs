use serde_json::{Value, json};

use crate::sps::records::Effect;
use crate::sps::sims::SimState;
use crate::sps::testing::{Bench, EID, Line, OLD_PHONE, OWN_PHONE, PHONE};

const PATH: &str = "/deviceSim/change";

fn change(line: &Line, kind: &str, further: &Value) -> Value {
    let mut body = json!({"gpsi": line.gpsi, "changeType": kind});
    body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    body
}

#[test]
fn a_device_is_changed_and_the_sim_stays() {
    let mut bench = Bench::new();
    let line = bench.active();
    bench.done(PATH, &change(&line, "DeviceOnly", &json!({"newPei": OWN_PHONE})));
    let after = bench.subscription(&line).clone();
    assert_eq!((after.pei.as_deref(), &after.iccid), (Some(OWN_PHONE), &line.iccid));
    assert_eq!(bench.twin.effects(&line.iccid, Effect::Change), 1);
    let by_sim = json!({"iccid": line.iccid, "changeType": "DeviceOnly", "newPei": PHONE});
    bench.done(PATH, &by_sim);
    assert_eq!(bench.subscription(&line).pei.as_deref(), Some(PHONE));
}

#[test]
fn a_card_replaces_the_sim_which_is_retired() {
    let mut bench = Bench::new();
    let line = bench.active();
    let card = bench.card();
    let done = bench.done(PATH, &change(&line, "PSIMOnly", &json!({"newIccid": card})));
    assert_eq!((done.iccid.as_ref(), bench.subscription(&line).iccid.as_str()), (Some(&card), card.as_str()));
    assert!(bench.twin.subscription_of_iccid(&line.iccid).is_none());
    let states = [&line.iccid, &card].map(|iccid| bench.twin.sim(iccid).unwrap().state);
    assert_eq!(states, [SimState::Retired, SimState::InUse]);
    assert_eq!(bench.twin.effects(&line.iccid, Effect::Change), 1, "counted under the SIM before");
    let back = change(&line, "PSIMOnly", &json!({"newIccid": line.iccid}));
    bench.refused(PATH, &back, 409, "SIM_NOT_AVAILABLE");
}

#[test]
fn a_device_and_an_esim_are_changed_together() {
    let mut bench = Bench::new();
    let line = bench.active();
    let (named, free) = (bench.esim(), bench.esim());
    let own = json!({"newPei": OWN_PHONE, "newIccid": free, "newEid": EID, "eSimDeliveryMethod": "QR"});
    bench.done(PATH, &change(&line, "DeviceAndeSIM", &own));
    let after = bench.subscription(&line);
    assert_eq!(
        (&after.iccid, after.eid.as_deref(), after.pei.as_deref()),
        (&free, Some(EID), Some(OWN_PHONE))
    );
    bench.done(PATH, &change(&line, "DeviceAndeSIM", &json!({"newPei": PHONE})));
    let after = bench.subscription(&line);
    assert_eq!((&after.iccid, after.eid.as_deref()), (&named, None), "the first of the stock");
    let none = change(&line, "DeviceAndeSIM", &json!({"newPei": PHONE}));
    bench.refused(PATH, &none, 409, "NO_SIM_AVAILABLE");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut bench = Bench::new();
    let line = bench.active();
    let (esim, card) = (bench.esim(), bench.card());
    bench.twin.block_device(PHONE, true);
    for (kind, further, status, code) in [
        ("PSIMOnly", json!({"newIccid": esim}), 409, "SIM_NOT_PHYSICAL"),
        ("DeviceAndPSIM", json!({"newIccid": esim, "newPei": OWN_PHONE}), 409, "SIM_NOT_PHYSICAL"),
        ("DeviceAndeSIM", json!({"newIccid": card, "newPei": OWN_PHONE, "newEid": EID}), 409, "SIM_NOT_ESIM"),
        ("DeviceAndeSIM", json!({"newIccid": esim, "newPei": OWN_PHONE}), 400, "EID_REQUIRED"),
        ("DeviceOnly", json!({"newPei": PHONE}), 409, "DEVICE_BLOCKED"),
        ("DeviceOnly", json!({"newPei": OLD_PHONE}), 409, "DEVICE_NOT_COMPATIBLE"),
        ("PSIMOnly", json!({"newIccid": "8901999000000000000"}), 404, "SIM_NOT_FOUND"),
        ("PSIMOnly", json!({"newIccid": card, "newPei": PHONE}), 400, "BAD_REQUEST"),
    ] {
        bench.refused(PATH, &change(&line, kind, &further), status, code);
    }
    bench.done("/status", &json!({"gpsi": line.gpsi, "action": "Suspend"}));
    bench.refused(PATH, &change(&line, "PSIMOnly", &json!({"newIccid": card})), 409, "INVALID_STATE");
}

#[test]
fn of_two_changes_to_one_sim_one_fails() {
    let mut bench = Bench::new();
    let (first, second) = (bench.active(), bench.active());
    let card = bench.card();
    let ids = [&first, &second]
        .map(|line| bench.accepted(PATH, &change(line, "PSIMOnly", &json!({"newIccid": card}))));
    bench.pass(2);
    let failures =
        ids.map(|id| bench.twin.transaction(&id).unwrap().failure.clone().map(|failure| failure.code));
    assert_eq!(failures, [None, Some("SIM_NOT_AVAILABLE".to_owned())]);
    assert_eq!(bench.subscription(&second).iccid, second.iccid);
}

#[test]
fn s1_lenient_ignores_what_its_type_does_not_change() {
    let mut bench = Bench::assume(&json!({"reading": "lenient"}));
    let line = bench.active();
    let card = bench.card();
    bench
        .done(PATH, &change(&line, "DeviceOnly", &json!({"newPei": PHONE, "newIccid": card, "newEid": EID})));
    let after = bench.subscription(&line);
    assert_eq!((&after.iccid, after.pei.as_deref(), after.eid.as_deref()), (&line.iccid, Some(PHONE), None));
}
