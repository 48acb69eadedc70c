//! From configured carrier accounts to adapters at work.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::ExposeSecret;
use simdepot_application::{Account, Accounts, AppError, Depot, pools};
use simdepot_carrier_transatel::{ConfigError, Transatel, TransatelAccount};
use simdepot_domain::carrier::Turns;
use simdepot_domain::channel::AccountName;
use simdepot_domain::clock::Clock;
use simdepot_domain::secret::Secret;

use crate::config::{CarrierConfig, TransatelConfig};

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
        .map(|carrier| match carrier {
            CarrierConfig::Transatel(config) => {
                let adapter = Transatel::new(transatel(config), Arc::clone(clock), Arc::clone(turns))?;
                let account = Account { carrier: Arc::new(adapter), timeout: config.timeout };
                Ok((config.account.clone(), account))
            }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use simdepot_carrier_transatel::{LineSettings, LocalTurns};
    use simdepot_domain::channel::AccountName;
    use simdepot_domain::clock::SystemClock;

    use super::*;

    fn config(base_url: &str) -> CarrierConfig {
        CarrierConfig::Transatel(TransatelConfig {
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
        })
    }

    fn connected(base_url: &str) -> Result<Accounts, ConfigError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let turns: Arc<dyn Turns> = Arc::new(LocalTurns::default());
        connect(&[config(base_url)], &clock, &turns)
    }

    #[test]
    fn connects_every_account() {
        let accounts = connected("https://api.transatel.com").unwrap();
        assert_eq!(accounts.keys().map(AccountName::as_str).collect::<Vec<_>>(), ["spc"]);
        assert!(accounts.values().all(|account| account.timeout == Duration::from_secs(3)));
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let error = connected("http://api.transatel.com").unwrap_err().to_string();
        assert!(error.contains("spc") && error.contains("base_url"), "{error}");
        assert!(!error.contains("SESAME"));
        let CarrierConfig::Transatel(mut broken) = config("https://api.transatel.com");
        broken.lines.subscription_field = "bind".to_owned();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let turns: Arc<dyn Turns> = Arc::new(LocalTurns::default());
        let error = connect(&[CarrierConfig::Transatel(broken)], &clock, &turns).unwrap_err().to_string();
        assert!(error.contains("spc: subscription_field must be the name of a field"), "{error}");
    }
}
