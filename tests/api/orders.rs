//! Placing and reading orders.

use std::time::{Duration, Instant};

use serde_json::json;
use simdepot_tests::app::{text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::pictures::{decode_png, decode_svg};
use crate::{PRODUCT, fields_of, keys, order, order_with};

on_both_databases! {
    /// The main job: two eSIMs with a product, from the order to pictures that a phone can read.
    async fn an_order_of_two_with_a_product(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let Some(twin) = app.twin() else { return app.finish().await };
        let lines = app.deliver(3).await;
        let reference = unique("order");
        let body = order_with(PRODUCT, &reference, &app.pool, 2);
        let answer = app.post("/v1/orders", &body).send().await.expect_status(201);
        let placed = answer.json();
        keys::order(&placed);
        let id = text(&placed, "/id");
        assert_eq!(answer.header("location"), Some(format!("/v1/orders/{id}").as_str()));
        assert_eq!(placed["reference"], reference.as_str());
        assert_body!(&app, "order_of_two", &placed);
        for (profile, line) in placed["lines"][0]["profiles"].as_array().unwrap().iter().zip(&lines) {
            // Exactly as delivered, oldest first.
            assert_eq!((&profile["iccid"], &profile["msisdn"]), (&json!(line.iccid), &json!(line.msisdn)));
            assert_eq!(profile["activation"]["lpa"], line.lpa());
            let png = app.get(&format!("/v1/profiles/{}/qr.png", line.iccid)).send().await;
            assert_eq!(decode_png(&png.expect_status(200).body), line.lpa());
            let svg = app.get(&format!("/v1/profiles/{}/qr.svg", line.iccid)).send().await;
            assert_eq!(decode_svg(&svg.expect_status(200).text()), line.lpa());
        }
        for (line, count) in lines.iter().zip([1, 1, 0]) {
            let taken = twin.orders_of(&line.msisdn).await;
            assert_eq!(taken.len(), count, "{taken:#?}");
            assert!(
                taken.iter().all(|order| order["order_type"] == "preload" && order["product"] == PRODUCT)
            );
        }
        let again = app.post("/v1/orders", &body).send().await.expect_status(200).json();
        assert_eq!(again, placed, "the same order, codes included");
        assert_eq!(twin.orders_of(&lines[0].msisdn).await.len(), 1, "nothing is sent twice");
        app.finish().await;
    }

    /// The same under load: every profile goes out once, and nobody hears "sold out" too early.
    async fn forty_clients_share_a_pool_of_fewer(db: TestDatabase) {
        const CLIENTS: usize = 40;
        const EACH: usize = 9;
        const STOCK: usize = 298;
        let app = TestApp::start_on(db).await;
        let delivered = app.deliver(STOCK).await;
        let clients = (0..CLIENTS).map(|client| {
            let asks: Vec<_> = (0..EACH)
                .map(|number| {
                    app.post("/v1/orders", &order(&unique(&format!("c{client}-{number}")), &app.pool, 1))
                })
                .collect();
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for ask in asks {
                    answers.push(ask.send().await);
                }
                answers
            })
        });
        let mut sold = Vec::new();
        let mut refused = 0;
        for client in clients.collect::<Vec<_>>() {
            for answer in client.await.unwrap() {
                if answer.status == 201 {
                    sold.push(text(&answer.json(), "/lines/0/profiles/0/iccid"));
                } else {
                    answer.expect_problem(409, "out-of-stock");
                    refused += 1;
                }
            }
        }
        sold.sort_unstable();
        sold.dedup();
        let mut all: Vec<String> = delivered.into_iter().map(|line| line.iccid).collect();
        all.sort_unstable();
        assert_eq!((sold, refused), (all, CLIENTS * EACH - STOCK));
        app.finish().await;
    }

    async fn a_reference_means_one_order_for_ever(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        app.deliver(3).await;
        let reference = unique("order");
        let first = app.post("/v1/orders", &order(&reference, &app.pool, 1)).send().await.expect_status(201);
        let again = app.post("/v1/orders", &order(&reference, &app.pool, 1)).send().await.expect_status(200);
        assert_eq!(again.json(), first.json());
        assert_eq!(again.header("location"), first.header("location"));
        let other = app.post("/v1/orders", &order(&reference, &app.pool, 2)).send().await;
        let problem = other.expect_problem(409, "reference-conflict");
        assert_eq!(problem["existing"], first.json()["id"]);
        assert_body!(&app, "reference_conflict", &problem);
        let (_, key) = app.new_key(&unique("channel"), &["storefront"]).await;
        let elsewhere = app.post("/v1/orders", &order(&reference, &app.pool, 2)).key(&key).send().await;
        assert_ne!(elsewhere.expect_status(201).json()["id"], first.json()["id"], "another channel's own");
        app.finish().await;
    }

    async fn an_order_is_taken_whole_or_not_at_all(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        app.deliver(2).await;
        let reference = unique("order");
        let line = json!({"pool": app.pool, "quantity": 2});
        let body = json!({"reference": reference, "lines": [line, {"pool": app.pool, "quantity": 1}]});
        let problem = app.post("/v1/orders", &body).send().await.expect_problem(409, "out-of-stock");
        assert_eq!((&problem["requested"], &problem["available"]), (&json!(3), &json!(2)));
        assert_body!(&app, "out_of_stock", &problem);
        let left = app.get(&format!("/v1/pools/{}/availability", app.pool)).send().await.json();
        assert_eq!(left, json!({"pool": app.pool, "available": 2}));
        // The refusal did not use up the reference.
        app.post("/v1/orders", &order(&reference, &app.pool, 2)).send().await.expect_status(201);
        app.finish().await;
    }
}

