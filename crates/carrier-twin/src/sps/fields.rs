//! Reading bodies and queries by the lengths and patterns of the published schemas.

use serde_json::{Map, Value};

use crate::reply::Problem;
use crate::request::TwinRequest;

/// What the characters of a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    /// `^.*$`
    OneLine,
    /// `^[-a-zA-Z0-9\s].*$`
    Name,
    /// `^[0-9]*$`
    Digits,
}

/// Length and pattern of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    min: usize,
    max: usize,
    pattern: Pattern,
}

impl Shape {
    pub(super) const TRANSACTION_ID: Self = Self::new(1, 36, Pattern::OneLine);
    pub(super) const RESERVATION_ID: Self = Self::new(1, 36, Pattern::OneLine);
    pub(super) const CUSTOMER_ID: Self = Self::new(1, 12, Pattern::OneLine);
    pub(super) const SUBSCRIBER_ID: Self = Self::new(1, 36, Pattern::Name);
    pub(super) const PLAN_ID: Self = Self::new(1, 36, Pattern::Name);
    pub(super) const GPSI: Self = Self::new(11, 15, Pattern::Digits);
    pub(super) const ICCID: Self = Self::new(19, 20, Pattern::Digits);
    pub(super) const PEI: Self = Self::new(15, 17, Pattern::Digits);
    pub(super) const TAC: Self = Self::new(8, 16, Pattern::Digits);
    pub(super) const EID: Self = Self::new(19, 32, Pattern::Digits);

    const fn new(min: usize, max: usize, pattern: Pattern) -> Self {
        Self { min, max, pattern }
    }

    pub(super) fn fits(self, text: &str) -> bool {
        let length = text.chars().count();
        let one_line = |text: &str| !text.contains(['\n', '\r', '\u{2028}', '\u{2029}']);
        (self.min..=self.max).contains(&length)
            && match self.pattern {
                Pattern::OneLine => one_line(text),
                Pattern::Name => {
                    text.starts_with(|c: char| c == '-' || c.is_ascii_alphanumeric() || c.is_whitespace())
                        && one_line(text)
                }
                Pattern::Digits => text.bytes().all(|byte| byte.is_ascii_digit()),
            }
    }

    /// The text, when it fits.
    pub(super) fn take(self, name: &str, text: String) -> Result<String, Problem> {
        if self.fits(&text) {
            return Ok(text);
        }
        let kind = if self.pattern == Pattern::Digits { "digits" } else { "characters" };
        Err(Problem::bad_request(format!("{name} must be {} to {} {kind}", self.min, self.max)))
    }
}

/// A number, with the country code of North America that the published samples leave out.
pub(super) fn whole_gpsi(digits: String) -> String {
    if digits.len() == 10 { format!("1{digits}") } else { digits }
}

/// The fields of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    strict: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Map<String, Value>, strict: bool) -> Self {
        Self { object, strict }
    }

    pub(super) fn strict(&self) -> bool {
        self.strict
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A field; one that is `null` counts as absent unless the reading is strict, where it has the wrong type.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| self.strict || !value.is_null())
    }

    pub(super) fn text(&self, name: &str, shape: Shape) -> Result<Option<String>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => shape.take(name, text.clone()).map(Some),
            Some(_) => Err(Problem::bad_request(format!("{name} must be a string"))),
        }
    }

    pub(super) fn required(&self, name: &str, shape: Shape) -> Result<String, Problem> {
        self.text(name, shape)?.ok_or_else(|| missing(name))
    }

    /// A GPSI: leniently also a number, or one without country code.
    pub(super) fn gpsi(&self, name: &str) -> Result<Option<String>, Problem> {
        let text = match self.get(name) {
            Some(Value::Number(number)) if !self.strict && number.is_u64() => number.to_string(),
            Some(Value::String(text)) => text.clone(),
            _ => return self.text(name, Shape::GPSI),
        };
        Shape::GPSI.take(name, if self.strict { text } else { whole_gpsi(text) }).map(Some)
    }

    /// `QR` under the name that this operation spells so, or leniently under the other operation's.
    pub(super) fn wants_qr(&self, name: &str, other: &str) -> Result<bool, Problem> {
        if self.strict && self.object.contains_key(other) {
            return Err(Problem::bad_request(format!("{other} is spelled {name} here")));
        }
        match self.get(name).or_else(|| self.get(other)) {
            None => Ok(false),
            Some(value) if value == "QR" => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("{name} must be QR"))),
        }
    }

    /// One of a closed list of words.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<T, Problem> {
        let given = self.get(name).ok_or_else(|| missing(name))?;
        let known = words.iter().find(|(word, _)| given == word).map(|(_, meaning)| *meaning);
        known.ok_or_else(|| {
            let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Problem::bad_request(format!("{name} must be one of {}", list.join(", ")))
        })
    }

    pub(super) fn object(&self, name: &str) -> Result<Value, Problem> {
        match self.get(name) {
            None => Err(missing(name)),
            Some(value) if value.is_object() => Ok(value.clone()),
            Some(_) => Err(Problem::bad_request(format!("{name} must be an object"))),
        }
    }

    /// A list; `what` tells what each item must be.
    pub(super) fn list(
        &self,
        name: &str,
        what: &str,
        item: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, Problem> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) if items.iter().all(item) => Ok(items.clone()),
            Some(_) => Err(Problem::bad_request(format!("{name} must be a list of {what}"))),
        }
    }

    /// A day of 1 to 28; leniently with a fraction, which is dropped.
    pub(super) fn bill_day(&self, name: &str) -> Result<Option<u8>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().filter(|_| value.is_number()).filter(|day| (1.0..=28.0).contains(day));
        let whole = number.filter(|day| !self.strict || day.fract() == 0.0);
        let day = whole.and_then(|day| (1..=28_u8).rev().find(|whole| f64::from(*whole) <= day));
        day.map(Some).ok_or_else(|| Problem::bad_request(format!("{name} must be a whole number of 1 to 28")))
    }
}

