//! How an accepted command stands: `GET …/transactions/{transactionId}` (connectivity management).
//!
//! Beyond PENDING neither the statuses nor the fields of a failure are published: the words are settings, and what
//! tells of a failure is looked for under several names.

use simdepot_domain::carrier::{ReadError, Refusal, TransactionReading};

use super::problem::{self, Problem};
use super::{Answer, Call, Request, unreadable};
use crate::paths::Endpoint;
use crate::settings::{LineSettings, Verdict};
use simdepot_carrier_http::Fields;

const STATUS: [&str; 2] = ["transactionStatus", "status"];
const CODE: [&str; 3] = ["errorCode", "title", "code"];
const WORDS: [&str; 5] = ["errorMessage", "errorDescription", "detail", "message", "error"];

/// Asks for one transaction.
pub(crate) fn request(endpoint: &Endpoint, id: &str) -> Request {
    Request::get(Call::Transaction, endpoint.path(id))
}

/// The id of a transaction, where an answer or an event names one.
pub(crate) fn id_of(fields: &Fields) -> Option<String> {
    fields.text(&["transactionId"])
}

/// The status of a transaction, where an answer or an event tells it.
pub(crate) fn status_of(fields: &Fields) -> Option<String> {
    fields.text(&STATUS)
}

/// What an answer or an event tells of a failure; `status` is the word that says so.
pub(crate) fn failure(fields: &Fields, status: &str) -> Refusal {
    let inner = fields.inner(&["error"]);
    let nested = |names: &[&str]| inner.as_ref().and_then(|inner| inner.words(names));
    let code = fields.text(&CODE).or_else(|| nested(&CODE));
    let detail = fields.words(&WORDS).or_else(|| nested(&WORDS));
    Problem::told(code.as_deref(), detail.as_deref()).into_refusal(status)
}

/// Reads the transaction `id`; `None` when the service does not know it.
pub(crate) fn parse(
    answer: &Answer,
    id: &str,
    settings: &LineSettings,
) -> Result<Option<TransactionReading>, ReadError> {
    if answer.status != 200 {
        let unknown = matches!(answer.status, 400 | 404) && Problem::of(answer).is("TRANSACTION_NOT_FOUND");
        return if unknown { Ok(None) } else { Err(problem::read_error(answer)) };
    }
    let fields = Fields::read(answer, "a transaction")?;
    if id_of(&fields).is_some_and(|found| found != id) {
        return Err(unreadable("the transaction that was asked for"));
    }
    let status = status_of(&fields).ok_or_else(|| unreadable("transactionStatus of the transaction"))?;
    Ok(Some(match settings.verdict(&status) {
        Verdict::Pending => TransactionReading::Pending,
        Verdict::Done => TransactionReading::Done,
        Verdict::Failed => TransactionReading::Failed(failure(&fields, &status)),
        Verdict::Unrecognised => TransactionReading::Unrecognised { status },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::PathName;
    use serde_json::{Value, json};
    use simdepot_domain::carrier::Concern;

    fn read(status: u16, body: &str) -> Result<Option<TransactionReading>, ReadError> {
        parse(&Answer::of(status, body), "t-1", &LineSettings::default())
    }

    fn told(body: &Value) -> TransactionReading {
        read(200, &body.to_string()).unwrap().unwrap()
    }

    #[test]
    fn how_it_stands() {
        use TransactionReading::{Done, Pending, Unrecognised};
        let whole = json!({
            "transactionId": "t-1", "simSerial": "8988247000000000017", "transactionStatus": "DONE",
            "fieldOfTomorrow": [1],
        });
        assert_eq!(told(&whole), Done);
        assert_eq!(told(&json!({ "status": "Success" })), Done);
        assert_eq!(told(&json!({ "transactionStatus": "PENDING" })), Pending);
        assert_eq!(told(&json!({ "transactionStatus": "In progress" })), Pending);
        assert_eq!(told(&json!({ "status": "Halfway" })), Unrecognised { status: "Halfway".to_owned() });
        let settings = LineSettings::default();
        let request = request(settings.paths.of(PathName::Transaction).unwrap(), "t-1");
        assert_eq!(request.path, "/connectivity-management/subscribers/api/transactions/t-1");
    }

    #[test]
    fn why_it_failed_under_the_names_that_it_may_have() {
        let failed = |body: &Value| match told(body) {
            TransactionReading::Failed(refusal) => (refusal.code, refusal.detail, refusal.concerns),
            other => panic!("{other:?}"),
        };
        let text = |text: &str| Some(text.to_owned());
        for (body, code, detail, concerns) in [
            (
                json!({ "transactionStatus": "ERROR", "errorCode": "UNKNOWN_GROUP", "errorMessage": "no such group" }),
                "UNKNOWN_GROUP",
                text("no such group"),
                Concern::Request,
            ),
            (
                json!({ "status": "KO", "title": "Subscriber status not eligible", "detail": "x" }),
                "SUBSCRIBER_STATUS_NOT_ELIGIBLE",
                text("x"),
                Concern::LineStatus,
            ),
            (json!({ "status": "Failed", "message": "y" }), "FAILED", text("y"), Concern::Request),
            (
                json!({ "status": "REJECTED", "error": { "code": "A", "message": "z" } }),
                "A",
                text("z"),
                Concern::Request,
            ),
            (json!({ "status": "cancelled", "error": "w" }), "CANCELLED", text("w"), Concern::Request),
            (json!({ "status": "ERROR", "errorCode": 17 }), "17", None, Concern::Request),
        ] {
            assert_eq!(failed(&body), (code.to_owned(), detail, concerns), "{body}");
        }
        let long = json!({ "status": "ERROR", "detail": format!("a\u{0}{}", "é".repeat(900)) });
        let detail = failed(&long).1.unwrap();
        assert!(detail.chars().count() == 500 && !detail.contains('\0'));
    }

    #[test]
    fn unknown_closed_or_not_understood() {
        assert_eq!(read(404, r#"{"title":"TRANSACTION_NOT_FOUND"}"#), Ok(None));
        let denied = read(403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#);
        assert!(matches!(denied, Err(ReadError::Denied { .. })));
        for (status, body) in [(404, r#"{"title":"NOT_FOUND"}"#), (404, ""), (503, ""), (429, "")] {
            assert!(matches!(read(status, body), Err(ReadError::Unavailable(_))), "{status} {body}");
        }
        for body in ["", "{}", "[]", "null", r#"{"status":""}"#, r#"{"transactionId":"t-2","status":"DONE"}"#]
        {
            assert!(matches!(read(200, body), Err(ReadError::Unreadable { .. })), "{body}");
        }
    }
}
