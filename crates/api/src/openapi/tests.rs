//! The document keeps its promises: complete, consistent with itself, and the committed one.

use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use validator::Validate;

use super::*;
use crate::dto;

fn json() -> Json {
    serde_json::to_value(document()).unwrap()
}

fn each_operation(document: &Json, mut look: impl FnMut(&str, &str, &Json)) {
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            look(path, method, operation);
        }
    }
}

/// The committed document is the served one. `UPDATE_OPENAPI=1` writes it.
#[test]
fn the_committed_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/simdepot.v1.json");
    let mut current = document().to_pretty_json().unwrap();
    current.push('\n');
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == current,
        "openapi/simdepot.v1.json is not what is served: run the tests with UPDATE_OPENAPI=1"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
        match value {
            Json::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Json::as_str));
                fields.values().for_each(|field| references(field, found));
            }
            Json::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_is_fully_described() {
    let mut ids = BTreeSet::new();
    each_operation(&json(), |path, method, operation| {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{id}");
        assert!(operation["summary"].is_string(), "{id}");
        let responses = operation["responses"].as_object().unwrap();
        if path.starts_with("/v1/") {
            for status in ["401", "403", "429", "500", "503"] {
                assert!(responses.contains_key(status), "{method} {path} {status}");
            }
        }
        if path.contains('{') {
            assert!(responses.contains_key("404"), "{method} {path}");
        }
        // Carriers post whatever bytes they sign.
        if operation.get("requestBody").is_some() && path.starts_with("/v1/") {
            for status in ["400", "413", "415", "422"] {
                assert!(responses.contains_key(status), "{method} {path} {status}");
            }
        }
    });
    assert!(ids.contains("create_order") && ids.contains("get_qr_png"), "{ids:?}");
}

#[test]
fn every_error_is_a_problem() {
    let document = json();
    each_operation(&document, |path, method, operation| {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = match response["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).unwrap(),
                None => response,
            };
            assert!(response["headers"]["X-Request-Id"].is_object(), "{method} {path} {status}");
            if status.as_str() >= "400" {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
            }
        }
    });
}

#[test]
fn answers_name_all_their_fields_and_requests_only_what_they_need() {
    let document = json();
    let required = |name: &str| {
        let names = document["components"]["schemas"][name]["required"].as_array().unwrap().clone();
        names.into_iter().map(|name| name.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert!(required("OrderProfile").contains("msisdn") && required("OrderProfile").contains("bundle"));
    assert!(!required("OrderProfile").contains("activation") && !required("Order").contains("dry_run"));
    assert!(required("Page_Order").contains("next_cursor"));
    assert_eq!(required("OrderLineRequest"), ["pool", "quantity"].map(str::to_owned).into());
    let rows = &document["components"]["schemas"]["Page_Order"]["properties"]["data"]["items"]["$ref"];
    assert_eq!(rows, "#/components/schemas/Order");
}

#[test]
fn examples_of_requests_are_valid_requests() {
    fn check<T: DeserializeOwned + Validate>(document: &Json, name: &str) {
        let example = &document["components"]["schemas"][name]["example"];
        let request: T =
            serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        request.validate().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let document = json();
    check::<dto::order::OrderRequest>(&document, "OrderRequest");
    check::<dto::cancellation::CancelRequest>(&document, "CancelRequest");
    check::<dto::bundle::TopUpRequest>(&document, "TopUpRequest");
    check::<dto::pool::PoolRequest>(&document, "PoolRequest");
    check::<dto::pool::PoolPatch>(&document, "PoolPatch");
    check::<dto::profile::ProfilePatch>(&document, "ProfilePatch");
    check::<dto::profile::MoveRequest>(&document, "MoveRequest");
    check::<dto::api_key::ApiKeyRequest>(&document, "ApiKeyRequest");
}

#[test]
fn posts_that_make_something_can_be_repeated() {
    each_operation(&json(), |path, method, operation| {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let has_key = parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
        // Carriers repeat an event by its own id.
        assert_eq!(has_key, method == "post" && path.starts_with("/v1/"), "{method} {path}");
    });
}

#[test]
fn a_body_that_may_be_absent_is_not_null() {
    for (path, name) in
        [("/v1/imports/{id}/undo", "UndoRequest"), ("/v1/orders/{id}/cancel", "CancelRequest")]
    {
        let body = &json()["paths"][path]["post"]["requestBody"];
        let schema = &body["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(*schema, format!("#/components/schemas/{name}"));
        assert_ne!(body["required"], true, "{path}");
    }
}
