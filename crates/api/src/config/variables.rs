//! Reading variables. An empty one counts as absent: Compose passes `${NAME:-}` that way.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use secrecy::SecretString;

use super::{CarrierConfig, ConfigError, wrong};

/// What the names of a carrier account's own variables begin with.
const PER_CARRIER: &str = "SIMDEPOT_CARRIER_";
/// Variables that are read, besides those of carrier accounts.
const KNOWN: [&str; 17] = [
    "SIMDEPOT_BOOTSTRAP_KEY",
    "SIMDEPOT_CHECKPOINT_FILE",
    "SIMDEPOT_CONFIG",
    "SIMDEPOT_DB_PLAINTEXT",
    "SIMDEPOT_DB_POOL",
    "SIMDEPOT_ENCRYPTION_KEY",
    "SIMDEPOT_ENCRYPTION_KEY_PREVIOUS",
    "SIMDEPOT_LISTEN",
    "SIMDEPOT_LOG_FORMAT",
    "SIMDEPOT_MIGRATE",
    "SIMDEPOT_PUBLIC_URL",
    "SIMDEPOT_RATE_LIMIT",
    "SIMDEPOT_SPOOL_DIR",
    "SIMDEPOT_WEBHOOK_ENDPOINTS",
    "SIMDEPOT_WEBHOOK_TARGETS",
    "SIMDEPOT_WORKERS",
    "DATABASE_URL",
];

/// The variables of an environment.
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(super) fn new(mut variables: BTreeMap<String, String>) -> Self {
        variables.retain(|_, value| !value.trim().is_empty());
        Self(variables)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        self.get(name).map(SecretString::from)
    }

    pub(super) fn one_of<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match choices.iter().find(|(choice, _)| *choice == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
                Err(wrong(name, format!("must be {}", names.join(" or "))))
            }
        }
    }

    pub(super) fn number<T: TryFrom<u32>>(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok());
        let problem = || wrong(name, format!("must be {} to {}", range.start(), range.end()));
        number.map(Some).ok_or_else(problem)
    }

    /// Name of the variable with an account's client secret.
    pub(super) fn client_secret_of(account: &str) -> String {
        let name: String = account
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        format!("{PER_CARRIER}{name}_CLIENT_SECRET")
    }

    /// Variables that look like ours and are not known: most likely misspelt.
    pub(super) fn unknown(&self, carriers: &[CarrierConfig]) -> Vec<String> {
        let of_carriers: Vec<String> =
            carriers.iter().map(|carrier| Self::client_secret_of(carrier.account().as_str())).collect();
        let ours = self.0.keys().filter(|name| name.starts_with("SIMDEPOT_"));
        ours.filter(|name| !KNOWN.contains(&name.as_str()) && !of_carriers.contains(name)).cloned().collect()
    }
}
