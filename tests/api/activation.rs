//! Activation codes and their pictures: to whom, when, and exactly what.

use serde_json::json;
use simdepot_tests::TestApp;
use simdepot_tests::app::unique;

use crate::checked::assert_body;
use crate::pictures::{decode_png, decode_svg, width_of};
use crate::{fields_of, keys, order};

#[tokio::test]
async fn a_sold_profiles_code_is_shown_as_it_was_delivered() {
    let app = TestApp::start().await;
    let mut lines = app.new_lines(1).await;
    // Upper and lower case, an object identifier and a required confirmation code (SGP.22 §4.1).
    lines[0].code = format!("1$RSP.Suite.example$aB-{}$1.3.6.1.4.1.31746$1", lines[0].matching_id());
    let file = simdepot_tests::app::delivery_file(&lines);
    app.import(file).send().await.expect_status(201);
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    let path = format!("/v1/profiles/{}", lines[0].iccid);
    let shown = app.get(&format!("{path}/activation")).send().await.expect_status(200);
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let shown = shown.json();
    keys::activation(&shown);
    assert_eq!(
        (&shown["lpa"], &shown["smdp_address"], &shown["confirmation_code_required"]),
        (&json!(lines[0].lpa()), &json!("RSP.Suite.example"), &json!(true))
    );
    assert_eq!(shown["qr_svg_url"], format!("{}{path}/qr.svg", public_url(&shown, &path)));
    for (picture, media_type) in [("qr.svg", "image/svg+xml"), ("qr.png", "image/png")] {
        let answer = app.get(&format!("{path}/{picture}")).send().await.expect_status(200);
        assert_eq!(answer.header("content-type"), Some(media_type));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "a picture is as secret as its text");
        let text = if picture == "qr.png" { decode_png(&answer.body) } else { decode_svg(&answer.text()) };
        assert_eq!(text, lines[0].lpa());
    }
    app.finish().await;
}

/// How the depot says that it is reached.
fn public_url<'a>(shown: &'a serde_json::Value, path: &str) -> &'a str {
    shown["qr_png_url"].as_str().unwrap().strip_suffix(&format!("{path}/qr.png")).unwrap()
}

#[tokio::test]
async fn the_links_of_an_answer_can_be_followed() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    let placed = app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await;
    let placed = placed.expect_status(201).json();
    let code = &placed["lines"][0]["profiles"][0]["activation"];
    assert_body!(&app, "activation", code);
    let expected = format!("LPA%3A1%24rsp.suite.example%24{}", lines[0].matching_id());
    for link in ["apple_install_url", "android_install_url"] {
        let link = code[link].as_str().unwrap();
        assert!(link.ends_with(&format!("?carddata={expected}")), "{link}");
    }
    if let Some(path) = code["qr_png_url"].as_str().unwrap().strip_prefix(&app.base_url) {
        assert_eq!(decode_png(&app.get(path).send().await.expect_status(200).body), lines[0].lpa());
    }
    app.finish().await;
}

#[tokio::test]
async fn a_picture_is_as_large_as_asked() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    let path = format!("/v1/profiles/{}/qr.png", lines[0].iccid);
    let [small, usual, large] =
        ["?module_px=1", "", "?module_px=32"].map(|query| app.get(&format!("{path}{query}")));
    let small = small.send().await.expect_status(200).body;
    let usual = usual.send().await.expect_status(200).body;
    let large = large.send().await.expect_status(200).body;
    let modules = width_of(&small);
    assert_eq!((width_of(&usual), width_of(&large)), (modules * 8, modules * 32));
    assert_eq!((modules - 8 - 17) % 4, 0, "a symbol of 21, 25, 29 … modules in a border of 4");
    assert_eq!(decode_png(&large), lines[0].lpa());
    for query in ["0", "33", "-1", "x"] {
        let answer = app.get(&format!("{path}?module_px={query}")).send().await;
        let problem = answer.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem)[0].0, "?module_px", "{query}");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_unsold_profiles_code_is_refused_to_every_key() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    let profile = format!("/v1/profiles/{}", lines[0].iccid);
    let (_, storefront) = app.new_key("default", &["storefront"]).await;
    let (_, other) = app.new_key(&unique("channel"), &["storefront", "stock", "admin"]).await;
    for picture in ["activation", "qr.svg", "qr.png"] {
        let path = format!("{profile}/{picture}");
        // Whoever sees the stock may know that it is there.
        for key in [&app.key, &other] {
            let problem = app.get(&path).key(key).send().await.expect_problem(409, "invalid-transition");
            assert_eq!((&problem["from"], &problem["command"]), (&json!("available"), &json!("reveal")));
        }
        app.get(&path).key(&storefront).send().await.expect_problem(404, "not-found");
    }
    app.post(&format!("{profile}/quarantine"), &json!({"reason": "test"})).send().await.expect_status(200);
    app.get(&format!("{profile}/activation")).send().await.expect_problem(409, "invalid-transition");
    app.post(&format!("{profile}/retire"), &json!({"reason": "test"})).send().await.expect_status(200);
    app.get(&format!("{profile}/activation")).send().await.expect_problem(409, "invalid-transition");
    app.finish().await;
}

#[tokio::test]
async fn a_stock_key_cannot_reveal() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
    let (_, stock) = app.new_key("default", &["stock"]).await;
    for picture in ["activation", "qr.svg", "qr.png"] {
        let answer = app.get(&format!("/v1/profiles/{}/{picture}", lines[0].iccid)).key(&stock).send().await;
        assert_eq!(answer.expect_problem(403, "forbidden")["scope"], "storefront");
    }
    app.finish().await;
}