fn missing(name: &str) -> Problem {
    Problem::bad_request(format!("{name} is required"))
}

/// The body of a write, which is an object.
pub(super) fn body_object(request: &TwinRequest) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Problem::bad_request("The body must be a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn shapes_are_those_of_the_schemas() {
        for (shape, good, bad) in [
            (Shape::TRANSACTION_ID, vec!["a", "/ é"], vec!["", "a\nb"]),
            (Shape::SUBSCRIBER_ID, vec!["Sub001", "-x", " y", "1é"], vec!["_x", "é", ""]),
            (Shape::GPSI, vec!["19459986891", "123456789012345"], vec!["9459986891", "+19459986891"]),
            (Shape::ICCID, vec!["1198662164452302450", "11986621644523024501"], vec!["119866216445230245"]),
            (
                Shape::PEI,
                vec!["228815182889643", "22881518288964312"],
                vec!["22881518288964", "11986621644523024501"],
            ),
            (Shape::TAC, vec!["35646252", "2288151828896431"], vec!["3564625", "22881518288964312"]),
            (Shape::EID, vec!["72568199123456782654456783768376"], vec!["725681991234567826544567837683760"]),
        ] {
            assert!(good.iter().all(|text| shape.fits(text)), "{good:?}");
            assert!(!bad.iter().any(|text| shape.fits(text)), "{bad:?}");
        }
        assert!(Shape::TRANSACTION_ID.fits(&"x".repeat(36)) && !Shape::TRANSACTION_ID.fits(&"x".repeat(37)));
    }

    #[test]
    fn a_gpsi_may_be_a_number_only_leniently() {
        for (value, strict, lenient) in [
            (json!("19459986891"), Some("19459986891"), Some("19459986891")),
            (json!(19_459_986_891_u64), None, Some("19459986891")),
            (json!("2812368903"), None, Some("12812368903")),
            (json!(1.5), None, None),
            (json!("0"), None, None),
        ] {
            let body = object(&json!({ "gpsi": value }));
            let read = |strict| Fields::new(&body, strict).gpsi("gpsi").ok().flatten();
            assert_eq!((read(true).as_deref(), read(false).as_deref()), (strict, lenient), "{value}");
        }
        let null = object(&json!({ "gpsi": null }));
        assert!(Fields::new(&null, true).gpsi("gpsi").is_err());
        assert_eq!(Fields::new(&null, false).gpsi("gpsi").unwrap(), None);
    }

    #[test]
    fn bill_days_are_whole_when_strict() {
        for (value, strict, lenient) in [
            (json!(1), Some(1), Some(1)),
            (json!(28.0), Some(28), Some(28)),
            (json!(1.5), None, Some(1)),
            (json!(0.5), None, None),
            (json!(29), None, None),
            (json!("1"), None, None),
        ] {
            let body = object(&json!({ "day": value }));
            let read = |strict| Fields::new(&body, strict).bill_day("day").ok().flatten();
            assert_eq!((read(true), read(false)), (strict, lenient), "{value}");
        }
    }
}
