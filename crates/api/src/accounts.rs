//! From configured carrier accounts to adapters at work.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::ExposeSecret;
use simdepot_application::{Account, Accounts, AppError, Depot, pools};
use simdepot_carrier_http::ConfigError;
use simdepot_carrier_sps::{Sps, SpsAccount};
use simdepot_carrier_transatel::{Transatel, TransatelAccount};
use simdepot_domain::carrier::{Carrier, Turns};
use simdepot_domain::channel::AccountName;
use simdepot_domain::clock::Clock;
use simdepot_domain::secret::Secret;

use crate::config::{CarrierConfig, SpsConfig, TransatelConfig};

/// How orders name their caller in a carrier's records.
const SOURCE: &str = "simdepot";

/// Makes an adapter per account; `turns` keeps the rate of each. Nothing is sent yet.
///
/// # Errors
/// Names the account and the setting that cannot work.
pub fn connect(
    carriers: &[CarrierConfig],
    clock: &Arc<dyn Clock>,
    turns: &Arc<dyn Turns>,
) -> Result<Accounts, ConfigError> {
    carriers
        .iter()
        .map(|carrier| {
            let (clock, turns) = (Arc::clone(clock), Arc::clone(turns));
            let (adapter, timeout): (Arc<dyn Carrier>, _) = match carrier {
                CarrierConfig::Transatel(config) => {
                    (Arc::new(Transatel::new(transatel(config), clock, turns)?), config.timeout)
                }
                CarrierConfig::Sps(config) => {
                    (Arc::new(Sps::new(sps(config), clock, turns)?), config.timeout)
                }
            };
            Ok((carrier.account().clone(), Account { carrier: adapter, timeout }))
        })
        .collect()
}

/// The accounts that pools are made in and that are not configured: their stock cannot be sold here.
///
/// # Errors
/// When the pools cannot be read.
pub async fn missing(depot: &Depot) -> Result<BTreeSet<AccountName>, AppError> {
    let pools = pools::list(depot).await?;
    let accounts = pools.into_iter().map(|pool| pool.settings.carrier_account);
    Ok(accounts.filter(|account| !depot.accounts.contains_key(account)).collect())
}

fn transatel(config: &TransatelConfig) -> TransatelAccount {
    TransatelAccount {
        account: config.account.to_string(),
        base_url: config.base_url.clone(),
        client_id: config.client_id.clone(),
        client_secret: Secret::new(config.client_secret.expose_secret()),
        mvno_ref: config.mvno_ref.clone(),
        cos: config.cos.clone(),
        rate_plan: config.rate_plan.clone(),
        lines: config.lines.clone(),
        timeout: config.timeout,
        max_requests_per_second: config.max_requests_per_second,
        webhook_secret: config.webhook_secret.as_ref().map(|secret| Secret::new(secret.expose_secret())),
        source: SOURCE.to_owned(),
    }
}

fn sps(config: &SpsConfig) -> SpsAccount {
    SpsAccount {
        account: config.account.to_string(),
        base_url: config.base_url.clone(),
        token_url: config.token_url.clone(),
        client_id: config.client_id.clone(),
        client_secret: Secret::new(config.client_secret.expose_secret()),
        token_credentials: config.token_credentials,
        scope: config.scope.clone(),
        wholesale_customer_id: config.wholesale_customer_id.clone(),
        webhook_secret: config.webhook_secret.as_ref().map(|secret| Secret::new(secret.expose_secret())),
        timeout: config.timeout,
        max_requests_per_second: config.max_requests_per_second,
        settings: config.settings.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use simdepot_carrier_http::{LocalTurns, TokenCredentials};
    use simdepot_carrier_sps::SpsSettings;
    use simdepot_carrier_transatel::LineSettings;
    use simdepot_domain::carrier::Capability;
    use simdepot_domain::channel::AccountName;
    use simdepot_domain::clock::SystemClock;

    use super::*;

    fn transatel_config(base_url: &str) -> TransatelConfig {
        TransatelConfig {
            account: AccountName::parse("spc").unwrap(),
            base_url: base_url.to_owned(),
            client_id: "acme".to_owned(),
            client_secret: "SESAME".into(),
            mvno_ref: "M2MA_WW_TSL_ACME".to_owned(),
            cos: "WW_M2MA_COS_SPC".to_owned(),
            rate_plan: None,
            lines: LineSettings::default(),
            webhook_secret: None,
            timeout: Duration::from_secs(3),
            max_requests_per_second: 10,
        }
    }

    fn sps_config(base_url: &str) -> SpsConfig {
        SpsConfig {
            account: AccountName::parse("wholesale").unwrap(),
            base_url: base_url.to_owned(),
            token_url: None,
            client_id: "acme".to_owned(),
            client_secret: "SESAME".into(),
            token_credentials: TokenCredentials::Basic,
            scope: None,
            wholesale_customer_id: None,
            webhook_secret: Some("SESAME".into()),
            timeout: Duration::from_secs(3),
            max_requests_per_second: 10,
            settings: SpsSettings::default(),
        }
    }

    fn connected(carriers: &[CarrierConfig]) -> Result<Accounts, ConfigError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let turns: Arc<dyn Turns> = Arc::new(LocalTurns::default());
        connect(carriers, &clock, &turns)
    }

    #[test]
    fn connects_every_account() {
        let carriers = [
            CarrierConfig::Transatel(Box::new(transatel_config("https://api.transatel.com"))),
            CarrierConfig::Sps(Box::new(sps_config("https://api.example.com"))),
        ];
        let accounts = connected(&carriers).unwrap();
        assert_eq!(accounts.keys().map(AccountName::as_str).collect::<Vec<_>>(), ["spc", "wholesale"]);
        assert!(accounts.values().all(|account| account.timeout == Duration::from_secs(3)));
        let activates = |account: &Account| account.carrier.capabilities().contains(&Capability::Activation);
        assert_eq!(accounts.values().map(activates).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let wrong = |carrier| connected(&[carrier]).unwrap_err().to_string();
        let error = wrong(CarrierConfig::Transatel(Box::new(transatel_config("http://api.transatel.com"))));
        assert!(error.contains("spc") && error.contains("base_url"), "{error}");
        assert!(!error.contains("SESAME"));
        let mut broken = transatel_config("https://api.transatel.com");
        broken.lines.subscription_field = "bind".to_owned();
        let error = wrong(CarrierConfig::Transatel(Box::new(broken)));
        assert!(error.contains("spc: subscription_field must be the name of a field"), "{error}");
        let mut broken = sps_config("https://api.example.com");
        broken.wholesale_customer_id = Some("4711".to_owned());
        let error = wrong(CarrierConfig::Sps(Box::new(broken)));
        assert!(error.contains("wholesale: wholesale_customer_id must be 12 digits"), "{error}");
        assert!(!error.contains("4711"));
    }
}
