//! Line jobs: one command for many lines.
//!
//! A job is checked as a whole and written down at once; [`step`] then makes an ordinary operation of each row, a window
//! of them at a time, and follows what becomes of them. So a job knows nothing of carriers: their limits, lost answers
//! and refusals are the operations' matter. A row and its operation are written together, and a profile has one open
//! operation at most, so that a process that dies neither loses a row nor repeats one.

mod create;
mod work;

use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::LineJobId;
use simdepot_domain::line_job::LineJobStatus;
use simdepot_persistence::line_jobs::{self, LineJob, LineJobRow};
use simdepot_persistence::{Conn, events};

pub use create::{AskedRow, JobPreview, JobRequest, Origin, WouldRefuse, create, preview};
pub use work::step;

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};

/// The job, if the caller may know of it: its channel's own, or any for whom sees the whole stock.
fn visible(conn: &mut Conn<'_>, caller: &Caller, id: LineJobId) -> Result<LineJob, AppError> {
    line_jobs::find(conn, id)?
        .filter(|job| caller.works_all_lines() || (job.channel == caller.channel && !job.all_stock))
        .ok_or(AppError::NotFound { what: "line job" })
}

/// A job.
///
/// # Errors
/// [`AppError::NotFound`], also for one of another channel.
pub async fn get(depot: &Depot, caller: &Caller, id: LineJobId) -> Result<LineJob, AppError> {
    let caller = caller.clone();
    depot.store.read(move |conn| visible(conn, &caller, id)).await
}

/// A page of the jobs that the caller may know of, newest first.
///
/// # Errors
/// When they cannot be read.
pub async fn list(
    depot: &Depot,
    caller: &Caller,
    status: Option<LineJobStatus>,
    before: Option<LineJobId>,
    limit: i64,
) -> Result<Vec<LineJob>, AppError> {
    let channel = (!caller.works_all_lines()).then(|| caller.channel.clone());
    let read = depot.store.read(move |conn| line_jobs::list(conn, channel.as_ref(), status, before, limit));
    Ok(read.await?)
}

/// The rows of a job after a position, in order, at most `limit`.
///
/// # Errors
/// [`AppError::NotFound`], also for a job of another channel.
pub async fn rows(
    depot: &Depot,
    caller: &Caller,
    id: LineJobId,
    after: i64,
    limit: i64,
) -> Result<Vec<LineJobRow>, AppError> {
    let caller = caller.clone();
    let read = depot.store.read(move |conn| {
        visible(conn, &caller, id)?;
        Ok::<_, AppError>(line_jobs::rows(conn, id, after, limit)?)
    });
    read.await
}

/// Stops telling further lines; what is under way ends. A job that is paused stays so. The second value tells whether
/// an earlier request with the key did it.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] for a job that is completed; the idempotency errors.
pub async fn pause(
    depot: &Depot,
    caller: &Caller,
    id: LineJobId,
    key: Option<&IdempotencyKey>,
) -> Result<(LineJob, bool), AppError> {
    change(depot, caller, id, LineJobStatus::Paused, key).await
}

/// Goes on with a job that was paused. One that is running stays so. The second value is as of [`pause`].
///
/// # Errors
/// As [`pause`].
pub async fn resume(
    depot: &Depot,
    caller: &Caller,
    id: LineJobId,
    key: Option<&IdempotencyKey>,
) -> Result<(LineJob, bool), AppError> {
    let resumed = change(depot, caller, id, LineJobStatus::Running, key).await?;
    depot.signals.line_jobs.notify_one();
    Ok(resumed)
}

async fn change(
    depot: &Depot,
    caller: &Caller,
    id: LineJobId,
    to: LineJobStatus,
    key: Option<&IdempotencyKey>,
) -> Result<(LineJob, bool), AppError> {
    let changed = idempotency::once(depot, caller, key, || {
        let (work, by, key) = (depot.clone(), caller.clone(), key.cloned());
        async move {
            let write = depot.write_again(move |conn| {
                let job = visible(conn, &by, id)?;
                if job.status == to {
                    return Ok(());
                }
                if job.status == LineJobStatus::Completed {
                    return Err(completed(to));
                }
                move_to(conn, &work, &job, to)?;
                idempotency::record(conn, &work, &by, key.as_ref(), 200, &id.to_string())
            });
            write.await
        }
    });
    let (id, replayed) = match changed.await? {
        Once::Made(()) => (id, false),
        Once::Replayed(id) => (id.parse().map_err(|_| unreadable_record())?, true),
    };
    Ok((get(depot, caller, id).await?, replayed))
}

fn completed(to: LineJobStatus) -> AppError {
    let command = if to == LineJobStatus::Paused { "pause" } else { "resume" };
    AppError::InvalidTransition {
        from: LineJobStatus::Completed.to_string(),
        command: command.to_owned(),
        detail: "every line of this job has its result".to_owned(),
    }
}

/// Moves a job to another status, with its event.
fn move_to(conn: &mut Conn<'_>, depot: &Depot, job: &LineJob, to: LineJobStatus) -> Result<(), AppError> {
    let now = conn.now()?;
    let version = line_jobs::move_to(conn, job, to, now)?;
    let fact = Fact::LineJobStatusChanged { from: job.status, to };
    events::append(conn, &[depot.event(now, Subject::LineJob(job.id), version, fact)])?;
    tracing::info!(job = %job.id, operation = %job.operation, from = %job.status, %to, "line job moved");
    Ok(())
}
