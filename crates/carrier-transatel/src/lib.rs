//! Transatel behind the [`Carrier`](simdepot_domain::carrier::Carrier) port, for Service Provider Connect accounts and
//! others whose bundles come from the OCS.
//!
//! Layers, so that each can be checked alone: `wire` builds requests and reads answers and is pure; the gateway of
//! `simdepot-carrier-http` adds token, rate, circuit breaker and one deadline per call; an [`Exchange`] sends, over HTTP
//! unless told otherwise; [`Transatel`] joins them under the port.
//!
//! ```no_run
//! # use std::{sync::Arc, time::Duration};
//! # use simdepot_carrier_transatel::{LineSettings, LocalTurns, Transatel, TransatelAccount};
//! # use simdepot_domain::{carrier::Carrier, clock::SystemClock, secret::Secret};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let account = TransatelAccount {
//!     account: "spc".into(),
//!     base_url: "https://api.transatel.com".into(),
//!     client_id: "acme".into(),
//!     client_secret: Secret::new("…"),
//!     mvno_ref: "M2MA_WW_TSL_ACME".into(),
//!     cos: "WW_M2MA_COS_SPC".into(),
//!     rate_plan: None,
//!     lines: LineSettings::default(),
//!     timeout: Duration::from_secs(15),
//!     max_requests_per_second: 10,
//!     webhook_secret: Some(Secret::new("…")),
//!     source: "simdepot".into(),
//! };
//! let carrier = Transatel::new(account, Arc::new(SystemClock), Arc::new(LocalTurns::default()))?;
//! let products = carrier.products().await?;
//! # Ok(()) }
//! ```
//!
//! **A write is sent once.** No layer below repeats it, with one exception that cannot do harm: after a 401 the
//! token is renewed and the request sent again, because the gateway turned the first one away before anything acted.
//! Whatever else happens is reported as it is: done, refused, not taken or unknown.

mod account;
mod adapter;
mod lines;
mod paths;
mod probe;
mod settings;
mod signature;
mod wire;

#[cfg(test)]
mod adapter_tests;
#[cfg(test)]
mod line_tests;
#[cfg(test)]
mod stub;

pub use account::TransatelAccount;
pub use adapter::Transatel;
pub use paths::{PathName, Paths};
pub use settings::LineSettings;
pub use simdepot_carrier_http::{
    ConfigError, Exchange, ExchangeAnswer, ExchangeRequest, Failure, LocalTurns, PathError,
};
