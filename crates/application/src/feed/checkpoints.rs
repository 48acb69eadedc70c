//! Checkpoints: where the feed stood, said hourly to places outside the database.
//!
//! The chain alone shows that somebody without the key changed an event. Somebody who cuts off the end, or who has the
//! key, leaves a chain that is whole: a checkpoint that lies elsewhere is what he cannot change. It is an event, so
//! that webhooks carry it away; a line of the log; and a line of a file when one is configured.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_domain::event::{Fact, Subject, SubjectKind};
use simdepot_persistence::events::StoredEvent;
use simdepot_persistence::{Conn, events, feed};

use super::checkpoint_file;
use crate::depot::Depot;
use crate::error::AppError;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Counts the checkpoints.
    pub version: i64,
    /// The last number of the feed.
    pub seq: i64,
    /// Its hash, in hex.
    pub hash: String,
    /// When it was made.
    pub at: DateTime<Utc>,
}

impl Checkpoint {
    pub(super) fn of(event: &StoredEvent) -> Option<Self> {
        match &event.fact {
            Fact::FeedCheckpoint { seq, hash } => {
                Some(Self { version: event.version, seq: *seq, hash: hash.clone(), at: event.at })
            }
            _ => None,
        }
    }
}

/// Makes a checkpoint when one is due, writes it to the file, and measures the lag. `true` when it made one.
///
/// # Errors
/// When the store cannot be asked, or the file cannot be written.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let work = depot.clone();
    let due = depot.store.read(move |conn| next(conn, &work)).await?;
    let made = match due {
        Some(_) => make(depot).await?,
        None => false,
    };
    if depot.work.checkpoint_file.is_some() {
        let work = depot.clone();
        depot.store.read(move |conn| checkpoint_file::keep(conn, &work)).await?;
    }
    measure(depot).await?;
    Ok(made)
}

/// The checkpoint that is due: the last one is old enough, and something else has happened since.
fn next(conn: &mut Conn<'_>, depot: &Depot) -> Result<Option<Checkpoint>, AppError> {
    let last = events::last_of_subject(conn, SubjectKind::Feed, &Subject::Feed.id())?;
    let position = feed::position(conn)?;
    let (version, seq, since) = match last.as_ref().and_then(Checkpoint::of) {
        Some(last) => (last.version, last.seq, Some(last.at)),
        None => (0, 0, feed::after(conn, 0, 1)?.first().map(|entry| entry.at)),
    };
    let now = depot.now();
    let due = since.is_some_and(|since| now - since >= depot.work.checkpoints);
    if !due || !feed::moved_since(conn, seq)? {
        return Ok(None);
    }
    let (seq, hash) = (position.seq, hex::encode(position.hash));
    Ok(Some(Checkpoint { version: version + 1, seq, hash, at: now }))
}

async fn make(depot: &Depot) -> Result<bool, AppError> {
    let work = depot.clone();
    let made = depot.store.write(move |conn| {
        let checkpoint = next(conn, &work)?;
        if let Some(checkpoint) = &checkpoint {
            let fact = Fact::FeedCheckpoint { seq: checkpoint.seq, hash: checkpoint.hash.clone() };
            events::append(conn, &[work.event(checkpoint.at, Subject::Feed, checkpoint.version, fact)])?;
        }
        Ok(checkpoint)
    });
    match made.await {
        Ok(Some(made)) => {
            tracing::info!(seq = made.seq, hash = made.hash, "checkpoint of the feed");
            Ok(true)
        }
        Ok(None) => Ok(false),
        // Another process made it.
        Err(error) if AppError::is_race(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn measure(depot: &Depot) -> Result<(), AppError> {
    let (backlog, now) = depot
        .store
        .read(|conn| {
            let now = conn.now()?;
            Ok::<_, AppError>((feed::backlog(conn)?, now))
        })
        .await?;
    let events = f64::from(i32::try_from(backlog.events).unwrap_or(i32::MAX));
    let age = backlog.oldest.map_or(0.0, |oldest| (now - oldest).as_seconds_f64().max(0.0));
    metrics::gauge!("simdepot_feed_lag_events").set(events);
    metrics::gauge!("simdepot_feed_lag_seconds").set(age);
    Ok(())
}
