//! The account: where the API is, who we are there, and how fast we may ask.

use std::time::Duration;

use simdepot_carrier_http::{Access, ConfigError, TokenAccess, TokenCredentials, is_name};
use simdepot_domain::secret::Secret;

use crate::settings::SpsSettings;

/// Where tokens are had unless the account says otherwise, below the base URL. No page prints it.
pub(crate) const TOKEN_PATH: &str = "/oauth/token";
/// The operator's id of a process flow, which comes back where the operator returns it.
const REQUEST_ID: &str = "x-correlation-id";
/// Length of a customer's number that every page of the operator's accepts.
const CUSTOMER_DIGITS: usize = 12;

/// One contract with the operator.
#[derive(Debug, Clone)]
pub struct SpsAccount {
    /// Our name of the account; labels metrics and errors.
    pub account: String,
    /// `https://`; `http://` only on this machine.
    pub base_url: String,
    /// Where tokens are had; `{base_url}/oauth/token` when absent.
    pub token_url: Option<String>,
    /// From the operator.
    pub client_id: String,
    /// From the operator.
    pub client_secret: Secret,
    /// Where client id and secret go in a request for a token.
    pub token_credentials: TokenCredentials,
    /// What tokens are for, where the operator wants it named.
    pub scope: Option<String>,
    /// The node of the customer hierarchy that is acted upon, such as a brand: 12 digits.
    pub wholesale_customer_id: Option<String>,
    /// What proves notifications; without it, none is accepted.
    pub webhook_secret: Option<Secret>,
    /// How long one call of the port may take, waiting for a turn and for a token included.
    pub timeout: Duration,
    /// Requests per second over all calls and all processes.
    pub max_requests_per_second: u32,
    /// What the published pages leave open.
    pub settings: SpsSettings,
}

impl SpsAccount {
    /// Checks every setting that can be checked without asking the operator.
    ///
    /// # Errors
    /// Names the first setting that is wrong and what it should be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let access = self.access();
        let customer = self.wholesale_customer_id.as_deref();
        let is_customer =
            |text: &str| text.len() == CUSTOMER_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        if !customer.is_none_or(is_customer) {
            return Err(access.wrong(
                "wholesale_customer_id",
                "12 digits, or absent: the operator's pages take 1 to 12 characters, any, or exactly 12, and 12 digits \
                 satisfy them all",
            ));
        }
        if !self.scope.as_deref().is_none_or(is_name) {
            return Err(access.wrong("scope", "a text, or absent"));
        }
        self.settings.check().map_err(|(field, expected)| access.wrong(field, expected))?;
        access.validate()
    }

    /// The way there.
    pub(crate) fn access(&self) -> Access {
        Access {
            account: self.account.clone(),
            base_url: self.base_url.clone(),
            token: TokenAccess {
                url: self.token_url.clone().unwrap_or_else(|| TOKEN_PATH.to_owned()),
                client_id: self.client_id.clone(),
                client_secret: self.client_secret.clone(),
                credentials: self.token_credentials,
                scope: self.scope.clone(),
            },
            timeout: self.timeout,
            max_requests_per_second: self.max_requests_per_second,
            request_id_header: REQUEST_ID,
            // The body of a 401 is not published: each is taken for an expired token once.
            denies_for_good: |_| false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::account;

    fn wrong(change: impl FnOnce(&mut SpsAccount)) -> String {
        let mut account = account("https://api.example.com");
        change(&mut account);
        account.validate().err().map_or_else(String::new, |error| error.to_string())
    }

    fn field_of(change: impl FnOnce(&mut SpsAccount)) -> &'static str {
        let mut account = account("https://api.example.com");
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
        assert_eq!(field_of(|a| a.base_url = "http://api.example.com".into()), "base_url");
        assert_eq!(field_of(|a| a.token_url = Some("http://id.example.com/token".into())), "token_url");
        assert_eq!(field_of(|a| a.token_url = Some("https://id.example.com/token".into())), "");
        assert_eq!(field_of(|a| a.client_secret = Secret::new("")), "client_secret");
        assert_eq!(field_of(|a| a.scope = Some(" ".into())), "scope");
        assert_eq!(field_of(|a| a.timeout = Duration::ZERO), "timeout_ms");
        assert_eq!(field_of(|a| a.settings.words.terminal.clear()), "terminal_statuses");
        assert_eq!(field_of(|a| a.max_requests_per_second = 0), "max_requests_per_second");
    }

    #[test]
    fn a_customer_has_twelve_digits() {
        assert_eq!(wrong(|a| a.wholesale_customer_id = None), "");
        for bad in ["", "92000010846", "9200001084644", "92000010846x", "９20000108464"] {
            let problem = wrong(|a| a.wholesale_customer_id = Some(bad.into()));
            assert!(problem.contains("wholesale_customer_id must be 12 digits"), "{problem}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut account = account("https://api.example.com");
        account.client_secret = Secret::new("SESAME");
        account.webhook_secret = Some(Secret::new("SESAME"));
        assert!(!format!("{account:?}").contains("SESAME"));
    }
}
