//! Line jobs as leased work, and their rows.
//!
//! The worker with the lease alone changes the counts, so they are written as they are and not added up; its token and
//! the job's version guard them.

mod rows;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::Value as Json;
use simdepot_domain::channel::ChannelName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::LineJobId;
use simdepot_domain::line_job::{LineJobCounts, LineJobOperation, LineJobRowStatus, LineJobStatus};
use uuid::Uuid;

use crate::dialect::{INSERT_CHUNK, both};
use crate::error::{Result, StoreError, ensure_affected, parse_column};
use crate::schema::{line_job_rows, line_jobs};
use crate::sql_types::{At, Doc, Uid};
use crate::store::Conn;

pub use rows::{EndedRow, LineJobRow, QueuedRow, end_rows, ended, queued_after, rows, start_row};

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineJob {
    /// Its id.
    pub id: LineJobId,
    /// Whose it is.
    pub channel: ChannelName,
    /// Whether the key that made it saw the whole stock, or only what its channel has.
    pub all_stock: bool,
    /// What its lines are told.
    pub operation: LineJobOperation,
    /// Where it stands.
    pub status: LineJobStatus,
    /// How its rows stand.
    pub counts: LineJobCounts,
    /// How far the queue was gone through.
    pub passed: i64,
    /// How many events it has had.
    pub version: i64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When every row had its result.
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = line_jobs, treat_none_as_default_value = false)]
struct Row {
    id: Uid,
    channel: String,
    all_stock: bool,
    operation: String,
    status: String,
    total: i64,
    running: i64,
    done: i64,
    refused: i64,
    needs_attention: i64,
    passed: i64,
    run_at: At,
    lease_token: Option<Uid>,
    lease_until: Option<At>,
    version: i64,
    created_at: At,
    updated_at: At,
    finished_at: Option<At>,
}

impl TryFrom<Row> for LineJob {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let key = row.id.0;
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok(Self {
            id: LineJobId(key),
            channel: parse_column("line_jobs", "channel", key, &row.channel)?,
            all_stock: row.all_stock,
            operation: parse_column("line_jobs", "operation", key, &row.operation)?,
            status: parse_column("line_jobs", "status", key, &row.status)?,
            counts: LineJobCounts {
                total: count(row.total),
                running: count(row.running),
                done: count(row.done),
                refused: count(row.refused),
                needs_attention: count(row.needs_attention),
            },
            passed: row.passed,
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
            finished_at: row.finished_at.map(|at| at.0),
        })
    }
}

/// A job about to begin.
#[derive(Debug, Clone)]
pub struct NewLineJob {
    /// Its id.
    pub id: LineJobId,
    /// Whose it is.
    pub channel: ChannelName,
    /// Whether the key that makes it sees the whole stock.
    pub all_stock: bool,
    /// What its lines are told.
    pub operation: LineJobOperation,
}

/// A line of a new job. Most lines of a job are told the same, so the command is shared.
#[derive(Debug, Clone)]
pub struct NewLineJobRow {
    /// Its SIM.
    pub iccid: Iccid,
    /// The command in full.
    pub command: Arc<Json>,
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Writes a new job, running, with its rows in their order, from position 1.
///
/// # Errors
/// [`StoreError::Unique`] when a SIM is in it twice.
pub fn insert(
    conn: &mut Conn<'_>,
    new: &NewLineJob,
    rows: &[NewLineJobRow],
    now: DateTime<Utc>,
) -> Result<()> {
    let row = Row {
        id: Uid(new.id.0),
        channel: new.channel.to_string(),
        all_stock: new.all_stock,
        operation: new.operation.to_string(),
        status: LineJobStatus::Running.to_string(),
        total: i64::try_from(rows.len()).unwrap_or(i64::MAX),
        running: 0,
        done: 0,
        refused: 0,
        needs_attention: 0,
        passed: 0,
        run_at: At(now),
        lease_token: None,
        lease_until: None,
        version: 1,
        created_at: At(now),
        updated_at: At(now),
        finished_at: None,
    };
    let written = diesel::insert_into(line_jobs::table).values(row).execute(conn.db)?;
    ensure_affected("insert line job", 1, written)?;
    let mut positions = 1i64..;
    for chunk in rows.chunks(INSERT_CHUNK) {
        let chunk: Vec<_> = chunk
            .iter()
            .zip(positions.by_ref())
            .map(|(row, position)| {
                (
                    line_job_rows::job_id.eq(Uid(new.id.0)),
                    line_job_rows::position.eq(position),
                    line_job_rows::iccid.eq(row.iccid.as_str()),
                    line_job_rows::command.eq(Doc(row.command.as_ref().clone())),
                    line_job_rows::status.eq(LineJobRowStatus::Queued.as_ref()),
                )
            })
            .collect();
        let written =
            both!(conn.db, c => diesel::insert_into(line_job_rows::table).values(&chunk).execute(c))?;
        ensure_affected("insert line job rows", chunk.len(), written)?;
    }
    Ok(())
}

/// A job by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: LineJobId) -> Result<Option<LineJob>> {
    let row: Option<Row> = line_jobs::table.find(Uid(id.0)).first(conn.db).optional()?;
    row.map(LineJob::try_from).transpose()
}

