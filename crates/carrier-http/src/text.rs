//! Words of a carrier, within bounds.

/// Longest text of a carrier that is kept, in characters.
const MAX_DETAIL: usize = 500;
/// Longest title that is taken for a code, in characters.
const MAX_CODE: usize = 100;

/// A title as a code: `Missing configuration` is written `MISSING_CONFIGURATION`. `None` for what is no code.
pub fn code_of(title: &str) -> Option<String> {
    let code: String = title
        .trim()
        .chars()
        .map(|c| if matches!(c, ' ' | '-') { '_' } else { c.to_ascii_uppercase() })
        .collect();
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (plain && (1..=MAX_CODE).contains(&code.len())).then_some(code)
}

/// A text without control characters, cut to 500 characters.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_DETAIL).collect()
}
