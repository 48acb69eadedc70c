//! Reading a body once, whole, bounded and in time: a client that sends a byte now and then would hold a connection for
//! ever.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpMessage, HttpRequest};
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use validator::Validate;

use super::objects::Objects;
use super::violation;
use crate::problem::{Problem, ProblemCode};

/// Most bytes of a JSON body: 1 MiB.
pub const MAX_JSON_BYTES: usize = 1 << 20;

/// How long a JSON body may take.
pub const JSON_WAIT: Duration = Duration::from_secs(30);
/// How long a file of any size may stand still while it is sent.
pub const STANDSTILL: Duration = Duration::from_secs(30);

/// The body did not come in time. The connection is of no more use: what comes on it is the rest of the body.
pub(crate) fn too_slow(wait: Duration) -> Problem {
    let detail = format!("the body was waited for {} s and did not come", wait.as_secs());
    Problem::new(ProblemCode::MalformedBody, detail).header(header::CONNECTION, "close")
}

/// Reads a body of at most `limit` bytes that is there within `wait`.
pub(crate) async fn read(
    req: &HttpRequest,
    payload: Payload,
    limit: usize,
    wait: Duration,
) -> Result<Bytes, Problem> {
    let whole = tokio::time::timeout(wait, read_whole(req, payload, limit));
    whole.await.unwrap_or_else(|_| Err(too_slow(wait)))
}

async fn read_whole(req: &HttpRequest, mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
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

/// Reads a JSON object and validates it.
pub(crate) fn parse<T: DeserializeOwned + Validate>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(Objects(&mut json)).map_err(|error| {
        if error.inner().is_data() || is_json(body) {
            Problem::invalid(vec![violation::of_json(&error)])
        } else {
            malformed(error.inner())
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    value.validate().map_err(|errors| Problem::invalid(violation::of_validation(&errors, "/")))?;
    Ok(value)
}

/// Whether it is JSON, for whatever type. Reading it into one stops as at a broken text where a number is too large for
/// any type of ours, and where something else stands in the place of one of a few words.
fn is_json(body: &[u8]) -> bool {
    // What is skipped is not looked at for UTF-8.
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(ProblemCode::MalformedBody, format!("the body is not JSON (line {line}, column {column})"))
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::test::TestRequest;
    use futures_util::stream;

    use super::*;

    /// A body that comes byte by byte.
    fn dripping(every: Duration, bytes: usize) -> Payload {
        let drops = stream::unfold(0, move |sent| async move {
            tokio::time::sleep(every).await;
            (sent < bytes).then(|| (Ok(Bytes::from_static(b"x")), sent + 1))
        });
        Payload::Stream { payload: Box::pin(drops) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_waited_for_so_long_and_no_longer() {
        let request = TestRequest::post().to_http_request();
        let second = Duration::from_secs(1);
        let whole = read(&request, dripping(second, 20), 100, JSON_WAIT).await.unwrap();
        assert_eq!(whole.len(), 20);
        let begun = tokio::time::Instant::now();
        let refused = read(&request, dripping(second, usize::MAX), usize::MAX, JSON_WAIT).await.unwrap_err();
        assert_eq!(begun.elapsed(), JSON_WAIT);
        let answer = refused.error_response();
        assert_eq!(answer.status().as_u16(), 400);
        assert_eq!(answer.headers().get(header::CONNECTION).unwrap(), "close");
        let problem = serde_json::to_value(refused.details()).unwrap();
        assert_eq!(problem["code"], "malformed-body");
        assert_eq!(problem["detail"], "the body was waited for 30 s and did not come");
    }
}
