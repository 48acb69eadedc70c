//! Imports: a delivery file becomes stock, all of it or none of it.
//!
//! First every row of the file that the caller spooled is read, checked and sealed, on all cores, and staged beside the
//! stock; the duplicates are found among all of them, and the report is written. That holds no lock and no transaction.
//! Then the accepted rows move into the stock in one transaction. Memory stays flat: a few chunks of rows, of few imports at
//! a time.

mod adopt;
mod at_work;
mod check;
mod prepare;
mod pulse;
mod report;
mod run;
mod source;
mod write;

use std::time::Duration;

use chrono::{DateTime, Utc};
use simdepot_domain::channel::PoolName;
use simdepot_domain::delivery::Format;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::ImportId;
use simdepot_domain::import::{ImportStatus, OnError};
use simdepot_persistence::imports::{self, Import, ImportEnd, NewImport, ReportedRow};
use simdepot_persistence::{Conn, events, pools, profiles};

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};

pub(crate) use adopt::{Adoption, adopt};
pub use at_work::AtWork;
pub use run::{ImportPhase, ImportProgress, run};
pub(crate) use write::{digest_line, sell_by_line};

/// Refused rows shown with an import; all of them are in its report.
const SHOWN_ERRORS: i64 = 100;

/// What to import and how.
#[derive(Debug, Clone)]
pub struct StartImport {
    /// Into which pool.
    pub pool: PoolName,
    /// How the file is written.
    pub format: Format,
    /// Check only.
    pub dry_run: bool,
    /// What a refused row does.
    pub on_error: OnError,
    /// Last moment of sale for rows without their own.
    pub sell_by: Option<DateTime<Utc>>,
    /// The file's name.
    pub file_name: Option<String>,
}

/// How an import came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartedAs {
    /// By this request: it must be [`run`].
    Created,
    /// The same file was imported into the pool before.
    Repeated,
    /// By an earlier request with the same idempotency key.
    Replayed,
}

/// An import with its pool's name and its first refused rows.
#[derive(Debug, Clone)]
pub struct ImportView {
    /// The import.
    pub import: Import,
    /// Its pool.
    pub pool: PoolName,
    /// At most 100 refused rows.
    pub errors: Vec<ReportedRow>,
}

/// Begins an import of a file that the caller has spooled.
///
/// # Errors
/// [`AppError::Invalid`] for an unknown pool or a date that has passed, and the idempotency errors.
pub async fn start(
    depot: &Depot,
    caller: &Caller,
    asked: StartImport,
    file_sha256: &str,
    key: Option<&IdempotencyKey>,
) -> Result<(ImportView, StartedAs), AppError> {
    if asked.sell_by.is_some_and(|sell_by| sell_by <= depot.now()) {
        return Err(AppError::invalid("?sell_by", "range", "must be in the future"));
    }
    let begun =
        idempotency::once(depot, caller, key, || begin(depot, caller, asked, file_sha256.to_owned(), key))
            .await?;
    let (id, started_as) = match begun {
        Once::Made(begun) => begun,
        Once::Replayed(id) => (id.parse().map_err(|_| unreadable_record())?, StartedAs::Replayed),
    };
    Ok((get(depot, id).await?, started_as))
}

async fn begin(
    depot: &Depot,
    caller: &Caller,
    asked: StartImport,
    file_sha256: String,
    key: Option<&IdempotencyKey>,
) -> Result<(ImportId, StartedAs), AppError> {
    let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
    depot
        .store
        .write(move |conn| {
            let pool = pools::find(conn, &asked.pool)?
                .ok_or_else(|| AppError::invalid("?pool", "unknown", "there is no such pool"))?;
            if !asked.dry_run
                && let Some(before) = imports::find_completed(conn, pool.id, &file_sha256)?
            {
                return Ok((before.id, StartedAs::Repeated));
            }
            let new = NewImport {
                id: ImportId::generate(work.ids.as_ref()),
                pool_id: pool.id,
                format: asked.format,
                on_error: asked.on_error,
                dry_run: asked.dry_run,
                sell_by: asked.sell_by,
                file_name: asked.file_name,
                file_sha256,
            };
            idempotency::record(conn, &work, &caller, key.as_ref(), 201, &new.id.to_string())?;
            imports::insert(conn, &new, work.now())?;
            Ok((new.id, StartedAs::Created))
        })
        .await
}

