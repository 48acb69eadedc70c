//! Running an import from its spooled file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simdepot_domain::delivery::Format;
use simdepot_domain::id::ImportId;
use simdepot_domain::import::{ImportCounts, ImportStatus, OnError};
use simdepot_persistence::Backend;
use simdepot_persistence::imports::{self, ImportEnd};
use simdepot_persistence::pools;
use simdepot_persistence::store::Session;

use super::prepare::Workshop;
use super::report::{self, FleetReport};
use super::source::Source;
use super::write::Writing;
use super::{check, existing};
use crate::depot::Depot;
use crate::error::AppError;

/// How often the second part shows how far it is.
const TICK: Duration = Duration::from_millis(200);
/// How often the database is told that it is at work.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// Is shown how far an import is.
pub(super) type Show<'a> = &'a (dyn Fn(ImportProgress) + Send + Sync);

/// Which part is under way.
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
    /// Which part.
    pub phase: ImportPhase,
    /// Bytes of the file that were read; in the second part rows written.
    pub done: u64,
    /// Bytes of the file; in the second part rows to write.
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
    progress: Show<'_>,
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
    let source = open(path, import.format).await?;
    let vault = depot.store.vault();
    let key = if import.dry_run { None } else { Some(vault.make_data_key()?) };
    let workshop = Workshop {
        store: depot.store.clone(),
        import: import.clone(),
        pool: pool.settings.clone(),
        report: report.clone(),
        reader: source.row_reader(),
        key: key.clone(),
        now: depot.now(),
    };
    let mut session = depot.store.session().await?;
    let settled = check::check(depot, &mut session, Arc::new(workshop), source, progress, counts).await?;
    if import.on_error == OnError::All && counts.rejected > 0 {
        return fail(depot, id, *counts, refused_rows(counts.rejected)).await;
    }
    let Some(key) = key else {
        let end = ImportEnd { counts: *counts, problem: None, event: false };
        return finish(depot, id, ImportStatus::Completed, end).await;
    };
    if let Some(report) = report.filter(|_| counts.updated > 0) {
        report::learn(depot, &mut session, id, report, counts).await?;
    }
    let writing = Writing { depot: depot.clone(), import, pool, counts: *counts, settled, key };
    write(depot, &mut session, writing, progress).await
}

async fn open(path: &Path, format: Format) -> Result<Source, AppError> {
    let path = path.to_owned();
    let opened = blocking(move || Source::open(&path, format)).await?;
    opened.map_err(|error| AppError::invalid("", "header", error.to_string()))
}

async fn write(
    depot: &Depot,
    session: &mut Session,
    writing: Writing,
    progress: Show<'_>,
) -> Result<(), AppError> {
    let (id, counts) = (writing.import.id, writing.counts);
    let written = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&written);
    let show = || {
        let done = shown.load(Ordering::Relaxed);
        progress(ImportProgress { phase: ImportPhase::Writing, done, total: counts.accepted, counts });
    };
    show();
    let work = async {
        let writing = Arc::new(writing);
        let counting = Arc::clone(&writing);
        let total = session.run(move |conn| counting.count(conn)).await?;
        session.write(move |conn| writing.run(conn, total, &written)).await
    };
    tokio::pin!(work);
    let mut told = Instant::now();
    loop {
        tokio::select! {
            outcome = &mut work => {
                show();
                return outcome;
            }
            () = tokio::time::sleep(TICK) => show(),
        }
        if told.elapsed() >= SIGN_OF_LIFE && depot.store.backend() == Backend::Postgres {
            told = Instant::now();
            sign_of_life(depot, id, counts).await;
        }
    }
}

/// An import at work is not taken for dead. SQLite's one writer is the import itself: nobody could. What goes wrong here
/// goes wrong at its end as well, and is told then.
async fn sign_of_life(depot: &Depot, id: ImportId, counts: ImportCounts) {
    let now = depot.now();
    let told = depot.store.write(move |conn| imports::progress(conn, id, &counts, now)).await;
    if let Err(error) = told {
        tracing::debug!(import = %id, %error, "an import could not show that it is at work");
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
