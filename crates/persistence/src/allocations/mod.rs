//! Handing profiles out: the [`claim`] and the live allocations.

mod claim;
mod head;
mod restocks;
mod statement;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::stock::StockStatus;

use crate::connection::AnyConnection;
use crate::dialect::{INSERT_CHUNK, both};
use crate::error::{Result, StoreError, ensure_affected, parse_column};
use crate::schema::{allocations, profiles};
use crate::sql_types::{At, Uid};
use crate::stock_counts::{self, Move};
use crate::store::Conn;

pub use claim::{Claim, Claimed, claim, claim_up_to};
pub(crate) use head::Heads;
pub use restocks::{Restock, restock};
pub use statement::claim_sql;

/// One profile on its way to one place of an order.
#[derive(Debug, Clone)]
pub struct NewAllocation {
    /// The claimed profile.
    pub profile: Claimed,
    /// The line of the order, from 0.
    pub line_no: i32,
    /// The place in the line, from 0.
    pub position: i32,
    /// Where it begins.
    pub outcome: ProfileOutcome,
}

#[derive(Insertable)]
#[diesel(table_name = allocations, treat_none_as_default_value = false)]
struct NewRow {
    profile_id: i64,
    order_id: Uid,
    line_no: i32,
    position: i32,
    outcome: &'static str,
    created_at: At,
}

/// Hands claimed profiles to an order: moves each (guarded) and writes its live allocation. With `revealed` their
/// codes leave simdepot in the answer; that takes one more version. Returns the allocations' rows in order.
///
/// # Errors
/// [`StoreError::RowsAffected`] when one did not stand where it was claimed any more: the transaction must be rolled
/// back.
pub fn allocate(
    conn: &mut Conn<'_>,
    order: OrderId,
    new: &[NewAllocation],
    revealed: bool,
    now: DateTime<Utc>,
) -> Result<Vec<i64>> {
    let mut ids = Vec::with_capacity(new.len());
    for chunk in new.chunks(INSERT_CHUNK) {
        let (held, free): (Vec<_>, Vec<_>) =
            chunk.iter().map(|allocation| &allocation.profile).partition(|profile| profile.hold.is_some());
        move_to_allocated(conn, StockStatus::Available, &free, revealed, now)?;
        move_to_allocated(conn, StockStatus::Held, &held, revealed, now)?;
        let moved: Vec<Move> = chunk.iter().map(|new| new.profile.moved_to(StockStatus::Allocated)).collect();
        stock_counts::moved(conn, &moved, now)?;
        let rows: Vec<NewRow> = chunk
            .iter()
            .map(|allocation| NewRow {
                profile_id: allocation.profile.id,
                order_id: Uid(order.0),
                line_no: allocation.line_no,
                position: allocation.position,
                outcome: allocation.outcome.into(),
                created_at: At(now),
            })
            .collect();
        let inserted: Vec<i64> = match &mut *conn.db {
            AnyConnection::Pg(pg) => diesel::insert_into(allocations::table)
                .values(&rows)
                .returning(allocations::id)
                .get_results(pg)?,
            // Prepared once; see `insert_rows`.
            AnyConnection::Sqlite(sqlite) => rows
                .iter()
                .map(|row| {
                    let insert = diesel::insert_into(allocations::table).values(row);
                    insert.returning(allocations::id).get_result(sqlite)
                })
                .collect::<QueryResult<_>>()?,
        };
        ensure_affected("insert allocations", rows.len(), inserted.len())?;
        ids.extend(inserted);
    }
    Ok(ids)
}

fn move_to_allocated(
    conn: &mut Conn<'_>,
    from: StockStatus,
    claimed: &[&Claimed],
    revealed: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    if claimed.is_empty() {
        return Ok(());
    }
    let profile_ids: Vec<i64> = claimed.iter().map(|profile| profile.id).collect();
    let guard = profiles::table
        .filter(profiles::id.eq_any(&profile_ids))
        .filter(profiles::stock_status.eq(from.as_ref()));
    let steps = if revealed { 2i64 } else { 1 };
    let changes = (
        profiles::stock_status.eq(StockStatus::Allocated.as_ref()),
        profiles::hold_id.eq(None::<Uid>),
        profiles::version.eq(profiles::version + steps),
        profiles::updated_at.eq(At(now)),
    );
    let touched = if revealed {
        diesel::update(guard).set((changes, profiles::revealed_at.eq(At(now)))).execute(conn.db)?
    } else {
        diesel::update(guard).set(changes).execute(conn.db)?
    };
    ensure_affected("allocate profiles", claimed.len(), touched)
}

/// An allocation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Its row.
    pub id: i64,
    /// The profile.
    pub profile_id: i64,
    /// The order.
    pub order: OrderId,
    /// The line of the order, from 0.
    pub line_no: i32,
    /// The place in the line, from 0.
    pub position: i32,
    /// What became of it.
    pub outcome: ProfileOutcome,
    /// Whether the profile still belongs to the order.
    pub live: bool,
    /// Whether a person has decided about its failure: the place was given up, or another profile took it.
    pub decided: bool,
}

