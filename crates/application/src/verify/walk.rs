//! From the rows to the ledger: every row of a kind against its events, and from the ledger to the rows.

use std::collections::HashMap;

use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_persistence::events::{self, StoredEvent};
use simdepot_persistence::verification::{self, LedgerSubject};
use simdepot_persistence::{Conn, StoreError};
use strum::VariantArray as _;

use super::{CHUNK, Report, SHOWN};
use crate::depot::Depot;
use crate::error::AppError;

/// A kind of rows whose state follows from their events.
pub(super) trait Kind {
    /// A row, with whatever else it is compared with.
    type Row: Clone + Send + 'static;
    /// What its events are about.
    const KIND: SubjectKind;
    /// The next rows after one, at most a chunk, in an order that new rows do not change.
    fn rows(
        conn: &mut Conn<'_>,
        depot: &Depot,
        after: Option<&Self::Row>,
    ) -> Result<Vec<Self::Row>, AppError>;
    /// Its id in the ledger.
    fn subject(row: &Self::Row) -> String;
    /// How many events it has had.
    fn version(row: &Self::Row) -> i64;
    /// What its events do not tell, if anything; they are as many as its version says.
    fn differs(row: &Self::Row, story: &[StoredEvent]) -> Option<String>;
    /// Counts it.
    fn count(report: &mut Report, row: &Self::Row);
}

/// Findings of one kind: the first ones are told, the others counted.
struct Findings {
    of: String,
    found: i64,
}

impl Findings {
    fn of(kind: SubjectKind) -> Self {
        Self { of: named(kind), found: 0 }
    }

    fn find(&mut self, report: &mut Report, what: String) {
        self.found += 1;
        if self.found <= SHOWN {
            report.find(what);
        }
    }

    fn end(self, report: &mut Report) {
        if self.found > SHOWN {
            report.find(format!("and {} more differences of the kind {}", self.found - SHOWN, self.of));
        }
    }
}

/// How findings name a kind.
fn named(kind: SubjectKind) -> String {
    kind.as_ref().replace('_', " ")
}

/// Compares every row of a kind with its events. Both sides of a chunk are read in one moment, so that a live server
/// makes no difference.
pub(super) async fn verify<K: Kind>(
    depot: &Depot,
    report: &mut Report,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), AppError> {
    let (mut after, mut findings) = (None, Findings::of(K::KIND));
    loop {
        let (work, from) = (depot.clone(), after);
        let (rows, told) = depot
            .store
            .snapshot(move |conn| {
                let rows = K::rows(conn, &work, from.as_ref())?;
                let ids: Vec<String> = rows.iter().map(K::subject).collect();
                let told = events::of_subjects(conn, K::KIND, &ids)?;
                Ok::<_, AppError>((rows, told))
            })
            .await?;
        report.events += u64::try_from(told.len()).unwrap_or_default();
        let stories = by_subject(told);
        for row in &rows {
            K::count(report, row);
            let id = K::subject(row);
            let story = stories.get(&id).map_or(&[][..], Vec::as_slice);
            if let Some(what) = difference::<K>(row, &id, story) {
                findings.find(report, what);
            }
        }
        progress(report.rows());
        after = rows.last().cloned();
        if after.is_none() {
            findings.end(report);
            return Ok(());
        }
    }
}

fn difference<K: Kind>(row: &K::Row, id: &str, story: &[StoredEvent]) -> Option<String> {
    let (version, told) = (K::version(row), i64::try_from(story.len()).unwrap_or_default());
    if told != version {
        return Some(format!("{} {id} is at version {version} but has {told} events", named(K::KIND)));
    }
    K::differs(row, story)
}

pub(super) fn by_subject(story: Vec<StoredEvent>) -> HashMap<String, Vec<StoredEvent>> {
    let mut by_subject: HashMap<String, Vec<StoredEvent>> = HashMap::new();
    for event in story {
        by_subject.entry(event.subject_id.clone()).or_default().push(event);
    }
    by_subject
}

/// Looks for whatever the ledger tells of: nothing of it may be gone, and no event either.
pub(super) async fn verify_subjects(
    depot: &Depot,
    report: &mut Report,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), AppError> {
    for kind in SubjectKind::VARIANTS.iter().copied() {
        let (mut after, mut findings) = (String::new(), Findings::of(kind));
        loop {
            let from = after;
            let found = depot.store.snapshot(move |conn| subjects(conn, kind, &from)).await?;
            let Some((last, _)) = found.last() else {
                break;
            };
            after = last.subject_id.clone();
            for (subject, is_there) in found {
                report.subjects += 1;
                let (id, told) = (&subject.subject_id, subject.events);
                if !subject.is_dense() {
                    let what =
                        format!("the events of {} {id} do not count from 1 without a gap", named(kind));
                    findings.find(report, what);
                }
                if !is_there {
                    let what = format!("{} {id} is gone, but {told} events tell of it", named(kind));
                    findings.find(report, what);
                }
            }
            progress(report.rows());
        }
        findings.end(report);
    }
    Ok(())
}

/// The next subjects, and whether each is there, or its events say that it was removed.
fn subjects(
    conn: &mut Conn<'_>,
    kind: SubjectKind,
    after: &str,
) -> Result<Vec<(LedgerSubject, bool)>, AppError> {
    let told = verification::subjects_after(conn, kind, after, CHUNK)?;
    let ids: Vec<String> = told.iter().map(|subject| subject.subject_id.clone()).collect();
    let there = verification::existing(conn, kind, &ids)?;
    let found = told.into_iter().map(|subject| {
        let id = &subject.subject_id;
        let is_there = there.contains(id) || (kind == SubjectKind::WebhookEndpoint && was_deleted(conn, id)?);
        Ok::<_, StoreError>((subject, is_there))
    });
    Ok(found.collect::<Result<_, _>>()?)
}

fn was_deleted(conn: &mut Conn<'_>, endpoint: &str) -> Result<bool, StoreError> {
    let last = events::last_of_subject(conn, SubjectKind::WebhookEndpoint, endpoint)?;
    Ok(last.is_some_and(|event| matches!(event.fact, Fact::WebhookEndpointDeleted {})))
}
