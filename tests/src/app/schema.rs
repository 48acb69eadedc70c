//! The part of JSON Schema that the OpenAPI document uses, read strictly: a field that no schema names is wrong.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde_json::{Map, Value as Json};

/// What a value has that its schema does not allow, or lacks. Each entry begins with a JSON pointer.
pub(super) fn violations(document: &Json, schema: &Json, value: &Json) -> Vec<String> {
    let mut found = Vec::new();
    Check { document, found: &mut found }.value(schema, value, "");
    found
}

/// Follows a reference inside the document.
///
/// # Panics
/// When it leads nowhere.
pub(super) fn resolve<'a>(document: &'a Json, schema: &'a Json) -> &'a Json {
    match schema.get("$ref").and_then(Json::as_str) {
        Some(reference) => {
            let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            resolve(document, target.expect("a reference into the document"))
        }
        None => schema,
    }
}

struct Check<'a> {
    document: &'a Json,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    fn wrong(&mut self, at: &str, what: impl std::fmt::Display) {
        self.found.push(format!("{at}: {what}"));
    }

    fn value(&mut self, schema: &Json, value: &Json, at: &str) {
        let schema = resolve(self.document, schema);
        if let Some(options) = schema.get("oneOf").and_then(Json::as_array) {
            let fits = options.iter().filter(|option| violations(self.document, option, value).is_empty());
            if fits.count() != 1 {
                self.wrong(at, format_args!("{value} fits not exactly one of {options:?}"));
            }
            return;
        }
        if !type_fits(schema, value) {
            self.wrong(at, format_args!("{value} is not of type {}", schema["type"]));
            return;
        }
        if let Some(words) = schema.get("enum").and_then(Json::as_array)
            && !words.contains(value)
        {
            self.wrong(at, format_args!("{value} is none of {words:?}"));
        }
        match value {
            Json::Object(fields) => self.object(schema, fields, at),
            Json::Array(items) => self.array(schema, items, at),
            Json::Number(number) => self.number(schema, number, at),
            Json::String(text) => self.text(schema, text, at),
            Json::Null | Json::Bool(_) => {}
        }
    }

    fn object(&mut self, schema: &Json, fields: &Map<String, Json>, at: &str) {
        let mut named = BTreeSet::new();
        self.fields(schema, fields, at, &mut named);
        // A problem has members of its code (RFC 9457 §3.2); an object without properties is anything.
        let open = named.is_empty() || (fields.contains_key("code") && fields.contains_key("retryable"));
        for name in fields.keys().filter(|name| !open && !named.contains(*name)) {
            self.wrong(&format!("{at}/{name}"), "is not documented");
        }
    }

    fn fields(&mut self, schema: &Json, fields: &Map<String, Json>, at: &str, named: &mut BTreeSet<String>) {
        for part in schema.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            self.fields(resolve(self.document, part), fields, at, named);
        }
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !fields.contains_key(name) {
                self.wrong(&format!("{at}/{name}"), "is missing");
            }
        }
        for (name, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            named.insert(name.clone());
            if let Some(value) = fields.get(name) {
                self.value(property, value, &format!("{at}/{name}"));
            }
        }
    }

    fn array(&mut self, schema: &Json, items: &[Json], at: &str) {
        let most = schema.get("maxItems").and_then(Json::as_u64).unwrap_or(u64::MAX);
        if u64::try_from(items.len()).is_ok_and(|length| length > most) {
            self.wrong(at, format_args!("has more than {most} items"));
        }
        if let Some(wanted) = schema.get("items") {
            for (place, item) in items.iter().enumerate() {
                self.value(wanted, item, &format!("{at}/{place}"));
            }
        }
    }

    fn number(&mut self, schema: &Json, number: &serde_json::Number, at: &str) {
        let least = schema.get("minimum").and_then(Json::as_i64);
        if let (Some(least), Some(number)) = (least, number.as_i64())
            && number < least
        {
            self.wrong(at, format_args!("{number} is below {least}"));
        }
    }

    fn text(&mut self, schema: &Json, text: &str, at: &str) {
        let format = schema.get("format").and_then(Json::as_str);
        if format == Some("date-time") && DateTime::parse_from_rfc3339(text).is_err() {
            self.wrong(at, format_args!("{text} is no time of RFC 3339"));
        }
    }
}

fn type_fits(schema: &Json, value: &Json) -> bool {
    let is = |name: &Json| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    match schema.get("type") {
        Some(Json::Array(types)) => types.iter().any(is),
        Some(name) => is(name),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_held_against_its_schema() {
        let document = json!({"components": {"schemas": {
            "Word": {"type": "string", "enum": ["a", "b"]},
            "Base": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
        }}});
        let schema = json!({
            "allOf": [{"$ref": "#/components/schemas/Base"}, {
                "type": "object",
                "properties": {
                    "word": {"oneOf": [{"$ref": "#/components/schemas/Word"}, {"type": "null"}]},
                    "at": {"type": "string", "format": "date-time"},
                    "counts": {"type": "array", "maxItems": 2, "items": {"type": "integer", "minimum": 0}},
                    "free": {"type": ["object", "null"]}
                }
            }]
        });
        let wrong = |value: Json| violations(&document, &schema, &value);
        let good =
            json!({"id": "1", "word": null, "at": "2026-11-21T18:00:00Z", "counts": [0], "free": {"x": 1}});
        assert_eq!(wrong(good), Vec::<String>::new());
        for (value, at) in [
            (json!({}), "/id: is missing"),
            (json!({"id": 1}), "/id: 1 is not of type"),
            (json!({"id": "1", "word": "c"}), "/word:"),
            (json!({"id": "1", "at": "today"}), "/at:"),
            (json!({"id": "1", "counts": [-1]}), "/counts/0:"),
            (json!({"id": "1", "counts": [1, 2, 3]}), "/counts: has more"),
            (json!({"id": "1", "more": 1}), "/more: is not documented"),
            (json!({"id": "1", "free": 1}), "/free:"),
        ] {
            let found = wrong(value.clone());
            assert!(matches!(found.as_slice(), [one] if one.starts_with(at)), "{value}: {found:?}");
        }
    }
}
