//! MSISDN: the phone number of a line in international form (ITU-T E.164).

use crate::identifier_error::{IdentifierError, check_digit_string, text_identifier};

const WHAT: &str = "MSISDN";
const EXPECTED: &str = "6 to 15 digits with the country code, with or without a leading +";

/// A phone number of 6 to 15 digits, kept without `+` and separators: `33612345678`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Msisdn(String);

impl Msisdn {
    /// Reads a number as people and files write it: one leading `+`, spaces and dashes are dropped. A country code
    /// is never guessed.
    ///
    /// # Errors
    /// Other characters, fewer than 6 or more than 15 digits.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let trimmed = text.trim();
        let number = trimmed.strip_prefix('+').unwrap_or(trimmed);
        let digits: String = number.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        check_digit_string(WHAT, EXPECTED, &digits, 6..=15)?;
        Ok(Self(digits))
    }

    /// The digits, without `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number with its `+`: `+33612345678`.
    pub fn e164(&self) -> String {
        format!("+{}", self.0)
    }
}

text_identifier!(Msisdn);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn drops_plus_spaces_and_dashes() {
        for text in ["33612345678", "+33612345678", " +33 6 12-34-56-78 ", "336-1234 5678"] {
            let msisdn = Msisdn::parse(text).unwrap();
            assert_eq!((msisdn.as_str(), msisdn.e164().as_str()), ("33612345678", "+33612345678"));
        }
    }

    #[test]
    fn refuses_other_lengths_and_characters() {
        let code = |text: &str| Msisdn::parse(text).unwrap_err().code();
        assert_eq!(code("+ -"), "empty");
        assert_eq!(code("12345"), "wrong-length");
        assert_eq!(code("1234567890123456"), "wrong-length");
        for text in ["++33612345678", "33+612345678", "tel:33612345678", "(336)12345678", "3.36E+10"] {
            assert_eq!(code(text), "invalid-character", "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_its_own_print_changes_nothing(text in "\\+?[0-9][0-9 -]{5,14}") {
            if let Ok(msisdn) = Msisdn::parse(&text) {
                prop_assert_eq!(&Msisdn::parse(msisdn.as_str()).unwrap(), &msisdn);
                prop_assert_eq!(&Msisdn::parse(&msisdn.e164()).unwrap(), &msisdn);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(msisdn) = Msisdn::parse(&text) {
                prop_assert!(msisdn.as_str().bytes().all(|b| b.is_ascii_digit()));
                prop_assert!((6..=15).contains(&msisdn.as_str().len()));
            }
        }
    }
}
