//! The embedded database beside PostgreSQL, both on the same storage: SQLite with WAL and `synchronous=FULL`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Text;
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};
use tempfile::TempDir;

use super::{Row, Told, load, rate};
use crate::cluster::{Cluster, Storage, compile_shim};
use crate::depot::Depot;
use crate::goals::{Goal, Ratio};
use crate::load::Plan;
use crate::options::Options;
use crate::setting::Setting;
use crate::tools::{say, shuffle};
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
    let counts = match options.clients.as_slice() {
        [] => vec![64],
        asked => asked.to_vec(),
    };
    let mut jobs: Vec<(u32, bool)> =
        counts.iter().flat_map(|clients| [(*clients, false), (*clients, true)]).collect();
    let mut rates = vec![(Vec::new(), Vec::new()); counts.len()];
    for repetition in 1..=options.reps {
        shuffle(&mut jobs, u64::from(repetition));
        for (clients, embedded) in &jobs {
            let plan = options.plan(*clients);
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
        let what = format!("SQLite ÷ PostgreSQL, {clients} clients");
        let ratio = Ratio::of(what, sqlite.figure, postgres.figure, storage);
        ratios.push(ratio.deciding((*clients == 64).then_some(Goal::Sqlite)));
        rows.extend([postgres, sqlite]);
    }
    let title = format!("SQLite (synchronous=FULL) beside PostgreSQL, {}", storage.title());
    Told { name: "sqlite", title, rows, ratios, notes: Vec::new() }
}

fn beside(setting: &Setting, cluster: &Cluster, plan: Plan) -> Result<f64> {
    cluster.copy(STOCK, COPY)?;
    let depot = Depot::start(&setting.binary, &cluster.url(COPY))?;
    measured(depot, plan, &|sql| cluster.sql(COPY, sql))
}

/// The rate, when the books are right behind it.
fn measured(mut depot: Depot, plan: Plan, ask: guards::Ask<'_>) -> Result<f64> {
    let outcome = load(&depot.target(), plan)?;
    depot.wait_for_feed(|| guards::feed_lag(ask))?;
    depot.verify()?;
    depot.stop();
    guards::books(ask, outcome.answered)?;
    Ok(rate(&outcome))
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
        stock::deliver(&depot, 0..options.enough_stock())?;
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
        let depot = Depot::start_with(&setting.binary, &self.url("copy.db"), self.preload.as_deref())?;
        measured(depot, plan, &|sql| self.ask(sql))
    }

    /// Asks the copy, beside simdepot or behind it.
    fn ask(&self, sql: &str) -> Result<String> {
        let mut connection =
            SqliteConnection::establish(&self.folder.path().join("copy.db").to_string_lossy())?;
        connection.batch_execute("PRAGMA busy_timeout = 10000")?;
        let told: Value = sql_query(format!("SELECT ({sql}) AS told")).get_result(&mut connection)?;
        Ok(told.told)
    }
}

/// One value.
#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    told: String,
}
