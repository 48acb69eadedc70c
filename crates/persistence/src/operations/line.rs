//! Leases of commands to lines: many at a time, under one token.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use simdepot_domain::channel::AccountName;
use simdepot_domain::operation::OperationStatus;
use uuid::Uuid;

use super::{Operation, Row};
use crate::dialect::Lock;
use crate::error::{Result, ensure_affected, parse_column};
use crate::schema::operations;
use crate::sql_types::{At, Id, Moment, Uid};
use crate::store::Conn;

/// Operations that one worker has for itself until `until`, by the database's clock.
#[derive(Debug, Clone)]
pub struct BatchLease {
    /// The operations as they were leased, in the order of their ids.
    pub operations: Vec<Operation>,
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

/// Leases the next pending commands of an account that are due, the oldest first: before all others those that an order
/// waits for, so that a job over many lines keeps no customer waiting.
///
/// # Errors
/// When the database cannot be asked.
pub fn lease_pending(
    conn: &mut Conn<'_>,
    account: &AccountName,
    (token, until): (Uuid, DateTime<Utc>),
    now: DateTime<Utc>,
    limit: i64,
) -> Result<BatchLease> {
    let mut found: Vec<IdRow> = Vec::new();
    for waited_for in ["order_id IS NOT NULL", "order_id IS NULL"] {
        let left = limit - i64::try_from(found.len()).unwrap_or(limit);
        if left <= 0 {
            break;
        }
        let sql = format!(
            "SELECT id FROM operations WHERE status = 'pending' AND lane = 'line' AND carrier_account = $1 \
             AND run_at <= $2 AND {waited_for} AND (lease_until IS NULL OR lease_until <= $2) \
             ORDER BY run_at, id LIMIT $3{}",
            Lock::Skip.clause(conn.db)
        );
        let some: Vec<IdRow> = diesel::sql_query(sql)
            .bind::<Text, _>(account.as_str())
            .bind::<Moment, _>(At(now))
            .bind::<BigInt, _>(left)
            .load(conn.db)?;
        found.extend(some);
    }
    take(conn, found, token, until)
}

/// The accounts with commands whose outcome may be asked for.
///
/// # Errors
/// When the database cannot be asked.
pub fn accounts_to_follow(conn: &mut Conn<'_>, now: DateTime<Utc>) -> Result<Vec<AccountName>> {
    let mut accounts = BTreeSet::new();
    for status in FOLLOWED {
        let found: Vec<String> = operations::table
            .filter(followed(status))
            .filter(operations::resolve_after.le(At(now)))
            .filter(operations::lease_until.is_null().or(operations::lease_until.le(At(now))))
            .select(operations::carrier_account)
            .distinct()
            .load(conn.db)?;
        accounts.extend(found);
    }
    accounts.iter().map(|account| parse_column("operations", "carrier_account", account, account)).collect()
}

/// Leases the next commands of an account whose outcome may be asked for: those that the carrier works on, and those whose
/// answer was lost; before all others those that an order waits for, then the longest due.
///
/// # Errors
/// When the database cannot be asked.
pub fn lease_to_follow(
    conn: &mut Conn<'_>,
    account: &AccountName,
    (token, until): (Uuid, DateTime<Utc>),
    now: DateTime<Utc>,
    limit: i64,
) -> Result<BatchLease> {
    let mut found = Vec::new();
    for status in FOLLOWED {
        let sql = format!(
            "SELECT id FROM operations WHERE lane = 'line' AND status IN ('sent', 'accepted', 'unknown') \
             AND status = '{status}' AND carrier_account = $1 AND resolve_after <= $2 \
             AND (lease_until IS NULL OR lease_until <= $2) \
             ORDER BY CASE WHEN order_id IS NULL THEN 1 ELSE 0 END, resolve_after LIMIT $3{}",
            Lock::Skip.clause(conn.db)
        );
        let some: Vec<IdRow> = diesel::sql_query(sql)
            .bind::<Text, _>(account.as_str())
            .bind::<Moment, _>(At(now))
            .bind::<BigInt, _>(limit)
            .load(conn.db)?;
        found.extend(some);
    }
    take(conn, found, token, until)
}

const FOLLOWED: [&str; 2] = ["accepted", "unknown"];

/// Spelled as the index of what is in flight has it: with bound values no plan of SQLite can use that.
fn followed(status: &str) -> diesel::expression::SqlLiteral<Bool> {
    sql(&format!("lane = 'line' AND status IN ('sent', 'accepted', 'unknown') AND status = '{status}'"))
}

fn take(conn: &mut Conn<'_>, found: Vec<IdRow>, token: Uuid, until: DateTime<Utc>) -> Result<BatchLease> {
    let ids: Vec<Uid> = found.into_iter().map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(BatchLease { operations: Vec::new(), token, until });
    }
    let touched = diesel::update(operations::table.filter(operations::id.eq_any(&ids)))
        .set((operations::lease_token.eq(Uid(token)), operations::lease_until.eq(At(until))))
        .execute(conn.db)?;
    ensure_affected("lease operations", ids.len(), touched)?;
    let rows: Vec<Row> =
        operations::table.filter(operations::id.eq_any(&ids)).order(operations::id).load(conn.db)?;
    let operations = rows.into_iter().map(Operation::try_from).collect::<Result<Vec<_>>>()?;
    Ok(BatchLease { operations, token, until })
}

/// The open command that the carrier knows by a transaction's id.
///
/// # Errors
/// When it cannot be read.
pub fn of_transaction(
    conn: &mut Conn<'_>,
    account: &AccountName,
    transaction: &str,
) -> Result<Option<Operation>> {
    let rows: Vec<Row> = operations::table
        .filter(sql::<Bool>("lane = 'line' AND carrier_reference IS NOT NULL"))
        .filter(operations::carrier_account.eq(account.as_str()))
        .filter(operations::carrier_reference.eq(transaction))
        .limit(1)
        .load(conn.db)?;
    rows.into_iter().next().map(Operation::try_from).transpose()
}

/// Lets the outcome of a command be asked for at once: there is news of it. One that is leased is looked at now.
///
/// # Errors
/// When the database cannot be asked.
pub fn follow_now(conn: &mut Conn<'_>, operation: &Operation, now: DateTime<Utc>) -> Result<()> {
    let waiting = operations::table
        .filter(operations::id.eq(Uid(operation.id.0)))
        .filter(
            operations::status
                .eq(OperationStatus::Accepted.as_ref())
                .or(operations::status.eq(OperationStatus::Unknown.as_ref())),
        )
        .filter(operations::resolve_after.gt(At(now)));
    diesel::update(waiting).set(operations::resolve_after.eq(At(now))).execute(conn.db)?;
    Ok(())
}
