//! The field names of the contract, checked to the letter.

use serde_json::Value as Json;

use crate::keys_of;

/// An order with everything in it. Fields may come when the contract marks them optional; none may go.
pub(crate) fn order(order: &Json) {
    let required =
        ["cancelling", "channel", "created_at", "id", "lines", "reference", "status", "updated_at"];
    exactly(order, &required, &["accepted_at", "problem"]);
    for line in order["lines"].as_array().unwrap() {
        exactly(line, &["pool", "product", "profiles", "quantity"], &[]);
        for profile in line["profiles"].as_array().unwrap() {
            let required = [
                "bundle",
                "esim_status",
                "iccid",
                "msisdn",
                "outcome",
                "sim_status",
                "stock_status",
                "usable",
            ];
            exactly(profile, &required, &["activation"]);
            if let Some(code) = profile.get("activation") {
                activation(code);
            }
            if !profile["bundle"].is_null() {
                bundle(&profile["bundle"]);
            }
        }
    }
}

pub(crate) fn hold(hold: &Json) {
    let required = ["created_at", "expires_at", "id", "order_id", "pool", "quantity", "status", "updated_at"];
    exactly(hold, &required, &["channel"]);
}

pub(crate) fn activation(activation: &Json) {
    let required = [
        "android_install_url",
        "apple_install_url",
        "confirmation_code_required",
        "lpa",
        "matching_id",
        "qr_png_url",
        "qr_svg_url",
        "smdp_address",
    ];
    exactly(activation, &required, &[]);
}

pub(crate) fn bundle(bundle: &Json) {
    let required =
        ["balances", "fetched_at", "id", "operation", "order_type", "product", "reference", "status"];
    exactly(bundle, &required, &["activated_at", "expires_at"]);
}

pub(crate) fn product(product: &Json) {
    let required = [
        "carrier_account",
        "category",
        "countries",
        "data_bytes",
        "fetched_at",
        "name",
        "price",
        "product",
        "validity",
    ];
    exactly(product, &required, &["unlimited"]);
}

pub(crate) fn import(import: &Json) {
    let required =
        ["accepted", "duplicates", "errors", "file_sha256", "id", "rejected", "rows", "status", "warnings"];
    let more = [
        "created_at",
        "dry_run",
        "file_name",
        "finished_at",
        "format",
        "on_error",
        "pool",
        "problem",
        "unchanged",
        "updated",
    ];
    exactly(import, &required, &more);
}

pub(crate) fn operation(operation: &Json) {
    let required = ["attempts", "carrier_reference", "evidence", "id", "kind", "profile", "status"];
    exactly(operation, &required, &["problem", "bundle", "created_at", "order", "updated_at"]);
}

pub(crate) fn line_job(job: &Json) {
    let required = [
        "created_at",
        "done",
        "finished_at",
        "id",
        "needs_attention",
        "operation",
        "queued",
        "refused",
        "running",
        "status",
        "total",
        "updated_at",
    ];
    exactly(job, &required, &[]);
}

pub(crate) fn reconciliation(reconciliation: &Json) {
    let required = [
        "adopted",
        "compared",
        "created_at",
        "drifts",
        "finished_at",
        "healed",
        "id",
        "open_drifts",
        "status",
        "total",
        "unknown_lines",
        "unread",
    ];
    exactly(reconciliation, &required, &["problem"]);
    for drift in reconciliation["open_drifts"].as_array().unwrap() {
        exactly(drift, &["about", "first_seen_at", "iccid", "kind"], &[]);
    }
}

fn exactly(value: &Json, required: &[&str], optional: &[&str]) {
    let keys = keys_of(value);
    for key in required {
        assert!(keys.contains(key), "{key} is missing in {value:#}");
    }
    for key in keys {
        assert!(required.contains(&key) || optional.contains(&key), "{key} is too much in {value:#}");
    }
}
