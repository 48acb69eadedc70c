//! Checks of free text that comes in: what a database, a log line or a spreadsheet cannot take is refused here.

use std::borrow::Cow;

use serde_json::Value as Json;
use validator::ValidationError;

fn refused(code: &'static str, message: &'static str) -> ValidationError {
    let mut error = ValidationError::new(code);
    error.message = Some(Cow::Borrowed(message));
    error
}

/// A single line: no control characters.
///
/// # Errors
/// `format` when there is one.
pub fn single_line(text: &str) -> Result<(), ValidationError> {
    if text.chars().any(char::is_control) {
        return Err(refused("format", "must not contain control characters"));
    }
    Ok(())
}

/// A storefront's own name for something: a single line that people can read and tell from another.
///
/// # Errors
/// `format` when it is blank, has a control character, or one that turns the direction of text: shown in a list or a log,
/// that would make one reference look like another.
pub fn reference(text: &str) -> Result<(), ValidationError> {
    single_line(text)?;
    if text.chars().any(|letter| matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) {
        return Err(refused("format", "must not contain characters that change the direction of text"));
    }
    // The length of an empty one is told elsewhere.
    if !text.is_empty() && text.chars().all(char::is_whitespace) {
        return Err(refused("format", "must not be blank"));
    }
    Ok(())
}

/// A date, `YYYY-MM-DD`.
///
/// # Errors
/// `format` when it is none.
pub fn date(text: &str) -> Result<(), ValidationError> {
    // The parser takes one digit where the format has two.
    match chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) if date.to_string() == text => Ok(()),
        _ => Err(refused("format", "must be a date such as 1998-07-12")),
    }
}

/// Text of several lines: of the control characters only tab and line ends.
///
/// # Errors
/// `format` when there is another.
pub fn lines(text: &str) -> Result<(), ValidationError> {
    if text.chars().any(|letter| letter.is_control() && !matches!(letter, '\t' | '\n' | '\r')) {
        return Err(refused("format", "must not contain control characters other than tab and line ends"));
    }
    Ok(())
}

/// Tags: at most 20, each 1 to 50 characters on a single line.
///
/// # Errors
/// `length` or `format`.
pub fn tags(tags: &[String]) -> Result<(), ValidationError> {
    if tags.len() > 20 {
        return Err(refused("length", "must have at most 20 tags"));
    }
    for tag in tags {
        if tag.is_empty() || tag.chars().count() > 50 {
            return Err(refused("length", "each tag must have 1 to 50 characters"));
        }
        single_line(tag)?;
    }
    Ok(())
}

/// A JSON document without U+0000, which PostgreSQL cannot store.
///
/// # Errors
/// `format` when there is one.
pub fn storable(document: &serde_json::Map<String, Json>) -> Result<(), ValidationError> {
    fn clean(value: &Json) -> bool {
        match value {
            Json::String(text) => !text.contains('\0'),
            Json::Array(items) => items.iter().all(clean),
            Json::Object(fields) => fields.iter().all(|(name, value)| !name.contains('\0') && clean(value)),
            Json::Null | Json::Bool(_) | Json::Number(_) => true,
        }
    }
    if document.iter().all(|(name, value)| !name.contains('\0') && clean(value)) {
        Ok(())
    } else {
        Err(refused("format", "must not contain the character U+0000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_refused_where_they_do_harm() {
        assert!(single_line("commande n° 1 – été").is_ok());
        for bad in ["a\0b", "a\nb", "a\u{85}b", "\u{7f}"] {
            assert_eq!(single_line(bad).unwrap_err().code, "format", "{bad:?}");
        }
        assert!(lines("a\r\n\tb").is_ok());
        assert!(lines("a\0").is_err());
    }

    #[test]
    fn a_reference_can_be_read() {
        for good in ["shop-1042", "commande n° 1", " a ", "طلب ١", "", "\u{200f}a"] {
            assert!(reference(good).is_ok(), "{good:?}");
        }
        for bad in [" ", "\u{a0}\u{3000}", "a\u{202e}b", "\u{202a}", "\u{2066}a\u{2069}", "a\nb", "\0"] {
            assert_eq!(reference(bad).unwrap_err().code, "format", "{bad:?}");
        }
    }

    #[test]
    fn tags_are_few_and_short() {
        assert!(tags(&["a".to_owned(), "é".repeat(50)]).is_ok());
        assert!(tags(&vec!["a".to_owned(); 21]).is_err());
        assert!(tags(&[String::new()]).is_err());
        assert!(tags(&["é".repeat(51)]).is_err());
        assert!(tags(&["a\0".to_owned()]).is_err());
    }

    #[test]
    fn documents_are_looked_through() {
        let document = |text: &str| serde_json::from_str::<serde_json::Map<String, Json>>(text).unwrap();
        assert!(storable(&document(r#"{"a": [1, {"b": "c"}], "d": null}"#)).is_ok());
        assert!(storable(&document(r#"{"a": [1, {"b": "\u0000"}]}"#)).is_err());
        assert!(storable(&document(r#"{"a": {"\u0000": 1}}"#)).is_err());
    }
}
