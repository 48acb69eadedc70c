//! Service profiles.

use serde_json::json;
use simdepot_tests::app::unique;
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::fields_of;

on_both_databases! {
    async fn a_service_profile_is_made_and_replaced(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let plan = unique("PLAN");
        let options = json!({"options": [{"type": "on_off", "name": "BAR_DATA", "default": false}]});
        app.put(&format!("/v1/rate-plans/{plan}/options"), &options).send().await.expect_status(201);
        let path = format!("/v1/service-profiles/{}", unique("trackers"));
        app.get(&path).send().await.expect_problem(404, "not-found");
        let body = json!({
            "rate_plan": plan, "options": [{"name": "BAR_DATA", "value": "on"}], "description": "Trackers in Europe"
        });
        let made = app.put(&path, &body).send().await.expect_status(201).json();
        assert_body!(&app, "service_profile", &made);
        assert_eq!(app.put(&path, &body).send().await.expect_status(200).json(), made);

        // The rate plan loses the option: the profile stays, and says what does not fit.
        app.put(&format!("/v1/rate-plans/{plan}/options"), &json!({"options": []})).send().await.expect_status(200);
        let shown = app.get(&path).send().await.expect_status(200).json();
        assert_body!(&app, "service_profile_that_does_not_fit", &shown);
        let bare = app.put(&path, &json!({"rate_plan": plan})).send().await.expect_status(200).json();
        assert_eq!((&bare["fits"], &bare["version"], &bare["description"]), (&json!(true), &json!(2), &json!(null)));
        let listed = app.get("/v1/service-profiles?limit=200").send().await.expect_status(200).json();
        assert!(listed["data"].as_array().unwrap().contains(&bare));
        app.finish().await;
    }
}

#[tokio::test]
async fn options_must_fit_the_rate_plan() {
    let app = TestApp::start().await;
    let plan = unique("PLAN");
    let options = json!({"options": [
        {"type": "one_of", "name": "limit", "choices": ["NO_LIMIT", "1GB"], "default": "NO_LIMIT"}
    ]});
    app.put(&format!("/v1/rate-plans/{plan}/options"), &options).send().await.expect_status(201);
    let path = format!("/v1/service-profiles/{}", unique("profile"));
    let option = |name: &str, value: &str| json!({"name": name, "value": value});
    for (rate_plan, options, expected) in [
        (&plan, json!([option("NOPE", "on")]), ("/options/0/name", "unknown")),
        (&plan, json!([option("1GB", "maybe")]), ("/options/0/value", "unknown")),
        (&plan, json!([option("1GB", "on"), option("NO_LIMIT", "on")]), ("/options/1/value", "exclusive")),
        (&unique("OTHER"), json!([option("A", "on"), option("A", "off")]), ("/options/1/name", "duplicate")),
        (&plan, json!([option("", "on")]), ("/options/0/name", "length")),
        (&"a\nb".to_owned(), json!([]), ("/rate_plan", "format")),
    ] {
        let body = json!({"rate_plan": rate_plan, "options": options});
        let problem = app.put(&path, &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [expected], "{body}");
    }
    // Of a rate plan that nobody wrote down the carrier decides.
    let body = json!({"rate_plan": unique("OTHER"), "options": [option("A", "on")]});
    assert_eq!(app.put(&path, &body).send().await.expect_status(201).json()["fits"], true);
    let (_, shop) = app.new_key("default", &["storefront", "stock"]).await;
    app.put(&path, &body).key(&shop).send().await.expect_problem(403, "forbidden");
    app.get(&path).key(&shop).send().await.expect_problem(403, "forbidden");
    app.finish().await;
}
