//! What an answer means. The body of an error is not published, so the HTTP status decides; words of the operator are passed
//! on where they are found, and nothing depends on them.

use simdepot_carrier_http::text::{code_of, printable};
use simdepot_carrier_http::words::Verdict;
use simdepot_carrier_http::{Answer, Fields, unreadable};
use simdepot_domain::carrier::{
    Answered, CommandReceipt, Commanded, Concern, Lost, ReadError, Refusal, Unavailable,
};

use super::Call;
use crate::settings::SpsSettings;

/// The code of what was not sent, because it cannot be said in the operator's words.
const NOT_SENDABLE: &str = "NOT_SENDABLE";
const CODE: [&str; 3] = ["code", "errorCode", "reasonCode"];
const WORDS: [&str; 6] =
    ["message", "errorMessage", "description", "detail", "reasonDesc", "error_description"];

/// Refuses what does not fit the operator's schema: nothing was sent. `pointer` names our field.
pub(crate) fn not_sendable(pointer: &str, expected: &str) -> Refusal {
    let detail = Some(format!("{pointer} must be {expected}"));
    Refusal { code: NOT_SENDABLE.to_owned(), detail, concerns: Concern::Request }
}

/// What a write that was answered comes to.
pub(crate) fn outcome(answer: &Answer, call: Call, reference: &str, settings: &SpsSettings) -> Commanded {
    let refused = |concerns| Answered::Refused(refusal(answer, concerns));
    match answer.status {
        200..=299 => acknowledged(answer, reference, settings),
        401 | 403 => refused(Concern::Account),
        // Also what a wrong path is answered with: whether the SIM is to blame shows when another is tried.
        404 => Answered::Refused(hinted(refusal(answer, Concern::Request), call, settings)),
        405 => Answered::Refused(hinted(refusal(answer, Concern::Account), call, settings)),
        409 => refused(Concern::LineStatus),
        429 => Answered::NotTaken(unavailable(answer, "HTTP 429".to_owned())),
        // Somebody on the way gave up waiting.
        408 => lost(answer),
        400..=499 => refused(Concern::Request),
        _ => lost(answer),
    }
}

/// A success says that the command was taken up, whatever its words, unless they are those of a failure: what became of it
/// is asked then.
fn acknowledged(answer: &Answer, reference: &str, settings: &SpsSettings) -> Commanded {
    let accepted = Answered::Done(CommandReceipt::Accepted { transaction: Some(reference.to_owned()) });
    if answer.body.trim_ascii().is_empty() {
        return accepted;
    }
    let Ok(fields) = Fields::read(answer, "an acknowledgement") else {
        let taken_as = Some(format!("HTTP {}", answer.status)).filter(|_| !answer.is_page());
        return Answered::Unknown(Lost {
            reason: "the acknowledgement cannot be understood".to_owned(),
            taken_as,
        });
    };
    match fields.text(&["status"]) {
        Some(word) if settings.words.verdict(&word) == Verdict::Failed => {
            Answered::Unknown(Lost::silent("it was acknowledged as failed"))
        }
        _ => accepted,
    }
}

fn lost<T>(answer: &Answer) -> Answered<T> {
    Answered::Unknown(Lost::silent(format!("HTTP {}", answer.status)))
}

fn unavailable(answer: &Answer, reason: String) -> Unavailable {
    Unavailable { reason, retry_after_ms: answer.retry_after_ms }
}

fn refusal(answer: &Answer, concerns: Concern) -> Refusal {
    let fields = Fields::read(answer, "a problem").unwrap_or_default();
    let inner = fields.inner(&["error"]).unwrap_or_default();
    let code = fields.text(&CODE).or_else(|| inner.text(&CODE)).as_deref().and_then(code_of);
    let detail = fields.words(&WORDS).or_else(|| inner.words(&WORDS)).map(|words| printable(&words));
    Refusal { code: code.unwrap_or_else(|| code_of_status(answer)), detail, concerns }
}

fn hinted(refusal: Refusal, call: Call, settings: &SpsSettings) -> Refusal {
    let Some(name) = call.path() else { return refusal };
    let hint = format!("confirm {} if all are answered so", settings.paths.shown(name));
    let detail =
        refusal.detail.map_or_else(|| hint.clone(), |detail| printable(&format!("{detail}; {hint}")));
    Refusal { detail: Some(detail), ..refusal }
}

/// What a transaction that failed tells of it.
pub(crate) fn failure(code: Option<&str>, reason: Option<&str>, status: &str) -> Refusal {
    let code = code.and_then(code_of).or_else(|| code_of(status)).unwrap_or_else(|| "FAILED".to_owned());
    let detail = reason.map(printable).filter(|detail| !detail.is_empty());
    Refusal { code, detail, concerns: Concern::Request }
}

