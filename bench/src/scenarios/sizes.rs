//! Whether orders are as fast out of a large pool as out of a small one.

use std::time::Duration;

use anyhow::Result;

use super::{Row, Told};
use crate::cluster::{Cluster, Storage};
use crate::compare::Setting;
use crate::depot::Depot;
use crate::load::{self, Plan, Watched};
use crate::options::Options;
use crate::tools::{float, say, shuffle};
use crate::{guards, stock};

const CLIENTS: u32 = 64;
/// A small pool lasts for so many orders; that decides how long a measurement takes.
const ORDERS: f64 = 4_500.0;
const SMALLEST: u64 = 10_000;
/// So many are imported, which is more than are sold; the rest of a large pool is made by the database.
const IMPORTED: u64 = 200_000;

pub(super) fn run(options: &Options, setting: &mut Setting) -> Result<Vec<Told>> {
    let sizes: Vec<u64> = std::iter::successors(Some(SMALLEST), |size| size.checked_mul(10))
        .take_while(|size| *size <= options.most_profiles.max(SMALLEST))
        .collect();
    // Ten million profiles do not fit into memory beside everything else.
    let cluster = Cluster::start_in(Storage::Simulated, &std::env::temp_dir())?;
    for size in &sizes {
        stock::fill(&cluster, &setting.binary, &template(*size), (*size).min(IMPORTED))?;
        let mut made = IMPORTED;
        while made < *size {
            let rows = (*size - made).min(1_000_000);
            stock::pad(&cluster, &template(*size), made, rows)?;
            made += rows;
        }
    }
    let rate = probe(setting, &cluster)?;
    let plan = Plan {
        clients: CLIENTS,
        warm_up: Duration::from_secs_f64(ORDERS / 3.0 / rate),
        measured: Duration::from_secs_f64(ORDERS / rate).min(options.measured()),
    };
    let mut rates = vec![Vec::new(); sizes.len()];
    // Short measurements are repeated more often.
    for repetition in 1..=options.reps * 3 {
        let mut order: Vec<_> = sizes.iter().zip(&mut rates).collect();
        shuffle(&mut order, u64::from(repetition));
        for (size, rates) in order {
            let rate = once(setting, &cluster, *size, plan)?;
            say(&format!("pool of {size}, repetition {repetition}: {rate:.0}/s"));
            rates.push(rate);
        }
    }
    Ok(vec![told(&sizes, rates, plan)])
}

fn told(sizes: &[u64], rates: Vec<Vec<f64>>, plan: Plan) -> Told {
    let row = |(size, rates): (&u64, Vec<f64>)| Row {
        at: Some(*size),
        ..Row::new(format!("{size} profiles"), rates, "orders/s")
    };
    let rows: Vec<Row> = sizes.iter().zip(rates).map(row).collect();
    let first = rows.first().map(|row| row.figure.median).unwrap_or_default();
    let ratios = rows
        .iter()
        .skip(1)
        .map(|row| {
            (
                format!("{} ÷ {SMALLEST} profiles", row.at.unwrap_or_default()),
                row.figure.median / first,
                "≥ 0.90",
            )
        })
        .collect();
    Told {
        name: "pool-size",
        title: "Size of the pool (64 clients, 1 ms commit, simulated, files on disk)".to_owned(),
        rows,
        ratios,
        notes: vec![format!(
            "{:.2} s a measurement: the smallest pool lasts no longer. Behind the first {IMPORTED} profiles, which are imported, \
             the others are made by the database.",
            plan.measured.as_secs_f64()
        )],
    }
}

fn template(size: u64) -> String {
    format!("pool_{size}")
}

/// About how fast it is.
fn probe(setting: &Setting, cluster: &Cluster) -> Result<f64> {
    let plan =
        Plan { clients: CLIENTS, warm_up: Duration::from_millis(100), measured: Duration::from_millis(150) };
    let mut rate = once(setting, cluster, SMALLEST, plan)?;
    if rate < 10_000.0 {
        let plan = Plan { measured: Duration::from_secs_f64(ORDERS / 2.0 / rate.max(500.0)), ..plan };
        rate = once(setting, cluster, SMALLEST, plan)?;
    }
    Ok(rate)
}

fn once(setting: &Setting, cluster: &Cluster, size: u64, plan: Plan) -> Result<f64> {
    const COPY: &str = "sized";
    let database = if size > 1_000_000 { template(size) } else { COPY.to_owned() };
    if size <= 1_000_000 {
        cluster.copy(&template(size), COPY)?;
    }
    cluster.sql(&database, stock::FRESH)?;
    cluster.sql(&database, "CHECKPOINT")?;
    let sold = || cluster.number(&database, "SELECT count(*) FROM orders");
    let before = sold()?;
    let mut depot = Depot::start(&setting.binary, &cluster.url(&database))?;
    let outcome = load::run(&depot.target(), plan, Watched { service: None, database: None })?;
    guards::answers(&outcome)?;
    depot.wait_for_feed(|| guards::feed_lag(cluster, &database))?;
    depot.stop();
    guards::books(cluster, &database, before + outcome.answered)?;
    Ok(float(outcome.counted) / outcome.seconds)
}
