//! What several commands begin with.

use std::sync::Arc;

use anyhow::Context as _;
use simdepot_api::config::Config;
use simdepot_api::telemetry;
use simdepot_api::{accounts, config};
use simdepot_application::turns::SharedTurns;
use simdepot_application::{Accounts, Depot};
use simdepot_domain::carrier::Turns;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::id::RandomIds;
use simdepot_persistence::Store;

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
    opened.with_context(|| format!("the database {place} cannot be used"))
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
