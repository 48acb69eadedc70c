//! The claim.
//!
//! It takes the first profiles by (`sell_by`, `batch_no`, `id`): first expiring first out. It first passes over rows that
//! other claims hold. If that does not suffice, a claim that waits for them is made, from where the stock begins: only then
//! is the pool out of stock. No claim holds rows of its own pool while it waits for others': two would wait for each other.

use chrono::{DateTime, Utc};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::HoldId;
use simdepot_domain::stock::StockStatus;

use super::head::{self, Head};
use super::statement::{Row, Wanted};
use crate::connection::AnyConnection;
use crate::dialect::{Lock, attempt};
use crate::error::{Result, parse_column};
use crate::pools::Pool;
use crate::sql_types::At;
use crate::stock_counts::Move;
use crate::store::Conn;

/// A profile that this transaction has for itself, still as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its row.
    pub id: i64,
    /// Its pool.
    pub pool_id: i64,
    /// Its SIM.
    pub iccid: Iccid,
    /// Its last moment of sale.
    pub sell_by: DateTime<Utc>,
    /// Its version before the allocation.
    pub version: i64,
    /// The hold that reserves it, if it comes from one.
    pub hold: Option<HoldId>,
}

impl Claimed {
    /// Its way to another status.
    pub(crate) fn moved_to(&self, to: StockStatus) -> Move {
        Move::one(self.pool_id, self.stock_status(), to, self.sell_by)
    }

    /// Where it stands.
    pub fn stock_status(&self) -> StockStatus {
        if self.hold.is_some() { StockStatus::Held } else { StockStatus::Available }
    }
}

/// How a claim ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// As many as asked for.
    Taken(Vec<Claimed>),
    /// Not enough; nothing is taken.
    OutOfStock {
        /// How many could have been sold.
        available: u64,
    },
}

/// Claims `quantity` profiles of a pool for this transaction.
///
/// Callers claim from several pools in ascending order of `pool.id`, so that no two wait for each other. The safety
/// buffer is exact: that many more rows are locked and left, so every commit leaves them available.
///
/// # Errors
/// When the database cannot be asked.
pub fn claim(conn: &mut Conn<'_>, pool: &Pool, quantity: u32, now: DateTime<Utc>) -> Result<Claim> {
    let needed = i64::from(quantity) + i64::from(pool.settings.safety_buffer);
    let wanted = Wanted { pool_id: pool.id, now: At(now), limit: needed };
    let head = head::known(conn, pool.id, wanted.now);
    let at_once = attempt(conn.db, |db| {
        let rows = wanted.look(db, head.as_ref(), Lock::Skip)?;
        Ok(if wanted.is_met(&rows) { Some(rows) } else { None })
    })?;
    let rows = match at_once {
        Some(rows) => rows,
        None => wanted.after_others(conn.db, head.as_ref())?,
    };
    if !wanted.is_met(&rows) {
        return Ok(Claim::OutOfStock { available: sellable(rows.len(), pool) });
    }
    let take = usize::try_from(quantity).unwrap_or(usize::MAX);
    rows.into_iter().take(take).map(claimed).collect::<Result<_>>().map(Claim::Taken)
}

impl Wanted {
    fn is_met(&self, rows: &[Row]) -> bool {
        i64::try_from(rows.len()).is_ok_and(|found| found >= self.limit)
    }

    /// The first ones that no other transaction holds, for a transaction that has written nothing yet.
    fn free(self, conn: &mut Conn<'_>, quantity: u32) -> Result<Vec<Row>> {
        // Once more when something came on sale meanwhile.
        for _ in 0..2 {
            let Some(head) = head::of(conn, self.pool_id, self.now, quantity)? else { break };
            let rows = self.behind(conn.db, &head, Lock::Skip)?;
            if rows.as_ref().is_none_or(|rows| !self.is_met(rows)) {
                // The stock may end here.
                head::move_on(conn, self.pool_id);
            }
            if let Some(rows) = rows {
                return Ok(rows);
            }
        }
        self.first(conn.db, Lock::Skip)
    }

