use proptest::prelude::*;
use serde_json::json;

use simdepot_domain::carrier_event::{LineChange, LineNews};
use simdepot_domain::line::SuspendedBy;
use simdepot_domain::sim::SimStatus;

use super::*;

fn parse(bytes: &[u8]) -> Result<CarrierEvent, UnreadableEvent> {
    super::parse(bytes, &LineSettings::default())
}

const ICCID: &str = "8988247000000000017";
const EID: &str = "89034011560010000000000000000121";

fn read(event_type: &str, body: &Value) -> CarrierEvent {
    let header =
        json!({ "eventId": "e-1", "eventType": event_type, "eventDate": "2026-03-10T08:00:00.000Z" });
    parse(json!({ "header": header, "body": body }).to_string().as_bytes()).unwrap()
}

fn product_body() -> Value {
    json!({
        "mvnoRef": "M2MA_WW_TSL_ACME",
        "cos": "WW_M2MA_COS_SPC",
        "msisdn": "33700000001",
        "iccid": ICCID,
        "externalReference": "op_1",
        "productSubscription": {
            "subscriptionId": "s-1",
            "subscriptionDate": "2026-03-09T00:00:00Z",
            "activationDate": null,
            "expirationDate": "2026-09-09T00:00:00Z",
            "productDefinition": { "productId": "P", "tags": [], "fieldOfTomorrow": {} },
        },
    })
}

#[test]
fn reads_a_product_event_whole() {
    insta::assert_debug_snapshot!(read("OCS/PRODUCT/PRELOADED", &product_body()));
}

#[test]
fn types_in_our_words() {
    use BundleStatus::{Active, Exhausted, Expired, Preloaded, Ready, Terminated};
    for (event_type, expected) in [
        ("OCS/PRODUCT/PRELOADED", Some(Preloaded)),
        ("OCS/PRODUCT/DEFERRED", Some(Ready)),
        ("OCS/PRODUCT/ACTIVATED", Some(Active)),
        ("ocs/product/activated", Some(Active)),
        ("OCS/PRODUCT/RENEWED", Some(Active)),
        ("OCS/PRODUCT/CANCELED", Some(Active)),
        ("OCS/PRODUCT/CANCELLED", Some(Active)),
        ("OCS/PRODUCT/EXPIRED", Some(Expired)),
        ("OCS/PRODUCT/TERMINATED", Some(Terminated)),
        ("OCS/PRODUCT/RESOURCE/EXHAUSTED", Some(Exhausted)),
        ("OCS/RESOURCE/EXHAUSTED", Some(Exhausted)),
        ("OCS/PRODUCT/RESOURCE/THRESHOLD", None),
        ("OCS/RESOURCE/THRESHOLD", None),
        ("OCS/PRODUCT/FUTURE", None),
        ("OCS/PRODUCT", None),
        ("OCS/PRODUCT/ACTIVATED/TWICE", None),
        ("DATA-SAFEGUARD/ACTIVATED", None),
    ] {
        let status = match read(event_type, &product_body()).news {
            News::Bundle(news) => news.status,
            News::Nothing => None,
            other => panic!("{event_type}: {other:?}"),
        };
        assert_eq!(status, expected, "{event_type}");
    }
}

#[test]
fn what_is_not_clear_about_a_plan_is_no_news() {
    let changed = |change: fn(&mut Value)| {
        let mut body = product_body();
        change(&mut body);
        body
    };
    let walled = changed(|body| {
        body["productSubscription"]["productDefinition"]["tags"] = json!(["walled_garden"]);
    });
    let nameless = changed(|body| body["productSubscription"]["subscriptionId"] = Value::Null);
    let hostile = changed(|body| body["productSubscription"]["subscriptionId"] = json!("a\u{0}b"));
    for body in [walled, nameless, hostile, json!({}), json!([]), json!("x"), Value::Null] {
        assert_eq!(read("OCS/PRODUCT/ACTIVATED", &body).news, News::Nothing, "{body}");
    }
    let voice = json!({ "subscriptionId": "s-1", "resourceUnit": "SECOND" });
    assert_eq!(read("OCS/PRODUCT/RESOURCE/EXHAUSTED", &voice).news, News::Nothing);
    let data = json!({ "subscriptionId": "s-1", "resourceUnit": "KB" });
    assert!(matches!(read("OCS/PRODUCT/RESOURCE/EXHAUSTED", &data).news, News::Bundle(_)));
    let all_plans = json!({ "msisdn": "33700000001" });
    assert_eq!(read("OCS/RESOURCE/EXHAUSTED", &all_plans).news, News::Nothing);
}

