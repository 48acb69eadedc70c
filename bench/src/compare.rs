//! The comparison: every contender with every number of clients, again and again, in an order that is shuffled each time.

use anyhow::{Result, bail};
use strum::VariantArray as _;

use crate::cluster::{Cluster, Storage};
use crate::contender::Contender;
use crate::depot::Depot;
use crate::echo::Echo;
use crate::guards;
use crate::load::{self, Outcome, Plan, Target, Watched};
use crate::options::Options;
use crate::peers::Peer;
use crate::pgbench;
use crate::radius;
use crate::sample::{Sample, Samples};
use crate::setting::Setting;
use crate::stock;
use crate::tools::{count, float, say, shuffle, sources};

/// The database that is copied for each measurement, and the copy.
const STOCK: &str = "stock";
const RADIUS: &str = "radius";
const COPY: &str = "measured";

/// One thing to be measured.
#[derive(Debug, Clone, Copy)]
struct Job {
    contender: Contender,
    storage: Storage,
    clients: u32,
    repetition: u32,
}

/// Measures everything that is asked for on one kind of storage, and adds it to `samples`.
///
/// # Errors
/// When a guard is violated, or something does not start.
pub fn run(options: &Options, setting: &mut Setting, storage: Storage, samples: &mut Samples) -> Result<()> {
    if !jobs(options, storage).any(|_| true) {
        return Ok(());
    }
    let Some(cluster) = setting.unless_missing(storage.title(), Cluster::start(storage))? else {
        return Ok(());
    };
    let contenders = ready(options, setting, &cluster)?;
    for repetition in 1..=options.reps.max(1) {
        let mut jobs: Vec<Job> = jobs(options, storage)
            .filter(|(contender, _)| contenders.contains(contender))
            .map(|(contender, clients)| Job { contender, storage, clients, repetition })
            .collect();
        shuffle(&mut jobs, u64::from(repetition));
        for (number, job) in jobs.iter().enumerate() {
            let sample = measure(options, setting, &cluster, *job)?;
            say(&format!(
                "{}, repetition {repetition}, {}/{}: {} with {}: {:.0}/s, p50 {} µs, p99 {} µs",
                storage.title(),
                number + 1,
                jobs.len(),
                job.contender.title(),
                job.clients,
                sample.rate,
                sample.latency.p50,
                sample.latency.p99
            ));
            samples.0.push(sample);
        }
    }
    Ok(())
}

/// What each repetition measures, when nothing is missing.
pub fn jobs(options: &Options, storage: Storage) -> impl Iterator<Item = (Contender, u32)> {
    let wanted = Contender::VARIANTS.iter().copied().filter(|contender| options.wants(*contender));
    wanted.flat_map(move |contender| {
        contender.clients(&options.clients, storage).into_iter().map(move |clients| (contender, clients))
    })
}

/// Prepares what is asked for, and returns what can be measured.
fn ready(options: &Options, setting: &mut Setting, cluster: &Cluster) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    let mut wanted: Vec<Contender> =
        jobs(options, cluster.storage()).map(|(contender, _)| contender).collect();
    wanted.dedup();
    for contender in wanted {
        let prepared = match contender {
            Contender::Radius => radius::fetch(&setting.cache)
                .and_then(|sql| radius::fill(cluster, &sql, RADIUS, options.enough_stock() * 2)),
            _ => setting.installed.install(contender),
        };
        if setting.unless_missing(contender.title(), prepared)?.is_some() {
            contenders.push(contender);
        }
    }
    if contenders.iter().any(|contender| contender.writes_orders()) {
        stock::fill(cluster, &setting.binary, STOCK, options.enough_stock())?;
    }
    Ok(contenders)
}

fn measure(options: &Options, setting: &Setting, cluster: &Cluster, job: Job) -> Result<Sample> {
    let plan = options.plan(job.clients);
    let template = if job.contender == Contender::Radius { RADIUS } else { STOCK };
    if job.contender != Contender::Echo {
        // The copy of a database that was cleared up is as clear, and the copying ends with a checkpoint.
        cluster.copy(template, COPY)?;
    }
    let log = |cluster: &Cluster| cluster.number("postgres", "SELECT (pg_current_wal_lsn() - '0/0')::bigint");
    let before = log(cluster)?;
    let (outcome, feed) = load_of(setting, cluster, job.contender, plan)?;
    let written = log(cluster)? - before;
    let per_order = |total: u64| float(total) / float(outcome.counted.max(1));
    let mut sample = Sample {
        contender: job.contender,
        storage: job.storage,
        clients: job.clients,
        repetition: job.repetition,
        rate: float(outcome.counted) / outcome.seconds,
        latency: outcome.latency,
        service_cpu_micros: per_order(outcome.service.cpu_micros),
        database_cpu_micros: per_order(outcome.database.cpu_micros),
        load_cpu_micros: per_order(outcome.own_cpu_micros),
        service_mib: float(outcome.service.memory_kib) / 1024.0,
        database_mib: float(outcome.database.memory_kib) / 1024.0,
        wal_bytes: float(written) / float(outcome.answered.max(1)),
        feed_seconds: feed,
        rows: std::collections::BTreeMap::new(),
    };
    guards::answers(&outcome)?;
    if job.contender.writes_orders() {
        guards::books(&|sql| cluster.sql(COPY, sql), outcome.answered)?;
        sample.rows = guards::rows_per_order(cluster, COPY, outcome.answered)?;
    }
    if job.contender == Contender::Radius {
        let handed_out = radius::handed_out(cluster, COPY)?;
        if handed_out != outcome.answered {
            // A refusal under lock storms is an empty answer, which pgbench takes for a success.
            say(&format!(
                "  FreeRADIUS answered {} times and handed {handed_out} addresses out",
                outcome.answered
            ));
        }
    }
    Ok(sample)
}

