use serde_json::json;

use super::*;

fn read(call: CallName, body: &Value, strict: bool) -> Result<SpsWrite, String> {
    let object = body.as_object().unwrap();
    SpsWrite::read(call, object, strict).map_err(|problem| {
        assert_eq!((problem.status, problem.title.as_str()), (400, "BAD_REQUEST"));
        problem.detail
    })
}

fn both(call: CallName, body: &Value) -> (bool, bool) {
    (read(call, body, true).is_ok(), read(call, body, false).is_ok())
}

/// The published sample of an activation, with what its collapsed parts hold made up.
fn sample() -> Value {
    json!({
        "partnerTransactionId": "Txn101010101",
        "subscriberId": "Sub001",
        "wholesalePlanId": "Plan001",
        "bucketRefId": ["B1"],
        "location": {"zip": "80202"},
        "billCycleFrequency": "MONTHLY",
        "billCycleStartDay": 1,
        "gpsi": "19459986891",
        "gpsiReservationId": "GRID368599719",
        "iccid": "11986621644523024501",
        "pei": "2288151828896431",
        "eSIMDeliveryMethod": "QR",
        "products": [{"id": "P1"}],
    })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    if value.is_null() {
        body.as_object_mut().unwrap().remove(field);
    } else {
        body[field] = value;
    }
    body
}

#[test]
fn the_published_activation_is_read_whole() {
    let SpsWrite::Activate(read) = read(CallName::Activate, &sample(), true).unwrap() else { panic!() };
    assert_eq!((read.subscriber_id.as_str(), read.wholesale_plan_id.as_str()), ("Sub001", "Plan001"));
    assert_eq!((read.bucket_ref_ids, read.products), (vec![json!("B1")], vec![json!({"id": "P1"})]));
    assert_eq!((read.location, read.bill_cycle_start_day), (json!({"zip": "80202"}), Some(1)));
    assert_eq!(read.gpsi.as_deref(), Some("19459986891"));
    assert_eq!(read.gpsi_reservation_id.as_deref(), Some("GRID368599719"));
    assert_eq!(read.iccid.as_deref(), Some("11986621644523024501"));
    assert_eq!((read.pei.as_deref(), read.eid, read.qr), (Some("2288151828896431"), None, true));
}

#[test]
fn every_field_of_an_activation_is_checked_in_either_reading() {
    for (field, value) in [
        ("subscriberId", Value::Null),
        ("wholesalePlanId", Value::Null),
        ("location", Value::Null),
        ("subscriberId", json!("_x")),
        ("subscriberId", json!("x".repeat(37))),
        ("wholesalePlanId", json!("")),
        ("location", json!("Denver")),
        ("bucketRefId", json!([""])),
        ("bucketRefId", json!("B1")),
        ("billCycleFrequency", json!("WEEKLY")),
        ("billCycleStartDay", json!(0)),
        ("billCycleStartDay", json!(29)),
        ("gpsi", json!("+19459986891")),
        ("gpsiReservationId", json!("x".repeat(37))),
        ("iccid", json!("1198662164452302450X")),
        ("iccid", json!(1_198_662_164_452_302_450_u64)),
        ("pei", json!("22881518288964")),
        ("pei", json!("11986621644523024501")),
        ("pei", json!(2_288_151_828_896_431_u64)),
        ("eid", json!("1")),
        ("eSIMDeliveryMethod", json!("MAIL")),
        ("products", json!(["P1"])),
    ] {
        let body = with(sample(), field, value.clone());
        assert_eq!(both(CallName::Activate, &body), (false, false), "{field} {value}");
        let text = read(CallName::Activate, &body, true).unwrap_err();
        assert!(text.contains(field), "{text}");
    }
}

#[test]
fn s1_what_only_the_lenient_reading_takes_of_an_activation() {
    let spelled = with(with(sample(), "eSIMDeliveryMethod", Value::Null), "eSimDeliveryMethod", json!("QR"));
    for body in [
        spelled.clone(),
        with(sample(), "gpsi", json!(19_459_986_891_u64)),
        with(sample(), "gpsi", json!("9459986891")),
        with(sample(), "billCycleStartDay", json!(1.5)),
        with(sample(), "gpsi", Value::Null),
        with(sample(), "gpsiReservationId", Value::Null),
        with(sample(), "pei", Value::Null),
        json!({"subscriberId": "a", "wholesalePlanId": "b", "location": {}}),
    ] {
        assert_eq!(both(CallName::Activate, &body), (false, true), "{body}");
    }
    let SpsWrite::Activate(lenient) = read(CallName::Activate, &spelled, false).unwrap() else { panic!() };
    assert!(lenient.qr);
}

