//! An import beside PostgreSQL's raw COPY of the rows that it makes.

use std::time::Instant;

use anyhow::{Result, bail};

use super::pools::Pools;
use super::{Row, Told};
use crate::cluster::{Cluster, Storage};
use crate::depot::Depot;
use crate::goals::{Goal, Ratio};
use crate::options::Options;
use crate::sample::Figure;
use crate::setting::Setting;
use crate::stock;
use crate::tools::{float, say};

const MADE: &str = "imported";
const EMPTY: &str = "empty_pool";
const COPY: &str = "import_measured";

/// Rows of a repetition, and of the one large import.
const ROWS: u64 = 250_000;
const MANY: u64 = 5_000_000;

pub(super) fn run(options: &Options, setting: &Setting, pools: &mut Pools) -> Result<Vec<Told>> {
    let rows = if options.quick { 50_000 } else { options.most_profiles.min(ROWS) };
    let large = match options.most_profiles >= MANY {
        true => pools.make(setting, MANY)?,
        false => None,
    };
    let cluster = Cluster::start(Storage::Disk)?;
    // What COPY is given: the rows of an import, out of the tables.
    stock::fill(&cluster, &setting.binary, MADE, rows)?;
    for table in ["profiles", "profile_secrets"] {
        let file = cluster.socket().join(format!("{table}.copy"));
        cluster.sql(MADE, &format!("COPY {table} TO '{}'", file.display()))?;
    }
    cluster.copy(MADE, EMPTY)?;
    cluster.sql(EMPTY, "TRUNCATE profile_secrets, profiles CASCADE")?;
    let delivery = setting.cache.join("delivery.csv");
    stock::write_delivery(&delivery, 0..rows)?;
    let (mut copies, mut imports, mut memory) = (Vec::new(), Vec::new(), 0);
    for repetition in 1..=options.reps {
        let copied = copy(&cluster)?;
        cluster.sql("postgres", &format!("DROP DATABASE IF EXISTS {COPY} WITH (FORCE)"))?;
        cluster.sql("postgres", &format!("CREATE DATABASE {COPY}"))?;
        let mut depot = Depot::start(&setting.binary, &cluster.url(COPY))?;
        depot.make_pool()?;
        cluster.sql(COPY, "CHECKPOINT")?;
        let imported = depot.import(&delivery)?;
        depot.verify()?;
        depot.stop();
        let found =
            cluster.number(COPY, "SELECT count(*) FROM profile_secrets JOIN profiles ON id = profile_id")?;
        if found != rows {
            bail!("{found} of {rows} profiles were imported");
        }
        say(&format!("import, repetition {repetition}: {:.1} s, COPY {copied:.1} s", imported.seconds));
        copies.push(float(rows) / copied);
        imports.push(float(rows) / imported.seconds);
        memory = memory.max(imported.peak_kib);
    }
    std::fs::remove_file(&delivery)?;
    let (copies, imports) =
        (Row::new("raw COPY", copies, "rows/s"), Row::new("simdepot import", imports, "rows/s"));
    let speed = Ratio::of("import ÷ COPY", imports.figure, copies.figure, Storage::Disk);
    let mut ratios =
        vec![speed.deciding((rows == ROWS).then_some(Goal::Import)), memory_of(rows, memory, Storage::Disk)];
    let mut told = vec![copies, imports];
    if let Some(large) = large {
        ratios.push(memory_of(MANY, large.peak_kib, Storage::Simulated).deciding(Some(Goal::ImportMemory)));
        let speed = vec![float(MANY) / large.seconds];
        told.push(Row::new(format!("simdepot import of {MANY} rows, once"), speed, "rows/s"));
    }
    Ok(vec![Told {
        name: "import",
        title: format!("Import of {rows} rows beside raw COPY, {}", Storage::Disk.title()),
        ratios,
        rows: told,
        notes: vec![
            "COPY reads a file of the very rows that an import makes (profiles and their sealed secrets) into the same tables \
             with their indexes and foreign keys, in one transaction: it neither parses a delivery nor seals anything."
                .to_owned(),
        ],
    }])
}

fn memory_of(rows: u64, peak_kib: u64, on: Storage) -> Ratio {
    let figure = Figure::once(float(peak_kib) * 1024.0 / 1e6);
    Ratio { what: format!("most memory while {rows} rows are imported, MB"), figure, on, goal: None }
}

/// Seconds that COPY takes.
fn copy(cluster: &Cluster) -> Result<f64> {
    cluster.copy(EMPTY, COPY)?;
    cluster.sql(COPY, "CHECKPOINT")?;
    let from = |table: &str| {
        format!("COPY {table} FROM '{}'", cluster.socket().join(format!("{table}.copy")).display())
    };
    let begun = Instant::now();
    cluster.sql(COPY, &format!("BEGIN; {}; {}; COMMIT", from("profiles"), from("profile_secrets")))?;
    Ok(begun.elapsed().as_secs_f64())
}
