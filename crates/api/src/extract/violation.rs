//! Where a body or a query is wrong, as RFC 6901 pointers.

use std::borrow::Cow;

use serde_path_to_error::{Path, Segment};
use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

use crate::problem::ProblemField;

/// A body that is JSON but not what was asked for.
pub(crate) fn of_json(error: &serde_path_to_error::Error<serde_json::Error>) -> ProblemField {
    let text = error.inner().to_string();
    // Where in the text is of no use to whoever built the body from objects.
    let message = text.split(" at line ").next().unwrap_or(&text);
    at(&pointer(error.path()), "/", message)
}

/// What is expected, as JSON and not as our source has it, with a stable code. Where JSON itself went wrong for the field,
/// the text is JSON all the same: a number that no type of ours can hold, or no text where one of a few words belongs.
fn in_words(message: &str) -> (&'static str, String) {
    if let Some((_, words)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return ("unknown", format!("must be {words}"));
    }
    let (code, told) = match message {
        "number out of range" => ("range", "is out of range"),
        "expected value" => ("type", "is not of the expected type"),
        "recursion limit exceeded" => ("format", "is nested too deeply"),
        _ => ("format", message),
    };
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    match expected {
        Some(expected) if message.starts_with("invalid type: ") => {
            ("type", format!("must be {}", kind_of(expected)))
        }
        Some(expected) if message.starts_with("invalid value: ") => {
            let bounds = bounds_of(expected).map(|bounds| format!(" from {bounds}")).unwrap_or_default();
            ("format", format!("must be {}{bounds}", kind_of(expected)))
        }
        Some(_) | None => (code, told.to_owned()),
    }
}

/// What serde expected, in the words of JSON.
fn kind_of(expected: &str) -> &str {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" => "an integer",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        // The names of our structs say nothing to a client.
        _ if expected.starts_with("struct ") => "an object",
        _ if expected.starts_with("a ") || expected.starts_with("an ") => expected,
        _ => "of another type",
    }
}

/// The least and the greatest of an integer type.
fn bounds_of(expected: &str) -> Option<String> {
    macro_rules! bounds {
        ($($name:ident)*) => {
            match expected {
                $(stringify!($name) => Some(format!("{} to {}", $name::MIN, $name::MAX)),)*
                _ => None,
            }
        };
    }
    bounds!(i8 i16 i32 i64 u8 u16 u32 u64)
}

/// A query that is not what was asked for.
pub(crate) fn of_query(error: &serde_path_to_error::Error<serde::de::value::Error>) -> ProblemField {
    let parent = pointer(error.path()).replacen('/', "?", 1);
    at(&parent, "?", &error.inner().to_string())
}

/// serde reports a missing or unknown field at its parent: the pointer shall name the field itself.
fn at(parent: &str, separator: &str, message: &str) -> ProblemField {
    let named = |prefix: &str| message.strip_prefix(prefix)?.split('`').next().map(str::to_owned);
    let child = |name: &str| {
        let leaf = format!("{separator}{}", escape(name));
        if parent.ends_with(&leaf) { parent.to_owned() } else { format!("{parent}{leaf}") }
    };
    let field = |pointer: String, code: &'static str, message: &str| ProblemField {
        pointer,
        code: code.into(),
        message: message.to_owned(),
    };
    if let Some(name) = named("missing field `") {
        return field(format!("{parent}{separator}{}", escape(&name)), "required", "is required");
    }
    if let Some(name) = named("unknown field `") {
        return field(child(&name), "unknown-field", "is not known");
    }
    if let Some(name) = named("duplicate field `") {
        return field(child(&name), "duplicate-field", "is given more than once");
    }
    let (code, told) = in_words(message);
    field(parent.to_owned(), code, &told)
}

fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", escape(key)),
        // The variant of an enum is no step in the document.
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}

fn escape(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1").into() } else { key.into() }
}

/// What validation found, sorted by place. `separator` begins each pointer: `/` for bodies, `?` for queries.
pub(crate) fn of_validation(errors: &ValidationErrors, separator: &str) -> Vec<ProblemField> {
    let mut found = Vec::new();
    collect(errors, "", separator, &mut found);
    found.sort_by(|a, b| (&a.pointer, &a.code).cmp(&(&b.pointer, &b.code)));
    found
}

fn collect(errors: &ValidationErrors, parent: &str, separator: &str, found: &mut Vec<ProblemField>) {
    for (name, kind) in errors.errors() {
        // Checks of a whole struct are filed under this name by validator.
        let place = if name == "__all__" {
            parent.to_owned()
        } else {
            format!("{parent}{separator}{}", escape(name))
        };
        match kind {
            ValidationErrorsKind::Field(wrong) => found.extend(wrong.iter().map(|error| ProblemField {
                pointer: place.clone(),
                code: error.code.clone(),
                message: message(error),
            })),
            ValidationErrorsKind::Struct(inner) => collect(inner, &place, "/", found),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    collect(inner, &format!("{place}/{index}"), "/", found);
                }
            }
        }
    }
}

/// Says what is expected from the bounds; the value itself is not repeated.
fn message(error: &ValidationError) -> String {
    if let Some(message) = &error.message {
        return message.to_string();
    }
    let bound = |name: &str| error.params.get(name).map(ToString::to_string);
    let what = if error.code == "length" { "have a length of " } else { "be " };
    match (bound("min"), bound("max"), bound("equal")) {
        (_, _, Some(equal)) => format!("must {what}{equal}"),
        (Some(min), Some(max), None) => format!("must {what}{min} to {max}"),
        (Some(min), None, None) => format!("must {what}at least {min}"),
        (None, Some(max), None) => format!("must {what}at most {max}"),
        (None, None, None) => format!("is not valid ({})", error.code),
    }
}