#[test]
fn a_status_update_names_one_line_and_a_known_action() {
    for (body, strict, lenient) in [
        (json!({"gpsi": "19459986891", "action": "Suspend"}), true, true),
        (json!({"iccid": "11986621644523024501", "action": "Reactivate"}), true, true),
        (json!({"gpsi": 19_459_986_891_u64, "action": "Suspend"}), false, true),
        (json!({"gpsi": "19459986891", "iccid": "11986621644523024501", "action": "Cease"}), false, true),
        (json!({"action": "Cease"}), false, false),
        (json!({"gpsi": "19459986891"}), false, false),
        (json!({"gpsi": "19459986891", "action": "suspend"}), false, false),
    ] {
        assert_eq!(both(CallName::Status, &body), (strict, lenient), "{body}");
    }
}

#[test]
fn the_seven_scenarios_of_a_change_are_taken_and_nothing_else_when_strict() {
    let (pei, iccid, eid) = ("2288151822896431", "11986621644523024501", "72568199123456782654456783768376");
    let change = |kind: &str, fields: &[&str]| {
        let mut body = json!({"changeType": kind, "gpsi": "19459986891"});
        for field in fields {
            body[*field] = match *field {
                "newPei" => json!(pei),
                "newIccid" => json!(iccid),
                "newEid" => json!(eid),
                _ => json!("QR"),
            };
        }
        body
    };
    for (kind, fields, strict, lenient) in [
        ("DeviceOnly", &["newPei"][..], true, true),
        ("PSIMOnly", &["newIccid"], true, true),
        ("DeviceAndPSIM", &["newPei", "newIccid"], true, true),
        ("DeviceAndeSIM", &["newPei"], true, true),
        ("DeviceAndeSIM", &["newPei", "eSimDeliveryMethod"], true, true),
        ("DeviceAndeSIM", &["newPei", "newEid"], true, true),
        ("DeviceAndeSIM", &["newPei", "newIccid", "newEid", "eSimDeliveryMethod"], true, true),
        ("DeviceOnly", &["newPei", "newIccid"], false, true),
        ("DeviceOnly", &["newPei", "newEid"], false, true),
        ("PSIMOnly", &["newIccid", "newPei"], false, true),
        ("PSIMOnly", &["newIccid", "eSimDeliveryMethod"], false, true),
        ("DeviceAndPSIM", &["newPei", "newIccid", "newEid"], false, true),
        ("DeviceAndeSIM", &["newPei", "eSIMDeliveryMethod"], false, true),
        ("DeviceOnly", &[], false, false),
        ("PSIMOnly", &[], false, false),
        ("DeviceAndPSIM", &["newPei"], false, false),
        ("DeviceAndPSIM", &["newIccid"], false, false),
        ("DeviceAndeSIM", &["newEid"], false, false),
        ("EsimOnly", &["newPei"], false, false),
    ] {
        assert_eq!(both(CallName::Change, &change(kind, fields)), (strict, lenient), "{kind} {fields:?}");
    }
}

#[test]
fn a_blocklist_change_needs_the_number() {
    let body = json!({"gpsi": "19459986891", "pei": "2288151828896431", "action": "Add"});
    let read = read(CallName::BlockList, &body, true).unwrap();
    assert!(matches!(read, SpsWrite::BlockList { add: true, .. }));
    for field in ["gpsi", "pei", "action"] {
        assert_eq!(
            both(CallName::BlockList, &with(body.clone(), field, Value::Null)),
            (false, false),
            "{field}"
        );
    }
    let with_iccid = with(body, "gpsi", Value::Null);
    let with_iccid = with(with_iccid, "iccid", json!("11986621644523024501"));
    assert_eq!(both(CallName::BlockList, &with_iccid), (false, false));
}
