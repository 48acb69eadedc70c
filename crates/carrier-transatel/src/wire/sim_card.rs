//! The SIM card with its codes (connectivity management). What it tells is documented, neither the path nor the names
//! of the fields are: the path is a setting, and each field is looked for under several names.

use serde_json::Value;
use simdepot_domain::carrier::{ReadError, SecurityCodes, SimCard};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;

use super::problem::{self, Problem};
use super::{Answer, Call, Request, esim, unreadable};
use crate::paths::Endpoint;
use simdepot_carrier_http::Fields;

/// Titles that say that there is no such SIM.
const UNKNOWN: [&str; 4] =
    ["SIM_CARD_NOT_FOUND", "SIM_NOT_FOUND", "SIMCARD_NOT_FOUND", "SUBSCRIBER_NOT_FOUND"];
/// Digits of a PIN at least, and of a PUK (3GPP TS 31.101 §9.5.1, ETSI TS 102 221).
const PIN_DIGITS: usize = 4;
const PUK_DIGITS: usize = 8;

/// Asks for one card.
pub(crate) fn request(endpoint: &Endpoint, iccid: &Iccid) -> Request {
    Request::get(Call::SimCard, endpoint.path(iccid.as_str()))
}

/// Reads the card; `None` when the SIM is none of this account.
pub(crate) fn parse(answer: &Answer, iccid: &Iccid) -> Result<Option<SimCard>, ReadError> {
    if answer.status != 200 {
        let problem = Problem::of(answer);
        let unknown = matches!(answer.status, 400 | 404)
            && (problem.is_foreign_sim() || UNKNOWN.iter().any(|title| problem.is(title)));
        return if unknown { Ok(None) } else { Err(problem::read_error(answer)) };
    }
    let fields = Fields::read(answer, "a SIM card")?;
    esim::check_sim_serial(fields.text(&["simSerial", "iccid"]).as_deref(), iccid)?;
    let card = card_of(&fields)?;
    // A body without any of it is none of a SIM card.
    if card == SimCard::default() {
        return Err(unreadable("codes or profile of the SIM card"));
    }
    Ok(Some(card))
}

fn card_of(fields: &Fields) -> Result<SimCard, ReadError> {
    let profile = fields.inner(&["simProfile", "profile", "simCardProfile"]).unwrap_or_default();
    let text = |names: &[&str]| fields.text(names).or_else(|| profile.text(names));
    let msisdn = fields.text(&["msisdn"]).as_deref().map(Msisdn::parse).transpose();
    Ok(SimCard {
        msisdn: msisdn.map_err(|_| unreadable("msisdn with 6 to 15 digits"))?,
        manufacturer: text(&["manufacturer", "simManufacturer"]),
        electrical_profile: text(&[
            "electricalProfile",
            "electricalProfileReference",
            "electricalProfileRef",
        ]),
        application_compatibility: text(&[
            "simApplicationCompatibility",
            "applicationCompatibility",
            "simApplicationsCompatibility",
        ]),
        applet_release: text(&["appletRelease", "appletVersion"]),
        card_type: text(&["type", "cardType", "simType"]),
        codes: codes_of(fields),
    })
}

fn codes_of(fields: &Fields) -> SecurityCodes {
    let inner = fields.inner(&["codes", "securityCodes"]).unwrap_or_default();
    let code = |names: &[&str], digits| {
        [fields, &inner].into_iter().find_map(|place| code_of(place.value(names)?, digits))
    };
    SecurityCodes {
        pin1: code(&["pin1", "pin", "pinCode1", "pin1Code", "pinCode"], PIN_DIGITS),
        puk1: code(&["puk1", "puk", "pukCode1", "puk1Code", "pukCode"], PUK_DIGITS),
        pin2: code(&["pin2", "pinCode2", "pin2Code"], PIN_DIGITS),
        puk2: code(&["puk2", "pukCode2", "puk2Code"], PUK_DIGITS),
    }
}

/// A code of 4 to 8 digits. One that came as a number has lost the zeros in front.
fn code_of(value: &Value, digits: usize) -> Option<Secret> {
    let code = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => format!("{:0>digits$}", number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let good = (PIN_DIGITS..=PUK_DIGITS).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
    good.then(|| Secret::new(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::{PathName, Paths};
    use serde_json::json;

    fn iccid() -> Iccid {
        Iccid::parse("8988247000000000017").unwrap()
    }

    fn read(status: u16, body: &str) -> Result<Option<SimCard>, ReadError> {
        parse(&Answer::of(status, body), &iccid())
    }

    fn exposed(card: &SimCard) -> [Option<&str>; 4] {
        let codes = &card.codes;
        [&codes.pin1, &codes.puk1, &codes.pin2, &codes.puk2].map(|code| code.as_ref().map(Secret::expose))
    }

    #[test]
    fn reads_the_card_and_shows_no_code() {
        let card = read(200, include_str!("../../fixtures/sim_card.json")).unwrap().unwrap();
        assert_eq!(exposed(&card), [Some("0123"), Some("12345678"), Some("4567"), Some("87654321")]);
        assert_eq!(card.msisdn.as_ref().unwrap().as_str(), "33700000001");
        assert_eq!(
            (card.manufacturer.as_deref(), card.electrical_profile.as_deref(), card.card_type.as_deref()),
            (Some("ACME"), Some("EP-7"), Some("MFF2"))
        );
        assert_eq!(
            (card.application_compatibility.as_deref(), card.applet_release.as_deref()),
            (Some("JC3"), Some("2.1"))
        );
        let shown = format!("{card:?}");
        for code in ["0123", "12345678", "4567", "87654321"] {
            assert!(!shown.contains(code), "{shown}");
        }
        let paths = Paths::default();
        assert_eq!(
            request(paths.of(PathName::SimCard).unwrap(), &iccid()).path,
            "/connectivity-management/subscribers/api/sim-cards/sim-serial/8988247000000000017"
        );
    }

    #[test]
    fn other_names_and_numbers() {
        let body = json!({
            "codes": { "pinCode": 42, "pukCode": "00000001" }, "pin2": ["1234"], "puk2": "SESAME",
            "profile": { "electricalProfileReference": "E", "simType": "2FF" },
        });
        let card = read(200, &body.to_string()).unwrap().unwrap();
        assert_eq!(exposed(&card), [Some("0042"), Some("00000001"), None, None]);
        assert_eq!((card.electrical_profile.as_deref(), card.card_type.as_deref()), (Some("E"), Some("2FF")));
    }

    #[test]
    fn unknown_closed_or_not_understood() {
        assert_eq!(read(400, r#"{"detail":"Invalid SIM serial"}"#), Ok(None));
        assert_eq!(read(404, r#"{"title":"SIM_NOT_FOUND"}"#), Ok(None));
        let denied = read(403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#);
        assert!(matches!(denied, Err(ReadError::Denied { .. })));
        for (status, body) in [(404, r#"{"title":"NOT_FOUND"}"#), (503, "")] {
            assert!(matches!(read(status, body), Err(ReadError::Unavailable(_))), "{status} {body}");
        }
        for body in [
            "",
            "[]",
            "{}",
            r#"{"simSerial":"8988247000000000025","pin1":"1234"}"#,
            r#"{"pin1":"1234","msisdn":"12"}"#,
        ] {
            let error = read(200, body).unwrap_err();
            assert!(matches!(error, ReadError::Unreadable { .. }), "{body}");
            assert!(!error.to_string().contains("1234"));
        }
    }
}
