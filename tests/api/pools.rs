//! Pools and their stock.

use serde_json::json;
use simdepot_tests::TestApp;
use simdepot_tests::app::{text, unique};

use crate::checked::assert_body;
use crate::{fields_of, order};

#[tokio::test]
async fn a_pool_is_made_read_and_changed() {
    let app = TestApp::start().await;
    let name = unique("pool");
    let body = json!({
        "pool": name, "carrier_account": app.account, "name": "Travel, worldwide", "low_threshold": 500,
        "critical_threshold": 100, "safety_buffer": 2, "lead_time_days": 14, "shelf_life_days": 365,
        "balance_low_percent": 20, "expiry_warning_days": 3,
        "sellable_statuses": ["preactivated", "active", "preactivated"], "activation": null
    });
    let answer = app.post("/v1/pools", &body).send().await.expect_status(201);
    assert_eq!(answer.header("location"), Some(format!("/v1/pools/{name}").as_str()));
    assert_body!(&app, "pool", &answer.json());
    let exists = app.post("/v1/pools", &body).send().await.expect_problem(409, "pool-exists");
    assert_eq!(exists["retryable"], false);
    let path = format!("/v1/pools/{name}");
    assert_eq!(app.get(&path).send().await.expect_status(200).json(), answer.json());
    let patch =
        json!({"name": "Europe", "low_threshold": null, "critical_threshold": null, "safety_buffer": 0});
    let changed = app.patch(&path, &patch).send().await.expect_status(200).json();
    assert_eq!(
        (&changed["name"], &changed["low_threshold"], &changed["safety_buffer"]),
        (&json!("Europe"), &json!(null), &json!(0))
    );
    assert_eq!(changed["shelf_life_days"], 365, "what is absent stays");
    let quiet = json!({"balance_low_percent": null, "expiry_warning_days": 7});
    let changed = app.patch(&path, &quiet).send().await.expect_status(200).json();
    assert_eq!((&changed["balance_low_percent"], &changed["expiry_warning_days"]), (&json!(null), &json!(7)));
    assert_eq!(app.get(&path).send().await.json(), changed);
    assert_eq!(app.patch(&path, &json!({})).send().await.expect_status(200).json()["name"], "Europe");
    let nobody = format!("/v1/pools/{}", unique("none"));
    for ask in [
        app.get(&nobody),
        app.patch(&nobody, &json!({})),
        app.get(&format!("{nobody}/stock")),
        app.get(&format!("{nobody}/availability")),
    ] {
        ask.send().await.expect_problem(404, "not-found");
    }
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_a_pool_is_named() {
    let app = TestApp::start().await;
    let good = || json!({"pool": unique("pool"), "carrier_account": app.account, "name": "n"});
    for (field, value, wrong) in [
        ("pool", json!("No Spaces"), ("/pool", "format")),
        ("pool", json!(""), ("/pool", "format")),
        ("carrier_account", json!("no-such-account"), ("/carrier_account", "unknown")),
        ("name", json!(""), ("/name", "length")),
        ("low_threshold", json!(-1), ("/low_threshold", "format")),
        ("shelf_life_days", json!(0), ("/shelf_life_days", "range")),
        ("balance_low_percent", json!(0), ("/balance_low_percent", "range")),
        ("balance_low_percent", json!(100), ("/balance_low_percent", "range")),
        ("expiry_warning_days", json!(366), ("/expiry_warning_days", "range")),
        ("sellable_statuses", json!([]), ("/sellable_statuses", "length")),
        ("sellable_statuses", json!(["sold"]), ("/sellable_statuses/0", "unknown")),
        ("colour", json!("red"), ("/colour", "unknown-field")),
    ] {
        let mut body = good();
        body[field] = value;
        let problem = app.post("/v1/pools", &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [wrong], "{body}");
    }
    let mut body = good();
    body["low_threshold"] = json!(5);
    body["critical_threshold"] = json!(6);
    let problem = app.post("/v1/pools", &body).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem)[0].0, "/critical_threshold");
    let patch = json!({"critical_threshold": 6, "low_threshold": 5});
    app.patch(&format!("/v1/pools/{}", app.pool), &patch)
        .send()
        .await
        .expect_problem(422, "validation-failed");
    app.finish().await;
}

#[tokio::test]
async fn the_counts_add_up() {
    let app = TestApp::start().await;
    let lines = app.deliver(5).await;
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    let path = |line: usize, command: &str| format!("/v1/profiles/{}/{command}", lines[line].iccid);
    app.post(&path(1, "quarantine"), &json!({"reason": "test"})).send().await.expect_status(200);
    app.post(&path(2, "retire"), &json!({"reason": "test"})).send().await.expect_status(200);
    app.patch(&format!("/v1/pools/{}", app.pool), &json!({"safety_buffer": 1}))
        .send()
        .await
        .expect_status(200);
    let mut stock = app.get(&format!("/v1/pools/{}/stock", app.pool)).send().await.expect_status(200).json();
    // One on the pool's first day, or on two when that ends just now.
    let burn_rate = stock["burn_rate"].take();
    assert!(burn_rate == 1.0 || burn_rate == 0.5, "{burn_rate}");
    assert_body!(&app, "pool_stock", &stock);
    let available = app.get(&format!("/v1/pools/{}/availability", app.pool)).send().await.json();
    assert_eq!(available, json!({"pool": app.pool, "available": 1}), "the buffer is not for sale");
    let problem = app.post("/v1/orders", &order(&unique("order"), &app.pool, 2)).send().await;
    assert_eq!(problem.expect_problem(409, "out-of-stock")["available"], 1);
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    app.finish().await;
}

#[tokio::test]
async fn pools_are_listed_by_name() {
    let app = TestApp::start().await;
    let more = [app.new_pool(json!({})).await, app.new_pool(json!({})).await];
    let mut names = Vec::new();
    let mut path = "/v1/pools?limit=1".to_owned();
    loop {
        let answer = app.get(&path).send().await.expect_status(200);
        let page = answer.json();
        names.extend(page["data"].as_array().unwrap().iter().map(|pool| text(pool, "/pool")));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/pools?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert!(names.is_sorted() && names.contains(&app.pool), "{names:?}");
    assert!(more.iter().all(|pool| names.iter().filter(|name| *name == pool).count() == 1), "{names:?}");
    app.finish().await;
}
