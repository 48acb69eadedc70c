//! Errors that concern every operation: one shape, the right status, nothing of the request repeated.

use reqwest::Method;
use serde_json::{Value as Json, json};
use simdepot_tests::TestApp;
use simdepot_tests::app::{Contract, text, unique};

use crate::checked::assert_body;
use crate::{fields_of, order, required_query};

#[tokio::test]
async fn a_body_that_is_none_is_told_from_a_wrong_one() {
    let app = TestApp::start().await;
    let send = |content_type: &'static str, body: &str| {
        app.ask(Method::POST, "/v1/orders").body(content_type, body).send()
    };
    for body in ["", "{", "nonsense", "{\"reference\": \"a\"} x", "{\"reference\": \"\u{1}\"}"] {
        let problem = send("application/json", body).await;
        assert!(matches!(problem.status, 400 | 422), "{problem:?}");
    }
    let problem = send("application/json", "{\"reference\":").await.expect_problem(400, "malformed-body");
    assert_body!(&app, "malformed_body", &problem);
    let invalid =
        app.ask(Method::POST, "/v1/orders").body("application/json", b"{\"reference\": \"\xff\"}".to_vec());
    invalid.send().await.expect_problem(400, "malformed-body");
    for content_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"] {
        send(content_type, "{}").await.expect_problem(415, "unsupported-media-type");
    }
    let body = order(&unique("order"), &app.pool, 1).to_string();
    let encoded = app.ask(Method::POST, "/v1/orders").body("application/json", body.clone());
    encoded.header("Content-Encoding", "gzip").send().await.expect_problem(415, "unsupported-media-type");
    send("application/json; charset=utf-8", &body).await.expect_problem(409, "out-of-stock");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = send("application/json", &deep).await;
    assert!(matches!(deep.status, 400 | 422), "{deep:?}");
    app.finish().await;
}

/// What cannot be an id is no secret to anybody: the answer tells what one looks like.
#[tokio::test]
async fn what_a_path_lacks_is_said() {
    let app = TestApp::start().await;
    for (path, words) in [
        ("/v1/orders/ORD_1", "the id in the path is not valid: expected an id such as ord_"),
        (
            "/v1/holds/ord_01h455vb4pex5vsknk084sn02q",
            "the id in the path is not valid: expected an id such as hold_",
        ),
        ("/v1/profiles/%ff", "the iccid in the path is not valid: ICCID "),
        ("/v1/pools/%E2%82%AC", "the pool in the path is not valid: a pool name is 1 to 63 characters"),
        ("/v1/nothing", "there is no such path"),
    ] {
        let problem = app.get(path).send().await.expect_problem(404, "not-found");
        let detail = text(&problem, "/detail");
        assert!(detail.starts_with(words), "{path}: {detail}");
        assert!(!detail.contains("ORD_1") && !detail.contains('€'), "{path}: {detail}");
    }
    app.finish().await;
}

/// The object at a pointer of a body as an array of its values, for every object that is not free in its form.
fn positional(body: &Json, pointer: &str, found: &mut Vec<(String, Json)>, whole: &Json) {
    match body {
        Json::Object(fields) => {
            let mut changed = whole.clone();
            *changed.pointer_mut(pointer).unwrap() = fields.values().cloned().collect();
            found.push((pointer.to_owned(), changed));
            let fields = fields
                .iter()
                .filter(|(name, _)| !["activation", "carrier_parameters"].contains(&name.as_str()));
            fields.for_each(|(name, field)| positional(field, &format!("{pointer}/{name}"), found, whole));
        }
        Json::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, item)| positional(item, &format!("{pointer}/{index}"), found, whole));
        }
        _ => {}
    }
}

