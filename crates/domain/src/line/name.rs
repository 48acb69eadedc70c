//! Names of rate plans and service profiles, as they stand in paths.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest name, in characters.
const MAX: usize = 100;

/// Name of a rate plan or a service profile. Carriers write theirs in capitals with underscores; a service profile may
/// have words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogueName(String);

/// Why a text is no such name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a name is 1 to {MAX} characters of A–Z, a–z, 0–9, '.', '_', ':', '-' and spaces, with a letter or digit at both ends"
)]
pub struct CatalogueNameError;

impl CatalogueName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CatalogueName {
    type Err = CatalogueNameError;

    fn from_str(text: &str) -> Result<Self, CatalogueNameError> {
        let inner = |letter: char| letter.is_ascii_alphanumeric() || "._:- ".contains(letter);
        let edge = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
        let fits = text.len() <= MAX && text.chars().all(inner);
        if fits && edge(text.chars().next()) && edge(text.chars().next_back()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CatalogueNameError)
        }
    }
}

impl fmt::Display for CatalogueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_stand_in_a_path() {
        for good in
            ["M2MA_WW_TSL_IOTCONNECT_CAPPED", "1", "Trackers, no".replace(',', "").as_str(), "a.b:c-d"]
        {
            assert!(good.parse::<CatalogueName>().is_ok(), "{good}");
        }
        for bad in ["", " a", "a ", "a/b", "a%2Fb", "{name}", "é", "a\nb", &"a".repeat(101)] {
            assert!(bad.parse::<CatalogueName>().is_err(), "{bad:?}");
        }
    }
}
