//! What the adapters of carriers that speak HTTP and JSON share.
//!
//! An adapter builds [`Request`]s and reads [`Answer`]s, purely. The [`Gateway`] adds token, rate, circuit breaker and
//! one deadline per call; an [`Exchange`] sends, over HTTP ([`HttpExchange`]) unless told otherwise. What carriers answer
//! is read with [`lenient`] and [`Fields`], words for how a command stands with [`words`], and events are checked with
//! [`signature`].
//!
//! **A request is sent once.** No layer here repeats it, with one exception that cannot do harm: after a 401 the token
//! is renewed and the request sent again, because the first one was turned away before anything acted on it.

mod access;
mod answer;
mod breaker;
mod exchange;
mod failure;
mod fields;
mod gateway;
mod http;
pub mod lenient;
mod limiter;
mod request;
pub mod signature;
#[cfg(any(test, feature = "stub"))]
pub mod stub;
mod template;
pub mod text;
mod token;
mod transfer;
mod turns;
pub mod words;

pub use access::{Access, ConfigError, TokenAccess, TokenCredentials, is_dots, is_loopback, is_name};
pub use answer::{Answer, unreadable};
pub use exchange::{Exchange, ExchangeAnswer, ExchangeRequest};
pub use failure::Failure;
pub use fields::{Fields, usable};
pub use gateway::Gateway;
pub use http::HttpExchange;
pub use request::{Method, Request, segment};
pub use template::{PathError, Template};
pub use turns::LocalTurns;
