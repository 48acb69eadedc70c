//! Running an import from its spooled file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use simdepot_domain::id::ImportId;
use simdepot_domain::import::{ImportCounts, ImportStatus, OnError};
use simdepot_persistence::imports::{self, Import, ImportEnd};
use simdepot_persistence::pools::{self, Pool};

use super::check::Checked;
use super::existing;
use super::report::{self, FleetReport};
use super::source::Source;
use super::write::Writing;
use crate::depot::Depot;
use crate::error::AppError;

/// Rows per chunk of the first pass.
const CHUNK: usize = 1_000;
/// How often the second pass shows how far it is.
const TICK: Duration = Duration::from_millis(200);

/// Which pass is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportPhase {
    /// Rows are checked.
    Checking,
    /// Accepted rows are written.
    Writing,
}

/// How far an import is.
#[derive(Debug, Clone, Copy)]
pub struct ImportProgress {
    /// Which pass.
    pub phase: ImportPhase,
    /// Bytes of the file that were read; in the second pass rows written.
    pub done: u64,
    /// Bytes of the file; in the second pass rows to write.
    pub total: u64,
    /// What was found so far.
    pub counts: ImportCounts,
}

/// Runs an import that was started. A failure is recorded with the import.
///
/// # Errors
/// When the store cannot even record the failure.
pub async fn run(
    depot: &Depot,
    id: ImportId,
    path: &Path,
    progress: &(dyn Fn(ImportProgress) + Send + Sync),
) -> Result<(), AppError> {
    let mut counts = ImportCounts::default();
    let outcome = passes(depot, id, path, progress, &mut counts).await;
    if let Err(error) = outcome {
        tracing::warn!(import = %id, %error, "import failed");
        fail(depot, id, counts, explain(error)).await?;
    }
    depot.signals.changed(id.0);
    Ok(())
}

/// What the sender of the file can do about it. What went wrong inside is in the log.
fn explain(error: AppError) -> String {
    match error {
        AppError::Invalid(errors) => {
            errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ")
        }
        error if error.is_race() => {
            "another import brought the same file or the same codes at the same time; nothing was imported"
                .to_owned()
        }
        _ => "an internal error; nothing was imported: send the file again".to_owned(),
    }
}

fn refused_rows(rejected: u64) -> String {
    match rejected {
        1 => "1 row was refused; nothing was imported".to_owned(),
        more => format!("{more} rows were refused; nothing was imported"),
    }
}

async fn passes(
    depot: &Depot,
    id: ImportId,
    path: &Path,
    progress: &(dyn Fn(ImportProgress) + Send + Sync),
    counts: &mut ImportCounts,
) -> Result<(), AppError> {
    let (import, pool) = depot
        .store
        .read(move |conn| {
            let import = existing(conn, id)?;
            let pool = pools::get(conn, import.pool_id)?;
            Ok::<_, AppError>((import, pool))
        })
        .await?;
    let report = FleetReport::of(&import, &pool);
    let mut checked = check(depot, &import, path, report.clone(), progress, counts).await?;
    *counts = checked.counts;
    if import.on_error == OnError::All && checked.counts.rejected > 0 {
        let problem = refused_rows(checked.counts.rejected);
        return fail(depot, id, checked.counts, problem).await;
    }
    if import.dry_run {
        let end = ImportEnd { counts: checked.counts, problem: None, event: false };
        return finish(depot, id, ImportStatus::Completed, end).await;
    }
    if let Some(report) = report.filter(|_| !checked.news.is_empty()) {
        let news = std::mem::take(&mut checked.news);
        report::learn(depot, &import, path, report, news, &mut checked.counts).await?;
        *counts = checked.counts;
    }
    write(depot, import, pool, path.to_owned(), checked, progress).await
}

async fn check(
    depot: &Depot,
    import: &Import,
    path: &Path,
    report: Option<FleetReport>,
    progress: &(dyn Fn(ImportProgress) + Send + Sync),
    counts: &mut ImportCounts,
) -> Result<Checked, AppError> {
    let (path, format, id) = (path.to_owned(), import.format, import.id);
    let opened = blocking(move || Source::open(&path, format)).await?;
    let mut source = opened.map_err(|error| AppError::invalid("", "header", error.to_string()))?;
    let mut checked = Checked::default();
    loop {
        let (back, chunk) = blocking(move || {
            let chunk = source.chunk(CHUNK);
            (source, chunk)
        })
        .await?;
        source = back;
        if chunk.is_empty() {
            return Ok(checked);
        }
        let (store, report) = (depot.store.clone(), report.clone());
        checked = depot
            .store
            .read(move |conn| {
                checked.add(conn, store.vault(), report.as_ref(), chunk)?;
                Ok::<_, AppError>(checked)
            })
            .await?;
        *counts = checked.counts;
        let (report, so_far, now) = (std::mem::take(&mut checked.report), checked.counts, depot.now());
        depot
            .store
            .write(move |conn| {
                imports::report(conn, id, &report)?;
                imports::progress(conn, id, &so_far, now)
            })
            .await?;
        let (done, total) = (source.bytes_read(), source.total);
        progress(ImportProgress { phase: ImportPhase::Checking, done, total, counts: so_far });
    }
}

async fn write(
    depot: &Depot,
    import: Import,
    pool: Pool,
    path: PathBuf,
    checked: Checked,
    progress: &(dyn Fn(ImportProgress) + Send + Sync),
) -> Result<(), AppError> {
    let counts = checked.counts;
    let written = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&written);
    let writing = Writing { depot: depot.clone(), import, pool, counts, skipped: checked.skipped };
    let show = || {
        let done = shown.load(Ordering::Relaxed);
        progress(ImportProgress { phase: ImportPhase::Writing, done, total: counts.accepted, counts });
    };
    let work = depot.store.write(move |conn| writing.run(conn, &path, &written));
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => {
                show();
                return outcome;
            }
            () = tokio::time::sleep(TICK) => show(),
        }
    }
}

async fn fail(depot: &Depot, id: ImportId, counts: ImportCounts, problem: String) -> Result<(), AppError> {
    // `accepted` says what became stock, or in a dry run would: of a failed import nothing did.
    let counts = ImportCounts { accepted: 0, ..counts };
    finish(depot, id, ImportStatus::Failed, ImportEnd { counts, problem: Some(problem), event: false }).await
}

async fn finish(depot: &Depot, id: ImportId, to: ImportStatus, end: ImportEnd) -> Result<(), AppError> {
    let now = depot.now();
    let open = [ImportStatus::Queued, ImportStatus::Running];
    Ok(depot.store.write(move |conn| imports::finish(conn, id, &open, to, &end, now)).await?)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| AppError::Internal(error.to_string()))
}
