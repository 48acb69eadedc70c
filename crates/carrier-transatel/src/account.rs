//! The account: where the API is, who we are there, and how fast we may ask.

use std::time::Duration;

use simdepot_carrier_http::{Access, ConfigError, TokenAccess, TokenCredentials, is_dots, is_name};
use simdepot_domain::secret::Secret;

use crate::settings::LineSettings;
use crate::wire::problem::Problem;

const TOKEN_PATH: &str = "/authentication/api/token";
/// Transatel's id of a request, which its support asks for.
const REQUEST_ID: &str = "x-tsl-request-id";

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

impl TransatelAccount {
    /// Checks every setting that can be checked without asking Transatel.
    ///
    /// # Errors
    /// Names the first setting that is wrong and what it should be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let access = self.access();
        let checks: [(bool, &'static str, &'static str); 3] = [
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
        ];
        for (good, field, expected) in checks {
            if !good {
                return Err(access.wrong(field, expected));
            }
        }
        self.lines.check().map_err(|(field, expected)| access.wrong(field, expected))?;
        access.validate()
    }

    /// The way there.
    pub(crate) fn access(&self) -> Access {
        Access {
            account: self.account.clone(),
            base_url: self.base_url.clone(),
            token: TokenAccess {
                url: TOKEN_PATH.to_owned(),
                client_id: self.client_id.clone(),
                client_secret: self.client_secret.clone(),
                credentials: TokenCredentials::Basic,
                scope: None,
            },
            timeout: self.timeout,
            max_requests_per_second: self.max_requests_per_second,
            request_id_header: REQUEST_ID,
            denies_for_good: |answer| Problem::of(answer).is("INSUFFICIENT_PERMISSION"),
        }
    }
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
        assert_eq!(field_of(|a| a.base_url = "http://api.transatel.com".into()), "base_url");
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
    fn the_secret_is_not_printed() {
        let mut account = account("https://api.transatel.com");
        account.client_secret = Secret::new("SESAME");
        account.webhook_secret = Some(Secret::new("SESAME"));
        assert!(!format!("{account:?}").contains("SESAME"));
    }
}
