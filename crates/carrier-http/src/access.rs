//! Where an account's API is, how its tokens are had, and how fast it may be asked.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use simdepot_domain::channel::AccountName;
use simdepot_domain::secret::Secret;
use thiserror::Error;

use crate::answer::Answer;

/// Longest time a call may take. Beyond it, an order would keep its line locked for no good reason.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);

/// What every adapter needs of an account.
#[derive(Debug, Clone)]
pub struct Access {
    /// Our name of the account; labels metrics and errors.
    pub account: String,
    /// `https://`; `http://` only on this machine.
    pub base_url: String,
    /// How tokens are had.
    pub token: TokenAccess,
    /// How long one call of the port may take, waiting for a turn and for a token included.
    pub timeout: Duration,
    /// Requests per second over all calls and all processes; `u32::MAX` is no limit.
    pub max_requests_per_second: u32,
    /// Header under which the carrier names a request for its support, in lower case.
    pub request_id_header: &'static str,
    /// Whether a 401 speaks of the account's rights: then another token would not help.
    pub denies_for_good: fn(&Answer) -> bool,
}

/// How an account's tokens are had: OAuth 2.0 client credentials (RFC 6749 §4.4).
#[derive(Debug, Clone)]
pub struct TokenAccess {
    /// An absolute URL, or a path below the base URL with a slash in front.
    pub url: String,
    /// Who we are.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret,
    /// Where the two go.
    pub credentials: TokenCredentials,
    /// What the token is for, where the carrier wants it named.
    pub scope: Option<String>,
}

/// Where client id and secret go in a request for a token (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenCredentials {
    /// Into the `Authorization` header.
    #[default]
    Basic,
    /// Into the form that is sent.
    Body,
}

/// Where tokens are had, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenPlace {
    /// Scheme, host and port; the base URL when absent.
    pub(crate) origin: Option<String>,
    /// With a slash in front.
    pub(crate) path: String,
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

impl Access {
    /// Checks every setting that can be checked without asking the carrier.
    ///
    /// # Errors
    /// Names the first setting that is wrong and what it should be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let basic = self.token.credentials == TokenCredentials::Basic;
        let client = &self.token.client_id;
        let checks = [
            (self.name().is_ok(), "account", "a carrier account name"),
            // The Basic scheme ends the user name at the first colon (RFC 7617 §2).
            (
                is_name(client) && !(basic && client.contains(':')),
                "client_id",
                if basic { "a text without a colon" } else { "a text" },
            ),
            (!self.token.client_secret.is_empty(), "client_secret", "set"),
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
        self.url()?;
        self.token_place().map(drop)
    }

    /// Our name of the account, under which processes share its turns.
    ///
    /// # Errors
    /// When it is none.
    pub fn name(&self) -> Result<AccountName, ConfigError> {
        AccountName::parse(&self.account).map_err(|_| self.wrong("account", "a carrier account name"))
    }

    /// An error about one setting.
    pub fn wrong(&self, field: &'static str, expected: &'static str) -> ConfigError {
        ConfigError::Setting { account: self.account.clone(), field, expected }
    }

    pub(crate) fn url(&self) -> Result<Url, ConfigError> {
        self.checked_url("base_url", &self.base_url)
    }

    /// Where tokens are had.
    pub(crate) fn token_place(&self) -> Result<TokenPlace, ConfigError> {
        if self.token.url.starts_with('/') {
            return Ok(TokenPlace { origin: None, path: self.token.url.clone() });
        }
        let url = self.checked_url("token_url", &self.token.url)?;
        let base = self.url()?;
        let (base, whole) = (base.as_str().trim_end_matches('/'), url.as_str());
        if let Some(path) = whole.strip_prefix(base).filter(|path| path.starts_with('/')) {
            return Ok(TokenPlace { origin: None, path: path.to_owned() });
        }
        Ok(TokenPlace { origin: Some(url.origin().ascii_serialization()), path: url.path().to_owned() })
    }

