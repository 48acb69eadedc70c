use serde_json::json;

use crate::sps::devices::DeviceModel;
use crate::sps::testing::{Bench, EID, OWN_PHONE, PHONE};

#[test]
fn a_subscription_shows_what_the_sample_shows() {
    let mut bench = Bench::new();
    let iccid = bench.esim();
    let body = bench.activation(&json!({"iccid": iccid, "pei": OWN_PHONE, "eid": EID}));
    bench.done("/activate", &body);
    let expected = json!({
        "deviceStatus": "Active", "isBlocked": false, "gpsi": "19452100000", "supi": "313340010000000",
        "iccid": iccid, "pei": OWN_PHONE, "eid": EID, "subscriberId": "Sub001",
    });
    assert_eq!(bench.get_ok("/deviceDetails?gpsi=19452100000"), expected);
    assert_eq!(bench.get_ok(&format!("/deviceDetails?pei={OWN_PHONE}")), expected);
    bench.twin.block_device(OWN_PHONE, true);
    assert_eq!(bench.get_ok("/deviceDetails?gpsi=19452100000")["isBlocked"], true);
}

#[test]
fn a_bare_sim_has_neither_device_nor_eid_and_its_status_has_a_word() {
    let mut bench = Bench::assume(&json!({"ceased_word": "Deactivated"}));
    let line = bench.active();
    let target = format!("/deviceDetails?gpsi={}", line.gpsi);
    let details = bench.get_ok(&target);
    assert!(details.get("pei").is_none() && details.get("eid").is_none());
    for (action, word) in [("Suspend", "Suspended"), ("Resume", "Active"), ("Cease", "Deactivated")] {
        bench.done("/status", &json!({"gpsi": line.gpsi, "action": action}));
        assert_eq!(bench.get_ok(&target)["deviceStatus"], word);
    }
}

#[test]
fn s1_lenient_takes_an_iccid_where_the_example_has_it() {
    let mut bench = Bench::new();
    let line = bench.active();
    let short = line.gpsi.strip_prefix('1').unwrap().to_owned();
    let targets = [
        format!("pei={}", line.iccid),
        format!("iccid={}", line.iccid),
        format!("gpsi={short}"),
        format!("gpsi={}&pei={PHONE}", line.gpsi),
    ];
    for target in &targets {
        bench.get_refused(&format!("/deviceDetails?{target}"), 400, "BAD_REQUEST");
    }
    bench.twin.assumptions_mut().reading = crate::sps::Reading::Lenient;
    for target in &targets {
        assert_eq!(bench.get_ok(&format!("/deviceDetails?{target}"))["gpsi"], line.gpsi, "{target}");
    }
    bench.get_refused("/deviceDetails", 400, "BAD_REQUEST");
    bench.get_refused("/deviceDetails?gpsi=19999999999", 404, "SUBSCRIPTION_NOT_FOUND");
    bench.get_refused(&format!("/deviceDetails?pei={PHONE}"), 404, "SUBSCRIPTION_NOT_FOUND");
}

#[test]
fn s17_identifiers_are_written_as_the_switches_say() {
    let mut bench = Bench::new();
    let iccid = bench.esim();
    let body = bench.activation(&json!({"iccid": iccid, "pei": PHONE}));
    bench.done("/activate", &body);
    let target = "/deviceDetails?gpsi=19452100000";
    let patch = |bench: &mut Bench, patch| {
        *bench.twin.assumptions_mut() = bench.twin.assumptions().patched(&patch).unwrap();
    };
    patch(&mut bench, json!({"gpsi_form": "ten_digits"}));
    assert_eq!(bench.get_ok(target)["gpsi"], "9452100000");
    patch(&mut bench, json!({"gpsi_form": "number"}));
    assert_eq!(bench.get_ok(target)["gpsi"], 19_452_100_000_u64);
    patch(&mut bench, json!({"prefixed_identifiers": true}));
    let details = bench.get_ok(target);
    assert_eq!(
        (&details["gpsi"], &details["supi"]),
        (&json!("msisdn-19452100000"), &json!("imsi-313340010000000"))
    );
    assert_eq!(details["pei"], format!("imeisv-{PHONE}"));
}

#[test]
fn compatibility_is_by_device_or_by_model() {
    let mut bench = Bench::new();
    let by_pei = bench.get_ok(&format!("/compatibility?pei={PHONE}"));
    assert_eq!(
        (&by_pei["equipmentType"], by_pei["networkCompatibilityList"].as_array().unwrap().len()),
        (&json!("PHONE"), 2)
    );
    assert_eq!(bench.get_ok("/compatibility?tac=22881518"), by_pei);
    assert_eq!(bench.get_ok("/compatibility?tac=2605317931138")["networkCompatibilityList"], json!([]));
    bench.twin.block_device(PHONE, true);
    assert_eq!(bench.get_ok(&format!("/compatibility?pei={PHONE}"))["blockStatus"]["isBlocked"], true);
    bench.get_refused("/compatibility?tac=99999999", 404, "DEVICE_NOT_FOUND");
    bench.get_refused("/compatibility?tac=9999999", 400, "BAD_REQUEST");
    bench.get_refused("/compatibility", 400, "BAD_REQUEST");
    bench.get_refused(&format!("/compatibility?tac=22881518&pei={PHONE}"), 400, "BAD_REQUEST");
    let model = DeviceModel {
        manufacturer: "M".to_owned(),
        model: "N".to_owned(),
        equipment_type: "WATCH".to_owned(),
        networks: vec!["LTE".to_owned()],
        sold_by_operator: false,
    };
    bench.twin.set_device_model("99999999", model).unwrap();
    assert_eq!(
        bench.get_ok("/compatibility?tac=99999999")["manufacturer"],
        json!({"name": "M", "model": "N"})
    );
}
