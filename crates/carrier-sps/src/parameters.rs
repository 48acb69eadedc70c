//! Reads opaque JSON field by field and says everything that is wrong with it, by place and without the value.

use std::str::FromStr;

use serde_json::{Map, Value};
use simdepot_domain::carrier::ParameterProblem;
use simdepot_domain::device::EsimDelivery;
use simdepot_domain::identifier_error::IdentifierError;

use crate::settings::LAST_BILL_DAY;

/// Longest name of a plan, a subscriber or a reservation, in characters.
const MAX_NAME: usize = 36;

/// What is wrong with one value.
pub(crate) struct Wrong {
    /// Where below the field, as a JSON pointer.
    below: String,
    code: &'static str,
    message: String,
}

impl Wrong {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { below: String::new(), code, message: message.into() }
    }
}

/// The fields of a document, and what was found wrong with them.
pub(crate) struct Parameters<'a> {
    fields: Option<&'a Map<String, Value>>,
    problems: Vec<ParameterProblem>,
}

impl<'a> Parameters<'a> {
    /// Begins; a document that is not there has no fields.
    pub(crate) fn of(document: Option<&'a Value>, known: &[&str]) -> Self {
        let fields = document.and_then(Value::as_object);
        let mut problems = Vec::new();
        if fields.is_none() && document.is_some_and(|document| !document.is_null()) {
            problems.push(ParameterProblem::at("", "type", "must be an object"));
        }
        let unknown = fields.into_iter().flat_map(Map::keys).filter(|name| !known.contains(&name.as_str()));
        problems.extend(unknown.map(|name| {
            let message = format!("is not known; known are {}", known.join(", "));
            ParameterProblem::at(&pointer(name), "unknown", message)
        }));
        Self { fields, problems }
    }

    /// A field that may be absent; null is absent.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.fields?.get(name).filter(|value| !value.is_null())?;
        match read(value) {
            Ok(read) => Some(read),
            Err(Wrong { below, code, message }) => {
                self.problems.push(ParameterProblem::at(&format!("{}{below}", pointer(name)), code, message));
                None
            }
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.has(name) {
            self.wrong(name, "required", "is required");
            return None;
        }
        self.optional(name, read)
    }

    /// Whether a field is there, right or wrong.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.and_then(|fields| fields.get(name)).is_some_and(|value| !value.is_null())
    }

    /// Something else is wrong with a field.
    pub(crate) fn wrong(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        self.problems.push(ParameterProblem::at(&pointer(name), code, message));
    }

    /// Everything that is wrong.
    pub(crate) fn into_problems(self) -> Vec<ParameterProblem> {
        self.problems
    }
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The name of something at the operator: 1 to 36 characters, the first of them a letter, a digit, `-` or a space.
pub(crate) fn name(value: &Value) -> Result<String, Wrong> {
    let text = free_name(value)?;
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ' '));
    begins
        .then_some(text)
        .ok_or_else(|| Wrong::new("format", "must begin with an ASCII letter, a digit, - or a space"))
}

/// A name that may begin with anything.
pub(crate) fn free_name(value: &Value) -> Result<String, Wrong> {
    let text = text(value)?;
    if !(1..=MAX_NAME).contains(&text.chars().count()) {
        return Err(Wrong::new("wrong-length", format!("must have 1 to {MAX_NAME} characters")));
    }
    Ok(text.to_owned())
}

fn text(value: &Value) -> Result<&str, Wrong> {
    let text = value.as_str().ok_or_else(|| Wrong::new("type", "must be a string"))?;
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(Wrong::new("invalid-character", "must not have line breaks or control characters"));
    }
    Ok(text)
}

/// A list of texts that say something.
pub(crate) fn names(value: &Value) -> Result<Vec<String>, Wrong> {
    let one = |value: &Value| {
        let text = text(value)?;
        (!text.is_empty()).then(|| text.to_owned()).ok_or_else(|| Wrong::new("length", "must not be empty"))
    };
    list(value, one)
}

/// An object, whatever is in it.
pub(crate) fn object(value: &Value) -> Result<Map<String, Value>, Wrong> {
    value.as_object().cloned().ok_or_else(|| Wrong::new("type", "must be an object"))
}

/// A list of objects, whatever is in them.
pub(crate) fn objects(value: &Value) -> Result<Vec<Value>, Wrong> {
    list(value, |value| object(value).map(Value::Object))
}

fn list<T>(value: &Value, one: impl Fn(&Value) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
    let list = value.as_array().ok_or_else(|| Wrong::new("type", "must be a list"))?;
    let place = |(index, value): (usize, &Value)| {
        one(value).map_err(|wrong| Wrong { below: format!("/{index}{}", wrong.below), ..wrong })
    };
    list.iter().enumerate().map(place).collect()
}

/// A day on which bill cycles can start.
pub(crate) fn bill_day(value: &Value) -> Result<u8, Wrong> {
    let day = value.as_u64().and_then(|day| u8::try_from(day).ok());
    day.filter(|day| (1..=LAST_BILL_DAY).contains(day))
        .ok_or_else(|| Wrong::new("range", format!("must be a whole number from 1 to {LAST_BILL_DAY}")))
}

/// A number of something, as a text.
pub(crate) fn identifier<T: FromStr<Err = IdentifierError>>(value: &Value) -> Result<T, Wrong> {
    text(value)?.parse().map_err(|error: IdentifierError| Wrong::new(error.code(), error.to_string()))
}

/// How an eSIM is delivered.
pub(crate) fn delivery(value: &Value) -> Result<EsimDelivery, Wrong> {
    text(value)?.to_ascii_lowercase().parse().map_err(|_| Wrong::new("unknown", "must be \"qr\""))
}
