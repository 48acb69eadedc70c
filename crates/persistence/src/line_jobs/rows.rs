//! The rows of line jobs: the queue, what is under way, and the results.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use serde_json::Value as Json;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{LineJobId, OperationId};
use simdepot_domain::line::LineCommand;
use simdepot_domain::line_job::LineJobRowStatus;
use simdepot_domain::operation::OperationStatus;

use crate::error::{Result, ensure_affected, parse_column, parse_document};
use crate::schema::line_job_rows;
use crate::sql_types::{Doc, Document, Id, Uid};
use crate::store::Conn;

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

type Reported = (i64, String, String, Option<Uid>, Option<Doc>);

/// The rows after `position`, in order, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn rows(conn: &mut Conn<'_>, id: LineJobId, position: i64, limit: i64) -> Result<Vec<LineJobRow>> {
    let rows: Vec<Reported> = line_job_rows::table
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
/// [`crate::StoreError::RowsAffected`] when it is not queued any more.
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
/// [`crate::StoreError::RowsAffected`] when one of them is not where it was.
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
