//! Reading a body once, whole and bounded.

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpMessage, HttpRequest};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use validator::Validate;

use super::violation;
use crate::problem::{Problem, ProblemCode};

/// Most bytes of a JSON body: 1 MiB.
pub const MAX_JSON_BYTES: usize = 1 << 20;

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(req: &HttpRequest, mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let announced = req.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| broken(&error, limit))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(ProblemCode::PayloadTooLarge, format!("the body may have at most {limit} bytes"))
}

fn broken(error: &PayloadError, limit: usize) -> Problem {
    match error {
        PayloadError::Overflow => too_large(limit),
        _ => Problem::new(ProblemCode::MalformedBody, "the body ended early or could not be read"),
    }
}

/// Refuses what does not claim to be plain JSON.
pub(crate) fn require_json(req: &HttpRequest) -> Result<(), Problem> {
    let is_json = matches!(req.mime_type(), Ok(Some(mime)) if mime.essence_str() == "application/json");
    let encoding = req.headers().get(header::CONTENT_ENCODING);
    let is_plain = encoding.is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_json && is_plain {
        Ok(())
    } else {
        let detail = "send the body as Content-Type: application/json, without Content-Encoding";
        Err(Problem::new(ProblemCode::UnsupportedMediaType, detail))
    }
}

/// Reads JSON and validates it.
pub(crate) fn parse<T: DeserializeOwned + Validate>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        if error.inner().is_data() {
            Problem::invalid(vec![violation::of_json(&error)])
        } else {
            malformed(error.inner())
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    value.validate().map_err(|errors| Problem::invalid(violation::of_validation(&errors, "/")))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(ProblemCode::MalformedBody, format!("the body is not JSON (line {line}, column {column})"))
}
