//! PostgreSQL's own limit: pgbench with the rows of an order.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use crate::cluster::Cluster;
use crate::load::{Outcome, Plan};
use crate::process::usage;
use crate::sample::Latency;
use crate::stock::POOL_ID;
use crate::tools::run;

/// Runs a script, first for the warm-up, then measured. `script` is a file of `bench/sql`, or a text of its own.
///
/// # Errors
/// When pgbench or the server refuses it.
pub fn load(cluster: &Cluster, database: &str, script: &Path, plan: Plan) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("simdepot-pgbench.").tempdir()?;
    let command = |seconds: u64| {
        let mut pgbench = cluster.client("pgbench", database);
        pgbench
            .args(["-n", "-M", "prepared", "-D", &format!("pool={POOL_ID}")])
            .args(["-c", &plan.clients.to_string(), "-j", &plan.clients.min(2).to_string()])
            .args(["-T", &seconds.to_string(), "-f"])
            .arg(script);
        pgbench
    };
    let warm = run(&mut command(plan.warm_up.as_secs().max(1)))?;
    let server = cluster.process()?;
    let before = usage(server);
    let prefix = folder.path().join("log");
    let mut measured = command(plan.measured.as_secs().max(1));
    let told = run(measured.arg("-l").arg(format!("--log-prefix={}", prefix.display())))?;
    let after = usage(server);
    let times = times(folder.path())?;
    Ok(Outcome {
        counted: transactions(&told)?,
        seconds: times.1,
        latency: Latency::of(&times.0),
        answered: transactions(&warm)? + transactions(&told)?,
        refused: std::collections::BTreeMap::new(),
        iccids: Vec::new(),
        service: crate::process::Usage::default(),
        database: crate::process::Usage {
            cpu_micros: after.cpu_micros.saturating_sub(before.cpu_micros),
            memory_kib: after.memory_kib,
        },
        own_cpu_micros: 0,
    })
}

fn transactions(told: &str) -> Result<u64> {
    let line = told.lines().find_map(|line| line.strip_prefix("number of transactions actually processed:"));
    let number = line.and_then(|text| text.trim().split('/').next()).context("pgbench told no number")?;
    Ok(number.trim().parse()?)
}

/// The transactions' times, and the seconds between the first one's begin and the last one's end.
fn times(folder: &Path) -> Result<(Histogram<u64>, f64)> {
    let mut times = Histogram::new_with_bounds(1, 120_000_000, 3)?;
    let (mut first, mut last) = (u64::MAX, 0);
    for entry in fs::read_dir(folder)? {
        for line in fs::read_to_string(entry?.path())?.lines() {
            let fields: Vec<u64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
            if let [_, _, took, _, second, micros, ..] = fields[..] {
                let end = second * 1_000_000 + micros;
                times.saturating_record(took.max(1));
                first = first.min(end.saturating_sub(took));
                last = last.max(end);
            }
        }
    }
    Ok((times, crate::tools::float(last.saturating_sub(first)) / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found() {
        let told = "scaling factor: 1\nnumber of transactions actually processed: 1234\ntps = 411.3\n";
        assert_eq!(transactions(told).unwrap(), 1234);
        assert_eq!(transactions("number of transactions actually processed: 12/12").unwrap(), 12);
        assert!(transactions("").is_err());
    }
}
