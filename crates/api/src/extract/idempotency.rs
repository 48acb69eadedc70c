//! Bodies of requests that may be repeated: the `Idempotency-Key` with a fingerprint of the raw body, so that a key
//! cannot be used for another request by mistake.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use simdepot_application::idempotency::IdempotencyKey;
use validator::Validate;

use super::body;
use crate::problem::Problem;

/// Name of the request header.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// Longest key, in characters.
pub const MAX_KEY: usize = 255;

/// A JSON body as of [`super::ValidJson`], with its idempotency key if it came with one.
#[derive(Debug, Clone)]
pub struct Idempotent<T> {
    /// The body.
    pub body: T,
    /// The key, bound to method, path, query and body.
    pub key: Option<IdempotencyKey>,
}

/// Like [`Idempotent`], but the body may be absent: then it is `T`'s default.
#[derive(Debug, Clone)]
pub struct IdempotentEmpty<T> {
    /// The body.
    pub body: T,
    /// The key, bound to method, path, query and body.
    pub key: Option<IdempotencyKey>,
}

/// The header alone, for bodies that are not JSON. [`IdempotencyHeader::bind`] makes the key of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyHeader(pub Option<String>);

impl IdempotencyHeader {
    /// The key, bound to method, path, query and `body_hash`, the SHA-256 of the body.
    pub fn bind(self, req: &HttpRequest, body_hash: &[u8]) -> Option<IdempotencyKey> {
        let target = req.uri().path_and_query().map_or("/", |target| target.as_str());
        let request = format!("{} {target}", req.method());
        self.0.map(|key| IdempotencyKey { key, request, body_hash: body_hash.to_vec() })
    }
}

fn header(headers: &HeaderMap) -> Result<IdempotencyHeader, Problem> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY);
    let (Some(only), second) = (all.next(), all.next()) else {
        return Ok(IdempotencyHeader(None));
    };
    let key = only.to_str().unwrap_or_default();
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if second.is_none() && visible && (1..=MAX_KEY).contains(&key.len()) {
        Ok(IdempotencyHeader(Some(key.to_owned())))
    } else {
        let message = format!("must be one key of 1 to {MAX_KEY} visible ASCII characters");
        Err(Problem::invalid_field(IDEMPOTENCY_KEY, "format", message))
    }
}

impl FromRequest for IdempotencyHeader {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(header(req.headers()))
    }
}

impl<T: DeserializeOwned + Validate + 'static> FromRequest for Idempotent<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let key = header(req.headers())?;
            body::require_json(&req)?;
            let bytes = body::read(&req, payload, body::MAX_JSON_BYTES, body::JSON_WAIT).await?;
            let body = body::parse(&bytes)?;
            Ok(Self { body, key: key.bind(&req, &Sha256::digest(&bytes)) })
        })
    }
}

impl<T: DeserializeOwned + Validate + Default + 'static> FromRequest for IdempotentEmpty<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let key = header(req.headers())?;
            let bytes = body::read(&req, payload, body::MAX_JSON_BYTES, body::JSON_WAIT).await?;
            let body = if bytes.is_empty() {
                T::default()
            } else {
                body::require_json(&req)?;
                body::parse(&bytes)?
            };
            Ok(Self { body, key: key.bind(&req, &Sha256::digest(&bytes)) })
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize, Validate)]
    struct Reason {
        #[serde(default)]
        reason: String,
    }

    fn post(body: &'static str) -> TestRequest {
        TestRequest::post()
            .uri("/v1/x?a=1")
            .insert_header(("content-type", "application/json"))
            .set_payload(body)
    }

    async fn key_of(request: TestRequest) -> Result<Option<IdempotencyKey>, u16> {
        let (req, mut payload) = request.to_http_parts();
        let taken = Idempotent::<Reason>::from_request(&req, &mut payload).await;
        taken.map(|taken| taken.key).map_err(|problem| problem.status().as_u16())
    }

    #[actix_web::test]
    async fn the_key_is_bound_to_the_request() {
        let key = key_of(post("{}").insert_header((IDEMPOTENCY_KEY, "k1"))).await.unwrap().unwrap();
        assert_eq!((key.key.as_str(), key.request.as_str()), ("k1", "POST /v1/x?a=1"));
        assert_eq!(key.body_hash, Sha256::digest(b"{}").to_vec());
        assert_eq!(key_of(post("{}")).await.unwrap(), None);
    }

    #[actix_web::test]
    async fn a_bad_key_is_refused() {
        for bad in ["", "two words", &"x".repeat(256)] {
            assert_eq!(key_of(post("{}").insert_header((IDEMPOTENCY_KEY, bad))).await, Err(422), "{bad}");
        }
        assert!(key_of(post("{}").insert_header((IDEMPOTENCY_KEY, "x".repeat(255)))).await.is_ok());
        let two = post("{}").append_header((IDEMPOTENCY_KEY, "a")).append_header((IDEMPOTENCY_KEY, "b"));
        assert_eq!(key_of(two).await, Err(422));
    }

    #[actix_web::test]
    async fn an_empty_body_is_the_default_where_it_may_be() {
        let (req, mut payload) = TestRequest::post().insert_header((IDEMPOTENCY_KEY, "k")).to_http_parts();
        let taken = IdempotentEmpty::<Reason>::from_request(&req, &mut payload).await.unwrap();
        assert_eq!(taken.body, Reason::default());
        assert_eq!(taken.key.unwrap().body_hash, Sha256::digest(b"").to_vec());
        let (req, mut payload) = post(r#"{"reason":"lost"}"#).to_http_parts();
        let taken = IdempotentEmpty::<Reason>::from_request(&req, &mut payload).await.unwrap();
        assert_eq!(taken.body.reason, "lost");
        assert_eq!(key_of(post("")).await, Err(400), "elsewhere it is malformed");
    }
}
