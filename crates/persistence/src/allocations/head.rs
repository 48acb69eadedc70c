//! Where a pool's stock begins.
//!
//! A claim that always looks from the start of its index walks over everything that was sold since the database last
//! cleared up, and while an old snapshot is open (a backup, a forgotten transaction) PostgreSQL cannot clear up. So each
//! process remembers the first profile of a pool that may be sold, and claims from there on. SQLite removes what was sold
//! from its index at once and needs nothing of this.
//!
//! A head is found by a read without locks, which sees what others have claimed and not committed as still there: it never
//! passes a profile that may come back by a rollback. What comes before it otherwise (a return, an import of stock that
//! expires earlier) is told by [`super::restocks`] in its own transaction: a claim from a head that does not know of it
//! finds nothing, and the head goes back as far as that. First expiring first out stays exact. A pool that is sold out has
//! its head behind all that there can be, so that being asked for it again and again costs no more than a sale.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::restocks;
use crate::connection::AnyConnection;
use crate::error::Result;
use crate::sql_types::{At, Moment};
use crate::store::Conn;

/// Profiles that may be claimed from a head before it is moved on: as many are walked over at most.
const CLAIMS: i64 = 256;
/// A head that was not moved on for so long is looked for from the start, whatever is remembered.
const AGE: TimeDelta = TimeDelta::seconds(30);

/// Nothing of a pool that lies before it may be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) sell_by: At,
    pub(super) batch_no: i64,
    pub(super) id: i64,
    /// The newest of the pool's restocks when it was found.
    pub(super) restocks: i64,
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

/// Behind every profile.
const END: (At, i64, i64) = (At(DateTime::<Utc>::MAX_UTC), i64::MAX, i64::MAX);

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Nullable<Moment>)]
    sell_by: Option<At>,
    #[diesel(sql_type = Nullable<BigInt>)]
    batch_no: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    id: Option<i64>,
    #[diesel(sql_type = BigInt)]
    restocks: i64,
}

/// The head to claim `quantity` profiles from, moved on if it is time to. The transaction must not have written anything
/// yet: a head would pass what its rollback brings back.
pub(super) fn of(conn: &mut Conn<'_>, pool_id: i64, now: At, quantity: u32) -> Result<Option<Head>> {
    let known = known(conn, pool_id, now);
    let AnyConnection::Pg(pg) = &mut *conn.db else { return Ok(None) };
    let head = match known {
        Some(head) if head.claimed < CLAIMS => Some(head),
        Some(head) => find(pg, pool_id, now, Some(&head))?,
        None => None,
    };
    let head = match head {
        Some(head) => Some(head),
        None => find(pg, pool_id, now, None)?,
    };
    if let Some(head) = &head {
        let claimed = head.claimed.saturating_add(i64::from(quantity));
        conn.heads.with(|heads| heads.insert(pool_id, Head { claimed, ..head.clone() }));
    }
    Ok(head)
}

/// The head of a pool, if it is known. For a transaction that may have taken something out of the pool: it must not
/// look for one.
pub(super) fn known(conn: &Conn<'_>, pool_id: i64, now: At) -> Option<Head> {
    let known = conn.heads.with(|heads| heads.get(&pool_id).cloned());
    known.filter(|head| head.found_at <= now.0 && now.0 - head.found_at < AGE)
}

/// Has the next claim move the head of a pool on: there were too few profiles behind it.
pub(super) fn move_on(conn: &Conn<'_>, pool_id: i64) {
    conn.heads.with(|heads| {
        if let Some(head) = heads.get_mut(&pool_id) {
            head.claimed = CLAIMS;
        }
    });
}

/// Whether nothing came on sale since a head was found: then nothing had when an earlier statement went by it.
pub(super) fn stands(pg: &mut PgConnection, pool_id: i64, head: &Head) -> Result<bool> {
    Ok(restocks::newest(pg, pool_id)? == head.restocks)
}

/// Looks for the head: from where it was, or from the first of what came on sale since, if that lies before it. `None`
/// when nobody knows any more what did. All that it reads is of one snapshot.
pub(super) fn find(
    pg: &mut PgConnection,
    pool_id: i64,
    now: At,
    from: Option<&Head>,
) -> Result<Option<Head>> {
    const FIND: &str = "WITH since AS MATERIALIZED (SELECT number, sell_by, batch_no, profile_id FROM restocks \
         WHERE pool_id = $1 AND number > $6), \
         start AS MATERIALIZED (SELECT * FROM (SELECT $3 AS sell_by, $4 AS batch_no, $5 AS id \
         UNION ALL SELECT sell_by, batch_no, profile_id FROM since) AS x ORDER BY sell_by, batch_no, id LIMIT 1) \
         SELECT p.sell_by, p.batch_no, p.id, \
         COALESCE((SELECT MAX(number) FROM restocks WHERE pool_id = $1), 0) AS restocks \
         FROM start LEFT JOIN LATERAL (SELECT sell_by, batch_no, id FROM profiles \
         WHERE pool_id = $1 AND stock_status = 'available' AND sell_by > $2 \
         AND (sell_by, batch_no, id) >= (start.sell_by, start.batch_no, start.id) \
         ORDER BY sell_by, batch_no, id LIMIT 1) AS p ON TRUE \
         WHERE COALESCE((SELECT MIN(number) FROM since) - $6, 1) = 1";
    let start = (At(DateTime::UNIX_EPOCH), 0, 0, i64::MAX);
    let (sell_by, batch_no, id, restocks) =
        from.map_or(start, |head| (head.sell_by, head.batch_no, head.id, head.restocks));
    let found: Option<Found> = diesel::sql_query(FIND)
        .bind::<BigInt, _>(pool_id)
        .bind::<Moment, _>(now)
        .bind::<Moment, _>(sell_by)
        .bind::<BigInt, _>(batch_no)
        .bind::<BigInt, _>(id)
        .bind::<BigInt, _>(restocks)
        .get_result(pg)
        .optional()?;
    let Some(found) = found else { return Ok(None) };
    let (sell_by, batch_no, id) = match (found.sell_by, found.batch_no, found.id) {
        (Some(sell_by), Some(batch_no), Some(id)) => (sell_by, batch_no, id),
        _ => END,
    };
    Ok(Some(Head { sell_by, batch_no, id, restocks: found.restocks, claimed: 0, found_at: now.0 }))
}
