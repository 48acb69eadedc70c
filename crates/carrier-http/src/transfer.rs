//! Reads what every answer has, whatever it was asked for: status, request id, pauses that the carrier asks for.

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::Lost;

use crate::answer::Answer;
use crate::exchange::ExchangeAnswer;
use crate::failure::Failure;

/// Longest pause that the carrier may ask for and get, in milliseconds.
const MAX_RETRY_AFTER_MS: u64 = 3_600_000;

/// `now` dates a `Retry-After`; status and request id, which the carrier's support asks for, go to the current span.
pub(crate) fn read(answer: ExchangeAnswer, request_id: &str, now: DateTime<Utc>) -> Answer {
    let span = tracing::Span::current();
    span.record("status", answer.status);
    if let Some(id) = header(&answer, request_id) {
        span.record("carrier_request_id", id);
    }
    let methods: Vec<&str> = answer.header_values("allow").collect();
    let allow = (!methods.is_empty()).then(|| methods.join(","));
    let retry_after_ms = header(&answer, "retry-after").and_then(|text| pause_of(text, now));
    tracing::debug!("answered");
    Answer { status: answer.status, retry_after_ms, allow, body: answer.body }
}

/// The request may have arrived.
pub(crate) fn lost(reason: &str) -> Failure {
    Failure::Lost(Lost::silent(reason))
}

fn header<'a>(answer: &'a ExchangeAnswer, name: &str) -> Option<&'a str> {
    answer.header_values(name).next().filter(|text| text.len() <= 200)
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
