//! Webhook endpoints: making, changing, refusing.

use serde_json::{Value as Json, json};
use simdepot_domain::webhook::Targets;
use simdepot_tests::app::{AppOptions, text, unique};
use simdepot_tests::{TestApp, TestDatabase};

use crate::checked::assert_body;
use crate::fields_of;

const PATH: &str = "/v1/webhook-endpoints";

/// Events that these tests do not cause: nothing is sent to the address.
fn body() -> Json {
    json!({
        "url": "https://shop.example.com/webhooks?token=x", "description": "web shop",
        "types": ["reconciliation.*", "feed.checkpoint"]
    })
}

/// How far the feed is differs from run to run.
fn without_position(mut endpoint: Json) -> Json {
    assert!(endpoint["position"].as_i64().is_some_and(|position| position >= 0), "{endpoint}");
    endpoint["position"] = json!("[position]");
    endpoint
}

#[tokio::test]
async fn the_secret_is_shown_once() {
    let app = TestApp::start().await;
    let ask = app.post(PATH, &body()).header("Idempotency-Key", &unique("webhook"));
    let made = ask.clone().send().await.expect_status(201);
    let (id, secret) = (text(&made.json(), "/id"), text(&made.json(), "/secret"));
    let path = format!("{PATH}/{id}");
    assert_eq!(made.header("location"), Some(path.as_str()));
    assert_body!(&app, "new_webhook_endpoint", &without_position(made.json()));
    let replayed = ask.send().await.expect_status(201);
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    assert_eq!((&replayed.json()["id"], &replayed.json()["secret"]), (&json!(id), &Json::Null));
    let read = app.get(&path).send().await.expect_status(200);
    assert!(read.json().get("secret").is_none() && !read.text().contains(&secret));
    let listed = app.get(&format!("{PATH}?limit=200")).send().await.expect_status(200);
    assert!(!listed.text().contains("whsec_"));
    let rows = listed.json()["data"].as_array().unwrap().clone();
    assert_eq!(rows.iter().filter(|row| row["id"] == json!(id)).count(), 1);
    let rotate = app.ask(reqwest::Method::POST, &format!("{path}/rotate-secret"));
    let rotate = rotate.header("Idempotency-Key", &unique("rotate"));
    let rotated = rotate.clone().send().await.expect_status(200).json();
    assert_ne!(text(&rotated, "/secret"), secret);
    assert_body!(&app, "rotated_webhook_endpoint", &without_position(rotated));
    let replayed = rotate.send().await.expect_status(200);
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    assert_eq!(replayed.json()["secret"], Json::Null);
    app.delete(&path).send().await.expect_status(204);
    app.finish().await;
}

#[tokio::test]
async fn a_channel_has_so_many_endpoints() {
    let app = TestApp::start().await;
    let (_, key) = app.new_key(&unique("channel"), &["events"]).await;
    let mut made = Vec::new();
    let refused = loop {
        let answer = app.post(PATH, &body()).key(&key).send().await;
        if answer.status != 201 {
            break answer.expect_problem(422, "validation-failed");
        }
        made.push(text(&answer.json(), "/id"));
    };
    assert_eq!(fields_of(&refused), [("", "limit")]);
    assert_eq!((made.len(), refused["retryable"].as_bool()), (20, Some(false)));
    for id in made {
        app.delete(&format!("{PATH}/{id}")).key(&key).send().await.expect_status(204);
    }
    let again = app.post(PATH, &body()).key(&key).send().await.expect_status(201).json();
    app.delete(&format!("{PATH}/{}", text(&again, "/id"))).key(&key).send().await.expect_status(204);
    app.finish().await;
}

