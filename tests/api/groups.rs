//! Groups of lines, and profiles by what their lines are called.

use serde_json::{Value as Json, json};
use simdepot_application::observations::{self, Sightings};
use simdepot_domain::carrier::LineReading;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineDetails;
use simdepot_domain::observation::Source;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::profiles;
use simdepot_tests::app::{AppOptions, TestLine, text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::fields_of;

/// The carrier tells how a line stands and what it is called.
async fn tell(app: &TestApp, line: &TestLine, status: SimStatus, group: &str, reference: &str) {
    let depot = app.depot().unwrap().clone();
    let iccid = Iccid::parse(&line.iccid).unwrap();
    let reading = LineReading {
        msisdn: None,
        sim_status: Some(status),
        observed_at: depot.now(),
        dated_by_carrier: false,
        source: Source::Read,
        details: LineDetails {
            group: Some(group.to_owned()),
            external_reference: Some(reference.to_owned()),
            ..LineDetails::default()
        },
    };
    let work = depot.clone();
    let learned = depot.write_again(move |conn| {
        let profile = profiles::find(conn, &iccid)?.unwrap();
        let seen = Sightings { line: Some(reading.clone()), ..Sightings::default() };
        observations::learn(conn, &work, profile, &seen, work.now())
    });
    learned.await.unwrap();
}

async fn found(app: &TestApp, query: &str) -> Vec<String> {
    let page = app.get(&format!("/v1/profiles?{query}")).send().await.expect_status(200).json();
    page["data"].as_array().unwrap().iter().map(|row| text(row, "/iccid")).collect()
}

on_both_databases! {
    async fn groups_tell_how_their_lines_stand(db: TestDatabase) {
        let Some(app) = TestApp::in_process(db, AppOptions::default()).await else { return };
        let lines = app.deliver(5).await;
        let (a, b) = (unique("a"), unique("b"));
        tell(&app, &lines[0], SimStatus::Active, &a, "truck 7").await;
        tell(&app, &lines[1], SimStatus::Suspended, &a, "truck 8").await;
        tell(&app, &lines[2], SimStatus::Active, &b, "truck 7").await;
        let listed = app.get("/v1/groups").send().await.expect_status(200).json();
        assert_body!(&app, "groups", &listed);
        let mine = app.get(&format!("/v1/groups?carrier_account={}", app.account)).send().await.json();
        assert_eq!(mine, listed);
        let none = app.get("/v1/groups?carrier_account=other").send().await.expect_status(200).json();
        assert_eq!(none["data"], json!([]));

        // Page by page, the lines without a group among them.
        let mut path = "/v1/groups?limit=1".to_owned();
        let mut rows: Vec<Json> = Vec::new();
        loop {
            let page = app.get(&path).send().await.expect_status(200).json();
            rows.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/v1/groups?limit=1&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(json!(rows), listed["data"]);

        let [first, second, third] = [0, 1, 2].map(|line: usize| lines[line].iccid.clone());
        assert_eq!(found(&app, &format!("group={a}")).await, [first.clone(), second]);
        assert_eq!(found(&app, "external_reference=truck%207").await, [first.clone(), third]);
        assert_eq!(found(&app, &format!("group={a}&external_reference=truck%207")).await, vec![first.clone()]);
        assert!(found(&app, "group=nobody").await.is_empty());
        let profile = app.get(&format!("/v1/profiles/{first}")).send().await.expect_status(200).json();
        assert_eq!((&profile["group"], &profile["external_reference"]), (&json!(a), &json!("truck 7")));
        assert_eq!((&profile["rate_plan"], &profile["suspended_by"]), (&json!(null), &json!(null)));
        app.finish().await;
    }
}

#[tokio::test]
async fn a_key_needs_the_scope() {
    let app = TestApp::start().await;
    let (_, shop) = app.new_key("default", &["storefront", "stock"]).await;
    app.get("/v1/groups").key(&shop).send().await.expect_problem(403, "forbidden");
    for (query, pointer) in [("group=", "?group"), ("external_reference=", "?external_reference")] {
        let problem = app.get(&format!("/v1/profiles?{query}")).send().await;
        assert_eq!(fields_of(&problem.expect_problem(422, "validation-failed"))[0].0, pointer);
    }
    app.get("/v1/groups?cursor=x").send().await.expect_problem(422, "validation-failed");
    app.finish().await;
}