fn view(conn: &mut Conn<'_>, import: Import) -> Result<ImportView, AppError> {
    let pool = pools::get(conn, import.pool_id)?.settings.pool;
    let errors = imports::reported(conn, import.id, true, 0, SHOWN_ERRORS)?;
    Ok(ImportView { import, pool, errors })
}

fn existing(conn: &mut Conn<'_>, id: ImportId) -> Result<Import, AppError> {
    imports::find(conn, id)?.ok_or(AppError::NotFound { what: "import" })
}

/// An import.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn get(depot: &Depot, id: ImportId) -> Result<ImportView, AppError> {
    depot
        .store
        .read(move |conn| {
            let import = existing(conn, id)?;
            view(conn, import)
        })
        .await
}

/// An import, once it has ended or `wait` is over.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn wait(depot: &Depot, id: ImportId, wait: Duration) -> Result<ImportView, AppError> {
    let look = || async {
        let import = depot.store.read(move |conn| existing(conn, id)).await?;
        Ok::<_, AppError>(import.finished_at.is_some().then_some(()))
    };
    depot.signals.wait_for(id.0, wait, look).await?;
    get(depot, id).await
}

/// A page of imports, newest first, without their rows. The cursor is the last one's `batch_no`.
///
/// # Errors
/// [`AppError::NotFound`] for a pool that does not exist.
pub async fn list(
    depot: &Depot,
    pool: Option<PoolName>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<ImportView>, AppError> {
    depot
        .store
        .read(move |conn| {
            let pool_id = match &pool {
                Some(name) => Some(crate::pools::require(conn, name)?.id),
                None => None,
            };
            imports::list(conn, pool_id, before, limit)?
                .into_iter()
                .map(|import| {
                    let pool = pools::get(conn, import.pool_id)?.settings.pool;
                    Ok(ImportView { import, pool, errors: Vec::new() })
                })
                .collect()
        })
        .await
}

/// A part of an import's report: refused, left-out and warned rows after `position`.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn rows(depot: &Depot, id: ImportId, after: i64, limit: i64) -> Result<Vec<ReportedRow>, AppError> {
    depot
        .store
        .read(move |conn| {
            existing(conn, id)?;
            Ok(imports::reported(conn, id, false, after, limit)?)
        })
        .await
}

/// Takes a completed import back whole, while nobody has touched any of its profiles. The second value tells whether
/// an earlier request with the key did it.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] when it is not completed, or a profile was touched.
pub async fn undo(
    depot: &Depot,
    caller: &Caller,
    id: ImportId,
    key: Option<&IdempotencyKey>,
) -> Result<(ImportView, bool), AppError> {
    let undone = idempotency::once(depot, caller, key, || {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        async move {
            // Its statements are about any number of rows; who asks for it waits no longer than for anything else.
            let mut session = depot.store.session().await?.hurried();
            let undone = session.write(move |conn| {
                idempotency::record(conn, &work, &caller, key.as_ref(), 200, &id.to_string())?;
                take_back(conn, &work, id)
            });
            undone.await
        }
    });
    let replayed = matches!(undone.await?, Once::Replayed(_));
    Ok((get(depot, id).await?, replayed))
}

fn take_back(conn: &mut Conn<'_>, depot: &Depot, id: ImportId) -> Result<(), AppError> {
    let import = existing(conn, id)?;
    let refuse = |detail: String| AppError::InvalidTransition {
        from: import.status.to_string(),
        command: "undo".to_owned(),
        detail,
    };
    if import.status != ImportStatus::Completed || import.dry_run {
        return Err(refuse("only a completed import that is no dry run can be undone".to_owned()));
    }
    let (fresh, all) = profiles::untouched(conn, id)?;
    if fresh != all {
        return Err(refuse(format!("{} of its {all} profiles were touched since", all - fresh)));
    }
    let now = depot.now();
    profiles::delete_untouched(conn, id, all, now)?;
    let end = ImportEnd { counts: import.counts, problem: None, event: true };
    imports::finish(conn, id, &[ImportStatus::Completed], ImportStatus::Undone, &end, now)?;
    let fact = Fact::ImportUndone { profiles: u64::try_from(all).unwrap_or_default() };
    events::append(conn, &[depot.event(now, Subject::Import(id), import.version + 1, fact)])?;
    Ok(())
}
