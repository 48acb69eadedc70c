//! What the identifier types share: the error of a text that is not the identifier it claims to be, and the
//! conversions of a checked text.
//!
//! The error names the identifier, what is wrong and what is expected. It never quotes the text itself: half of
//! the identifiers are credentials, and a shifted column puts a PIN where an ICCID should be.

/// Why a text is not the identifier it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// The text is empty.
    #[error("{what} is empty; expected {expected}")]
    Empty {
        /// The identifier, as people call it: `ICCID`, `SM-DP+ address`.
        what: &'static str,
        /// What a right one looks like.
        expected: &'static str,
    },
    /// The text is too short or too long.
    #[error("{what} has {found} characters; expected {expected}")]
    Length {
        /// The identifier, as people call it.
        what: &'static str,
        /// What a right one looks like.
        expected: &'static str,
        /// Characters found.
        found: usize,
    },
    /// A character may not occur in this identifier.
    #[error("{what} has a character that is not allowed at position {position}; expected {expected}")]
    Character {
        /// The identifier, as people call it.
        what: &'static str,
        /// What a right one looks like.
        expected: &'static str,
        /// Position of the first wrong character, from 1.
        position: usize,
    },
    /// The characters are right, their arrangement is not.
    #[error("{what} is malformed; expected {expected}")]
    Malformed {
        /// The identifier, as people call it.
        what: &'static str,
        /// What a right one looks like.
        expected: &'static str,
    },
}

impl IdentifierError {
    /// The identifier that was expected, as people call it.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Empty { what, .. }
            | Self::Length { what, .. }
            | Self::Character { what, .. }
            | Self::Malformed { what, .. } => what,
        }
    }

    /// What a right one looks like.
    pub fn expected(&self) -> &'static str {
        match self {
            Self::Empty { expected, .. }
            | Self::Length { expected, .. }
            | Self::Character { expected, .. }
            | Self::Malformed { expected, .. } => expected,
        }
    }

    /// A stable word for programs, in the style of the problem codes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "empty",
            Self::Length { .. } => "wrong-length",
            Self::Character { .. } => "invalid-character",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// Refuses the first character that `allowed` does not accept.
pub(crate) fn check_characters(
    what: &'static str,
    expected: &'static str,
    text: &str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), IdentifierError> {
    match text.chars().position(|c| !allowed(c)) {
        Some(index) => Err(IdentifierError::Character { what, expected, position: index.saturating_add(1) }),
        None => Ok(()),
    }
}

/// Refuses anything but `lengths` ASCII digits. Letters are reported before the length: `8.93E+18` is not
/// too short, it was mangled by a spreadsheet.
pub(crate) fn check_digit_string(
    what: &'static str,
    expected: &'static str,
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<(), IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty { what, expected });
    }
    check_characters(what, expected, text, |c| c.is_ascii_digit())?;
    if lengths.contains(&text.len()) {
        Ok(())
    } else {
        Err(IdentifierError::Length { what, expected, found: text.len() })
    }
}

/// `Display`, `FromStr`, `AsRef<str>` and serde as a string for a checked text with `parse` and `as_str`.
macro_rules! text_identifier {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::identifier_error::IdentifierError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_identifier;

/// `FromStr` and a `Deserialize` that never quotes the value, for a secret with `parse`. No `Display`, no
/// `Serialize`: whoever reveals a secret says so with `expose`.
macro_rules! secret_identifier {
    ($name:ident) => {
        impl std::str::FromStr for $name {
            type Err = $crate::identifier_error::IdentifierError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("[secret]")
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = $crate::secret::Secret::deserialize(deserializer)?;
                Self::parse(text.expose()).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use secret_identifier;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_reported_before_length_and_positions_count_characters() {
        let error = check_digit_string("ICCID", "19 digits", "89é1", 19..=19).unwrap_err();
        assert_eq!(error, IdentifierError::Character { what: "ICCID", expected: "19 digits", position: 3 });
        assert_eq!(
            error.to_string(),
            "ICCID has a character that is not allowed at position 3; expected 19 digits"
        );
    }

    #[test]
    fn every_variant_names_identifier_expectation_and_code() {
        let (what, expected) = ("EID", "32 digits");
        let errors = [
            (IdentifierError::Empty { what, expected }, "empty"),
            (IdentifierError::Length { what, expected, found: 3 }, "wrong-length"),
            (IdentifierError::Character { what, expected, position: 1 }, "invalid-character"),
            (IdentifierError::Malformed { what, expected }, "malformed"),
        ];
        for (error, code) in errors {
            assert_eq!((error.what(), error.expected(), error.code()), (what, expected, code));
            assert!(error.to_string().starts_with("EID ") && error.to_string().ends_with("32 digits"));
        }
    }
}
