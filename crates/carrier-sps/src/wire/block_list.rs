//! The list of devices that may not be used (Subscription Device Management, block list).

use serde::Serialize;
use serde_json::Value;
use simdepot_carrier_http::{Answer, Request, unreadable};
use simdepot_domain::carrier::{DeviceBlockOrder, ReadError, Refusal};
use simdepot_domain::imei::Imei;

use super::problem::{not_sendable, read, read_error};
use super::{Call, identity, write};
use crate::paths::PathName;
use crate::settings::SpsSettings;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    partner_transaction_id: &'a str,
    gpsi: String,
    pei: &'a str,
    action: &'static str,
}

/// The change of the list as a request. Here a line has one name alone, its number.
///
/// # Errors
/// A line without a number: nothing was sent.
pub(crate) fn request(order: &DeviceBlockOrder, settings: &SpsSettings) -> Result<Request, Refusal> {
    let number = order.line.msisdn.as_ref().ok_or_else(|| {
        not_sendable(
            "/msisdn",
            "known: the operator takes changes of the block list by the line's number alone",
        )
    })?;
    let body = Body {
        partner_transaction_id: identity::reference(&order.reference)?,
        gpsi: identity::gpsi_of(number, "/msisdn")?,
        pei: order.imei.as_str(),
        action: if order.block { "Add" } else { "Remove" },
    };
    write(Call::DeviceBlock, PathName::BlockList, &settings.paths, &body)
}

/// Asks whether a device is on the list.
pub(crate) fn question(imei: &Imei) -> Request {
    Request::get(Call::BlockList, "/blockListIndicator").query("pei", imei.as_str())
}

/// Whether it is.
pub(crate) fn parse(answer: &Answer) -> Result<bool, ReadError> {
    let fields = read(answer, "a block list indicator")?.ok_or_else(|| read_error(answer))?;
    let indicator = fields.value(&["blockListIndicator"]).and_then(Value::as_bool);
    indicator.ok_or_else(|| unreadable("blockListIndicator"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::line_key;
    use serde_json::json;

    fn order(block: bool) -> DeviceBlockOrder {
        let imei = Imei::parse("2288151828896431").unwrap();
        DeviceBlockOrder { reference: "WhlSlOrd12345".to_owned(), line: line_key(), imei, block }
    }

    /// The page's sample.
    #[test]
    fn the_sample_and_its_opposite() {
        let settings = SpsSettings::default();
        let request = |block| request(&order(block), &settings).unwrap();
        assert_eq!(
            request(true).body.unwrap(),
            json!({
                "partnerTransactionId": "WhlSlOrd12345", "gpsi": "19459986891", "pei": "2288151828896431",
                "action": "Add",
            })
        );
        assert_eq!(request(false).body.unwrap()["action"], "Remove");
        assert_eq!(request(true).path, "/blockList");
    }

    #[test]
    fn a_line_without_a_usable_number_cannot_be_named() {
        for number in [None, Some("123456")] {
            let mut order = order(true);
            order.line.msisdn = number.map(|number| number.parse().unwrap());
            let refusal = request(&order, &SpsSettings::default()).unwrap_err();
            assert!(refusal.detail.unwrap().starts_with("/msisdn must be"));
        }
    }

    #[test]
    fn the_indicator() {
        assert_eq!(parse(&Answer::of(200, r#"{"blockListIndicator":true}"#)), Ok(true));
        assert_eq!(parse(&Answer::of(200, r#"{"blockListIndicator":false}"#)), Ok(false));
        for (status, body) in [(200, "{}"), (200, r#"{"blockListIndicator":"true"}"#), (200, "")] {
            assert!(matches!(parse(&Answer::of(status, body)), Err(ReadError::Unreadable { .. })), "{body}");
        }
        let unknown = parse(&Answer::of(404, ""));
        assert_eq!(unknown, Err(ReadError::Denied { code: "HTTP_404".to_owned() }));
        let question = question(&Imei::parse("2288151828896431").unwrap());
        assert_eq!(question.path, "/blockListIndicator");
        assert_eq!(question.query, [("pei", "2288151828896431".to_owned())]);
    }
}
