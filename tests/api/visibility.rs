//! Object-level access: a storefront reaches its own channel's orders and their profiles, and nothing else is there.

use serde_json::json;
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::{PRODUCT, order, order_with};

on_both_databases! {
    async fn another_channel_finds_nothing(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.deliver(2).await;
        let (_, own) = app.new_key("default", &["storefront"]).await;
        let (_, other) = app.new_key(&unique("channel"), &["storefront"]).await;
        let reference = unique("order");
        let placed = app.post("/v1/orders", &order(&reference, &app.pool, 1)).key(&own).send().await;
        let id = text(&placed.expect_status(201).json(), "/id");
        let profile = format!("/v1/profiles/{}", lines[0].iccid);
        for path in [
            format!("/v1/orders/{id}"),
            format!("/v1/orders/{id}?reveal=true"),
            format!("/v1/orders/{id}/refund-eligibility"),
            profile.clone(),
            format!("{profile}/activation"),
            format!("{profile}/qr.svg"),
            format!("{profile}/qr.png"),
            format!("{profile}/bundles"),
        ] {
            let refused = app.get(&path).key(&other).send().await.expect_problem(404, "not-found");
            // Not even by its wording: what is not there at all is answered the same way.
            let missing = path
                .replace(&lines[0].iccid, "8988247000000099990")
                .replace(&id, "ord_01kamf2r8ye4ja3v6m1tbk7q5c");
            let nothing = app.get(&missing).key(&other).send().await.expect_problem(404, "not-found");
            assert_eq!(refused["detail"], nothing["detail"], "{path}");
            assert_eq!(app.get(&path).key(&own).send().await.status, 200, "{path}");
        }
        let top_up = json!({"reference": unique("top-up"), "product": PRODUCT});
        app.post(&format!("{profile}/bundles"), &top_up)
            .key(&other)
            .send()
            .await
            .expect_problem(404, "not-found");
        for query in ["", &format!("?reference={reference}"), "?status=fulfilled"] {
            let listed = app.get(&format!("/v1/orders{query}")).key(&other).send().await.expect_status(200);
            assert_eq!(listed.json()["data"], json!([]), "{query}");
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn a_channel_keeps_its_orders_when_its_key_changes() {
    let app = TestApp::start().await;
    app.deliver(1).await;
    let channel = unique("channel");
    let (id, first) = app.new_key(&channel, &["storefront"]).await;
    let placed = app.post("/v1/orders", &order("order-1", &app.pool, 1)).key(&first).send().await;
    let placed = placed.expect_status(201).json();
    let (_, second) = app.new_key(&channel, &["storefront"]).await;
    app.delete(&format!("/v1/api-keys/{id}")).send().await.expect_status(204);
    let path = format!("/v1/orders/{}?reveal=true", text(&placed, "/id"));
    app.get(&path).key(&first).send().await.expect_problem(401, "unauthenticated");
    let read = app.get(&path).key(&second).send().await.expect_status(200).json();
    assert_eq!(
        read["lines"][0]["profiles"][0]["activation"],
        placed["lines"][0]["profiles"][0]["activation"]
    );
    let again = app.post("/v1/orders", &order("order-1", &app.pool, 1)).key(&second).send().await;
    assert_eq!(again.expect_status(200).json()["id"], placed["id"], "references belong to the channel");
    app.finish().await;
}

#[tokio::test]
async fn a_storefront_sees_its_profiles_without_the_stock_keepers_notes() {
    let app = TestApp::start().await;
    let lines = app.deliver(2).await;
    let (_, key) = app.new_key("default", &["storefront"]).await;
    let (sold, unsold) =
        (format!("/v1/profiles/{}", lines[0].iccid), format!("/v1/profiles/{}", lines[1].iccid));
    app.patch(&sold, &json!({"note": "bought cheaply", "tags": ["kiosk"]})).send().await.expect_status(200);
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).key(&key).send().await.expect_status(201);
    let seen = app.get(&sold).key(&key).send().await.expect_status(200);
    assert!(!seen.text().contains("cheaply") && !seen.text().contains("kiosk"), "{seen:?}");
    assert!(!seen.text().contains(lines[0].matching_id()), "never the code");
    app.get(&unsold).key(&key).send().await.expect_problem(404, "not-found");
    assert_eq!(app.get(&unsold).send().await.expect_status(200).json()["stock_status"], "available");
    app.finish().await;
}

#[tokio::test]
async fn a_storefront_reads_the_operations_of_its_orders() {
    let app = TestApp::start().await;
    if app.twin().is_none() {
        return app.finish().await;
    }
    app.deliver(1).await;
    let (_, own) = app.new_key("default", &["storefront"]).await;
    let (_, other) = app.new_key(&unique("channel"), &["storefront"]).await;
    let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
    let placed = app.post("/v1/orders", &body).key(&own).send().await;
    let id = text(&placed.expect_status(201).json(), "/lines/0/profiles/0/bundle/operation/id");
    let path = format!("/v1/operations/{id}");
    assert_eq!(app.get(&path).key(&own).send().await.expect_status(200).json()["status"], "done");
    app.get(&path).key(&other).send().await.expect_problem(404, "not-found");
    app.get("/v1/operations").key(&own).send().await.expect_problem(403, "forbidden");
    app.finish().await;
}

#[tokio::test]
async fn every_operation_asks_for_its_scope() {
    const STOREFRONT: &[&str] = &["storefront"];
    const STOCK: &[&str] = &["stock"];
    const ADMIN: &[&str] = &["admin"];
    let app = TestApp::start().await;
    let iccid = &app.deliver(1).await[0].iccid.clone();
    let mut keys = Vec::new();
    for scope in ["storefront", "stock", "lines", "secrets", "devices", "events", "admin"] {
        keys.push((scope, app.new_key(&unique("channel"), &[scope]).await.1));
    }
    let order_body = order(&unique("order"), &app.pool, 1);
    let hold = json!({"pool": app.pool, "quantity": 1, "ttl_seconds": 60});
    let reason = json!({"reason": "test"});
    let pool = json!({"pool": unique("pool"), "carrier_account": app.account, "name": "n"});
    let key = json!({"name": "n", "channel": "c", "scopes": ["admin"]});
    let profile = format!("/v1/profiles/{iccid}");
    let own_pool = format!("/v1/pools/{}", app.pool);
    // The scopes that open it; a refusal names the first.
    for (ask, scopes) in [
        (app.get("/v1/products"), STOREFRONT),
        (app.get(&format!("{own_pool}/availability")), STOREFRONT),
        (app.post("/v1/orders", &order_body), STOREFRONT),
        (app.get("/v1/orders"), STOREFRONT),
        (app.get("/v1/orders/ord_01kamf2r8ye4ja3v6m1tbk7q5c"), STOREFRONT),
        (app.post("/v1/holds", &hold), STOREFRONT),
        (app.get("/v1/holds"), STOREFRONT),
        (app.get("/v1/holds/hold_01kamf2r8xd7qv0m3c5n9hyz4a"), STOREFRONT),
        (app.patch("/v1/holds/hold_01kamf2r8xd7qv0m3c5n9hyz4a", &json!({"ttl_seconds": 60})), STOREFRONT),
        (app.delete("/v1/holds/hold_01kamf2r8xd7qv0m3c5n9hyz4a"), STOREFRONT),
        (app.post("/v1/orders/ord_01kamf2r8ye4ja3v6m1tbk7q5c/cancel", &json!({})), STOREFRONT),
        (app.get("/v1/orders/ord_01kamf2r8ye4ja3v6m1tbk7q5c/refund-eligibility"), STOREFRONT),
        (app.get(&format!("{profile}/bundles")), STOREFRONT),
        (app.post(&format!("{profile}/bundles"), &json!({"reference": "r", "product": PRODUCT})), STOREFRONT),
        (app.get(&format!("{profile}/activation")), STOREFRONT),
        (app.get(&format!("{profile}/qr.svg")), STOREFRONT),
        (app.get(&format!("{profile}/qr.png")), STOREFRONT),
        (app.get(&profile), &["storefront", "stock"]),
        (app.post("/v1/pools", &pool), STOCK),
        (app.get("/v1/pools"), STOCK),
        (app.get(&own_pool), STOCK),
        (app.patch(&own_pool, &json!({"name": "n"})), STOCK),
        (app.get(&format!("{own_pool}/stock")), STOCK),
        (app.import("ICCID\n"), STOCK),
        (app.get("/v1/imports"), STOCK),
        (app.get("/v1/imports/imp_01kamdz6m4e9vt6hjgq3b5n2ya"), STOCK),
        (app.get("/v1/imports/imp_01kamdz6m4e9vt6hjgq3b5n2ya/rows.csv"), STOCK),
        (app.ask(reqwest::Method::POST, "/v1/imports/imp_01kamdz6m4e9vt6hjgq3b5n2ya/undo"), STOCK),
        (app.get("/v1/profiles"), STOCK),
        (app.patch(&profile, &json!({"note": "n"})), STOCK),
        (app.post(&format!("{profile}/quarantine"), &reason), STOCK),
        (app.post(&format!("{profile}/release"), &reason), STOCK),
        (app.post(&format!("{profile}/retire"), &reason), STOCK),
        (app.post(&format!("{profile}/replace"), &reason), STOCK),
        (
            app.post(
                "/v1/orders/ord_01kamf2r8ye4ja3v6m1tbk7q5c/resolve",
                &json!({"outcome": "accept", "reason": "test"}),
            ),
            STOCK,
        ),
        (app.get("/v1/operations"), &["lines", "stock", "admin"]),
        (app.get("/v1/operations/op_01kamf2r8zfq0sh2v2x7mwh3qe"), &["storefront", "stock", "lines", "admin"]),
        (app.post("/v1/reconciliations", &json!({})), ADMIN),
        (app.get("/v1/reconciliations"), ADMIN),
        (app.get("/v1/reconciliations/rec_01kamf2r8zfq0sh2v2y5n0c8rd"), ADMIN),
        (app.post("/v1/api-keys", &key), ADMIN),
        (app.get("/v1/api-keys"), ADMIN),
        (app.delete("/v1/api-keys/key_01kamcw9q7fd8rsqv1a6x0e4mz"), ADMIN),
    ] {
        for (scope, key) in keys.iter().filter(|(scope, _)| !scopes.contains(scope)) {
            let answer = ask.clone().key(key).send().await;
            assert_eq!(answer.status, 403, "with {scope}: {answer:?}");
            let refused = answer.expect_problem(403, "forbidden");
            assert_eq!(refused["scope"], scopes[0], "{refused:#}");
        }
    }
    let stock_after = app.get(&format!("{own_pool}/stock")).send().await.json();
    assert_eq!(stock_after["counts"]["available"], 1, "nothing happened");
    app.finish().await;
}
