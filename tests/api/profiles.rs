//! Reading, searching, editing and moving profiles.

use serde_json::{Value as Json, json};
use simdepot_tests::TestApp;
use simdepot_tests::app::{text, unique};

use crate::checked::assert_body;
use crate::{fields_of, order};

async fn found(app: &TestApp, query: &str) -> Vec<String> {
    let page = app.get(&format!("/v1/profiles?{query}")).send().await.expect_status(200).json();
    page["data"].as_array().unwrap().iter().map(|row| text(row, "/iccid")).collect()
}

#[tokio::test]
async fn a_profile_is_read_by_either_form_of_its_iccid() {
    let app = TestApp::start().await;
    let line = app.deliver(1).await.remove(0);
    let profile = app.get(&format!("/v1/profiles/{}", line.iccid)).send().await.expect_status(200);
    assert!(!profile.text().contains(line.matching_id()), "never the code");
    assert_body!(&app, "profile", &profile.json());
    // The same SIM with a check digit behind the 19 (ITU-T E.118 leaves the length open).
    let longer = app.get(&format!("/v1/profiles/{}7", line.iccid)).send().await.expect_status(200).json();
    assert_eq!(longer["iccid"], line.iccid.as_str());
    for none in ["8988247000000099990", "1", "abc", &format!("{}77", line.iccid)] {
        app.get(&format!("/v1/profiles/{none}")).send().await.expect_problem(404, "not-found");
    }
    app.finish().await;
}

#[tokio::test]
async fn profiles_are_found_by_what_people_have_at_hand() {
    let app = TestApp::start().await;
    let lines = app.deliver(3).await;
    let reference = unique("order");
    app.post("/v1/orders", &order(&reference, &app.pool, 1)).send().await.expect_status(201);
    let batch = app.get(&format!("/v1/profiles/{}", lines[0].iccid)).send().await.json()["batch"].clone();
    let [first, second, third] = [0, 1, 2].map(|line: usize| lines[line].iccid.clone());
    let pool = &app.pool;
    for (query, expected) in [
        (format!("q={second}"), vec![&second]),
        (format!("q={}", lines[2].msisdn), vec![&third]),
        (format!("q=%2B{}", lines[2].msisdn), vec![&third]),
        (format!("q={reference}"), vec![&first]),
        (format!("q={}", unique("nothing")), vec![]),
        (format!("pool={pool}&stock_status=allocated"), vec![&first]),
        (format!("pool={pool}&stock_status=available"), vec![&second, &third]),
        (format!("pool={pool}&stock_status=available&q={first}"), vec![]),
        (format!("batch={}", batch.as_str().unwrap()), vec![&first, &second, &third]),
        (format!("pool={pool}&sim_status=preactivated"), vec![&first, &second, &third]),
        (format!("pool={pool}&sim_status=terminated"), vec![]),
    ] {
        assert_eq!(found(&app, &query).await, expected.into_iter().cloned().collect::<Vec<_>>(), "{query}");
    }
    app.get(&format!("/v1/profiles?pool={}", unique("none"))).send().await.expect_problem(404, "not-found");
    for (query, pointer) in [
        ("stock_status=sold", "?stock_status"),
        ("batch=imp_1", "?batch"),
        ("q=", "?q"),
        ("iccid=1", "?iccid"),
    ] {
        let problem =
            app.get(&format!("/v1/profiles?{query}")).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem)[0].0, pointer);
    }
    // A code is no search word: it finds nothing.
    assert!(found(&app, &format!("q={}", lines[0].matching_id())).await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_profile_is_edited() {
    let app = TestApp::start().await;
    let lines = app.deliver(2).await;
    let path = format!("/v1/profiles/{}", lines[0].iccid);
    let patch = json!({"tags": ["kiosk", "été"], "note": "two\nlines", "sell_by": "2090-01-31"});
    let edited = app.patch(&path, &patch).send().await.expect_status(200).json();
    assert_eq!((&edited["tags"], &edited["note"]), (&patch["tags"], &patch["note"]));
    assert_eq!(edited["sell_by"], "2090-02-01T00:00:00Z", "sold to the end of the day");
    let cleared =
        app.patch(&path, &json!({"note": null, "sell_by": null})).send().await.expect_status(200).json();
    assert_eq!(
        (&cleared["note"], &cleared["sell_by"], &cleared["tags"]),
        (&Json::Null, &Json::Null, &patch["tags"])
    );
    let elsewhere = app.new_pool(json!({})).await;
    let moved = app.patch(&path, &json!({"pool": elsewhere})).send().await.expect_status(200).json();
    assert_eq!(moved["pool"], elsewhere.as_str());
    let sold = app
        .post("/v1/orders", &order(&unique("order"), &elsewhere, 1))
        .send()
        .await
        .expect_status(201)
        .json();
    assert_eq!(sold["lines"][0]["profiles"][0]["iccid"], lines[0].iccid.as_str());
    app.patch(&path, &json!({"pool": app.pool})).send().await.expect_problem(409, "invalid-transition");
    for (body, field) in [
        (json!({"pool": unique("none")}), ("/pool", "unknown")),
        (json!({"tags": [""]}), ("/tags", "length")),
        (json!({"note": "a\u{0}"}), ("/note", "format")),
        (json!({"sell_by": "soon"}), ("/sell_by", "format")),
        (json!({"stock_status": "available"}), ("/stock_status", "unknown-field")),
    ] {
        let problem = app.patch(&path, &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [field], "{body}");
    }
    app.finish().await;
}

#[tokio::test]
async fn what_is_past_its_day_is_not_sold() {
    let app = TestApp::start().await;
    let lines = app.deliver(2).await;
    let path = format!("/v1/profiles/{}", lines[0].iccid);
    app.patch(&path, &json!({"sell_by": "2001-01-01"})).send().await.expect_status(200);
    let stock = app.get(&format!("/v1/pools/{}/stock", app.pool)).send().await.json();
    assert_eq!(
        (&stock["expired"], &stock["sellable"], &stock["counts"]["available"]),
        (&json!(1), &json!(1), &json!(2))
    );
    let placed =
        app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201).json();
    assert_eq!(placed["lines"][0]["profiles"][0]["iccid"], lines[1].iccid.as_str());
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1))
        .send()
        .await
        .expect_problem(409, "out-of-stock");
    app.finish().await;
}

