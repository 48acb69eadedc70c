use serde_json::json;

use super::*;
use crate::sps::testing::{Bench, PHONE, at};
use crate::sps::{Reading, SpsConfig, SpsTwin};

const READ: &str = "/blockListIndicator?pei=2288151828896431";

#[test]
fn unknown_urls_methods_and_media_types_are_told_apart() {
    let mut bench = Bench::new();
    bench.get_refused("/nowhere", 404, "NOT_FOUND");
    bench.get_refused("/activate", 405, "METHOD_NOT_ALLOWED");
    let reply = bench.post(READ, &json!({}));
    assert_eq!(reply.status(), Some(405));
    let reply = bench.call(TwinRequest::new("POST", "/activate").with_header("content-type", "text/plain"));
    assert_eq!(
        (reply.status(), &reply.json().unwrap()["code"]),
        (Some(415), &json!("UNSUPPORTED_MEDIA_TYPE"))
    );
    assert_eq!(bench.post("/activate", &json!([])).status(), Some(400));
}

#[test]
fn s2_a_correlation_id_is_a_uuid_only_when_the_switch_says_so() {
    let mut bench = Bench::new();
    let ask = |bench: &mut Bench, id: &str| {
        bench.call(TwinRequest::new("GET", READ).with_header("X-Correlation-Id", id)).status()
    };
    let uuid = "7f9c24e8-3b12-4fef-91e0-5f2c7d0a1b3c";
    for (id, lax, strict) in [("TQA20210903155950999", 200, 400), (uuid, 200, 200), ("", 400, 400)] {
        bench.twin.assumptions_mut().strict_uuid = false;
        assert_eq!(ask(&mut bench, id), Some(lax), "{id}");
        bench.twin.assumptions_mut().strict_uuid = true;
        assert_eq!(ask(&mut bench, id), Some(strict), "{id}");
    }
}

#[test]
fn the_customer_is_the_accounts_or_none() {
    let mut bench = Bench::new();
    for (customer, status) in
        [("920000108464", 200), ("920000108465", 400), ("9200001084640", 400), ("", 400)]
    {
        let request = TwinRequest::new("GET", READ).with_header("wholesaleCustomerId", customer);
        assert_eq!(bench.call(request).status(), Some(status), "{customer}");
    }
}

#[test]
fn s15_too_many_requests_in_a_second_are_429() {
    let mut bench = Bench::assume(&json!({"rate_limit_per_second": 2, "retry_after_seconds": 3}));
    bench.get_ok(READ);
    bench.get_ok(READ);
    let reply = bench.get(READ);
    assert_eq!((reply.status(), reply.header("retry-after")), (Some(429), Some("3")));
    assert_eq!(reply.json().unwrap()["code"], "TOO_MANY_REQUESTS");
}

#[test]
fn writes_are_where_the_configuration_says() {
    let config = SpsConfig {
        activate: "POST /v5/subscription".parse().unwrap(),
        status: "PATCH /v5/subscription".parse().unwrap(),
        token_path: "/token".to_owned(),
        ..SpsConfig::sandbox()
    };
    let mut twin = SpsTwin::new(config);
    let call = |twin: &SpsTwin, method: &str, path: &str| {
        twin.route(&TwinRequest::new(method, path)).as_ref().map(Route::call)
    };
    assert_eq!(call(&twin, "POST", "/v5/subscription"), Some(CallName::Activate));
    assert_eq!(call(&twin, "PATCH", "/v5/subscription"), Some(CallName::Status));
    assert_eq!(call(&twin, "PUT", "/v5/subscription"), None);
    assert_eq!(call(&twin, "POST", "/activate"), None);
    assert_eq!(call(&twin, "POST", "/token"), Some(CallName::Token));
    assert_eq!(twin.handle(at(0), &TwinRequest::new("POST", "/oauth/token")).status(), Some(401));
}

#[test]
fn the_blocklist_takes_a_device_in_any_form_and_lets_it_go() {
    let mut bench = Bench::new();
    let line = bench.active();
    let change = |action: &str| json!({"gpsi": line.gpsi, "pei": PHONE, "action": action});
    for (action, blocked) in [("Add", true), ("Add", true), ("Remove", false), ("Remove", false)] {
        bench.done("/blockList", &change(action));
        let other_version = format!("{}99", PHONE.get(..14).unwrap());
        let read = bench.get_ok(&format!("/blockListIndicator?pei={other_version}"));
        assert_eq!(read, json!({"blockListIndicator": blocked}));
    }
    bench.refused(
        "/blockList",
        &json!({"gpsi": "19999999999", "pei": PHONE, "action": "Add"}),
        404,
        "SUBSCRIPTION_NOT_FOUND",
    );
    bench.get_refused("/blockListIndicator", 400, "BAD_REQUEST");
    let by_sim = format!("/blockListIndicator?pei={}", line.iccid);
    bench.get_refused(&by_sim, 400, "BAD_REQUEST");
    bench.twin.assumptions_mut().reading = Reading::Lenient;
    bench.get_refused(&by_sim, 404, "DEVICE_NOT_FOUND");
    bench.twin.set_device(&line.iccid, Some(PHONE), at(0)).unwrap();
    bench.twin.block_device(PHONE, true);
    assert_eq!(bench.get_ok(&by_sim), json!({"blockListIndicator": true}));
}

#[test]
fn uuids_are_recognised() {
    assert!(is_uuid("00000000-0000-0000-0000-00000000000F"));
    for bad in ["", "x", "00000000-0000-0000-0000-00000000000G", "00000000-0000-0000-0000-0000000000000"] {
        assert!(!is_uuid(bad), "{bad}");
    }
}
