//! The lowest level: one request and its answer, over HTTP or without it.
//!
//! [`HttpExchange`](crate::HttpExchange) speaks HTTP. Anything else that answers requests will do, such as a carrier twin
//! in the same process: then an adapter spawns nothing, and its timers do nothing but end calls that take too long.

use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::{TokenAccess, TokenCredentials, TokenPlace};
use crate::failure::Failure;
use crate::request::{Request, segment};
use crate::token::Token;

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
    /// Scheme, host and port instead of the account's base URL, for a token endpoint that is elsewhere.
    pub origin: Option<String>,
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
        let parameter = |(name, value): &(&str, String)| format!("{name}={}", segment(value));
        let mut headers =
            vec![("accept", JSON.to_owned()), ("authorization", format!("Bearer {}", token.value.expose()))];
        if request.body.is_some() {
            headers.push(("content-type", JSON.to_owned()));
        }
        headers.extend(request.headers.iter().cloned());
        Self {
            method: request.method.as_str(),
            origin: None,
            path: request.path.clone(),
            query: request.query.iter().map(parameter).collect::<Vec<_>>().join("&"),
            headers,
            body: request.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        }
    }

    /// The call that fetches a token.
    pub(crate) fn for_token(token: &TokenAccess, place: &TokenPlace) -> Self {
        let (id, secret) = (&token.client_id, token.client_secret.expose());
        let mut headers = vec![("accept", JSON.to_owned())];
        let mut form = vec![("grant_type", "client_credentials")];
        match token.credentials {
            TokenCredentials::Basic => {
                let credentials = STANDARD.encode(format!("{id}:{secret}"));
                headers.push(("authorization", format!("Basic {credentials}")));
            }
            TokenCredentials::Body => form.extend([("client_id", id.as_str()), ("client_secret", secret)]),
        }
        form.extend(token.scope.as_deref().map(|scope| ("scope", scope)));
        headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        let field = |(name, value): &(&str, &str)| format!("{name}={}", segment(value));
        let body = form.iter().map(field).collect::<Vec<_>>().join("&").into_bytes();
        let TokenPlace { origin, path } = place.clone();
        Self { method: "POST", origin, path, query: String::new(), headers, body }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::stub::access;

    fn for_token(access: &Access) -> ExchangeRequest {
        ExchangeRequest::for_token(&access.token, &access.token_place().unwrap())
    }

    #[test]
    fn credentials_in_the_header_or_in_the_form() {
        let mut access = access("https://api.example.com");
        let request = for_token(&access);
        assert!(request.headers.contains(&("authorization", "Basic YWNtZTpvcGVuc2VzYW1l".to_owned())));
        assert_eq!(request.body, b"grant_type=client_credentials");
        access.token.credentials = TokenCredentials::Body;
        access.token.scope = Some("a b".to_owned());
        access.token.url = "https://id.example.com/token".to_owned();
        let request = for_token(&access);
        assert!(request.headers.iter().all(|(name, _)| *name != "authorization"));
        assert_eq!(
            String::from_utf8(request.body.clone()).unwrap(),
            "grant_type=client_credentials&client_id=acme&client_secret=opensesame&scope=a%20b"
        );
        assert_eq!(
            (request.origin.as_deref(), request.path.as_str()),
            (Some("https://id.example.com"), "/token")
        );
        assert!(!format!("{request:?}").contains("opensesame"));
    }
}