#[tokio::test]
async fn a_person_moves_a_profile_with_a_reason() {
    let app = TestApp::start().await;
    let lines = app.deliver(2).await;
    let path = |command: &str| format!("/v1/profiles/{}/{command}", lines[0].iccid);
    let reason = json!({"reason": "returned by the shop"});
    let refused = app.post(&path("release"), &reason).send().await.expect_problem(409, "invalid-transition");
    assert_eq!((&refused["from"], &refused["command"]), (&json!("available"), &json!("release")));
    let aside = app.post(&path("quarantine"), &reason).send().await.expect_status(200).json();
    assert_eq!(
        (&aside["stock_status"], &aside["quarantine_reason"]),
        (&json!("quarantined"), &json!("manual"))
    );
    let placed =
        app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201).json();
    assert_eq!(placed["lines"][0]["profiles"][0]["iccid"], lines[1].iccid.as_str(), "it is not sold");
    let back = app.post(&path("release"), &reason).send().await.expect_status(200).json();
    assert_eq!((&back["stock_status"], &back["quarantine_reason"]), (&json!("available"), &Json::Null));
    let key = unique("key");
    let gone =
        app.post(&path("retire"), &reason).header("Idempotency-Key", &key).send().await.expect_status(200);
    assert_eq!(gone.json()["stock_status"], "retired");
    let replayed = app.post(&path("retire"), &reason).header("Idempotency-Key", &key).send().await;
    let replayed = replayed.expect_status(200);
    assert_eq!((replayed.header("idempotency-replayed"), replayed.json()), (Some("true"), gone.json()));
    for command in ["quarantine", "release", "retire"] {
        app.post(&path(command), &reason).send().await.expect_problem(409, "invalid-transition");
        let none = format!("/v1/profiles/8988247000000099990/{command}");
        app.post(&none, &reason).send().await.expect_problem(404, "not-found");
        let silent =
            app.post(&path(command), &json!({})).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&silent), [("/reason", "required")]);
    }
    let sold = format!("/v1/profiles/{}", lines[1].iccid);
    for command in ["quarantine", "release", "retire"] {
        let answer = app.post(&format!("{sold}/{command}"), &reason).send().await;
        assert_eq!(answer.expect_problem(409, "invalid-transition")["from"], "allocated", "{command}");
    }
    app.finish().await;
}
