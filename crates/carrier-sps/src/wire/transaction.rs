//! How a command stands (Subscriptions, transaction status). The one published answer is that of an acknowledgement, so
//! what its word says is a setting, and no word but those of the setting ends a command.

use simdepot_carrier_http::words::Verdict;
use simdepot_carrier_http::{Answer, Request, segment, unreadable};
use simdepot_domain::carrier::{ReadError, TransactionReading};

use super::Call;
use super::problem::{failure, read};
use crate::settings::StatusWords;

const CODE: [&str; 3] = ["reasonCode", "errorCode", "code"];
const WORDS: [&str; 5] = ["reasonDesc", "reason", "errorMessage", "message", "description"];

/// Asks for one command.
pub(crate) fn request(reference: &str) -> Request {
    Request::get(Call::Transaction, format!("/transaction/status/{}", segment(reference)))
}

/// Reads it; `None` when the operator does not know the command.
pub(crate) fn parse(
    answer: &Answer,
    reference: &str,
    words: &StatusWords,
) -> Result<Option<TransactionReading>, ReadError> {
    let Some(fields) = read(answer, "the status of a transaction")? else { return Ok(None) };
    if fields.text(&["partnerTransactionId"]).is_some_and(|found| found != reference) {
        return Err(unreadable("the transaction that was asked for"));
    }
    let status = fields.text(&["status"]).ok_or_else(|| unreadable("status of the transaction"))?;
    Ok(Some(match words.verdict(&status) {
        Verdict::Done => TransactionReading::Done,
        Verdict::Pending => TransactionReading::Pending,
        Verdict::Failed => {
            let (code, reason) = (fields.text(&CODE), fields.words(&WORDS));
            TransactionReading::Failed(failure(code.as_deref(), reason.as_deref(), &status))
        }
        Verdict::Unrecognised => TransactionReading::Unrecognised { status },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use simdepot_domain::carrier::{Concern, Refusal};

    fn told(body: &Value) -> TransactionReading {
        parse(&Answer::of(200, &body.to_string()), "op_1", &StatusWords::default()).unwrap().unwrap()
    }

    #[test]
    fn by_our_number() {
        assert_eq!(request("pte0000112").path, "/transaction/status/pte0000112");
        assert_eq!(request("a/b c").path, "/transaction/status/a%2Fb%20c");
    }

    /// The page's sample may mean that the question was answered.
    #[test]
    fn success_is_not_done_unless_the_account_says_so() {
        let sample = json!({ "status": "Success" });
        assert_eq!(told(&sample), TransactionReading::Unrecognised { status: "Success".to_owned() });
        let words = StatusWords { terminal: vec!["Success".to_owned()], ..StatusWords::default() };
        let answer = Answer::of(200, &sample.to_string());
        assert_eq!(parse(&answer, "op_1", &words), Ok(Some(TransactionReading::Done)));
    }

    #[test]
    fn how_it_stands() {
        assert_eq!(
            told(&json!({ "status": "completed", "partnerTransactionId": "op_1" })),
            TransactionReading::Done
        );
        assert_eq!(told(&json!({ "status": "InProgress" })), TransactionReading::Pending);
        let failed = json!({ "status": "Failed", "reasonCode": "8A", "reasonDesc": "NumberalreadyActive" });
        let refusal = |code: &str, detail: Option<&str>| {
            TransactionReading::Failed(Refusal {
                code: code.to_owned(),
                detail: detail.map(str::to_owned),
                concerns: Concern::Request,
            })
        };
        assert_eq!(told(&failed), refusal("8A", Some("NumberalreadyActive")));
        assert_eq!(told(&json!({ "status": "Failed" })), refusal("FAILED", None));
    }

    #[test]
    fn unknown_or_not_understood() {
        let read = |status, body| parse(&Answer::of(status, body), "op_1", &StatusWords::default());
        assert_eq!(read(404, ""), Ok(None));
        for body in ["", "{}", r#"{"status":""}"#, r#"{"status":"Completed","partnerTransactionId":"op_2"}"#]
        {
            assert!(matches!(read(200, body), Err(ReadError::Unreadable { .. })), "{body}");
        }
        for status in [401, 429, 500, 503] {
            assert!(matches!(read(status, ""), Err(ReadError::Unavailable(_))), "{status}");
        }
        assert!(matches!(read(403, ""), Err(ReadError::Denied { .. })));
    }
}
