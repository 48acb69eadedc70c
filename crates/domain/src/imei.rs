//! IMEI: the number of a device (3GPP TS 23.003).

use crate::check_digits;
use crate::identifier_error::{IdentifierError, check_digit_string, text_identifier};

const WHAT: &str = "IMEI";
const EXPECTED: &str = "15 digits, 16 with a software version instead of the check digit, or 17 with both";
const TAC_DIGITS: usize = 8;
const DEVICE_DIGITS: usize = 14;
const IMEI_DIGITS: usize = 15;
const IMEISV_DIGITS: usize = 16;

/// The number of a device: TAC 8, serial number 6, and what follows.
///
/// With the check digit it has 15 digits and is an IMEI. With a software version of two digits in its place it has 16 and
/// is an IMEISV, which changes with every update of the device. Labels and some systems print 17, the IMEI with the
/// version behind it. The digits are kept as given: compare [`device`](Self::device)s to find the same device; `==`
/// compares what was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Imei(String);

impl Imei {
    /// Reads 15 to 17 digits; outer white space is dropped.
    ///
    /// # Errors
    /// Anything but digits, another length.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let digits = text.trim();
        check_digit_string(WHAT, EXPECTED, digits, IMEI_DIGITS..=17)?;
        Ok(Self(digits.to_owned()))
    }

    /// The digits as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 14 digits: two numbers with the same are of the same device.
    pub fn device(&self) -> &str {
        self.0.get(..DEVICE_DIGITS).unwrap_or(&self.0)
    }

    /// The type allocation code, the first 8 digits: the model of the device.
    pub fn tac(&self) -> &str {
        self.0.get(..TAC_DIGITS).unwrap_or(&self.0)
    }

    /// Whether the check digit is the Luhn digit of the 14 before it; an IMEISV has none, so there is nothing wrong with
    /// it. Networks send 0 in its place, so it is worth a warning and no more.
    pub fn luhn_ok(&self) -> bool {
        let imei = self.0.get(..IMEI_DIGITS).unwrap_or(&self.0);
        self.0.len() == IMEISV_DIGITS || check_digits::luhn_ok(imei)
    }
}

text_identifier!(Imei);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn imei(text: &str) -> Imei {
        Imei::parse(text).unwrap()
    }

    #[test]
    fn published_vectors() {
        let first = imei("260531793113837");
        assert_eq!((first.tac(), first.luhn_ok()), ("26053179", true));
        assert!(imei("490154203237518").luhn_ok());
        assert!(!imei("490154203237510").luhn_ok());
    }

    #[test]
    fn one_device_in_every_form() {
        for form in ["260531793113837", "260531793113830", "2605317931138301", "26053179311383742"] {
            assert_eq!(imei(form).device(), "26053179311383", "{form}");
            assert_eq!(imei(form).as_str(), form);
        }
        assert_ne!(imei("2288151828896431").device(), imei("2288151822896431").device());
    }

    /// A software version is no check digit, so an IMEISV is neither right nor wrong.
    #[test]
    fn the_check_digit_where_there_is_one() {
        assert!(imei("2288151828896431").luhn_ok() && imei("2288151828896432").luhn_ok());
        assert!(imei("26053179311383799").luhn_ok());
        assert!(!imei("26053179311383099").luhn_ok());
    }

    #[test]
    fn refuses_other_lengths_and_separators() {
        let code = |text: &str| Imei::parse(text).unwrap_err().code();
        assert_eq!(code(""), "empty");
        assert_eq!(code("49015420323751"), "wrong-length");
        assert_eq!(code("490154203237518001"), "wrong-length");
        assert_eq!(code("49-015420-323751-8"), "invalid-character");
        assert_eq!(code("imei-490154203237518"), "invalid-character");
    }

    proptest! {
        #[test]
        fn prints_what_it_read(text in "[0-9]{15,17}") {
            let imei: Imei = text.parse().unwrap();
            prop_assert_eq!(imei.tac(), &text[..8]);
            prop_assert_eq!(imei.device(), &text[..14]);
            prop_assert_eq!(imei.to_string(), text);
        }
    }
}
