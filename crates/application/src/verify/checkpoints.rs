//! Checkpoints: those that are events, and those that were kept outside the database.
//!
//! A kept one names a hash that must stand in the feed. The kept ones together must count without a gap up to the
//! ledger's: who rewrites the past must not be able to hide it by taking lines away.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::event::{Fact, Subject, SubjectKind};
use simdepot_persistence::{Conn, events, feed};

use super::{CHUNK, Report};
use crate::depot::Depot;
use crate::error::AppError;
use crate::feed::{Checkpoint, CheckpointFile, KeptCheckpoints};

/// A server writes a checkpoint to its file within this time.
const WRITTEN_WITHIN: TimeDelta = TimeDelta::minutes(5);

/// Holds both against the feed, and the kept ones against the ledger's.
pub(super) async fn verify_checkpoints(
    depot: &Depot,
    report: &mut Report,
    kept: &KeptCheckpoints,
) -> Result<(), AppError> {
    for file in &kept.files {
        for (line, checkpoint) in file.lines.iter().flatten() {
            let (seq, hash) = (checkpoint.seq, checkpoint.hash.clone());
            let found = depot.store.read(move |conn| disagrees(conn, seq, &hash)).await?;
            report.checkpoints += 1;
            if let Some(what) = found {
                report.find(format!("line {line} of the checkpoint file {}: {what}", file.name));
            }
        }
    }
    let ledger = verify_told(depot, report, kept.read_at - WRITTEN_WITHIN).await?;
    for what in lacking(kept, &ledger) {
        report.find(what);
    }
    Ok(())
}

/// How far the ledger's checkpoints go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ledger {
    /// The last one; 0 when there is none.
    last: i64,
    /// The last one that must have been kept by now.
    due: i64,
}

/// The ledger's own.
async fn verify_told(
    depot: &Depot,
    report: &mut Report,
    due_before: DateTime<Utc>,
) -> Result<Ledger, AppError> {
    let mut ledger = Ledger::default();
    loop {
        let after = ledger.last;
        let found = depot.store.read(move |conn| told(conn, after)).await?;
        if found.is_empty() {
            return Ok(ledger);
        }
        for Told { version, at, what } in found {
            report.checkpoints += 1;
            ledger.last = version;
            if at < due_before {
                ledger.due = version;
            }
            if let Some(what) = what {
                report.find(format!("checkpoint {version}: {what}"));
            }
        }
    }
}

/// A checkpoint of the ledger.
struct Told {
    version: i64,
    at: DateTime<Utc>,
    /// What is wrong with it.
    what: Option<String>,
}

/// The next checkpoints after a version, each with what is wrong with it.
fn told(conn: &mut Conn<'_>, after: i64) -> Result<Vec<Told>, AppError> {
    let told = events::of_subject_after(conn, SubjectKind::Feed, &Subject::Feed.id(), after, CHUNK)?;
    told.into_iter()
        .map(|event| {
            let what = match &event.fact {
                Fact::FeedCheckpoint { seq, hash } => disagrees(conn, *seq, hash)?,
                _ => Some("is no checkpoint".to_owned()),
            };
            Ok(Told { version: event.version, at: event.at, what })
        })
        .collect()
}

fn disagrees(conn: &mut Conn<'_>, seq: i64, hash: &str) -> Result<Option<String>, AppError> {
    Ok(match feed::hash_at(conn, seq)? {
        None => Some(format!("the feed has no number {seq} any more: its end was cut off")),
        Some(there) if hex::encode(&there) != hash.to_ascii_lowercase() => {
            Some(format!("number {seq} of the feed had another hash: what is before it was rewritten"))
        }
        Some(_) => None,
    })
}

