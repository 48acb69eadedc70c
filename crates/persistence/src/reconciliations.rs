//! Reconciliations as leased work: one worker at a time, which another may follow.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::id::ReconciliationId;
use simdepot_domain::reconciliation::{Cursor, ReconciliationCounts, ReconciliationStatus};
use uuid::Uuid;

use crate::dialect::Both;
use crate::error::{Result, StoreError, ensure_affected, parse_column};
use crate::schema::reconciliations;
use crate::sql_types::{At, Uid};
use crate::store::Conn;

/// A reconciliation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// Its id.
    pub id: ReconciliationId,
    /// Where it stands.
    pub status: ReconciliationStatus,
    /// Profiles to compare, when it began.
    pub total: u64,
    /// What was found so far.
    pub counts: ReconciliationCounts,
    /// The pool that takes in what the stock lacks.
    pub adopt_pool_id: Option<i64>,
    /// How far it has come.
    pub cursor: Cursor,
    /// Why it failed.
    pub problem: Option<String>,
    /// How many events it has had.
    pub version: i64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = reconciliations, treat_none_as_default_value = false)]
struct Row {
    id: Uid,
    status: String,
    total: i64,
    compared: i64,
    unread: i64,
    drifts: i64,
    healed: i64,
    unknown_lines: i64,
    adopt_pool_id: Option<i64>,
    adopted: i64,
    after: i64,
    problem: Option<String>,
    lease_token: Option<Uid>,
    lease_until: Option<At>,
    version: i64,
    created_at: At,
    finished_at: Option<At>,
}

impl TryFrom<Row> for Reconciliation {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let key = row.id.0;
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok(Self {
            id: ReconciliationId(key),
            status: parse_column("reconciliations", "status", key, &row.status)?,
            total: count(row.total),
            counts: ReconciliationCounts {
                compared: count(row.compared),
                unread: count(row.unread),
                drifts: count(row.drifts),
                healed: count(row.healed),
                unknown_lines: count(row.unknown_lines),
                adopted: count(row.adopted),
            },
            adopt_pool_id: row.adopt_pool_id,
            cursor: Cursor::decode(row.after),
            problem: row.problem,
            version: row.version,
            created_at: row.created_at.0,
            finished_at: row.finished_at.map(|at| at.0),
        })
    }
}

/// Writes a new one, running; `false` when one is running already.
///
/// # Errors
/// When the database refuses it for another reason.
pub fn insert(
    conn: &mut Conn<'_>,
    id: ReconciliationId,
    total: i64,
    adopt_pool_id: Option<i64>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let row = Row {
        id: Uid(id.0),
        status: ReconciliationStatus::Running.to_string(),
        total,
        compared: 0,
        unread: 0,
        drifts: 0,
        healed: 0,
        unknown_lines: 0,
        adopt_pool_id,
        adopted: 0,
        after: Cursor::START.encode(),
        problem: None,
        lease_token: None,
        lease_until: None,
        version: 1,
        created_at: At(now),
        finished_at: None,
    };
    let insert = diesel::insert_into(reconciliations::table).values(row).on_conflict_do_nothing();
    Ok(Both(insert).execute(conn.db)? == 1)
}

/// A reconciliation by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: ReconciliationId) -> Result<Option<Reconciliation>> {
    let row: Option<Row> = reconciliations::table.find(Uid(id.0)).first(conn.db).optional()?;
    row.map(Reconciliation::try_from).transpose()
}

/// The one that is running, if any.
///
/// # Errors
/// When it cannot be read.
pub fn running(conn: &mut Conn<'_>) -> Result<Option<Reconciliation>> {
    reconciliations::table
        .filter(reconciliations::status.eq(ReconciliationStatus::Running.as_ref()))
        .first::<Row>(conn.db)
        .optional()?
        .map(Reconciliation::try_from)
        .transpose()
}

