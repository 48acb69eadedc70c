//! The sandbox: simdepot without a contract. A carrier twin on loopback stands in for the carrier, and everything
//! between the two is what production does: real HTTP, a real delivery file through a real import.
//!
//! The twin makes the same lines at every start, so that a database that was a sandbox before still fits them. What was
//! sold to them at the twin is forgotten by a restart.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use simdepot_application::imports::{self, StartImport, StartedAs};
use simdepot_application::{Account, Accounts, AppError, Depot, api_keys, pools};
use simdepot_carrier_transatel::{ConfigError, LineSettings, Transatel, TransatelAccount};
use simdepot_carrier_twin::{Twin, TwinConfig, TwinServer, Webhook};
use simdepot_domain::carrier::Turns;
use simdepot_domain::channel::{AccountName, NameError, PoolName};
use simdepot_domain::clock::Clock;
use simdepot_domain::delivery::Format;
use simdepot_domain::import::{ImportStatus, OnError};
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;
use thiserror::Error;

/// An API key that everybody may know. It opens a sandbox, from the same machine, and nothing else.
pub const SANDBOX_KEY: &str = "sd_test_sandbox_0000000000000000000000000000000000000000";
/// The carrier account of travel eSIMs.
pub const ACCOUNT: &str = "sandbox";
/// The pool with the demonstration stock.
pub const POOL: &str = "travel-world";
/// Profiles of the demonstration stock.
pub const LINES: u32 = 200;
/// The carrier account of IoT lines.
pub const IOT_ACCOUNT: &str = "sandbox-iot";
/// The pool with its stock.
pub const IOT_POOL: &str = "iot-fleet";
/// Lines of its stock.
pub const IOT_LINES: u32 = 50;
/// Twins with different seeds have different SIMs.
const IOT_SEED: u64 = 2;
/// A product that every line can take.
const PRODUCT: &str = "WW_901O_STACK_ONEOFF_EUROPE_3GB_15D";
const TIMEOUT: Duration = Duration::from_secs(5);
/// The twin does not mind.
const CALLS_PER_SECOND: u32 = 1000;