#[derive(Queryable)]
struct StoredRow {
    id: i64,
    profile_id: i64,
    order_id: Uid,
    line_no: i32,
    position: i32,
    outcome: String,
    _created_at: At,
    ended_at: Option<At>,
    decided: bool,
}

impl TryFrom<StoredRow> for Allocation {
    type Error = StoreError;

    fn try_from(row: StoredRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            profile_id: row.profile_id,
            order: OrderId(row.order_id.0),
            line_no: row.line_no,
            position: row.position,
            outcome: parse_column("allocations", "outcome", row.id, &row.outcome)?,
            live: row.ended_at.is_none(),
            decided: row.decided,
        })
    }
}

/// The allocations of an order by line, place and age; those of substituted profiles included.
///
/// # Errors
/// When they cannot be read.
pub fn of_order(conn: &mut Conn<'_>, order: OrderId) -> Result<Vec<Allocation>> {
    allocations::table
        .filter(allocations::order_id.eq(Uid(order.0)))
        .order((allocations::line_no, allocations::position, allocations::id))
        .load::<StoredRow>(conn.db)?
        .into_iter()
        .map(Allocation::try_from)
        .collect()
}

/// The live allocation of a profile.
///
/// # Errors
/// When it cannot be read.
pub fn live_of(conn: &mut Conn<'_>, profile_id: i64) -> Result<Option<Allocation>> {
    allocations::table
        .filter(allocations::profile_id.eq(profile_id))
        .filter(allocations::ended_at.is_null())
        .first::<StoredRow>(conn.db)
        .optional()?
        .map(Allocation::try_from)
        .transpose()
}

/// How many of these profiles belong to the order now.
///
/// # Errors
/// When they cannot be counted.
pub fn live_count(conn: &mut Conn<'_>, order: OrderId, profile_ids: &[i64]) -> Result<usize> {
    let count: i64 = allocations::table
        .filter(allocations::order_id.eq(Uid(order.0)))
        .filter(allocations::profile_id.eq_any(profile_ids))
        .filter(allocations::ended_at.is_null())
        .count()
        .get_result(conn.db)?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// The orders that a profile belongs or belonged to, oldest allocation first.
///
/// # Errors
/// When they cannot be read.
pub fn orders_of(conn: &mut Conn<'_>, profile_id: i64) -> Result<Vec<OrderId>> {
    let ids: Vec<Uid> = allocations::table
        .filter(allocations::profile_id.eq(profile_id))
        .order(allocations::id)
        .select(allocations::order_id)
        .load(conn.db)?;
    Ok(ids.into_iter().map(|id| OrderId(id.0)).collect())
}

/// Records what became of a live allocation.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it is not live any more.
pub fn set_outcome(conn: &mut Conn<'_>, id: i64, outcome: ProfileOutcome) -> Result<()> {
    let guard = allocations::table.filter(allocations::id.eq(id)).filter(allocations::ended_at.is_null());
    let touched = diesel::update(guard).set(allocations::outcome.eq(outcome.as_ref())).execute(conn.db)?;
    ensure_affected("set outcome", 1, touched)
}

/// Ends a live allocation: the profile no longer belongs to the order.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it was ended already.
pub fn end(conn: &mut Conn<'_>, id: i64, outcome: ProfileOutcome, now: DateTime<Utc>) -> Result<()> {
    let guard = allocations::table.filter(allocations::id.eq(id)).filter(allocations::ended_at.is_null());
    let touched = diesel::update(guard)
        .set((allocations::outcome.eq(outcome.as_ref()), allocations::ended_at.eq(At(now))))
        .execute(conn.db)?;
    ensure_affected("end allocation", 1, touched)
}

/// Records what a person decided about a failed place: it is given up and stays `failed`, or another profile took it and
/// it is `substituted`.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it has not failed, or was decided before.
pub fn decide_failed(conn: &mut Conn<'_>, id: i64, outcome: ProfileOutcome) -> Result<()> {
    let guard = allocations::table
        .filter(allocations::id.eq(id))
        .filter(allocations::outcome.eq(ProfileOutcome::Failed.as_ref()))
        .filter(allocations::decided.eq(false));
    let touched = diesel::update(guard)
        .set((allocations::outcome.eq(outcome.as_ref()), allocations::decided.eq(true)))
        .execute(conn.db)?;
    ensure_affected("decide failed place", 1, touched)
}

/// Gives the place of an allocation that has ended to the SIM that took its line over.
///
/// # Errors
/// [`StoreError::Unique`] when that is sold already.
pub fn take_over(conn: &mut Conn<'_>, ended: &Allocation, profile_id: i64, now: DateTime<Utc>) -> Result<()> {
    let row = NewRow {
        profile_id,
        order_id: Uid(ended.order.0),
        line_no: ended.line_no,
        position: ended.position,
        outcome: ended.outcome.into(),
        created_at: At(now),
    };
    let written = both!(conn.db, c => diesel::insert_into(allocations::table).values(&row).execute(c))?;
    ensure_affected("take a place over", 1, written)
}
