//! A profile's story over HTTP.

use serde_json::json;
use simdepot_tests::TestApp;
use simdepot_tests::app::unique;

use crate::checked::assert_body;
use crate::{PRODUCT, order_with};

#[tokio::test]
async fn a_story_is_told() {
    let app = TestApp::start().await;
    let line = app.deliver(1).await.remove(0);
    let path = format!("/v1/profiles/{}/timeline", line.iccid);
    let stocked = app.get(&path).send().await.expect_status(200).json();
    assert_eq!(
        (&stocked["diagnosis"], &stocked["next_cursor"]),
        (&json!({"code": "not_sold", "text": "In the stock: not sold yet."}), &json!(null))
    );
    let channel = unique("channel");
    let (_, key) = app.new_key(&channel, &["storefront"]).await;
    app.get(&path).key(&key).send().await.expect_problem(404, "not-found");
    let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
    app.post("/v1/orders", &body).key(&key).send().await.expect_status(201);
    let told = app.get(&path).key(&key).send().await.expect_status(200);
    assert!(!told.text().contains(line.matching_id()), "never the code");
    let told = told.json();
    assert_eq!(told["diagnosis"]["code"], "never_downloaded");
    let types: Vec<&str> =
        told["data"].as_array().unwrap().iter().map(|row| row["type"].as_str().unwrap()).collect();
    for expected in [
        "import.completed",
        "profile.stock_moved",
        "order.created",
        "bundle.ordered",
        "operation.status_changed",
        "order.status_changed",
        "profile.code_revealed",
    ] {
        assert!(types.contains(&expected), "{expected}: {types:?}");
    }
    let last = told["data"].as_array().unwrap().last().unwrap();
    assert!(last["text"].as_str().unwrap().starts_with("Code shown to key key_"), "{last}");
    let entry =
        told["data"].as_array().unwrap().iter().find(|row| row["type"] == "order.status_changed").unwrap();
    assert_body!(&app, "timeline_entry", entry);
    // A key that sees neither storefronts' nor the keeper's profiles.
    let (_, events) = app.new_key(&channel, &["events"]).await;
    app.get(&path).key(&events).send().await.expect_problem(403, "forbidden");
    let (_, other) = app.new_key(&unique("channel"), &["storefront"]).await;
    app.get(&path).key(&other).send().await.expect_problem(404, "not-found");
    app.get("/v1/profiles/8988247000000099990/timeline").send().await.expect_problem(404, "not-found");
    app.finish().await;
}
