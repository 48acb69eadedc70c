//! A request as the twin sees it: plain data, so that it can be made without HTTP.

use std::fmt;

use serde_json::Value;

use crate::form;

/// One request to the twin.
///
/// `Debug` shows neither headers nor body: they hold credentials.
#[derive(Clone, Default)]
pub struct TwinRequest {
    /// Method in upper case.
    pub method: String,
    /// Path without query, percent-encoded as on the wire.
    pub path: String,
    /// Query without `?`, percent-encoded as on the wire; empty when there is none.
    pub query: String,
    /// Header names (any case) and values.
    pub headers: Vec<(String, String)>,
    /// Body as sent.
    pub body: Vec<u8>,
}

impl TwinRequest {
    /// A request without headers and body; `target` is a path with or without a query.
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            query: query.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds the access token.
    #[must_use]
    pub fn with_bearer(self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn with_json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.with_header("content-type", "application/json")
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a query parameter, decoded, in the order sent.
    pub(crate) fn query_values(&self, name: &str) -> Vec<String> {
        form::pairs(&self.query)
            .into_iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value)
            .collect()
    }

    /// The first value of a query parameter, decoded.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        self.query_values(name).into_iter().next()
    }

    /// The path's segments, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.trim_start_matches('/').split('/').map(form::decode_segment).collect()
    }
}

impl fmt::Debug for TwinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwinRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &self.query)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_the_target_and_decodes_on_reading() {
        let request = TwinRequest::new("get", "/a%2Fb/c?x=1&x=2%2C3&y=");
        assert_eq!((request.method.as_str(), request.segments()), ("GET", vec!["a/b".into(), "c".into()]));
        assert_eq!(request.query_values("x"), ["1", "2,3"]);
        assert_eq!((request.query_value("y").as_deref(), request.query_value("z")), (Some(""), None));
    }

    #[test]
    fn debug_hides_the_token_and_the_body() {
        let request = TwinRequest::new("POST", "/a").with_bearer("sesame").with_json(&Value::from("sesame"));
        assert!(!format!("{request:?}").contains("sesame"));
        assert_eq!(request.header("Authorization"), Some("Bearer sesame"));
    }
}
