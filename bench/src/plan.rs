//! What a run is going to do, and about how long that takes.

use std::fmt::Write as _;

use crate::cluster::Storage;
use crate::compare;
use crate::contender::Contender;
use crate::options::Options;
use crate::tools::{count, float};

/// Orders taken, profiles imported and profiles verified in a second on two processors: rough, and only for telling how long
/// a run takes.
const ORDERS: f64 = 8_000.0;
const IMPORTED: f64 = 30_000.0;
const VERIFIED: f64 = 35_000.0;

/// The plan in lines.
pub fn told(options: &Options) -> String {
    let mut text = "The plan, with a rough time on two processors that have nothing else to do:\n".to_owned();
    let mut whole = 0.0;
    for (what, seconds) in parts(options) {
        whole += seconds;
        let _ = writeln!(text, "  {:>5.1} min  {what}", seconds / 60.0);
    }
    let _ = write!(text, "  {:>5.1} min  in all", whole / 60.0);
    text
}

/// What is done, and how many seconds it takes.
fn parts(options: &Options) -> Vec<(String, f64)> {
    let mut parts: Vec<(String, f64)> = options
        .storage
        .iter()
        .map(|storage| {
            let each: Vec<f64> = compare::jobs(options, *storage)
                .map(|(contender, clients)| {
                    let verified = contender == Contender::Simdepot;
                    let verified = if verified { float(options.enough_stock()) / VERIFIED } else { 0.0 };
                    seconds_of(options, clients, *storage) + verified
                })
                .collect();
            let what = format!(
                "comparison, {}: {} measurements, {} times",
                storage.title(),
                each.len(),
                options.reps
            );
            (what, each.iter().sum::<f64>() * f64::from(options.reps))
        })
        .collect();
    parts.extend(scenarios(options));
    parts.retain(|(_, seconds)| *seconds > 0.0);
    parts
}

/// One measurement with a fresh copy of a database.
fn seconds_of(options: &Options, clients: u32, storage: Storage) -> f64 {
    let plan = options.plan(clients);
    let around = match storage {
        Storage::Simulated => 1.5,
        Storage::Disk => 2.5,
    };
    (plan.warm_up + plan.measured).as_secs_f64() + around
}

fn scenarios(options: &Options) -> Vec<(String, f64)> {
    let reps = f64::from(options.reps);
    let most = float(options.most_profiles);
    let wanted =
        |names: &[&str]| float(count(names.iter().filter(|name| options.wants_scenario(name)).count()));
    let sold = if options.quick { 10_000.0 } else { 200_000.0 };
    let rows = if options.quick { 50_000.0 } else { most.min(250_000.0) };
    let large = if most >= 5e6 { 5e6 } else { 0.0 };
    // A delivery is imported, and read again when the pool is proven.
    let delivered = |rows: f64| rows / IMPORTED + rows / VERIFIED;
    let more = if wanted(&["import"]) > 0.0 { most - large } else { most };
    let stock = float(options.enough_stock());
    let databases = float(count(options.storage.len()));
    [
        ("import: COPY and import in turn, and one of 5,000,000 rows", wanted(&["import"]), {
            reps * (delivered(rows) + rows / IMPORTED + 3.0) + delivered(large) + rows / IMPORTED
        }),
        (
            "pools up to the largest, made once and proven",
            wanted(&["pool-size", "reads"]).min(1.0),
            delivered(more),
        ),
        (
            "pool-size: orders out of each pool",
            wanted(&["pool-size"]),
            reps * most.log10().floor().max(4.0).mul_add(6.0, -6.0),
        ),
        ("reads: the smallest and the largest pool", wanted(&["reads"]), reps * 8.0),
        (
            "aging, snapshot",
            wanted(&["aging", "snapshot"]),
            reps * (sold / ORDERS + 15.0 + 2.0f64.mul_add(stock, sold) / VERIFIED),
        ),
        (
            "sqlite",
            wanted(&["sqlite"]),
            reps * 2.0 * databases * (seconds_of(options, 64, Storage::Disk) + stock / VERIFIED),
        ),
        ("shop", wanted(&["shop"]), reps * 25.0),
    ]
    .into_iter()
    .map(|(what, times, seconds)| (what.to_owned(), times * seconds))
    .collect()
}
