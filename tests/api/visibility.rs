//! Object-level access: a storefront reaches its own channel's orders and their profiles, and nothing else is there.

use reqwest::Method;
use serde_json::json;
use simdepot_tests::app::{Contract, text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::{PRODUCT, order};

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

/// The scopes of the operations, as they were promised. Of two, one suffices, and a refusal names the first.
const SCOPES: [(&[&str], &str); 11] = [
    (
        &["storefront"],
        "list_products get_pool_availability create_order list_orders get_order cancel_order get_refund_eligibility \
         create_hold list_holds get_hold extend_hold release_hold get_activation get_qr_svg get_qr_png create_bundle \
         list_bundles cancel_renewal terminate_bundle",
    ),
    (&["storefront", "stock"], "get_profile get_timeline"),
    (
        &["stock"],
        "create_pool list_pools get_pool update_pool get_pool_stock create_import list_imports get_import \
         get_import_rows undo_import search_profiles update_profile quarantine_profile release_profile retire_profile \
         replace_profile resolve_order",
    ),
    (
        &["lines"],
        "list_operations get_operation resolve_operation get_line get_sim_card get_usage list_groups activate_line \
         modify_line suspend_line reactivate_line terminate_line swap_sim swap_msisdn tariff_holiday test_mode set_contact \
         create_line_job list_line_jobs get_line_job get_line_job_rows pause_line_job resume_line_job",
    ),
    (&["lines", "admin"], "list_rate_plans get_rate_plan_options list_service_profiles get_service_profile"),
    (&["admin", "lines"], "put_rate_plan_options put_service_profile"),
    (&["secrets"], "get_security_codes"),
    (
        &["devices"],
        "get_device_model get_device_compatibility get_device_block block_device unblock_device get_device change_device",
    ),
    (
        &["events"],
        "list_events create_webhook_endpoint list_webhook_endpoints get_webhook_endpoint update_webhook_endpoint \
         delete_webhook_endpoint list_webhook_deliveries replay_webhooks rotate_webhook_secret",
    ),
    (
        &["admin"],
        "create_api_key list_api_keys revoke_api_key start_reconciliation list_reconciliations get_reconciliation",
    ),
    (&[], "receive_carrier_event livez readyz metrics get_openapi"),
];

/// Every operation of the document: method, path, scopes.
fn documented() -> Vec<(Method, &'static str, &'static [&'static str])> {
    let mut found = Vec::new();
    for (path, item) in Contract::current().document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let promised =
                SCOPES.iter().find(|(_, ids)| ids.split_whitespace().any(|promised| promised == id));
            let scopes = promised.unwrap_or_else(|| panic!("{id} has no promised scope")).0;
            let security = match scopes {
                [] => json!([{}]),
                _ => scopes.iter().map(|scope| json!({"bearer": [scope]})).collect(),
            };
            assert_eq!(operation["security"], security, "{id}");
            found.push((method.to_uppercase().parse().unwrap(), path.as_str(), scopes));
        }
    }
    found
}

/// A key without the scope learns nothing about what it sent.
#[tokio::test]
async fn the_scope_comes_before_all_else() {
    let app = TestApp::start().await;
    let iccid = &app.deliver(1).await[0].iccid.clone();
    let mut keys = Vec::new();
    for scope in ["storefront", "stock", "lines", "secrets", "devices", "events", "admin"] {
        keys.push((scope, app.new_key(&unique("channel"), &[scope]).await.1));
    }
    let mut refused = 0;
    for (method, path, scopes) in documented() {
        if scopes.is_empty() {
            continue;
        }
        let real = path
            .replace("{iccid}", iccid)
            .replace("{pool}", &app.pool)
            .replace("{id}", "none")
            .replace("{bundle}", "none");
        let ask = app.ask(method.clone(), &real);
        let asks = [
            ask.clone(),
            app.ask(method.clone(), &format!("{real}?limit=none&nonsense=1")),
            ask.clone().header("Idempotency-Key", "two words").json(&json!({})),
            ask.clone().header("Prefer", "wait=-1").json(&json!({"nonsense": 1})),
            ask.clone().json(&json!(["n", "c", ["storefront"]])),
            ask.clone().body("application/json", "{"),
            ask.clone().body("application/json", ""),
            ask.clone().body("text/plain", "nonsense"),
            ask.clone().body("multipart/form-data", "nonsense"),
        ];
        for (scope, key) in keys.iter().filter(|(scope, _)| !scopes.contains(scope)) {
            for ask in &asks {
                let answer = ask.clone().key(key).send().await;
                assert_eq!(answer.status, 403, "with {scope}: {answer:?}");
                assert_eq!(answer.expect_problem(403, "forbidden")["scope"], scopes[0]);
                refused += 1;
            }
        }
        for bad in [&asks[5], &asks[7]] {
            bad.clone().without_key().send().await.expect_problem(401, "unauthenticated");
        }
        for (scope, key) in keys.iter().filter(|(scope, _)| scopes.contains(scope)) {
            let answer = ask.clone().key(key).send().await;
            assert!(!matches!(answer.status, 401 | 403), "with {scope}: {answer:?}");
        }
    }
    assert!(refused > 2000, "{refused}");
    let key = &keys[3].1;
    app.get("/v1/nothing").key(key).send().await.expect_problem(404, "not-found");
    app.ask(Method::PUT, "/v1/orders").key(key).send().await.expect_problem(405, "method-not-allowed");
    let profile = app.get(&format!("/v1/profiles/{iccid}")).send().await.expect_status(200).json();
    assert_eq!(profile["stock_status"], "available", "nothing happened");
    app.finish().await;
}
