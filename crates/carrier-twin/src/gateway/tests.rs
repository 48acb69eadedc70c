use serde_json::json;

use super::*;
use crate::testing::{Bench, at};

const ORDERS: &str = "/ocs/subscriptions/api/orders/products";
const SEARCH: &str = "/sim-search/api/sim/search";

#[test]
fn every_url_lists_its_methods() {
    let mut bench = Bench::new();
    for (path, methods) in [
        (ORDERS, "POST,OPTIONS"),
        (SEARCH, "GET,OPTIONS"),
        ("/ocs/catalog/api/cos/WW_M2MA_COS_SPC/products", "GET,OPTIONS"),
        ("/ocs/catalog/api/cos/WW_M2MA_COS_SPC/products/X", "GET,OPTIONS"),
        ("/ocs/inventory/api/subscriptions/products", "GET,OPTIONS"),
        ("/sim-management/sims/api/esims/sim-serial/8988247000000000000", "GET,OPTIONS"),
        ("/connectivity-management/subscribers/api/subscribers/sim-serial/8988247000000000000", "OPTIONS"),
        ("/authentication/api/token", "POST,OPTIONS"),
    ] {
        assert_eq!(bench.options(path), methods, "{path}");
    }
    assert_eq!(bench.call(TwinRequest::new("OPTIONS", "/ocs/nothing")).status(), Some(404));
}

#[test]
fn the_gateways_own_refusals() {
    let mut bench = Bench::new();
    let status = |bench: &mut Bench, request: TwinRequest| {
        let reply = bench.call(request);
        (reply.status().unwrap(), reply.json().unwrap()["title"].as_str().unwrap().to_owned())
    };
    let json_post = || TwinRequest::new("POST", ORDERS).with_json(&json!({}));
    for (request, expected, title) in [
        (TwinRequest::new("GET", "/nothing"), 404, "NOT_FOUND"),
        (TwinRequest::new("GET", ORDERS), 405, "METHOD_NOT_ALLOWED"),
        (TwinRequest::new("HEAD", SEARCH), 405, "METHOD_NOT_ALLOWED"),
        (TwinRequest::new("GET", "/authentication/api/token"), 405, "METHOD_NOT_ALLOWED"),
        (
            TwinRequest::new("GET", SEARCH).with_header("Accept", "text/csv, text/*;q=0.1"),
            406,
            "NOT_ACCEPTABLE",
        ),
        (TwinRequest::new("POST", ORDERS), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            TwinRequest::new("POST", "/authentication/api/token").with_json(&json!({})),
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (json_post(), 400, "BAD_REQUEST"),
    ] {
        assert_eq!(status(&mut bench, request), (expected, title.to_owned()));
    }
    let accepted = TwinRequest::new("GET", SEARCH).with_header("accept", "text/html, application/json;q=0.9");
    assert_eq!(bench.call(accepted).status(), Some(200));
}

#[test]
fn a14_no_limit_by_default_then_429_per_second() {
    let mut bench = Bench::new();
    bench.token();
    (0..50).for_each(|_| drop(bench.get_ok(SEARCH)));
    bench.twin.assumptions_mut().rate_limit_per_second = Some(2);
    let token = bench.token();
    let ask = |bench: &mut Bench, minute| {
        bench.twin.handle(at(minute), &TwinRequest::new("GET", SEARCH).with_bearer(&token))
    };
    let statuses: Vec<_> = (0..3).map(|_| ask(&mut bench, 1).status()).collect();
    assert_eq!(statuses, [Some(200), Some(200), Some(429)]);
    assert_eq!(ask(&mut bench, 1).header("retry-after"), None);
    bench.twin.assumptions_mut().retry_after_seconds = Some(3);
    let limited = ask(&mut bench, 1);
    assert_eq!(
        (limited.json().unwrap()["title"].as_str(), limited.header("retry-after")),
        (Some("TOO_MANY_REQUESTS"), Some("3"))
    );
    assert_eq!(ask(&mut bench, 2).status(), Some(200));
}

#[test]
fn a15_and_a16_error_type_and_unknown_fields_are_switches() {
    let mut bench = Bench::new();
    let reply = bench.call(TwinRequest::new("GET", "/nothing"));
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert!(
        reply.json().unwrap()["addedWithoutNotice"].is_object() && reply.header("x-tsl-request-id").is_some()
    );
    assert!(bench.get_ok(SEARCH)["addedWithoutNotice"].is_object());
    bench.twin.assumptions_mut().error_content_type = "text/plain".to_owned();
    bench.twin.assumptions_mut().unknown_fields = false;
    let reply = bench.call(TwinRequest::new("GET", "/nothing"));
    assert_eq!(reply.header("content-type"), Some("text/plain"));
    assert!(reply.json().unwrap().get("addedWithoutNotice").is_none());
    assert!(bench.get_ok(SEARCH).get("addedWithoutNotice").is_none());
}
