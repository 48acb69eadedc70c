//! What the twin answers, and how answers and problems are put into JSON.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// The twin's answer to one request.
#[derive(Clone, PartialEq, Eq)]
pub enum TwinReply {
    /// An answer to send, after the delay.
    Answer {
        /// HTTP status.
        status: u16,
        /// Header names in lower case, and values.
        headers: Vec<(String, String)>,
        /// Body.
        body: Vec<u8>,
        /// How long to wait before sending. What the request did is done already.
        delay: Duration,
    },
    /// Close the connection without an answer.
    Drop {
        /// Whether the request took effect (or would have answered 2xx).
        applied: bool,
    },
}

impl TwinReply {
    /// HTTP status, `None` when the connection is dropped.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            Self::Drop { .. } => None,
        }
    }

    /// The body as JSON, `None` when there is none or it is something else.
    pub fn json(&self) -> Option<Value> {
        match self {
            Self::Answer { body, .. } => serde_json::from_slice(body).ok(),
            Self::Drop { .. } => None,
        }
    }

    /// A header of the answer, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        match self {
            Self::Answer { headers, .. } => {
                headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            }
            Self::Drop { .. } => None,
        }
    }
}

/// Bodies hold activation codes and tokens, so only their length is shown.
impl fmt::Debug for TwinReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { status, body, delay, .. } => f
                .debug_struct("Answer")
                .field("status", status)
                .field("body_bytes", &body.len())
                .field("delay", delay)
                .finish_non_exhaustive(),
            Self::Drop { applied } => f.debug_struct("Drop").field("applied", applied).finish(),
        }
    }
}

/// An answer before it is written out.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Empty,
    Json(Value),
    Text { media_type: &'static str, text: String },
}

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Body::Json(body) }
    }

    pub(crate) fn text(media_type: &'static str, text: String) -> Self {
        Self { status: 200, headers: Vec::new(), body: Body::Text { media_type, text } }
    }

    pub(crate) fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Body::Empty }
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Writes the answer out.
    pub(crate) fn render(self, delay: Duration) -> TwinReply {
        let mut headers = self.headers;
        let (media_type, body) = match self.body {
            Body::Empty => (None, Vec::new()),
            Body::Json(value) => (Some("application/json"), value.to_string().into_bytes()),
            Body::Text { media_type, text } => (Some(media_type), text.into_bytes()),
        };
        if let Some(media_type) = media_type
            && !headers.iter().any(|(name, _)| name == "content-type")
        {
            headers.push(("content-type".to_owned(), media_type.to_owned()));
        }
        TwinReply::Answer { status: self.status, headers, body, delay }
    }
}

/// A refusal in RFC 7807 form; clients branch on `title` (Transatel "Errors").
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) title: String,
    pub(crate) detail: String,
    /// `Retry-After` in seconds.
    pub(crate) retry_after: Option<u32>,
}

impl Problem {
    pub(crate) fn new(status: u16, title: &str, detail: impl Into<String>) -> Self {
        Self { status, title: title.to_owned(), detail: detail.into(), retry_after: None }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "BAD_REQUEST", detail)
    }

    /// As an answer to `path`, which also names the API whose documentation `type` points to.
    pub(crate) fn answer(&self, path: &str, content_type: &str) -> Answer {
        let api = path.trim_start_matches('/').split("/api/").next().unwrap_or_default();
        let body = json!({
            "type": format!("https://api.transatel.com/{api}/docs#errors/{}", self.title),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "path": path,
        });
        let answer = Answer::json(self.status, body).with_header("content-type", content_type);
        match self.retry_after {
            Some(seconds) => answer.with_header("retry-after", &seconds.to_string()),
            None => answer,
        }
    }
}

/// What a call comes to.
pub(crate) type Outcome = Result<Answer, Problem>;

/// A date as Transatel writes it: ISO 8601 in UTC with milliseconds.
pub(crate) fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Adds a field that no document names to every object but empty ones (A16). Emptiness has a meaning of its own: the
/// balances of a plan that has not started.
pub(crate) fn add_unknown_fields(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(add_unknown_fields),
        Value::Object(fields) if !fields.is_empty() => {
            fields.values_mut().for_each(add_unknown_fields);
            fields.insert("addedWithoutNotice".to_owned(), json!({ "version": 2, "values": [null, "x"] }));
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_api_and_path() {
        let reply = Problem::new(400, "SUBSCRIBER_NOT_FOUND", "unknown")
            .answer("/ocs/subscriptions/api/orders/products", "text/x")
            .render(Duration::ZERO);
        let body = reply.json().unwrap();
        assert_eq!(
            body["type"],
            "https://api.transatel.com/ocs/subscriptions/docs#errors/SUBSCRIBER_NOT_FOUND"
        );
        assert_eq!((body["status"].as_u64(), reply.header("content-type")), (Some(400), Some("text/x")));
        assert!(!format!("{reply:?}").contains("SUBSCRIBER"));
    }

    #[test]
    fn unknown_fields_reach_every_object_but_empty_ones() {
        let mut value = json!({"a": [{"b": {}}], "c": 1});
        add_unknown_fields(&mut value);
        assert!(value["addedWithoutNotice"].is_object() && value["a"][0]["addedWithoutNotice"].is_object());
        assert_eq!(value["a"][0]["b"], json!({}));
    }
}