#[tokio::test]
async fn what_cannot_be_ordered_is_named() {
    let app = TestApp::start().await;
    app.deliver(1).await;
    let pool = &app.pool;
    let line = json!({"pool": pool, "quantity": 1});
    for (body, fields) in [
        (order("r", &unique("none"), 1), vec![("/lines/0/pool", "unknown")]),
        (order_with("NO_SUCH_PRODUCT", "r", pool, 1), vec![("/lines/0/product", "unknown")]),
        (order("r", pool, 0), vec![("/lines/0/quantity", "range")]),
        (order("r", pool, 1001), vec![("/lines/0/quantity", "range")]),
        (json!({"reference": "r"}), vec![("/lines", "required")]),
        (json!({"reference": "r", "lines": []}), vec![("/lines", "length")]),
        (json!({"lines": [line]}), vec![("/reference", "required")]),
        (json!({"reference": "r", "lines": [line], "colour": "red"}), vec![("/colour", "unknown-field")]),
        (
            json!({"reference": "r", "lines": [{"pool": pool, "quantity": 1, "x": 1}]}),
            vec![("/lines/0/x", "unknown-field")],
        ),
        (
            json!({"reference": "", "lines": [line, {"pool": pool, "quantity": 0}]}),
            vec![("/lines/1/quantity", "range"), ("/reference", "length")],
        ),
        (json!({"reference": "a\u{0}b", "lines": [line]}), vec![("/reference", "format")]),
        (json!({"reference": " \u{a0}", "lines": [line]}), vec![("/reference", "format")]),
        (json!({"reference": "a\u{202e}b", "lines": [line]}), vec![("/reference", "format")]),
        (
            json!({"reference": "r", "lines": [{"pool": pool, "quantity": 1.5}]}),
            vec![("/lines/0/quantity", "type")],
        ),
        (
            json!({"reference": "r", "lines": [{"pool": pool, "quantity": 1, "carrier_parameters": {}}]}),
            vec![("/lines/0/carrier_parameters", "unsupported")],
        ),
    ] {
        let problem = app.post("/v1/orders", &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), fields, "{body}");
        assert_eq!(problem["retryable"], false);
    }
    let left = app.get(&format!("/v1/pools/{pool}/availability")).send().await.json();
    assert_eq!(left["available"], 1, "nothing was taken");
    app.finish().await;
}

