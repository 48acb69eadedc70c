//! Channels (storefronts) and the scopes of their API keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

/// What a key may do.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// Order, and reach the profiles of the channel's own orders.
    Storefront,
    /// Pools, imports and the whole stock, without codes.
    Stock,
    /// Operate lines.
    Lines,
    /// Read PIN and PUK.
    Secrets,
    /// Device compatibility, blocklists and changes.
    Devices,
    /// Read the event feed and keep webhook endpoints.
    Events,
    /// Keys and reconciliations.
    Admin,
}

/// A name from a small alphabet, so that it is safe in paths, logs and metric labels.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the alphabet and the length.
            ///
            /// # Errors
            /// [`NameError`] says what is accepted.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let mut characters = text.chars();
                let first = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
                let rest = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
                if first && rest && text.len() <= NAME_MAX {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { what: $what })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    )*};
}

/// Longest name, in characters.
pub const NAME_MAX: usize = 63;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{what} is 1 to {NAME_MAX} characters of a–z, 0–9, '.', '_' and '-', beginning with a letter or digit"
)]
pub struct NameError {
    /// What the name is for.
    pub what: &'static str,
}

names! {
    /// Name of a channel: a storefront that owns keys, orders and references.
    ChannelName, "a channel name";
    /// Name of a pool.
    PoolName, "a pool name";
    /// Name of a carrier account, as the configuration gives it.
    AccountName, "a carrier account name";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet() {
        for good in ["a", "travel-world", "0", "a.b_c-1", &"x".repeat(63)] {
            assert_eq!(PoolName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "A", "a b", "a/b", "é", &"x".repeat(64)] {
            assert!(PoolName::parse(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<ChannelName>("\"No Way\"").is_err());
    }
}
