//! The file that keeps the checkpoints outside the database.
//!
//! It vouches for the database, so it must not be made of it: what the file lacks of the past is not copied into it.
//! A process writes the checkpoints that are made while it watches the file. A file that is new, was emptied or rotated
//! begins with the current checkpoint; one that was shortened keeps its gap, which `simdepot verify` finds.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use simdepot_domain::event::{Subject, SubjectKind};
use simdepot_persistence::{Conn, events};

use super::Checkpoint;
use crate::depot::Depot;
use crate::error::AppError;

/// Checkpoints written to the file at once.
const BATCH: i64 = 1_000;
/// More than a line of the file is long.
const TAIL: u64 = 4_096;

/// Checkpoints that were kept outside the database, to be held against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoints {
    /// The files; none when none is kept.
    pub files: Vec<CheckpointFile>,
    /// With which checkpoint keeping them began.
    pub since: i64,
    /// When they were read: what was made after that cannot be in them.
    pub read_at: DateTime<Utc>,
}

impl KeptCheckpoints {
    /// None are kept.
    pub fn none() -> Self {
        Self { files: Vec::new(), since: 1, read_at: DateTime::UNIX_EPOCH }
    }
}

/// A file of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFile {
    /// How findings name it.
    pub name: String,
    /// Its checkpoints with their lines; absent when there is no such file.
    pub lines: Option<Vec<(usize, Checkpoint)>>,
}

/// What a process has seen of its file.
#[derive(Debug, Default)]
pub struct InFile(Mutex<Watch>);

#[derive(Debug, Clone, Copy, Default)]
struct Watch {
    /// The last checkpoint in it; absent before the first look.
    seen: Option<i64>,
    /// It was told that the file is ahead.
    told_ahead: bool,
}

/// What to write to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// The ledger's checkpoints after this one.
    After { version: i64, because: Option<Because> },
    /// Nothing: the ledger has fewer checkpoints than the file.
    Ahead,
}

/// Why a file does not simply go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Because {
    /// It has no checkpoint (any more), and the ledger has older ones.
    Begins,
    /// It has fewer than this process has seen in it.
    Shortened,
    /// The ones in between were made while no process watched it.
    Missed,
}

/// `seen` is the last checkpoint that this process knows to have been in the file, `in_file` and `in_ledger` are the
/// last ones there; 0 for none.
fn plan(seen: Option<i64>, in_file: i64, in_ledger: i64) -> Plan {
    // Behind this one only the current checkpoint is written.
    let current = (in_ledger - 1).max(0);
    let from_current = |because| Plan::After { version: current, because: Some(because) };
    if in_file > in_ledger {
        return Plan::Ahead;
    }
    match seen {
        Some(seen) if in_file >= seen => Plan::After { version: in_file, because: None },
        Some(_) if in_file > 0 => from_current(Because::Shortened),
        Some(_) => from_current(Because::Begins),
        None if in_file > 0 && in_file < current => from_current(Because::Missed),
        None if in_file > 0 => Plan::After { version: in_file, because: None },
        None if current > 0 => from_current(Because::Begins),
        None => Plan::After { version: 0, because: None },
    }
}

/// Writes the checkpoints that the file lacks and may have from the ledger.
///
/// It runs inside a read, because that has a thread of its own on which a file may be waited for.
///
/// # Errors
/// When the ledger cannot be read, or the file cannot be written or is not ours.
pub(super) fn keep(conn: &mut Conn<'_>, depot: &Depot) -> Result<(), AppError> {
    let Some(path) = &depot.work.checkpoint_file else {
        return Ok(());
    };
    let unwritable = |error: io::Error| {
        AppError::Internal(format!("the checkpoint file {} cannot be written: {error}", path.display()))
    };
    // One step at a time writes to it.
    let mut watch = depot.checkpoint_file.0.lock().unwrap_or_else(PoisonError::into_inner);
    let in_file = last_version(path).map_err(unwritable)?;
    let subject = Subject::Feed.id();
    let last = events::last_of_subject(conn, SubjectKind::Feed, &subject)?;
    let in_ledger = last.map_or(0, |event| event.version);
    let ahead = f64::from(i32::try_from((in_file - in_ledger).max(0)).unwrap_or(i32::MAX));
    metrics::gauge!("simdepot_checkpoint_file_ahead").set(ahead);
    let (after, because) = match plan(watch.seen, in_file, in_ledger) {
        Plan::After { version, because } => (version, because),
        Plan::Ahead => {
            if !watch.told_ahead {
                tracing::error!(
                    file = %path.display(), in_file, in_ledger,
                    "the checkpoint file is ahead of the ledger, which was cut off or restored from an older backup: \
                     nothing is written to it; keep it, and begin a new one if the ledger is as it should be"
                );
            }
            watch.told_ahead = true;
            return Ok(());
        }
    };
    watch.told_ahead = false;
    if let Some(because) = because.filter(|_| in_file < in_ledger) {
        warn(path, because, in_file, in_ledger);
    }
    let missing = events::of_subject_after(conn, SubjectKind::Feed, &subject, after.max(in_file), BATCH)?;
    let mut lines = String::new();
    let mut end = in_file;
    for checkpoint in missing.iter().filter_map(Checkpoint::of) {
        let line =
            serde_json::to_string(&checkpoint).map_err(|error| AppError::Internal(error.to_string()))?;
        lines.push_str(&line);
        lines.push('\n');
        end = checkpoint.version;
    }
    if !lines.is_empty() {
        append(path, &lines).map_err(unwritable)?;
    }
    watch.seen = Some(end);
    Ok(())
}

