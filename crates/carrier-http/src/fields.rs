//! Fields of objects whose names are known in part: each is looked for under every name that it may have.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use simdepot_domain::carrier::ReadError;

use crate::answer::Answer;
use crate::lenient;

/// Longest text of the carrier that is kept as a name or reference, in characters.
const MAX_TEXT: usize = 255;

/// An object of an answer.
#[derive(Clone, Default)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// `None` for what is no object.
    pub fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// The body of an answer, which must be an object.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(answer: &Answer, what: &str) -> Result<Self, ReadError> {
        answer.json(what).map(Self)
    }

    /// The first of the names that is there and not null.
    pub fn value(&self, names: &[&str]) -> Option<&Value> {
        names.iter().find_map(|name| self.0.get(*name)).filter(|value| !value.is_null())
    }

    /// The first of the names that says something, within bounds.
    pub fn text(&self, names: &[&str]) -> Option<String> {
        let read = |name: &&str| lenient::text(self.0.get(*name)?).ok().flatten();
        usable(names.iter().find_map(read))
    }

    /// The first of the names that says something, however long it is.
    pub fn words(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| lenient::text(self.0.get(*name)?).ok().flatten())
    }

    /// The first of the names that holds a date.
    pub fn moment(&self, names: &[&str]) -> Option<DateTime<Utc>> {
        let read = |name: &&str| lenient::moment(self.0.get(*name)?).ok().flatten();
        lenient::plausible(names.iter().find_map(read))
    }

    /// An object inside, under the first of the names that holds one.
    pub fn inner(&self, names: &[&str]) -> Option<Self> {
        names.iter().find_map(|name| self.0.get(*name)?.as_object()).cloned().map(Self)
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// A text that can be kept: short, and without control characters, which PostgreSQL refuses in part.
pub fn usable(text: Option<String>) -> Option<String> {
    text.filter(|text| text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn looks_under_every_name() {
        let fields = Fields::of(json!({
            "a": null, "b": " x ", "n": 7, "long": "y".repeat(256), "bell": "a\u{7}", "list": [],
            "at": "2026-03-01", "never": "9999-12-31", "in": { "c": "z" },
        }))
        .unwrap();
        assert_eq!(fields.text(&["none", "a", "b"]).as_deref(), Some("x"));
        assert_eq!(fields.text(&["n"]).as_deref(), Some("7"));
        assert_eq!(fields.text(&["long"]), None);
        assert_eq!(fields.words(&["long"]).unwrap().len(), 256);
        assert_eq!((fields.text(&["bell"]), fields.text(&["list"])), (None, None));
        assert_eq!(fields.moment(&["b", "at"]).unwrap().to_rfc3339(), "2026-03-01T00:00:00+00:00");
        assert_eq!(fields.moment(&["never"]), None);
        assert_eq!(fields.inner(&["b", "in"]).unwrap().text(&["c"]).as_deref(), Some("z"));
        assert!(fields.value(&["n"]).is_some() && fields.value(&["a"]).is_none());
        assert!(Fields::of(json!([])).is_none());
    }
}
