//! Following the events over HTTP.

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::{fields_of, order};

/// Everything after `after`, page by page by `Link`, with the number of pages.
async fn follow(app: &TestApp, after: i64, limit: usize) -> (Vec<Json>, usize) {
    let (mut rows, mut pages) = (Vec::new(), 0);
    let mut next = Some(format!("/v1/events?after={after}&limit={limit}"));
    while let Some(path) = next {
        let answer = app.get(&path).send().await.expect_status(200);
        let page = answer.json();
        let data = page["data"].as_array().unwrap();
        rows.extend(data.iter().cloned());
        pages += 1;
        next = answer.header("link").map(|link| {
            let (target, relation) = link.split_once("; ").unwrap();
            assert_eq!(relation, "rel=\"next\"");
            let target = target.trim_matches(['<', '>']).to_owned();
            let (cursor, last) = (page["next_cursor"].as_str().unwrap(), data.last().unwrap());
            assert!(target.ends_with(&format!("&after={cursor}&hash={}", text(last, "/hash"))), "{link}");
            assert_eq!(target.matches("hash=").count(), 1, "{link}");
            assert_eq!(cursor, last["seq"].to_string());
            target
        });
        assert_eq!(
            (next.is_some(), page["next_cursor"].is_string()),
            (data.len() == limit, data.len() == limit)
        );
    }
    (rows, pages)
}

/// The end of the feed now.
async fn end(app: &TestApp) -> i64 {
    follow(app, 0, 200).await.0.last().map_or(0, |last| last["seq"].as_i64().unwrap())
}

/// Waits for an event of this type about something.
async fn wait_for(app: &TestApp, after: i64, type_name: &str, subject: &str) -> Vec<Json> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (rows, _) = follow(app, after, 200).await;
        if rows.iter().any(|row| row["type"] == type_name && row["subject"] == subject) {
            return rows;
        }
        assert!(Instant::now() < deadline, "no {type_name} of {subject} in {rows:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

on_both_databases! {
    async fn an_order_is_followed(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        app.deliver(1).await;
        let before = end(&app).await;
        let placed = app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await;
        let subject = format!("order/{}", text(&placed.expect_status(201).json(), "/id"));
        let rows = wait_for(&app, before, "order.status_changed", &subject).await;
        for (row, seq) in rows.iter().zip(before + 1..) {
            assert_eq!(row["seq"], seq, "dense");
            // What docs/EVENTS.md says of every type.
            let kind = text(row, "/subject").split('/').next().unwrap().to_owned();
            assert!(text(row, "/type").starts_with(&format!("{kind}.")), "{row}");
        }
        let own: Vec<&Json> = rows.iter().filter(|row| row["subject"] == subject.as_str()).collect();
        assert_eq!((&own[0]["type"], &own[0]["version"]), (&"order.created".into(), &1.into()));
        assert_eq!(own[1]["data"], serde_json::json!({"from": "in_progress", "to": "fulfilled"}));
        let mut shown = own[1].clone();
        shown["seq"] = 1.into();
        assert_body!(&app, "event", &shown);
        let (paged, pages) = follow(&app, before, 2).await;
        assert!(paged.len() >= rows.len() && pages > 1);
        assert_eq!(paged[..rows.len()], rows);
        app.finish().await;
    }
}

#[tokio::test]
async fn a_reader_waits_for_what_comes() {
    let app = TestApp::start().await;
    app.deliver(1).await;
    let after = end(&app).await;
    let asked = Instant::now();
    let none = app.get(&format!("/v1/events?after={after}")).send().await.expect_status(200);
    assert_eq!(none.json(), serde_json::json!({"data": [], "next_cursor": null}));
    assert!(asked.elapsed() < Duration::from_secs(1), "it does not wait unless asked to");
    let waiting = app.get(&format!("/v1/events?after={after}")).header("prefer", "wait=30").send();
    let placing = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    };
    let (woken, ()) = tokio::join!(waiting, placing);
    let woken = woken.expect_status(200);
    assert_eq!(woken.header("preference-applied"), Some("wait=30"));
    assert_eq!(woken.json()["data"][0]["seq"], after + 1);
    assert!(asked.elapsed() < Duration::from_secs(10));
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    let app = TestApp::start().await;
    for (query, pointer) in [
        ("after=-1", "?after"),
        ("after=x", "?after"),
        ("after=9223372036854775808", "?after"),
        ("after=", "?after"),
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("cursor=1", "?cursor"),
        ("hash=12", "?hash"),
        (&format!("after=1&hash={}", "x".repeat(64)), "?hash"),
    ] {
        let problem =
            app.get(&format!("/v1/events?{query}")).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem)[0].0, pointer, "{query}");
    }
    app.deliver(1).await;
    let (rows, _) = follow(&app, 0, 200).await;
    // Beyond the end: the feed was longer once. It is said at once, however long the reader would wait.
    for after in [i64::MAX, rows.last().unwrap()["seq"].as_i64().unwrap() + 1_000_000] {
        let asked = app.get(&format!("/v1/events?after={after}")).header("prefer", "wait=60");
        let problem = asked.send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [("?after", "range")], "{after}");
    }
    // The hash of the event that was seen, and one of another.
    let (first, second) = (text(&rows[0], "/hash"), text(&rows[1], "/hash"));
    let behind_first = app.get(&format!("/v1/events?after=1&limit=1&hash={first}")).send().await;
    assert_eq!(behind_first.expect_status(200).json()["data"][0], rows[1]);
    let problem = app.get(&format!("/v1/events?after=1&hash={second}")).send().await;
    let problem = problem.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("?hash", "mismatch")]);
    let (_, key) = app.new_key("default", &["storefront", "stock"]).await;
    app.get("/v1/events").key(&key).send().await.expect_problem(403, "forbidden");
    app.finish().await;
}
