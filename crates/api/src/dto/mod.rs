//! What goes over the wire: request and answer bodies, one file per noun.
//!
//! These are neither rows nor domain types, so that a change inside does not change the contract unseen. Requests refuse
//! unknown fields; their bounds are written twice, for the validator and for the OpenAPI document, side by side.

pub mod activation;
pub mod api_key;
pub mod bundle;
pub mod cancellation;
pub mod carrier_problem;
pub mod device;
pub mod event;
pub mod headers;
pub mod hold;
pub mod identifiers;
pub mod import;
pub mod line;
pub mod line_command;
pub mod line_job;
pub mod operation;
pub mod order;
pub mod order_resolution;
pub mod pool;
pub mod product;
pub mod profile;
pub mod rate_plan;
pub mod reconciliation;
pub mod refund;
pub mod replacement;
pub mod service_profile;
pub mod text;
pub mod time;
pub mod timeline;
pub mod usage;
pub mod webhook_endpoint;
pub mod words;
