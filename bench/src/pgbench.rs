//! PostgreSQL's own limit: pgbench with the rows of an order.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;

use crate::cluster::Cluster;
use crate::load::{Outcome, Plan};
use crate::process::{Usage, cpu_micros, usage};
use crate::sample::Latency;
use crate::stock::POOL_ID;
use crate::tools::{micros, run};

/// Runs a script, warm-up and measurement by the same connections. Its log of transactions says which of them count.
/// `script` is a file of `bench/sql`, or a text of its own.
///
/// # Errors
/// When pgbench or the server refuses it, or it ended before its time.
pub fn load(cluster: &Cluster, database: &str, script: &Path, plan: Plan) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("simdepot-pgbench.").tempdir()?;
    // Its time begins with the connecting. What it does behind the time that counts is not counted.
    let whole = (plan.warm_up + plan.measured).as_secs_f64().ceil() + 1.0;
    let mut pgbench = cluster.client("pgbench", database);
    pgbench
        .args(["-n", "-M", "prepared", "-D", &format!("pool={POOL_ID}")])
        .args(["-c", &plan.clients.to_string(), "-j", &plan.clients.min(2).to_string()])
        .args(["-T", &format!("{whole:.0}"), "-l"])
        .arg(format!("--log-prefix={}", folder.path().join("log").display()))
        .arg("-f")
        .arg(script);
    let server = cluster.process()?;
    let (told, looks) = watched(&mut pgbench, server, plan)?;
    let log = Log::read(folder.path())?;
    let (from, until) = log.window(plan)?;
    let counted = log.between(from, until)?;
    // pgbench's clock starts when it is connected, so the looks came that much earlier by it.
    let of_look = |at: Duration| log.begin + micros(at).saturating_sub(connecting_micros(&told));
    let orders = log.between(of_look(looks.begin.0), of_look(looks.end.0))?.len();
    let cpu = looks.end.1.saturating_sub(looks.begin.1);
    Ok(Outcome {
        counted: counted.len(),
        seconds: plan.measured.as_secs_f64(),
        latency: Latency::of(&counted),
        answered: transactions(&told)?,
        refused: std::collections::BTreeMap::new(),
        iccids: Vec::new(),
        service: Usage::default(),
        database: Usage { cpu_micros: cpu * counted.len() / orders.max(1), memory_kib: looks.memory_kib },
        own_cpu_micros: 0,
    })
}

/// What was seen of the server while it ran.
#[derive(Debug, Clone, Copy)]
struct Looks {
    /// When it was looked, since the start, and the CPU time then.
    begin: (Duration, u64),
    end: (Duration, u64),
    memory_kib: u64,
}

/// Runs it, and looks at the server at the begin and at the end of what counts.
fn watched(pgbench: &mut Command, server: u32, plan: Plan) -> Result<(String, Looks)> {
    let begun = Instant::now();
    thread::scope(|scope| {
        let told = scope.spawn(|| run(pgbench));
        let look = |at: Duration| {
            thread::sleep(at.saturating_sub(begun.elapsed()));
            (begun.elapsed(), cpu_micros(server))
        };
        let (begin, end) = (look(plan.warm_up), look(plan.warm_up + plan.measured));
        let looks = Looks { begin, end, memory_kib: usage(server).memory_kib };
        match told.join() {
            Ok(told) => Ok((told?, looks)),
            Err(_) => bail!("the thread that waits for pgbench ended"),
        }
    })
}

fn transactions(told: &str) -> Result<u64> {
    let line = told.lines().find_map(|line| line.strip_prefix("number of transactions actually processed:"));
    let number = line.and_then(|text| text.trim().split('/').next()).context("pgbench told no number")?;
    Ok(number.trim().parse()?)
}

/// How long it took to connect, in microseconds; 0 when it does not tell.
fn connecting_micros(told: &str) -> u64 {
    let line = told.lines().find_map(|line| line.strip_prefix("initial connection time = "));
    let millis = line.and_then(|text| text.split('.').next()?.trim().parse::<u64>().ok());
    millis.unwrap_or_default() * 1_000
}

/// What pgbench logged: each transaction's end and how long it took, in microseconds of its clock.
#[derive(Debug, Default)]
struct Log {
    transactions: Vec<(u64, u64)>,
    /// The begin of the first one.
    begin: u64,
    /// The end of the last one.
    end: u64,
}

impl Log {
    fn read(folder: &Path) -> Result<Self> {
        let mut text = String::new();
        for entry in fs::read_dir(folder)? {
            text.push_str(&fs::read_to_string(entry?.path())?);
        }
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let of_line = |line: &str| {
            let fields: Vec<u64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
            match fields[..] {
                [_, _, took, _, second, micros, ..] => Some((second * 1_000_000 + micros, took)),
                _ => None,
            }
        };
        let transactions: Vec<(u64, u64)> = text.lines().filter_map(of_line).collect();
        let begin = transactions.iter().map(|(end, took)| end.saturating_sub(*took)).min();
        let end = transactions.iter().map(|(end, _)| *end).max();
        let (begin, end) = begin.zip(end).context("pgbench logged no transaction")?;
        Ok(Self { transactions, begin, end })
    }

    /// What counts, by its clock. Where connecting took longer than expected, the warm-up is that much shorter, down to half.
    fn window(&self, plan: Plan) -> Result<(u64, u64)> {
        let (warm_up, measured) = (micros(plan.warm_up), micros(plan.measured));
        let until = (self.begin + warm_up + measured).min(self.end);
        let from = until.saturating_sub(measured);
        if from < self.begin + warm_up / 2 {
            bail!("pgbench ran for {} ms only", (self.end - self.begin) / 1_000);
        }
        Ok((from, until))
    }

    /// The times of the transactions that ended then.
    fn between(&self, from: u64, until: u64) -> Result<Histogram<u64>> {
        let mut times = Histogram::new_with_bounds(1, 120_000_000, 3)?;
        for (_, took) in self.transactions.iter().filter(|(end, _)| (from..=until).contains(end)) {
            times.saturating_record((*took).max(1));
        }
        Ok(times)
    }
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
        assert_eq!(connecting_micros("initial connection time = 52.345 ms"), 52_000);
        assert_eq!(connecting_micros(told), 0);
    }

    #[test]
    fn what_ended_in_the_warm_up_does_not_count() {
        // Client, number, microseconds, script, end in seconds and microseconds.
        let log = "0 0 900000 0 100 900000\n1 0 500 0 100 950000\n0 1 2000 0 101 400000\n1 1 3000 0 102 5\n\
                   0 2 failed 0 101 500000\n";
        let log = Log::parse(log).unwrap();
        assert_eq!((log.begin, log.end), (100_000_000, 102_000_005));
        let second = Duration::from_secs(1);
        let plan = |warm_up| Plan { clients: 2, warm_up, measured: second };
        let (from, until) = log.window(plan(second)).unwrap();
        assert_eq!((from, until), (101_000_000, 102_000_000));
        let counted = log.between(from, until).unwrap();
        assert_eq!((counted.len(), counted.max() / 100), (1, 20));
        // It ended a little early, or far too early.
        assert_eq!(log.window(plan(second * 3 / 2)).unwrap(), (101_000_005, 102_000_005));
        assert!(log.window(plan(second * 3)).is_err());
        assert!(Log::parse("").is_err());
    }
}
