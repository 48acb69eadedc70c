//! What several commands begin with.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use simdepot_api::config::Config;
use simdepot_api::telemetry;
use simdepot_api::{accounts, config};
use simdepot_application::turns::SharedTurns;
use simdepot_application::{Accounts, Depot};
use simdepot_domain::carrier::Turns;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::id::RandomIds;
use simdepot_persistence::vault::VaultError;
use simdepot_persistence::{Store, StoreError};

/// Sets up logging, then reads the configuration.
pub(crate) fn config() -> anyhow::Result<Config> {
    logs()?;
    let config = Config::from_env()?;
    for variable in &config.unknown_variables {
        tracing::warn!(variable, "this variable is not known: is it misspelt?");
    }
    Ok(config)
}

/// Sets up logging.
pub(crate) fn logs() -> anyhow::Result<()> {
    Ok(telemetry::init(&config::log_from_env()?)?)
}

/// Who sets an encryption key keeps real codes: then a configuration that is missing was not left out on purpose.
/// Asked by whatever would take a sandbox for what is meant, before it makes or changes anything.
pub(crate) fn require_no_key_of_worth(config: &Config) -> anyhow::Result<()> {
    if config.is_sandbox() && !config.uses_sandbox_encryption() {
        bail!(
            "SIMDEPOT_ENCRYPTION_KEY is set, and no carrier account is configured: is simdepot.toml missing here? \
             SIMDEPOT_CONFIG names it. To run a sandbox unset SIMDEPOT_ENCRYPTION_KEY and give it a database of its own"
        );
    }
    Ok(())
}

/// The machine's clock.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The carriers' turns, shared with every process on the same database.
pub(crate) fn turns(store: &Store) -> Arc<dyn Turns> {
    Arc::new(SharedTurns::new(store.clone()))
}

/// Opens the store on a thread that may block. `migrate` applies pending migrations.
pub(crate) async fn store(config: &Config, migrate: bool) -> anyhow::Result<Store> {
    let options = config.store_options(migrate)?;
    let place = format!("{:?}", options.url);
    let opened = tokio::task::spawn_blocking(move || Store::open(options, clock())).await?;
    let opened = opened.map_err(|error| explained(error, config.uses_sandbox_encryption()));
    opened.with_context(|| format!("the database {place} cannot be used"))
}

/// The store speaks of SIMDEPOT_ENCRYPTION_KEY, which is not set where the sandbox's key is tried in its place.
fn explained(error: StoreError, sandbox_key: bool) -> anyhow::Error {
    match error {
        StoreError::Vault(VaultError::WrongKey { needed, .. } | VaultError::KeyMissing { needed, .. })
            if sandbox_key =>
        {
            anyhow!(
                "SIMDEPOT_ENCRYPTION_KEY is not set, so the sandbox's own key was tried, and this database was made with \
             encryption key {needed}. Are simdepot.toml and SIMDEPOT_ENCRYPTION_KEY missing here? SIMDEPOT_CONFIG names \
             the file. A sandbox needs a database of its own"
            )
        }
        error => error.into(),
    }
}

/// A depot for commands that work on the store: with the configured accounts, without a sandbox's twin.
pub(crate) async fn depot(config: &Config) -> anyhow::Result<Depot> {
    let store = store(config, config.migrate).await?;
    let accounts = accounts::connect(&config.carriers, &clock(), &turns(&store))?;
    Ok(assemble(store, accounts))
}

/// A depot on the machine's clock and randomness.
pub(crate) fn assemble(store: Store, accounts: Accounts) -> Depot {
    Depot::new(store, clock(), Arc::new(RandomIds), accounts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_variables(pairs.collect::<BTreeMap<_, _>>()).unwrap()
    }

    #[test]
    fn a_depot_with_a_key_is_no_sandbox() {
        require_no_key_of_worth(&config(&[])).unwrap();
        let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let refused = require_no_key_of_worth(&config(&[("SIMDEPOT_ENCRYPTION_KEY", key)])).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("SIMDEPOT_CONFIG") && text.contains("unset") && !text.contains(key), "{text}");
    }

    #[test]
    fn a_key_that_is_not_set_is_not_blamed() {
        let wrong = || StoreError::from(VaultError::WrongKey { needed: "4704".into(), given: "e1e2".into() });
        let own = explained(wrong(), false).to_string();
        assert!(own.contains("but SIMDEPOT_ENCRYPTION_KEY is e1e2"), "{own}");
        let sandbox = explained(wrong(), true).to_string();
        assert!(sandbox.starts_with("SIMDEPOT_ENCRYPTION_KEY is not set"), "{sandbox}");
        assert!(sandbox.contains("4704") && sandbox.contains("simdepot.toml"), "{sandbox}");
        assert_eq!(explained(StoreError::Busy, true).to_string(), StoreError::Busy.to_string());
    }
}
