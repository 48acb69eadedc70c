//! The simulation: one thread, one seed, everything in it decided by that seed.

mod calls;
mod carriers;
mod clients;
mod end_state;
mod ended;
mod executor;
mod network;
mod people;
mod post;
mod process;
mod requests;
mod template;
mod time;
mod weather;
mod world;

use anyhow::Result;

pub use carriers::Carriers;
pub use template::Templates;
pub use weather::{PostTrouble, Trouble, Weather};

use crate::checker::{self, EndState, Verdict};
use crate::guards::Guard;
use crate::history::History;

/// A run that is over, and what the checker says of it.
#[derive(Debug)]
pub struct Outcome {
    /// The story.
    pub history: History,
    /// What was left.
    pub end: EndState,
    /// Whether the promises were kept.
    pub verdict: Verdict,
}

/// What is not left to the seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup {
    /// The guard that is taken away.
    pub broken: Option<Guard>,
    /// Which carriers there are; those that the guard is about, or as the seed has it, when absent.
    pub carriers: Option<Carriers>,
}

impl Setup {
    fn carriers(self) -> Option<Carriers> {
        self.carriers.or_else(|| self.broken.map(Guard::carriers))
    }
}

/// Runs one seed to its end and checks it.
///
/// # Errors
/// When the run itself cannot go on: a failure as bad as a broken promise.
pub fn run(templates: &Templates, seed: u64, setup: Setup) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let run = runtime.block_on(async { world::World::new(templates, seed, setup)?.run().await })?;
    let verdict = checker::check(&run.history, &run.end);
    Ok(Outcome { history: run.history, end: run.end, verdict })
}

#[cfg(test)]
mod tests;
