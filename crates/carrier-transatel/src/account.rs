//! The account: where the API is, who we are there, and how fast we may ask.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use simdepot_domain::channel::AccountName;
use simdepot_domain::secret::Secret;
use thiserror::Error;

use crate::settings::LineSettings;

/// Longest time a call may take. Beyond it, an order would keep its line locked for no good reason.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);

/// One contract with Transatel.
#[derive(Debug, Clone)]
pub struct TransatelAccount {
    /// Our name of the account; labels metrics and errors.
    pub account: String,
    /// `https://api.transatel.com`; `http://` only on this machine.
    pub base_url: String,
    /// From the account manager.
    pub client_id: String,
    /// From the account manager.
    pub client_secret: Secret,
    /// The account's name at Transatel, `M2MA_WW_TSL_…`.
    pub mvno_ref: String,
    /// Class of service: the catalogue that the account sells from, `WW_M2MA_COS_SPC`.
    pub cos: String,
    /// Rate plan of line operations; bundles do not need it.
    pub rate_plan: Option<String>,
    /// How lines are managed.
    pub lines: LineSettings,
    /// How long one call of the port may take, waiting for a turn and for a token included.
    pub timeout: Duration,
    /// Requests per second over all calls and all processes. A short burst of a quarter of it is let through at once.
    pub max_requests_per_second: u32,
    /// What Transatel signs its events with; without it, none is accepted.
    pub webhook_secret: Option<Secret>,
    /// How orders name their caller in Transatel's records.
    pub source: String,
}

/// An account that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// One setting is wrong.
    #[error("carrier account {account}: {field} must be {expected}")]
    Setting {
        /// Our name of the account.
        account: String,
        /// The setting.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The HTTP client could not be made, for example for lack of root certificates.
    #[error("carrier account {account}: the HTTP client cannot start: {reason}")]
    Client {
        /// Our name of the account.
        account: String,
        /// Why.
        reason: String,
    },
}

impl TransatelAccount {
    /// Checks every setting that can be checked without asking Transatel.
    ///
    /// # Errors
    /// Names the first setting that is wrong and what it should be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let checks: [(bool, &'static str, &'static str); 8] = [
            (self.name().is_ok(), "account", "a carrier account name"),
            // The Basic scheme ends the user name at the first colon (RFC 7617 §2).
            (
                is_name(&self.client_id) && !self.client_id.contains(':'),
                "client_id",
                "a text without a colon",
            ),
            (!self.client_secret.is_empty(), "client_secret", "set"),
            (
                is_name(&self.mvno_ref),
                "mvno_ref",
                "the account's name at Transatel, such as M2MA_WW_TSL_ACME",
            ),
            (
                is_name(&self.cos) && !is_dots(&self.cos),
                "cos",
                "the class of service, such as WW_M2MA_COS_SPC",
            ),
            (is_name(&self.source), "source", "a short text that names the caller"),
            (
                !self.timeout.is_zero() && self.timeout <= MAX_TIMEOUT,
                "timeout_ms",
                "more than 0 and at most 120000",
            ),
            (self.max_requests_per_second > 0, "max_requests_per_second", "at least 1"),
        ];
        for (good, field, expected) in checks {
            if !good {
                return Err(self.wrong(field, expected));
            }
        }
        self.lines.check().map_err(|(field, expected)| self.wrong(field, expected))?;
        self.url().map(drop)
    }

    /// Our name of the account, under which processes share its turns.
    pub(crate) fn name(&self) -> Result<AccountName, ConfigError> {
        AccountName::parse(&self.account).map_err(|_| self.wrong("account", "a carrier account name"))
    }

    /// The base URL.
    pub(crate) fn url(&self) -> Result<Url, ConfigError> {
        const FIELD: &str = "base_url";
        let url = Url::parse(&self.base_url)
            .map_err(|_| self.wrong(FIELD, "a URL such as https://api.transatel.com"))?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(self.wrong(FIELD, "without user, password, query and fragment"));
        }
        match url.scheme() {
            "https" if url.host().is_some() => Ok(url),
            "http" if is_loopback(&url) => Ok(url),
            _ => Err(self.wrong(FIELD, "an https:// URL; http:// is for this machine alone")),
        }
    }

    fn wrong(&self, field: &'static str, expected: &'static str) -> ConfigError {
        ConfigError::Setting { account: self.account.clone(), field, expected }
    }
}

/// Whether a URL leads to this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// `.` and `..` are steps in a path, not names, however they are escaped.
pub(crate) fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::account;

    fn field_of(change: impl FnOnce(&mut TransatelAccount)) -> &'static str {
        let mut account = account("https://api.transatel.com");
        change(&mut account);
        match account.validate() {
            Ok(()) => "",
            Err(ConfigError::Setting { field, .. }) => field,
            Err(ConfigError::Client { .. }) => "client",
        }
    }

    #[test]
    fn names_the_setting_that_is_wrong() {
        assert_eq!(field_of(|_| ()), "");
        assert_eq!(field_of(|a| a.account.clear()), "account");
        assert_eq!(field_of(|a| a.client_id = "a:b".into()), "client_id");
        assert_eq!(field_of(|a| a.client_secret = Secret::new("")), "client_secret");
        assert_eq!(field_of(|a| a.mvno_ref = " ".into()), "mvno_ref");
        assert_eq!(field_of(|a| a.cos = "..".into()), "cos");
        assert_eq!(field_of(|a| a.source = "a\nb".into()), "source");
        assert_eq!(field_of(|a| a.timeout = Duration::ZERO), "timeout_ms");
        assert_eq!(field_of(|a| a.lines.transaction_done.clear()), "transaction_done");
        assert_eq!(field_of(|a| a.lines.subscription_field.clear()), "subscription_field");
        assert_eq!(field_of(|a| a.max_requests_per_second = 0), "max_requests_per_second");
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for good in
            ["http://127.0.0.1:8080", "http://localhost:1/x", "http://[::1]:9", "https://api.transatel.com"]
        {
            assert_eq!(field_of(|a| a.base_url = good.into()), "", "{good}");
        }
        for bad in [
            "http://api.transatel.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "ftp://localhost",
            "x",
            "https://user:pw@api.transatel.com",
            "https://api.transatel.com?x=1",
            "https://api.transatel.com#x",
            "",
        ] {
            assert_eq!(field_of(|a| a.base_url = bad.into()), "base_url", "{bad}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let mut account = account("https://api.transatel.com");
        account.client_secret = Secret::new("SESAME");
        account.webhook_secret = Some(Secret::new("SESAME"));
        assert!(!format!("{account:?}").contains("SESAME"));
    }
}