/// A page of jobs, newest first; of one channel, or of all.
///
/// # Errors
/// When they cannot be read.
pub fn list(
    conn: &mut Conn<'_>,
    channel: Option<&ChannelName>,
    status: Option<LineJobStatus>,
    before: Option<LineJobId>,
    limit: i64,
) -> Result<Vec<LineJob>> {
    let mut query = line_jobs::table.order(line_jobs::id.desc()).limit(limit).into_boxed();
    if let Some(channel) = channel {
        // A job of the whole stock is not for who sees only what was sold to the channel.
        query = query.filter(line_jobs::channel.eq(channel.as_str()).and(line_jobs::all_stock.eq(false)));
    }
    if let Some(status) = status {
        query = query.filter(line_jobs::status.eq(status.to_string()));
    }
    if let Some(before) = before {
        query = query.filter(line_jobs::id.lt(Uid(before.0)));
    }
    query.load::<Row>(conn.db)?.into_iter().map(LineJob::try_from).collect()
}

/// Spelled as the index of what is due has it: with bound values no plan of SQLite can use that.
const HAS_WORK: &str = "(status = 'running' OR running > 0 OR needs_attention > 0)";

/// The jobs that a worker may look at, those that wait the longest first.
///
/// # Errors
/// When they cannot be read.
pub fn due(conn: &mut Conn<'_>, now: DateTime<Utc>, limit: i64) -> Result<Vec<LineJob>> {
    line_jobs::table
        .filter(sql::<Bool>(HAS_WORK))
        .filter(line_jobs::run_at.le(At(now)))
        .filter(line_jobs::lease_until.is_null().or(line_jobs::lease_until.le(At(now))))
        .order((line_jobs::run_at, line_jobs::id))
        .limit(limit)
        .load::<Row>(conn.db)?
        .into_iter()
        .map(LineJob::try_from)
        .collect()
}

/// Leases a job, if it is free; tells whether it was.
///
/// # Errors
/// When the database cannot be asked.
pub fn lease(
    conn: &mut Conn<'_>,
    id: LineJobId,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool> {
    let free = line_jobs::table
        .filter(line_jobs::id.eq(Uid(id.0)))
        .filter(line_jobs::run_at.le(At(now)))
        .filter(line_jobs::lease_until.is_null().or(line_jobs::lease_until.le(At(now))));
    let touched = diesel::update(free)
        .set((line_jobs::lease_token.eq(Uid(token)), line_jobs::lease_until.eq(At(until))))
        .execute(conn.db)?;
    Ok(touched == 1)
}

/// The job as it is now, for the worker that leased it.
///
/// # Errors
/// [`StoreError::RowsAffected`] when another worker has it.
pub fn leased(conn: &mut Conn<'_>, id: LineJobId, token: Uuid) -> Result<LineJob> {
    let row: Option<Row> = line_jobs::table
        .filter(line_jobs::id.eq(Uid(id.0)))
        .filter(line_jobs::lease_token.eq(Uid(token)))
        .first(conn.db)
        .optional()?;
    row.ok_or(StoreError::RowsAffected { what: "line job under a lease", expected: 1, actual: 0 })?.try_into()
}

/// Gives a lease back; the next worker looks at the job from `run_at` on, or at once when it was paused or resumed since
/// it was read. A lease that is over is left alone.
///
/// # Errors
/// When the database cannot be asked.
pub fn release(
    conn: &mut Conn<'_>,
    job: &LineJob,
    token: Uuid,
    now: DateTime<Utc>,
    run_at: DateTime<Utc>,
) -> Result<()> {
    let mine = || {
        line_jobs::table.filter(line_jobs::id.eq(Uid(job.id.0))).filter(line_jobs::lease_token.eq(Uid(token)))
    };
    let free = |run_at| {
        (
            line_jobs::lease_token.eq(None::<Uid>),
            line_jobs::lease_until.eq(None::<At>),
            line_jobs::run_at.eq(At(run_at)),
        )
    };
    let unchanged = mine().filter(line_jobs::version.eq(job.version));
    if diesel::update(unchanged).set(free(run_at)).execute(conn.db)? == 0 {
        diesel::update(mine()).set(free(now)).execute(conn.db)?;
    }
    Ok(())
}

/// Records how the rows of a leased job stand, and how far its queue was gone through. That is no event of the job.
///
/// # Errors
/// [`StoreError::RowsAffected`] when another worker has it, or it was paused or resumed in between.
pub fn progress(
    conn: &mut Conn<'_>,
    job: &LineJob,
    token: Uuid,
    counts: &LineJobCounts,
    passed: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let mine = line_jobs::table
        .filter(line_jobs::id.eq(Uid(job.id.0)))
        .filter(line_jobs::lease_token.eq(Uid(token)))
        .filter(line_jobs::version.eq(job.version));
    let touched = diesel::update(mine)
        .set((
            line_jobs::running.eq(number(counts.running)),
            line_jobs::done.eq(number(counts.done)),
            line_jobs::refused.eq(number(counts.refused)),
            line_jobs::needs_attention.eq(number(counts.needs_attention)),
            line_jobs::passed.eq(passed),
            line_jobs::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("line job progress", 1, touched)
}

/// Moves a job to another status. Returns its version: that is one event.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it is not as it was read.
pub fn move_to(conn: &mut Conn<'_>, job: &LineJob, to: LineJobStatus, now: DateTime<Utc>) -> Result<i64> {
    let version = job.version + 1;
    let as_read = line_jobs::table
        .filter(line_jobs::id.eq(Uid(job.id.0)))
        .filter(line_jobs::status.eq(job.status.as_ref()))
        .filter(line_jobs::version.eq(job.version));
    let touched = diesel::update(as_read)
        .set((
            line_jobs::status.eq(to.as_ref()),
            line_jobs::version.eq(version),
            line_jobs::run_at.eq(At(now)),
            line_jobs::updated_at.eq(At(now)),
            line_jobs::finished_at.eq((to == LineJobStatus::Completed).then_some(At(now))),
        ))
        .execute(conn.db)?;
    ensure_affected("move line job", 1, touched)?;
    Ok(version)
}
