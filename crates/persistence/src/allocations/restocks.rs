//! What comes on sale, pool by pool: deliveries, returns, holds that end.
//!
//! Whatever puts profiles on sale tells so in a row of its transaction: a number, and the first of them in the order in which
//! profiles are sold. Whoever remembers where the stock began ([`super::head`]) learns from it what lies before that since,
//! and looks through nothing that was sold. Numbers have no gaps and are in the order of commits. Rows are added at one
//! end and removed at the other by their key, so that an old snapshot, which keeps all versions of all rows, slows nobody
//! down. PostgreSQL alone: SQLite has no heads.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt};

use crate::connection::AnyConnection;
use crate::dialect::{self, Passing};
use crate::error::{Result, ensure_affected};
use crate::schema::restocks;
use crate::sql_types::{At, Moment};
use crate::store::Conn;

/// Rows that are kept of a pool. Who remembers what was before them looks from the start.
const KEPT: i64 = 1024;

/// What comes on sale.
#[derive(Debug, Clone, Copy)]
pub enum Restock<'a> {
    /// Profiles that can be sold again, by their rows.
    Profiles(&'a [i64]),
    /// A delivery.
    Delivery {
        /// Its number.
        batch_no: i64,
        /// When the first of its profiles expires.
        sell_by: DateTime<Utc>,
    },
}

/// Tells that profiles of a pool come on sale, in the transaction that puts them there.
///
/// # Errors
/// When it cannot be written.
pub fn restock(conn: &mut Conn<'_>, pool_id: i64, what: Restock<'_>) -> Result<()> {
    // So that numbers are in the order of commits.
    dialect::one_by_one(conn.db, Passing::Restocks, &pool_id.to_string())?;
    let AnyConnection::Pg(pg) = &mut *conn.db else { return Ok(()) };
    let told = match what {
        Restock::Profiles(ids) => {
            let first = "SELECT sell_by, batch_no, id FROM profiles WHERE id = ANY($3) \
                         ORDER BY sell_by, batch_no, id LIMIT 1";
            let insert = diesel::sql_query(telling(first)).bind::<BigInt, _>(pool_id).bind::<BigInt, _>(KEPT);
            insert.bind::<Array<BigInt>, _>(ids).execute(pg)?
        }
        Restock::Delivery { batch_no, sell_by } => {
            let first = "SELECT $3 AS sell_by, $4 AS batch_no, 0 AS id";
            let insert = diesel::sql_query(telling(first)).bind::<BigInt, _>(pool_id).bind::<BigInt, _>(KEPT);
            insert.bind::<Moment, _>(At(sell_by)).bind::<BigInt, _>(batch_no).execute(pg)?
        }
    };
    ensure_affected("tell what comes on sale", 1, told)
}

/// The statement that tells `first`, with `$1` and `$2` for the pool and the number of rows to keep.
fn telling(first: &str) -> String {
    format!(
        "WITH told AS (INSERT INTO restocks (pool_id, number, sell_by, batch_no, profile_id) \
         SELECT $1, COALESCE((SELECT MAX(number) FROM restocks WHERE pool_id = $1), 0) + 1, sell_by, batch_no, id \
         FROM ({first}) AS first RETURNING number), \
         gone AS (DELETE FROM restocks USING told WHERE restocks.pool_id = $1 AND restocks.number = told.number - $2) \
         SELECT number FROM told"
    )
}

/// The number of the newest row of a pool; 0 when nothing came on sale yet.
pub(super) fn newest(pg: &mut PgConnection, pool_id: i64) -> Result<i64> {
    let of_pool = restocks::table.filter(restocks::pool_id.eq(pool_id));
    let newest: Option<i64> = of_pool.select(diesel::dsl::max(restocks::number)).first(pg)?;
    Ok(newest.unwrap_or_default())
}