    /// The first ones, from a head on that an earlier transaction has found.
    fn look(self, db: &mut AnyConnection, head: Option<&Head>, lock: Lock) -> Result<Vec<Row>> {
        if let Some(head) = head {
            if let Some(rows) = self.behind(db, head, lock)? {
                return Ok(rows);
            }
            // For this statement alone: nobody else may remember what this transaction sees.
            let AnyConnection::Pg(pg) = &mut *db else { return self.first(db, lock) };
            if let Some(head) = head::find(pg, self.pool_id, self.now, Some(head))?
                && let Some(rows) = self.behind(db, &head, lock)?
            {
                return Ok(rows);
            }
        }
        self.first(db, lock)
    }

    /// All that are asked for behind a head, or what there is; `None` when something came on sale since it was found.
    fn behind(self, db: &mut AnyConnection, head: &Head, lock: Lock) -> Result<Option<Vec<Row>>> {
        let AnyConnection::Pg(pg) = db else { return Ok(None) };
        let rows = self.first_from(pg, head, lock)?;
        let complete = self.is_met(&rows) || head::stands(pg, self.pool_id, head)?;
        Ok(if complete { Some(rows) } else { None })
    }

    /// The first ones, once nobody else holds any of them. A statement sees what was there when it began: while it waited,
    /// somebody may have put some back. So it is repeated as long as that finds more. What was put back lies before what is
    /// held already, so that two may wait for each other then: the database ends one, which is begun again.
    fn after_others(self, db: &mut AnyConnection, head: Option<&Head>) -> Result<Vec<Row>> {
        let mut rows = self.look(db, head, Lock::Wait)?;
        loop {
            if self.is_met(&rows) || matches!(db, AnyConnection::Sqlite(_)) {
                return Ok(rows);
            }
            let again = self.look(db, head, Lock::Wait)?;
            if again.len() <= rows.len() {
                return Ok(again);
            }
            rows = again;
        }
    }
}

/// How many of a pool's rows may be sold.
fn sellable(found: usize, pool: &Pool) -> u64 {
    u64::try_from(found).unwrap_or_default().saturating_sub(u64::from(pool.settings.safety_buffer))
}

fn claimed((id, pool_id, iccid, sell_by, version): Row) -> Result<Claimed> {
    let iccid = parse_column("profiles", "iccid", id, &iccid)?;
    Ok(Claimed { id, pool_id, iccid, sell_by: sell_by.0, version, hold: None })
}

/// Claims up to `quantity` profiles of a pool for this transaction, which has written nothing yet: the first that no other
/// transaction holds. When these are too few, the pool need not be at its end: others may hold some that they will not
/// take. Only with `waits` it is: then others are waited for, and looked for again what they gave back.
///
/// Callers claim from several pools in ascending order of `pool.id`. The safety buffer is locked as well, and left.
///
/// # Errors
/// When the database cannot be asked.
pub fn claim_up_to(
    conn: &mut Conn<'_>,
    pool: &Pool,
    quantity: u32,
    waits: bool,
    now: DateTime<Utc>,
) -> Result<Vec<Claimed>> {
    let buffer = usize::try_from(pool.settings.safety_buffer).unwrap_or(usize::MAX);
    let needed = i64::from(quantity) + i64::from(pool.settings.safety_buffer);
    let wanted = Wanted { pool_id: pool.id, now: At(now), limit: needed };
    let mut rows = if waits {
        let head = head::known(conn, pool.id, wanted.now);
        wanted.after_others(conn.db, head.as_ref())?
    } else {
        wanted.free(conn, quantity)?
    };
    let most = usize::try_from(quantity).unwrap_or(usize::MAX);
    rows.truncate(rows.len().saturating_sub(buffer).min(most));
    rows.into_iter().map(claimed).collect()
}
