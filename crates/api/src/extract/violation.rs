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
    let field = at(&pointer(error.path()), "/", message);
    // The names of our structs say nothing to a client.
    let no_object = field.code == "type" && message.contains(", expected struct ");
    if no_object { ProblemField { message: "must be an object".to_owned(), ..field } } else { field }
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
    let code = if message.starts_with("invalid type") {
        "type"
    } else if message.starts_with("unknown variant") {
        "unknown"
    } else {
        "format"
    };
    field(parent.to_owned(), code, message)
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
