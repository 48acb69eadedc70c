//! The OpenAPI document: committed, served, complete; and its browser, which works without a network.

use reqwest::Method;
use serde_json::{Value as Json, json};
use simdepot_tests::TestApp;
use simdepot_tests::app::{Contract, unique};

use crate::required_query;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/simdepot.v1.json");

#[tokio::test]
async fn the_served_document_is_the_committed_one() {
    let app = TestApp::start().await;
    let served = app.get("/openapi.json").without_key().send().await.expect_status(200).json();
    let committed: Json = serde_json::from_str(&std::fs::read_to_string(COMMITTED).unwrap()).unwrap();
    assert_eq!(served, committed);
    app.finish().await;
}

#[tokio::test]
async fn every_documented_operation_is_served_behind_a_key() {
    let app = TestApp::start().await;
    let mut operations = 0;
    for (path, item) in Contract::current().document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            let method: Method = method.to_uppercase().parse().unwrap();
            let real = path
                .replace("{iccid}", "8988247000000099990")
                .replace("{pool}", &unique("none"))
                .replace("{id}", "none");
            let open = operation["security"] == json!([{}]);
            assert_eq!(open, !path.starts_with("/v1/"), "{method} {path}");
            let answer = app.ask(method.clone(), &real).without_key().send().await;
            if path.starts_with("/carrier-events/") {
                // Opened by the carrier's signature, in an account that is configured.
                answer.expect_problem(404, "not-found");
            } else if open {
                answer.expect_status(200);
            } else {
                answer.expect_problem(401, "unauthenticated");
                let served = app.ask(method.clone(), &real).send().await;
                assert_ne!(served.status, 405, "{method} {path} is not served");
                for status in ["401", "403", "429", "500", "503"] {
                    assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
                }
            }
        }
    }
    assert!(operations > 25, "{operations}");
    app.finish().await;
}

#[tokio::test]
async fn every_example_of_a_body_can_be_sent() {
    let app = TestApp::start().await;
    let document = Contract::current().document();
    let mut sent = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let reference = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(schema) = reference.as_str().and_then(|reference| document.pointer(&reference[1..]))
            else {
                continue;
            };
            // A body without fields needs none.
            let example = schema
                .get("example")
                .cloned()
                .or_else(|| schema.get("properties").is_none().then(|| json!({})));
            let example = &example.unwrap_or_else(|| panic!("{reference} has no example"));
            let real = path
                .replace("{iccid}", "8988247000000099990")
                .replace("{pool}", &unique("none"))
                .replace("{imei}", "490154203237518")
                .replace("{id}", "none");
            let real = format!("{real}{}", required_query(document, operation));
            let answer = app.ask(method.to_uppercase().parse().unwrap(), &real).json(example).send().await;
            // The example's pool, account and product need not be here, nor a carrier that has what it asks for; its shape
            // must be right.
            let fields = answer.json()["errors"].as_array().cloned().unwrap_or_default();
            let misshapen = fields.iter().any(|field| field["code"] != "unknown");
            let lacking = answer.json()["code"] == "unsupported-by-carrier";
            let fits = matches!(answer.status, 201 | 202 | 404 | 422) || lacking;
            assert!(fits && !misshapen, "{answer:?}");
            sent += 1;
        }
    }
    assert!(sent >= 7, "{sent}");
    app.finish().await;
}

#[tokio::test]
async fn the_browser_needs_no_network() {
    let app = TestApp::start().await;
    for path in ["/", "/docs"] {
        let answer = app.get(path).without_key().send().await.expect_status(302);
        assert_eq!(answer.header("location"), Some("docs/"));
    }
    let page = app.get("/docs/").without_key().send().await.expect_status(200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{page:?}");
    let html = page.text();
    assert!(html.to_lowercase().contains("<!doctype html>"));
    let mut files = 0;
    for attribute in ["src=\"", "href=\""] {
        for target in html.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(!target.contains("//"), "{target} is on another host");
            let file = target.trim_start_matches("./");
            app.get(&format!("/docs/{file}")).without_key().send().await.expect_status(200);
            files += 1;
        }
    }
    assert!(files >= 4, "{html}");
    let start = app.get("/docs/swagger-initializer.js").without_key().send().await.expect_status(200).text();
    assert!(start.contains("../openapi.json") && !start.contains("http"), "{start}");
    app.get("/docs/none.js").without_key().send().await.expect_problem(404, "not-found");
    app.get("/docs/..%2f..%2fCargo.toml").without_key().send().await.expect_problem(404, "not-found");
    app.finish().await;
}
