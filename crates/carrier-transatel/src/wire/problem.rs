//! Errors: told apart by the problem's `title`, whatever the content type; by the HTTP status when there is none.
//!
//! The status decides how sure we are that nothing was done, the title what the refusal is about. A refusal without a
//! title of the service's own comes from something on the way to it, such as a gateway, a firewall or a bad deployment:
//! the service was not asked, so nothing was done and nothing was decided. It is tried again later.

use serde::Deserialize;
use simdepot_carrier_http::text::{code_of, printable};
use simdepot_domain::carrier::{Answered, Concern, Lost, ReadError, Refusal, Unavailable};

use super::{Answer, lenient, unreadable};

/// Titles that say no more than their status does: the gateway's own, and the names of the statuses.
const GATEWAY_TITLES: [&str; 5] =
    ["FORBIDDEN", "NOT_FOUND", "METHOD_NOT_ALLOWED", "NOT_ACCEPTABLE", "UNSUPPORTED_MEDIA_TYPE"];

/// An RFC 7807 problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: u16,
    /// As a code; a title that is none is left out.
    title: Option<String>,
    /// Whether there is a title at all.
    titled: bool,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "lenient::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    detail: Option<String>,
}

impl Problem {
    /// Reads the body; what cannot be read leaves title and detail empty.
    pub(crate) fn of(answer: &Answer) -> Self {
        let body = serde_json::from_slice(&answer.body).unwrap_or(Body { title: None, detail: None });
        Self {
            status: answer.status,
            titled: body.title.as_deref().is_some_and(|title| !title.trim().is_empty()),
            title: body.title.as_deref().and_then(code_of),
            detail: body.detail.map(|detail| printable(&detail)).filter(|detail| !detail.is_empty()),
        }
    }

    /// The stable code: the title, else the status.
    pub(crate) fn code(&self) -> String {
        self.title.clone().unwrap_or_else(|| format!("HTTP_{}", self.status))
    }

    /// Status and title.
    fn shown(&self) -> String {
        match &self.title {
            Some(title) => format!("HTTP {} {title}", self.status),
            None => format!("HTTP {}", self.status),
        }
    }

    /// Whether it carries this title.
    pub(crate) fn is(&self, title: &str) -> bool {
        self.title.as_deref() == Some(title)
    }

    /// Whether it is no word of the service that was asked: a refusal without a title, or with one of the gateway's.
    /// (408, 429 and 5xx say nothing final, whoever speaks.)
    pub(crate) fn is_gateways_word(&self) -> bool {
        let own = self.titled && !self.title.as_deref().is_some_and(|title| GATEWAY_TITLES.contains(&title));
        (400..=499).contains(&self.status) && !own && !self.is_foreign_sim()
    }

    /// Whether the service says that the account may not make this call at all, whatever it asks for.
    pub(crate) fn is_closed(&self) -> bool {
        self.is("INSUFFICIENT_PERMISSION") || (self.status == 501 && self.is("MISSING_CONFIGURATION"))
    }

    /// Whether it says that the SIM is none of this account (400 without a published title).
    pub(crate) fn is_foreign_sim(&self) -> bool {
        let detail = self.detail.as_deref().unwrap_or_default().to_ascii_lowercase();
        matches!(self.status, 400 | 404)
            && (detail.contains("invalid sim serial") || detail.contains("belong to customer"))
    }

    fn concerns(&self) -> Concern {
        match (self.title.as_deref(), self.status) {
            (Some("SUBSCRIBER_STATUS_NOT_ELIGIBLE"), _) => Concern::LineStatus,
            (Some("SUBSCRIBER_NOT_FOUND"), _) => Concern::Profile,
            _ if self.is_foreign_sim() => Concern::Profile,
            (Some("PRODUCT_NOT_FOUND"), _) => Concern::Product,
            // Not for this subscriber: perhaps for another.
            (Some("PRODUCT_NOT_ELIGIBLE"), _) => Concern::Request,
            (Some("INSUFFICIENT_FUND" | "INSUFFICIENT_PERMISSION"), _) | (_, 402 | 403 | 501) => {
                Concern::Account
            }
            _ => Concern::Request,
        }
    }

    /// What a refused command to a line is about. The titles of these are not published; the words are.
    pub(crate) fn concerns_of_line(&self) -> Concern {
        let detail = self.detail.as_deref().unwrap_or_default().to_ascii_lowercase();
        let of_status =
            ["already activ", "not ready for activation"].iter().any(|words| detail.contains(words));
        match self.concerns() {
            Concern::Request if of_status => Concern::LineStatus,
            concern => concern,
        }
    }

    /// A failure that was told in the body of a success.
    pub(crate) fn told(code: Option<&str>, detail: Option<&str>) -> Self {
        let detail = detail.map(printable).filter(|detail| !detail.is_empty());
        Self { status: 400, titled: code.is_some(), title: code.and_then(code_of), detail }
    }

