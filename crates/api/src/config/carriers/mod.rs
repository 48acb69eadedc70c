//! The file with `[[carriers]]`.
//!
//! Messages are composed here, because those of the parsers quote what they could not read, and that may be a secret.

mod sps;
mod transatel;

use std::collections::BTreeMap;
use std::path::Path;

use config::{Config as Document, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use simdepot_domain::channel::AccountName;

use super::variables::Variables;
use super::{ConfigError, wrong};

pub use sps::SpsConfig;
pub use transatel::TransatelConfig;

/// A carrier account of a kind that this version works with.
#[derive(Debug, Clone)]
pub enum CarrierConfig {
    /// Transatel.
    Transatel(Box<TransatelConfig>),
    /// The Subscriber Provisioning APIs of a wholesale 5G operator.
    Sps(Box<SpsConfig>),
}

impl CarrierConfig {
    /// Its name.
    pub fn account(&self) -> &AccountName {
        match self {
            Self::Transatel(config) => &config.account,
            Self::Sps(config) => &config.account,
        }
    }

    /// Where its API is.
    pub fn base_url(&self) -> &str {
        match self {
            Self::Transatel(config) => &config.base_url,
            Self::Sps(config) => &config.base_url,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    carriers: Vec<Value>,
}

fn default_timeout_ms() -> u64 {
    15_000
}

fn default_rate() -> u32 {
    10
}

/// Reads the accounts of a file.
pub(super) fn read(path: &Path, variables: &Variables) -> Result<Vec<CarrierConfig>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File {
        file: path.display().to_string(),
        problem: format!("cannot be read: {error}"),
    })?;
    parse(&path.display().to_string(), &text, variables)
}

pub(super) fn parse(
    file: &str,
    text: &str,
    variables: &Variables,
) -> Result<Vec<CarrierConfig>, ConfigError> {
    let failed = |problem: String| ConfigError::File { file: file.to_owned(), problem };
    let document = Document::builder().add_source(File::from_str(text, FileFormat::Toml)).build();
    let document = document.map_err(|error| failed(without_quotation(&error)))?;
    let raw: RawFile = document.try_deserialize().map_err(|error| failed(shape_problem(&error)))?;
    let mut carriers: BTreeMap<AccountName, CarrierConfig> = BTreeMap::new();
    let mut secrets_of: BTreeMap<String, AccountName> = BTreeMap::new();
    for (index, table) in raw.carriers.into_iter().enumerate() {
        let label = table
            .get("account")
            .and_then(Value::as_str)
            .map_or_else(|| format!("#{}", index + 1), str::to_owned);
        let place = Place { file, account: &label };
        let carrier = carrier(table, &place, variables)?;
        let account = carrier.account().clone();
        let variable = Variables::client_secret_of(account.as_str());
        if let Some(other) = secrets_of.insert(variable.clone(), account.clone())
            && variables.get(&variable).is_some()
        {
            return Err(wrong(
                &variable,
                format!("would be the secret of both {other} and {account}: rename one"),
            ));
        }
        if carriers.insert(account, carrier).is_some() {
            return Err(place.wrong("account", "is the name of two accounts"));
        }
    }
    Ok(carriers.into_values().collect())
}

struct Place<'a> {
    file: &'a str,
    account: &'a str,
}

impl Place<'_> {
    fn wrong(&self, field: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Carrier {
            file: self.file.to_owned(),
            account: self.account.to_owned(),
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

fn carrier(table: Value, place: &Place<'_>, variables: &Variables) -> Result<CarrierConfig, ConfigError> {
    match table.get("kind").and_then(Value::as_str) {
        Some("transatel") => {
            transatel::read(table, place, variables).map(Box::new).map(CarrierConfig::Transatel)
        }
        Some("sps") => sps::read(table, place, variables).map(Box::new).map(CarrierConfig::Sps),
        _ => Err(place.wrong("kind", "must be \"transatel\" or \"sps\"")),
    }
}

/// A table as what its kind has.
fn shaped<T: DeserializeOwned>(table: Value, place: &Place<'_>) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(table).map_err(|error| field_problem(place, &error))
}

/// The name of an account and the secret that goes with it, from the environment or else from the file.
fn named(
    account: &str,
    client_secret: Option<SecretString>,
    place: &Place<'_>,
    variables: &Variables,
) -> Result<(AccountName, SecretString), ConfigError> {
    let account =
        AccountName::parse(account).map_err(|error| place.wrong("account", format!("is wrong: {error}")))?;
    let variable = Variables::client_secret_of(account.as_str());
    let client_secret = variables
        .secret(&variable)
        .or(present(client_secret))
        .ok_or_else(|| place.wrong("client_secret", format!("is missing: set it here or as {variable}")))?;
    Ok((account, client_secret))
}

/// An empty secret is none.
fn present(secret: Option<SecretString>) -> Option<SecretString> {
    secret.filter(|secret| !secret.expose_secret().is_empty())
}

fn field_problem(place: &Place<'_>, error: &serde_path_to_error::Error<serde_json::Error>) -> ConfigError {
    let message = error.inner().to_string();
    let path = error.path().to_string();
    let named = |prefix: &str| message.strip_prefix(prefix)?.split('`').next().map(str::to_owned);
    if let Some(field) = named("missing field `") {
        return place.wrong(&field, "is missing");
    }
    if let Some(field) = named("unknown field `") {
        let known = message.split_once("expected ").map_or("", |(_, known)| known);
        return place.wrong(&field, format!("is not known; known are {known}"));
    }
    // `invalid type: integer `5`, expected a string`: what follows is ours, what precedes may be a secret.
    let expected = message.rsplit_once("expected ").map_or("a valid value", |(_, expected)| expected);
    place.wrong(&path, format!("must be {expected}"))
}

/// TOML errors quote the line; the place and the reason are enough.
fn without_quotation(error: &config::ConfigError) -> String {
    let text = match error {
        config::ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [first, .., last] => format!("{first}: {last}"),
        [only] => (*only).to_owned(),
        [] => "cannot be parsed".to_owned(),
    }
}

/// The outer shape holds no secret besides misplaced ones, so a value is never repeated.
fn shape_problem(error: &config::ConfigError) -> String {
    let text = error.to_string();
    match text.split_once("unknown field `").and_then(|(_, rest)| rest.split('`').next()) {
        Some(field) => format!("{field} is not known here; accounts are given as [[carriers]]"),
        None => "carriers must be given as [[carriers]] tables".to_owned(),
    }
}
