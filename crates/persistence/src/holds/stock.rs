//! The profiles of a hold: reserved, looked at under their locks, given back.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use simdepot_domain::id::HoldId;
use simdepot_domain::stock::StockStatus;

use super::Hold;
use crate::allocations::{Claimed, Restock, restock};
use crate::dialect::{INSERT_CHUNK, Lock};
use crate::error::{Result, ensure_affected, parse_column};
use crate::schema::profiles;
use crate::sql_types::{At, Id, Moment, Uid};
use crate::stock_counts::{self, Move};
use crate::store::Conn;

/// What a hold still has, in the order in which it would be sold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Profiles that may be sold.
    pub sellable: Vec<Claimed>,
    /// Profiles whose `sell_by` has passed meanwhile.
    pub expired: Vec<Claimed>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    pool_id: i64,
    #[diesel(sql_type = Text)]
    iccid: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Moment)]
    sell_by: At,
}

/// Reserves claimed profiles for a hold, one version each.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when one was not available any more: the transaction must be rolled back.
pub fn reserve(conn: &mut Conn<'_>, hold: HoldId, claimed: &[Claimed], now: DateTime<Utc>) -> Result<()> {
    for chunk in claimed.chunks(INSERT_CHUNK) {
        let ids: Vec<i64> = chunk.iter().map(|profile| profile.id).collect();
        let guard = profiles::table
            .filter(profiles::id.eq_any(ids))
            .filter(profiles::stock_status.eq(StockStatus::Available.as_ref()));
        let touched = diesel::update(guard)
            .set((
                profiles::stock_status.eq(StockStatus::Held.as_ref()),
                profiles::hold_id.eq(Uid(hold.0)),
                profiles::version.eq(profiles::version + 1i64),
                profiles::updated_at.eq(At(now)),
            ))
            .execute(conn.db)?;
        ensure_affected("hold profiles", chunk.len(), touched)?;
        count(conn, chunk, StockStatus::Held, now)?;
    }
    Ok(())
}

/// What a hold still has, locked until the end of the transaction. A person may have taken some of them aside
/// meanwhile; one who is doing so is waited for. The caller has locked the hold before.
///
/// # Errors
/// When they cannot be read.
pub fn held(conn: &mut Conn<'_>, hold: HoldId, now: DateTime<Utc>) -> Result<Held> {
    let sql = format!(
        "SELECT id, pool_id, iccid, version, sell_by FROM profiles WHERE hold_id = $1 \
         ORDER BY sell_by, batch_no, id{}",
        Lock::Wait.clause(conn.db)
    );
    let rows: Vec<Row> = diesel::sql_query(sql).bind::<Id, _>(Uid(hold.0)).load(conn.db)?;
    let mut held = Held::default();
    for row in rows {
        let iccid = parse_column("profiles", "iccid", row.id, &row.iccid)?;
        let profile = Claimed {
            id: row.id,
            pool_id: row.pool_id,
            iccid,
            sell_by: row.sell_by.0,
            version: row.version,
            hold: Some(hold),
        };
        if profile.sell_by > now {
            held.sellable.push(profile);
        } else {
            held.expired.push(profile);
        }
    }
    Ok(held)
}

/// Gives profiles of a hold back to its pool, one version each. They were read by [`held`] in this transaction.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when one was not held any more: the transaction must be rolled back.
pub fn give_back(conn: &mut Conn<'_>, hold: &Hold, held: &[Claimed], now: DateTime<Utc>) -> Result<()> {
    if held.is_empty() {
        return Ok(());
    }
    for chunk in held.chunks(INSERT_CHUNK) {
        let ids: Vec<i64> = chunk.iter().map(|profile| profile.id).collect();
        let guard =
            profiles::table.filter(profiles::id.eq_any(ids)).filter(profiles::hold_id.eq(Uid(hold.id.0)));
        let touched = diesel::update(guard)
            .set((
                profiles::stock_status.eq(StockStatus::Available.as_ref()),
                profiles::hold_id.eq(None::<Uid>),
                profiles::version.eq(profiles::version + 1i64),
                profiles::updated_at.eq(At(now)),
            ))
            .execute(conn.db)?;
        ensure_affected("give profiles back", chunk.len(), touched)?;
        count(conn, chunk, StockStatus::Available, now)?;
    }
    let ids: Vec<i64> = held.iter().map(|profile| profile.id).collect();
    restock(conn, hold.pool_id, Restock::Profiles(&ids))
}

fn count(conn: &mut Conn<'_>, profiles: &[Claimed], to: StockStatus, now: DateTime<Utc>) -> Result<()> {
    let moved: Vec<Move> = profiles.iter().map(|profile| profile.moved_to(to)).collect();
    stock_counts::moved(conn, &moved, now)
}
