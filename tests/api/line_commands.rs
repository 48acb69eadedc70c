//! Commands to lines over HTTP: taken, refused by a rule, only tried, and nobody else's.

use serde_json::{Value as Json, json};
use simdepot_tests::app::unique;
use simdepot_tests::{TestApp, TestDatabase, on_both_databases};

use crate::checked::assert_body;
use crate::fields_of;

/// An app whose carrier lets lines be managed, with one line in the stock.
async fn managed(db: TestDatabase) -> Option<(TestApp, String)> {
    let app = TestApp::start_on(db).await;
    let twin = app.twin()?;
    twin.patch("assumptions", &json!({"connectivity_open": true, "transaction_delay_ms": 50})).await;
    let line = app.deliver(1).await.remove(0);
    Some((app, line.iccid))
}

async fn ended(app: &TestApp, taken: &Json) -> Json {
    let path = format!("/v1/operations/{}", taken["id"].as_str().unwrap());
    let open = ["pending", "sent", "accepted", "unknown"];
    app.wait_until(&path, |operation| !open.contains(&operation["status"].as_str().unwrap())).await
}

on_both_databases! {
    async fn a_line_is_activated_suspended_and_ended(db: TestDatabase) {
        let Some((app, iccid)) = managed(db).await else { return };
        let path = |command: &str| format!("/v1/profiles/{iccid}/line/{command}");
        let setup = json!({"group": "fleet-a", "external_reference": "truck-17"});
        let taken = app.post(&path("activate"), &setup).header("Idempotency-Key", "a-1").send().await;
        let taken = taken.expect_status(202);
        let location = taken.header("location").unwrap().to_owned();
        let taken = taken.json();
        assert_eq!(location, format!("/v1/operations/{}", taken["id"].as_str().unwrap()));
        assert_body!(&app, "line_command_taken", &taken);
        let again = app.post(&path("activate"), &setup).header("Idempotency-Key", "a-1").send().await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.expect_status(202).json()["id"], taken["id"]);
        assert_eq!(ended(&app, &taken).await["status"], "done");
        let line = app.get(&format!("/v1/profiles/{iccid}/line")).send().await.expect_status(200).json();
        let stands = (&line["sim_status"], &line["group"], &line["external_reference"]);
        assert_eq!(stands, (&json!("active"), &json!("fleet-a"), &json!("truck-17")));

        // Bodies may be left out.
        let bare = app.ask(reqwest::Method::POST, &path("suspend")).send().await.expect_status(202).json();
        assert_eq!(ended(&app, &bare).await["kind"], "suspend");
        let again = app.post(&path("suspend"), &json!({})).send().await;
        let problem = again.expect_problem(409, "invalid-transition");
        assert_eq!((&problem["from"], &problem["command"]), (&json!("suspended"), &json!("suspend")));
        assert!(problem["detail"].as_str().unwrap().starts_with("suspend-while-working"), "{problem}");

        let dry = app.post(&path("terminate"), &json!({"dry_run": true})).send().await.expect_status(200).json();
        assert_body!(&app, "line_command_preview", &dry);
        app.post(&path("terminate"), &json!({})).send().await.expect_problem(422, "confirmation-required");
        let end = app.post(&path("terminate"), &json!({"confirm": true})).send().await.expect_status(202).json();
        assert_eq!(ended(&app, &end).await["status"], "done");
        let profile = app.get(&format!("/v1/profiles/{iccid}")).send().await.expect_status(200).json();
        assert_eq!(profile["sim_status"], "terminated");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_late_failure_is_a_refusal_with_the_carriers_words() {
    let app = TestApp::start().await;
    let Some(twin) = app.twin() else { return app.finish().await };
    twin.patch("assumptions", &json!({"connectivity_open": true, "transaction_delay_ms": 50})).await;
    let iccid = app.deliver(1).await.remove(0).iccid;
    let setup = json!({"group": "nobody-knows-it"});
    let path = format!("/v1/profiles/{iccid}/line/activate");
    let taken = app.post(&path, &setup).send().await.expect_status(202).json();
    let refused = ended(&app, &taken).await;
    assert_eq!(refused["status"], "refused");
    assert!(refused["problem"].to_string().contains("GROUP_NOT_FOUND"), "{refused}");
    let profile = app.get(&format!("/v1/profiles/{iccid}")).send().await.json();
    assert_eq!(profile["stock_status"], "available", "it is on sale again");
    app.finish().await;
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let app = TestApp::start().await;
    let iccid = app.deliver(1).await.remove(0).iccid;
    let refused = |command: &'static str, body: Json| {
        let ask = app.post(&format!("/v1/profiles/{iccid}/line/{command}"), &body);
        async move {
            let problem = ask.send().await.expect_problem(422, "validation-failed");
            let named: Vec<(String, String)> = fields_of(&problem)
                .into_iter()
                .map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
                .collect();
            named
        }
    };
    let one = |pointer: &str, code: &str| vec![(pointer.to_owned(), code.to_owned())];
    assert_eq!(refused("activate", json!({"colour": "red"})).await, one("/colour", "unknown-field"));
    assert_eq!(
        refused("activate", json!({"service_profile": "none"})).await,
        one("/service_profile", "unknown")
    );
    assert_eq!(refused("modify", json!({})).await, one("", "required"));
    assert_eq!(refused("swap-sim", json!({"new_iccid": "12AB"})).await.len(), 1);
    let contact = app.ask(reqwest::Method::PUT, &format!("/v1/profiles/{iccid}/line/contact"));
    let wrong = contact.json(&json!({"date_of_birth": "12.7.1998"})).send().await;
    let problem = wrong.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("/date_of_birth", "format")]);
    app.finish().await;
}

#[tokio::test]
async fn a_storefront_tells_only_its_own_lines() {
    let app = TestApp::start().await;
    let iccid = app.deliver(1).await.remove(0).iccid;
    let (_, other) = app.new_key(&unique("channel"), &["storefront", "lines"]).await;
    let (_, operator) = app.new_key(&unique("channel"), &["lines"]).await;
    let path = format!("/v1/profiles/{iccid}/line/suspend");
    let ask = |key: &str| app.post(&path, &json!({})).key(key);
    ask(&other).send().await.expect_problem(404, "not-found");
    ask(&operator).send().await.expect_problem(409, "invalid-transition");
    app.finish().await;
}