/// A page of reconciliations, newest first.
///
/// # Errors
/// When they cannot be read.
pub fn list(
    conn: &mut Conn<'_>,
    before: Option<ReconciliationId>,
    limit: i64,
) -> Result<Vec<Reconciliation>> {
    let mut query = reconciliations::table.order(reconciliations::id.desc()).limit(limit).into_boxed();
    if let Some(before) = before {
        query = query.filter(reconciliations::id.lt(Uid(before.0)));
    }
    query.load::<Row>(conn.db)?.into_iter().map(Reconciliation::try_from).collect()
}

/// Whether the running one is free for a worker.
///
/// # Errors
/// When the database cannot be asked.
pub fn any_due(conn: &mut Conn<'_>, now: DateTime<Utc>) -> Result<bool> {
    let found: Option<Uid> = reconciliations::table
        .filter(reconciliations::status.eq(ReconciliationStatus::Running.as_ref()))
        .filter(reconciliations::lease_until.is_null().or(reconciliations::lease_until.le(At(now))))
        .select(reconciliations::id)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

/// Leases the running one, if it is free.
///
/// # Errors
/// When the database cannot be asked.
pub fn lease(
    conn: &mut Conn<'_>,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<Reconciliation>> {
    let free = reconciliations::table
        .filter(reconciliations::status.eq(ReconciliationStatus::Running.as_ref()))
        .filter(reconciliations::lease_until.is_null().or(reconciliations::lease_until.le(At(now))));
    let touched = diesel::update(free)
        .set((reconciliations::lease_token.eq(Uid(token)), reconciliations::lease_until.eq(At(until))))
        .execute(conn.db)?;
    if touched == 0 { Ok(None) } else { running(conn) }
}

/// Records how far the worker with `token` has come. The next worker, this one or another, may go on from `free_at`.
///
/// # Errors
/// [`StoreError::RowsAffected`] when another worker has it.
pub fn progress(
    conn: &mut Conn<'_>,
    id: ReconciliationId,
    token: Uuid,
    cursor: Cursor,
    counts: &ReconciliationCounts,
    free_at: DateTime<Utc>,
) -> Result<()> {
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let touched = diesel::update(
        reconciliations::table
            .filter(reconciliations::id.eq(Uid(id.0)))
            .filter(reconciliations::lease_token.eq(Uid(token))),
    )
    .set((
        reconciliations::after.eq(cursor.encode()),
        reconciliations::compared.eq(count(counts.compared)),
        reconciliations::unread.eq(count(counts.unread)),
        reconciliations::drifts.eq(count(counts.drifts)),
        reconciliations::healed.eq(count(counts.healed)),
        reconciliations::unknown_lines.eq(count(counts.unknown_lines)),
        reconciliations::adopted.eq(count(counts.adopted)),
        reconciliations::lease_until.eq(At(free_at)),
    ))
    .execute(conn.db)?;
    ensure_affected("reconciliation progress", 1, touched)
}

/// Ends the one that the worker with `token` has. Returns its version: the end is one event.
///
/// # Errors
/// [`StoreError::RowsAffected`] when another worker has it.
pub fn finish(
    conn: &mut Conn<'_>,
    reconciliation: &Reconciliation,
    token: Uuid,
    problem: Option<&str>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let version = reconciliation.version + 1;
    let status = match problem {
        Some(_) => ReconciliationStatus::Failed,
        None => ReconciliationStatus::Completed,
    };
    let touched = diesel::update(
        reconciliations::table
            .filter(reconciliations::id.eq(Uid(reconciliation.id.0)))
            .filter(reconciliations::lease_token.eq(Uid(token)))
            .filter(reconciliations::version.eq(reconciliation.version)),
    )
    .set((
        reconciliations::status.eq(status.as_ref()),
        reconciliations::problem.eq(problem),
        reconciliations::lease_token.eq(None::<Uid>),
        reconciliations::lease_until.eq(None::<At>),
        reconciliations::version.eq(version),
        reconciliations::finished_at.eq(At(now)),
    ))
    .execute(conn.db)?;
    ensure_affected("finish reconciliation", 1, touched)?;
    Ok(version)
}
