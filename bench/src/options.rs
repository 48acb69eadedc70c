//! What is asked for on the command line.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};

use strum::VariantArray as _;

use crate::cluster::Storage;
use crate::contender::Contender;
use crate::load::Plan;
use crate::tools::count;

/// Measures simdepot against PostgreSQL's own limit and against peers (docs/PERFORMANCE.md).
#[derive(Debug, Parser)]
pub struct Cli {
    /// What to do; everything is measured when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How.
    #[command(flatten)]
    pub options: Options,
}

/// What else it can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the bare echo; the benchmark starts it by itself.
    #[command(hide = true)]
    Echo {
        /// The port on loopback.
        port: u16,
    },
}

/// How it is measured.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A short look: two repetitions of one second, with 1, 8, 64 and 256 clients. No result to publish.
    #[arg(long)]
    pub quick: bool,
    /// Only this contender or scenario; repeat it for several. A word that fits none lists them.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Numbers of clients. When absent from 1 to 256, for each contender those that show something; fewer on the disk.
    #[arg(long, value_delimiter = ',')]
    pub clients: Vec<u32>,
    /// Seconds of each measurement, behind one to three of warm-up.
    #[arg(long, default_value_t = 2)]
    pub seconds: u64,
    /// Repetitions.
    #[arg(long, default_value_t = 5)]
    pub reps: u32,
    /// Storage; both when absent.
    #[arg(long)]
    pub storage: Vec<Storage>,
    /// Most profiles of the sweep over pool sizes.
    #[arg(long, default_value_t = 10_000_000)]
    pub most_profiles: u64,
    /// Where the tables go.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
    /// The binary; `simdepot` beside this one when absent.
    #[arg(long)]
    pub binary: Option<PathBuf>,
}

/// Seconds.
const LONGEST_WARM_UP: u64 = 3;

/// What is measured beside the contenders.
pub const SCENARIOS: [&str; 7] = ["aging", "snapshot", "pool-size", "reads", "sqlite", "import", "shop"];

impl Options {
    /// With `--quick` applied.
    #[must_use]
    pub fn settled(mut self) -> Self {
        if self.quick {
            (self.seconds, self.reps) = (1, self.reps.min(2));
            if self.clients.is_empty() {
                self.clients = vec![1, 8, 64, 256];
            }
            self.most_profiles = self.most_profiles.min(100_000);
        }
        if self.storage.is_empty() {
            self.storage = vec![Storage::Simulated, Storage::Disk];
        }
        self
    }

    /// Refuses words behind `--only` that name nothing.
    ///
    /// # Errors
    /// When there is one.
    pub fn check(&self) -> Result<()> {
        let known: Vec<String> =
            Contender::VARIANTS.iter().map(ToString::to_string).chain(SCENARIOS.map(str::to_owned)).collect();
        match self.only.iter().find(|only| !known.contains(only)) {
            Some(unknown) => bail!("--only {unknown}: one of {}", known.join(", ")),
            None => Ok(()),
        }
    }

    /// Whether a contender is asked for.
    pub fn wants(&self, contender: Contender) -> bool {
        self.wants_scenario(&contender.to_string())
    }

    /// Whether a scenario is asked for.
    pub fn wants_scenario(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// How long a measurement takes.
    pub fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }

    /// A measurement with so many clients. Before it counts there is load for a while, longer where many connections
    /// have to get warm; the same for all contenders.
    pub fn plan(&self, clients: u32) -> Plan {
        let warm_up = match clients {
            0..=4 => 1,
            5..=64 => 2,
            _ => LONGEST_WARM_UP,
        };
        Plan { clients, warm_up: Duration::from_secs(warm_up), measured: self.measured() }
    }

    /// Profiles that a measurement cannot use up: more than any path here sells in that time.
    pub fn enough_stock(&self) -> u64 {
        let processors = count(std::thread::available_parallelism().map_or(2, NonZero::get));
        (self.seconds.max(1) + LONGEST_WARM_UP) * 10_000 * processors.max(2)
    }
}
