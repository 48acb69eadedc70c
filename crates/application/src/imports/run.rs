//! Running an import from its spooled file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use simdepot_domain::delivery::Format;
use simdepot_domain::id::ImportId;
use simdepot_domain::import::{ImportCounts, ImportStatus, OnError};
use simdepot_persistence::imports::{self, Import, ImportEnd};
use simdepot_persistence::pools::{self, Pool};
use simdepot_persistence::staging::Settled;
use simdepot_persistence::store::Session;
use simdepot_persistence::vault::DataKey;

use super::at_work::TakenOn;
use super::prepare::Workshop;
use super::pulse::{Pulse, Sign};
use super::report::{self, FleetReport};
use super::source::Source;
use super::write::Writing;
use super::{check, existing};
use crate::depot::Depot;
use crate::error::AppError;

/// How often the second part shows how far it is.
const TICK: Duration = Duration::from_millis(200);

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

/// Runs an import that was started, when its turn comes: few are carried out at a time. A failure is recorded with the
/// import.
///
/// # Errors
/// When the store cannot even record the failure.
pub async fn run(
    depot: &Depot,
    id: ImportId,
    path: &Path,
    progress: &(dyn Fn(ImportProgress) + Send + Sync),
) -> Result<(), AppError> {
    let taken_on = depot.imports.take_on(id);
    let pulse = Pulse::new(depot, id);
    // In a box: it is large, and who calls this should not be.
    if let Err(error) = Box::pin(passes(&pulse, &taken_on, path, progress)).await {
        tracing::warn!(import = %id, %error, "import failed");
        fail(&pulse, &mut depot.store.session().await?, explain(error)).await?;
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

async fn passes(pulse: &Pulse, taken_on: &TakenOn, path: &Path, progress: Show<'_>) -> Result<(), AppError> {
    let _turn = pulse.beside(Sign::Waits, taken_on.turn()).await?;
    let (mut session, checked) = pulse.beside(Sign::AtWork, look_through(pulse, path, progress)).await?;
    let Checked { import, pool, report, key, settled } = checked;
    let counts = pulse.counts();
    if import.on_error == OnError::All && counts.rejected > 0 {
        return fail(pulse, &mut session, refused_rows(counts.rejected)).await;
    }
    let Some(key) = key else {
        let end = ImportEnd { counts, problem: None, event: false };
        return finish(pulse, &mut session, ImportStatus::Completed, end).await;
    };
    if let Some(report) = report.filter(|_| counts.updated > 0) {
        pulse.beside(Sign::AtWork, report::learn(pulse, &mut session, report)).await?;
    }
    let (depot, counts) = (pulse.depot.clone(), pulse.counts());
    let writing = Writing { depot, import, pool, counts, settled, key };
    pulse.beside_the_end(write(&mut session, writing, progress)).await
}

/// An import whose rows lie ready.
struct Checked {
    import: Import,
    pool: Pool,
    report: Option<FleetReport>,
    /// Absent in a dry run.
    key: Option<DataKey>,
    settled: Settled,
}

/// The first part, with the session that the rows lie in.
async fn look_through(
    pulse: &Pulse,
    path: &Path,
    progress: Show<'_>,
) -> Result<(Session, Checked), AppError> {
    let (depot, id) = (&pulse.depot, pulse.id);
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
    let settled = check::check(pulse, &mut session, Arc::new(workshop), source, progress).await?;
    Ok((session, Checked { import, pool, report, key, settled }))
}

async fn open(path: &Path, format: Format) -> Result<Source, AppError> {
    let path = path.to_owned();
    let opened = blocking(move || Source::open(&path, format)).await?;
    opened.map_err(|error| AppError::invalid("", "header", error.to_string()))
}

async fn write(session: &mut Session, writing: Writing, progress: Show<'_>) -> Result<(), AppError> {
    let counts = writing.counts;
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

async fn fail(pulse: &Pulse, session: &mut Session, problem: String) -> Result<(), AppError> {
    // `accepted` says what became stock, or in a dry run would: of a failed import nothing did.
    let counts = ImportCounts { accepted: 0, ..pulse.counts() };
    let end = ImportEnd { counts, problem: Some(problem), event: false };
    finish(pulse, session, ImportStatus::Failed, end).await
}

/// Waits for its turn as long as it takes another import to become stock: an import must not stay open that nobody
/// carries out.
async fn finish(
    pulse: &Pulse,
    session: &mut Session,
    to: ImportStatus,
    end: ImportEnd,
) -> Result<(), AppError> {
    let (id, now) = (pulse.id, pulse.depot.now());
    let open = [ImportStatus::Queued, ImportStatus::Running];
    Ok(session.write(move |conn| imports::finish(conn, id, &open, to, &end, now)).await?)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| AppError::Internal(error.to_string()))
}