#[test]
fn profiles_and_their_devices() {
    let of = |suffix: &str, body: Value| read(&format!("SIM-MANAGEMENT/ESIM/{suffix}"), &body).news;
    for (suffix, status) in [
        ("RELEASED", EsimStatus::Released),
        ("DOWNLOADED", EsimStatus::Downloaded),
        ("INSTALLED", EsimStatus::Installed),
        ("ENABLED", EsimStatus::Enabled),
        ("DISABLED", EsimStatus::Disabled),
        ("DELETED", EsimStatus::Deleted),
    ] {
        assert_eq!(of(suffix, json!({ "simSerial": ICCID })), News::Esim(status, None), "{suffix}");
    }
    let eid = Eid::parse(EID).unwrap();
    assert_eq!(of("INSTALLED", json!({ "eid": EID })), News::Esim(EsimStatus::Installed, Some(eid)));
    assert_eq!(of("INSTALLED", json!({ "eid": "12" })), News::Esim(EsimStatus::Installed, None));
    assert_eq!(of("ERROR", json!({ "eid": EID })), News::Nothing);
    assert_eq!(of("MELTED", json!({})), News::Nothing);
}

#[test]
fn lines_by_the_type_unless_the_transaction_failed() {
    let of = |suffix: &str, status: Value| {
        let body = json!({ "transactionId": "t", "simSerial": ICCID, "status": status, "source": "api" });
        read(&format!("CONNECTIVITY-MANAGEMENT/SUBSCRIBER/{suffix}"), &body).news
    };
    for (suffix, status, expected) in [
        ("ACTIVATED", json!("Active"), Some(SimStatus::Active)),
        ("ACTIVATED", json!("DONE"), Some(SimStatus::Active)),
        ("ACTIVATED", Value::Null, Some(SimStatus::Active)),
        ("ACTIVATED", json!({ "code": "KO" }), Some(SimStatus::Active)),
        ("REACTIVATED", json!("OK"), Some(SimStatus::Active)),
        ("SUSPENDED", json!("Suspended"), Some(SimStatus::Suspended)),
        ("TERMINATED", json!("Terminated"), Some(SimStatus::Terminated)),
        ("ACTIVATED", json!("FAILED"), None),
        ("ACTIVATED", json!("Failure"), None),
        ("SUSPENDED", json!("ERROR"), None),
        ("TERMINATED", json!("KO"), None),
        ("TERMINATED", json!("Rejected"), None),
        ("ACTIVATED", json!("PENDING"), None),
        ("ACTIVATED", json!("in_progress"), None),
        ("MODIFIED", json!("DONE"), None),
        ("PREACTIVATED", json!("DONE"), Some(SimStatus::Preactivated)),
        ("MSISDN/SWAPPED", json!("DONE"), None),
        ("TESTMODE", json!("DONE"), Some(SimStatus::TestMode)),
        ("TEST_MODE/STARTED", Value::Null, Some(SimStatus::TestMode)),
        ("Test-Mode/Ended", json!("Active"), Some(SimStatus::Active)),
        ("TESTMODE/ENDED", json!("DONE"), None),
        ("TARIFF_HOLIDAY", Value::Null, Some(SimStatus::TariffHoliday)),
        ("TARIFF_HOLIDAY", json!("Active"), Some(SimStatus::Active)),
        ("TARIFF/HOLIDAY/SCHEDULED", json!("DONE"), None),
        ("TARIFF-HOLIDAY/FINISHED", json!("Active"), Some(SimStatus::Active)),
        ("ROAMING/ALERT", json!("Active"), None),
    ] {
        let told = match of(suffix, status.clone()) {
            News::Line(news) => news.sim_status,
            News::Nothing => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(told, expected, "{suffix} {status}");
    }
}

fn line(suffix: &str, body: &Value) -> Option<LineNews> {
    match read(&format!("CONNECTIVITY-MANAGEMENT/SUBSCRIBER/{suffix}"), body).news {
        News::Line(news) => Some(news),
        News::Nothing => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_happened_to_a_line_and_by_which_transaction() {
    use LineChange::{
        Activated, Modified, MsisdnSwapped, Preactivated, Reactivated, SimSwapped, TariffHoliday, TestMode,
    };
    let body = json!({ "simSerial": ICCID, "transactionId": "t-1", "status": "DONE" });
    for (suffix, change) in [
        ("ACTIVATED", Activated),
        ("MODIFIED", Modified),
        ("MSISDN/SWAPPED", MsisdnSwapped),
        ("SIMCARD/SWAPPED", SimSwapped),
        ("SIM_CARD/SWAPPED", SimSwapped),
        ("PREACTIVATED", Preactivated),
        ("PRE-ACTIVATED", Preactivated),
        ("TEST_MODE", TestMode),
        ("TESTMODE/EXPIRED", Activated),
        ("TARIFF_HOLIDAY/SCHEDULED", TariffHoliday),
        ("TARIFFHOLIDAY/ENDED", Reactivated),
    ] {
        let news = line(suffix, &body).unwrap();
        assert_eq!((news.change, news.transaction.as_deref()), (change, Some("t-1")), "{suffix}");
        assert_eq!(news.failed, None);
    }
    for suffix in ["ROAMING/ALERT", "PORTABILITY/DONE", "", "ACTIVATED/TWICE"] {
        assert_eq!(line(suffix, &body), None, "{suffix}");
    }
}

#[test]
fn a_failed_transaction_tells_why_and_no_status() {
    let failed = |suffix: &str, body: Value| line(suffix, &body).and_then(|news| news.failed);
    for (body, expected) in [
        (json!({ "transactionStatus": "ERROR" }), "ERROR"),
        (json!({ "status": "Failure", "errorMessage": "no such group" }), "no such group"),
        (json!({ "status": "KO", "errorCode": "UNKNOWN_GROUP" }), "UNKNOWN_GROUP"),
        (json!({ "status": "Active", "transactionStatus": "REJECTED" }), "REJECTED"),
    ] {
        assert_eq!(failed("ACTIVATED", body.clone()).as_deref(), Some(expected), "{body}");
        assert_eq!(line("ACTIVATED", &body).unwrap().sim_status, None);
    }
    for pending in ["PENDING", "in_progress", "Pending activation"] {
        assert_eq!(line("ACTIVATED", &json!({ "status": pending })), None, "{pending}");
    }
    let mut settings = LineSettings::default();
    settings.transaction_failed.push("MELTED".to_owned());
    let header = json!({ "eventId": "e", "eventType": "CONNECTIVITY-MANAGEMENT/SUBSCRIBER/MODIFIED" });
    let event = json!({ "header": header, "body": { "transactionStatus": "melted" } }).to_string();
    let event = super::parse(event.as_bytes(), &settings).unwrap();
    assert!(matches!(event.news, News::Line(LineNews { failed: Some(_), .. })));
}

#[test]
fn who_suspended_it() {
    let by = |suffix: &str, body: Value| line(suffix, &body).unwrap().suspended_by;
    assert_eq!(by("SUSPENDED", json!({ "suspendedBy": "automatic" })), Some(SuspendedBy::Automatic));
    let by_provider = json!({ "status": "Suspended by the provider" });
    assert_eq!(by("SUSPENDED", by_provider), Some(SuspendedBy::Operator));
    assert_eq!(by("SUSPENDED", json!({})), None);
    assert_eq!(by("ACTIVATED", json!({ "suspendedBy": "automatic" })), None);
}

#[test]
fn a_threshold_of_one_plan_is_worth_a_look() {
    for event_type in ["OCS/PRODUCT/RESOURCE/THRESHOLD", "OCS/PRODUCT/RESOURCE/THRESHOLD_REACHED"] {
        let News::Bundle(news) = read(event_type, &product_body()).news else { panic!("{event_type}") };
        assert_eq!((news.subscription_id.as_str(), news.status), ("s-1", None));
    }
    assert_eq!(read("OCS/RESOURCE/THRESHOLD", &json!({ "msisdn": "33700000001" })).news, News::Nothing);
}

#[test]
fn sim_and_line_in_every_dress() {
    let named = |body: Value| {
        let event = read("ANY", &body);
        (event.iccid.map(|iccid| iccid.to_string()), event.msisdn.map(|msisdn| msisdn.to_string()))
    };
    let sim = Some(ICCID.to_owned());
    let line = Some("33700000001".to_owned());
    assert_eq!(named(json!({ "iccid": ICCID, "msisdn": "+33700000001" })), (sim.clone(), line.clone()));
    assert_eq!(named(json!({ "simSerial": ICCID, "msisdn": 33_700_000_001u64 })), (sim.clone(), line));
    assert_eq!(named(json!({ "iccid": "x", "simSerial": ICCID, "msisdn": "12" })), (sim, None));
    assert_eq!(named(json!({ "iccid": ["x"], "simSerial": {} })), (None, None));
}

#[test]
fn dates_that_make_sense() {
    let at = |date: Value| {
        let header = json!({ "eventId": "e", "eventType": "T", "eventDate": date });
        parse(json!({ "header": header }).to_string().as_bytes()).unwrap().at.map(|at| at.to_rfc3339())
    };
    let expected = Some("2026-03-10T08:00:00+00:00".to_owned());
    assert_eq!(at(json!("2026-03-10T08:00:00.000Z")), expected);
    assert_eq!(at(json!("2026-03-10T09:00:00+0100")), expected);
    assert_eq!(at(json!("0001-01-01T00:00:00Z")), None);
    assert_eq!(at(json!("+99999-01-01T00:00:00Z")), None);
    assert_eq!(at(json!(1_773_129_600)), None);
}

#[test]
fn without_id_or_type_it_is_unreadable_and_not_quoted() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!(r#"{{"header":{{"eventId":"e","eventType":"T"}},"body":{deep}}}"#);
    let long = format!(r#"{{"header":{{"eventId":"{}","eventType":"T"}}}}"#, "x".repeat(256));
    for text in [
        "",
        "SESAME",
        "[]",
        "null",
        "{}",
        r#"{"header":"SESAME"}"#,
        r#"{"header":{"eventType":"T"},"body":{"note":"SESAME"}}"#,
        r#"{"header":{"eventId":"e"}}"#,
        r#"{"header":{"eventId":"","eventType":"T"}}"#,
        r#"{"header":{"eventId":{"a":1},"eventType":"T"}}"#,
        r#"{"header":{"eventId":"a\u0000b","eventType":"T"}}"#,
        &long,
        &deep,
        &nested,
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SESAME"), "{error}");
    }
    assert!(parse(b"\xff\xfe").is_err());
}

#[test]
fn a_huge_body_is_read_past() {
    let mut body = product_body();
    body["notes"] = json!(vec!["x".repeat(1000); 1000]);
    body["productSubscription"]["more"] = json!({ "a": vec![0; 10_000] });
    assert!(matches!(read("OCS/PRODUCT/ACTIVATED", &body).news, News::Bundle(_)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
        "[0-9+]{0,33}".prop_map(Value::from),
        "[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z".prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("iccid"),
        Just("simSerial"),
        Just("msisdn"),
        Just("eid"),
        Just("status"),
        Just("transactionId"),
        Just("suspendedBy"),
        Just("error"),
        Just("externalReference"),
        Just("productSubscription"),
        Just("subscriptionId"),
        Just("activationDate"),
        Just("productDefinition"),
        Just("productId"),
        Just("tags"),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_type() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "OCS/PRODUCT/ACTIVATED",
        "OCS/PRODUCT/RESOURCE/EXHAUSTED",
        "SIM-MANAGEMENT/ESIM/ENABLED",
        "CONNECTIVITY-MANAGEMENT/SUBSCRIBER/SUSPENDED",
        "CONNECTIVITY-MANAGEMENT/SUBSCRIBER/TARIFF_HOLIDAY",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "[A-Z/-]{1,40}"]
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // Not a panic is all that is asked; random bytes are hardly ever an event.
        let _ = parse(&bytes);
    }

    #[test]
    fn any_body_is_an_event_when_it_has_an_id(event_type in any_type(), body in any_json(), date in any_json()) {
        let header = json!({ "eventId": "e", "eventType": event_type, "eventDate": date });
        let event = parse(json!({ "header": header, "body": body }).to_string().as_bytes()).unwrap();
        prop_assert_eq!((event.id.as_str(), event.event_type.as_str()), ("e", event_type.trim()));
        if let News::Bundle(news) = event.news {
            prop_assert!(!news.subscription_id.is_empty() && !news.subscription_id.contains('\0'));
        }
    }
}
