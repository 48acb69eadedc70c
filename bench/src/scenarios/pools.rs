//! Pools of many sizes, made once for all that is measured with them: orders, reads, and the large import.

use std::time::Duration;

use anyhow::Result;

use super::{Told, import, load, reads, sizes};
use crate::cluster::{Cluster, Storage};
use crate::depot::{Depot, Imported};
use crate::load::Plan;
use crate::options::Options;
use crate::setting::Setting;
use crate::tools::say;
use crate::{guards, stock};

/// The smallest pool, with which all others are compared.
pub(super) const SMALLEST: u64 = 10_000;
/// The largest one, for which there are goals.
pub(super) const LARGEST: u64 = 10_000_000;
/// Larger ones are not copied, but grow.
const COPIED: u64 = 1_000_000;

/// The scenarios that share the pools.
pub(super) fn run(options: &Options, setting: &mut Setting) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    // Ten million profiles do not fit into memory beside everything else.
    let cluster = Cluster::start_in(Storage::Simulated, &std::env::temp_dir())?;
    let mut pools = Pools { cluster, pools: Vec::new() };
    if options.wants_scenario("import") {
        told.extend(import::run(options, setting, &mut pools)?);
    }
    // Before anything is sold: profiles that were sold would stand beside those on sale, many in the small pool too.
    if options.wants_scenario("reads") {
        told.extend(reads::run(options, setting, &mut pools)?);
    }
    if options.wants_scenario("pool-size") {
        told.extend(sizes::run(options, setting, &mut pools)?);
    }
    pools.verify(setting)?;
    Ok(told)
}

/// The server with the pools, one to a database.
pub(super) struct Pools {
    cluster: Cluster,
    pools: Vec<Pool>,
}

/// A database with one pool, which is measured in place and restocked.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    /// So many profiles are on sale.
    pub(super) size: u64,
    database: String,
    /// The number of the next profile to be delivered.
    next: u64,
    sold: u64,
    /// Of those, sold since the last delivery.
    lacking: u64,
}

impl Pools {
    /// Makes a pool of that size, out of a smaller one where there is one. Returns how the import of its rows went.
    pub(super) fn make(&mut self, setting: &Setting, size: u64) -> Result<Option<Imported>> {
        if self.pools.iter().any(|pool| pool.size == size) {
            return Ok(None);
        }
        let database = format!("pool_{size}");
        let base = self.pools.iter().filter(|pool| pool.size < size && pool.sold == 0);
        let Some(base) = base.max_by_key(|pool| pool.size).cloned() else {
            let imported = stock::fill(&self.cluster, &setting.binary, &database, size)?;
            self.pools.push(Pool { size, database, next: size, sold: 0, lacking: 0 });
            return Ok(Some(imported));
        };
        if base.size <= COPIED {
            self.cluster.copy(&base.database, &database)?;
        } else {
            self.cluster
                .sql("postgres", &format!("ALTER DATABASE {} RENAME TO {database}", base.database))?;
            self.pools.retain(|pool| pool.size != base.size);
        }
        say(&format!("  stock: {size} profiles, out of {}", base.size));
        let mut depot = Depot::start(&setting.binary, &self.cluster.url(&database))?;
        let imported = stock::deliver(&depot, base.next..size)?;
        depot.stop();
        self.cluster.sql(&database, stock::FRESH)?;
        self.pools.push(Pool { size, database, next: size, sold: 0, lacking: 0 });
        Ok(Some(imported))
    }

    /// The pool of that size, which was made.
    pub(super) fn of_size(&self, size: u64) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.size == size)
    }

    /// Starts simdepot on a pool.
    pub(super) fn open(&self, setting: &Setting, pool: &Pool) -> Result<Depot> {
        Depot::start(&setting.binary, &self.cluster.url(&pool.database))
    }

    /// Sells out of the pool of that size, first to get warm: `warm` orders or so, then, restocked, the measurement. It is
    /// full again at the end, and its books are right. Returns the rate.
    pub(super) fn sell(&mut self, setting: &Setting, size: u64, warm: Duration, plan: Plan) -> Result<f64> {
        let Self { cluster, pools } = self;
        let Some(pool) = pools.iter_mut().find(|pool| pool.size == size) else {
            anyhow::bail!("there is no pool of {size}");
        };
        cluster.sql(&pool.database, stock::FRESH)?;
        cluster.sql(&pool.database, "CHECKPOINT")?;
        let mut depot = Depot::start(&setting.binary, &cluster.url(&pool.database))?;
        let warming = Plan { warm_up: Duration::ZERO, measured: warm, ..plan };
        pool.sold(load(&depot.target(), warming)?.answered);
        pool.restock(&depot)?;
        let outcome = load(&depot.target(), plan)?;
        pool.sold(outcome.answered);
        pool.restock(&depot)?;
        let ask = |sql: &str| cluster.sql(&pool.database, sql);
        depot.wait_for_feed(|| guards::feed_lag(&ask))?;
        depot.stop();
        guards::books(&ask, pool.sold)?;
        Ok(super::rate(&outcome))
    }

    /// Proves every pool, once nothing more is done with it: that reads all of it.
    fn verify(&self, setting: &Setting) -> Result<()> {
        for pool in &self.pools {
            say(&format!("  verifying the pool of {}", pool.size));
            let mut depot = self.open(setting, pool)?;
            depot.wait_for_feed(|| guards::feed_lag(&|sql| self.cluster.sql(&pool.database, sql)))?;
            depot.verify()?;
            depot.stop();
        }
        Ok(())
    }
}

impl Pool {
    fn sold(&mut self, orders: u64) {
        self.sold += orders;
        self.lacking += orders;
    }

    /// Delivers as many as were sold.
    fn restock(&mut self, depot: &Depot) -> Result<()> {
        let until = self.next + self.lacking;
        if self.lacking > 0 {
            stock::deliver(depot, self.next..until)?;
        }
        (self.next, self.lacking) = (until, 0);
        Ok(())
    }
}
