//! Imports against their events, and the profiles of each as they were imported.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use simdepot_domain::channel::PoolName;
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::id::ImportId;
use simdepot_domain::import::ImportStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::events::{self, StoredEvent};
use simdepot_persistence::imports::{self, Import};
use simdepot_persistence::verification::{self, Imported};
use simdepot_persistence::{Conn, pools};

use super::walk::Kind;
use super::{CHUNK, LOOKS, Report, SHOWN};
use crate::depot::Depot;
use crate::error::AppError;
use crate::imports::{digest_line, sell_by_line};

/// Every import.
pub(super) struct Imports;

/// An import with its pool's name.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    import: Import,
    pool: Option<PoolName>,
}

impl Kind for Imports {
    type Row = Seen;
    const KIND: SubjectKind = SubjectKind::Import;

    fn rows(conn: &mut Conn<'_>, _: &Depot, after: Option<&Seen>) -> Result<Vec<Seen>, AppError> {
        let chunk = imports::list(conn, None, after.map(|seen| seen.import.batch_no), CHUNK)?;
        let pools: HashMap<i64, PoolName> =
            pools::list(conn)?.into_iter().map(|pool| (pool.id, pool.settings.pool)).collect();
        let seen = chunk.into_iter().map(|import| Seen { pool: pools.get(&import.pool_id).cloned(), import });
        Ok(seen.collect())
    }

    fn subject(seen: &Seen) -> String {
        seen.import.id.to_string()
    }

    fn version(seen: &Seen) -> i64 {
        seen.import.version
    }

    fn differs(seen: &Seen, story: &[StoredEvent]) -> Option<String> {
        let (import, id) = (&seen.import, seen.import.id);
        let became_stock = !import.dry_run && import.status == ImportStatus::Completed;
        let taken_back = import.status == ImportStatus::Undone;
        let (mut completed, mut undone) = (None, None);
        for event in story {
            match &event.fact {
                Fact::ImportCompleted { pool, file_sha256, counts, available, quarantined, .. } => {
                    completed = Some((pool, file_sha256, counts, available + quarantined));
                }
                Fact::ImportUndone { profiles } => undone = Some(*profiles),
                _ => {}
            }
        }
        if undone.is_some() != taken_back {
            return Some(format!(
                "import {id} is {} but {}",
                import.status,
                if taken_back {
                    "no event says that it was taken back"
                } else {
                    "its events say that it was taken back"
                }
            ));
        }
        let Some((pool, file_sha256, counts, profiles)) = completed else {
            return became_stock.then(|| format!("import {id} is completed but no event says so"));
        };
        if !became_stock && !taken_back {
            let shown = if import.dry_run { "a dry run" } else { import.status.as_ref() };
            return Some(format!("import {id} is {shown} but its events say that it became stock"));
        }
        if undone.is_some_and(|undone| undone != profiles) {
            return Some(format!(
                "the events of import {id} take another number of profiles back than it had"
            ));
        }
        let same = Some(pool) == seen.pool.as_ref()
            && *file_sha256 == import.file_sha256
            && *counts == import.counts;
        (!same).then(|| format!("import {id} has another pool, file or counts than its events say"))
    }

    fn count(report: &mut Report, seen: &Seen) {
        if seen.import.status == ImportStatus::Completed && !seen.import.dry_run {
            report.batches += 1;
        }
    }
}

/// Counts the profiles of every import again: no more, no fewer and no others than its events say.
pub(super) async fn recount(
    depot: &Depot,
    report: &mut Report,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), AppError> {
    let (mut before, mut found) = (None, 0);
    loop {
        let batches = depot.store.read(move |conn| imports::list(conn, None, before, CHUNK)).await?;
        let Some(last) = batches.last() else {
            break;
        };
        before = Some(last.batch_no);
        for batch in batches {
            if let Some(what) = batch_differs(depot, batch.id).await? {
                found += 1;
                if found <= SHOWN {
                    report.find(what);
                }
            }
            progress(report.rows());
        }
    }
    if found > SHOWN {
        report.find(format!("and {} more imports whose profiles are others", found - SHOWN));
    }
    Ok(())
}

