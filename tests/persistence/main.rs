//! Conformance of the store: every repository function, on both databases.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    reason = "tests"
)]

mod api_keys;
mod bundles;
mod cancellations;
mod carrier_turns;
mod claim_plan;
mod claim_races;
mod claims;
mod events;
mod feed;
mod feed_order;
mod groups;
mod hold_races;
mod holds;
mod idempotency;
mod imports;
mod intake;
mod key_rotation;
mod line_jobs;
mod lines;
mod migrations;
mod operations;
mod orders;
mod pools;
mod products;
mod profile_checks;
mod profiles;
mod rate_plans;
mod read_plans;
mod schema;
mod secrets;
mod staging;
mod stock_counts;
mod store;
mod support;
mod webhooks;
