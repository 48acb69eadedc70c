//! The subscription and its device (Subscription Device Management, device details).

use serde_json::Value;
use simdepot_carrier_http::{Answer, Fields, Request, usable};
use simdepot_domain::carrier::{DeviceReading, ReadError};

use super::problem::read;
use super::{Call, identity};

/// Asks by one parameter.
pub(crate) fn request(parameter: &'static str, value: &str) -> Request {
    Request::get(Call::Device, "/deviceDetails").query(parameter, value)
}

/// Reads the details; `None` when the operator does not know what was asked for. A chip is absent from a physical SIM, and
/// a device from a SIM that was never used.
pub(crate) fn parse(answer: &Answer) -> Result<Option<DeviceReading>, ReadError> {
    let Some(fields) = read(answer, "device details")? else { return Ok(None) };
    let text = |name: &str| text_of(&fields, name);
    let number = identity::text_or_number(fields.value(&["gpsi"]), "gpsi")?;
    Ok(Some(DeviceReading {
        status: usable(text("deviceStatus")?),
        blocked: fields.value(&["isBlocked"]).and_then(Value::as_bool),
        msisdn: number.as_deref().and_then(identity::read_msisdn),
        imsi: usable(text("supi")?).as_deref().map(identity::read_imsi),
        iccid: text("iccid")?.as_deref().and_then(identity::read_iccid),
        imei: text("pei")?.as_deref().and_then(identity::read_imei),
        eid: text("eid")?.as_deref().and_then(identity::read_eid),
        subscriber: usable(text("subscriberId")?),
    }))
}

fn text_of(fields: &Fields, name: &str) -> Result<Option<String>, ReadError> {
    identity::text(fields.value(&[name]), name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(body: &Value) -> Result<DeviceReading, ReadError> {
        parse(&Answer::of(200, &body.to_string())).map(Option::unwrap)
    }

    /// The page's sample: its number lacks the country code, its chip's number has wrong check digits.
    #[test]
    fn the_sample() {
        let sample = json!({
            "deviceStatus": "Active",
            "isBlocked": true,
            "gpsi": "2812368903",
            "supi": "1234567890",
            "iccid": "11986621644523024501",
            "pei": "2288151828896431",
            "eid": "72568199123456782654456783768376",
            "subscriberId": "SUB3742259805",
        });
        insta::assert_debug_snapshot!(told(&sample).unwrap());
    }

    #[test]
    fn what_is_absent_or_odd_is_left_out() {
        assert_eq!(told(&json!({})).unwrap(), DeviceReading::default());
        let odd = told(&json!({
            "gpsi": 19_459_986_891_u64, "supi": "imsi-310170845466094", "pei": "imei-490154203237518",
            "eid": "7256819912345678265", "isBlocked": "yes", "subscriberId": "a\u{0}", "deviceStatus": "",
        }))
        .unwrap();
        assert_eq!(odd.msisdn.unwrap().as_str(), "19459986891");
        assert_eq!(odd.imsi.as_deref(), Some("310170845466094"));
        assert_eq!(odd.imei.unwrap().as_str(), "490154203237518");
        assert_eq!((odd.eid, odd.blocked, odd.subscriber, odd.status), (None, None, None, None));
    }

    #[test]
    fn long_numbers_that_lost_their_digits_are_refused() {
        for field in ["iccid", "pei", "eid"] {
            let body = json!({ "gpsi": "19459986891", field: 11_986_621_644_523_024_501_u64 });
            let error = told(&body).unwrap_err().to_string();
            assert!(error.contains(field) && !error.contains("1198"), "{error}");
        }
    }

    #[test]
    fn unknown_or_not_understood() {
        assert_eq!(parse(&Answer::of(404, "{}")), Ok(None));
        for body in ["", "[]", "null"] {
            assert!(matches!(parse(&Answer::of(200, body)), Err(ReadError::Unreadable { .. })), "{body}");
        }
        assert_eq!(request("gpsi", "13035551111").query, [("gpsi", "13035551111".to_owned())]);
        assert_eq!(request("gpsi", "13035551111").path, "/deviceDetails");
    }
}
