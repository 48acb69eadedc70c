//! The databases that runs begin with: migrated, with pools and stock, copied for each run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::sqlite::SqliteConnection;
use sha2::{Digest, Sha256};
use simdepot_application::imports::{self, StartImport};
use simdepot_application::{Caller, pools};
use simdepot_domain::channel::{AccountName, ChannelName, PoolName, Scope};
use simdepot_domain::clock::Clock;
use simdepot_domain::delivery::Format;
use simdepot_domain::import::{ImportStatus, OnError};
use simdepot_domain::pool::PoolSettings;
use simdepot_persistence::store::{StoreOptions, Turnstile};
use simdepot_persistence::vault::{WrappingKey, WrappingKeys};
use simdepot_persistence::{DatabaseUrl, Store};
use strum::VariantArray as _;
use tempfile::TempDir;

use super::carriers::{Carriers, Habits, Twins, owner};
use super::network::Network;
use super::post::Post;
use super::process::{Pace, Surroundings};
use super::time::{Ids, Time};
use super::weather::Weather;
use crate::rng::Rng;

/// What carriers sign their events with.
pub(super) const WEBHOOK_SECRET: &str = "webhook-secret";
/// Bytes of the operator's key.
const KEY: [u8; 32] = [7; 32];

/// How much stock a run begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stock {
    /// Profiles of each of a carrier's pools.
    pub(super) profiles: [u32; 2],
    /// How many of each of them orders must leave.
    pub(super) buffer: [u32; 2],
}

/// From stock that does not suffice to plenty of it.
pub(super) const STOCKS: [Stock; 4] = [
    Stock { profiles: [2, 2], buffer: [0, 1] },
    Stock { profiles: [6, 4], buffer: [0, 0] },
    Stock { profiles: [13, 8], buffer: [1, 0] },
    Stock { profiles: [26, 14], buffer: [0, 2] },
];

/// The templates, in memory where the machine has such a place.
pub struct Templates {
    folder: TempDir,
}

impl Templates {
    /// Makes the templates, of these carriers or of all.
    ///
    /// # Errors
    /// When a database cannot be made.
    pub fn make(only: Option<Carriers>) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("simdepot-prove.").tempdir_in(parent)?;
        let templates = Self { folder };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let wanted = |carriers: &&Carriers| only.is_none_or(|only| only == **carriers);
        for carriers in Carriers::VARIANTS.iter().filter(wanted) {
            for (number, stock) in STOCKS.iter().enumerate() {
                let path = templates.template(*carriers, number);
                runtime.block_on(fill(&path, *carriers, *stock)).context("making a template database")?;
                // What is in the write-ahead log goes into the file, which alone is copied.
                let mut raw = SqliteConnection::establish(&path.display().to_string())?;
                raw.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?;
            }
        }
        Ok(templates)
    }

    fn template(&self, carriers: Carriers, number: usize) -> PathBuf {
        self.folder.path().join(format!("template-{carriers}-{number}.db"))
    }

    /// A database of its own for a run.
    pub(super) fn copy(&self, carriers: Carriers, number: usize, name: &str) -> Result<RunDatabase> {
        let path = self.folder.path().join(format!("{name}.db"));
        std::fs::copy(self.template(carriers, number), &path)?;
        Ok(RunDatabase { path })
    }
}

/// The database of one run; removed with it.
pub(super) struct RunDatabase {
    path: PathBuf,
}

impl RunDatabase {
    /// Opens a store on it, as a process does when it begins.
    pub(super) fn store(&self, clock: Arc<dyn Clock>, turnstile: Arc<dyn Turnstile>) -> Result<Store> {
        Ok(Store::open(options(&self.path, false, Some(turnstile))?, clock)?)
    }

    /// A connection beside the processes.
    pub(super) fn raw(&self) -> Result<SqliteConnection> {
        Ok(SqliteConnection::establish(&self.path.display().to_string())?)
    }
}

impl Drop for RunDatabase {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            // What is not there need not be removed.
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path.display()));
        }
    }
}

fn options(path: &Path, migrate: bool, turnstile: Option<Arc<dyn Turnstile>>) -> Result<StoreOptions> {
    let url: DatabaseUrl = format!("sqlite://{}", path.display()).parse()?;
    let keys = WrappingKeys { current: WrappingKey::from_bytes(KEY), previous: None };
    Ok(StoreOptions { url, pool_size: 1, migrate, keys, turnstile })
}

/// Whoever may do everything, in a channel.
pub(super) fn caller(channel: &str) -> Result<Caller> {
    Ok(Caller { key: None, channel: ChannelName::parse(channel)?, scopes: Scope::VARIANTS.to_vec() })
}

async fn fill(path: &Path, carriers: Carriers, stock: Stock) -> Result<()> {
    let time = Arc::new(Time::default());
    let ids = Arc::new(Ids::new(Arc::clone(&time), Rng::new(0)));
    let store = Store::open(options(path, true, None)?, time.clone())?;
    let twins = Twins::make(carriers, stock)?;
    let history: Arc<std::sync::Mutex<crate::history::History>> = Arc::default();
    let roads = (twins.transatel, twins.wholesale);
    let network = Network::new(time.clone(), Arc::clone(&history), roads, Weather::fair(), 0, Rng::new(0));
    let (network, timeout) = (Arc::new(network), Duration::from_secs(15));
    let (post, pace) =
        (Post::new(time.clone(), Arc::clone(&history), &Weather::fair(), Rng::new(0)), Pace::default());
    let post = Arc::new(post);
    let habits = Habits::default();
    let surroundings =
        Surroundings { time, ids, network, history, timeout, pace, post, carriers, habits, broken: None };
    let depot = surroundings.depot(store)?;
    let keeper = caller("default")?;
    for (place, delivered) in twins.delivered.into_iter().enumerate() {
        let (pool, to) = (delivered.pool, owner(delivered.pool));
        let buffer = stock.buffer.get(place % 2).copied().unwrap_or_default();
        let settings = PoolSettings {
            pool: PoolName::parse(pool)?,
            carrier_account: AccountName::parse(to.account())?,
            name: pool.to_owned(),
            low_threshold: Some(4),
            critical_threshold: Some(2),
            safety_buffer: buffer,
            lead_time_days: None,
            shelf_life_days: None,
            balance_low_percent: None,
            expiry_warning_days: None,
            sellable_statuses: to.sellable(),
            activation: to.activation(),
        };
        pools::create(&depot, &keeper, settings, None).await?;
        let file = delivered.file;
        let asked = StartImport {
            pool: PoolName::parse(pool)?,
            format: Format::Delivery,
            dry_run: false,
            on_error: OnError::All,
            sell_by: None,
            file_name: None,
        };
        let sha256 = hex::encode(Sha256::digest(&file));
        let (begun, _) = imports::start(&depot, &keeper, asked, &sha256, None).await?;
        let spooled = path.with_extension("csv");
        std::fs::write(&spooled, &file)?;
        imports::run(&depot, begun.import.id, &spooled, &|_| ()).await?;
        std::fs::remove_file(&spooled)?;
        let done = imports::get(&depot, begun.import.id).await?;
        if done.import.status != ImportStatus::Completed {
            bail!("the import ended as {}: {:?}", done.import.status, done.import.problem);
        }
    }
    Ok(())
}
