//! Use cases and background steps, one file per noun.
//!
//! A use case checks, opens one unit of work on the store, and writes the change with its events. The carrier is only
//! ever called between units of work. Background work is a `step` that does one piece and returns: the binary loops
//! over the steps, tests and the simulation call them one by one.

pub mod activation;
mod adoption;
pub mod api_keys;
mod batch;
mod bundle_sightings;
pub mod bundles;
pub mod caller;
pub mod cancellations;
mod carrier_reads;
mod carrier_view;
pub mod deliveries;
pub mod depot;
pub mod devices;
mod drifts;
pub mod error;
pub mod feed;
pub mod gathering;
pub mod groups;
pub mod holds;
pub mod housekeeping;
pub mod idempotency;
pub mod imports;
pub mod in_flight;
pub mod inbound;
pub mod key_lookup;
pub mod key_rotation;
pub mod line_jobs;
mod line_learning;
pub mod line_operations;
pub mod lines;
pub mod observations;
pub mod operations;
pub mod orders;
pub mod plan_watch;
pub mod pools;
pub mod products;
pub mod profiles;
pub mod rate_plans;
pub mod reconciliation;
pub mod refunds;
pub mod replacements;
pub mod security_codes;
pub mod service_profiles;
pub mod signals;
pub mod stock_alerts;
mod stock_watch;
pub mod timeline;
pub mod together;
pub mod turns;
pub mod usage;
pub mod verify;
pub mod webhooks;

pub use caller::Caller;
pub use depot::{Account, Accounts, Depot};
pub use error::{AppError, FieldError};