    /// As a refusal of a command to a line; `otherwise` is the code when it has none.
    pub(crate) fn into_refusal(self, otherwise: &str) -> Refusal {
        Refusal {
            code: self.title.clone().or_else(|| code_of(otherwise)).unwrap_or_else(|| self.code()),
            concerns: self.concerns_of_line(),
            detail: self.detail,
        }
    }

    /// Whether the gateway says, in its own words, that it knows no such URL or method.
    pub(crate) fn is_unknown_url(&self) -> bool {
        (self.status == 404 && self.is("NOT_FOUND")) || (self.status == 405 && self.is("METHOD_NOT_ALLOWED"))
    }
}

/// What an answer other than success says about a read.
pub(crate) fn read_error(answer: &Answer) -> ReadError {
    let problem = Problem::of(answer);
    let code = problem.code();
    let unavailable = |reason: String| {
        ReadError::Unavailable(Unavailable { reason, retry_after_ms: answer.retry_after_ms })
    };
    match answer.status {
        _ if problem.is_closed() => ReadError::Denied { code },
        401 => unavailable("a fresh access token was turned away".into()),
        408 | 429 => unavailable(format!("HTTP {} {code}", answer.status)),
        403 | 501 => unavailable(turned_away(&problem)),
        _ if problem.is_gateways_word() => unavailable(turned_away(&problem)),
        _ if answer.is_server_failure() => unavailable(format!("HTTP {} {code}", answer.status)),
        300..=399 => unreadable(format!("an answer, not a redirection (HTTP {})", answer.status)),
        status => unreadable(format!("success instead of HTTP {status} {code}")),
    }
}

/// What to tell of an answer that decides nothing. An URL that nobody knows may be ours to mend.
fn turned_away(problem: &Problem) -> String {
    let hint = if problem.status == 404 { "; check base_url if it stays so" } else { "" };
    format!("turned away with {}, not by the service that was asked{hint}", problem.shown())
}

