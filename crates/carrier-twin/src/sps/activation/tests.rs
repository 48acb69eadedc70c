use serde_json::{Value, json};

use crate::sps::records::Effect;
use crate::sps::sims::{NewSim, SimState};
use crate::sps::subscriptions::SubscriptionStatus;
use crate::sps::testing::{Bench, EID, OLD_PHONE, OWN_PHONE, PHONE};
use crate::sps::transactions::SpsTransactionStatus;

fn refused(bench: &mut Bench, further: &Value, status: u16, code: &str) {
    let body = bench.activation(further);
    bench.refused("/activate", &body, status, code);
}

#[test]
fn a_sim_becomes_a_subscription_with_a_number_of_the_range() {
    let mut bench = Bench::new();
    let iccid = bench.esim();
    let body = bench.activation(&json!({
        "iccid": iccid, "pei": OWN_PHONE, "eid": EID, "eSIMDeliveryMethod": "QR",
        "bucketRefId": ["B1"], "products": [{"id": "P"}], "location": {"zip": "80202"}, "billCycleStartDay": 7,
    }));
    let id = bench.accepted("/activate", &body);
    assert_eq!(bench.twin.sim(&iccid).unwrap().state, SimState::Available, "accepted, not done");
    bench.pass(2);
    let found = bench.twin.subscription_of_iccid(&iccid).unwrap();
    assert_eq!((found.status, found.gpsi.as_str()), (SubscriptionStatus::Active, "19452100000"));
    assert_eq!((found.supi.as_str(), found.bill_cycle_start_day), ("313340010000000", 7));
    assert_eq!((found.pei.as_deref(), found.eid.as_deref()), (Some(OWN_PHONE), Some(EID)));
    assert_eq!((&found.location, found.products.len()), (&json!({"zip": "80202"}), 1));
    assert_eq!(bench.twin.subscriptions_of("Sub001").count(), 1);
    assert_eq!(bench.twin.transaction(&id).unwrap().iccid.as_ref(), Some(&iccid));
    assert_eq!(
        (bench.twin.effects(&iccid, Effect::Activate), bench.twin.sim(&iccid).unwrap().state),
        (1, SimState::InUse)
    );
    refused(&mut bench, &json!({"iccid": iccid}), 409, "SIM_NOT_AVAILABLE");
    refused(&mut bench, &json!({"iccid": "8901999000000000000"}), 404, "SIM_NOT_FOUND");
}

#[test]
fn without_a_sim_a_device_gets_an_esim_of_the_stock() {
    let mut bench = Bench::new();
    bench.card();
    refused(&mut bench, &json!({"pei": PHONE}), 409, "NO_SIM_AVAILABLE");
    let iccid = bench.esim();
    let body = bench.activation(&json!({"pei": PHONE}));
    let done = bench.done("/activate", &body);
    assert_eq!(done.iccid.as_ref(), Some(&iccid));
    assert_eq!(bench.twin.transactions_of(&iccid).count(), 1);
}

#[test]
fn two_activations_of_one_sim_make_one_subscription() {
    let mut bench = Bench::new();
    let iccid = bench.esim();
    let body = bench.activation(&json!({"iccid": iccid}));
    let (first, second) = (bench.accepted("/activate", &body), bench.accepted("/activate", &body));
    bench.pass(2);
    assert_eq!(bench.twin.transaction(&first).unwrap().status, SpsTransactionStatus::Completed);
    let failed = bench.twin.transaction(&second).unwrap();
    assert_eq!(failed.failure.as_ref().unwrap().code, "SIM_NOT_AVAILABLE");
    assert_eq!((bench.twin.effects(&iccid, Effect::Activate), bench.twin.subscriptions().len()), (1, 1));
}

#[test]
fn s16_a_device_of_the_customers_own_needs_an_eid_with_an_esim() {
    let mut bench = Bench::new();
    let (esim, card) = (bench.esim(), bench.card());
    refused(&mut bench, &json!({"iccid": esim, "pei": OWN_PHONE}), 400, "EID_REQUIRED");
    refused(&mut bench, &json!({"iccid": card, "pei": OWN_PHONE, "eid": EID}), 409, "SIM_NOT_ESIM");
    refused(
        &mut bench,
        &json!({"iccid": card, "pei": PHONE, "eSIMDeliveryMethod": "QR"}),
        409,
        "SIM_NOT_ESIM",
    );
    let body = bench.activation(&json!({"iccid": card, "pei": OWN_PHONE}));
    bench.done("/activate", &body);
    let body = bench.activation(&json!({"iccid": esim, "pei": PHONE}));
    bench.done("/activate", &body);
    bench.twin.assumptions_mut().byod_needs_eid = false;
    let another = bench.esim();
    let body = bench.activation(&json!({"iccid": another, "pei": OWN_PHONE}));
    bench.done("/activate", &body);
}

