//! A text that must not be seen: activation code, matching id, PIN, PUK, client secret, token.
//!
//! It cannot be printed or serialised by accident, and its memory is wiped when it is dropped. Reading it takes an
//! explicit [`Secret::expose`], which is easy to find in review.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};
use zeroize::Zeroizing;

/// A secret text. `Debug` prints `[secret]`; there is no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the only copy left is the one in here.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Pass it on to what needs it; do not store, format or log it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    /// Looks at every byte, wherever the first difference is; only the length shows in the time it takes.
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (self.0.as_bytes(), other.0.as_bytes());
        left.len() == right.len()
            && left.iter().zip(right).fold(0u8, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// Formats quote the value that they did not expect (`invalid type: integer 4711`), so their message is
    /// replaced.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)
            .map(Self::new)
            .map_err(|_| D::Error::custom("expected a string; the value is not shown because it is a secret"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text_and_expose_shows_it() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[secret] Some([secret])");
        assert_eq!(secret.expose(), "hunter2");
        assert!(!secret.is_empty() && Secret::new("").is_empty());
    }

    #[test]
    fn equality_is_by_content() {
        assert_eq!(Secret::new("1234"), Secret::from(String::from("1234")));
        for other in ["1235", "0234", "123", "12345", ""] {
            assert_ne!(Secret::new("1234"), Secret::new(other));
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_quoted() {
        assert_eq!(serde_json::from_str::<Secret>(r#""12\u0033""#).unwrap(), Secret::new("123"));
        for json in
            ["4711", "-4711", "4711.5", "4711123456789012345678901234567890", "true", "[4711]", "null"]
        {
            let message = serde_json::from_str::<Secret>(json).unwrap_err().to_string();
            assert!(!message.contains("4711"), "{message}");
            assert!(message.contains("string"), "{message}");
        }
    }
}
