//! Holding profiles for a checkout, and ordering out of a hold.

use reqwest::Method;
use serde_json::{Value as Json, json};
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::{PRODUCT, fields_of, keys, order, order_with};

fn hold(pool: &str, quantity: u32, ttl_seconds: u32) -> Json {
    json!({"pool": pool, "quantity": quantity, "ttl_seconds": ttl_seconds})
}

/// The body of an order of one line out of a hold.
fn order_out_of(hold: &Json, reference: &str, pool: &str, quantity: u32) -> Json {
    let mut body = order(reference, pool, quantity);
    body["hold"] = hold["id"].clone();
    body
}

async fn available(app: &TestApp) -> Json {
    app.get(&format!("/v1/pools/{}/availability", app.pool)).send().await.json()["available"].clone()
}

on_both_databases! {
    async fn a_hold_from_its_making_to_its_order(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(4).await;
        let answer = app.post("/v1/holds", &hold(&app.pool, 3, 900)).send().await.expect_status(201);
        let made = answer.json();
        keys::hold(&made);
        let path = format!("/v1/holds/{}", text(&made, "/id"));
        assert_eq!(answer.header("location"), Some(path.as_str()));
        assert_body!(&app, "hold", &made);
        let stock = app.get(&format!("/v1/pools/{}/stock", app.pool)).send().await.json();
        assert_eq!((&stock["counts"]["held"], &stock["counts"]["available"]), (&json!(3), &json!(1)));
        let profile = app.get(&format!("/v1/profiles/{}", lines[0].iccid)).send().await.json();
        assert_eq!(profile["stock_status"], "held");
        let short = app.post("/v1/orders", &order(&unique("order"), &app.pool, 2)).send().await;
        let short = short.expect_problem(409, "out-of-stock");
        assert_eq!((&short["requested"], &short["available"]), (&json!(2), &json!(1)));
        let short = app.post("/v1/holds", &hold(&app.pool, 2, 900)).send().await;
        let short = short.expect_problem(409, "out-of-stock");
        assert_eq!((&short["requested"], &short["available"]), (&json!(2), &json!(1)));

        let extended = app.patch(&path, &json!({"ttl_seconds": 3600})).send().await.expect_status(200).json();
        assert!(text(&extended, "/expires_at") > text(&made, "/expires_at"));
        assert_eq!(app.get(&path).send().await.expect_status(200).json(), extended);

        let body = order_out_of(&made, &unique("order"), &app.pool, 2);
        let placed = app.post("/v1/orders", &body).send().await.expect_status(201).json();
        keys::order(&placed);
        let sold = placed["lines"][0]["profiles"].as_array().unwrap();
        for (profile, line) in sold.iter().zip(&lines) {
            assert_eq!(profile["iccid"], line.iccid.as_str());
            assert_eq!(profile["activation"]["lpa"], line.lpa());
        }
        let again = app.post("/v1/orders", &body).send().await.expect_status(200).json();
        assert_eq!(again, placed, "the same order, codes included");
        let converted = app.get(&path).send().await.expect_status(200).json();
        assert_eq!((&converted["status"], &converted["order_id"]), (&json!("converted"), &placed["id"]));
        assert_eq!(available(&app).await, 2, "the rest is on sale again");

        let metrics = app.get("/metrics").without_key().send().await.text();
        for outcome in ["created", "extended", "converted"] {
            let line = format!("simdepot_holds_total{{outcome=\"{outcome}\"}}");
            assert!(metrics.contains(&line), "{metrics}");
        }

        let other = order_out_of(&made, &unique("order"), &app.pool, 1);
        let taken = app.post("/v1/orders", &other).send().await.expect_problem(409, "invalid-transition");
        assert_eq!((&taken["from"], &taken["command"]), (&json!("converted"), &json!("convert")));
        let own = text(&placed, "/id");
        let given_back = app.delete(&path).send().await.expect_problem(409, "invalid-transition");
        let extended = app.patch(&path, &json!({"ttl_seconds": 60})).send().await;
        let extended = extended.expect_problem(409, "invalid-transition");
        for (problem, word) in [(&taken, "another hold"), (&given_back, "cancel"), (&extended, "no deadline")] {
            let detail = text(problem, "/detail");
            assert!(detail.contains(&format!("became the order {own}")) && detail.contains(word), "{detail}");
            assert!(!detail.contains("command"), "{detail}");
        }
        // The order that it became is its own channel's business.
        let (_, elsewhere) = app.new_key(&unique("channel"), &["storefront"]).await;
        for ask in [app.delete(&path), app.post("/v1/orders", &other)] {
            let hidden = ask.key(&elsewhere).send().await.expect_problem(404, "not-found");
            assert!(!hidden.to_string().contains(&own), "{hidden}");
        }
        app.finish().await;
    }

    async fn a_hold_that_is_over_serves_no_order(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        app.deliver(1).await;
        let made = app.post("/v1/holds", &hold(&app.pool, 1, 1)).send().await.expect_status(201).json();
        let path = format!("/v1/holds/{}", text(&made, "/id"));
        // Swept away by the application itself.
        let on_sale = format!("/v1/pools/{}/availability", app.pool);
        app.wait_until(&on_sale, |seen| seen["available"] == 1).await;
        assert_eq!(app.get(&path).send().await.json()["status"], "expired");
        let reference = unique("order");
        let late = app.post("/v1/orders", &order_out_of(&made, &reference, &app.pool, 1)).send().await;
        let late = late.expect_problem(409, "hold-expired");
        assert_eq!((&late["hold_id"], &late["retryable"]), (&made["id"], &json!(false)));
        assert!(text(&late, "/detail").contains("make another hold"), "{late}");
        assert_body!(&app, "hold_expired", &late);
        app.patch(&path, &json!({"ttl_seconds": 60})).send().await.expect_problem(409, "hold-expired");
        assert_eq!(app.delete(&path).send().await.expect_status(200).json()["status"], "expired");

        let made = app.post("/v1/holds", &hold(&app.pool, 1, 60)).send().await.expect_status(201).json();
        let path = format!("/v1/holds/{}", text(&made, "/id"));
        let released = app.delete(&path).send().await.expect_status(200).json();
        keys::hold(&released);
        assert_eq!(released["status"], "released");
        assert_eq!(app.delete(&path).send().await.expect_status(200).json(), released);
        let late = app.post("/v1/orders", &order_out_of(&made, &reference, &app.pool, 1)).send().await;
        assert_eq!(late.expect_problem(409, "hold-expired")["from"], "released");
        // What was refused has not used up the reference.
        app.post("/v1/orders", &order(&reference, &app.pool, 1)).send().await.expect_status(201);
        app.finish().await;
    }
}