#[tokio::test]
async fn an_endpoint_is_changed_and_deleted() {
    let app = TestApp::start().await;
    let made = app.post(PATH, &body()).send().await.expect_status(201).json();
    let path = format!("{PATH}/{}", text(&made, "/id"));
    let patch = json!({"description": null, "types": ["reconciliation.failed"], "status": "disabled"});
    let changed = app.patch(&path, &patch).send().await.expect_status(200).json();
    assert_eq!(
        (&changed["description"], &changed["types"], &changed["status"], &changed["url"]),
        (&Json::Null, &json!(["reconciliation.failed"]), &json!("disabled"), &made["url"])
    );
    assert_eq!(changed["disabled_reason"], "switched off by its owner");
    let replay = app.post(&format!("{path}/replay"), &json!({"from_seq": 1, "to_seq": 2}));
    let refused = replay.send().await.expect_problem(409, "invalid-transition");
    assert_eq!((&refused["from"], &refused["command"]), (&json!("disabled"), &json!("replay")));
    let enabled = app.patch(&path, &json!({"status": "enabled"})).send().await.expect_status(200).json();
    assert_eq!((&enabled["status"], &enabled["disabled_reason"]), (&json!("enabled"), &Json::Null));
    assert_eq!(app.patch(&path, &json!({})).send().await.expect_status(200).json(), enabled);
    app.delete(&path).send().await.expect_status(204);
    for ask in [
        app.delete(&path),
        app.get(&path),
        app.patch(&path, &json!({})),
        app.get(&format!("{path}/deliveries")),
        app.post(&format!("{path}/replay"), &json!({"from_seq": 1, "to_seq": 2})),
        app.post(&format!("{path}/rotate-secret"), &json!({})),
        app.get(&format!("{PATH}/whe_1")),
    ] {
        ask.send().await.expect_problem(404, "not-found");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_endpoint_is_its_channels() {
    let app = TestApp::start().await;
    let made = app.post(PATH, &body()).send().await.expect_status(201).json();
    let path = format!("{PATH}/{}", text(&made, "/id"));
    let (_, other) = app.new_key(&unique("channel"), &["events"]).await;
    let (_, shop) = app.new_key("default", &["storefront", "stock", "admin"]).await;
    app.get(&path).key(&other).send().await.expect_problem(404, "not-found");
    app.delete(&path).key(&other).send().await.expect_problem(404, "not-found");
    assert_eq!(app.get(PATH).key(&other).send().await.expect_status(200).json()["data"], json!([]));
    for ask in [app.get(PATH), app.get(&path), app.post(PATH, &body()), app.delete(&path)] {
        let refused = ask.key(&shop).send().await.expect_problem(403, "forbidden");
        assert_eq!(refused["scope"], "events");
    }
    app.delete(&path).send().await.expect_status(204);
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_an_endpoint_is_named() {
    let app = TestApp::start().await;
    for (field, value, wrong) in [
        ("url", json!(""), ("/url", "length")),
        ("url", json!("shop.example.com"), ("/url", "format")),
        ("url", json!("http://shop.example.com/"), ("/url", "format")),
        ("url", json!("https://user:pass@shop.example.com/"), ("/url", "format")),
        ("url", json!("https://shop.example.com/#a"), ("/url", "format")),
        ("url", json!("https://10.0.0.1/"), ("/url", "address")),
        ("url", json!("https://169.254.169.254/latest"), ("/url", "address")),
        ("url", json!("https://[fd00:ec2::254]/"), ("/url", "address")),
        ("url", json!("https://[::ffff:192.168.1.1]/"), ("/url", "address")),
        ("url", json!(format!("https://shop.example.com/{}", "x".repeat(2048))), ("/url", "length")),
        ("types", json!([]), ("/types", "length")),
        ("types", json!(["order.*", "ordr.created"]), ("/types/1", "unknown")),
        ("types", json!(["*"]), ("/types/0", "unknown")),
        ("description", json!("a\nb"), ("/description", "format")),
        ("secret", json!("whsec_mine"), ("/secret", "unknown-field")),
    ] {
        let mut body = body();
        body[field] = value;
        let problem = app.post(PATH, &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [wrong], "{body}");
    }
    for (misspelt, types) in [
        ("hold.creatd", "there is hold.created, hold.extended, hold.ended"),
        ("ordr.created", "order.created"),
    ] {
        let mut body = body();
        body["types"] = json!([misspelt]);
        let problem = app.post(PATH, &body).send().await.expect_problem(422, "validation-failed");
        assert!(text(&problem, "/errors/0/message").contains(types), "{problem:#}");
    }
    let made = app.post(PATH, &body()).send().await.expect_status(201).json();
    let path = format!("{PATH}/{}", text(&made, "/id"));
    let problem = app.patch(&path, &json!({"url": "https://10.0.0.1/"})).send().await;
    assert_eq!(fields_of(&problem.expect_problem(422, "validation-failed")), [("/url", "address")]);
    for (body, wrong) in [
        (json!({}), ("", "required")),
        (json!({"from_seq": 1}), ("", "required")),
        (json!({"from_seq": 0, "to_seq": 1}), ("/from_seq", "range")),
        (json!({"from_seq": 2, "to_seq": 1}), ("/to_seq", "range")),
        (json!({"from_seq": 1, "to_seq": 10_001}), ("/to_seq", "range")),
        (json!({"event_id": "evt_01kamf2r8zfq0sh2v2y5c8w1nk"}), ("/event_id", "unknown")),
        (json!({"event_id": "ord_01kamf2r8zfq0sh2v2y5c8w1nk"}), ("/event_id", "format")),
    ] {
        let problem = app.post(&format!("{path}/replay"), &body).send().await;
        let problem = problem.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [wrong], "{body}");
    }
    let wrong = app.get(&format!("{path}/deliveries?status=lost")).send().await;
    assert_eq!(fields_of(&wrong.expect_problem(422, "validation-failed"))[0].0, "?status");
    app.delete(&path).send().await.expect_status(204);
    app.finish().await;
}

#[tokio::test]
async fn only_a_trial_reaches_its_own_machine() {
    let targets = |targets| AppOptions { webhook_targets: Some(targets), ..AppOptions::default() };
    let Some(app) = TestApp::in_process(TestDatabase::sqlite(), targets(Targets::Public)).await else {
        return;
    };
    for url in ["http://127.0.0.1:9/", "https://127.0.0.1:9/", "http://localhost/", "https://[::1]/"] {
        let mut body = body();
        body["url"] = json!(url);
        app.post(PATH, &body).send().await.expect_problem(422, "validation-failed");
    }
    app.finish().await;
    let app = TestApp::in_process(TestDatabase::sqlite(), targets(Targets::All)).await.unwrap();
    let mut body = body();
    body["url"] = json!("http://10.0.0.1:6379/");
    app.post(PATH, &body).send().await.expect_status(201);
    app.finish().await;
}
