//! Top-ups, and what is left.

use serde_json::json;
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::{OTHER_PRODUCT, PRODUCT, fields_of, keys, order, order_with};

/// A plan that renews itself.
const RECURRING: &str = "WW_901O_RECURRING_EUROPE_5GB_1M";

on_both_databases! {
    async fn the_order_type_follows_the_line(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let line = app.deliver(1).await.remove(0);
        if let Some(twin) = app.twin() {
            let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
            app.post("/v1/orders", &body).send().await.expect_status(201);
            let path = format!("/v1/profiles/{}/bundles", line.iccid);
            let before = json!({"reference": unique("top-up"), "product": OTHER_PRODUCT});
            let waiting = app.post(&path, &before).send().await.expect_status(201).json();
            keys::bundle(&waiting);
            assert_eq!(
                (&waiting["order_type"], &waiting["status"]),
                (&json!("preload"), &json!("preloaded"))
            );
            twin.use_in(&line.iccid, "FR").await;
            let after = json!({"reference": unique("top-up"), "product": PRODUCT});
            let running = app.post(&path, &after).send().await.expect_status(201).json();
            assert_eq!(running["order_type"], "subscribe");
            assert_eq!(
                (&running["reference"], &running["product"]),
                (&after["reference"], &after["product"])
            );
            assert_body!(&app, "top_up", &running);
            let sent: Vec<_> =
                twin.orders_of(&line.msisdn).await.iter().map(|order| text(order, "/order_type")).collect();
            assert_eq!(sent, ["preload", "preload", "subscribe"]);
            let again = app.post(&path, &after).send().await.expect_status(200).json();
            assert_eq!(again["id"], running["id"]);
            let other = json!({"reference": after["reference"], "product": OTHER_PRODUCT});
            app.post(&path, &other).send().await.expect_problem(409, "reference-conflict");
            assert_eq!(twin.orders_of(&line.msisdn).await.len(), 3, "nothing more was sent");
        }
        app.finish().await;
    }

    async fn balances_are_the_carriers_with_their_age(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let line = app.deliver(1).await.remove(0);
        if let Some(twin) = app.twin() {
            let body = order_with(OTHER_PRODUCT, &unique("order"), &app.pool, 1);
            app.post("/v1/orders", &body).send().await.expect_status(201);
            twin.use_in(&line.iccid, "FR").await;
            twin.post(&format!("lines/{}/consume", line.iccid), &json!({"bytes": 300 << 20})).await;
            let path = format!("/v1/profiles/{}/bundles", line.iccid);
            let listed = app.get(&path).send().await.expect_status(200).json();
            assert_eq!(listed["next_cursor"], json!(null));
            let bundle = &listed["data"][0];
            keys::bundle(bundle);
            assert_eq!(bundle["status"], "active");
            assert!(bundle["fetched_at"].is_string() && bundle["activated_at"].is_string());
            let data = &bundle["balances"][0];
            assert_eq!((&data["unit"], &data["total"]), (&json!("bytes"), &json!(1u64 << 30)));
            assert_eq!(data["remaining"], json!((1u64 << 30) - (300 << 20)));
            assert_body!(&app, "bundles_in_use", &listed);
            let again = app.get(&path).send().await.expect_status(200).json();
            assert_eq!(again["data"][0]["fetched_at"], bundle["fetched_at"], "read at most once a minute");
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn a_renewal_is_cancelled_and_a_bundle_terminated() {
    let app = TestApp::start().await;
    let line = app.deliver(1).await.remove(0);
    if let Some(twin) = app.twin() {
        let body = order_with(RECURRING, &unique("order"), &app.pool, 1);
        app.post("/v1/orders", &body).send().await.expect_status(201);
        twin.use_in(&line.iccid, "FR").await;
        let bundles = format!("/v1/profiles/{}/bundles", line.iccid);
        let listed = app.get(&bundles).send().await.expect_status(200).json();
        let path = format!("{bundles}/{}", text(&listed, "/data/0/id"));
        let cancel =
            || app.post(&format!("{path}/cancel-renewal"), &json!({})).header("Idempotency-Key", "c-1");
        let taken = cancel().send().await.expect_status(202);
        let mut shown = taken.json();
        for moves_on in ["attempts", "status", "carrier_reference", "evidence"] {
            shown[moves_on] = json!("[open]");
        }
        assert_body!(&app, "cancelled_renewal", &shown);
        let operation = taken.header("location").unwrap().to_owned();
        assert_eq!(operation, format!("/v1/operations/{}", text(&taken.json(), "/id")));
        let done = app.wait_until(&operation, |operation| operation["status"] == "done").await;
        assert_eq!(done["kind"], taken.json()["kind"]);
        let again = cancel().send().await.expect_status(202);
        assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), done));

        let terminate = format!("{path}/terminate");
        for unmeant in [json!({}), json!({"confirm": false})] {
            app.post(&terminate, &unmeant).send().await.expect_problem(422, "confirmation-required");
        }
        // A storefront may, on its own profiles; it reads what becomes of it from the bundles.
        let (_, own) = app.new_key("default", &["storefront"]).await;
        let (_, other) = app.new_key(&unique("channel"), &["storefront"]).await;
        let end = |key: &str| app.post(&terminate, &json!({"confirm": true})).key(key);
        end(&other).send().await.expect_problem(404, "not-found");
        let taken = end(&own).send().await.expect_status(202);
        assert_eq!(taken.header("location"), Some(bundles.as_str()));
        let operation = format!("/v1/operations/{}", text(&taken.json(), "/id"));
        app.wait_until(&operation, |operation| operation["status"] == "done").await;
        let listed = app.get(&bundles).send().await.expect_status(200).json();
        assert_eq!(listed["data"][0]["status"], "terminated");
        end(&own).send().await.expect_problem(409, "invalid-transition");
    }
    for none in ["bdl_01kamf2r8zfq0sh2v2w4r3t9xd", "bdl_x"] {
        let path = format!("/v1/profiles/{}/bundles/{none}/terminate", line.iccid);
        app.post(&path, &json!({"confirm": true})).send().await.expect_problem(404, "not-found");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_top_up_that_cannot_be_is_refused() {
    let app = TestApp::start().await;
    let line = app.deliver(2).await.remove(0);
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    let path = format!("/v1/profiles/{}/bundles", line.iccid);
    for (body, field) in [
        (json!({"reference": "r", "product": "NO_SUCH_PRODUCT"}), ("/product", "unknown")),
        (json!({"reference": "r"}), ("/product", "required")),
        (json!({"product": PRODUCT}), ("/reference", "required")),
        (json!({"reference": " ", "product": PRODUCT}), ("/reference", "format")),
        (json!({"reference": "a\u{2066}b", "product": PRODUCT}), ("/reference", "format")),
        (json!({"reference": "r", "product": PRODUCT, "order_type": "gift"}), ("/order_type", "unknown")),
        (json!({"reference": "r", "product": PRODUCT, "quantity": 2}), ("/quantity", "unknown-field")),
    ] {
        let problem = app.post(&path, &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [field], "{body}");
    }
    if let Some(twin) = app.twin() {
        let wrong_type =
            json!({"reference": unique("top-up"), "product": PRODUCT, "order_type": "subscribe"});
        let answer = app.post(&path, &wrong_type).send().await;
        assert!(matches!(answer.status, 409 | 502), "a line that waits for its first use: {answer:?}");
        assert!(twin.orders_of(&line.msisdn).await.is_empty());
        twin.fail_order(&line.iccid, &json!({"refuse_title": {"status": 402, "title": "INSUFFICIENT_FUND"}}))
            .await;
        let body = json!({"reference": unique("top-up"), "product": PRODUCT});
        let problem = app.post(&path, &body).send().await.expect_problem(502, "carrier-refused");
        assert_eq!(problem["carrier_code"], "INSUFFICIENT_FUND");
        assert_body!(&app, "top_up_refused", &problem);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_top_up_answers_when_the_client_wants_it() {
    let app = TestApp::start().await;
    let line = app.deliver(1).await.remove(0);
    if let Some(twin) = app.twin() {
        app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
        twin.fail_order(&line.iccid, &json!({"slow": {"ms": 1000}})).await;
        let path = format!("/v1/profiles/{}/bundles", line.iccid);
        let body = json!({"reference": unique("top-up"), "product": PRODUCT});
        let answer = app.post(&path, &body).header("Prefer", "respond-async").send().await.expect_status(202);
        assert_eq!(answer.header("location"), Some(path.as_str()), "what a storefront may read");
        let operation = format!("/v1/operations/{}", text(&answer.json(), "/operation/id"));
        let second = json!({"reference": unique("top-up"), "product": PRODUCT});
        app.post(&path, &second).send().await.expect_problem(409, "invalid-transition");
        app.wait_until(&operation, |operation| operation["status"] == "done").await;
        app.post(&path, &body).send().await.expect_status(200);
        app.post(&path, &second).send().await.expect_status(201);
        assert_eq!(twin.orders_of(&line.msisdn).await.len(), 2);
    }
    app.finish().await;
}
