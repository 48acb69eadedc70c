//! `simdepot verify`: what stands in the tables must follow from the ledger, and the ledger must be whole.
//!
//! It runs beside a live server. Rows are compared in chunks; one that seems to differ is read again, because a change
//! may have come between the two reads of a chunk.

mod chain;
mod reservations;
mod stock;

use std::collections::HashMap;

use simdepot_persistence::events::StoredEvent;
use simdepot_persistence::{Conn, verification};

use crate::depot::Depot;
use crate::error::AppError;
use crate::feed::Checkpoint;

/// Rows per chunk.
const CHUNK: i64 = 1_000;
/// Findings shown of one kind.
const SHOWN: i64 = 20;
/// How often a difference is looked at again before it counts.
const LOOKS: usize = 5;

/// Something that does not follow from the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, and where.
    pub what: String,
}

/// What was checked and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Profiles recomputed.
    pub profiles: u64,
    /// Orders recomputed.
    pub orders: u64,
    /// Batches recomputed.
    pub batches: u64,
    /// Pools recomputed.
    pub pools: u64,
    /// Holds recomputed.
    pub holds: u64,
    /// Events read for it.
    pub events: u64,
    /// Entries of the feed whose hashes were recomputed.
    pub entries: u64,
    /// Checkpoints held against the feed.
    pub checkpoints: u64,
    /// What does not agree.
    pub findings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, what: String) {
        self.findings.push(Finding { what });
    }

    /// Rows looked at so far, for the progress.
    fn rows(&self) -> u64 {
        self.profiles + self.orders + self.holds + self.entries
    }
}

/// Recomputes the stock from the ledger, and the ledger's own chain. `progress` is told how many rows were checked.
///
/// # Errors
/// When the store cannot be read.
pub async fn run(depot: &Depot, progress: &(dyn Fn(u64) + Send + Sync)) -> Result<Report, AppError> {
    run_against(depot, &[], progress).await
}

/// As [`run`], and against checkpoints that were kept outside the database, each with its line.
///
/// # Errors
/// When the store cannot be read.
pub async fn run_against(
    depot: &Depot,
    checkpoints: &[(usize, Checkpoint)],
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Report, AppError> {
    let mut report = Report::default();
    stock::verify_profiles(depot, &mut report, progress).await?;
    stock::verify_orders(depot, &mut report, progress).await?;
    stock::verify_batches(depot, &mut report).await?;
    reservations::verify_pools(depot, &mut report).await?;
    reservations::verify_holds(depot, &mut report, progress).await?;
    chain::verify_chain(depot, &mut report, progress).await?;
    chain::verify_checkpoints(depot, &mut report, checkpoints).await?;
    chain::verify_all_numbered(depot, &mut report).await?;
    let (broken, gaps) = depot
        .store
        .read(|conn| {
            let broken = verification::broken_invariants(conn)?;
            Ok::<_, AppError>((broken, verification::version_gaps(conn, SHOWN)?))
        })
        .await?;
    for broken in broken {
        report.find(format!("broken in {} rows: {}", broken.rows, broken.invariant));
    }
    for subject in gaps {
        report.find(format!("the events of {subject} do not count from 1 without a gap"));
    }
    Ok(report)
}

fn by_subject(story: Vec<StoredEvent>, report: &mut Report) -> HashMap<String, Vec<StoredEvent>> {
    report.events += u64::try_from(story.len()).unwrap_or_default();
    let mut by_subject: HashMap<String, Vec<StoredEvent>> = HashMap::new();
    for event in story {
        by_subject.entry(event.subject_id.clone()).or_default().push(event);
    }
    by_subject
}

/// What a look at one subject saw.
enum Look {
    Agrees,
    Differs { what: String, version: i64 },
}

/// A difference counts when the subject's version stood still while it was looked at.
async fn look_again(
    depot: &Depot,
    look: impl Fn(&mut Conn<'_>) -> Result<Look, AppError> + Clone + Send + 'static,
) -> Result<Option<String>, AppError> {
    let mut seen: Option<(String, i64)> = None;
    for _ in 0..LOOKS {
        match depot.store.read(look.clone()).await? {
            Look::Agrees => return Ok(None),
            Look::Differs { what, version } => {
                if seen.as_ref().is_some_and(|(_, before)| *before == version) {
                    return Ok(Some(what));
                }
                seen = Some((what, version));
            }
        }
    }
    Ok(seen.map(|(what, _)| what))
}
