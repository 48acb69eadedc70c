//! EID: the number of an eUICC, the chip that holds profiles (SGP.02 Annex J, SGP.29).

use crate::check_digits;
use crate::identifier_error::{IdentifierError, check_digit_string, text_identifier};

const WHAT: &str = "EID";
const EXPECTED: &str = "32 digits";

/// An EID of 32 digits. It need not begin with 89: numbers given out by the GSMA under SGP.29 do not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Eid(String);

impl Eid {
    /// Reads 32 digits; outer white space is dropped.
    ///
    /// # Errors
    /// Anything but digits, another length.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let digits = text.trim();
        check_digit_string(WHAT, EXPECTED, digits, 32..=32)?;
        Ok(Self(digits.to_owned()))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the last two digits are the mod-97 check of the others. Worth a warning and no more.
    pub fn check_ok(&self) -> bool {
        check_digits::mod97_ok(&self.0)
    }
}

text_identifier!(Eid);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn published_eids_pass() {
        for good in [
            "89034011560010000000000000000121",
            "89001012012341234012345678901224",
            "89001567010203040506070809101152",
            "89044011112233441122334411223321",
            "89049032020008884800228685583432",
            "89086030202200000022000014352016",
            "12345000000000000000000000000186",
            "72568199123456782654456783768342",
        ] {
            assert!(Eid::parse(good).unwrap().check_ok(), "{good}");
        }
        // A sample that a carrier publishes, with check digits that are not its own.
        assert!(!Eid::parse("72568199123456782654456783768376").unwrap().check_ok());
        assert!(!Eid::parse("12345000000000000000000000000133").unwrap().check_ok());
    }

    #[test]
    fn refuses_other_lengths_and_letters() {
        let code = |text: &str| Eid::parse(text).unwrap_err().code();
        assert_eq!(code(""), "empty");
        assert_eq!(code("8903401156001000000000000000012"), "wrong-length");
        assert_eq!(code("890340115600100000000000000001210"), "wrong-length");
        assert_eq!(code("8903401156001000000000000000012F"), "invalid-character");
    }

    proptest! {
        #[test]
        fn prints_what_it_read_and_one_check_in_a_hundred_passes(body in "[0-9]{30}") {
            // 00, 01, 99 … are never made by 98 − r, but 97 + r and r are the same modulo 97.
            let passing: Vec<u32> = (0..100)
                .filter(|check| Eid::parse(&format!("{body}{check:02}")).unwrap().check_ok())
                .collect();
            prop_assert!((1..=2).contains(&passing.len()), "{passing:?}");
            let text = format!("{body}{:02}", passing[0]);
            prop_assert_eq!(text.parse::<Eid>().unwrap().to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(eid) = Eid::parse(&text) {
                prop_assert_eq!(eid.as_str(), text.trim());
            }
        }
    }
}
