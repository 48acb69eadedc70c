//! Limits: sizes and rates.

use std::time::Duration;

use reqwest::Method;
use simdepot_tests::app::{AppOptions, unique};
use simdepot_tests::{TestApp, TestDatabase};

use crate::order;

#[tokio::test]
async fn a_body_is_at_most_a_mebibyte() {
    let app = TestApp::start().await;
    for path in ["/v1/orders", "/v1/pools", "/v1/api-keys", "/v1/profiles/8988247000000099990/retire"] {
        let body = format!("{{\"reference\": \"{}\"}}", "x".repeat(2 << 20));
        let refused = app.ask(Method::POST, path).body("application/json", body).send().await;
        refused.expect_problem(413, "payload-too-large");
    }
    // Just small enough: it is read, and found wrong.
    let body = format!("{{\"reference\": \"{}\"}}", "x".repeat((1 << 20) - 20));
    app.ask(Method::POST, "/v1/orders").body("application/json", body).send().await.expect_status(422);
    // The next request on the same client goes well.
    app.get("/v1/pools").send().await.expect_status(200);
    app.finish().await;
}

#[tokio::test]
async fn an_upload_has_a_limit_of_its_own() {
    let options = AppOptions { max_upload_bytes: Some(4096), ..AppOptions::default() };
    let Some(app) = TestApp::in_process(TestDatabase::sqlite(), options).await else { return };
    let long = format!("ICCID\n{}", "1234567890\n".repeat(500));
    app.import(long.clone()).send().await.expect_problem(413, "payload-too-large");
    let form = format!(
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n{long}\r\n--x--\r\n"
    );
    let path = format!("/v1/imports?pool={}", app.pool);
    let form = app.ask(Method::POST, &path).body("multipart/form-data; boundary=x", form);
    form.send().await.expect_problem(413, "payload-too-large");
    assert_eq!(app.spooled_files(), Some(0), "nothing is left lying");
    app.finish().await;
}

#[tokio::test]
async fn a_key_has_its_rate_and_supervision_none() {
    let options = AppOptions { rate_limit: Some(5), ..AppOptions::default() };
    let Some(app) = TestApp::in_process(TestDatabase::sqlite(), options).await else { return };
    let (_, busy) = app.new_key(&unique("channel"), &["stock"]).await;
    let (_, calm) = app.new_key(&unique("channel"), &["stock"]).await;
    let mut admitted = 0;
    let last = loop {
        let answer = app.get("/v1/pools").key(&busy).send().await;
        if answer.status == 429 {
            break answer;
        }
        answer.expect_status(200);
        admitted += 1;
        assert!(admitted < 500, "there is no limit");
    };
    // Ten seconds' worth at once, then five a second.
    assert!(admitted >= 50, "{admitted}");
    let wait: u64 = last.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    let problem = last.expect_problem(429, "rate-limited");
    assert_eq!(problem["retryable"], true);
    app.get("/v1/pools").key(&calm).send().await.expect_status(200);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        for _ in 0..60 {
            app.get(path).key(&busy).send().await.expect_status(200);
        }
    }
    tokio::time::sleep(Duration::from_secs(wait)).await;
    app.get("/v1/pools").key(&busy).send().await.expect_status(200);
    // Guessing keys is as slow.
    let mut guesses = 0;
    while app.get("/v1/pools").key("sd_live_guess").send().await.status == 401 {
        guesses += 1;
        assert!(guesses < 500, "keys can be guessed without end");
    }
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1))
        .send()
        .await
        .expect_problem(409, "out-of-stock");
    app.finish().await;
}
