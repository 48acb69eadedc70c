//! Rate plans and their options.

use serde_json::json;
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::fields_of;

on_both_databases! {
    async fn options_are_written_down_and_replaced(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let path = format!("/v1/rate-plans/{}/options", unique("M2MA_WW_TSL"));
        app.get(&path).send().await.expect_problem(404, "not-found");
        let options = json!({"options": [
            {"type": "on_off", "name": "M2M_TSL_BAR_DATA", "default": false},
            {"type": "one_of", "name": "Data limit", "choices": ["NO_THRESHOLD", "250MB"], "default": "NO_THRESHOLD"},
            {"type": "value", "name": "PRICING", "values": ["BUNDLES", "PAY_PER_USE"], "default": "BUNDLES"},
        ]});
        let made = app.put(&path, &options).send().await.expect_status(201).json();
        assert_body!(&app, "rate_plan", &made);
        // The same again writes nothing.
        let again = app.put(&path, &options).send().await.expect_status(200).json();
        assert_eq!(again, made);
        assert_eq!(app.get(&path).send().await.expect_status(200).json(), made);
        let fewer = json!({"options": [{"type": "on_off", "name": "M2M_TSL_BAR_DATA", "default": true}]});
        let replaced = app.put(&path, &fewer).send().await.expect_status(200).json();
        assert_eq!((&replaced["version"], &replaced["options"]), (&json!(2), &fewer["options"]));
        let emptied = app.put(&path, &json!({"options": []})).send().await.expect_status(200).json();
        assert_eq!((&emptied["version"], &emptied["options"]), (&json!(3), &json!([])));
        app.finish().await;
    }
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_with_its_place() {
    let app = TestApp::start().await;
    let path = format!("/v1/rate-plans/{}/options", unique("PLAN"));
    let on_off = |name: &str| json!({"type": "on_off", "name": name, "default": false});
    for (options, expected) in [
        (json!([on_off("A"), on_off("A")]), vec![("/options/1/name", "duplicate")]),
        (
            json!([{"type": "one_of", "name": "x", "choices": ["A", "B"], "default": "C"}]),
            vec![("/options/0/default", "unknown")],
        ),
        (
            json!([on_off("A"), {"type": "value", "name": "B", "values": [], "default": "C"}]),
            vec![("/options/1/values", "length")],
        ),
        (json!([on_off("")]), vec![("/options/0/name", "length")]),
        (json!([on_off("a\nb")]), vec![("/options/0/name", "format")]),
        (json!([on_off(&"é".repeat(101))]), vec![("/options/0/name", "length")]),
        (
            json!([{"type": "one_of", "name": "x", "choices": ["A", ""], "default": "A"}]),
            vec![("/options/0/choices/1", "length")],
        ),
        (json!([{"type": "on_off", "name": "A"}]), vec![("/options/0/default", "required")]),
        (
            json!([{"type": "on_off", "name": "A", "default": true, "values": []}]),
            vec![("/options/0/values", "unknown-field")],
        ),
        (json!([{"type": "slider", "name": "A"}]), vec![("/options/0/type", "unknown")]),
    ] {
        let body = json!({"options": options});
        let problem = app.put(&path, &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), expected, "{body}");
    }
    let many: Vec<_> = (0..501).map(|number| on_off(&format!("O{number}"))).collect();
    let problem =
        app.put(&path, &json!({"options": many})).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("/options", "length")]);
    assert_eq!(
        app.put(&path, &json!({"options": many[1..]})).send().await.expect_status(201).json()["version"],
        1
    );
    app.put("/v1/rate-plans/a%2Fb/options", &json!({"options": []}))
        .send()
        .await
        .expect_problem(404, "not-found");
    app.finish().await;
}

#[tokio::test]
async fn rate_plans_are_listed_by_name() {
    let app = TestApp::start().await;
    let first = unique("AAA PLAN");
    let second = unique("AAB:PLAN");
    for name in [&second, &first] {
        let path = format!("/v1/rate-plans/{}/options", name.replace(' ', "%20"));
        app.put(&path, &json!({"options": []})).send().await.expect_status(201);
    }
    let mut path = "/v1/rate-plans?limit=1".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = app.get(&path).send().await.expect_status(200).json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|row| text(row, "/rate_plan")));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/rate-plans?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    let ours: Vec<_> = seen.iter().filter(|name| **name == first || **name == second).collect();
    assert_eq!(ours, [&first, &second]);
    app.get("/v1/rate-plans?cursor=x").send().await.expect_problem(422, "validation-failed");
    app.finish().await;
}

#[tokio::test]
async fn a_key_needs_the_scope() {
    let app = TestApp::start().await;
    let path = format!("/v1/rate-plans/{}/options", unique("PLAN"));
    let body = json!({"options": []});
    let (_, shop) = app.new_key("default", &["storefront", "stock"]).await;
    let refused = app.put(&path, &body).key(&shop).send().await.expect_problem(403, "forbidden");
    assert_eq!(refused["scope"], "admin");
    app.get("/v1/rate-plans").key(&shop).send().await.expect_problem(403, "forbidden");
    for scope in ["lines", "admin"] {
        let (_, key) = app.new_key("default", &[scope]).await;
        assert!(app.put(&path, &body).key(&key).send().await.status < 300);
        app.get(&path).key(&key).send().await.expect_status(200);
    }
    app.finish().await;
}