#[tokio::test]
async fn a_hold_becomes_an_order_with_a_product() {
    let app = TestApp::start().await;
    let lines = app.deliver(2).await;
    let made = app.post("/v1/holds", &hold(&app.pool, 1, 600)).send().await.expect_status(201).json();
    let mut body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
    body["hold"] = made["id"].clone();
    let mut dry = body.clone();
    dry["dry_run"] = json!(true);
    assert_eq!(app.post("/v1/orders", &dry).send().await.expect_status(200).json()["dry_run"], true);
    let placed = app.post("/v1/orders", &body).send().await.expect_status(201).json();
    let profile = &placed["lines"][0]["profiles"][0];
    assert_eq!((&profile["iccid"], &profile["outcome"]), (&json!(lines[0].iccid), &json!("fulfilled")));
    app.finish().await;
}

#[tokio::test]
async fn what_a_hold_refuses_is_named() {
    let app = TestApp::start().await;
    app.deliver(3).await;
    let pool = &app.pool;
    for (body, fields) in [
        (hold(pool, 0, 60), vec![("/quantity", "range")]),
        (hold(pool, 1001, 60), vec![("/quantity", "range")]),
        (hold(pool, 1, 0), vec![("/ttl_seconds", "range")]),
        (hold(pool, 1, 604_801), vec![("/ttl_seconds", "range")]),
        (hold(&unique("none"), 1, 60), vec![("/pool", "unknown")]),
        (json!({"pool": pool, "quantity": 1}), vec![("/ttl_seconds", "required")]),
        (json!({"pool": pool, "quantity": 1, "ttl_seconds": 1, "x": 1}), vec![("/x", "unknown-field")]),
    ] {
        let problem = app.post("/v1/holds", &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), fields, "{body}");
    }
    let made = app.post("/v1/holds", &hold(pool, 2, 600)).send().await.expect_status(201).json();
    let path = format!("/v1/holds/{}", text(&made, "/id"));
    let problem = app.patch(&path, &json!({"ttl_seconds": 0})).send().await;
    assert_eq!(fields_of(&problem.expect_problem(422, "validation-failed")), [("/ttl_seconds", "range")]);
    let second = app.new_pool(json!({})).await;
    let mut body = order_out_of(&made, &unique("order"), pool, 1);
    let line = |pool: &str, quantity: u32| json!({"pool": pool, "quantity": quantity});
    body["lines"] = json!([line(pool, 1), line(&second, 1), line(pool, 2)]);
    let problem = app.post("/v1/orders", &body).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("/lines/1/pool", "hold"), ("/lines/2/quantity", "hold")]);
    body["hold"] = json!("hold_1");
    let problem = app.post("/v1/orders", &body).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("/hold", "format")]);
    body["hold"] = json!("hold_01kamf2r8xd7qv0m3c5n9hyz4a");
    app.post("/v1/orders", &body).send().await.expect_problem(404, "not-found");
    assert_eq!(available(&app).await, 1, "nothing was taken");
    app.ask(Method::PUT, &path).json(&json!({})).send().await.expect_problem(405, "method-not-allowed");
    app.get("/v1/holds/none").send().await.expect_problem(404, "not-found");
    app.finish().await;
}

