//! Taking orders back, asking whether they may be paid back, and replacing what was sold.

use std::time::Duration;

use serde_json::{Value as Json, json};
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::{PRODUCT, keys, order, order_with};

fn quiet(app: &TestApp, product: Option<&str>) -> Json {
    let reference = unique("order");
    let mut body = match product {
        Some(product) => order_with(product, &reference, &app.pool, 1),
        None => order(&reference, &app.pool, 1),
    };
    body["reveal"] = json!(false);
    body
}

async fn place(app: &TestApp, body: &Json) -> String {
    let placed = app.post("/v1/orders", body).send().await.expect_status(201).json();
    format!("/v1/orders/{}", text(&placed, "/id"))
}

on_both_databases! {
    async fn an_order_nobody_saw_goes_back_on_sale(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(1).await;
        let path = place(&app, &quiet(&app, None)).await;
        let reason = json!({"reason": "the customer ordered twice"});
        let answer = app.post(&format!("{path}/cancel"), &reason).send().await.expect_status(200);
        assert_eq!(answer.header("location"), Some(path.as_str()));
        let cancelled = answer.json();
        keys::order(&cancelled);
        assert_body!(&app, "cancelled_order", &cancelled);
        // A repeat is the same answer; the body may be absent.
        let again = app.ask(reqwest::Method::POST, &format!("{path}/cancel")).send().await.expect_status(200);
        assert_eq!(again.json(), cancelled);
        assert_eq!(app.get(&path).send().await.expect_status(200).json(), cancelled);
        app.get(&format!("{path}?reveal=true")).send().await.expect_problem(409, "invalid-transition");
        let listed = app.get(&format!("/v1/orders?reference={}", text(&cancelled, "/reference"))).send().await;
        assert_eq!(listed.json()["data"][0]["cancelling"], false);
        let profile = app.get(&format!("/v1/profiles/{}", lines[0].iccid)).send().await.json();
        assert_eq!(profile["stock_status"], "available");
        app.finish().await;
    }

    /// Something is at the carrier when the cancellation comes: 202 until it has ended, and then without being asked.
    async fn what_is_in_flight_is_decided_in_the_background(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(1).await;
        let Some(twin) = app.twin() else { return app.finish().await };
        twin.fail_order(&lines[0].iccid, &json!({"slow": {"ms": 3500}})).await;
        let answer = app.post("/v1/orders", &quiet(&app, Some(PRODUCT))).header("Prefer", "wait=0").send().await;
        let path = format!("/v1/orders/{}", text(&answer.expect_status(202).json(), "/id"));
        while twin.orders_of(&lines[0].msisdn).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = app.post(&format!("{path}/cancel"), &json!({})).header("Prefer", "wait=0").send().await;
        assert_eq!(asked.header("preference-applied"), Some("wait=0"));
        let asked = asked.expect_status(202).json();
        assert_eq!((&asked["status"], &asked["cancelling"]), (&json!("in_progress"), &json!(true)));
        assert_body!(&app, "cancelling_order", &asked);
        let done = app.wait_until(&path, |order| order["status"] == "cancelled").await;
        assert_eq!(done["cancelling"], false);
        let entry = &done["lines"][0]["profiles"][0];
        assert_eq!((&entry["outcome"], &entry["stock_status"]), (&json!("cancelled"), &json!("quarantined")));
        assert_eq!(entry["bundle"]["status"], "preloaded", "what the carrier has placed stays");
        app.finish().await;
    }

    async fn the_answer_waits_for_the_end(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(1).await;
        let Some(twin) = app.twin() else { return app.finish().await };
        twin.fail_order(&lines[0].iccid, &json!({"slow": {"ms": 700}})).await;
        let answer = app.post("/v1/orders", &quiet(&app, Some(PRODUCT))).header("Prefer", "wait=0").send().await;
        let path = format!("/v1/orders/{}", text(&answer.expect_status(202).json(), "/id"));
        while twin.orders_of(&lines[0].msisdn).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = app.post(&format!("{path}/cancel"), &json!({})).header("Prefer", "wait=20").send().await;
        assert_eq!(asked.expect_status(200).json()["status"], "cancelled");
        app.finish().await;
    }

    async fn a_refund_is_judged_by_the_carriers_records(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(1).await;
        let Some(twin) = app.twin() else { return app.finish().await };
        let path = place(&app, &order_with(PRODUCT, &unique("order"), &app.pool, 1)).await;
        let asked = app.get(&format!("{path}/refund-eligibility")).send().await.expect_status(200).json();
        assert_eq!(asked["eligible"], true);
        assert_body!(&app, "refund_eligible", &asked);
        twin.use_in(&lines[0].iccid, "FR").await;
        let asked = app.get(&format!("{path}/refund-eligibility")).send().await.expect_status(200);
        assert!(!asked.text().contains(lines[0].matching_id()), "never the code");
        let asked = asked.json();
        assert_eq!(asked["eligible"], false);
        assert_body!(&app, "refund_refused", &asked);
        app.finish().await;
    }

    async fn a_sold_profile_is_replaced(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(2).await;
        let path = place(&app, &order_with(PRODUCT, &unique("order"), &app.pool, 1)).await;
        let replace = format!("/v1/profiles/{}/replace", lines[0].iccid);
        let body = json!({"reason": "the customer deleted it"});
        let key = unique("key");
        let answer = app.post(&replace, &body).header("Idempotency-Key", &key).send().await.expect_status(201);
        let made = answer.json();
        assert_eq!(answer.header("location"), Some(format!("/v1/profiles/{}", lines[1].iccid).as_str()));
        assert_eq!((&made["iccid"], &made["replaces"]), (&json!(lines[1].iccid), &json!(lines[0].iccid)));
        assert_eq!(format!("/v1/orders/{}", text(&made, "/order_id")), path);
        assert!(!answer.text().contains(lines[1].matching_id()), "never the code");
        assert_body!(&app, "replacement", &made);
        let again = app.post(&replace, &body).header("Idempotency-Key", &key).send().await.expect_status(201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.json()["iccid"], made["iccid"]);
        app.post(&replace, &body).send().await.expect_problem(409, "invalid-transition");
        let done = app.wait_until(&path, |order| order["status"] == "fulfilled").await;
        assert_eq!(done["lines"][0]["profiles"][0]["iccid"], lines[1].iccid.as_str());
        let next = format!("/v1/profiles/{}/replace", lines[1].iccid);
        app.post(&next, &body).send().await.expect_problem(409, "out-of-stock");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_storefront_cancels_its_own_orders_alone() {
    let app = TestApp::start().await;
    app.deliver(1).await;
    let (_, own) = app.new_key("default", &["storefront"]).await;
    let (_, other) = app.new_key(&unique("channel"), &["storefront"]).await;
    let placed = app.post("/v1/orders", &quiet(&app, None)).key(&own).send().await.expect_status(201).json();
    let cancel = format!("/v1/orders/{}/cancel", text(&placed, "/id"));
    app.post(&cancel, &json!({})).key(&other).send().await.expect_problem(404, "not-found");
    let missing = "/v1/orders/ord_01kamf2r8ye4ja3v6m1tbk7q5c/cancel";
    app.post(missing, &json!({})).key(&own).send().await.expect_problem(404, "not-found");
    let wrong = app.post(&cancel, &json!({"reason": ""})).key(&own).send().await;
    wrong.expect_problem(422, "validation-failed");
    assert_eq!(
        app.get(&format!("/v1/orders/{}", text(&placed, "/id"))).send().await.json()["status"],
        "fulfilled"
    );
    let key = unique("key");
    for replayed in [None, Some("true")] {
        let answer = app.post(&cancel, &json!({})).key(&own).header("Idempotency-Key", &key).send().await;
        let answer = answer.expect_status(200);
        assert_eq!(answer.header("idempotency-replayed"), replayed);
        assert_eq!(answer.json()["status"], "cancelled");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_failed_order_cannot_be_taken_back() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    let Some(twin) = app.twin() else { return app.finish().await };
    let fault = json!({"refuse_title": {"status": 400, "title": "PRODUCT_NOT_ELIGIBLE"}});
    twin.fail_order(&lines[0].iccid, &fault).await;
    let problem = app.post("/v1/orders", &quiet(&app, Some(PRODUCT))).send().await;
    let problem = problem.expect_problem(502, "carrier-refused");
    let path = format!("/v1/orders/{}", text(&problem, "/order_id"));
    let refused = app.post(&format!("{path}/cancel"), &json!({})).send().await;
    let refused = refused.expect_problem(409, "invalid-transition");
    assert_eq!((&refused["from"], &refused["command"]), (&json!("failed"), &json!("cancel")));
    let refund = app.get(&format!("{path}/refund-eligibility")).send().await.expect_status(200).json();
    assert_eq!(refund["eligible"], true, "nothing was delivered: {refund:#}");
    app.finish().await;
}