/// What an answer other than success says about a write.
pub(crate) fn write_error<T>(answer: &Answer) -> Answered<T> {
    let problem = Problem::of(answer);
    let lost = || Answered::Unknown(Lost::silent(format!("HTTP {} {}", answer.status, problem.code())));
    match answer.status {
        401 => Answered::NotTaken(Unavailable {
            reason: "a fresh access token was turned away".into(),
            retry_after_ms: answer.retry_after_ms,
        }),
        429 => Answered::NotTaken(Unavailable {
            reason: format!("more requests than the account may make ({})", problem.code()),
            retry_after_ms: answer.retry_after_ms,
        }),
        // Written by a proxy on the way as often as by the service: no proof either way.
        408 => lost(),
        _ if problem.is_gateways_word() => Answered::NotTaken(Unavailable {
            reason: turned_away(&problem),
            retry_after_ms: answer.retry_after_ms,
        }),
        501 if !problem.titled => lost(),
        400..=499 | 501 => Answered::Refused(Refusal {
            code: problem.code(),
            concerns: problem.concerns(),
            detail: problem.detail,
        }),
        _ => lost(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simdepot_domain::carrier::Placement;

    fn body(title: &str) -> String {
        format!(r#"{{"type":"x","title":"{title}","status":0,"detail":"some words","path":"/x","new":[]}}"#)
    }

    fn kind(placement: &Placement) -> String {
        match placement {
            Placement::Done(_) => "done".into(),
            Placement::Refused(refusal) => format!("refused {}", refusal.concerns),
            Placement::NotTaken(_) => "not taken".into(),
            Placement::Unknown(_) => "unknown".into(),
        }
    }

    #[test]
    fn writes_by_status_and_title() {
        for (status, title, expected) in [
            (400, "SUBSCRIBER_STATUS_NOT_ELIGIBLE", "refused line_status"),
            (409, "SUBSCRIBER_STATUS_NOT_ELIGIBLE", "refused line_status"),
            (400, "SUBSCRIBER_NOT_FOUND", "refused profile"),
            (404, "SUBSCRIBER_NOT_FOUND", "refused profile"),
            (400, "PRODUCT_NOT_FOUND", "refused product"),
            (404, "PRODUCT_NOT_FOUND", "refused product"),
            (400, "PRODUCT_NOT_ELIGIBLE", "refused request"),
            (403, "PRODUCT_NOT_ELIGIBLE", "refused request"),
            (400, "INSUFFICIENT_FUND", "refused account"),
            (403, "INSUFFICIENT_PERMISSION", "refused account"),
            (403, "ACCOUNT_SUSPENDED", "refused account"),
            (403, "", "not taken"),
            (403, "Forbidden", "not taken"),
            (501, "Missing configuration", "refused account"),
            (501, "", "unknown"),
            (400, "BAD_REQUEST", "refused request"),
            (400, "!", "refused request"),
            (400, "", "not taken"),
            (404, "NOT_FOUND", "not taken"),
            (404, "Not Found", "not taken"),
            (404, "", "not taken"),
            (405, "METHOD_NOT_ALLOWED", "not taken"),
            (405, "", "not taken"),
            (406, "NOT_ACCEPTABLE", "not taken"),
            (409, "CONFLICT", "refused request"),
            (413, "", "not taken"),
            (415, "UNSUPPORTED_MEDIA_TYPE", "not taken"),
            (422, "UNPROCESSABLE", "refused request"),
            (401, "UNAUTHORIZED", "not taken"),
            (429, "TOO_MANY_REQUESTS", "not taken"),
            (408, "", "unknown"),
            (500, "INTERNAL_ERROR", "unknown"),
            (500, "SUBSCRIBER_NOT_FOUND", "unknown"),
            (502, "", "unknown"),
            (503, "SERVICE_UNAVAILABLE", "unknown"),
            (504, "GATEWAY_TIMEOUT", "unknown"),
            (302, "", "unknown"),
            (204, "", "unknown"),
            (202, "", "unknown"),
        ] {
            // Without a title the body may as well be none of the service's.
            let text = if title.is_empty() { "<html>busy</html>".to_owned() } else { body(title) };
            assert_eq!(kind(&write_error(&Answer::of(status, &text))), expected, "{status} {title}");
        }
    }

    #[test]
    fn reads_by_status_and_title() {
        for (status, title, expected) in [
            (403, "INSUFFICIENT_PERMISSION", "denied INSUFFICIENT_PERMISSION"),
            (400, "INSUFFICIENT_PERMISSION", "denied INSUFFICIENT_PERMISSION"),
            (401, "INSUFFICIENT_PERMISSION", "denied INSUFFICIENT_PERMISSION"),
            (403, "", "unavailable"),
            (403, "Forbidden", "unavailable"),
            (403, "REQUEST_BLOCKED", "unavailable"),
            (405, "METHOD_NOT_ALLOWED", "unavailable"),
            (406, "NOT_ACCEPTABLE", "unavailable"),
            (501, "", "unavailable"),
            (501, "Missing configuration", "denied MISSING_CONFIGURATION"),
            (401, "UNAUTHORIZED", "unavailable"),
            (408, "", "unavailable"),
            (429, "TOO_MANY_REQUESTS", "unavailable"),
            (500, "INTERNAL_ERROR", "unavailable"),
            (503, "", "unavailable"),
            (504, "GATEWAY_TIMEOUT", "unavailable"),
            (404, "NOT_FOUND", "unavailable"),
            (404, "", "unavailable"),
            (400, "", "unavailable"),
            (404, "ESIM_NOT_FOUND", "unreadable"),
            (400, "BAD_REQUEST", "unreadable"),
            (302, "", "unreadable"),
            (204, "", "unreadable"),
        ] {
            let found = match read_error(&Answer::of(status, &body(title))) {
                ReadError::Denied { code } => format!("denied {code}"),
                ReadError::Unavailable(_) => "unavailable".into(),
                ReadError::Unreadable { .. } => "unreadable".into(),
            };
            assert_eq!(found, expected, "{status} {title}");
        }
    }

    #[test]
    fn a_page_of_somebody_on_the_way_decides_nothing() {
        for page in ["", "<html><h1>Request blocked</h1></html>", "null", "[]", r#"{"error":"forbidden"}"#] {
            for status in [400, 403, 404, 405, 406, 409, 413, 415, 418, 431] {
                let answer = Answer { retry_after_ms: Some(9), ..Answer::of(status, page) };
                let ReadError::Unavailable(read) = read_error(&answer) else { panic!("{status} {page}") };
                let Placement::NotTaken(write) = write_error(&answer) else { panic!("{status} {page}") };
                assert_eq!((&read, read.retry_after_ms), (&write, Some(9)));
                assert!(read.reason.contains(&format!("HTTP {status}")), "{read}");
                assert_eq!(read.reason.contains("base_url"), status == 404, "{read}");
            }
        }
    }

    #[test]
    fn keeps_the_words_within_bounds() {
        let long = format!(r#"{{"title":"{}","detail":"{}\u0007end"}}"#, "T".repeat(101), "é".repeat(600));
        let Placement::Refused(refusal) = write_error(&Answer::of(400, &long)) else { panic!("refused") };
        assert_eq!((refusal.code.as_str(), refusal.detail.unwrap().chars().count()), ("HTTP_400", 500));
    }

    #[test]
    fn tells_when_to_come_back() {
        let answer = Answer { retry_after_ms: Some(7_000), ..Answer::of(429, "") };
        assert!(matches!(
            write_error(&answer),
            Placement::NotTaken(Unavailable { retry_after_ms: Some(7_000), .. })
        ));
        assert!(matches!(
            read_error(&answer),
            ReadError::Unavailable(Unavailable { retry_after_ms: Some(7_000), .. })
        ));
    }

    #[test]
    fn knows_a_sim_of_somebody_else() {
        let foreign =
            r#"{"title":"BAD_REQUEST","detail":"Invalid SIM serial / SIM card doesn't belong to customer"}"#;
        assert!(Problem::of(&Answer::of(400, foreign)).is_foreign_sim());
        assert!(!Problem::of(&Answer::of(503, foreign)).is_foreign_sim());
        assert!(!Problem::of(&Answer::of(400, &body("BAD_REQUEST"))).is_foreign_sim());
    }
}