/// The order of our fields is nobody's business.
#[tokio::test]
async fn an_array_is_no_object() {
    let app = TestApp::start().await;
    let key = json!(["n", "c", ["storefront"]]);
    let problem = app.post("/v1/api-keys", &key).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("", "type")]);
    assert_eq!(problem["detail"], "the body must be an object");
    let document = Contract::current().document();
    let (mut bodies, mut nested) = (0, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let reference = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(reference) = reference.as_str() else { continue };
            let example =
                document.pointer(&reference[1..]).unwrap().get("example").cloned().unwrap_or(json!({}));
            let real = path
                .replace("{iccid}", "8988247000000099990")
                .replace("{pool}", &unique("none"))
                .replace("{id}", "none")
                .replace("{bundle}", "none")
                .replace("{rate_plan}", "none")
                .replace("{name}", "none");
            let real = format!("{real}{}", required_query(document, operation));
            let mut wrong = vec![(String::new(), json!([]))];
            positional(&example, "", &mut wrong, &example);
            bodies += 1;
            for (pointer, body) in wrong {
                let answer = app.ask(method.to_uppercase().parse().unwrap(), &real).json(&body).send().await;
                // An id that is none is not there, whatever the body.
                if answer.status == 404 && (path.contains("{id}") || path.contains("{bundle}")) {
                    continue;
                }
                let problem = answer.expect_problem(422, "validation-failed");
                // Of a value that may have several forms the first field says which: what is wrong is told of that.
                let [(named, code)] = fields_of(&problem)[..] else {
                    panic!("{method} {path} {body}: {problem}")
                };
                let inside = named.starts_with(&format!("{pointer}/"));
                assert!(
                    (named, code) == (&pointer, "type") || inside,
                    "{method} {path} {body}: {named} {code}"
                );
                nested += usize::from(!pointer.is_empty());
            }
        }
    }
    assert!(bodies >= 15 && nested >= 1, "{bodies} {nested}");
    app.finish().await;
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let app = TestApp::start().await;
    let body = json!({"reference": "", "lines": [{"pool": app.pool, "quantity": 0}, {"pool": app.pool, "product": "", "quantity": 1001}]});
    let problem = app.post("/v1/orders", &body).send().await.expect_problem(422, "validation-failed");
    let pointers: Vec<_> = fields_of(&problem).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/lines/0/quantity", "/lines/1/product", "/lines/1/quantity", "/reference"]);
    assert_body!(&app, "validation_failed", &problem);
    let unknown = json!({"reference": "r", "lines": [{"pool": unique("none"), "quantity": 1}, {"pool": app.pool, "product": "NONE", "quantity": 1}]});
    let problem = app.post("/v1/orders", &unknown).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("/lines/0/pool", "unknown"), ("/lines/1/product", "unknown")]);
    app.finish().await;
}

#[tokio::test]
async fn a_wrong_path_is_told_from_a_wrong_method() {
    let app = TestApp::start().await;
    for path in [
        "/v1/nothing",
        "/v1",
        "/v1/",
        "/v1/orders/",
        "/v1/orders/a/b/c",
        "/v2/orders",
        "/nothing",
        "/v1/orders/%FF",
        "//v1/orders",
        "/v1/../v1/none",
    ] {
        app.get(path).send().await.expect_problem(404, "not-found");
    }
    for (method, path, allow) in [
        (Method::DELETE, "/v1/orders".to_owned(), "GET, HEAD, POST"),
        (Method::PUT, "/v1/orders".to_owned(), "GET, HEAD, POST"),
        (Method::POST, "/v1/orders/ord_01kamf2r8ye4ja3v6m1tbk7q5c".to_owned(), "GET, HEAD"),
        (Method::DELETE, format!("/v1/pools/{}", app.pool), "GET, HEAD, PATCH"),
        (Method::POST, "/livez".to_owned(), "GET, HEAD"),
        (Method::POST, "/openapi.json".to_owned(), "GET, HEAD"),
        (Method::from_bytes(b"BREW").unwrap(), "/v1/orders".to_owned(), "GET, HEAD, POST"),
    ] {
        let answer = app.ask(method.clone(), &path).send().await;
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        let problem = answer.expect_problem(405, "method-not-allowed");
        assert_eq!(problem["retryable"], false);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_request_has_one_name_everywhere() {
    let app = TestApp::start().await;
    for path in ["/livez", "/v1/pools", "/v1/nothing", "/v1/orders/ord_1"] {
        let answer = app.get(path).header("X-Request-Id", "mine-1").send().await;
        assert_eq!(answer.header("x-request-id"), Some("mine-1"), "{path}");
        if answer.status >= 400 {
            assert_eq!(answer.json()["request_id"], "mine-1");
        }
        let (first, second) = (app.get(path).send().await, app.get(path).send().await);
        let (first, second) = (first.header("x-request-id").unwrap(), second.header("x-request-id").unwrap());
        assert!(first != second && first.len() >= 16, "{first} {second}");
    }
    for bad in ["two words", &"x".repeat(65), "é"] {
        let answer = app.get("/livez").header("X-Request-Id", bad).send().await.expect_status(200);
        assert_ne!(answer.header("x-request-id"), Some(bad));
    }
    app.finish().await;
}

#[tokio::test]
async fn nothing_of_a_request_is_repeated_in_its_refusal() {
    let app = TestApp::start().await;
    let secret = "sd_live_0123456789abcdef";
    let body = json!({"reference": "r", "lines": [{"pool": secret, "quantity": secret}], secret: 1});
    let answer = app.post("/v1/orders", &body).key(secret).send().await;
    assert!(!answer.text().contains(secret));
    answer.expect_problem(401, "unauthenticated");
    let answer = app.get(&format!("/v1/orders/{secret}")).send().await;
    assert!(!answer.text().contains(secret));
    app.finish().await;
}
