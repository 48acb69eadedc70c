//! SM-DP+ address: the host that a device downloads its profile from (SGP.22 §4.1).

use crate::identifier_error::{IdentifierError, check_characters, text_identifier};

const WHAT: &str = "SM-DP+ address";
const EXPECTED: &str = "a host name such as smdp.example.com, without scheme, port or path";

/// A fully qualified host name: at least two labels of letters, digits and inner hyphens, 253 characters at most.
///
/// Kept as delivered, because the activation code is printed as delivered; `==` compares that text. Host names are
/// the same in any case: compare [`host_key`](Self::host_key)s.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SmdpAddress(String);

impl SmdpAddress {
    /// Reads a host name.
    ///
    /// # Errors
    /// A scheme, port, path, underscore or white space, an IP address, a single label, an empty or overlong label.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        if text.is_empty() {
            return Err(IdentifierError::Empty { what: WHAT, expected: EXPECTED });
        }
        check_characters(WHAT, EXPECTED, text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))?;
        if text.len() > 253 {
            return Err(IdentifierError::Length { what: WHAT, expected: EXPECTED, found: text.len() });
        }
        // No top-level domain is a number, but the end of every IPv4 address is.
        let is_address = |last: &str| last.bytes().all(|b| b.is_ascii_digit());
        match text.rsplit_once('.') {
            Some((_, last)) if !is_address(last) && text.split('.').all(is_label) => {
                Ok(Self(text.to_owned()))
            }
            Some(_) | None => Err(IdentifierError::Malformed { what: WHAT, expected: EXPECTED }),
        }
    }

    /// The address as delivered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address in lower case, for comparison and for connecting.
    pub fn host_key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

text_identifier!(SmdpAddress);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_the_case_and_compares_without_it() {
        let upper = SmdpAddress::parse("SMDP.GSMA.COM").unwrap();
        let lower = SmdpAddress::parse("smdp.gsma.com").unwrap();
        assert_eq!(upper.as_str(), "SMDP.GSMA.COM");
        assert_ne!(upper, lower);
        assert_eq!(upper.host_key(), lower.host_key());
    }

    #[test]
    fn accepts_the_edges() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        assert_eq!(longest.len(), 253);
        for text in ["a.b", "1.com", "x--y.xn--p1ai", "2.3.4.5a", longest.as_str()] {
            assert_eq!(SmdpAddress::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(SmdpAddress::parse(&format!("{longest}b")).unwrap_err().code(), "wrong-length");
        assert_eq!(SmdpAddress::parse(&format!("a{label}.com")).unwrap_err().code(), "malformed");
    }

    #[test]
    fn refuses_what_is_not_a_host_name() {
        let code = |text: &str| SmdpAddress::parse(text).unwrap_err().code();
        assert_eq!(code(""), "empty");
        for text in [
            "https://smdp.example.com",
            "smdp.example.com:443",
            "smdp.example.com/path",
            "sm_dp.example.com",
            " smdp.example.com",
            "smdp.exämple.com",
            "[2001:db8::1]",
            "smdp.example.com$",
        ] {
            assert_eq!(code(text), "invalid-character", "{text}");
        }
        for text in
            ["localhost", "192.0.2.1", "1.2", ".", "smdp..com", ".smdp.com", "smdp.com.", "-a.com", "a-.com"]
        {
            assert_eq!(code(text), "malformed", "{text}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_read(text in "([a-zA-Z0-9]{1,9}\\.){1,5}[a-zA-Z]{2,6}") {
            prop_assert_eq!(text.parse::<SmdpAddress>().unwrap().to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(address) = SmdpAddress::parse(&text) {
                prop_assert_eq!(address.as_str(), text);
            }
        }
    }
}
