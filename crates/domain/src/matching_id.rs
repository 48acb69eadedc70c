//! Matching id: the token that fetches one profile from its SM-DP+ (SGP.22 §4.1). Whoever knows it can install the
//! profile, so it is a [`Secret`].

use crate::identifier_error::{IdentifierError, check_characters, secret_identifier};
use crate::secret::Secret;

const WHAT: &str = "matching id";
const EXPECTED: &str = "letters, digits and hyphens, 255 at most";

/// A matching id: ASCII letters, digits and hyphens. It may be empty: then the SM-DP+ finds the profile by the EID.
///
/// The case is significant and kept.
#[derive(Clone, PartialEq, Eq)]
pub struct MatchingId(Secret);

impl MatchingId {
    /// Reads a matching id.
    ///
    /// # Errors
    /// Any other character, white space included; more than 255 characters. The error does not quote the text.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        check_characters(WHAT, EXPECTED, text, |c| c.is_ascii_alphanumeric() || c == '-')?;
        if text.len() > 255 {
            return Err(IdentifierError::Length { what: WHAT, expected: EXPECTED, found: text.len() });
        }
        Ok(Self(Secret::new(text)))
    }

    /// The matching id itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether the profile has no token of its own.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

secret_identifier!(MatchingId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hides_itself() {
        let id = MatchingId::parse("04386-AGYFT-A74Y8-3F815").unwrap();
        assert_eq!(format!("{id:?}"), "[secret]");
        let message = serde_json::from_str::<MatchingId>(r#""A74Y8/3F815""#).unwrap_err().to_string();
        assert!(message.contains("matching id") && !message.contains("A74Y8"), "{message}");
        let message = serde_json::from_str::<MatchingId>("4711").unwrap_err().to_string();
        assert!(!message.contains("4711"), "{message}");
    }

    #[test]
    fn may_be_empty_and_keeps_its_case() {
        assert!(MatchingId::parse("").unwrap().is_empty());
        assert_eq!(MatchingId::parse("aB-9").unwrap().expose(), "aB-9");
        assert_ne!(MatchingId::parse("ab").unwrap(), MatchingId::parse("AB").unwrap());
    }

    #[test]
    fn refuses_other_characters_and_lengths() {
        for text in ["A B", "A/B", "A$B", " AB", "AB\n", "ÄB", "A_B"] {
            assert_eq!(text.parse::<MatchingId>().unwrap_err().code(), "invalid-character", "{text}");
        }
        assert!(MatchingId::parse(&"A".repeat(255)).is_ok());
        assert_eq!(MatchingId::parse(&"A".repeat(256)).unwrap_err().code(), "wrong-length");
    }

    proptest! {
        #[test]
        fn exposes_what_it_read(text in "[0-9A-Za-z-]{0,60}") {
            let id = MatchingId::parse(&text).unwrap();
            prop_assert_eq!(id.expose(), text);
        }
    }
}