/// Why a sandbox cannot start.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The twin or the demonstration file.
    #[error("the carrier twin cannot start: {0}")]
    Io(#[from] io::Error),
    /// The account of the twin.
    #[error(transparent)]
    Account(#[from] ConfigError),
    /// A name of the demonstration stock.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The way from the twin to the API.
    #[error("the carrier twin cannot deliver its events: {0}")]
    Webhook(String),
    /// Making the pool or importing the stock.
    #[error("the demonstration stock cannot be made: {0}")]
    Stock(#[from] AppError),
    /// The import of the demonstration stock was refused.
    #[error("the demonstration stock was not imported: {0}")]
    Refused(String),
}

/// Carrier twins at work, and what connects to them.
#[derive(Debug)]
pub struct Sandbox {
    /// Travel eSIMs: Service Provider Connect.
    travel: Demo,
    /// IoT lines: IoT Connect with capped plans.
    iot: Demo,
    /// What the twins sign their events with, another one at every start: a sandbox may be open to others, who must not
    /// be able to play its carrier.
    webhook_secret: Secret,
}

/// One account of the sandbox, with its twin and its pool.
#[derive(Debug)]
struct Demo {
    account: &'static str,
    pool: &'static str,
    title: &'static str,
    sells: SimStatus,
    /// With so many left the stock is low; with a fifth of that, critical.
    low: u32,
    twin: TwinServer,
}

impl Sandbox {
    /// Starts the twins on free ports of loopback.
    ///
    /// # Errors
    /// When they cannot listen, or the machine has no randomness.
    pub fn start() -> Result<Self, SandboxError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let twin = |config, lines| {
            let mut twin = Twin::new(config);
            twin.add_lines(lines);
            TwinServer::start_with(twin, "127.0.0.1:0")
        };
        let travel = Demo {
            account: ACCOUNT,
            pool: POOL,
            title: "Travel eSIM, world",
            sells: SimStatus::Preactivated,
            low: LINES / 4,
            twin: twin(TwinConfig::sandbox(), LINES)?,
        };
        let iot = Demo {
            account: IOT_ACCOUNT,
            pool: IOT_POOL,
            title: "IoT lines with capped plans",
            sells: SimStatus::Available,
            low: IOT_LINES / 4,
            twin: twin(TwinConfig { seed: IOT_SEED, ..TwinConfig::iot() }, IOT_LINES)?,
        };
        Ok(Self { travel, iot, webhook_secret: Secret::new(hex::encode(random)) })
    }

    fn demos(&self) -> [&Demo; 2] {
        [&self.travel, &self.iot]
    }

    /// Lets the twins deliver their events to the API at `api`.
    ///
    /// # Errors
    /// When `api` is no URL.
    pub fn deliver_events_to(&self, api: &str) -> Result<(), SandboxError> {
        for demo in self.demos() {
            let url = format!("{api}/carrier-events/{}", demo.account);
            let webhook = Webhook::new(&url, self.webhook_secret.clone()).map_err(SandboxError::Webhook)?;
            demo.twin.twin().set_webhook(Some(webhook));
        }
        Ok(())
    }

    /// Where the twin of travel eSIMs is reached.
    pub fn twin_url(&self) -> &str {
        &self.travel.twin.base_url
    }

    /// The carrier accounts, connected to the twins.
    ///
    /// # Errors
    /// Never in practice: the settings are the twins' own.
    pub fn accounts(&self, clock: &Arc<dyn Clock>, turns: &Arc<dyn Turns>) -> Result<Accounts, SandboxError> {
        let mut accounts = Accounts::new();
        for demo in self.demos() {
            let account = demo.settings(self.webhook_secret.clone());
            let carrier = Arc::new(Transatel::new(account, Arc::clone(clock), Arc::clone(turns))?);
            accounts.insert(AccountName::parse(demo.account)?, Account { carrier, timeout: TIMEOUT });
        }
        Ok(accounts)
    }

    /// Makes the pools and their stock exist. On a database that has them nothing changes.
    ///
    /// # Errors
    /// [`SandboxError`].
    pub async fn stock(&self, depot: &Depot) -> Result<(), SandboxError> {
        for demo in self.demos() {
            demo.stock(depot).await?;
        }
        Ok(())
    }

    /// What a person needs to begin. `key` is how the key is written in a shell.
    pub fn welcome(&self, api: &str, key: &str) -> String {
        format!(
            "\
simdepot sandbox: no carrier is configured, twins of one stand in for it.

  API      {api}/v1
  browse   {api}/docs
  twins    {twin}/_twin/state (travel eSIMs, pool {POOL})
           {iot}/_twin/state (IoT lines, pool {IOT_POOL})
  API key  {key}

Order an eSIM with 3 GB in Europe; the answer has its activation code and the address of its QR code:

  curl -sS {api}/v1/orders -H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json' -d '{body}'
",
            twin = self.travel.twin.base_url,
            iot = self.iot.twin.base_url,
            // A fresh reference each time it is pasted: the same one again would answer the same order.
            body = format_args!(
                "{{\"reference\":\"demo-'$(date +%s)'\",\"lines\":[{{\"pool\":\"{POOL}\",\"product\":\"{PRODUCT}\",\"quantity\":1}}]}}"
            ),
        )
    }

    /// Stops the twins; blocks for a moment.
    ///
    /// # Errors
    /// One had failed.
    pub fn stop(self) -> io::Result<()> {
        self.travel.twin.stop().and(self.iot.twin.stop())
    }
}

impl Demo {
    fn settings(&self, webhook_secret: Secret) -> TransatelAccount {
        let config = self.twin.twin().config().clone();
        TransatelAccount {
            account: self.account.to_owned(),
            base_url: self.twin.base_url.clone(),
            client_id: config.client_id,
            client_secret: config.client_secret,
            mvno_ref: config.mvno_ref,
            cos: config.cos,
            rate_plan: Some(config.rate_plan),
            lines: LineSettings::default(),
            timeout: TIMEOUT,
            max_requests_per_second: CALLS_PER_SECOND,
            webhook_secret: Some(webhook_secret),
            source: "simdepot".to_owned(),
        }
    }

    async fn stock(&self, depot: &Depot) -> Result<(), SandboxError> {
        let pool = PoolName::parse(self.pool)?;
        let caller = api_keys::command_line()?;
        match pools::create(depot, &caller, self.pool_settings(pool.clone())?, None).await {
            Ok(_) | Err(AppError::PoolExists) => {}
            Err(error) => return Err(error.into()),
        }
        let delivery = self.twin.twin().delivery_file(None);
        let start = StartImport {
            pool,
            format: Format::Delivery,
            dry_run: false,
            on_error: OnError::All,
            sell_by: None,
            file_name: Some("sandbox.csv".to_owned()),
        };
        let sha256 = hex::encode(Sha256::digest(delivery.as_bytes()));
        let (import, started_as) = imports::start(depot, &caller, start, &sha256, None).await?;
        if started_as != StartedAs::Created {
            return Ok(());
        }
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(delivery.as_bytes())?;
        file.flush()?;
        let id = import.import.id;
        imports::run(depot, id, file.path(), &|_| {}).await?;
        let import = imports::get(depot, id).await?.import;
        match import.status {
            ImportStatus::Completed => Ok(()),
            status => Err(SandboxError::Refused(import.problem.unwrap_or_else(|| status.to_string()))),
        }
    }

    fn pool_settings(&self, pool: PoolName) -> Result<PoolSettings, NameError> {
        Ok(PoolSettings {
            pool,
            carrier_account: AccountName::parse(self.account)?,
            name: self.title.to_owned(),
            low_threshold: Some(self.low),
            critical_threshold: Some(self.low / 5),
            safety_buffer: 0,
            lead_time_days: None,
            shelf_life_days: None,
            balance_low_percent: None,
            expiry_warning_days: None,
            sellable_statuses: vec![self.sells],
            activation: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twin_delivers_the_same_lines_at_every_start() {
        let first = Sandbox::start().unwrap();
        let second = Sandbox::start().unwrap();
        assert_eq!(
            first.travel.twin.twin().delivery_file(None),
            second.travel.twin.twin().delivery_file(None)
        );
        assert_ne!(first.twin_url(), second.twin_url());
    }

    #[test]
    fn the_twin_delivers_its_events_to_the_account_s_endpoint() {
        let (sandbox, other) = (Sandbox::start().unwrap(), Sandbox::start().unwrap());
        sandbox.deliver_events_to("http://127.0.0.1:8080").unwrap();
        let webhook = sandbox.travel.twin.twin().webhook().cloned().unwrap();
        assert_eq!(webhook.url, "http://127.0.0.1:8080/carrier-events/sandbox");
        assert_eq!(webhook.secret, sandbox.webhook_secret);
        assert_ne!(sandbox.webhook_secret, other.webhook_secret);
        assert!(sandbox.deliver_events_to("nowhere").is_err());
        assert!(!format!("{sandbox:?}").contains(webhook.secret.expose()));
    }

    #[test]
    fn the_welcome_holds_a_line_that_can_be_pasted() {
        let sandbox = Sandbox::start().unwrap();
        assert!(
            sandbox.travel.twin.twin().config().products.iter().any(|product| product.product_id == PRODUCT)
        );
        let text = sandbox.welcome("http://127.0.0.1:8080", SANDBOX_KEY);
        let line = text.lines().find(|line| line.trim_start().starts_with("curl")).unwrap();
        let body = line.split("-d '").nth(1).unwrap().trim_end_matches('\'').replace("'$(date +%s)'", "1");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["reference"], &body["lines"][0]["pool"]), (&"demo-1".into(), &POOL.into()));
        assert!(SANDBOX_KEY.len() >= api_keys::BOOTSTRAP_MIN);
    }
}
