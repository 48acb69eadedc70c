//! `Idempotency-Key`: a request that is sent again does its work once.

use serde_json::json;
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::{PRODUCT, fields_of, order, order_with};

on_both_databases! {
    async fn sixteen_at_once_make_one_order(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        app.deliver(20).await;
        let body = order(&unique("order"), &app.pool, 1);
        let key = unique("key");
        let asks: Vec<_> = (0..16)
            .map(|_| tokio::spawn(app.post("/v1/orders", &body).header("Idempotency-Key", &key).send()))
            .collect();
        let mut orders = Vec::new();
        for ask in asks {
            let answer = ask.await.unwrap();
            match answer.status {
                200 | 201 => orders.push(text(&answer.json(), "/id")),
                _ => {
                    assert!(answer.header("retry-after").is_some(), "{answer:?}");
                    let problem = answer.expect_problem(409, "idempotency-in-flight");
                    assert_eq!(problem["retryable"], true);
                }
            }
        }
        assert!(!orders.is_empty());
        orders.dedup();
        assert_eq!(orders.len(), 1, "{orders:?}");
        let replayed =
            app.post("/v1/orders", &body).header("Idempotency-Key", &key).send().await.expect_status(201);
        assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
        assert_eq!(text(&replayed.json(), "/id"), orders[0]);
        let left = app.get(&format!("/v1/pools/{}/availability", app.pool)).send().await.json();
        assert_eq!(left["available"], 19);
        app.finish().await;
    }

    async fn a_key_belongs_to_one_request(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let Some(twin) = app.twin() else { return app.finish().await };
        let lines = app.deliver(4).await;
        let key = unique("key");
        let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
        let first =
            app.post("/v1/orders", &body).header("Idempotency-Key", &key).send().await.expect_status(201);
        assert_eq!(first.header("idempotency-replayed"), None);
        let again =
            app.post("/v1/orders", &body).header("Idempotency-Key", &key).send().await.expect_status(201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!((again.json(), again.header("location")), (first.json(), first.header("location")));
        assert_eq!(twin.orders_of(&lines[0].msisdn).await.len(), 1);
        let other = order(&unique("order"), &app.pool, 1);
        let reused = app.post("/v1/orders", &other).header("Idempotency-Key", &key).send().await;
        reused.expect_problem(422, "idempotency-key-reused");
        let pool = json!({"pool": unique("pool"), "carrier_account": app.account, "name": "n"});
        let reused = app.post("/v1/pools", &pool).header("Idempotency-Key", &key).send().await;
        reused.expect_problem(422, "idempotency-key-reused");
        let (_, elsewhere) = app.new_key(&unique("channel"), &["storefront"]).await;
        let own = app.post("/v1/orders", &other).key(&elsewhere).header("Idempotency-Key", &key).send().await;
        assert_eq!(own.expect_status(201).header("idempotency-replayed"), None, "another channel's own key");
        app.finish().await;
    }

    async fn what_changed_nothing_is_not_remembered(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let key = unique("key");
        let body = order(&unique("order"), &app.pool, 1);
        let ask = app.post("/v1/orders", &body).header("Idempotency-Key", &key);
        ask.clone().send().await.expect_problem(409, "out-of-stock");
        app.deliver(1).await;
        let taken = ask.send().await.expect_status(201);
        assert_eq!(taken.header("idempotency-replayed"), None);
        app.finish().await;
    }
}

#[tokio::test]
async fn every_creation_can_be_repeated() {
    let app = TestApp::start().await;
    if app.twin().is_none() {
        return app.finish().await;
    }
    let line = app.deliver(1).await.remove(0);
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    let file = simdepot_tests::app::delivery_file(&app.new_lines(1).await);
    let pool = json!({"pool": unique("pool"), "carrier_account": app.account, "name": "n"});
    let top_up = json!({"reference": unique("top-up"), "product": PRODUCT});
    for (ask, id) in [
        (app.post("/v1/pools", &pool), "/pool"),
        (app.post(&format!("/v1/profiles/{}/bundles", line.iccid), &top_up), "/id"),
        (app.import(file), "/id"),
    ] {
        let ask = ask.header("Idempotency-Key", &unique("key"));
        let first = ask.clone().send().await.expect_status(201);
        let again = ask.send().await.expect_status(201);
        assert_eq!(
            (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
            (None, Some("true"))
        );
        assert_eq!(text(&first.json(), id), text(&again.json(), id));
    }
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_key_is_named() {
    let app = TestApp::start().await;
    app.deliver(1).await;
    let ask = app.post("/v1/orders", &order(&unique("order"), &app.pool, 1));
    for bad in ["", "two words", &"k".repeat(256), "é"] {
        let problem =
            ask.clone().header("Idempotency-Key", bad).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [("Idempotency-Key", "format")], "{bad}");
    }
    let two = ask.clone().header("Idempotency-Key", "a").header("Idempotency-Key", "b").send().await;
    two.expect_problem(422, "validation-failed");
    ask.header("Idempotency-Key", &format!("{:k<255}", unique("key"))).send().await.expect_status(201);
    app.finish().await;
}