/// A batch's first state.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batch {
    available: u64,
    quarantined: u64,
    digest: String,
    sell_by: String,
}

impl Batch {
    /// What the ledger says of it now: nothing of a batch that was taken back, or never became stock.
    fn told(story: &[StoredEvent]) -> Self {
        match story.last().map(|event| &event.fact) {
            Some(Fact::ImportCompleted { available, quarantined, digest, sell_by_digest, .. }) => Self {
                available: *available,
                quarantined: *quarantined,
                digest: digest.clone(),
                sell_by: sell_by_digest.clone(),
            },
            _ => Counting::default().end(),
        }
    }
}

/// A batch is read in many moments: what differs counts when the import stood still meanwhile.
async fn batch_differs(depot: &Depot, id: ImportId) -> Result<Option<String>, AppError> {
    let mut what = None;
    for _ in 0..LOOKS {
        let read = move |conn: &mut Conn<'_>| {
            let import = imports::find(conn, id)?.map(|import| (import.status, import.version));
            let story = events::of_subject(conn, SubjectKind::Import, &id.to_string())?;
            Ok::<_, AppError>((import, story))
        };
        let before = depot.store.snapshot(read).await?;
        let (found, told) = (count(depot, id).await?, Batch::told(&before.1));
        if found == told {
            return Ok(None);
        }
        what = Some(difference(id, &found, &told));
        if depot.store.snapshot(read).await? == before {
            break;
        }
    }
    Ok(what)
}

fn difference(id: ImportId, found: &Batch, told: &Batch) -> String {
    let (counts, same) = ((found.available, found.quarantined), (told.available, told.quarantined));
    if counts == same && found.digest == told.digest {
        return format!(
            "the profiles of import {id} were to be sold until other moments than its event says"
        );
    }
    let ((a, q), (ta, tq)) = (counts, same);
    format!(
        "import {id} has {a} available and {q} quarantined profiles at its start; its events say {ta} and {tq}, or names other SIMs"
    )
}

/// A batch that is being counted.
#[derive(Default)]
struct Counting {
    available: u64,
    quarantined: u64,
    digest: Sha256,
    sell_by: Sha256,
}

impl Counting {
    fn add(&mut self, profile: &Imported, first_sell_by: DateTime<Utc>) {
        if profile.status == StockStatus::Available {
            self.available += 1;
        } else {
            self.quarantined += 1;
        }
        self.digest.update(digest_line(&profile.iccid, profile.status));
        self.sell_by.update(sell_by_line(&profile.iccid, first_sell_by));
    }

    fn end(self) -> Batch {
        Batch {
            available: self.available,
            quarantined: self.quarantined,
            digest: hex::encode(self.digest.finalize()),
            sell_by: hex::encode(self.sell_by.finalize()),
        }
    }
}

/// A batch's first state, from its profiles.
async fn count(depot: &Depot, id: ImportId) -> Result<Batch, AppError> {
    let (mut counting, mut after) = (Counting::default(), 0);
    loop {
        let (chunk, first) = depot.store.snapshot(move |conn| chunk(conn, id, after)).await?;
        let Some(last) = chunk.last() else {
            return Ok(counting.end());
        };
        after = last.id;
        for profile in chunk {
            let first_sell_by = first.get(&profile.iccid).copied().unwrap_or(profile.sell_by);
            counting.add(&profile, first_sell_by);
        }
    }
}

/// First last moments of sale by ICCID.
type FirstSellBy = HashMap<String, DateTime<Utc>>;

/// The next profiles of a batch, and the first last moments of sale of those that got another one.
fn chunk(conn: &mut Conn<'_>, id: ImportId, after: i64) -> Result<(Vec<Imported>, FirstSellBy), AppError> {
    let chunk = verification::batch_after(conn, id, after, CHUNK)?;
    let iccids: Vec<String> = chunk.iter().map(|profile| profile.iccid.clone()).collect();
    let mut first = HashMap::new();
    for event in events::of_subjects_and_type(conn, SubjectKind::Profile, &iccids, "profile.edited")? {
        if let Fact::ProfileEdited { sell_by: Some(moved), .. } = event.fact {
            first.entry(event.subject_id).or_insert(moved.from);
        }
    }
    Ok((chunk, first))
}
