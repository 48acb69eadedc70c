//! API keys: making, using, expiring, revoking.

use std::time::Duration;

use serde_json::{Value as Json, json};
use simdepot_domain::clock::{Clock as _, SystemClock};
use simdepot_tests::TestApp;
use simdepot_tests::app::{text, unique};

use crate::checked::assert_body;
use crate::fields_of;

fn body(scopes: &[&str]) -> Json {
    json!({"name": "web shop", "channel": "web", "scopes": scopes})
}

#[tokio::test]
async fn a_key_is_shown_once() {
    let app = TestApp::start().await;
    let idempotency = unique("key");
    let ask = app.post("/v1/api-keys", &body(&["storefront", "stock", "storefront"]));
    let ask = ask.header("Idempotency-Key", &idempotency);
    let made = ask.clone().send().await.expect_status(201);
    assert_eq!(made.header("idempotency-replayed"), None);
    let key = text(&made.json(), "/key");
    assert_body!(&app, "new_api_key", &made.json());
    assert!(key.starts_with(&text(&made.json(), "/hint")));
    app.get("/v1/pools").key(&key).send().await.expect_status(200);
    let replayed = ask.send().await.expect_status(201);
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    assert_eq!((&replayed.json()["key"], &replayed.json()["id"]), (&Json::Null, &made.json()["id"]));
    assert!(!replayed.text().contains(&key));
    let listed = app.get("/v1/api-keys?limit=200").send().await.expect_status(200);
    assert!(!listed.text().contains(&key), "lists never have keys");
    let id = &made.json()["id"];
    let rows = listed.json();
    let row = rows["data"].as_array().unwrap().iter().find(|row| row["id"] == *id).unwrap();
    assert_eq!((&row["name"], &row["scopes"]), (&json!("web shop"), &json!(["storefront", "stock"])));
    app.finish().await;
}

#[tokio::test]
async fn only_a_key_that_works_is_let_in() {
    let app = TestApp::start().await;
    let path = format!("/v1/pools/{}", app.pool);
    let ask = || app.get(&path).without_key();
    let basic = format!("Basic {}", app.key);
    let lower = format!("bearer {}", app.key);
    for ask in [
        ask(),
        ask().key(&format!("{}x", app.key)),
        ask().key("sd_live_wrong"),
        ask().header("Authorization", ""),
        ask().header("Authorization", "Bearer"),
        ask().header("Authorization", &basic),
        ask().key(&app.key).header("Authorization", "Bearer x"),
        app.get("/v1/no-such-path").without_key(),
        app.get("/v1/orders/ord_1").without_key(),
        app.post("/v1/orders", &json!({})).without_key(),
    ] {
        let refused = ask.send().await;
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{refused:?}");
        refused.expect_problem(401, "unauthenticated");
    }
    assert_eq!(
        ask().header("Authorization", &lower).send().await.status,
        200,
        "schemes have no case (RFC 9110 §11.1)"
    );
    app.finish().await;
}

#[tokio::test]
async fn a_key_ends_when_it_is_revoked_or_its_time_is_over() {
    let app = TestApp::start().await;
    let (id, key) = app.new_key(&unique("channel"), &["stock"]).await;
    app.get("/v1/pools").key(&key).send().await.expect_status(200);
    let path = format!("/v1/api-keys/{id}");
    for _ in 0..2 {
        app.delete(&path).send().await.expect_status(204);
        app.get("/v1/pools").key(&key).send().await.expect_problem(401, "unauthenticated");
    }
    for none in ["key_01kamcw9q7fd8rsqv1a6x0e4mz", "key_1", "ord_01kamcw9q7fd8rsqv1a6x0e4mz"] {
        app.delete(&format!("/v1/api-keys/{none}")).send().await.expect_problem(404, "not-found");
    }
    let mut short = body(&["stock"]);
    short["expires_at"] = json!((SystemClock.now() + chrono::TimeDelta::seconds(3)).to_rfc3339());
    let made = app.post("/v1/api-keys", &short).send().await.expect_status(201).json();
    let key = text(&made, "/key");
    app.get("/v1/pools").key(&key).send().await.expect_status(200);
    tokio::time::sleep(Duration::from_millis(3100)).await;
    app.get("/v1/pools").key(&key).send().await.expect_problem(401, "unauthenticated");
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_a_key_is_named() {
    let app = TestApp::start().await;
    for (field, value, wrong) in [
        ("name", json!(""), ("/name", "length")),
        ("name", json!("a\nb"), ("/name", "format")),
        ("channel", json!("Web Shop"), ("/channel", "format")),
        ("scopes", json!([]), ("/scopes", "length")),
        ("scopes", json!(["root"]), ("/scopes/0", "unknown")),
        ("expires_at", json!("2001-01-01T00:00:00Z"), ("/expires_at", "range")),
        ("expires_at", json!("tomorrow"), ("/expires_at", "format")),
        ("key", json!("sd_live_mine"), ("/key", "unknown-field")),
    ] {
        let mut body = body(&["stock"]);
        body[field] = value;
        let problem = app.post("/v1/api-keys", &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [wrong], "{body}");
    }
    app.finish().await;
}