    fn checked_url(&self, field: &'static str, text: &str) -> Result<Url, ConfigError> {
        let url = Url::parse(text).map_err(|_| self.wrong(field, "a URL such as https://api.example.com"))?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(self.wrong(field, "without user, password, query and fragment"));
        }
        match url.scheme() {
            "https" if url.host().is_some() => Ok(url),
            "http" if is_loopback(&url) => Ok(url),
            _ => Err(self.wrong(field, "an https:// URL; http:// is for this machine alone")),
        }
    }
}

/// Whether a URL leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// `.` and `..` are steps in a path, not names, however they are escaped.
pub fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

/// Whether a setting says something, in one line.
pub fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::access;

    fn field_of(change: impl FnOnce(&mut Access)) -> &'static str {
        let mut access = access("https://api.example.com");
        change(&mut access);
        match access.validate() {
            Ok(()) => "",
            Err(ConfigError::Setting { field, .. }) => field,
            Err(ConfigError::Client { .. }) => "client",
        }
    }

    #[test]
    fn names_the_setting_that_is_wrong() {
        assert_eq!(field_of(|_| ()), "");
        assert_eq!(field_of(|a| a.account.clear()), "account");
        assert_eq!(field_of(|a| a.token.client_id = "a:b".into()), "client_id");
        assert_eq!(field_of(|a| a.token.client_secret = Secret::new("")), "client_secret");
        assert_eq!(field_of(|a| a.timeout = Duration::ZERO), "timeout_ms");
        assert_eq!(field_of(|a| a.timeout = Duration::from_secs(121)), "timeout_ms");
        assert_eq!(field_of(|a| a.max_requests_per_second = 0), "max_requests_per_second");
        let in_the_form = |a: &mut Access| {
            a.token.credentials = TokenCredentials::Body;
            a.token.client_id = "a:b".into();
        };
        assert_eq!(field_of(in_the_form), "");
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for good in
            ["http://127.0.0.1:8080", "http://localhost:1/x", "http://[::1]:9", "https://api.example.com"]
        {
            assert_eq!(field_of(|a| a.base_url = good.into()), "", "{good}");
            assert_eq!(field_of(|a| a.token.url = good.into()), "", "{good}");
        }
        for bad in [
            "http://api.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "ftp://localhost",
            "x",
            "https://user:pw@api.example.com",
            "https://api.example.com?x=1",
            "https://api.example.com#x",
            "",
        ] {
            assert_eq!(field_of(|a| a.base_url = bad.into()), "base_url", "{bad}");
            assert_eq!(field_of(|a| a.token.url = bad.into()), "token_url", "{bad}");
        }
    }

    #[test]
    fn tokens_from_the_same_place_or_another() {
        let place = |base: &str, token: &str| {
            let mut access = access(base);
            access.token.url = token.to_owned();
            let TokenPlace { origin, path } = access.token_place().unwrap();
            (origin, path)
        };
        let here = |path: &str| (None, path.to_owned());
        assert_eq!(place("https://a.example", "/x/token"), here("/x/token"));
        assert_eq!(place("https://a.example/v5/", "https://a.example/v5/oauth/token"), here("/oauth/token"));
        let there = |origin: &str, path: &str| (Some(origin.to_owned()), path.to_owned());
        assert_eq!(place("https://a.example/v5", "https://a.example/t"), there("https://a.example", "/t"));
        assert_eq!(place("https://a.example/v5", "https://a.example/v55/t").0.unwrap(), "https://a.example");
        assert_eq!(
            place("https://a.example", "https://a.example.org:8443/t"),
            there("https://a.example.org:8443", "/t")
        );
    }

    #[test]
    fn the_secret_is_not_printed() {
        let mut access = access("https://api.example.com");
        access.token.client_secret = Secret::new("SESAME");
        assert!(!format!("{access:?}").contains("SESAME"));
    }
}
