//! One request and its answer. What every answer must be is checked here, once for all suites.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::Value as Json;

use super::contract::Contract;

/// Longest that any answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Media type of problem details (RFC 9457).
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// A client that follows, repeats and hides nothing.
pub(super) fn client() -> Client {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    // A connection that was opened and not needed is told by the server after some seconds that it is slow: none is kept.
    let builder = builder.retry(reqwest::retry::never()).pool_max_idle_per_host(0);
    builder.timeout(TIMEOUT).build().expect("an HTTP client")
}

/// A request, not yet sent.
#[derive(Debug, Clone)]
pub struct Ask {
    client: Client,
    base_url: String,
    method: Method,
    path: String,
    key: Option<String>,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    patient: bool,
}

impl Ask {
    pub(super) fn new(client: Client, base_url: &str, method: Method, path: &str) -> Self {
        Self {
            client,
            base_url: base_url.to_owned(),
            method,
            path: path.to_owned(),
            key: None,
            headers: HeaderMap::new(),
            body: None,
            patient: false,
        }
    }

    /// With this API key.
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Without any key.
    pub fn without_key(mut self) -> Self {
        self.key = None;
        self
    }

    /// Comes back after `rate-limited` instead of answering it: all tests share the rate of a deployment's key.
    pub(super) fn patient(mut self, patient: bool) -> Self {
        self.patient = patient;
        self
    }

    /// With a header.
    ///
    /// # Panics
    /// When it is none.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// With a JSON body.
    pub fn json(self, body: &Json) -> Self {
        self.body("application/json", body.to_string())
    }

    /// With a body.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.remove("content-type");
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    /// Sends it, and checks what every answer must be.
    ///
    /// # Panics
    /// When there is no answer, or the OpenAPI document does not know such an answer.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        match self.try_send().await {
            Ok(answer) => answer,
            Err(error) => panic!("{what} has no answer: {error:?}"),
        }
    }

    /// As [`Ask::send`], for requests that may be left without an answer.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Panics
    /// When the OpenAPI document does not know such an answer.
    pub async fn try_send(self) -> reqwest::Result<Answer> {
        loop {
            let answer = self.once().await?;
            let wait = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
            match wait.filter(|_| self.patient && answer.status == 429) {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => return Ok(answer),
            }
        }
    }

    async fn once(&self) -> reqwest::Result<Answer> {
        let url = format!("{}{}", self.base_url, self.path);
        let mut request = self.client.request(self.method.clone(), url).headers(self.headers.clone());
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        let what = format!("{} {}", self.method, self.path);
        let answer = Answer { status, headers, body, what };
        answer.check();
        let path = self.path.split('?').next().unwrap_or_default();
        Contract::current().check(self.method.as_str(), path, &answer);
        Ok(answer)
    }
}

/// An answer, read to its end.
#[derive(Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, uncompressed.
    pub body: Vec<u8>,
    /// What was asked.
    pub(super) what: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} → {} {body}", self.what, self.status)
    }
}

impl Answer {
    /// Every answer names its request, is kept by no cache unless it says so, and every error is a problem.
    fn check(&self) {
        let id = self.header("x-request-id").unwrap_or_default();
        assert!(!id.is_empty(), "{self:?} has no X-Request-Id");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        assert!(self.header("cache-control").is_some(), "{self:?} says nothing about caches");
        assert_ne!(self.status, 500, "{self:?}");
        if self.status < 400 {
            return;
        }
        assert_eq!(self.header("content-type"), Some(PROBLEM_JSON), "{self:?}");
        let problem = self.json();
        let field = |name: &str| problem.get(name).cloned().unwrap_or_default();
        assert_eq!((field("status"), field("request_id")), (self.status.into(), id.into()), "{self:?}");
        let code = field("code");
        let code = code.as_str().unwrap_or_default();
        assert_eq!(field("type"), format!("urn:simdepot:problem:{code}"), "{self:?}");
        assert!(field("retryable").is_boolean() && field("errors").is_array(), "{self:?}");
        assert!(field("detail").as_str().is_some_and(|detail| !detail.is_empty()), "{self:?}");
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is none.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Json {
        match serde_json::from_slice(&self.body) {
            Ok(body) => body,
            Err(error) => panic!("{self:?} is no JSON: {error}"),
        }
    }

    /// Demands a status.
    ///
    /// # Panics
    /// When it has another.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Demands a problem; returns its body.
    ///
    /// # Panics
    /// When it is another, or none.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Json {
        let problem = self.expect_status(status).json();
        assert_eq!(problem.get("code").and_then(Json::as_str), Some(code), "{problem:#}");
        problem
    }
}