/// Runs the load against a contender. simdepot's feed must catch up, and its books be proven, before it ends.
fn load_of(
    setting: &Setting,
    cluster: &Cluster,
    contender: Contender,
    plan: Plan,
) -> Result<(Outcome, Option<f64>)> {
    let database = Some(cluster.process()?);
    let sql = sources().join("sql");
    let outcome = match contender {
        Contender::Simdepot => return load_of_simdepot(setting, cluster, plan),
        Contender::PgbenchOne => pgbench::load(cluster, COPY, &sql.join("order.sql"), plan)?,
        Contender::PgbenchStatements => {
            pgbench::load(cluster, COPY, &sql.join("order-statements.sql"), plan)?
        }
        Contender::Radius => {
            let script = setting.cache.join("bench-radius/script.sql");
            std::fs::write(&script, radius::SCRIPT)?;
            pgbench::load(cluster, COPY, &script, plan)?
        }
        Contender::Echo => {
            let echo = Echo::start(&setting.own)?;
            let target = Target::orders(([127, 0, 0, 1], echo.port).into(), "echo", stock::POOL);
            load::run(&target, plan, Watched { service: Some(echo.process()), database: None })?
        }
        _ => {
            let peer = Peer::start(&setting.installed, contender, cluster, COPY)?;
            load::run(&peer.target(), plan, Watched { service: Some(peer.process()), database })?
        }
    };
    Ok((outcome, None))
}

fn load_of_simdepot(setting: &Setting, cluster: &Cluster, plan: Plan) -> Result<(Outcome, Option<f64>)> {
    let mut depot = Depot::start(&setting.binary, &cluster.url(COPY))?;
    let watched = Watched { service: Some(depot.process()), database: Some(cluster.process()?) };
    let outcome = load::run(&depot.target(), plan, watched)?;
    if count(outcome.iccids.len()) != outcome.answered && outcome.refused.is_empty() {
        bail!("{} orders were answered, {} with a profile", outcome.answered, outcome.iccids.len());
    }
    let feed = depot.wait_for_feed(|| guards::feed_lag(&|sql| cluster.sql(COPY, sql)))?;
    depot.verify()?;
    depot.stop();
    Ok((outcome, Some(feed.as_secs_f64())))
}

/// Whether all were measured with the rows that simdepot writes; lines that say what differs. Rows that are written once
/// per transaction are compared with those of simdepot's lone client, whose orders share none.
pub fn same_rows(samples: &Samples) -> Vec<String> {
    let last = |fits: &dyn Fn(&Sample) -> bool| samples.0.iter().rev().find(|sample| fits(sample));
    let Some(own) = last(&|sample| sample.contender == Contender::Simdepot) else { return Vec::new() };
    let alone = last(&|sample| sample.contender == Contender::Simdepot && sample.clients == 1);
    let mut own = own.rows.clone();
    own.remove(guards::PER_TRANSACTION);
    if let Some(rows) = alone.and_then(|sample| sample.rows.get(guards::PER_TRANSACTION)) {
        own.insert(guards::PER_TRANSACTION.to_owned(), *rows);
    }
    let others = Contender::VARIANTS
        .iter()
        .filter(|contender| contender.writes_orders() && !contender.shares_transactions());
    others
        .filter_map(|contender| Some((contender, last(&|sample| sample.contender == *contender)?)))
        .flat_map(|(contender, sample)| {
            let mut rows = sample.rows.clone();
            if alone.is_none() {
                rows.remove(guards::PER_TRANSACTION);
            }
            let told = guards::differences(&own, &rows);
            told.into_iter().map(move |line| format!("simdepot and {}: {line}", contender.title()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(contender: Contender, clients: u32, moves: f64) -> Sample {
        let rows = [("orders".to_owned(), 1.0), (guards::PER_TRANSACTION.to_owned(), moves)];
        Sample {
            contender,
            storage: Storage::Simulated,
            clients,
            repetition: 1,
            rate: 1.0,
            latency: crate::sample::Latency::default(),
            service_cpu_micros: 0.0,
            database_cpu_micros: 0.0,
            load_cpu_micros: 0.0,
            service_mib: 0.0,
            database_mib: 0.0,
            wal_bytes: 0.0,
            feed_seconds: None,
            rows: rows.into(),
        }
    }

    #[test]
    fn rows_per_transaction_are_compared_where_no_order_shares_one() {
        let many = sample(Contender::Simdepot, 64, 0.1);
        let lone = sample(Contender::Simdepot, 1, 1.0);
        let same = sample(Contender::PgbenchOne, 64, 1.0);
        let fewer = sample(Contender::PgbenchStatements, 8, 0.0);
        let told = |samples: &[&Sample]| same_rows(&Samples(samples.iter().copied().cloned().collect()));
        assert_eq!(told(&[&many, &same, &fewer]), Vec::<String>::new());
        assert_eq!(told(&[&lone, &same, &many]), Vec::<String>::new());
        let told = told(&[&lone, &same, &fewer, &many]);
        assert_eq!(told.len(), 1);
        assert!(told.iter().all(|line| line.contains("stock_moves: 1.00 and 0.00")), "{told:?}");
    }
}
