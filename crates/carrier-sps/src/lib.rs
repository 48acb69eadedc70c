//! A wholesale 5G operator's Subscriber Provisioning APIs ("SPS": Subscriptions and Subscription Device Management, v5)
//! behind the [`Carrier`](simdepot_domain::carrier::Carrier) port.
//!
//! Subscriptions are activated with the sale, commands are numbered by us, and everything that writes is asynchronous: an
//! acknowledgement means that a command was taken up, and the status of its transaction tells how it ended.
//!
//! The published pages leave much open: the paths of the writes, how tokens are had, what a notification looks like, which
//! words a transaction's status has. All of that is a setting with a default that is an assumption; [`Sps::probe`] lists
//! those in use, to be confirmed with the operator.
//!
//! Layers, so that each can be checked alone: `wire` builds requests and reads answers and is pure; the gateway of
//! `simdepot-carrier-http` adds token, rate, circuit breaker and one deadline per call; [`Sps`] joins them under the port.
//!
//! ```no_run
//! # use std::{sync::Arc, time::Duration};
//! # use simdepot_carrier_sps::{LocalTurns, Sps, SpsAccount, SpsSettings, TokenCredentials};
//! # use simdepot_domain::{carrier::Carrier, clock::SystemClock, secret::Secret};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let account = SpsAccount {
//!     account: "wholesale".into(),
//!     base_url: "https://api.example.com".into(),
//!     token_url: None,
//!     client_id: "acme".into(),
//!     client_secret: Secret::new("…"),
//!     token_credentials: TokenCredentials::Basic,
//!     scope: None,
//!     wholesale_customer_id: Some("920000108464".into()),
//!     webhook_secret: Some(Secret::new("…")),
//!     timeout: Duration::from_secs(15),
//!     max_requests_per_second: 10,
//!     settings: SpsSettings::default(),
//! };
//! let carrier = Sps::new(account, Arc::new(SystemClock), Arc::new(LocalTurns::default()))?;
//! let checks = carrier.probe().await;
//! # Ok(()) }
//! ```
//!
//! [`Sps::probe`]: simdepot_domain::carrier::Carrier::probe

mod account;
mod activation;
mod adapter;
mod correlation;
mod lookup;
mod notification;
mod parameters;
mod paths;
mod probe;
mod settings;
mod signature;
mod wire;

#[cfg(test)]
mod adapter_tests;
#[cfg(test)]
mod stub;

pub use account::SpsAccount;
pub use adapter::Sps;
pub use notification::{NotificationFields, UnknownField};
pub use paths::{PathName, Paths};
pub use settings::{IccidLookup, LineIdentifier, SpsSettings, StatusWords};
pub use signature::{WebhookAuth, WebhookSettings};
pub use simdepot_carrier_http::{
    ConfigError, Exchange, ExchangeAnswer, ExchangeRequest, Failure, LocalTurns, PathError, TokenCredentials,
};