/// What the files lack, together.
fn lacking(kept: &KeptCheckpoints, ledger: &Ledger) -> Vec<String> {
    let mut found = Vec::new();
    if kept.files.is_empty() {
        return found;
    }
    let mut versions: BTreeMap<i64, &Checkpoint> = BTreeMap::new();
    for file in &kept.files {
        for (line, checkpoint) in file.lines.iter().flatten() {
            let before = versions.insert(checkpoint.version, checkpoint);
            if before.is_some_and(|before| (before.seq, &before.hash) != (checkpoint.seq, &checkpoint.hash)) {
                let (version, name) = (checkpoint.version, &file.name);
                found.push(format!(
                    "line {line} of the checkpoint file {name}: another checkpoint {version} is kept"
                ));
            }
        }
        if ledger.due > 0 {
            found.extend(absent(file));
        }
    }
    let mut end = kept.since - 1;
    for version in versions.keys().copied().filter(|version| *version >= kept.since) {
        if version > end + 1 {
            found.push(gap(kept.since, end + 1, version));
        }
        end = version;
    }
    let last = versions.keys().last().copied().unwrap_or_default();
    if last > ledger.last {
        found.push(format!(
            "checkpoint {last} is kept, but the ledger has {}: its end was cut off, or an older backup was restored",
            ledger.last
        ));
    }
    if last < ledger.due {
        found.push(format!(
            "the last checkpoint that is kept is {last}, but the ledger has had {} for more than {} minutes: the end of \
             the file was cut off, or no server writes it",
            ledger.due,
            WRITTEN_WITHIN.num_minutes()
        ));
    }
    found
}

fn absent(file: &CheckpointFile) -> Option<String> {
    let name = &file.name;
    match &file.lines {
        None => Some(format!("there is no checkpoint file {name}: it was removed, or no server writes it")),
        Some(lines) if lines.is_empty() => Some(format!("the checkpoint file {name} is empty")),
        Some(_) => None,
    }
}

fn gap(since: i64, from: i64, to: i64) -> String {
    let lost = if from == to - 1 {
        format!("checkpoint {from}")
    } else {
        format!("checkpoints {from} to {}", to - 1)
    };
    if from == since {
        format!(
            "the checkpoint files begin with {to} and lack {lost}: name the older files as well, or, if keeping them \
             began there, say --checkpoints-since {to}"
        )
    } else {
        format!("the checkpoint files lack {lost}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, versions: impl IntoIterator<Item = i64>) -> CheckpointFile {
        let lines = versions.into_iter().enumerate().map(|(index, version)| {
            (index + 1, Checkpoint { version, seq: version, hash: "ab".into(), at: DateTime::UNIX_EPOCH })
        });
        CheckpointFile { name: name.to_owned(), lines: Some(lines.collect()) }
    }

    fn lacks(files: Vec<CheckpointFile>, since: i64, (last, due): (i64, i64)) -> Vec<String> {
        lacking(&KeptCheckpoints { files, since, ..KeptCheckpoints::none() }, &Ledger { last, due })
    }

    #[test]
    fn whole_files_lack_nothing() {
        let none = Vec::<String>::new();
        assert_eq!(lacks(vec![], 1, (9, 9)), none, "nobody keeps them");
        assert_eq!(lacks(vec![file("a", 1..=9)], 1, (9, 9)), none);
        assert_eq!(lacks(vec![file("a", 1..=8)], 1, (9, 8)), none, "made a moment ago");
        assert_eq!(lacks(vec![file("new", 6..=9), file("old", 1..=6)], 1, (9, 9)), none, "rotated");
        assert_eq!(lacks(vec![file("a", 4..=9)], 4, (9, 9)), none, "kept since 4");
        assert_eq!(lacks(vec![file("a", [])], 1, (1, 0)), none, "the first one was made a moment ago");
    }

    #[test]
    fn what_is_lost_is_named() {
        let missing = CheckpointFile { name: "a".into(), lines: None };
        let found = |files, since, ledger, what: &str| {
            let lacking = lacks(files, since, ledger);
            assert!(lacking.iter().any(|found| found.contains(what)), "{what}: {lacking:?}");
        };
        found(vec![missing], 1, (9, 9), "there is no checkpoint file a");
        found(vec![file("a", [])], 1, (9, 9), "the checkpoint file a is empty");
        found(vec![file("a", [1, 2, 5])], 1, (5, 5), "lack checkpoints 3 to 4");
        found(vec![file("a", 4..=9)], 1, (9, 9), "say --checkpoints-since 4");
        found(vec![file("a", 5..=9)], 4, (9, 9), "lack checkpoint 4");
        found(vec![file("a", 1..=6)], 1, (9, 8), "the last checkpoint that is kept is 6");
        found(vec![file("a", 1..=9)], 1, (7, 7), "checkpoint 9 is kept, but the ledger has 7");
        let mut other = file("b", 1..=9);
        other.lines.as_mut().unwrap()[2].1.hash = "cd".into();
        found(
            vec![file("a", 1..=9), other],
            1,
            (9, 9),
            "line 3 of the checkpoint file b: another checkpoint 3",
        );
    }
}
