//! The API over real HTTP, one file per noun. See [`simdepot_tests::app`] for what it runs against.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod activation;
mod api_keys;
mod bundles;
mod cancellations;
mod carrier_events;
mod checked;
mod devices;
mod events;
mod groups;
mod health;
mod holds;
mod idempotency;
mod import_files;
mod imports;
mod keys;
mod limits;
mod line_commands;
mod line_jobs;
mod lines;
mod mixed_orders;
mod openapi;
mod operations;
mod orders;
mod outcomes;
mod paging;
mod pictures;
mod pools;
mod problems;
mod products;
mod profiles;
mod rate_plans;
mod reconciliations;
mod secrets;
mod service_profiles;
mod timeline;
mod visibility;
mod webhook_endpoints;
mod webhooks;

use serde_json::{Value as Json, json};

/// A plan that every catalogue of the twin has.
const PRODUCT: &str = "WW_901O_STACK_ONEOFF_EUROPE_3GB_15D";
/// Another one.
const OTHER_PRODUCT: &str = "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D";

/// The body of an order of one line without a product.
fn order(reference: &str, pool: &str, quantity: u32) -> Json {
    json!({"reference": reference, "lines": [{"pool": pool, "quantity": quantity}]})
}

/// The body of an order of one line with a product.
fn order_with(product: &str, reference: &str, pool: &str, quantity: u32) -> Json {
    json!({"reference": reference, "lines": [{"pool": pool, "product": product, "quantity": quantity}]})
}

/// The names of an object's fields.
fn keys_of(value: &Json) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The pointers and codes of a problem's fields.
fn fields_of(problem: &Json) -> Vec<(&str, &str)> {
    let fields = problem["errors"].as_array().expect("the fields").iter();
    fields.map(|field| (field["pointer"].as_str().unwrap(), field["code"].as_str().unwrap())).collect()
}

/// The query parameters that an operation cannot do without, by their examples.
fn required_query(document: &Json, operation: &Json) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let required = parameters.filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
    let given = required.map(|parameter| {
        let schema = &parameter["schema"];
        let named = schema["$ref"].as_str().and_then(|reference| document.pointer(&reference[1..]));
        let example = named.unwrap_or(schema)["examples"][0].as_str().expect("an example");
        format!("{}={example}", parameter["name"].as_str().unwrap())
    });
    let query = given.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}
