//! What a supervisor asks.

use reqwest::Method;
use serde_json::json;
use simdepot_tests::TestApp;
use simdepot_tests::app::unique;

use crate::{PRODUCT, order_with};

#[tokio::test]
async fn the_process_lives_and_can_serve() {
    let app = TestApp::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = app.get(path).without_key().send().await.expect_status(200);
        assert_eq!(answer.json(), json!({"status": "ok"}));
    }
    app.finish().await;
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let app = TestApp::start().await;
    for path in ["/livez", "/openapi.json", "/v1/pools"] {
        let head = app.ask(Method::HEAD, path).try_send().await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        let get = app.get(path).send().await.expect_status(200);
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn metrics_count_without_naming_anybody() {
    let app = TestApp::start().await;
    if app.twin().is_none() {
        return app.finish().await;
    }
    let line = app.deliver(1).await.remove(0);
    let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
    app.post("/v1/orders", &body).send().await.expect_status(201);
    let paths = ["", "/activation", "/qr.svg", "/qr.png", "/bundles"];
    for path in paths {
        app.get(&format!("/v1/profiles/{}{path}", line.iccid)).send().await.expect_status(200);
    }
    app.get(&format!("/v1/nothing/{}", line.iccid)).send().await.expect_problem(404, "not-found");
    let answer = app.get("/metrics").without_key().send().await.expect_status(200);
    let text = answer.text();
    for path in paths {
        let route = format!("route=\"/v1/profiles/{{iccid}}{path}\"");
        assert!(text.contains(&route), "{route} is not counted");
    }
    assert!(text.contains("route=\"unmatched\"") && text.contains("simdepot_http_request_seconds"));
    for secret in [line.iccid.as_str(), &line.msisdn, line.matching_id(), &app.key] {
        assert!(!text.contains(secret), "a metric names {secret}");
    }
    app.finish().await;
}
