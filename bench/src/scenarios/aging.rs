//! Whether orders stay as fast after many of them, with and without a snapshot that is held open all the while.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Row, Told, load, rate, until_steady};
use crate::cluster::{Cluster, Storage};
use crate::depot::Depot;
use crate::goals::{Goal, Ratio};
use crate::load::Plan;
use crate::options::Options;
use crate::sample::Figure;
use crate::setting::Setting;
use crate::tools::{float, say};
use crate::{guards, stock};

const STOCK: &str = "aging_stock";
const COPY: &str = "aging";
const CLIENTS: u32 = 64;
/// Those that send the orders between, which only have to be sold.
const BETWEEN: u32 = 256;
const ORDERS: u64 = 200_000;

pub(super) fn run(options: &Options, setting: &mut Setting) -> Result<Vec<Told>> {
    let allocations = if options.quick { 10_000 } else { ORDERS };
    let cluster = Cluster::start(Storage::Simulated)?;
    stock::fill(&cluster, &setting.binary, STOCK, allocations + 2 * options.enough_stock())?;
    let forms = [("aging", false), ("snapshot", true)];
    let wanted: Vec<_> = forms.into_iter().filter(|(name, _)| options.wants_scenario(name)).collect();
    let mut pairs = vec![Vec::new(); wanted.len()];
    for repetition in 1..=options.reps {
        // The other one first each time.
        let mut order: Vec<_> = wanted.iter().zip(&mut pairs).collect();
        if repetition % 2 == 0 {
            order.reverse();
        }
        for ((name, snapshot), pairs) in order {
            let pair = once(options, setting, &cluster, *snapshot, allocations)?;
            say(&format!("{name}, repetition {repetition}: {:.0}/s, then {:.0}/s", pair.0, pair.1));
            pairs.push(pair);
        }
    }
    let told = wanted
        .into_iter()
        .zip(pairs)
        .map(|((name, snapshot), pairs)| told(name, snapshot, allocations, &pairs));
    Ok(told.collect())
}

fn told(name: &'static str, snapshot: bool, allocations: u64, pairs: &[(f64, f64)]) -> Told {
    let (start, end): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let held = if snapshot { ", an old snapshot held open all the while" } else { "" };
    let goal = if snapshot { Goal::Snapshot } else { Goal::Aging };
    Told {
        name,
        title: format!("After {allocations} orders{held} (64 clients, 1 ms commit, simulated)"),
        rows: vec![Row::new("at the start", start, "orders/s"), Row::new("behind them", end, "orders/s")],
        ratios: vec![Ratio {
            what: "behind ÷ start, of the same repetition".to_owned(),
            figure: Figure::over(pairs.iter().map(|(start, end)| end / start).collect()),
            on: Storage::Simulated,
            goal: (allocations == ORDERS).then_some(goal),
        }],
        notes: vec![format!(
            "The start is measured when the rate climbs no more, so warm-up and first full pages of the log are behind it. The \
             orders between are sent by {BETWEEN} clients. Both begin with the events so far numbered, and two seconds of warm-up."
        )],
    }
}

/// The rates at the start and behind so many orders.
fn once(
    options: &Options,
    setting: &Setting,
    cluster: &Cluster,
    snapshot: bool,
    allocations: u64,
) -> Result<(f64, f64)> {
    cluster.copy(STOCK, COPY)?;
    let held = snapshot.then(|| Snapshot::hold(cluster, COPY)).transpose()?;
    let mut depot = Depot::start(&setting.binary, &cluster.url(COPY))?;
    let target = depot.target();
    let (mut done, mut latest) = until_steady(&target, CLIENTS)?;
    let ask = |sql: &str| cluster.sql(COPY, sql);
    // At the end there were more clients at once before: neither measurement begins with events of others to be numbered.
    depot.wait_for_feed(|| guards::feed_lag(&ask))?;
    let outcome = load(&target, options.plan(CLIENTS))?;
    let start = rate(&outcome);
    done += outcome.answered;
    let behind = done + allocations;
    while done < behind {
        // About what is left, and never so long that the stock runs out.
        let left = float(behind - done) / latest.max(1.0);
        let measured = Duration::from_secs_f64(left.clamp(0.2, 5.0));
        let outcome = load(&target, Plan { clients: BETWEEN, warm_up: Duration::ZERO, measured })?;
        (done, latest) = (done + outcome.answered, rate(&outcome));
    }
    depot.wait_for_feed(|| guards::feed_lag(&ask))?;
    let outcome = load(&target, options.plan(CLIENTS))?;
    done += outcome.answered;
    drop(held);
    depot.wait_for_feed(|| guards::feed_lag(&ask))?;
    depot.verify()?;
    depot.stop();
    guards::books(&ask, done)?;
    Ok((start, rate(&outcome)))
}

/// A transaction that sees the database as it was, as a backup does; ends with the value.
struct Snapshot(Child);

impl Snapshot {
    fn hold(cluster: &Cluster, database: &str) -> Result<Self> {
        let mut psql = cluster.client("psql", database);
        psql.args(["-X", "-q"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = psql.spawn()?;
        let input = child.stdin.as_mut().context("no way to write to psql")?;
        writeln!(input, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pools;")?;
        input.flush()?;
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL";
        for _ in 0..100 {
            if cluster.number(database, open)? > 0 {
                return Ok(Self(child));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the transaction that holds a snapshot did not begin")
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
