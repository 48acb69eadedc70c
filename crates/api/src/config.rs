//! Configuration: the environment, and a TOML file with the carrier accounts.
//!
//! Everything is read and checked once, at start; an error names the variable, or file, account and field. Secrets are
//! kept in types that do not print.

mod carriers;
mod variables;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use simdepot_domain::webhook::{Targets, is_on_this_machine};
use simdepot_persistence::DatabaseUrl;
use simdepot_persistence::store::StoreOptions;
use simdepot_persistence::vault::{WrappingKey, WrappingKeys};
use thiserror::Error;

pub use carriers::{CarrierConfig, SpsConfig, TransatelConfig};
use variables::Variables;

/// The key that seals what a sandbox stores. It is in the source, so it protects nothing.
const SANDBOX_ENCRYPTION_KEY: &[u8; 32] = b"simdepot sandbox key, not secret";
/// The file that is read when the environment names none.
const DEFAULT_FILE: &str = "simdepot.toml";

/// What is logged unless the environment says otherwise; see [`crate::telemetry`].
const DEFAULT_FILTER: &str = "info";

/// Why the configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A variable of the environment.
    #[error("{variable} {problem}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The configuration file.
    #[error("{file}: {problem}")]
    File {
        /// Its path.
        file: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// One setting of one carrier account.
    #[error("{file}: carrier account {account}: {field} {problem}")]
    Carrier {
        /// The file.
        file: String,
        /// The account, or its place in the file.
        account: String,
        /// The setting.
        field: String,
        /// What is wrong and what is expected.
        problem: String,
    },
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// How logs are written. Known before the rest, so that the rest can be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of the lines.
    pub format: LogFormat,
    /// What is logged, as `tracing-subscriber` reads it.
    pub filter: String,
}

/// The whole configuration.
#[derive(Debug)]
pub struct Config {
    /// Where the store lies.
    pub database: DatabaseUrl,
    /// Most database connections.
    pub pool_size: u32,
    /// Whether a start applies pending migrations.
    pub migrate: bool,
    /// Address of the API.
    pub listen: SocketAddr,
    /// How the world reaches the API, without a slash at the end.
    pub public_url: Option<String>,
    /// Requests per second and key.
    pub rate_limit: Option<u32>,
    /// An API key that is made to exist.
    pub bootstrap_key: Option<SecretString>,
    /// Where uploaded files lie while they are read.
    pub spool_dir: PathBuf,
    /// Carrier operations carried out at a time.
    pub workers: usize,
    /// A file outside the database that keeps the checkpoints of the feed.
    pub checkpoint_file: Option<PathBuf>,
    /// Where webhooks may go.
    pub webhook_targets: Targets,
    /// Most webhook endpoints of a channel.
    pub webhook_endpoints: u32,
    /// Carrier accounts; none makes a sandbox.
    pub carriers: Vec<CarrierConfig>,
    /// Variables that look like ours and are not known.
    pub unknown_variables: Vec<String>,
    encryption_key: Option<SecretString>,
    previous_encryption_key: Option<SecretString>,
}

impl Config {
    /// From the process's environment.
    ///
    /// # Errors
    /// [`ConfigError`] names what is wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(environment())
    }

    /// From given variables.
    ///
    /// # Errors
    /// [`ConfigError`] names what is wrong.
    pub fn from_variables(variables: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let variables = Variables::new(variables);
        let database = database(&variables)?;
        let default_pool = if matches!(database, DatabaseUrl::Postgres(_)) { 16 } else { 8 };
        let carriers = match variables.get("SIMDEPOT_CONFIG") {
            Some(path) => carriers::read(path.as_ref(), &variables)?,
            None if PathBuf::from(DEFAULT_FILE).exists() => {
                carriers::read(DEFAULT_FILE.as_ref(), &variables)?
            }
            None => Vec::new(),
        };
        let config = Self {
            database,
            pool_size: variables.number("SIMDEPOT_DB_POOL", 2..=1000)?.unwrap_or(default_pool),
            migrate: variables.one_of("SIMDEPOT_MIGRATE", &[("on", true), ("off", false)])?.unwrap_or(true),
            listen: listen_address(&variables)?,
            public_url: public_url(&variables)?,
            rate_limit: rate_limit(&variables)?,
            bootstrap_key: variables.secret("SIMDEPOT_BOOTSTRAP_KEY"),
            spool_dir: variables.get("SIMDEPOT_SPOOL_DIR").map_or_else(std::env::temp_dir, PathBuf::from),
            workers: variables.number("SIMDEPOT_WORKERS", 1..=256)?.unwrap_or(8),
            checkpoint_file: variables.get("SIMDEPOT_CHECKPOINT_FILE").map(PathBuf::from),
            webhook_targets: webhook_targets(&variables, &carriers)?,
            webhook_endpoints: variables.number("SIMDEPOT_WEBHOOK_ENDPOINTS", 1..=1000)?.unwrap_or(20),
            unknown_variables: variables.unknown(&carriers),
            carriers,
            encryption_key: variables.secret("SIMDEPOT_ENCRYPTION_KEY"),
            previous_encryption_key: variables.secret("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS"),
        };
        config.wrapping_keys()?;
        Ok(config)
    }

    /// Whether no carrier is configured, so that simdepot brings its own.
    pub fn is_sandbox(&self) -> bool {
        self.carriers.is_empty()
    }

    /// Whether the sandbox's key, which everybody knows, seals the store.
    pub fn uses_sandbox_encryption(&self) -> bool {
        self.encryption_key.is_none()
    }

    /// How to open the store. `migrate` applies pending migrations.
    ///
    /// # Errors
    /// The keys were checked at start; they are checked again.
    pub fn store_options(&self, migrate: bool) -> Result<StoreOptions, ConfigError> {
        let (url, pool_size) = (self.database.clone(), self.pool_size);
        Ok(StoreOptions { url, pool_size, migrate, keys: self.wrapping_keys()?, turnstile: None })
    }

    fn wrapping_keys(&self) -> Result<WrappingKeys, ConfigError> {
        let key = |variable: &str, text: &SecretString| {
            WrappingKey::from_base64(text.expose_secret())
                .map_err(|error| wrong(variable, format!("cannot be used: {error}")))
        };
        let current = match &self.encryption_key {
            Some(text) => key("SIMDEPOT_ENCRYPTION_KEY", text)?,
            None if self.is_sandbox() => WrappingKey::from_bytes(*SANDBOX_ENCRYPTION_KEY),
            None => {
                let problem = "must be set once carrier accounts are configured; make one with \
                               `openssl rand -base64 32` and keep a copy apart from the database's backup";
                return Err(wrong("SIMDEPOT_ENCRYPTION_KEY", problem));
            }
        };
        let previous = self.previous_encryption_key.as_ref();
        let previous = previous.map(|text| key("SIMDEPOT_ENCRYPTION_KEY_PREVIOUS", text)).transpose()?;
        Ok(WrappingKeys { current, previous })
    }
}

