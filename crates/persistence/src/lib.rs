//! The store: PostgreSQL and SQLite behind one concrete [`Store`].
//!
//! Callers open a unit of work with [`Store::read`] or [`Store::write`] and compose the functions of the noun
//! modules inside it. What differs between the two databases is in `connection` and `dialect`; everything else is
//! written once. No carrier call can happen inside a unit of work, because its closure is not async.

mod connection;
mod dialect;
mod migrate;
mod schema;
mod sql_types;

pub mod allocations;
pub mod api_keys;
pub mod bundles;
pub mod cancellations;
pub mod carrier_events;
pub mod carrier_turns;
pub mod drifts;
pub mod error;
pub mod events;
pub mod feed;
pub mod groups;
pub mod holds;
pub mod idempotency;
pub mod imports;
pub mod intake;
pub mod line_jobs;
pub mod lines;
pub mod operations;
pub mod order_list;
pub mod orders;
pub mod pools;
pub mod products;
pub mod profile_checks;
pub mod profiles;
pub mod rate_plans;
pub mod reconciliations;
pub mod secrets;
pub mod service_profiles;
pub mod sim_swaps;
pub mod staging;
pub mod stock_counts;
pub mod store;
pub mod vault;
pub mod verification;
pub mod watermarks;
pub mod webhooks;

pub use connection::{DatabaseUrl, UrlError};
pub use error::StoreError;
pub use store::{Backend, Conn, Store};
