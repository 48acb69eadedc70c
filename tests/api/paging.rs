//! Pages of long lists: every row once, in one order, by cursor or by the `Link` header.

use serde_json::Value as Json;
use simdepot_tests::TestApp;
use simdepot_tests::app::{delivery_file, text, unique};

use crate::{fields_of, order};

/// All rows, followed by `Link: rel="next"` alone.
async fn follow(app: &TestApp, path: &str) -> (Vec<Json>, usize) {
    let (mut rows, mut pages) = (Vec::new(), 0);
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let answer = app.get(&path).send().await.expect_status(200);
        let page = answer.json();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        pages += 1;
        next = answer.header("link").map(|link| {
            let (target, relation) = link.split_once("; ").unwrap();
            assert_eq!(relation, "rel=\"next\"");
            let target = target.trim_start_matches('<').trim_end_matches('>').to_owned();
            assert!(target.contains(page["next_cursor"].as_str().unwrap()), "{link}");
            target
        });
        assert_eq!(next.is_none(), page["next_cursor"].is_null());
    }
    (rows, pages)
}

#[tokio::test]
async fn profiles() {
    let app = TestApp::start().await;
    let lines = app.deliver(7).await;
    let path = format!("/v1/profiles?pool={}", app.pool);
    let (rows, pages) = follow(&app, &format!("{path}&limit=3")).await;
    let iccids: Vec<String> = rows.iter().map(|row| text(row, "/iccid")).collect();
    assert_eq!((iccids, pages), (lines.iter().map(|line| line.iccid.clone()).collect(), 3), "oldest first");
    // A page that is full to its last row is the last one.
    assert_eq!(follow(&app, &format!("{path}&limit=7")).await.1, 1);
    let listed = app.get(&path).send().await.text();
    assert!(lines.iter().all(|line| !listed.contains(line.matching_id())), "lists never have codes");
    app.finish().await;
}

#[tokio::test]
async fn orders() {
    let app = TestApp::start().await;
    app.deliver(4).await;
    let (_, key) = app.new_key(&unique("channel"), &["storefront"]).await;
    let mut placed = Vec::new();
    for _ in 0..4 {
        let body = order(&unique("order"), &app.pool, 1);
        placed.insert(
            0,
            text(&app.post("/v1/orders", &body).key(&key).send().await.expect_status(201).json(), "/id"),
        );
    }
    let first = app.get("/v1/orders?limit=3").key(&key).send().await.expect_status(200);
    let cursor = text(&first.json(), "/next_cursor");
    // What arrives meanwhile neither repeats nor hides a row.
    app.deliver(1).await;
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).key(&key).send().await.expect_status(201);
    let second = app.get(&format!("/v1/orders?limit=3&cursor={cursor}")).key(&key).send().await;
    let rows: Vec<String> = [first.json(), second.expect_status(200).json()]
        .iter()
        .flat_map(|page| {
            page["data"].as_array().unwrap().iter().map(|row| text(row, "/id")).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(rows, placed, "newest first");
    let since = format!("/v1/orders?created_after={}", text(&first.json(), "/data/0/created_at"));
    let later = app.get(&since).key(&key).send().await.expect_status(200).json();
    assert_eq!(later["data"].as_array().unwrap().len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn imports() {
    let app = TestApp::start().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let file = delivery_file(&app.new_lines(1).await);
        made.insert(0, text(&app.import(file).send().await.expect_status(201).json(), "/id"));
    }
    let (rows, pages) = follow(&app, &format!("/v1/imports?pool={}&limit=2", app.pool)).await;
    let ids: Vec<String> = rows.iter().map(|row| text(row, "/id")).collect();
    assert_eq!((ids, pages), (made, 2), "newest first");
    app.get(&format!("/v1/imports?pool={}", unique("none"))).send().await.expect_problem(404, "not-found");
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_page_is_refused() {
    let app = TestApp::start().await;
    for list in ["profiles", "orders", "imports", "pools", "operations", "api-keys", "products"] {
        for (query, pointer) in [
            ("limit=0", "?limit"),
            ("limit=201", "?limit"),
            ("limit=x", "?limit"),
            ("cursor=", "?cursor"),
            ("cursor=!", "?cursor"),
            ("cursor=bm9uZQ", "?cursor"),
            ("page=2", "?page"),
            ("limit=1&limit=2", "?limit"),
        ] {
            let answer = app.get(&format!("/v1/{list}?{query}")).send().await;
            let problem = answer.expect_problem(422, "validation-failed");
            assert_eq!(fields_of(&problem)[0].0, pointer, "{list} {query}");
        }
        let page = app.get(&format!("/v1/{list}?limit=200")).send().await.expect_status(200).json();
        assert!(page["data"].as_array().unwrap().len() <= 200);
    }
    app.finish().await;
}
