//! Receiving a job, bounded and in time.

use std::time::Duration;

use actix_multipart::{Multipart, MultipartError};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::mime::Mime;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpMessage, HttpRequest};
use futures_util::StreamExt;

use crate::extract::body;
use crate::problem::{ApiResult, Problem, ProblemCode};

/// Most bytes of a list: a hundred thousand ICCIDs take two and a half million.
const MAX_LIST: usize = 8 << 20;
/// Most bytes of a file: some three hundred for each of a hundred thousand lines.
const MAX_FILE: usize = 32 << 20;
/// How long a job may take to come.
const WAIT: Duration = Duration::from_secs(120);

/// A job as it was sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// As JSON.
    List(Bytes),
    /// As CSV.
    File(Bytes),
}

impl Sent {
    /// What was sent, to tell it from another request.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::List(bytes) | Self::File(bytes) => bytes,
        }
    }
}

/// Receives a job: JSON, a file, or a file as the only part of a form.
pub(super) async fn receive(request: &HttpRequest, payload: Payload) -> ApiResult<Sent> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("send the job without Content-Encoding"));
    }
    let mime = request.mime_type().ok().flatten();
    match mime.as_ref().map(Mime::essence_str) {
        Some("application/json") => Ok(Sent::List(body::read(request, payload, MAX_LIST, WAIT).await?)),
        Some("text/csv") => Ok(Sent::File(body::read(request, payload, MAX_FILE, WAIT).await?)),
        Some("multipart/form-data") => {
            let form = form(Multipart::new(request.headers(), payload));
            let file = tokio::time::timeout(WAIT, form).await;
            Ok(Sent::File(file.unwrap_or_else(|_| Err(body::too_slow(WAIT)))?))
        }
        Some(_) | None => {
            Err(unsupported("send the job as application/json, as text/csv or as multipart/form-data"))
        }
    }
}

async fn form(mut parts: Multipart) -> ApiResult<Bytes> {
    let only = || Problem::invalid_field("/file", "count", "the form must have exactly one part, the file");
    let mut part = parts.next().await.ok_or_else(only)?.map_err(|error| malformed(&error))?;
    let mut file = BytesMut::new();
    while let Some(chunk) = part.next().await {
        let chunk = chunk.map_err(|error| malformed(&error))?;
        if file.len() + chunk.len() > MAX_FILE {
            let detail = format!("a file may have at most {MAX_FILE} bytes");
            return Err(Problem::new(ProblemCode::PayloadTooLarge, detail));
        }
        file.extend_from_slice(&chunk);
    }
    drop(part);
    match parts.next().await {
        None => Ok(file.freeze()),
        Some(Ok(_)) => Err(only()),
        Some(Err(error)) => Err(malformed(&error)),
    }
}

fn unsupported(detail: &str) -> Problem {
    Problem::new(ProblemCode::UnsupportedMediaType, detail)
}

fn malformed(error: &MultipartError) -> Problem {
    Problem::new(ProblemCode::MalformedBody, format!("the form cannot be read: {error}"))
}
