//! Errors as clients see them: problem details (RFC 9457).
//!
//! Every error answer is made here, whether it comes from a use case ([`simdepot_application::AppError`]), from an
//! extractor or from the framework. `code` is stable and what clients branch on; `detail` is for people. What went
//! wrong inside stays in the log, found by `request_id`.

mod code;
mod from_app;

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};
use simdepot_application::FieldError;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub use code::ProblemCode;

use crate::middleware::request_id;

/// Media type of every error answer.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What handlers return.
pub type ApiResult<T> = Result<T, Problem>;

/// An error answer. Small to move: the document is behind a pointer.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    details: ProblemDetails,
    /// Status of the framework's own errors, which may differ from the code's.
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of an error answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDetails {
    /// Identifies the kind of problem, like `code`.
    #[serde(rename = "type")]
    #[schema(format = "uri", example = "urn:simdepot:problem:out-of-stock")]
    kind: String,
    /// The kind of problem in words.
    #[schema(example = "Out of stock")]
    title: &'static str,
    /// The status of the answer.
    #[schema(example = 409)]
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// Stable code: branch on this.
    code: ProblemCode,
    /// Whether the same request may succeed later without a change.
    retryable: bool,
    /// What is wrong with which field; empty when no field is to blame.
    errors: Vec<ProblemField>,
    /// Names the request in the log; also in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(flatten)]
    #[schema(ignore)]
    extensions: Map<String, Value>,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemField {
    /// JSON pointer (RFC 6901) into the body, `?name` for a query parameter, `{name}` for a part of the path, or the name of a
    /// header.
    #[schema(example = "/lines/0/quantity")]
    pub pointer: String,
    /// Stable code.
    #[schema(value_type = String, example = "range")]
    pub code: Cow<'static, str>,
    /// What is wrong and what is expected.
    #[schema(example = "must be 1 to 1000")]
    pub message: String,
}

impl From<FieldError> for ProblemField {
    fn from(error: FieldError) -> Self {
        Self { pointer: error.pointer, code: error.code.into(), message: error.message }
    }
}

impl Problem {
    /// A problem with its code's status.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let details = ProblemDetails {
            kind: format!("urn:simdepot:problem:{code}"),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            retryable: code.is_retryable(),
            errors: Vec::new(),
            request_id: None,
            extensions: Map::new(),
        };
        Self(Box::new(Inner { details, status: code.status(), headers: Vec::new() }))
    }

    /// `validation-failed`, with what is wrong.
    pub fn invalid(errors: Vec<ProblemField>) -> Self {
        let detail = match errors.as_slice() {
            // The pointer of the whole body is empty.
            [only] if only.pointer.is_empty() => format!("the body {}", only.message),
            [only] => format!("{} {}", only.pointer, only.message),
            several => format!("{} fields are wrong", several.len()),
        };
        let mut problem = Self::new(ProblemCode::ValidationFailed, detail);
        problem.0.details.errors = errors;
        problem
    }

    /// `validation-failed` of one field.
    pub fn invalid_field(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, code, message).into()])
    }

    /// `not-found`, of a path that nothing is served at.
    pub fn no_such_path() -> Self {
        Self::new(ProblemCode::NotFound, "there is no such path")
    }

    /// The problem behind a status that the framework answered by itself.
    pub fn of_status(status: StatusCode) -> Self {
        let code = ProblemCode::of_status(status);
        let mut problem = Self::new(code, status.canonical_reason().unwrap_or("the request failed"));
        problem.0.details.status = status.as_u16();
        problem.0.status = status;
        problem
    }

    /// Adds an extension member. A value that cannot be JSON is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.0.details.extensions.insert(name.to_owned(), value);
        }
        self
    }

    /// Overrides whether a repeat may help.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.details.retryable = retryable;
        self
    }

    /// Adds a header. A value that is no header text is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// Adds `Retry-After`, in whole seconds and at least one.
    #[must_use]
    pub fn retry_after(self, wait: std::time::Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        self.header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// The stable code.
    pub fn code(&self) -> ProblemCode {
        self.0.details.code
    }

    /// What is wrong with which field.
    pub fn errors(&self) -> &[ProblemField] {
        &self.0.details.errors
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The body, as it is sent within a request.
    pub fn details(&self) -> ProblemDetails {
        let mut details = self.0.details.clone();
        details.request_id = request_id::current();
        details
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status.as_u16(), self.0.details.code, self.0.details.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.0.status);
        for header in &self.0.headers {
            answer.append_header(header.clone());
        }
        answer.content_type(PROBLEM_JSON);
        match serde_json::to_vec(&self.details()) {
            Ok(body) => answer.body(body),
            Err(error) => {
                tracing::error!(%error, "a problem document cannot be written");
                answer.finish()
            }
        }
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        ProblemDetails::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        "Problem".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ProblemDetails::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn json(problem: &Problem) -> Value {
        serde_json::to_value(problem.details()).unwrap()
    }

    #[test]
    fn is_a_problem_document_with_extensions() {
        let problem =
            Problem::new(ProblemCode::OutOfStock, "none left").with("requested", 3).with("available", 0);
        let body = json(&problem);
        assert_eq!(body["type"], "urn:simdepot:problem:out-of-stock");
        assert_eq!(body["title"], "Out of stock");
        assert_eq!(
            (&body["status"], &body["code"], &body["retryable"]),
            (&409.into(), &"out-of-stock".into(), &false.into())
        );
        assert_eq!((&body["requested"], &body["available"]), (&3.into(), &0.into()));
        assert_eq!(body["errors"], serde_json::json!([]));
        assert!(body.get("request_id").is_none(), "outside a request there is none");
    }

    #[test]
    fn names_the_fields() {
        let body = json(&Problem::invalid_field("/lines/0/quantity", "range", "must be 1 to 1000"));
        assert_eq!(body["detail"], "/lines/0/quantity must be 1 to 1000");
        let field = serde_json::json!({"pointer": "/lines/0/quantity", "code": "range", "message": "must be 1 to 1000"});
        assert_eq!(body["errors"], serde_json::json!([field]));
    }

    #[test]
    fn answers_with_its_headers() {
        let problem =
            Problem::new(ProblemCode::RateLimited, "slow down").retry_after(Duration::from_millis(1200));
        let answer = problem.error_response();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), PROBLEM_JSON);
        assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), "2");
    }

    #[test]
    fn a_status_of_the_framework_keeps_its_number() {
        let problem = Problem::of_status(StatusCode::NOT_ACCEPTABLE);
        assert_eq!((problem.code(), problem.status()), (ProblemCode::BadRequest, StatusCode::NOT_ACCEPTABLE));
        assert_eq!(Problem::of_status(StatusCode::NOT_FOUND).code(), ProblemCode::NotFound);
        assert_eq!(Problem::of_status(StatusCode::BAD_GATEWAY).code(), ProblemCode::Internal);
    }
}