#[tokio::test]
async fn a_hold_is_its_channels_own() {
    let app = TestApp::start().await;
    app.deliver(3).await;
    let (_, own) = app.new_key(&unique("channel"), &["storefront"]).await;
    let (_, other) = app.new_key(&unique("channel"), &["storefront"]).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let made = app.post("/v1/holds", &hold(&app.pool, 1, 600)).key(&own).send().await;
        ids.push(text(&made.expect_status(201).json(), "/id"));
    }
    ids.reverse();
    let path = format!("/v1/holds/{}", ids[0]);
    let missing = app.get("/v1/holds/hold_01kamf2r8xd7qv0m3c5n9hyz4a").key(&other).send().await;
    let missing = missing.expect_problem(404, "not-found");
    let mut body = order(&unique("order"), &app.pool, 1);
    body["hold"] = json!(ids[0]);
    for ask in [
        app.get(&path),
        app.patch(&path, &json!({"ttl_seconds": 60})),
        app.delete(&path),
        app.post("/v1/orders", &body),
    ] {
        let refused = ask.key(&other).send().await.expect_problem(404, "not-found");
        assert_eq!(refused["detail"], missing["detail"]);
    }
    let listed = app.get("/v1/holds").key(&other).send().await.expect_status(200).json();
    assert_eq!(listed["data"], json!([]));
    let first = app.get("/v1/holds?limit=2").key(&own).send().await.expect_status(200);
    assert!(first.header("link").unwrap().contains("rel=\"next\""));
    let first = first.json();
    let next = format!("/v1/holds?limit=2&cursor={}", text(&first, "/next_cursor"));
    let second = app.get(&next).key(&own).send().await.expect_status(200).json();
    let both = first["data"].as_array().unwrap().iter().chain(second["data"].as_array().unwrap());
    assert_eq!(both.map(|hold| text(hold, "/id")).collect::<Vec<_>>(), ids);
    app.post("/v1/orders", &body).key(&own).send().await.expect_status(201);
    app.finish().await;
}

#[tokio::test]
async fn a_key_makes_one_hold() {
    let app = TestApp::start().await;
    app.deliver(3).await;
    let (key, body) = (unique("key"), hold(&app.pool, 1, 600));
    let make = |body: &Json| app.post("/v1/holds", body).header("Idempotency-Key", &key).send();
    let first = make(&body).await.expect_status(201);
    let again = make(&body).await.expect_status(201);
    assert_eq!((first.json(), again.header("idempotency-replayed")), (again.json(), Some("true")));
    assert_eq!(again.header("location"), first.header("location"));
    make(&hold(&app.pool, 2, 600)).await.expect_problem(422, "idempotency-key-reused");
    assert_eq!(available(&app).await, 2);
    app.finish().await;
}
