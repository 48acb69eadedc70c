//! Checkpoints: where the feed stood, said hourly to places outside the database.
//!
//! The chain alone shows that somebody without the key changed an event. Somebody who cuts off the end, or who has the
//! key, leaves a chain that is whole: a checkpoint that lies elsewhere is what he cannot change. It is an event, so
//! that webhooks carry it away; a line of the log; and a line of a file when one is configured.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_domain::event::{Fact, Subject, SubjectKind};
use simdepot_persistence::events::StoredEvent;
use simdepot_persistence::{Conn, events, feed};

use crate::depot::Depot;
use crate::error::AppError;

/// Checkpoints written to the file at once.
const BATCH: i64 = 1_000;
/// More than a line of the file is long.
const TAIL: u64 = 4_096;

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
    fn of(event: &StoredEvent) -> Option<Self> {
        match &event.fact {
            Fact::FeedCheckpoint { seq, hash } => {
                Some(Self { version: event.version, seq: *seq, hash: hash.clone(), at: event.at })
            }
            _ => None,
        }
    }
}

/// Makes a checkpoint when one is due, writes what the file lacks, and measures the lag. `true` when it made one.
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
        depot.store.read(move |conn| append_to_file(conn, &work)).await?;
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

/// Writes the checkpoints that the file lacks, those of other processes and of before a crash included.
///
/// It runs inside a read, because that has a thread of its own on which a file may be waited for.
fn append_to_file(conn: &mut Conn<'_>, depot: &Depot) -> Result<(), AppError> {
    let Some(path) = &depot.work.checkpoint_file else {
        return Ok(());
    };
    let unwritable = |error: io::Error| {
        AppError::Internal(format!("the checkpoint file {} cannot be written: {error}", path.display()))
    };
    let written = last_version(path).map_err(unwritable)?;
    let subject = Subject::Feed.id();
    let missing = events::of_subject_after(conn, SubjectKind::Feed, &subject, written, BATCH)?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for checkpoint in missing.iter().filter_map(Checkpoint::of) {
        let line =
            serde_json::to_string(&checkpoint).map_err(|error| AppError::Internal(error.to_string()))?;
        lines.push_str(&line);
        lines.push('\n');
    }
    append(path, &lines).map_err(unwritable)
}

/// How a line of ours begins: the order of the fields is that of [`Checkpoint`].
const BEGINNING: &[u8] = br#"{"version":"#;

/// The version in the last whole line; 0 when there is none. What a crash left of a line of ours is cut off; a file
/// that is not ours is left as it is.
fn last_version(path: &Path) -> io::Result<i64> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let torn = tail.iter().rev().take_while(|byte| **byte != b'\n').count();
    let (whole, torn) = tail.split_at(tail.len().saturating_sub(torn));
    let version = match whole.split(|byte| *byte == b'\n').rev().find(|line| !line.is_empty()) {
        Some(last) => serde_json::from_slice::<Checkpoint>(last).map_err(not_ours)?.version,
        None => 0,
    };
    if !torn.is_empty() {
        let known = torn.len().min(BEGINNING.len());
        if torn.get(..known) != BEGINNING.get(..known) {
            return Err(not_ours("it ends in something that is no checkpoint"));
        }
        tracing::warn!(file = %path.display(), bytes = torn.len(), "cut off a checkpoint that was half written");
        file.set_len(length.saturating_sub(u64::try_from(torn.len()).unwrap_or(length)))?;
    }
    Ok(version)
}

fn not_ours(why: impl std::fmt::Display) -> io::Error {
    let what = format!("its last line is no checkpoint, so nothing is written to it ({why})");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()
}

/// The checkpoints of a file, with their line numbers.
///
/// # Errors
/// When it cannot be read, or a line is no checkpoint.
pub fn read_file(path: &Path) -> io::Result<Vec<(usize, Checkpoint)>> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let number = index + 1;
            serde_json::from_str(line).map(|checkpoint| (number, checkpoint)).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("line {number} is no checkpoint: {error}"))
            })
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(version: i64) -> Checkpoint {
        Checkpoint { version, seq: 10 * version, hash: "ab".repeat(32), at: DateTime::UNIX_EPOCH }
    }

    fn line(version: i64) -> String {
        format!("{}\n", serde_json::to_string(&checkpoint(version)).unwrap())
    }

    #[test]
    fn a_file_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints.jsonl");
        assert_eq!(last_version(&path).unwrap(), 0);
        append(&path, &(1..=40).map(line).collect::<String>()).unwrap();
        assert_eq!(last_version(&path).unwrap(), 40);
        // A crash in the middle of a line.
        append(&path, &line(41)[..20]).unwrap();
        assert_eq!(last_version(&path).unwrap(), 40);
        append(&path, &line(41)).unwrap();
        let read = read_file(&path).unwrap();
        assert_eq!((read.len(), read.last()), (41, Some(&(41, checkpoint(41)))));
    }

    #[test]
    fn what_is_no_checkpoint_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints.jsonl");
        append(&path, &format!("{}\nnonsense\n", line(1))).unwrap();
        assert!(read_file(&path).unwrap_err().to_string().contains("line 3"));
        assert!(last_version(&path).is_err(), "nothing is written behind what is not ours");
        for foreign in
            ["a key without a line's end", "one line\n{\"version\":", "one line\nand a tail", "{\"a\":1}"]
        {
            std::fs::write(&path, foreign).unwrap();
            let error = last_version(&path).unwrap_err().to_string();
            assert!(error.contains("no checkpoint"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign, "it is left as it was");
        }
        assert!(read_file(&folder.path().join("none")).is_err());
    }
}
