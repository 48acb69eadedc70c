//! The lowest level: one request and its answer, over HTTP or without it.
//!
//! [`Transatel::new`](crate::Transatel::new) speaks HTTP. [`Transatel::with_exchange`](crate::Transatel::with_exchange)
//! takes anything else that answers requests, such as a carrier twin in the same process: then the adapter spawns
//! nothing, and its timers do nothing but end calls that take too long.

use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use simdepot_domain::secret::Secret;

use crate::token::Token;
use crate::wire::{self, Failure, Request};

const TOKEN_PATH: &str = "/authentication/api/token";
const JSON: &str = "application/json";

/// Sends requests, one by one, each at most once.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// Sends a request and waits for the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`Failure::NotSent`] only when the request surely did not arrive; [`Failure::Lost`] in every other case.
    async fn run(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, Failure>;
}

/// A request as it goes over the wire.
///
/// `Debug` shows neither headers nor body: they hold credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ExchangeRequest {
    /// In upper case.
    pub method: &'static str,
    /// Below the base URL, percent-encoded, with a slash in front.
    pub path: String,
    /// Percent-encoded; empty when there is none.
    pub query: String,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// Empty when there is none.
    pub body: Vec<u8>,
}

impl ExchangeRequest {
    /// A call with its token.
    pub(crate) fn of(request: &Request, token: &Token) -> Self {
        let parameter = |(name, value): &(&str, String)| format!("{name}={}", wire::segment(value));
        let mut headers =
            vec![("accept", JSON.to_owned()), ("authorization", format!("Bearer {}", token.value.expose()))];
        if request.body.is_some() {
            headers.push(("content-type", JSON.to_owned()));
        }
        Self {
            method: request.method.as_str(),
            path: request.path.clone(),
            query: request.query.iter().map(parameter).collect::<Vec<_>>().join("&"),
            headers,
            body: request.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        }
    }

    /// The call that fetches a token.
    pub(crate) fn for_token(client_id: &str, client_secret: &Secret) -> Self {
        let credentials = STANDARD.encode(format!("{client_id}:{}", client_secret.expose()));
        Self {
            method: "POST",
            path: TOKEN_PATH.to_owned(),
            query: String::new(),
            headers: vec![
                ("accept", JSON.to_owned()),
                ("authorization", format!("Basic {credentials}")),
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ],
            body: b"grant_type=client_credentials".to_vec(),
        }
    }
}

impl fmt::Debug for ExchangeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} with {} bytes", self.method, self.path, self.body.len())
    }
}

/// An answer that was received whole.
///
/// `Debug` shows no body: it may hold activation codes and tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ExchangeAnswer {
    /// HTTP status.
    pub status: u16,
    /// Names in any case, and values; those that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// As received.
    pub body: Vec<u8>,
}

impl ExchangeAnswer {
    /// Every value of a header.
    pub(crate) fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = move |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for ExchangeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} with {} bytes", self.status, self.body.len())
    }
}
