//! Comparing everything with the carriers.

use reqwest::Method;
use serde_json::json;
use simdepot_tests::app::{AppOptions, text, unique};
use simdepot_tests::{TestApp, TestDatabase};

use crate::checked::assert_body;
use crate::{fields_of, keys, order};

/// The whole stock is compared, so it must be this test's own.
async fn app() -> Option<TestApp> {
    TestApp::in_process(TestDatabase::sqlite(), AppOptions::default()).await
}

#[tokio::test]
async fn everything_is_compared_in_the_background() {
    let Some(app) = app().await else { return };
    let lines = app.deliver(3).await;
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    let twin = app.twin().unwrap();
    // Somebody has a profile that nobody sold.
    for line in &lines[1..2] {
        twin.post(&format!("lines/{}/download", line.iccid), &json!({})).await;
    }
    let begun = app.post("/v1/reconciliations", &json!({})).send().await.expect_status(202);
    let path = begun.header("location").unwrap().to_owned();
    let body = begun.json();
    keys::reconciliation(&body);
    assert_eq!(path, format!("/v1/reconciliations/{}", text(&body, "/id")));
    assert_eq!((&body["total"], &body["finished_at"]), (&json!(3), &json!(null)));
    let done = app.wait_until(&path, |seen| seen["status"] != "running").await;
    keys::reconciliation(&done);
    assert_body!(&app, "reconciliation", &done);
    let profile = app.get(&format!("/v1/profiles/{}", lines[1].iccid)).send().await.expect_status(200).json();
    assert_eq!(
        (&profile["stock_status"], &profile["quarantine_reason"]),
        (&json!("quarantined"), &json!("seen_in_use"))
    );
    let listed = app.get("/v1/reconciliations").send().await.expect_status(200).json();
    assert_eq!((&listed["data"][0]["id"], &listed["next_cursor"]), (&done["id"], &json!(null)));
    app.get("/v1/reconciliations/rec_01kamf2r8zfq0sh2v2y5n0c8rd")
        .send()
        .await
        .expect_problem(404, "not-found");
    app.finish().await;
}

#[tokio::test]
async fn one_runs_at_a_time() {
    let Some(app) = app().await else { return };
    app.deliver(40).await;
    let ask = || app.ask(Method::POST, "/v1/reconciliations").header("idempotency-key", "daily");
    let first = ask().send().await.expect_status(202);
    let second = app.ask(Method::POST, "/v1/reconciliations").send().await.expect_status(202);
    assert_eq!(first.json()["id"], second.json()["id"], "the one that is under way");
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), (None, None));
    let path = first.header("location").unwrap().to_owned();
    let done = app.wait_until(&path, |seen| seen["status"] != "running").await;
    assert_eq!((&done["status"], &done["compared"]), (&json!("completed"), &json!(40)), "{done:#}");
    let replayed = ask().send().await.expect_status(202);
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    assert_eq!(replayed.json()["id"], done["id"]);
    let next = app.ask(Method::POST, "/v1/reconciliations").send().await.expect_status(202).json();
    assert_ne!(next["id"], done["id"]);
    let path = format!("/v1/reconciliations/{}", text(&next, "/id"));
    app.wait_until(&path, |seen| seen["status"] == "completed").await;
    let listed = app.get("/v1/reconciliations?limit=1").send().await.expect_status(200).json();
    assert_eq!((&listed["data"][0]["id"], listed["next_cursor"].is_string()), (&next["id"], true));
    app.post("/v1/reconciliations", &json!({"all": true}))
        .send()
        .await
        .expect_problem(422, "validation-failed");
    app.finish().await;
}

#[tokio::test]
async fn lines_that_the_stock_lacks_are_adopted() {
    let Some(app) = app().await else { return };
    app.deliver(1).await;
    let twin = app.twin().unwrap();
    twin.patch("assumptions", &json!({"sim_search_lag_seconds": 0})).await;
    twin.post("lines", &json!({"count": 2})).await;
    let begun =
        app.post("/v1/reconciliations", &json!({"adopt_into": app.pool})).send().await.expect_status(202);
    let path = begun.header("location").unwrap().to_owned();
    let done = app.wait_until(&path, |seen| seen["status"] != "running").await;
    keys::reconciliation(&done);
    assert_eq!(
        (&done["adopted"], &done["unknown_lines"], &done["compared"]),
        (&json!(2), &json!(0), &json!(3))
    );
    let listed = app.get(&format!("/v1/imports?pool={}", app.pool)).send().await.expect_status(200).json();
    let made = listed["data"].as_array().unwrap().iter().find(|import| import["file_name"] == "sim-search");
    let made = made.unwrap();
    keys::import(made);
    assert_eq!((&made["format"], &made["accepted"]), (&json!("park"), &json!(2)));
    let nowhere = json!({"adopt_into": unique("none")});
    let problem =
        app.post("/v1/reconciliations", &nowhere).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("/adopt_into", "unknown")]);
    app.finish().await;
}
