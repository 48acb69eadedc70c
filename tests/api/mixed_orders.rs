//! Deciding about orders that failed in part.

use serde_json::json;
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::{PRODUCT, keys, order_with};

/// An order of two of which the carrier refused one.
async fn mixed(app: &TestApp, refused: &str) -> Option<String> {
    let fault = json!({"refuse_title": {"status": 402, "title": "INSUFFICIENT_FUND"}});
    app.twin()?.fail_order(refused, &fault).await;
    let body = order_with(PRODUCT, &unique("order"), &app.pool, 2);
    let placed = app.post("/v1/orders", &body).send().await.expect_status(202).json();
    assert_eq!(placed["status"], "needs_attention", "{placed:#}");
    Some(format!("/v1/orders/{}", text(&placed, "/id")))
}

on_both_databases! {
    async fn an_accepted_order_shows_what_it_has(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(2).await;
        let Some(path) = mixed(&app, &lines[1].iccid).await else { return app.finish().await };
        let reveal = format!("{path}?reveal=true");
        app.get(&reveal).send().await.expect_problem(409, "invalid-transition");
        let (_, stock) = app.new_key(&unique("channel"), &["stock"]).await;
        let body = json!({"outcome": "accept", "reason": "the customer takes one"});
        let (resolve, key) = (format!("{path}/resolve"), unique("key"));
        for replayed in [None, Some("true")] {
            let answer = app.post(&resolve, &body).key(&stock).header("Idempotency-Key", &key).send().await;
            let answer = answer.expect_status(200);
            assert_eq!(answer.header("location"), Some(path.as_str()));
            assert_eq!(answer.header("idempotency-replayed"), replayed);
            for line in &lines {
                assert!(!answer.text().contains(line.matching_id()), "never the code");
            }
            let accepted = answer.json();
            keys::order(&accepted);
            assert_body!(&app, "accepted_order", &accepted);
        }
        let shown = app.get(&reveal).send().await.expect_status(200).json();
        let entries = &shown["lines"][0]["profiles"];
        assert!(entries[0]["activation"].is_object() && entries[1].get("activation").is_none(), "{shown:#}");
        let refused = app.post(&resolve, &body).key(&stock).send().await.expect_problem(409, "invalid-transition");
        assert_eq!((&refused["from"], &refused["command"]), (&json!("fulfilled"), &json!("resolve")));
        let timeline = app.get(&format!("/v1/profiles/{}/timeline", lines[0].iccid)).send().await;
        assert!(timeline.text().contains("A person closed the order without the 1 that had failed"));
        app.finish().await;
    }

    async fn a_refilled_order_is_at_work_again(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(2).await;
        let Some(path) = mixed(&app, &lines[1].iccid).await else { return app.finish().await };
        let resolve = format!("{path}/resolve");
        // Somebody else takes the one that went back on sale.
        let other = order_with(PRODUCT, &unique("order"), &app.pool, 1);
        app.post("/v1/orders", &other).send().await.expect_status(201);
        let body = json!({"outcome": "refill", "reason": "the account has funds again"});
        let none = app.post(&resolve, &body).send().await.expect_problem(409, "out-of-stock");
        assert_eq!((&none["requested"], &none["available"]), (&json!(1), &json!(0)));
        let more = app.deliver(1).await;
        let answer = app.post(&resolve, &body).send().await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        let done = app.wait_until(&path, |order| order["status"] == "fulfilled").await;
        assert_eq!(done["lines"][0]["profiles"][1]["iccid"], more[0].iccid.as_str());
        assert!(done.get("accepted_at").is_none() && done.get("problem").is_none(), "{done:#}");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_decision_needs_its_outcome_and_its_reason() {
    let app = TestApp::start().await;
    let resolve = "/v1/orders/ord_01kamf2r8ye4ja3v6m1tbk7q5c/resolve";
    for body in [
        json!({"outcome": "accept", "reason": ""}),
        json!({"outcome": "accept"}),
        json!({"outcome": "cancel", "reason": "x"}),
        json!({"outcome": "accept", "reason": "x", "profiles": []}),
    ] {
        app.post(resolve, &body).send().await.expect_problem(422, "validation-failed");
    }
    let body = json!({"outcome": "accept", "reason": "x"});
    app.post(resolve, &body).send().await.expect_problem(404, "not-found");
    let (_, shop) = app.new_key("default", &["storefront"]).await;
    app.post(resolve, &body).key(&shop).send().await.expect_problem(403, "forbidden");
    app.finish().await;
}
