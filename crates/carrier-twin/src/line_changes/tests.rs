use serde_json::json;

use super::*;
use crate::testing::{Bench, at};

use LineOperation::{Activate, ContactInfo, LeaveTestMode, Modify, Suspend, TestMode};

fn option<'a>(subscriber: &'a Value, name: &str) -> &'a str {
    let options = subscriber["options"].as_array().unwrap();
    options.iter().find(|option| option["name"] == name).unwrap()["value"].as_str().unwrap()
}

#[test]
fn an_activation_writes_everything_down() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    let delivered = bench.subscriber(&iccid);
    assert_eq!((&delivered["ratePlan"], &delivered["msisdn"]), (&Value::Null, &Value::Null));
    let body = json!({
        "options": [{"name": "RESTRICT_THRESHOLD_1GB", "value": "on"}], "group": "fleet-a",
        "externalReference": "car-1", "subscriberCountryOfResidence": "FR",
    });
    bench.done(&iccid, Activate, &body);
    let line = bench.subscriber(&iccid);
    assert_eq!((&line["status"], &line["group"]), (&json!("Active"), &json!("fleet-a")));
    assert_eq!(
        (&line["externalReference"], &line["ratePlan"]),
        (&json!("car-1"), &json!("M2MA_WW_TSL_IOTCONNECT_CAPPED"))
    );
    assert_eq!(option(&line, "OFFER_901_IOT_CONNECT_CAP_PRICING"), "IOTC_REF_BUNDLES");
    assert_eq!(
        (option(&line, "RESTRICT_THRESHOLD_1GB"), option(&line, "RESTRICT_NO_THRESHOLD")),
        ("on", "off")
    );
    assert_eq!(line["activationDate"], "2026-03-01T12:00:05.000Z");
    let msisdn = line["msisdn"].as_str().unwrap();
    let by_number =
        bench.get_ok(&format!("/connectivity-management/subscribers/api/subscribers/msisdn/{msisdn}"));
    assert_eq!(by_number["simSerial"], json!(iccid));
    let inventory = format!("/ocs/inventory/api/subscriptions/products?msisdn={msisdn}");
    assert_eq!(bench.get_ok(&inventory)["productSubscriptions"], json!([]));
    let kept = &bench.twin.line(iccid.as_str()).unwrap().subscriber;
    assert_eq!(kept.country_of_residence.as_deref(), Some("FR"));
}

#[test]
fn a_delivered_number_is_kept_and_attributed_ones_are_distinct() {
    let mut bench = Bench::new();
    bench.twin.assumptions_mut().connectivity_open = true;
    let delivered = bench.line();
    bench.done(&delivered.iccid, Activate, &json!({}));
    assert_eq!(bench.twin.line(delivered.iccid.as_str()).unwrap().msisdn(), delivered.msisdn());
    let mut bench = Bench::iot();
    let lines = [bench.line().iccid, bench.line().iccid];
    for iccid in &lines {
        bench.done(iccid, Activate, &json!({}));
    }
    let numbers = lines.each_ref().map(|iccid| bench.twin.line(iccid.as_str()).unwrap().msisdn().to_owned());
    assert_ne!(numbers[0], numbers[1]);
}

#[test]
fn a_modification_changes_only_what_it_names() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    bench.done(&iccid, Activate, &json!({"group": "fleet-a", "externalReference": "car-1"}));
    bench.done(&iccid, Suspend, &json!({}));
    bench.done(
        &iccid,
        Modify,
        &json!({"options": [{"name": "M2M_TSL_BAR_DATA", "value": "on"}], "group": "fleet-b"}),
    );
    let line = bench.subscriber(&iccid);
    assert_eq!((option(&line, "M2M_TSL_BAR_DATA"), option(&line, "RESTRICT_NO_THRESHOLD")), ("on", "on"));
    assert_eq!((&line["group"], &line["externalReference"]), (&json!("fleet-b"), &json!("car-1")));
    assert_eq!((&line["status"], &line["suspendedBy"]), (&json!("Suspended"), &json!("customer")));
    assert_eq!(line["lastModificationDate"], "2026-03-01T12:00:15.000Z");
    assert_eq!(bench.line_events(), ["ACTIVATED", "SUSPENDED", "MODIFIED"]);
}

#[test]
fn contact_information_may_move_a_line_to_a_group() {
    let mut bench = Bench::iot();
    let iccid = bench.line().iccid;
    bench.done(&iccid, Activate, &json!({}));
    bench.done(&iccid, ContactInfo, &json!({"subscriberInfo": {"lastName": "Byron", "group": "fleet-b"}}));
    assert_eq!(bench.subscriber(&iccid)["group"], "fleet-b");
    bench.done(&iccid, ContactInfo, &json!({"group": "fleet-a"}));
    assert_eq!(bench.subscriber(&iccid)["group"], "fleet-a");
    let contact = bench.twin.line(iccid.as_str()).unwrap().subscriber.contact.clone();
    assert_eq!(contact.unwrap()["lastName"], "Byron");
    let id = bench.accepted(&iccid, ContactInfo, &json!({"group": "none"}));
    bench.pass(5);
    assert_eq!(bench.transaction(&id)["errorCode"], "GROUP_NOT_FOUND");
}

#[test]
fn a_test_period_ends_by_call_or_by_quota() {
    let mut bench = Bench::iot();
    bench.twin.assumptions_mut().test_mode_quota_kb = Some(100);
    let [by_call, by_quota] = [bench.line().iccid, bench.line().iccid];
    for iccid in [&by_call, &by_quota] {
        bench.done(iccid, TestMode, &json!({}));
        assert_eq!(bench.subscriber(iccid)["activationDate"], Value::Null);
    }
    bench.done(&by_call, LeaveTestMode, &json!({}));
    assert_eq!(bench.line_events(), ["TESTMODE", "TESTMODE", "ACTIVATED"]);
    bench.install(&by_quota);
    bench.twin.attach(&by_quota, "FR", at(0)).unwrap();
    let used = bench.twin.consume(&by_quota, 60 * 1024, at(0)).unwrap();
    assert_eq!((used.consumed_kb, used.refused_kb), (60, 0));
    assert_eq!(bench.subscriber(&by_quota)["status"], "TestMode");
    let used = bench.twin.consume(&by_quota, 60 * 1024, at(0)).unwrap();
    assert_eq!((used.consumed_kb, used.refused_kb), (40, 20));
    assert_eq!(bench.subscriber(&by_quota)["status"], "Active");
    assert_eq!(bench.twin.events().last().unwrap().body["source"], "system");
}
