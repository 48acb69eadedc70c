//! The feed: numbering events after their commit, and following them.
//!
//! Consumers ask for what comes after the last number they have seen. Numbers are dense, so that a consumer can prove
//! that it missed nothing, and given once, so that it can go on where it stopped.

mod checkpoint_file;
mod checkpoints;

use std::time::Duration;

use simdepot_persistence::feed::{self, Entry};

use crate::depot::Depot;
use crate::error::AppError;
use crate::signals::FEED;

pub use checkpoint_file::{CheckpointFile, InFile, KeptCheckpoints, read_file};
pub use checkpoints::{Checkpoint, step as keep_checkpoints};

/// Events numbered at once, about.
const BATCH: i64 = 1_000;

/// Numbers what is complete and wakes those who follow. `false` when there was nothing.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let look = depot.store.read(|conn| {
        let waiting = feed::is_waiting(conn)?;
        Ok::<_, AppError>((waiting, feed::position(conn)?.seq))
    });
    // Another process may have numbered: its work is news here as well.
    let (waiting, mut seq) = look.await?;
    let mut numbered = 0;
    if waiting {
        let work = depot.store.write(|conn| {
            let numbered = feed::sequence(conn, BATCH)?;
            Ok::<_, AppError>((numbered, feed::position(conn)?.seq))
        });
        match work.await {
            Ok(done) => (numbered, seq) = done,
            Err(error) if error.is_race() => tracing::debug!(%error, "another sequencer was faster"),
            Err(error) => return Err(error),
        }
        metrics::counter!("simdepot_feed_numbered_total").increment(numbered);
    }
    depot.signals.feed_reached(seq);
    Ok(numbered > 0)
}

/// The entries after a number, at most `limit`; waits up to `wait` for the first one.
///
/// # Errors
/// When they cannot be read.
pub async fn read(depot: &Depot, after: i64, limit: i64, wait: Duration) -> Result<Vec<Entry>, AppError> {
    let look = || async {
        let entries =
            depot.store.read(move |conn| Ok::<_, AppError>(feed::after(conn, after, limit)?)).await?;
        Ok::<_, AppError>((!entries.is_empty()).then_some(entries))
    };
    Ok(depot.signals.wait_for(FEED, wait, look).await?.unwrap_or_default())
}