/// How logs are to be written, from the process's environment.
///
/// # Errors
/// [`ConfigError`] names the variable.
pub fn log_from_env() -> Result<LogConfig, ConfigError> {
    log(&Variables::new(environment()))
}

/// The address of the API alone, from the process's environment.
///
/// # Errors
/// [`ConfigError`] names the variable.
pub fn listen_from_env() -> Result<SocketAddr, ConfigError> {
    listen_address(&Variables::new(environment()))
}

fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn wrong(variable: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Variable { variable: variable.to_owned(), problem: problem.into() }
}

fn log(variables: &Variables) -> Result<LogConfig, ConfigError> {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Ok(LogConfig {
        format: variables.one_of("SIMDEPOT_LOG_FORMAT", &formats)?.unwrap_or_default(),
        filter: variables.get("RUST_LOG").unwrap_or(DEFAULT_FILTER).to_owned(),
    })
}

fn database(variables: &Variables) -> Result<DatabaseUrl, ConfigError> {
    let text = variables.get("DATABASE_URL").unwrap_or("sqlite://simdepot.db");
    let plaintext = variables.one_of("SIMDEPOT_DB_PLAINTEXT", &[("allow", true), ("deny", false)])?;
    let is_set = |name: &str| variables.get(name).is_some();
    let url = text.parse().and_then(|url: DatabaseUrl| url.require_tls(plaintext.unwrap_or(false), is_set));
    // The error's text begins with the variable's name.
    url.map_err(|error| {
        let text = error.to_string();
        wrong("DATABASE_URL", text.strip_prefix("DATABASE_URL ").unwrap_or(&text))
    })
}

fn listen_address(variables: &Variables) -> Result<SocketAddr, ConfigError> {
    let Some(text) = variables.get("SIMDEPOT_LISTEN") else {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    };
    let numeric =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let problem = "must be an address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080";
    numeric.parse().map_err(|_| wrong("SIMDEPOT_LISTEN", problem))
}

fn public_url(variables: &Variables) -> Result<Option<String>, ConfigError> {
    let Some(text) = variables.get("SIMDEPOT_PUBLIC_URL") else {
        return Ok(None);
    };
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"<>".contains(&byte));
    if rest.is_empty() || !plain {
        let problem =
            "must be an http(s) URL without user, query and fragment, such as https://depot.example.com";
        return Err(wrong("SIMDEPOT_PUBLIC_URL", problem));
    }
    Ok(Some(url.to_owned()))
}

fn rate_limit(variables: &Variables) -> Result<Option<u32>, ConfigError> {
    match variables.get("SIMDEPOT_RATE_LIMIT") {
        None => Ok(Some(50)),
        Some("off") => Ok(None),
        Some(text) => match text.parse() {
            Ok(rate @ 1..=1_000_000) => Ok(Some(rate)),
            Ok(_) | Err(_) => {
                Err(wrong("SIMDEPOT_RATE_LIMIT", "must be 1 to 1000000 requests per second, or off"))
            }
        },
    }
}

/// Public addresses, unless the operator says otherwise. A trial may also send webhooks to its own machine, so that
/// they can be tried out there: when every carrier, if there is one, is on loopback, this deployment reaches no real
/// carrier and holds no stock of worth, so its keys protect nothing that a listener on the machine could be asked for
/// in their stead.
fn webhook_targets(variables: &Variables, carriers: &[CarrierConfig]) -> Result<Targets, ConfigError> {
    let choices = [("public", Targets::Public), ("private", Targets::All)];
    let is_trial = carriers.iter().all(|carrier| is_on_this_machine(carrier.base_url()));
    let default = if is_trial { Targets::PublicOrThisMachine } else { Targets::Public };
    Ok(variables.one_of("SIMDEPOT_WEBHOOK_TARGETS", &choices)?.unwrap_or(default))
}

/// How an address is reached by a client on this machine: a wildcard becomes loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;
