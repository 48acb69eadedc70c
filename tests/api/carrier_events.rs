//! What a carrier posts: opened by its signature alone.

use reqwest::Method;
use serde_json::{Value as Json, json};
use simdepot_carrier_twin::Webhook;
use simdepot_carrier_twin::webhook::SIGNATURE_HEADER;
use simdepot_domain::secret::Secret;
use simdepot_tests::app::{Answer, AppOptions, Ask, TestLine};
use simdepot_tests::depot::{ACCOUNT, WEBHOOK_SECRET};
use simdepot_tests::{TestApp, TestDatabase};

/// The secret of the account is this test's own: a deployment has another.
async fn app(rate_limit: Option<u32>) -> Option<TestApp> {
    TestApp::in_process(TestDatabase::sqlite(), AppOptions { rate_limit, ..AppOptions::default() }).await
}

fn unsigned(app: &TestApp, account: &str, body: &[u8]) -> Ask {
    let path = format!("/carrier-events/{account}");
    app.ask(Method::POST, &path).without_key().body("application/json", body)
}

fn signed(app: &TestApp, account: &str, body: &[u8]) -> Ask {
    let webhook = Webhook::new("http://nowhere", Secret::new(WEBHOOK_SECRET)).unwrap();
    unsigned(app, account, body).header(SIGNATURE_HEADER, &webhook.signature(body))
}

async fn post(app: &TestApp, event: &Json) -> Answer {
    signed(app, ACCOUNT, event.to_string().as_bytes()).send().await
}

fn downloaded(line: &TestLine, id: &str) -> Json {
    let at = "2026-11-21T18:00:00Z";
    let eid = "89049032123451234512345678901235";
    json!({
        "header": {"eventId": id, "eventType": "SIM-MANAGEMENT/ESIM/DOWNLOADED", "eventDate": at},
        "body": {"simSerial": line.iccid, "eid": eid},
    })
}

#[tokio::test]
async fn an_event_is_kept_once_and_applied() {
    let Some(app) = app(None).await else { return };
    let lines = app.deliver(2).await;
    let event = downloaded(&lines[0], "event-1");
    for _ in 0..3 {
        let answer = post(&app, &event).await.expect_status(204);
        assert!(answer.body.is_empty());
    }
    let path = format!("/v1/profiles/{}", lines[0].iccid);
    let seen = app.wait_until(&path, |profile| profile["stock_status"] == "quarantined").await;
    assert_eq!(
        (&seen["esim_status"], &seen["quarantine_reason"]),
        (&json!("downloaded"), &json!("seen_in_use"))
    );
    assert_eq!(seen["esim_source"], "event");
    let path = format!("/v1/profiles/{}", lines[1].iccid);
    assert_eq!(app.get(&path).send().await.expect_status(200).json()["stock_status"], "available");
    app.finish().await;
}

#[tokio::test]
async fn nothing_is_kept_without_the_signature() {
    let Some(app) = app(None).await else { return };
    let line = app.deliver(1).await.remove(0);
    let event = downloaded(&line, "event-1").to_string();
    let other = downloaded(&line, "event-2").to_string();
    unsigned(&app, ACCOUNT, event.as_bytes()).send().await.expect_problem(401, "unauthenticated");
    let moved =
        Webhook::new("http://nowhere", Secret::new(WEBHOOK_SECRET)).unwrap().signature(other.as_bytes());
    let forged = unsigned(&app, ACCOUNT, event.as_bytes()).header(SIGNATURE_HEADER, &moved);
    forged.clone().send().await.expect_problem(401, "unauthenticated");
    // Two values: nobody could say which one was checked.
    let right = signed(&app, ACCOUNT, event.as_bytes());
    right.header(SIGNATURE_HEADER, "sha256=00").send().await.expect_problem(401, "unauthenticated");
    signed(&app, "elsewhere", event.as_bytes()).send().await.expect_problem(404, "not-found");
    signed(&app, "No-Account", event.as_bytes()).send().await.expect_problem(404, "not-found");
    signed(&app, ACCOUNT, &vec![b'x'; (256 << 10) + 1]).send().await.expect_problem(413, "payload-too-large");
    app.ask(Method::GET, "/carrier-events/spc").send().await.expect_problem(405, "method-not-allowed");
    let at_rest = app.bytes_at_rest().unwrap();
    for id in ["event-1", "event-2"] {
        assert!(!at_rest.windows(id.len()).any(|bytes| bytes == id.as_bytes()), "{id} was kept");
    }
    // What is authentic is kept, whether or not it can be read, and its body lies sealed.
    signed(&app, ACCOUNT, b"not JSON: SECRET-INSIDE").send().await.expect_status(204);
    let at_rest = app.bytes_at_rest().unwrap();
    assert!(!at_rest.windows(13).any(|bytes| bytes == b"SECRET-INSIDE"));
    app.finish().await;
}

#[tokio::test]
async fn carriers_have_no_rate() {
    let Some(app) = app(Some(1)).await else { return };
    let body = downloaded(&TestLine::new(), "event-1").to_string();
    for _ in 0..30 {
        signed(&app, ACCOUNT, body.as_bytes()).send().await.expect_status(204);
    }
    // Others do: whatever is wrong with what they send counts.
    let (mut refused, unknown) = (0, unsigned(&app, "elsewhere", b"{}"));
    loop {
        let answer =
            if refused % 2 == 0 { unknown.clone() } else { unsigned(&app, ACCOUNT, b"{}") }.send().await;
        if answer.status == 429 {
            answer.expect_problem(429, "rate-limited");
            break;
        }
        assert_eq!(answer.status, if refused % 2 == 0 { 404 } else { 401 });
        refused += 1;
        assert!(refused < 500, "there is no limit");
    }
    signed(&app, ACCOUNT, body.as_bytes()).send().await.expect_status(204);
    app.finish().await;
}
