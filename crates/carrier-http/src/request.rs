//! Requests as values.

use std::fmt;

use serde_json::Value;

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Most writes.
    Post,
    /// Writes that replace.
    Put,
    /// Writes that change.
    Patch,
    /// Asks what the account may do.
    Options,
}

impl Method {
    /// Those that write.
    pub const WRITES: &[Self] = &[Self::Post, Self::Put, Self::Patch];

    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
        }
    }
}

/// A request that can be looked at before it is sent.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// What it is for; labels metrics and errors.
    pub call: &'static str,
    /// How it is sent.
    pub method: Method,
    /// Below the base URL, percent-encoded.
    pub path: String,
    /// Not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// The carrier's own, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Option<Value>,
}

impl Request {
    /// A request without query and body.
    pub fn new(call: impl Into<&'static str>, method: Method, path: impl Into<String>) -> Self {
        let (call, path) = (call.into(), path.into());
        Self { call, method, path, query: Vec::new(), headers: Vec::new(), body: None }
    }

    /// A read.
    pub fn get(call: impl Into<&'static str>, path: impl Into<String>) -> Self {
        Self::new(call, Method::Get, path)
    }

    /// With one more query parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With one more header; its name in lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// The body may hold a subscriber's contact data.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, method, path, query, headers: _, body } = self;
        let body = body.as_ref().map(|_| "not shown");
        f.debug_struct("Request")
            .field("call", call)
            .field("method", method)
            .field("path", path)
            .field("query", query)
            .field("body", &body)
            .finish_non_exhaustive()
    }
}

/// Percent-encodes one path segment: everything but RFC 3986's unreserved characters.
pub fn segment(text: &str) -> String {
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
    fn a_body_is_not_shown() {
        let request = Request::new("x", Method::Post, "/x").header("a", "SESAME").body("SESAME".into());
        assert!(!format!("{request:?}").contains("SESAME"));
    }
}
