//! `prove`: the simulation, its replay, the guards, and the run with real crashes.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use prove::guards::Guard;
use prove::real::{self, Database, RealPlan};
use prove::runner::{self, Plan};
use prove::sim::{Carriers, Setup, Templates};
use strum::VariantArray as _;

/// Seeds between two words on how far it is.
const TOLD_EVERY: u64 = 500;

/// Proves that simdepot keeps its promises (docs/PROOF.md).
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs seeds, one after the other from a first one.
    Sim {
        /// How many.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        #[command(flatten)]
        how: How,
        /// Ends after this many seconds, however many seeds are done.
        #[arg(long)]
        seconds: Option<u64>,
    },
    /// Runs one seed again and prints its whole history.
    Replay {
        /// Which.
        seed: u64,
        /// The carriers that the run was told to have, if it was.
        #[arg(long = "carrier")]
        carriers: Option<Carriers>,
        /// Takes a guard away.
        #[arg(long = "break")]
        broken: Option<Guard>,
    },
    /// Runs the real binary under load and kills it.
    Real {
        /// `sqlite` or `postgres`.
        #[arg(long, default_value_t = Database::Sqlite)]
        database: Database,
        /// Processes that share the database.
        #[arg(long, default_value_t = 1)]
        processes: usize,
        /// `transatel`, `wholesale` or `both`.
        #[arg(long = "carrier", default_value_t = Carriers::Both)]
        carriers: Carriers,
        /// Orders.
        #[arg(long, default_value_t = 120)]
        orders: usize,
        /// How often a process is killed.
        #[arg(long, default_value_t = 4)]
        kills: usize,
        /// The binary; `simdepot` beside this one when absent.
        #[arg(long)]
        binary: Option<std::path::PathBuf>,
        /// Decides the moments of the kills; another one each time when absent.
        #[arg(long, env = "PROVE_SEED")]
        seed: Option<u64>,
    },
    /// Takes each guard away, one by one, and demands that the checker notices.
    Guards {
        /// Most seeds per guard.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        #[command(flatten)]
        how: How,
    },
}

/// Where seeds come from and how they are run.
#[derive(Debug, clap::Args)]
struct How {
    /// The first seed; another one each time when absent.
    #[arg(long, env = "PROVE_SEED")]
    seed: Option<u64>,
    /// Threads; as many as the machine has when absent.
    #[arg(long)]
    threads: Option<usize>,
    /// Takes a guard away.
    #[arg(long = "break")]
    broken: Option<Guard>,
    /// `transatel`, `wholesale` or `both`; as each seed has it when absent.
    #[arg(long = "carrier")]
    carriers: Option<Carriers>,
}

impl How {
    fn plan(&self, seeds: u64) -> Plan {
        let threads = self
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, std::num::NonZero::get));
        let first = self.seed.unwrap_or_else(any_seed);
        let setup = Setup { broken: self.broken, carriers: self.carriers };
        Plan { first, seeds, budget: None, threads, setup, failures: 5 }
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Sim { seeds, how, seconds } => {
            let budget = seconds.map(Duration::from_secs);
            simulate(Plan { budget, ..how.plan(seeds) })
        }
        Command::Replay { seed, carriers, broken } => replay(seed, Setup { broken, carriers }),
        Command::Real { database, processes, carriers, orders, kills, binary, seed } => {
            let (processes, seed) = (processes.max(1), seed.unwrap_or_else(any_seed));
            really(&RealPlan { database, processes, carriers, orders, kills, binary, seed })
        }
        Command::Guards { seeds, how } => guards(how.plan(seeds)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("prove: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    // Nobody is left to be told when the terminal is gone.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Another one each time.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32 << 16
}

fn really(plan: &RealPlan) -> Result<bool> {
    say(&format!("kills by PROVE_SEED={}", plan.seed));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let found = runtime.block_on(real::run(plan, &say))?;
    for what in &found {
        say(&format!("NOT KEPT: {what}"));
    }
    if found.is_empty() {
        say(
            "every acknowledged order is fulfilled, with one bundle or subscription each; the feed has no gap; verify finds \
             nothing",
        );
    }
    Ok(found.is_empty())
}

fn simulate(plan: Plan) -> Result<bool> {
    say(&format!("seeds from {} on (PROVE_SEED={} runs them again)", plan.first, plan.first));
    let templates = Templates::make(plan.setup.carriers)?;
    let sum = runner::many(&templates, plan, |sum, failure| {
        if let Some(failure) = failure {
            say(&failure.report);
        }
        if sum.seeds % TOLD_EVERY == 0 {
            let (done, failed, took) = (sum.seeds, sum.failures.len(), sum.took.as_secs());
            say(&format!("{done} of {} seeds in {took} s: {failed} failed", plan.seeds));
        }
    });
    say(&sum.table());
    Ok(sum.failures.is_empty())
}

fn replay(seed: u64, setup: Setup) -> Result<bool> {
    let templates = Templates::make(setup.carriers)?;
    match runner::one(&templates, seed, setup) {
        Err(failure) => {
            say(&failure.report);
            Ok(false)
        }
        Ok(outcome) => {
            for entry in outcome.history.entries() {
                say(&entry.to_string());
            }
            for violation in &outcome.verdict.violations {
                say(&format!("NOT KEPT: {}: {}", violation.rule, violation.what));
            }
            say(&format!("history {}", outcome.history.hash()));
            Ok(outcome.verdict.violations.is_empty())
        }
    }
}

fn guards(plan: Plan) -> Result<bool> {
    say(&format!("seeds from {} on (PROVE_SEED={} runs them again)", plan.first, plan.first));
    let templates = Templates::make(plan.setup.carriers)?;
    let all = plan.setup.broken.map_or_else(|| Guard::VARIANTS.to_vec(), |guard| vec![guard]);
    let mut missed = 0;
    for guard in all {
        let sum = runner::many(
            &templates,
            Plan { setup: Setup { broken: Some(guard), ..plan.setup }, failures: 1, ..plan },
            |_, _| {},
        );
        match sum.failures.first() {
            Some(failure) => {
                let rules = failure.rules.join(", ");
                say(&format!("{guard:<24} noticed after {:>3} seeds ({}): {rules}", sum.seeds, failure.seed));
            }
            None => {
                missed += 1;
                say(&format!("{guard:<24} NOT NOTICED in {} seeds", sum.seeds));
            }
        }
    }
    Ok(missed == 0)
}