/// What an answer other than success says of a read.
pub(crate) fn read_error(answer: &Answer) -> ReadError {
    match answer.status {
        200 if answer.is_page() => {
            ReadError::Unavailable(unavailable(answer, "a page, not an answer".to_owned()))
        }
        401 => ReadError::Unavailable(unavailable(answer, "a fresh access token was turned away".to_owned())),
        403 => ReadError::Denied { code: code_of_status(answer) },
        // Asking again does not help.
        400 | 404..=407 | 409..=428 | 430..=499 => ReadError::Denied { code: code_of_status(answer) },
        408 | 429 | 500..=599 => {
            ReadError::Unavailable(unavailable(answer, format!("HTTP {}", answer.status)))
        }
        status => unreadable(format!("success instead of HTTP {status}")),
    }
}

/// The object of a successful read; `None` when the operator does not know what was asked for.
pub(crate) fn read(answer: &Answer, what: &str) -> Result<Option<Fields>, ReadError> {
    match answer.status {
        200 if !answer.is_page() => Fields::read(answer, what).map(Some),
        404 => Ok(None),
        _ => Err(read_error(answer)),
    }
}

fn code_of_status(answer: &Answer) -> String {
    format!("HTTP_{}", answer.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ACK: &str = r#"{"status":"Success"}"#;

    fn of(status: u16, body: &str) -> Commanded {
        outcome(&Answer::of(status, body), Call::Activation, "op_1", &SpsSettings::default())
    }

    #[test]
    fn an_acknowledgement_is_no_completion() {
        let accepted = Answered::Done(CommandReceipt::Accepted { transaction: Some("op_1".to_owned()) });
        for (status, body) in
            [(200, ACK), (202, ACK), (200, "{}"), (202, ""), (204, " "), (200, r#"{"status":"Completed"}"#)]
        {
            assert_eq!(of(status, body), accepted, "{status} {body}");
        }
        for body in ["<html>", "[]", "{", r#"{"status":"Failed"}"#] {
            assert!(matches!(of(200, body), Answered::Unknown(_)), "{body}");
        }
    }

    #[test]
    fn refusals_by_status() {
        for (status, concerns) in [
            (400, Concern::Request),
            (401, Concern::Account),
            (403, Concern::Account),
            (404, Concern::Request),
            (405, Concern::Account),
            (409, Concern::LineStatus),
            (415, Concern::Request),
            (422, Concern::Request),
        ] {
            let Answered::Refused(refusal) = of(status, "") else { panic!("{status}") };
            assert_eq!((refusal.code.as_str(), refusal.concerns), (&*format!("HTTP_{status}"), concerns));
            assert_eq!(refusal.detail.is_some(), matches!(status, 404 | 405), "{status}");
        }
        for status in [302, 408, 500, 501, 502, 503, 504, 599] {
            assert!(matches!(of(status, ACK), Answered::Unknown(_)), "{status}");
        }
        let busy = Answer { retry_after_ms: Some(7_000), ..Answer::of(429, "") };
        let outcome = outcome(&busy, Call::LineCommand, "op_1", &SpsSettings::default());
        assert!(matches!(outcome, Answered::NotTaken(Unavailable { retry_after_ms: Some(7_000), .. })));
    }

    #[test]
    fn words_are_passed_on_within_bounds() {
        let told = |body: &serde_json::Value| match of(409, &body.to_string()) {
            Answered::Refused(refusal) => (refusal.code, refusal.detail.unwrap_or_default()),
            other => panic!("{other:?}"),
        };
        let both = |code: &str, detail: &str| (code.to_owned(), detail.to_owned());
        assert_eq!(told(&json!({ "code": "NOT-ACTIVE", "message": "x" })), both("NOT_ACTIVE", "x"));
        assert_eq!(told(&json!({ "error": { "errorCode": 17, "description": "y" } })), both("17", "y"));
        assert_eq!(told(&json!({ "error": "z" })), both("HTTP_409", ""));
        let long = told(&json!({ "message": format!("a\u{0}{}", "é".repeat(900)) })).1;
        assert!(long.chars().count() == 500 && !long.contains('\0'));
    }

    #[test]
    fn failed_reads() {
        for status in [401, 408, 429, 500, 501, 503] {
            let error = read_error(&Answer::of(status, ""));
            assert!(matches!(error, ReadError::Unavailable(_)), "{status}");
        }
        assert!(matches!(read_error(&Answer::of(200, " <html>")), ReadError::Unavailable(_)));
        assert_eq!(read_error(&Answer::of(403, "")), ReadError::Denied { code: "HTTP_403".to_owned() });
        for status in [204, 302, 400, 409] {
            assert!(matches!(read_error(&Answer::of(status, "")), ReadError::Unreadable { .. }), "{status}");
        }
    }
}