#[tokio::test]
async fn the_answer_comes_when_the_client_wants_it() {
    let app = TestApp::start().await;
    let lines = app.deliver(2).await;
    if let Some(twin) = app.twin() {
        for (line, preference) in lines.iter().zip(["wait=0", "respond-async"]) {
            twin.fail_order(&line.iccid, &json!({"slow": {"ms": 700}})).await;
            let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
            let answer = app.post("/v1/orders", &body).header("Prefer", preference).send().await;
            assert_eq!(answer.header("preference-applied"), Some(preference));
            let answer = answer.expect_status(202);
            let placed = answer.json();
            assert_eq!(placed["status"], "in_progress");
            assert!(placed.pointer("/lines/0/profiles/0/activation").is_none(), "no code before the end");
            let location = answer.header("location").unwrap().to_owned();
            assert_eq!(location, format!("/v1/orders/{}", text(&placed, "/id")));
            let early = app.get(&format!("{location}?reveal=true")).send().await;
            early.expect_problem(409, "invalid-transition");
            let early = app.get(&format!("/v1/profiles/{}/activation", line.iccid)).send().await;
            early.expect_problem(409, "invalid-transition");
            let repeated = app.post("/v1/orders", &body).header("Prefer", preference).send().await;
            assert_eq!(repeated.expect_status(200).json()["status"], "in_progress");
            let done = app.wait_until(&location, |order| order["status"] == "fulfilled").await;
            keys::order(&done);
            assert_eq!(done["lines"][0]["profiles"][0]["bundle"]["status"], "preloaded");
            assert_eq!(twin.orders_of(&line.msisdn).await.len(), 1);
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn an_order_is_waited_for_where_it_is_read() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    if let Some(twin) = app.twin() {
        twin.fail_order(&lines[0].iccid, &json!({"slow": {"ms": 1500}})).await;
        let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
        let placed = app.post("/v1/orders", &body).header("Prefer", "wait=0").send().await.expect_status(202);
        let path = placed.header("location").unwrap().to_owned();
        // Without a preference at once.
        let early = app.get(&path).send().await.expect_status(200);
        assert_eq!(
            (early.header("preference-applied"), &early.json()["status"]),
            (None, &json!("in_progress"))
        );
        // Whose it is not does not wait for it.
        let (_, other) = app.new_key(&unique("channel"), &["storefront"]).await;
        let asked = Instant::now();
        app.get(&path).header("Prefer", "wait=30").key(&other).send().await.expect_problem(404, "not-found");
        // As soon as there is an outcome, codes included where they are asked for.
        let plain = app.get(&path).header("Prefer", "wait=30").send();
        let revealed = app.get(&format!("{path}?reveal=true")).header("Prefer", "wait=99").send();
        let (plain, revealed) = tokio::join!(plain, revealed);
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        assert_eq!(plain.header("preference-applied"), Some("wait=30"));
        assert_eq!(revealed.header("preference-applied"), Some("wait=60"), "no longer than for a POST");
        assert_eq!(plain.expect_status(200).json()["status"], "fulfilled");
        let revealed = revealed.expect_status(200).json();
        assert_eq!(revealed["lines"][0]["profiles"][0]["activation"]["lpa"], lines[0].lpa());
        // What has an outcome is not waited for.
        let asked = Instant::now();
        let done = app.get(&path).header("Prefer", "wait=30").send().await.expect_status(200);
        assert_eq!(done.json()["status"], "fulfilled");
        assert!(asked.elapsed() < Duration::from_secs(10));
    }
    app.finish().await;
}

/// A wait that ends before the order does is no error.
#[tokio::test]
async fn a_wait_that_was_too_short_answers_with_what_there_is() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    if let Some(twin) = app.twin() {
        twin.fail_order(&lines[0].iccid, &json!("drop_after_apply")).await;
        let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
        let placed = app.post("/v1/orders", &body).header("Prefer", "wait=0").send().await.expect_status(202);
        let path = placed.header("location").unwrap().to_owned();
        let asked = Instant::now();
        let open = app.get(&path).header("Prefer", "wait=1").send().await.expect_status(200).json();
        assert_eq!(open["status"], "in_progress");
        assert!(asked.elapsed() >= Duration::from_secs(1));
        let early = app.get(&format!("{path}?reveal=true")).header("Prefer", "wait=0").send().await;
        early.expect_problem(409, "invalid-transition");
    }
    app.finish().await;
}

#[tokio::test]
async fn codes_are_in_an_answer_only_when_asked_for() {
    let app = TestApp::start().await;
    let lines = app.deliver(2).await;
    let silent =
        json!({"reference": unique("order"), "reveal": false, "lines": [{"pool": app.pool, "quantity": 1}]});
    let placed = app.post("/v1/orders", &silent).send().await.expect_status(201);
    assert!(!placed.text().contains(lines[0].matching_id()), "reveal: false");
    let path = format!("/v1/orders/{}", text(&placed.json(), "/id"));
    let plain = app.get(&path).send().await.expect_status(200);
    assert!(plain.json().pointer("/lines/0/profiles/0/activation").is_none());
    assert!(!plain.text().contains(lines[0].matching_id()));
    let shown = app.get(&format!("{path}?reveal=true")).send().await.expect_status(200).json();
    assert_eq!(shown["lines"][0]["profiles"][0]["activation"]["lpa"], lines[0].lpa());
    let reference = text(&placed.json(), "/reference");
    let listed = app.get(&format!("/v1/orders?reference={reference}")).send().await.expect_status(200);
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 1);
    assert!(!listed.text().contains("activation") && !listed.text().contains(lines[0].matching_id()));
    let wrong = app.get("/v1/orders?reveal=true").send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&wrong), [("?reveal", "unknown-field")], "a list never reveals");
    app.finish().await;
}

#[tokio::test]
async fn a_dry_run_takes_nothing() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    let mut body = order(&unique("order"), &app.pool, 1);
    body["dry_run"] = json!(true);
    let answer = app.post("/v1/orders", &body).send().await.expect_status(200);
    assert_eq!((answer.header("location"), &answer.json()["dry_run"]), (None, &json!(true)));
    assert!(!answer.text().contains(lines[0].matching_id()), "a dry run reveals nothing");
    app.get(&format!("/v1/orders/{}", text(&answer.json(), "/id")))
        .send()
        .await
        .expect_problem(404, "not-found");
    body["lines"][0]["quantity"] = json!(2);
    app.post("/v1/orders", &body).send().await.expect_problem(409, "out-of-stock");
    body["dry_run"] = json!(false);
    body["lines"][0]["quantity"] = json!(1);
    app.post("/v1/orders", &body).send().await.expect_status(201);
    app.finish().await;
}
