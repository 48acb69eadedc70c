//! Numbers of lines, SIMs and devices as this wire writes them.
//!
//! 3GPP's service APIs put the kind of a number before it (`msisdn-`, `imsi-`, `imei-`, `imeisv-`; TS 29.571); these pages
//! do not, so a prefix is dropped where it is read and never sent.

use serde_json::Value;
use simdepot_carrier_http::unreadable;
use simdepot_domain::carrier::{ReadError, Refusal};
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::msisdn::Msisdn;

use super::problem::not_sendable;

/// Longest number of ours that a command carries.
const MAX_REFERENCE: usize = 36;

/// Our number of a command. It goes into a path later, so it has nothing that means something there.
pub(crate) fn reference(text: &str) -> Result<&str, Refusal> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let fits = plain && (1..=MAX_REFERENCE).contains(&text.len());
    fits.then_some(text).ok_or_else(|| not_sendable("/reference", "1 to 36 letters, digits, - and _"))
}

/// A line's number: 11 to 15 digits with the country code.
pub(crate) fn gpsi(number: &Msisdn) -> Option<String> {
    let whole = with_country_code(number.as_str());
    (11..=15).contains(&whole.len()).then_some(whole)
}

/// The same, of a field that a refusal can name.
pub(crate) fn gpsi_of(number: &Msisdn, pointer: &str) -> Result<String, Refusal> {
    gpsi(number).ok_or_else(|| not_sendable(pointer, "11 to 15 digits with the country code"))
}

/// A number of 10 digits in the North American form lacks its country code, 1: the samples of the pages are such. Of all
/// others nothing is guessed.
fn with_country_code(digits: &str) -> String {
    let begins = |place: usize| {
        digits.get(place..).is_some_and(|rest| rest.starts_with(['2', '3', '4', '5', '6', '7', '8', '9']))
    };
    let american = digits.len() == 10 && begins(0) && begins(3);
    if american { format!("1{digits}") } else { digits.to_owned() }
}

/// Reads a line's number.
pub(crate) fn read_msisdn(text: &str) -> Option<Msisdn> {
    let number = Msisdn::parse(without_prefix(text, &["msisdn-"])).ok()?;
    Msisdn::parse(&with_country_code(number.as_str())).ok()
}

/// Reads a subscriber's number in the network; opaque beyond its prefix.
pub(crate) fn read_imsi(text: &str) -> String {
    without_prefix(text, &["imsi-"]).to_owned()
}

/// Reads a device's number.
pub(crate) fn read_imei(text: &str) -> Option<Imei> {
    Imei::parse(without_prefix(text, &["imeisv-", "imei-"])).ok()
}

/// Reads a SIM's number.
pub(crate) fn read_iccid(text: &str) -> Option<Iccid> {
    Iccid::parse(text).ok()
}

/// Reads the number of an eSIM's chip. The wire's pattern is wider than what a chip can have.
pub(crate) fn read_eid(text: &str) -> Option<Eid> {
    Eid::parse(text).ok()
}

fn without_prefix<'a>(text: &'a str, prefixes: &[&str]) -> &'a str {
    let text = text.trim();
    let strip = |prefix: &&str| {
        let (head, rest) = text.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then_some(rest)
    };
    prefixes.iter().find_map(strip).unwrap_or(text)
}

/// The text of a field that may be absent. A number of 15 or more digits has lost some of them on its way through
/// floating point, so a number is no text here.
pub(crate) fn text(value: Option<&Value>, what: &str) -> Result<Option<String>, ReadError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(unreadable(format!("{what} as a text")))
        }
    }
}

/// The same for a line's number, which one sample writes as a number and which is short enough for that.
pub(crate) fn text_or_number(value: Option<&Value>, what: &str) -> Result<Option<String>, ReadError> {
    match value.and_then(Value::as_u64) {
        Some(number) => Ok(Some(number.to_string())),
        None => text(value, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn sent(number: &str) -> Option<String> {
        gpsi(&Msisdn::parse(number).unwrap())
    }

    #[test]
    fn numbers_are_sent_with_their_country_code() {
        assert_eq!(sent("19459986891").as_deref(), Some("19459986891"));
        assert_eq!(sent("+1 303-555-1111").as_deref(), Some("13035551111"));
        assert_eq!(sent("2812368903").as_deref(), Some("12812368903"));
        assert_eq!(sent("447700900123").as_deref(), Some("447700900123"));
        // Neither American nor long enough.
        for short in ["1812368903", "2811368903", "0612345678", "281236890", "123456"] {
            assert_eq!(sent(short), None, "{short}");
        }
    }

    #[test]
    fn numbers_are_read_in_every_dress() {
        let read = |text: &str| read_msisdn(text).map(|number| number.to_string());
        for text in ["2812368903", "12812368903", "+12812368903", "msisdn-12812368903", "MSISDN-2812368903"] {
            assert_eq!(read(text).as_deref(), Some("12812368903"), "{text}");
        }
        assert_eq!(read("extid-a@b"), None);
        let imei = |text: &str| read_imei(text).map(|imei| imei.to_string());
        assert_eq!(imei("2288151828896431").as_deref(), Some("2288151828896431"));
        assert_eq!(imei("imei-490154203237518").as_deref(), Some("490154203237518"));
        assert_eq!(imei("imeisv-2288151828896431").as_deref(), Some("2288151828896431"));
        assert_eq!(imei("11986621644523024501"), None, "the example with 20 digits is an ICCID");
        assert_eq!(read_imsi("imsi-310170845466094"), "310170845466094");
        assert_eq!(read_imsi("1234567890"), "1234567890");
    }

    #[test]
    fn long_numbers_must_be_texts() {
        assert_eq!(text(Some(&json!(" x ")), "a").unwrap().as_deref(), Some("x"));
        assert_eq!(text(Some(&json!("")), "a"), Ok(None));
        assert_eq!((text(None, "a"), text(Some(&Value::Null), "a")), (Ok(None), Ok(None)));
        for value in [json!(11_986_621_644_523_024_501_u64), json!(2_288_151_828_896_431_u64), json!([])] {
            assert!(text(Some(&value), "iccid").is_err(), "{value}");
        }
        let number = json!(19_459_986_891_u64);
        assert_eq!(text_or_number(Some(&number), "gpsi").unwrap().as_deref(), Some("19459986891"));
        assert!(text_or_number(Some(&json!(1.5)), "gpsi").is_err());
    }

    proptest! {
        #[test]
        fn what_is_sent_fits_the_pattern(text in "[0-9]{6,15}") {
            if let Some(sent) = sent(&text) {
                prop_assert!((11..=15).contains(&sent.len()));
                prop_assert_eq!(read_msisdn(&sent).unwrap().to_string(), sent);
            }
        }

        #[test]
        fn references_that_go_into_a_path_change_nothing_in_it(text in ".{0,40}") {
            if let Ok(reference) = reference(&text) {
                prop_assert_eq!(simdepot_carrier_http::segment(reference), reference);
                prop_assert!(reference.len() <= 36);
            }
        }
    }
}
