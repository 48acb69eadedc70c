//! Whether orders are as fast out of a large pool as out of a small one.

use std::time::Duration;

use anyhow::Result;

use super::pools::{LARGEST, Pools, SMALLEST};
use super::{Row, Told};
use crate::cluster::Storage;
use crate::goals::{Goal, Ratio};
use crate::load::Plan;
use crate::options::Options;
use crate::setting::Setting;
use crate::tools::{say, shuffle};

const CLIENTS: u32 = 64;
/// What the smallest pool gives: it must last even when the rate doubles.
const WARM: f64 = 4_000.0;
const AGAIN: f64 = 800.0;
const MEASURED: f64 = 3_600.0;

pub(super) fn run(options: &Options, setting: &Setting, pools: &mut Pools) -> Result<Vec<Told>> {
    let most = options.most_profiles.max(SMALLEST);
    let sizes: Vec<u64> = std::iter::successors(Some(SMALLEST), |size| size.checked_mul(10))
        .take_while(|size| *size <= most)
        .collect();
    for size in &sizes {
        pools.make(setting, *size)?;
    }
    let rate = probe(setting, pools)?;
    let seconds = |orders: f64| Duration::from_secs_f64(orders / rate);
    let plan = Plan {
        clients: CLIENTS,
        warm_up: seconds(AGAIN),
        measured: seconds(MEASURED).min(options.measured()),
    };
    let mut rates = vec![Vec::new(); sizes.len()];
    // Short measurements are repeated more often.
    for repetition in 1..=options.reps * 2 {
        let mut order: Vec<_> = sizes.iter().zip(&mut rates).collect();
        // Those between show how it goes; the ends decide.
        order.retain(|(size, _)| repetition <= options.reps || is_end(&sizes, **size));
        shuffle(&mut order, u64::from(repetition));
        for (size, rates) in order {
            let rate = pools.sell(setting, *size, seconds(WARM), plan)?;
            say(&format!("pool of {size}, repetition {repetition}: {rate:.0}/s"));
            rates.push(rate);
        }
    }
    Ok(vec![told(&sizes, rates, plan)])
}

fn is_end(sizes: &[u64], size: u64) -> bool {
    sizes.first() == Some(&size) || sizes.last() == Some(&size)
}

fn told(sizes: &[u64], rates: Vec<Vec<f64>>, plan: Plan) -> Told {
    let row = |(size, rates): (&u64, Vec<f64>)| Row {
        at: Some(*size),
        ..Row::new(format!("{size} profiles"), rates, "orders/s")
    };
    let rows: Vec<Row> = sizes.iter().zip(rates).map(row).collect();
    let first = rows.first().map(|row| row.figure).unwrap_or_default();
    let ratio = |row: &Row| {
        let goal = (row.at == Some(LARGEST)).then_some(Goal::PoolSize);
        let what = format!("{} ÷ {SMALLEST} profiles", row.at.unwrap_or_default());
        Ratio::of(what, row.figure, first, Storage::Simulated).deciding(goal)
    };
    Told {
        name: "pool-size",
        title: "Size of the pool (64 clients, 1 ms commit, simulated, files on disk)".to_owned(),
        ratios: rows.iter().skip(1).map(ratio).collect(),
        rows,
        notes: vec![format!(
            "{:.2} s a measurement: the smallest pool lasts no longer. All pools are measured in place, again and again, and all \
             alike: about {WARM:.0} orders to get warm, a delivery of as many profiles, then the measurement, then another \
             delivery. Every profile was imported by simdepot.",
            plan.measured.as_secs_f64()
        )],
    }
}

/// About how fast it is.
fn probe(setting: &Setting, pools: &mut Pools) -> Result<f64> {
    let first = Duration::from_millis(150);
    let plan = |measured| Plan { clients: CLIENTS, warm_up: Duration::from_millis(50), measured };
    let rate = pools.sell(setting, SMALLEST, first, plan(first))?.max(500.0);
    let second = Duration::from_secs_f64(2_000.0 / rate);
    Ok(pools.sell(setting, SMALLEST, second, plan(second))?.max(rate))
}
