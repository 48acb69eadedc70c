//! The feed: numbering events after their commit, and following them.
//!
//! Consumers ask for what comes after the last number they have seen. Numbers are dense, so that a consumer can prove
//! that it missed nothing, and given once, so that it can go on where it stopped. A restored backup alone gives numbers
//! again: a consumer that also says which hash it has seen is told, whatever has happened since.

mod checkpoint_file;
mod checkpoints;

use std::time::Duration;

use simdepot_persistence::Conn;
use simdepot_persistence::feed::{self, Entry};

use crate::depot::Depot;
use crate::error::AppError;

/// Where a reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The last number that it has read; 0 before the first.
    pub seq: i64,
    /// The hash of that entry, if it has kept it.
    pub hash: Option<Vec<u8>>,
}

impl From<i64> for Place {
    fn from(seq: i64) -> Self {
        Self { seq, hash: None }
    }
}

pub use checkpoint_file::{CheckpointFile, InFile, KeptCheckpoints, read_file};
pub use checkpoints::{Checkpoint, step as keep_checkpoints};

/// Events numbered at once, about.
const BATCH: i64 = 2_000;

/// Numbers what is complete and wakes those who follow: it is the one that looks on their behalf how far the feed has
/// got, also by what other processes numbered. `false` when nothing is left for now: under load few rounds of many events
/// cost less than many of few.
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
    Ok(numbered >= BATCH.unsigned_abs())
}

/// The entries after a place, at most `limit`; waits up to `wait` for the first one.
///
/// # Errors
/// [`AppError::Invalid`] when the feed has no such place, or another entry there; when it cannot be read.
pub async fn read(
    depot: &Depot,
    after: impl Into<Place>,
    limit: i64,
    wait: Duration,
) -> Result<Vec<Entry>, AppError> {
    let place = after.into();
    let seq = place.seq;
    let look = || async {
        let place = place.clone();
        let entries = depot.store.read(move |conn| follow(conn, &place, limit)).await?;
        Ok::<_, AppError>((!entries.is_empty()).then_some(entries))
    };
    Ok(depot.signals.wait_for_feed(seq, wait, look).await?.unwrap_or_default())
}

/// What comes after a place that the reader and the feed share.
fn follow(conn: &mut Conn<'_>, place: &Place, limit: i64) -> Result<Vec<Entry>, AppError> {
    let entries = feed::after(conn, place.seq, limit)?;
    if let Some(seen) = &place.hash
        && feed::hash_at(conn, place.seq)?.is_some_and(|hash| hash != *seen)
    {
        let message = format!(
            "is not the hash of number {}: the database was restored and has given that number to another event. Go on \
             behind the last event whose number and hash are still accepted",
            place.seq
        );
        return Err(AppError::invalid("?hash", "mismatch", message));
    }
    if entries.is_empty() {
        let end = feed::position(conn)?.seq;
        if place.seq > end {
            let message = format!(
                "must be at most {end}, where the feed ends. If you have read further, the database was restored: go on \
                 behind the last event that you share with it, at the latest {end}, before its numbers are given again"
            );
            return Err(AppError::invalid("?after", "range", message));
        }
    }
    Ok(entries)
}
