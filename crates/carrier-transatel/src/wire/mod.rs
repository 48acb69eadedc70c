//! What goes over the wire, without sending it: requests as values, answers as status and bytes.
//!
//! Field names and shapes follow Transatel's OCS, SIM management, connectivity management and SIM Search
//! documentation. Fields that are not named here are ignored, since Transatel adds some without notice; optional
//! ones of an unexpected type count as absent. What an answer is asked for must be there, or the read has failed.

pub(crate) mod catalogue;
pub(crate) mod command;
pub(crate) mod country;
pub(crate) mod details;
pub(crate) mod esim;
pub(crate) mod event;
pub(crate) mod fields;
pub(crate) mod inventory;
pub(crate) mod lenient;
pub(crate) mod order;
pub(crate) mod problem;
pub(crate) mod rights;
pub(crate) mod sim_card;
pub(crate) mod sim_search;
pub(crate) mod subscriber;
pub(crate) mod transaction;
pub(crate) mod usage;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use simdepot_domain::carrier::{Lost, ReadError, Unavailable};

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Options,
}

impl Method {
    /// As on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
        }
    }
}

/// What a request is for; labels metrics and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Token,
    Catalogue,
    Order,
    Inventory,
    Esim,
    SimSearch,
    Fleet,
    Subscriber,
    LineCommand,
    BundleChange,
    Transaction,
    SimCard,
    Usage,
    Rights,
}

impl Call {
    /// The metric label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Catalogue => "catalogue",
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Esim => "esim",
            Self::SimSearch => "sim_search",
            Self::Fleet => "fleet",
            Self::Subscriber => "subscriber",
            Self::LineCommand => "line_command",
            Self::BundleChange => "bundle_change",
            Self::Transaction => "transaction",
            Self::SimCard => "sim_card",
            Self::Usage => "usage",
            Self::Rights => "rights",
        }
    }
}

/// A request that can be looked at before it is sent.
#[derive(Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) call: Call,
    pub(crate) method: Method,
    /// Below the base URL, percent-encoded.
    pub(crate) path: String,
    /// Not yet encoded.
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

impl Request {
    /// A read.
    pub(crate) fn get(call: Call, path: impl Into<String>) -> Self {
        Self { call, method: Method::Get, path: path.into(), query: Vec::new(), body: None }
    }

    /// With one more query parameter.
    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
}

/// The body may hold a subscriber's contact data.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, method, path, query, body } = self;
        let body = body.as_ref().map(|_| "not shown");
        f.debug_struct("Request")
            .field("call", call)
            .field("method", method)
            .field("path", path)
            .field("query", query)
            .field("body", &body)
            .finish()
    }
}

/// An answer that was received whole.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after_ms: Option<u64>,
    /// The `Allow` header.
    pub(crate) allow: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Whether the carrier itself failed. 501 says that the account is not set up, which waiting does not cure.
    pub(crate) fn is_server_failure(&self) -> bool {
        matches!(self.status, 500 | 502..=599)
    }

    /// The page of a gateway that answers 200 for a carrier that is away. It begins with `<`, and no answer of the
    /// carrier's does.
    pub(crate) fn is_page(&self) -> bool {
        self.status == 200 && self.body.trim_ascii_start().starts_with(b"<")
    }

    /// The body of a 200 as `T`.
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, ReadError> {
        // serde's message may quote the value, so only the place is told.
        serde_json::from_slice(&self.body)
            .map_err(|e| unreadable(format!("{what} (line {}, column {})", e.line(), e.column())))
    }

    #[cfg(test)]
    pub(crate) fn of(status: u16, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec(), ..Self::default() }
    }
}

/// The body may hold activation codes and tokens.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} with {} bytes", self.status, self.body.len())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request did not leave: no turn, no token, no connection.
    NotSent {
        /// Why, and when to come back.
        why: Unavailable,
        /// Whether it speaks against the carrier's health.
        carrier_down: bool,
    },
    /// The request may have arrived.
    Lost(Lost),
}

impl Failure {
    /// Given up on our side.
    pub(crate) fn waiting(reason: &str) -> Self {
        let why = Unavailable { reason: reason.to_owned(), retry_after_ms: None };
        Self::NotSent { why, carrier_down: false }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent { why, .. } => Self::Unavailable(why),
            Failure::Lost(lost) => {
                Self::Unavailable(Unavailable { reason: lost.reason, retry_after_ms: None })
            }
        }
    }
}

/// An answer without what it was asked for.
pub(crate) fn unreadable(what: impl Into<String>) -> ReadError {
    ReadError::Unreadable { what: what.into() }
}

/// Percent-encodes one path segment: everything but RFC 3986's unreserved characters.
pub(crate) fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(segment("WW_901O-1.5GB~x"), "WW_901O-1.5GB~x");
        assert_eq!(segment("a/b?c#d %é"), "a%2Fb%3Fc%23d%20%25%C3%A9");
    }

    #[test]
    fn an_unreadable_body_is_not_quoted() {
        let answer = Answer::of(200, "{\"activationCode\":\n SESAME}");
        let error = answer.json::<Value>("an object").unwrap_err().to_string();
        assert!(error.contains("an object (line 2") && !error.contains("SESAME"), "{error}");
        assert!(!format!("{answer:?}").contains("SESAME"));
    }
}
