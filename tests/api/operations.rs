//! Operations: the writes to the carrier behind orders and top-ups.

use serde_json::json;
use simdepot_tests::TestApp;
use simdepot_tests::app::{text, unique};

use crate::checked::assert_body;
use crate::{PRODUCT, fields_of, keys, order_with};

#[tokio::test]
async fn an_operation_tells_what_was_sent_and_what_came_of_it() {
    let app = TestApp::start().await;
    let Some(twin) = app.twin() else { return app.finish().await };
    let line = app.deliver(1).await.remove(0);
    let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
    let placed = app.post("/v1/orders", &body).send().await.expect_status(201).json();
    let id = text(&placed, "/lines/0/profiles/0/bundle/operation/id");
    let answer = app.get(&format!("/v1/operations/{id}")).send().await.expect_status(200);
    assert!(!answer.text().contains(line.matching_id()));
    let operation = answer.json();
    keys::operation(&operation);
    assert_eq!((&operation["status"], &operation["attempts"]), (&json!("done"), &json!(1)));
    assert_eq!((&operation["profile"], &operation["order"]), (&json!(line.iccid), &placed["id"]));
    let taken = &twin.orders_of(&line.msisdn).await[0];
    assert_eq!(taken["transaction_reference"], operation["id"], "the carrier's records name it");
    assert_eq!(operation["carrier_reference"], taken["id"]);
    assert_body!(&app, "operation", &operation);
    let listed = app.get("/v1/operations?status=done&limit=200").send().await.expect_status(200).json();
    let listed = listed["data"].as_array().unwrap();
    assert!(listed.iter().any(|listed| listed["id"] == operation["id"]));
    assert!(listed.iter().all(|listed| listed["status"] == "done"));
    app.finish().await;
}

#[tokio::test]
async fn a_refused_operation_keeps_the_carriers_words() {
    let app = TestApp::start().await;
    let line = app.deliver(1).await.remove(0);
    if let Some(twin) = app.twin() {
        twin.fail_order(
            &line.iccid,
            &json!({"refuse_title": {"status": 400, "title": "PRODUCT_NOT_ELIGIBLE"}}),
        )
        .await;
        let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
        app.post("/v1/orders", &body).send().await.expect_status(502);
        let listed =
            app.get("/v1/operations?status=refused&limit=200").send().await.expect_status(200).json();
        let listed = listed["data"].as_array().unwrap();
        let operation = listed.iter().find(|operation| operation["profile"] == line.iccid.as_str()).unwrap();
        assert_body!(&app, "refused_operation", operation);
    }
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_operation_is_not_found() {
    let app = TestApp::start().await;
    for id in ["op_01kamf2r8zfq0sh2v2x7mwh3qe", "ord_01kamf2r8zfq0sh2v2x7mwh3qe", "op_1", "%00"] {
        app.get(&format!("/v1/operations/{id}")).send().await.expect_problem(404, "not-found");
    }
    let problem = app.get("/v1/operations?status=lost").send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("?status", "unknown")]);
    app.finish().await;
}

/// The carrier's answer is lost; before the resolver may look, a person has.
#[tokio::test]
async fn a_person_decides_a_lost_answer() {
    let app = TestApp::start().await;
    let Some(twin) = app.twin() else { return app.finish().await };
    let line = app.deliver(1).await.remove(0);
    twin.fail_order(&line.iccid, &json!("drop_after_apply")).await;
    let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
    let placed = app
        .post("/v1/orders", &body)
        .header("Prefer", "respond-async")
        .send()
        .await
        .expect_status(202)
        .json();
    let id = text(&placed, "/lines/0/profiles/0/bundle/operation/id");
    let path = format!("/v1/operations/{id}");
    let lost = app.wait_until(&path, |operation| operation["status"] == "unknown").await;
    assert_eq!(lost["problem"]["code"], "answer_lost");

    let resolve = format!("{path}/resolve");
    for (body, field) in [
        (json!({"outcome": "done"}), "/reason"),
        (json!({"outcome": "maybe", "reason": "x"}), "/outcome"),
        (json!({"outcome": "retry", "reason": "x", "subscription_id": "1"}), "/subscription_id"),
    ] {
        let problem = app.post(&resolve, &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem)[0].0, field);
    }
    let taken = twin.orders_of(&line.msisdn).await.remove(0);
    let body = json!({
        "outcome": "done", "reason": "seen in the carrier's portal", "subscription_id": taken["subscription_id"],
    });
    let key = unique("key");
    let decide = || app.post(&resolve, &body).header("Idempotency-Key", &key).send();
    let decided = decide().await.expect_status(200).json();
    keys::operation(&decided);
    assert_eq!((&decided["status"], &decided["attempts"]), (&json!("done"), &json!(1)));
    assert_eq!(decided["evidence"]["reason"], body["reason"]);
    let replayed = decide().await.expect_status(200);
    assert_eq!(replayed.header("Idempotency-Replayed"), Some("true"));
    let again = app.post(&resolve, &body).send().await.expect_problem(409, "invalid-transition");
    assert_eq!((&again["from"], &again["command"]), (&json!("done"), &json!("resolve")));
    let order =
        app.get(&format!("/v1/orders/{}", text(&placed, "/id"))).send().await.expect_status(200).json();
    assert_eq!(order["status"], "fulfilled");
    app.finish().await;
}
