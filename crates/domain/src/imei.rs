//! IMEI: the number of a device (3GPP TS 23.003).

use crate::check_digits;
use crate::identifier_error::{IdentifierError, check_digit_string, text_identifier};

const WHAT: &str = "IMEI";
const EXPECTED: &str = "15 digits";
const TAC_DIGITS: usize = 8;

/// An IMEI of 15 digits: TAC 8, serial number 6, check digit 1.
///
/// The 16-digit IMEISV has a software version instead of the check digit and is another thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Imei(String);

impl Imei {
    /// Reads 15 digits; outer white space is dropped.
    ///
    /// # Errors
    /// Anything but digits, another length.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let digits = text.trim();
        check_digit_string(WHAT, EXPECTED, digits, 15..=15)?;
        Ok(Self(digits.to_owned()))
    }

    /// The 15 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type allocation code, the first 8 digits: the model of the device.
    pub fn tac(&self) -> &str {
        self.0.get(..TAC_DIGITS).unwrap_or(&self.0)
    }

    /// Whether the last digit is the Luhn digit of the others. Networks send 0 in its place, so it is worth a
    /// warning and no more.
    pub fn luhn_ok(&self) -> bool {
        check_digits::luhn_ok(&self.0)
    }
}

text_identifier!(Imei);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn published_vectors() {
        let imei = Imei::parse("260531793113837").unwrap();
        assert_eq!((imei.tac(), imei.luhn_ok()), ("26053179", true));
        assert!(Imei::parse("490154203237518").unwrap().luhn_ok());
        assert!(!Imei::parse("490154203237510").unwrap().luhn_ok());
    }

    #[test]
    fn refuses_imeisv_and_separators() {
        let code = |text: &str| Imei::parse(text).unwrap_err().code();
        assert_eq!(code(""), "empty");
        assert_eq!(code("2288151828896431"), "wrong-length");
        assert_eq!(code("49015420323751"), "wrong-length");
        assert_eq!(code("49-015420-323751-8"), "invalid-character");
    }

    proptest! {
        #[test]
        fn prints_what_it_read(text in "[0-9]{15}") {
            let imei: Imei = text.parse().unwrap();
            prop_assert_eq!(imei.tac(), &text[..8]);
            prop_assert_eq!(imei.to_string(), text);
        }
    }
}
