//! The file with `[[carriers]]`.
//!
//! Messages are composed here, because those of the parsers quote what they could not read, and that may be a secret.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use config::{Config as Document, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use simdepot_carrier_transatel::{LineSettings, PathError};
use simdepot_domain::channel::AccountName;
use simdepot_domain::line::Offer;
use simdepot_domain::sim::SimStatus;

use super::variables::Variables;
use super::{ConfigError, wrong};

/// A carrier account of a kind that this version works with.
#[derive(Debug, Clone)]
pub enum CarrierConfig {
    /// Transatel.
    Transatel(TransatelConfig),
}

impl CarrierConfig {
    /// Its name.
    pub fn account(&self) -> &AccountName {
        match self {
            Self::Transatel(config) => &config.account,
        }
    }

    /// Where its API is.
    pub fn base_url(&self) -> &str {
        match self {
            Self::Transatel(config) => &config.base_url,
        }
    }
}

/// A Transatel account.
#[derive(Debug, Clone)]
pub struct TransatelConfig {
    /// Our name of it.
    pub account: AccountName,
    /// Where its API is.
    pub base_url: String,
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: SecretString,
    /// The account's name at Transatel, `M2MA_WW_TSL_…`.
    pub mvno_ref: String,
    /// Class of service.
    pub cos: String,
    /// Rate plan of line operations.
    pub rate_plan: Option<String>,
    /// How lines are managed.
    pub lines: LineSettings,
    /// Signs the events that Transatel sends.
    pub webhook_secret: Option<SecretString>,
    /// How long one call may take.
    pub timeout: Duration,
    /// Calls per second, over all processes on the same database.
    pub max_requests_per_second: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    carriers: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTransatel {
    account: String,
    #[serde(rename = "kind")]
    _kind: String,
    base_url: String,
    client_id: String,
    client_secret: Option<SecretString>,
    mvno_ref: String,
    cos: String,
    rate_plan: Option<String>,
    webhook_secret: Option<SecretString>,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    #[serde(default = "default_rate")]
    max_requests_per_second: u32,
    offer: Option<Offer>,
    #[serde(default)]
    also_terminate: Vec<SimStatus>,
    transaction_done: Option<Vec<String>>,
    transaction_failed: Option<Vec<String>>,
    #[serde(default)]
    group_in_subscriber_info: bool,
    subscription_field: Option<String>,
    #[serde(default)]
    paths: BTreeMap<String, String>,
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
        Some("transatel") => transatel(table, place, variables).map(CarrierConfig::Transatel),
        Some("sps") => {
            Err(place.wrong("kind", "\"sps\" is not supported yet by this version; \"transatel\" is"))
        }
        _ => Err(place.wrong("kind", "must be \"transatel\"")),
    }
}

fn transatel(table: Value, place: &Place<'_>, variables: &Variables) -> Result<TransatelConfig, ConfigError> {
    let raw: RawTransatel =
        serde_path_to_error::deserialize(table).map_err(|error| field_problem(place, &error))?;
    let lines = lines(&raw, place)?;
    let account = AccountName::parse(&raw.account)
        .map_err(|error| place.wrong("account", format!("is wrong: {error}")))?;
    let variable = Variables::client_secret_of(account.as_str());
    let client_secret = variables
        .secret(&variable)
        .or(raw.client_secret.filter(|secret| !secret.expose_secret().is_empty()))
        .ok_or_else(|| place.wrong("client_secret", format!("is missing: set it here or as {variable}")))?;
    Ok(TransatelConfig {
        account,
        base_url: raw.base_url,
        client_id: raw.client_id,
        client_secret,
        mvno_ref: raw.mvno_ref,
        cos: raw.cos,
        rate_plan: raw.rate_plan.filter(|plan| !plan.is_empty()),
        lines,
        webhook_secret: raw.webhook_secret.filter(|secret| !secret.expose_secret().is_empty()),
        timeout: Duration::from_millis(raw.timeout_ms),
        max_requests_per_second: raw.max_requests_per_second,
    })
}

fn lines(raw: &RawTransatel, place: &Place<'_>) -> Result<LineSettings, ConfigError> {
    let standard = LineSettings::default();
    let mut paths = standard.paths;
    for (name, text) in &raw.paths {
        let wrong = |error: PathError| place.wrong(&format!("paths.{name}"), error.to_string());
        paths.set(name, text).map_err(wrong)?;
    }
    Ok(LineSettings {
        offer: raw.offer,
        also_terminate: raw.also_terminate.clone(),
        transaction_done: raw.transaction_done.clone().unwrap_or(standard.transaction_done),
        transaction_failed: raw.transaction_failed.clone().unwrap_or(standard.transaction_failed),
        group_in_subscriber_info: raw.group_in_subscriber_info,
        subscription_field: raw.subscription_field.clone().unwrap_or(standard.subscription_field),
        paths,
    })
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
