//! `simdepot serve`.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use simdepot_api::accounts;
use simdepot_api::config::Config;
use simdepot_api::courier::HttpCourier;
use simdepot_api::sandbox::{SANDBOX_KEY, Sandbox};
use simdepot_api::startup::{Application, ApplicationOptions};
use simdepot_api::state::ApiSettings;
use simdepot_application::depot::WorkSettings;
use simdepot_application::{Depot, api_keys};
use simdepot_domain::channel::AccountName;

use super::signals;
use crate::output::{self, Outcome};
use crate::setup;

pub(super) async fn run() -> anyhow::Result<Outcome> {
    let config = setup::config()?;
    let told_to_stop = signals::stop()?;
    setup::require_no_key_of_worth(&config)?;
    let key = key_to_make(&config)?;
    let listen = config.listen;
    let listener =
        TcpListener::bind(listen).with_context(|| format!("SIMDEPOT_LISTEN: cannot listen on {listen}"))?;
    if config.uses_sandbox_encryption() {
        tracing::warn!(
            "the stock is sealed with the sandbox's key, which everybody knows: keep no real codes in it"
        );
    }
    let sandbox = config.is_sandbox().then(Sandbox::start).transpose()?;
    let store = setup::store(&config, config.migrate).await?;
    let turns = setup::turns(&store);
    let accounts = match &sandbox {
        Some(sandbox) => sandbox.accounts(&setup::clock(), &turns)?,
        None => accounts::connect(&config.carriers, &setup::clock(), &turns)?,
    };
    let mut depot = setup::assemble(store, accounts);
    let (checkpoint_file, webhook_endpoints) = (config.checkpoint_file.clone(), config.webhook_endpoints);
    depot.work = Arc::new(WorkSettings { checkpoint_file, webhook_endpoints, ..WorkSettings::default() });
    let targets = config.webhook_targets;
    let courier = HttpCourier::new(targets).context("webhooks cannot be sent")?;
    let depot = depot.with_courier(Arc::new(courier), targets);
    require_accounts(&depot, config.is_sandbox()).await?;
    if let Some(key) = &key {
        api_keys::ensure_bootstrap(&depot, key).await.map_err(output::explained)?;
    }
    if let Some(sandbox) = &sandbox {
        Box::pin(sandbox.stock(&depot)).await?;
    }
    let application = start(&config, depot, listener)?;
    tracing::info!(url = application.base_url, sandbox = sandbox.is_some(), "listening");
    if let Some(sandbox) = &sandbox {
        sandbox.deliver_events_to(&application.base_url)?;
        output::line(&sandbox.welcome(&application.base_url, shown(&config)))?;
    }
    application.run_until(told_to_stop).await.context("the HTTP server failed")?;
    if let Some(sandbox) = sandbox {
        tokio::task::spawn_blocking(move || sandbox.stop()).await??;
    }
    Ok(Outcome::Good)
}

/// A process that does not find its configuration must not bring its own carrier to the stock of a real one.
async fn require_accounts(depot: &Depot, sandbox: bool) -> anyhow::Result<()> {
    let missing = accounts::missing(depot).await.map_err(output::explained)?;
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(AccountName::as_str).collect::<Vec<_>>().join(", ");
    if sandbox {
        bail!(
            "the database has pools of {names}, and no carrier account is configured: is simdepot.toml missing here? \
             SIMDEPOT_CONFIG names it. A sandbox needs a database of its own"
        );
    }
    tracing::warn!(accounts = names, "there are pools of carrier accounts that are not configured");
    Ok(())
}

fn start(config: &Config, depot: Depot, listener: TcpListener) -> anyhow::Result<Application> {
    let settings = ApiSettings {
        public_url: config.public_url.clone().unwrap_or_default(),
        sandbox: config.is_sandbox(),
        spool_dir: config.spool_dir.clone(),
        rate_limit: config.rate_limit,
        ..ApiSettings::default()
    };
    Ok(Application::start(ApplicationOptions { depot, settings, listener, workers: config.workers })?)
}

/// The key that is made to exist: the operator's, else in a sandbox the one that everybody knows.
fn key_to_make(config: &Config) -> anyhow::Result<Option<SecretString>> {
    match &config.bootstrap_key {
        Some(key) => Ok(Some(key.clone())),
        None if !config.is_sandbox() => Ok(None),
        None if config.listen.ip().is_loopback() => Ok(Some(SANDBOX_KEY.into())),
        None => bail!(
            "SIMDEPOT_LISTEN is {}, and a sandbox that others can reach needs a key of its own: set \
             SIMDEPOT_BOOTSTRAP_KEY to 32 or more visible characters, or configure carrier accounts",
            config.listen
        ),
    }
}

/// How the key is written in a shell; the operator's own is not repeated.
fn shown(config: &Config) -> &'static str {
    if config.bootstrap_key.is_some() { "$SIMDEPOT_BOOTSTRAP_KEY" } else { SANDBOX_KEY }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::ExposeSecret;

    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_variables(pairs.collect::<BTreeMap<_, _>>()).unwrap()
    }

    #[test]
    fn the_known_key_stays_on_this_machine() {
        let local = config(&[]);
        assert_eq!(key_to_make(&local).unwrap().unwrap().expose_secret(), SANDBOX_KEY);
        assert_eq!(shown(&local), SANDBOX_KEY);
        let refused = key_to_make(&config(&[("SIMDEPOT_LISTEN", "0.0.0.0:8080")])).unwrap_err();
        assert!(refused.to_string().contains("SIMDEPOT_BOOTSTRAP_KEY"));
        let own = "x".repeat(32);
        let open = config(&[("SIMDEPOT_LISTEN", "0.0.0.0:8080"), ("SIMDEPOT_BOOTSTRAP_KEY", &own)]);
        assert_eq!(key_to_make(&open).unwrap().unwrap().expose_secret(), own);
        assert_eq!(shown(&open), "$SIMDEPOT_BOOTSTRAP_KEY");
    }
}
