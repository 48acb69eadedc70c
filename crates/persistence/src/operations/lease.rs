//! Leases: one worker has an operation for itself, for a while.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use serde_json::Value as Json;
use simdepot_domain::channel::AccountName;
use simdepot_domain::operation::{Lane, OperationStatus};
use uuid::Uuid;

use super::{Operation, Row};
use crate::dialect::Lock;
use crate::error::{Result, ensure_affected, parse_column};
use crate::schema::operations;
use crate::sql_types::{At, Doc, Id, Moment, Uid};
use crate::store::Conn;

/// An operation that one worker has for itself until `until`, by the database's clock.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The operation as it was leased.
    pub operation: Operation,
    /// Proves the lease.
    pub token: Uuid,
    /// When it runs out.
    pub until: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Id)]
    id: Uid,
}

/// Leases the next pending operation of an account that is due, if any.
///
/// # Errors
/// When the database cannot be asked.
pub fn lease_next(
    conn: &mut Conn<'_>,
    account: &AccountName,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<Lease>> {
    let sql = format!(
        "SELECT id FROM operations WHERE status = 'pending' AND lane = 'sale' AND carrier_account = $1 AND run_at <= $2 \
         AND (lease_until IS NULL OR lease_until <= $2) ORDER BY run_at, id LIMIT $3{}",
        Lock::Skip.clause(conn.db)
    );
    let found: Vec<IdRow> = diesel::sql_query(sql)
        .bind::<Text, _>(account.as_str())
        .bind::<Moment, _>(At(now))
        .bind::<BigInt, _>(1i64)
        .load(conn.db)?;
    take(conn, found, token, until)
}

fn take(conn: &mut Conn<'_>, found: Vec<IdRow>, token: Uuid, until: DateTime<Utc>) -> Result<Option<Lease>> {
    let Some(IdRow { id }) = found.into_iter().next() else {
        return Ok(None);
    };
    let touched = diesel::update(operations::table.filter(operations::id.eq(id)))
        .set((operations::lease_token.eq(Uid(token)), operations::lease_until.eq(At(until))))
        .execute(conn.db)?;
    ensure_affected("lease operation", 1, touched)?;
    let operation = operations::table.find(id).first::<Row>(conn.db)?.try_into()?;
    Ok(Some(Lease { operation, token, until }))
}

/// Gives a lease on a pending operation back, not to be tried before `run_at`. Nothing happened to the operation, so
/// this is no event; a lease that is over is left alone.
///
/// # Errors
/// When the database cannot be asked.
pub fn put_off(conn: &mut Conn<'_>, operation: &Operation, token: Uuid, run_at: DateTime<Utc>) -> Result<()> {
    let leased = operations::table
        .filter(operations::id.eq(Uid(operation.id.0)))
        .filter(operations::status.eq(OperationStatus::Pending.as_ref()))
        .filter(operations::lease_token.eq(Uid(token)));
    let since = match operation.waiting_since {
        Some(since) => since,
        None => conn.now()?,
    };
    diesel::update(leased)
        .set((
            operations::run_at.eq(At(run_at)),
            operations::deferrals.eq(operations::deferrals + 1),
            operations::waiting_since.eq(At(since)),
            operations::lease_token.eq(None::<Uid>),
            operations::lease_until.eq(None::<At>),
        ))
        .execute(conn.db)?;
    Ok(())
}

/// Whether the open outcome of an operation may be looked into.
///
/// # Errors
/// When the database cannot be asked.
pub fn any_unknown_due(conn: &mut Conn<'_>, now: DateTime<Utc>) -> Result<bool> {
    // The index covers all three statuses; naming them lets the planner see that it fits.
    let found: Option<Uid> = operations::table
        .filter(sql::<Bool>(
            "lane = 'sale' AND status IN ('sent', 'accepted', 'unknown') AND status = 'unknown'",
        ))
        .filter(operations::resolve_after.le(At(now)))
        .filter(operations::lease_until.is_null().or(operations::lease_until.le(At(now))))
        .order(operations::resolve_after)
        .select(operations::id)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

/// Records a look at an open outcome that decided nothing, and gives the lease back. Nothing happened to the
/// operation, so this is no event; a lease that is over is left alone.
///
/// # Errors
/// When the database cannot be asked.
pub fn look_again(
    conn: &mut Conn<'_>,
    operation: &Operation,
    token: Uuid,
    seen: &Json,
    resolve_after: DateTime<Utc>,
) -> Result<()> {
    let leased = operations::table
        .filter(operations::id.eq(Uid(operation.id.0)))
        .filter(operations::status.eq(operation.status.as_ref()))
        .filter(operations::version.eq(operation.version))
        .filter(operations::lease_token.eq(Uid(token)));
    diesel::update(leased)
        .set((
            operations::reads.eq(operations::reads + 1),
            operations::resolution.eq(Doc(seen.clone())),
            operations::resolve_after.eq(At(resolve_after)),
            operations::lease_token.eq(None::<Uid>),
            operations::lease_until.eq(None::<At>),
        ))
        .execute(conn.db)?;
    Ok(())
}

/// Makes the open outcomes of a profile's operations due at once: there is news about its line.
///
/// # Errors
/// When the database cannot be asked.
pub fn nudge(conn: &mut Conn<'_>, profile_id: i64, now: DateTime<Utc>) -> Result<usize> {
    let open = operations::table
        .filter(operations::profile_id.eq(profile_id))
        .filter(operations::status.eq(OperationStatus::Unknown.as_ref()))
        // Before this moment the carrier may still be working on it.
        .filter(operations::resolution.is_not_null())
        .filter(operations::resolve_after.gt(At(now)));
    Ok(diesel::update(open).set(operations::resolve_after.eq(At(now))).execute(conn.db)?)
}

/// Spelled as the index of the queue has it: with bound values no plan of SQLite can use that.
fn is_pending() -> SqlLiteral<Bool> {
    sql("status = 'pending'")
}

/// The accounts that have a pending operation of a lane that is due and free, by name.
///
/// # Errors
/// When the database cannot be asked.
pub fn due_accounts(conn: &mut Conn<'_>, lane: Lane, now: DateTime<Utc>) -> Result<Vec<AccountName>> {
    let (mut due, mut last) = (Vec::new(), String::new());
    // From one account to the next in the index, whatever the number of operations in between.
    while let Some(account) = next_account(conn, lane, &last)? {
        let found: Option<Uid> = operations::table
            .filter(is_pending())
            .filter(operations::lane.eq(lane.as_ref()))
            .filter(operations::carrier_account.eq(&account))
            .filter(operations::run_at.le(At(now)))
            .filter(operations::lease_until.is_null().or(operations::lease_until.le(At(now))))
            .order((operations::run_at, operations::id))
            .select(operations::id)
            .first(conn.db)
            .optional()?;
        if let Some(id) = found {
            due.push(parse_column("operations", "carrier_account", id.0, &account)?);
        }
        last = account;
    }
    Ok(due)
}

fn next_account(conn: &mut Conn<'_>, lane: Lane, after: &str) -> Result<Option<String>> {
    Ok(operations::table
        .filter(is_pending())
        .filter(operations::lane.eq(lane.as_ref()))
        .filter(operations::carrier_account.gt(after))
        .order(operations::carrier_account)
        .select(operations::carrier_account)
        .first(conn.db)
        .optional()?)
}

/// Leases the next operation whose open outcome may be looked into, if any.
///
/// # Errors
/// When the database cannot be asked.
pub fn lease_unknown(
    conn: &mut Conn<'_>,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<Lease>> {
    let sql = format!(
        "SELECT id FROM operations WHERE lane = 'sale' AND status IN ('sent', 'accepted', 'unknown') \
         AND status = 'unknown' AND resolve_after <= $1 AND (lease_until IS NULL OR lease_until <= $1) ORDER BY resolve_after LIMIT $2{}",
        Lock::Skip.clause(conn.db)
    );
    let found: Vec<IdRow> =
        diesel::sql_query(sql).bind::<Moment, _>(At(now)).bind::<BigInt, _>(1i64).load(conn.db)?;
    take(conn, found, token, until)
}