#[test]
fn s16_a_profile_bound_to_an_eid_goes_to_no_other() {
    let mut bench = Bench::new();
    let iccid = "8965880812100011146".parse().unwrap();
    let eid = EID.parse().ok();
    bench.twin.add_sim(NewSim { iccid, physical: false, eid, activation_code: None }).unwrap();
    let other = "89001012012341234012345678901224";
    let activation = json!({"iccid": "8965880812100011146", "pei": OWN_PHONE, "eid": other});
    refused(&mut bench, &activation, 409, "EID_MISMATCH");
    let body = bench.activation(&json!({"iccid": "8965880812100011146", "pei": PHONE}));
    bench.done("/activate", &body);
    assert_eq!(bench.twin.subscriptions()[0].eid.as_deref(), Some(EID));
}

#[test]
fn s16_devices_on_the_blocklist_and_out_of_date_are_refused() {
    let mut bench = Bench::new();
    let iccid = bench.esim();
    bench.twin.block_device(PHONE, true);
    refused(&mut bench, &json!({"iccid": iccid, "pei": PHONE}), 409, "DEVICE_BLOCKED");
    refused(&mut bench, &json!({"iccid": iccid, "pei": OLD_PHONE, "eid": EID}), 409, "DEVICE_NOT_COMPATIBLE");
    bench.twin.assumptions_mut().devices_checked = false;
    let body = bench.activation(&json!({"iccid": iccid, "pei": OLD_PHONE, "eid": EID}));
    bench.done("/activate", &body);
}

#[test]
fn s16_numbers_are_reserved_first_unless_the_switch_says_otherwise() {
    let mut bench = Bench::new();
    let iccid = bench.esim();
    let with = |id: &str, gpsi: &str| json!({"iccid": iccid, "gpsi": gpsi, "gpsiReservationId": id});
    let gpsi = bench.twin.reserve("R1", Some("13035551111")).unwrap();
    refused(&mut bench, &with("R2", &gpsi), 404, "RESERVATION_NOT_FOUND");
    refused(&mut bench, &with("R1", "13035552222"), 404, "RESERVATION_NOT_FOUND");
    let body = bench.activation(&with("R1", &gpsi));
    bench.done("/activate", &body);
    assert_eq!(bench.twin.subscription_of_gpsi(&gpsi).unwrap().iccid, iccid);
    bench.twin.assumptions_mut().reservations_checked = false;
    let another = bench.esim();
    let taken = json!({"iccid": another, "gpsi": gpsi, "gpsiReservationId": "R9"});
    refused(&mut bench, &taken, 409, "NUMBER_IN_USE");
    let free = json!({"iccid": another, "gpsi": "13035552222", "gpsiReservationId": "R9"});
    let body = bench.activation(&free);
    bench.done("/activate", &body);
}

#[test]
fn numbers_run_out_and_reserved_ones_are_not_given_away() {
    let mut bench = Bench::new();
    bench.twin.config.gpsi_count = 2;
    let held = bench.twin.reserve("R1", None).unwrap();
    let line = bench.active();
    assert_ne!(line.gpsi, held);
    let iccid = bench.esim();
    refused(&mut bench, &json!({"iccid": iccid}), 409, "NO_NUMBER_LEFT");
}

#[test]
fn s16_a_subscriber_may_be_held_to_one_subscription() {
    let mut bench = Bench::assume(&json!({"one_subscription_per_subscriber": true}));
    let line = bench.active();
    let iccid = bench.esim();
    refused(&mut bench, &json!({"iccid": iccid}), 409, "SUBSCRIBER_HAS_SUBSCRIPTION");
    bench.done("/status", &json!({"gpsi": line.gpsi, "action": "Cease"}));
    let body = bench.activation(&json!({"iccid": iccid}));
    bench.done("/activate", &body);
}

#[test]
fn s18_the_bill_day_is_that_of_the_zones_date_and_never_after_the_28th() {
    // Noon of 1 March 2026 in UTC, so that 13 hours before it is still February.
    let cases = [(0, 0, 1), (0, -780, 28), (4, 0, 5), (26, 720, 28), (27, 0, 28), (27, 720, 1), (28, 0, 1)];
    for (days, offset, expected) in cases {
        let mut bench = Bench::assume(&json!({"bill_day_offset_minutes": offset}));
        bench.pass(days * 86_400);
        let iccid = bench.esim();
        let body = json!({"partnerTransactionId": "T", "subscriberId": "a", "wholesalePlanId": "b", "location": {}, "iccid": iccid});
        bench.accepted("/activate", &body);
        bench.pass(2);
        let day = bench.twin.subscription_of_iccid(&iccid).unwrap().bill_cycle_start_day;
        assert_eq!(day, expected, "{days} {offset}");
    }
}
