//! ICCID: the number of a SIM or eSIM profile (ITU-T E.118), and the key of stock.

use crate::check_digits;
use crate::identifier_error::{IdentifierError, check_digit_string, text_identifier};

const WHAT: &str = "ICCID";
const EXPECTED: &str = "19 or 20 digits";
const KEY_DIGITS: usize = 19;

/// An ICCID of 19 or 20 digits, kept as given.
///
/// Systems disagree about a 20th digit, so the same SIM may appear with and without it: compare
/// [`key`](Self::key)s to find the same SIM; `==` compares the digits as given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Iccid(String);

impl Iccid {
    /// Reads 19 or 20 digits; outer white space is dropped.
    ///
    /// # Errors
    /// Letters (also the `F` of the SIM file's padding), other characters, another length.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let digits = text.trim();
        check_digit_string(WHAT, EXPECTED, digits, KEY_DIGITS..=20)?;
        Ok(Self(digits.to_owned()))
    }

    /// The digits as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 19 digits: two ICCIDs with the same key are the same SIM.
    pub fn key(&self) -> &str {
        self.0.get(..KEY_DIGITS).unwrap_or(&self.0)
    }

    /// Whether the last digit is the Luhn digit of the others. Real SIMs fail this, so it is worth a warning and
    /// no more.
    pub fn luhn_ok(&self) -> bool {
        check_digits::luhn_ok(&self.0)
    }
}

text_identifier!(Iccid);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn luhn_vectors() {
        for good in
            ["8965880812100011146", "89148000007829999354", "89148000007429026210", "89314404001235546594"]
        {
            assert!(Iccid::parse(good).unwrap().luhn_ok(), "{good}");
        }
        for bad in ["8999924230456701650", "89860468152080349618", "11986621644523024501"] {
            assert!(!Iccid::parse(bad).unwrap().luhn_ok(), "{bad}");
        }
    }

    #[test]
    fn the_twentieth_digit_does_not_make_another_sim() {
        let long = Iccid::parse(" 89148000007829999354\t").unwrap();
        let short = Iccid::parse("8914800000782999935").unwrap();
        assert_eq!(long.as_str(), "89148000007829999354");
        assert_eq!((long.key(), short.key()), (short.as_str(), short.as_str()));
        assert_ne!(long, short);
    }

    #[test]
    fn refuses_other_lengths_letters_and_padding() {
        let code = |text: &str| Iccid::parse(text).unwrap_err().code();
        assert_eq!(code("  "), "empty");
        assert_eq!(code("896588081210001114"), "wrong-length");
        assert_eq!(code("896588081210001114612"), "wrong-length");
        for text in [
            "8965880812100011146F",
            "8.96588E+18",
            "8965 880812100011146",
            "+8965880812100011146",
            "٨965880812100011146",
        ] {
            assert_eq!(code(text), "invalid-character", "{text}");
        }
    }

    #[test]
    fn serde_is_a_checked_string() {
        let iccid: Iccid = serde_json::from_str(r#""8965880812100011146""#).unwrap();
        assert_eq!(serde_json::to_string(&iccid).unwrap(), r#""8965880812100011146""#);
        assert!(
            serde_json::from_str::<Iccid>(r#""89""#).unwrap_err().to_string().contains("19 or 20 digits")
        );
        assert!(serde_json::from_str::<Iccid>("8965880812100011146").is_err());
    }

    proptest! {
        #[test]
        fn prints_what_it_read(text in "[0-9]{19,20}") {
            let iccid: Iccid = text.parse().unwrap();
            prop_assert_eq!(iccid.to_string(), text.clone());
            prop_assert_eq!(iccid.key(), &text[..19]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(iccid) = Iccid::parse(&text) {
                prop_assert_eq!(iccid.as_str(), text.trim());
            }
        }
    }
}
