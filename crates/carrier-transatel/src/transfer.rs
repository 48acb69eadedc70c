//! One exchange on the wire: sends what is built, reads the whole answer within bounds, and says of a failure
//! whether the request can have arrived.

use std::error::Error;
use std::io;

use chrono::{DateTime, Utc};
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, ALLOW, HeaderMap, HeaderName, RETRY_AFTER};
use simdepot_domain::carrier::{Lost, Unavailable};

use crate::wire::{Answer, Failure};

/// Transatel's id of a request, which its support asks for.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-tsl-request-id");
/// Longest answer that is read: a catalogue of a thousand products takes a few megabytes.
const MAX_BODY: usize = 32 << 20;
/// Longest pause that the carrier may ask for and get, in milliseconds.
const MAX_RETRY_AFTER_MS: u64 = 3_600_000;

/// Sends the request once. `now` dates a `Retry-After`; status and request id go to the current span.
pub(crate) async fn run(builder: RequestBuilder, now: DateTime<Utc>) -> Result<Answer, Failure> {
    let sent = builder.header(ACCEPT, "application/json").send().await;
    let mut response = sent.map_err(|error| failure_of(&error))?;
    let status = response.status().as_u16();
    let span = tracing::Span::current();
    span.record("status", status);
    if let Some(id) = header(response.headers(), &REQUEST_ID) {
        span.record("carrier_request_id", id);
    }
    let retry_after = header(response.headers(), &RETRY_AFTER);
    let mut answer = Answer {
        status,
        retry_after_ms: retry_after.and_then(|text| pause_of(text, now)),
        allow: allowed_methods(response.headers()),
        body: Vec::new(),
    };
    let broken = |_| lost("the connection ended in the middle of the answer");
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if answer.body.len().saturating_add(chunk.len()) > MAX_BODY {
            return Err(lost("the answer is longer than any documented one"));
        }
        answer.body.extend_from_slice(&chunk);
    }
    tracing::debug!("answered");
    Ok(answer)
}

/// The request may have arrived.
pub(crate) fn lost(reason: &str) -> Failure {
    Failure::Lost(Lost { reason: reason.to_owned() })
}

/// reqwest's own words contain the URL, and with it numbers of customers; only the kind is kept.
fn failure_of(error: &reqwest::Error) -> Failure {
    let not_sent = |reason: String, carrier_down| Failure::NotSent {
        why: Unavailable { reason, retry_after_ms: None },
        carrier_down,
    };
    if error.is_builder() {
        return not_sent("the request cannot be written: check base_url".into(), false);
    }
    let cause = io_kind(error).map(|kind| format!(" ({kind})")).unwrap_or_default();
    // Name resolution, TCP and TLS come before the first byte of the request.
    if error.is_connect() {
        return not_sent(format!("no connection to the carrier{cause}"), true);
    }
    lost(&format!("the connection ended before the answer{cause}"))
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = cause.source();
    }
    None
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|text| text.len() <= 200)
}

/// The methods of all `Allow` headers.
fn allowed_methods(headers: &HeaderMap) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(ALLOW).iter().filter_map(|value| value.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// Milliseconds from now, from seconds or an HTTP date (RFC 9110 §10.2.3).
fn pause_of(text: &str, now: DateTime<Utc>) -> Option<u64> {
    let seconds = text.trim().parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000));
    let until = || {
        let moment = DateTime::parse_from_rfc2822(text.trim()).ok()?;
        u64::try_from((moment.with_timezone(&Utc) - now).num_milliseconds().max(0)).ok()
    };
    seconds.or_else(until).map(|pause| pause.min(MAX_RETRY_AFTER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_both_forms_and_within_bounds() {
        let now = "2026-03-10T00:00:00Z".parse().unwrap();
        assert_eq!(pause_of("7", now), Some(7_000));
        assert_eq!(pause_of("99999999999999999999", now), None);
        assert_eq!(pause_of("99999999999", now), Some(MAX_RETRY_AFTER_MS));
        assert_eq!(pause_of("Tue, 10 Mar 2026 00:00:30 GMT", now), Some(30_000));
        assert_eq!(pause_of("Mon, 09 Mar 2026 00:00:30 GMT", now), Some(0));
        assert_eq!(pause_of("soon", now), None);
    }
}
