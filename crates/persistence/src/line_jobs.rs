//! Line jobs as leased work, and their rows.
//!
//! The worker with the lease alone changes the counts, so they are written as they are and not added up; its token and
//! the job's version guard them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use serde_json::Value as Json;
use simdepot_domain::channel::ChannelName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{LineJobId, OperationId};
use simdepot_domain::line::LineCommand;
use simdepot_domain::line_job::{LineJobCounts, LineJobOperation, LineJobRowStatus, LineJobStatus};
use simdepot_domain::operation::OperationStatus;
use uuid::Uuid;

use crate::dialect::{INSERT_CHUNK, both};
use crate::error::{Result, StoreError, ensure_affected, parse_column, parse_document};
use crate::schema::{line_job_rows, line_jobs};
use crate::sql_types::{At, Doc, Document, Id, Uid};
use crate::store::Conn;

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
        query = query.filter(line_jobs::channel.eq(channel.as_str()));
    }
    if let Some(status) = status {
        query = query.filter(line_jobs::status.eq(status.to_string()));
    }
    if let Some(before) = before {
        query = query.filter(line_jobs::id.lt(Uid(before.0)));
    }
    query.load::<Row>(conn.db)?.into_iter().map(LineJob::try_from).collect()
}

/// A row of a job, as its report tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineJobRow {
    /// Its place in the job, from 1.
    pub position: i64,
    /// Its SIM.
    pub iccid: Iccid,
    /// Where it stands.
    pub status: LineJobRowStatus,
    /// What carries it out.
    pub operation: Option<OperationId>,
    /// Why it was refused or needs attention.
    pub problem: Option<Json>,
}

/// The rows after `position`, in order, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn rows(conn: &mut Conn<'_>, id: LineJobId, position: i64, limit: i64) -> Result<Vec<LineJobRow>> {
    let rows: Vec<(i64, String, String, Option<Uid>, Option<Doc>)> = line_job_rows::table
        .filter(line_job_rows::job_id.eq(Uid(id.0)))
        .filter(line_job_rows::position.gt(position))
        .order(line_job_rows::position)
        .limit(limit)
        .select((
            line_job_rows::position,
            line_job_rows::iccid,
            line_job_rows::status,
            line_job_rows::operation_id,
            line_job_rows::problem,
        ))
        .load(conn.db)?;
    rows.into_iter()
        .map(|(position, iccid, status, operation, problem)| {
            Ok(LineJobRow {
                position,
                iccid: parse_column("line_job_rows", "iccid", position, &iccid)?,
                status: parse_column("line_job_rows", "status", position, &status)?,
                operation: operation.map(|id| OperationId(id.0)),
                problem: problem.map(|problem| problem.0),
            })
        })
        .collect()
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

/// A row whose operation has come further than the row says.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedRow {
    /// Its place in the job.
    pub position: i64,
    /// Where the row stands.
    pub status: LineJobRowStatus,
    /// Where its operation stands.
    pub outcome: OperationStatus,
    /// Why the operation was refused or needs attention.
    pub problem: Option<Json>,
}

#[derive(QueryableByName)]
struct Ended {
    #[diesel(sql_type = BigInt)]
    position: i64,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<Document>)]
    problem: Option<Doc>,
}

/// Rows whose operation has ended, or waits for a person, at most `limit`; with `corrections` those as well that were
/// left to a person who has decided since.
///
/// # Errors
/// When they cannot be read.
pub fn ended(conn: &mut Conn<'_>, id: LineJobId, corrections: bool, limit: i64) -> Result<Vec<EndedRow>> {
    let which = if corrections { "" } else { "AND r.status = 'running' " };
    let rows: Vec<Ended> = diesel::sql_query(format!(
        "SELECT r.position, r.status, x.status AS outcome, x.problem FROM line_job_rows r \
         JOIN operations x ON x.id = r.operation_id \
         WHERE r.job_id = $1 AND r.status IN ('running', 'needs_attention') {which}\
         AND (x.status IN ('done', 'refused', 'cancelled') OR (x.status = 'needs_attention' AND r.status = 'running')) \
         ORDER BY r.position LIMIT $2"
    ))
    .bind::<Id, _>(Uid(id.0))
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    rows.into_iter()
        .map(|row| {
            Ok(EndedRow {
                position: row.position,
                status: parse_column("line_job_rows", "status", row.position, &row.status)?,
                outcome: parse_column("operations", "status", row.position, &row.outcome)?,
                problem: row.problem.map(|problem| problem.0),
            })
        })
        .collect()
}

/// A row that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRow {
    /// Its place in the job.
    pub position: i64,
    /// Its SIM.
    pub iccid: Iccid,
    /// The command in full.
    pub command: LineCommand,
}

/// The next rows of the queue after `position`, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn queued_after(conn: &mut Conn<'_>, id: LineJobId, position: i64, limit: i64) -> Result<Vec<QueuedRow>> {
    let rows: Vec<(i64, String, Doc)> = line_job_rows::table
        .filter(line_job_rows::job_id.eq(Uid(id.0)))
        // Spelled as the index of the queue has it.
        .filter(sql::<Bool>("status = 'queued'"))
        .filter(line_job_rows::position.gt(position))
        .order(line_job_rows::position)
        .limit(limit)
        .select((line_job_rows::position, line_job_rows::iccid, line_job_rows::command))
        .load(conn.db)?;
    rows.into_iter()
        .map(|(position, iccid, command)| {
            Ok(QueuedRow {
                position,
                iccid: parse_column("line_job_rows", "iccid", position, &iccid)?,
                command: parse_document("line_job_rows", "command", position, &command.0)?,
            })
        })
        .collect()
}

/// Records that a queued row is carried out by an operation.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it is not queued any more.
pub fn start_row(conn: &mut Conn<'_>, id: LineJobId, position: i64, operation: OperationId) -> Result<()> {
    let queued = line_job_rows::table
        .filter(line_job_rows::job_id.eq(Uid(id.0)))
        .filter(line_job_rows::position.eq(position))
        .filter(line_job_rows::status.eq(LineJobRowStatus::Queued.as_ref()));
    let touched = diesel::update(queued)
        .set((
            line_job_rows::status.eq(LineJobRowStatus::Running.as_ref()),
            line_job_rows::operation_id.eq(Uid(operation.0)),
        ))
        .execute(conn.db)?;
    ensure_affected("start line job row", 1, touched)
}

/// Moves rows to another status; `problem` is why.
///
/// # Errors
/// [`StoreError::RowsAffected`] when one of them is not where it was.
pub fn end_rows(
    conn: &mut Conn<'_>,
    id: LineJobId,
    positions: &[i64],
    (from, to): (LineJobRowStatus, LineJobRowStatus),
    problem: Option<&Json>,
) -> Result<()> {
    let there = line_job_rows::table
        .filter(line_job_rows::job_id.eq(Uid(id.0)))
        .filter(line_job_rows::position.eq_any(positions))
        .filter(line_job_rows::status.eq(from.as_ref()));
    let touched = diesel::update(there)
        .set((
            line_job_rows::status.eq(to.as_ref()),
            line_job_rows::problem.eq(problem.map(|problem| Doc(problem.clone()))),
        ))
        .execute(conn.db)?;
    ensure_affected("end line job rows", positions.len(), touched)
}
