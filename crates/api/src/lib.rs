//! The REST API of simdepot, its OpenAPI document, and what the binary of the same name is made of.
//!
//! [`startup::Application`] runs the whole service: HTTP server and background jobs. The binary builds one from
//! [`config::Config`]; tests build one in process, on port 0, with a store, clock and carriers of their own.
//!
//! A request passes [`middleware`] (request id, span, metrics, compression, authentication, rate limit and scope), then the
//! [`extract`]ors of its handler in [`routes`]. Handlers call the application crate; whatever goes wrong becomes a
//! [`problem::Problem`].

pub mod accounts;
pub mod config;
pub mod courier;
pub mod dto;
pub mod extract;
pub mod health;
pub mod jobs;
pub mod metrics;
pub mod middleware;
pub mod openapi;
pub mod pagination;
pub mod problem;
pub mod routes;
pub mod sandbox;
mod served;
pub mod startup;
pub mod state;
pub mod telemetry;
