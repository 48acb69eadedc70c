//! Orders that the carrier does not carry out, and a server that stops in the middle of one.

use std::time::Duration;

use serde_json::json;
use simdepot_tests::app::{AppOptions, text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::{PRODUCT, order_with};

on_both_databases! {
    async fn a_product_that_the_carrier_refuses_fails_the_order(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(1).await;
        if let Some(twin) = app.twin() {
            let fault = json!({"refuse_title": {"status": 400, "title": "PRODUCT_NOT_ELIGIBLE"}});
            twin.fail_order(&lines[0].iccid, &fault).await;
            let reference = unique("order");
            let body = order_with(PRODUCT, &reference, &app.pool, 1);
            let answer = app.post("/v1/orders", &body).send().await;
            let problem = answer.expect_problem(502, "carrier-refused");
            assert_eq!(problem["carrier_code"], "PRODUCT_NOT_ELIGIBLE");
            assert_body!(&app, "carrier_refused", &problem);
            let path = format!("/v1/orders/{}", text(&problem, "/order_id"));
            let failed = app.get(&path).send().await.expect_status(200).json();
            assert_body!(&app, "failed_order", &failed);
            app.get(&format!("{path}?reveal=true")).send().await.expect_problem(409, "invalid-transition");
            // The same request again answers the same order; it is not tried again.
            let again = app.post("/v1/orders", &body).send().await.expect_status(200).json();
            assert_eq!(again["status"], "failed");
            let code = app.get(&format!("/v1/profiles/{}/activation", lines[0].iccid)).send().await;
            code.expect_problem(409, "invalid-transition");
        }
        app.finish().await;
    }

    async fn a_lost_answer_leaves_the_order_open_and_is_not_sent_again(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(1).await;
        if let Some(twin) = app.twin() {
            twin.fail_order(&lines[0].iccid, &json!("drop_after_apply")).await;
            let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
            let answer = app.post("/v1/orders", &body).header("Prefer", "wait=1").send().await;
            let placed = answer.expect_status(202).json();
            assert_eq!(placed["status"], "in_progress");
            assert!(placed.pointer("/lines/0/profiles/0/activation").is_none());
            let operation =
                format!("/v1/operations/{}", text(&placed, "/lines/0/profiles/0/bundle/operation/id"));
            app.wait_until(&operation, |operation| operation["status"] == "unknown").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(twin.orders_of(&lines[0].msisdn).await.len(), 1);
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn a_profile_that_was_used_elsewhere_is_replaced_in_the_same_order() {
    let app = TestApp::start().await;
    let lines = app.deliver(2).await;
    if let Some(twin) = app.twin() {
        twin.use_in(&lines[0].iccid, "FR").await;
        let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
        let placed = app.post("/v1/orders", &body).send().await.expect_status(201).json();
        let profiles = placed["lines"][0]["profiles"].as_array().unwrap();
        let by_outcome = |outcome: &str| {
            let found = profiles.iter().filter(|profile| profile["outcome"] == outcome);
            found.map(|profile| profile["iccid"].as_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(by_outcome("fulfilled"), [lines[1].iccid.as_str()], "{placed:#}");
        assert!(!placed.to_string().contains(lines[0].matching_id()), "the used one's code stays inside");
        let used = app.get(&format!("/v1/profiles/{}", lines[0].iccid)).send().await.json();
        assert_eq!(used["stock_status"], "quarantined");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_who_waits_and_finishes_what_is_at_work() {
    let db = simdepot_tests::TestDatabase::sqlite();
    let Some(mut app) = TestApp::in_process(db, AppOptions::default()).await else { return };
    let lines = app.deliver(1).await;
    let twin = app.twin().unwrap();
    twin.fail_order(&lines[0].iccid, &json!({"slow": {"ms": 1500}})).await;
    let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
    let at_work = tokio::spawn(app.post("/v1/orders", &body).send());
    let late = app.get("/readyz");
    while twin.orders_of(&lines[0].msisdn).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.stop().await;
    // The order is taken and goes on: the next process tells its end.
    let placed = at_work.await.unwrap().expect_status(202).json();
    assert_eq!(placed["status"], "in_progress");
    assert_eq!(app.twin().unwrap().orders_of(&lines[0].msisdn).await.len(), 1);
    late.try_send().await.expect_err("nobody listens any more");
    app.finish().await;
}
