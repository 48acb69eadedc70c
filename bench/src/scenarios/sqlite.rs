//! The embedded database beside PostgreSQL, both on the same storage: SQLite with WAL and `synchronous=FULL`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use super::{Row, Told};
use crate::cluster::{Cluster, Storage, compile_shim};
use crate::compare::Setting;
use crate::depot::Depot;
use crate::load::{self, Plan, Watched};
use crate::options::Options;
use crate::tools::{float, say, shuffle};
use crate::{guards, stock};

const STOCK: &str = "beside_stock";
const COPY: &str = "beside";

pub(super) fn run(options: &Options, setting: &mut Setting) -> Result<Vec<Told>> {
    options.storage.iter().map(|storage| on(options, setting, *storage)).collect()
}

fn on(options: &Options, setting: &Setting, storage: Storage) -> Result<Told> {
    let cluster = Cluster::start(storage)?;
    stock::fill(&cluster, &setting.binary, STOCK, options.enough_stock())?;
    let file = Embedded::make(options, setting, &cluster)?;
    let counts: Vec<u32> =
        options.clients.iter().copied().filter(|clients| [1, 8, 64, 256].contains(clients)).collect();
    let mut jobs: Vec<(u32, bool)> =
        counts.iter().flat_map(|clients| [(*clients, false), (*clients, true)]).collect();
    let mut rates = vec![(Vec::new(), Vec::new()); counts.len()];
    for repetition in 1..=options.reps {
        shuffle(&mut jobs, u64::from(repetition));
        for (clients, embedded) in &jobs {
            let plan = Plan { clients: *clients, warm_up: options.warm_up(), measured: options.measured() };
            let rate = if *embedded { file.rate(setting, plan)? } else { beside(setting, &cluster, plan)? };
            let name = if *embedded { "SQLite" } else { "PostgreSQL" };
            say(&format!("{}: {name} with {clients}, repetition {repetition}: {rate:.0}/s", storage.title()));
            let place =
                counts.iter().position(|count| count == clients).and_then(|place| rates.get_mut(place));
            if let Some((postgres, sqlite)) = place {
                if *embedded { sqlite.push(rate) } else { postgres.push(rate) }
            }
        }
    }
    Ok(told(storage, &counts, rates))
}

fn told(storage: Storage, counts: &[u32], rates: Vec<(Vec<f64>, Vec<f64>)>) -> Told {
    let (mut rows, mut ratios) = (Vec::new(), Vec::new());
    for (clients, (postgres, sqlite)) in counts.iter().zip(rates) {
        let postgres = Row::new(format!("PostgreSQL, {clients} clients"), postgres, "orders/s");
        let sqlite = Row::new(format!("SQLite, {clients} clients"), sqlite, "orders/s");
        let goal = if *clients == 64 { "≥ 0.50" } else { "shown" };
        ratios.push((
            format!("SQLite ÷ PostgreSQL, {clients} clients"),
            sqlite.figure.median / postgres.figure.median,
            goal,
        ));
        rows.extend([postgres, sqlite]);
    }
    let title = format!("SQLite (synchronous=FULL) beside PostgreSQL, {}", storage.title());
    Told { name: "sqlite", title, rows, ratios, notes: Vec::new() }
}

fn beside(setting: &Setting, cluster: &Cluster, plan: Plan) -> Result<f64> {
    cluster.copy(STOCK, COPY)?;
    cluster.sql(COPY, "CHECKPOINT")?;
    let mut depot = Depot::start(&setting.binary, &cluster.url(COPY))?;
    let outcome = load::run(&depot.target(), plan, Watched { service: None, database: None })?;
    guards::answers(&outcome)?;
    depot.wait_for_feed(|| guards::feed_lag(cluster, COPY))?;
    depot.stop();
    guards::books(cluster, COPY, outcome.answered)?;
    Ok(float(outcome.counted) / outcome.seconds)
}

/// A file of stock that is copied for each measurement.
struct Embedded {
    folder: TempDir,
    preload: Option<PathBuf>,
}

impl Embedded {
    fn make(options: &Options, setting: &Setting, cluster: &Cluster) -> Result<Self> {
        let beside = cluster.socket().parent().unwrap_or(Path::new("/tmp"));
        let folder = tempfile::Builder::new().prefix("simdepot-bench-sqlite.").tempdir_in(beside)?;
        let preload = match cluster.storage() {
            Storage::Simulated => Some(compile_shim(folder.path())?),
            Storage::Disk => None,
        };
        let embedded = Self { folder, preload };
        let mut depot = Depot::start(&setting.binary, &embedded.url("stock.db"))?;
        depot.make_pool()?;
        let delivery = embedded.folder.path().join("delivery.csv");
        stock::write_delivery(&delivery, options.enough_stock())?;
        depot.import(&delivery)?;
        // Its end merges the log into the file.
        depot.stop();
        Ok(embedded)
    }

    fn url(&self, name: &str) -> String {
        format!("sqlite://{}", self.folder.path().join(name).display())
    }

    fn rate(&self, setting: &Setting, plan: Plan) -> Result<f64> {
        for ending in ["", "-wal", "-shm"] {
            let of = |name: &str| self.folder.path().join(format!("{name}{ending}"));
            // The template may have been left with a log or without; the copy must not keep one of its own.
            let _ = std::fs::remove_file(of("copy.db"));
            if of("stock.db").is_file() {
                std::fs::copy(of("stock.db"), of("copy.db"))?;
            }
        }
        let mut depot = Depot::start_with(&setting.binary, &self.url("copy.db"), self.preload.as_deref())?;
        let outcome = load::run(&depot.target(), plan, Watched { service: None, database: None })?;
        guards::answers(&outcome)?;
        depot.verify()?;
        depot.stop();
        Ok(float(outcome.counted) / outcome.seconds)
    }
}