fn warn(path: &Path, because: Because, in_file: i64, in_ledger: i64) {
    let file = path.display();
    match because {
        Because::Begins => tracing::warn!(
            %file, checkpoint = in_ledger,
            "the checkpoint file is new, was emptied or rotated: it begins with the current checkpoint; keep the file \
             before, this one says nothing of the past"
        ),
        Because::Shortened => tracing::error!(
            %file, in_file, checkpoint = in_ledger,
            "the checkpoint file was shortened: it goes on with the current checkpoint, and its gap stays"
        ),
        Because::Missed => tracing::warn!(
            %file, in_file, checkpoint = in_ledger,
            "the checkpoint file lacks checkpoints that were made while no server wrote to it: it goes on with the \
             current one, and its gap stays"
        ),
    }
}

/// How a line of ours begins: the order of the fields is that of [`Checkpoint`].
const BEGINNING: &[u8] = br#"{"version":"#;

/// Whether a line without an end may be what a crash, or a write that is under way, has left of one of ours.
fn may_be_torn(line: &[u8]) -> bool {
    let known = line.len().min(BEGINNING.len());
    line.get(..known) == BEGINNING.get(..known)
}

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
        if !may_be_torn(torn) {
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

/// The checkpoints of a file, with their line numbers. A last line that is being written is left out.
///
/// # Errors
/// When it cannot be read, or a line is no checkpoint.
pub fn read_file(path: &Path) -> io::Result<Vec<(usize, Checkpoint)>> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    let mut kept = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        match serde_json::from_str(line) {
            Ok(checkpoint) => kept.push((number, checkpoint)),
            Err(_) if !line.ends_with('\n') && may_be_torn(line.as_bytes()) => {}
            Err(error) => {
                let what = format!("line {number} is no checkpoint: {error}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
    }
    Ok(kept)
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
    fn the_past_is_not_copied_into_a_file() {
        let after = |version| Plan::After { version, because: None };
        let because = |version, because| Plan::After { version, because: Some(because) };
        // The first look of a process: the last one may have been made by it before it died.
        assert_eq!(plan(None, 0, 0), after(0));
        assert_eq!(plan(None, 0, 1), after(0));
        assert_eq!(plan(None, 7, 7), after(7));
        assert_eq!(plan(None, 6, 7), after(6));
        assert_eq!(plan(None, 4, 7), because(6, Because::Missed));
        assert_eq!(plan(None, 0, 7), because(6, Because::Begins));
        // Later ones: what was made meanwhile was made while it watched.
        assert_eq!(plan(Some(0), 0, 2), after(0));
        assert_eq!(plan(Some(7), 7, 7), after(7));
        assert_eq!(plan(Some(7), 7, 9), after(7));
        assert_eq!(plan(Some(7), 8, 9), after(8));
        assert_eq!(plan(Some(7), 0, 7), because(6, Because::Begins));
        assert_eq!(plan(Some(7), 4, 7), because(6, Because::Shortened));
        for seen in [None, Some(7), Some(9)] {
            assert_eq!(plan(seen, 8, 7), Plan::Ahead);
            assert_eq!(plan(seen, 1, 0), Plan::Ahead);
        }
    }

    #[test]
    fn a_file_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints.jsonl");
        assert_eq!(last_version(&path).unwrap(), 0);
        append(&path, &(1..=40).map(line).collect::<String>()).unwrap();
        assert_eq!(last_version(&path).unwrap(), 40);
        // A crash in the middle of a line, or somebody who reads while it is written.
        append(&path, &line(41)[..20]).unwrap();
        assert_eq!(read_file(&path).unwrap().len(), 40);
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
            assert!(read_file(&path).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign, "it is left as it was");
        }
        assert!(read_file(&folder.path().join("none")).is_err());
    }
}
