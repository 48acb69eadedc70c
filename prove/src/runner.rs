//! Many seeds on several threads, and what they add up to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::sim::{self, Outcome, Setup, Templates};

/// Entries of a failing history that are shown.
const TAIL: usize = 40;

/// A seed that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// The rules that were broken, or `the run itself`.
    pub rules: Vec<&'static str>,
    /// Everything there is to say.
    pub report: String,
}

/// What the seeds add up to.
#[derive(Debug, Default)]
pub struct Sum {
    /// Seeds that were run.
    pub seeds: u64,
    /// Steps of all runs.
    pub steps: u64,
    /// Entries of all histories.
    pub entries: u64,
    /// Disturbances by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// What was seen, by name.
    pub seen: BTreeMap<&'static str, u64>,
    /// Seeds that failed, in the order found.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
}

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// Ends after this, however many are done.
    pub budget: Option<Duration>,
    /// Threads.
    pub threads: usize,
    /// What is not left to the seeds.
    pub setup: Setup,
    /// Ends after so many failures.
    pub failures: usize,
}

/// Runs one seed; a panic is a failure like any other.
pub fn one(templates: &Templates, seed: u64, setup: Setup) -> Result<Outcome, Failure> {
    let failed = |what: String| Failure {
        seed,
        rules: vec!["the run itself"],
        report: format!("seed {seed} could not be run: {what}\n{}", replay(seed, setup)),
    };
    match catch_unwind(AssertUnwindSafe(|| sim::run(templates, seed, setup))) {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => Err(failed(format!("{error:#}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(failed(text.unwrap_or_else(|| "a panic; see above".to_owned())))
        }
    }
}

fn replay(seed: u64, setup: Setup) -> String {
    let guard = setup.broken.map(|guard| format!(" --break {guard}")).unwrap_or_default();
    let carriers = setup.carriers.map(|carriers| format!(" --carrier {carriers}")).unwrap_or_default();
    format!("replay it with: cargo run --release -p prove -- replay {seed}{carriers}{guard}")
}

/// What to say of a seed whose promises were not kept.
pub fn report(seed: u64, setup: Setup, outcome: &Outcome) -> String {
    let mut text = format!("seed {seed}: {} promises were not kept\n", outcome.verdict.violations.len());
    let entries = outcome.history.entries();
    let tail = entries.get(entries.len().saturating_sub(TAIL)..).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  … the last {} of {} entries of its history:", tail.len(), entries.len());
    for entry in tail {
        let _ = writeln!(text, "  {entry}");
    }
    for violation in &outcome.verdict.violations {
        let _ = writeln!(text, "  NOT KEPT: {}: {}", violation.rule, violation.what);
    }
    let _ = writeln!(text, "{}", replay(seed, setup));
    text
}

/// Runs seeds. `tell` hears of each when it has ended, with what the seeds add up to so far.
pub fn many(templates: &Templates, plan: Plan, tell: impl Fn(&Sum, Option<&Failure>) + Sync) -> Sum {
    let begun = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let over = plan.budget.is_some_and(|budget| begun.elapsed() >= budget);
                    if number >= plan.seeds || over {
                        return;
                    }
                    let seed = plan.first.wrapping_add(number);
                    let ended = one(templates, seed, plan.setup);
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    let failures = sum.failures.len();
                    add(&mut sum, seed, plan.setup, ended);
                    sum.took = begun.elapsed();
                    tell(&sum, sum.failures.get(failures));
                    if sum.failures.len() >= plan.failures {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.took = begun.elapsed();
    sum
}

fn add(sum: &mut Sum, seed: u64, setup: Setup, ended: Result<Outcome, Failure>) {
    sum.seeds += 1;
    match ended {
        Err(failure) => sum.failures.push(failure),
        Ok(outcome) => {
            sum.steps += outcome.history.steps;
            sum.entries += u64::try_from(outcome.history.entries().len()).unwrap_or_default();
            for (name, count) in &outcome.history.counts {
                *sum.faults.entry(name).or_default() += count;
            }
            for (name, count) in &outcome.verdict.seen {
                *sum.seen.entry(name).or_default() += count;
            }
            if !outcome.verdict.violations.is_empty() {
                let mut rules: Vec<_> = outcome.verdict.violations.iter().map(|v| v.rule).collect();
                rules.sort_unstable();
                rules.dedup();
                sum.failures.push(Failure { seed, rules, report: report(seed, setup, &outcome) });
            }
        }
    }
}

impl Sum {
    /// The sums as a table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (title, counts) in [("faults", &self.faults), ("seen", &self.seen)] {
            let _ = writeln!(text, "{title}:");
            for (name, count) in counts {
                let _ = writeln!(text, "  {name:<40} {count:>9}");
            }
        }
        let per_second = if self.took.is_zero() {
            0
        } else {
            u128::from(self.seeds) * 1000 / self.took.as_millis().max(1)
        };
        let _ = writeln!(
            text,
            "{} seeds, {} steps, {} entries in {} s ({per_second} seeds/s): {} failed",
            self.seeds,
            self.steps,
            self.entries,
            self.took.as_secs(),
            self.failures.len()
        );
        text
    }
}
