//! Where a pool's stock begins.
//!
//! A claim that always looks from the start of its index walks over everything that was sold since the database last
//! cleared up, and while an old snapshot is open (a backup, a forgotten transaction) PostgreSQL cannot clear up. So each
//! process remembers the first profile of a pool that may be sold, and claims from there on. SQLite removes what was sold
//! from its index at once and needs nothing of this.
//!
//! A head is found by a read without locks, which sees what others have claimed and not committed as still there: it never
//! passes a profile that may come back by a rollback. What comes before it otherwise (a return, an import of stock that
//! expires earlier) counts [`put_back`] in its own transaction, and a claim from a head that was found at another count
//! finds nothing. First expiring first out stays exact.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::connection::AnyConnection;
use crate::dialect::Both;
use crate::error::{Result, ensure_affected};
use crate::schema::claim_heads;
use crate::sql_types::{At, Moment};
use crate::store::{Backend, Conn};

/// Profiles that may be claimed from a head before it is moved on: as many are walked over at most.
const CLAIMS: i64 = 256;
/// A head is looked for anew after this, whatever is remembered.
const AGE: TimeDelta = TimeDelta::seconds(30);

/// The first profile of a pool that may be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) sell_by: At,
    pub(super) batch_no: i64,
    pub(super) id: i64,
    /// The count when it was found.
    pub(super) put_back: i64,
    /// Profiles that were claimed since.
    claimed: i64,
    found_at: DateTime<Utc>,
}

/// The heads that a process knows, by pool.
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<HashMap<i64, Head>>);

impl Heads {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<i64, Head>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Moment)]
    sell_by: At,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    put_back: i64,
}

/// The head to claim `quantity` profiles from, moved on if it is time to. The transaction must not have taken anything
/// out of the pool yet: a head would pass what its rollback brings back.
pub(super) fn of(conn: &mut Conn<'_>, pool_id: i64, now: At, quantity: u32) -> Result<Option<Head>> {
    let known = known(conn, pool_id, now);
    let AnyConnection::Pg(pg) = &mut *conn.db else { return Ok(None) };
    let head = match known {
        Some(head) if head.claimed < CLAIMS => Some(head),
        Some(head) => match find(pg, pool_id, now, Some(&head))? {
            Some(head) => Some(head),
            None => find(pg, pool_id, now, None)?,
        },
        None => find(pg, pool_id, now, None)?,
    };
    let Some(head) = head else {
        forget(conn, pool_id);
        return Ok(None);
    };
    let claimed = head.claimed + i64::from(quantity);
    conn.heads.with(|heads| heads.insert(pool_id, Head { claimed, ..head.clone() }));
    Ok(Some(head))
}

/// The head of a pool, if it is known. For a transaction that may have taken something out of the pool: it must not
/// look for one.
pub(super) fn known(conn: &Conn<'_>, pool_id: i64, now: At) -> Option<Head> {
    let known = conn.heads.with(|heads| heads.get(&pool_id).cloned());
    known.filter(|head| head.found_at <= now.0 && now.0 - head.found_at < AGE)
}

/// Forgets the head of a pool: the next claim looks for it from the start.
pub(super) fn forget(conn: &Conn<'_>, pool_id: i64) {
    conn.heads.with(|heads| heads.remove(&pool_id));
}

/// Looks for the head, from where it was unless something was put before it since. Row and count are of one snapshot.
fn find(pg: &mut PgConnection, pool_id: i64, now: At, from: Option<&Head>) -> Result<Option<Head>> {
    const FIND: &str = "SELECT p.sell_by, p.batch_no, p.id, c.put_back FROM (SELECT \
         COALESCE((SELECT put_back FROM claim_heads WHERE pool_id = $1), 0) AS put_back) c CROSS JOIN LATERAL \
         (SELECT sell_by, batch_no, id FROM profiles WHERE pool_id = $1 AND stock_status = 'available' \
          AND sell_by > $2 AND (sell_by, batch_no, id) >= ($3, $4, $5) ORDER BY sell_by, batch_no, id LIMIT 1) p \
         WHERE $6 < 0 OR c.put_back = $6";
    let start = (At(DateTime::UNIX_EPOCH), 0, 0, -1);
    let (sell_by, batch_no, id, put_back) =
        from.map_or(start, |head| (head.sell_by, head.batch_no, head.id, head.put_back));
    let found: Option<Found> = diesel::sql_query(FIND)
        .bind::<BigInt, _>(pool_id)
        .bind::<Moment, _>(now)
        .bind::<Moment, _>(sell_by)
        .bind::<BigInt, _>(batch_no)
        .bind::<BigInt, _>(id)
        .bind::<BigInt, _>(put_back)
        .get_result(pg)
        .optional()?;
    let head = |row: Found| Head {
        sell_by: row.sell_by,
        batch_no: row.batch_no,
        id: row.id,
        put_back: row.put_back,
        claimed: 0,
        found_at: now.0,
    };
    Ok(found.map(head))
}

/// Counts that profiles of a pool can be sold (again), in the transaction that makes them so.
///
/// # Errors
/// When it cannot be written.
pub fn put_back(conn: &mut Conn<'_>, pool_id: i64) -> Result<()> {
    if conn.backend() == Backend::Sqlite {
        return Ok(());
    }
    let insert = diesel::insert_into(claim_heads::table)
        .values((claim_heads::pool_id.eq(pool_id), claim_heads::put_back.eq(1i64)))
        .on_conflict(claim_heads::pool_id)
        .do_update()
        .set(claim_heads::put_back.eq(claim_heads::put_back + 1i64));
    ensure_affected("count what was put back", 1, Both(insert).execute(conn.db)?)
}
