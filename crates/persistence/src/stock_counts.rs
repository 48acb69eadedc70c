//! How many profiles stand where, kept with the moves of the stock and never counted.
//!
//! Whoever moves profiles calls [`moved`] in the same transaction. On SQLite, whose writer is alone, that changes the
//! counts. On PostgreSQL it appends a row, so that nobody waits for anybody, and [`fold`] adds the rows to the counts from
//! time to time. Readers sum both in one statement (the views `stock_now` and `stock_sold_now`): exact at any moment.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::upsert::excluded;
use simdepot_domain::id::ImportId;
use simdepot_domain::stock::StockStatus;

use crate::connection::AnyConnection;
use crate::error::{Result, ensure_affected, parse_column};
use crate::pools::{Expiring, StockCounts};
use crate::schema::{stock_counts, stock_moves, stock_sold};
use crate::sql_types::{At, Id, Moment, Uid};
use crate::store::Conn;

/// Profiles of a pool that went the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Their pool.
    pub pool_id: i64,
    /// Where they stood; `None` when they are new in the pool.
    pub from: Option<StockStatus>,
    /// Where they stand; `None` when they are gone from the pool.
    pub to: Option<StockStatus>,
    /// Their last moment of sale.
    pub sell_by: DateTime<Utc>,
    /// How many.
    pub profiles: i64,
}

impl Move {
    /// One profile.
    pub fn one(pool_id: i64, from: StockStatus, to: StockStatus, sell_by: DateTime<Utc>) -> Self {
        Self { pool_id, from: Some(from), to: Some(to), sell_by, profiles: 1 }
    }

    /// The way back.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }
}

type Way = (i64, Option<StockStatus>, Option<StockStatus>, DateTime<Utc>);

/// Only available profiles are counted by their last moment of sale.
fn counted_by(sell_by: DateTime<Utc>, status: Option<StockStatus>) -> DateTime<Utc> {
    if status == Some(StockStatus::Available) { sell_by } else { DateTime::UNIX_EPOCH }
}

fn summed(moves: &[Move]) -> BTreeMap<Way, i64> {
    let mut ways = BTreeMap::new();
    for one in moves.iter().filter(|one| one.from != one.to) {
        let available = [one.from, one.to].into_iter().find(|side| *side == Some(StockStatus::Available));
        let sell_by = counted_by(one.sell_by, available.flatten());
        *ways.entry((one.pool_id, one.from, one.to, sell_by)).or_default() += one.profiles;
    }
    ways
}

/// When the day of a moment begins (UTC).
pub(crate) fn day_of(moment: DateTime<Utc>) -> DateTime<Utc> {
    moment.date_naive().and_time(NaiveTime::MIN).and_utc()
}

/// Counts moves, in the transaction that makes them: one row per pool, way and last moment of sale.
///
/// # Errors
/// When the database refuses it.
pub fn moved(conn: &mut Conn<'_>, moves: &[Move], now: DateTime<Utc>) -> Result<()> {
    let day = At(day_of(now));
    for (way, profiles) in summed(moves) {
        match conn.db {
            AnyConnection::Pg(pg) => append(pg, way, day, profiles)?,
            AnyConnection::Sqlite(sqlite) => apply(sqlite, way, day, profiles)?,
        }
    }
    Ok(())
}

fn append(pg: &mut PgConnection, (pool_id, from, to, sell_by): Way, day: At, profiles: i64) -> Result<()> {
    let written = diesel::insert_into(stock_moves::table)
        .values((
            stock_moves::pool_id.eq(pool_id),
            stock_moves::from_status.eq(from.map(<&str>::from)),
            stock_moves::to_status.eq(to.map(<&str>::from)),
            stock_moves::sell_by.eq(At(sell_by)),
            stock_moves::day.eq(day),
            stock_moves::profiles.eq(profiles),
        ))
        .execute(pg)?;
    ensure_affected("count moves", 1, written)
}

fn apply(
    sqlite: &mut SqliteConnection,
    (pool_id, from, to, sell_by): Way,
    day: At,
    profiles: i64,
) -> Result<()> {
    for (side, change) in [(to, profiles), (from, -profiles)] {
        let Some(status) = side else { continue };
        let sell_by = At(counted_by(sell_by, side));
        diesel::insert_into(stock_counts::table)
            .values((
                stock_counts::pool_id.eq(pool_id),
                stock_counts::stock_status.eq(<&str>::from(status)),
                stock_counts::sell_by.eq(sell_by),
                stock_counts::profiles.eq(change),
            ))
            .on_conflict((stock_counts::pool_id, stock_counts::stock_status, stock_counts::sell_by))
            .do_update()
            .set(stock_counts::profiles.eq(stock_counts::profiles + excluded(stock_counts::profiles)))
            .execute(sqlite)?;
    }
    if from.is_some() {
        let empty = stock_counts::table
            .filter(stock_counts::pool_id.eq(pool_id))
            .filter(stock_counts::profiles.eq(0));
        diesel::delete(empty).execute(sqlite)?;
    }
    if from.is_some() && to == Some(StockStatus::Allocated) {
        diesel::insert_into(stock_sold::table)
            .values((
                stock_sold::pool_id.eq(pool_id),
                stock_sold::day.eq(day),
                stock_sold::profiles.eq(profiles),
            ))
            .on_conflict((stock_sold::pool_id, stock_sold::day))
            .do_update()
            .set(stock_sold::profiles.eq(stock_sold::profiles + excluded(stock_sold::profiles)))
            .execute(sqlite)?;
    }
    Ok(())
}

/// The profiles of an import as they stand, as moves into their pools.
///
/// # Errors
/// When they cannot be counted.
pub fn of_import(conn: &mut Conn<'_>, import: ImportId) -> Result<Vec<Move>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        pool_id: i64,
        #[diesel(sql_type = Text)]
        stock_status: String,
        #[diesel(sql_type = Moment)]
        sell_by: At,
        #[diesel(sql_type = BigInt)]
        profiles: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT pool_id, stock_status, sell_by, COUNT(*) AS profiles FROM profiles WHERE import_id = $1 \
         GROUP BY pool_id, stock_status, sell_by",
    )
    .bind::<Id, _>(Uid(import.0))
    .load(conn.db)?;
    rows.into_iter()
        .map(|row| {
            let to = parse_column("profiles", "stock_status", import.0, &row.stock_status)?;
            let (pool_id, sell_by) = (row.pool_id, row.sell_by.0);
            Ok(Move { pool_id, from: None, to: Some(to), sell_by, profiles: row.profiles })
        })
        .collect()
}

/// How many profiles of a pool stand where.
///
/// # Errors
/// When it cannot be read.
pub fn of_pool(conn: &mut Conn<'_>, pool_id: i64, now: DateTime<Utc>) -> Result<StockCounts> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        stock_status: String,
        #[diesel(sql_type = BigInt)]
        profiles: i64,
        #[diesel(sql_type = BigInt)]
        expired: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT stock_status, CAST(SUM(profiles) AS BIGINT) AS profiles, CAST(SUM(CASE WHEN \
         stock_status = 'available' AND sell_by <= $1 THEN profiles ELSE 0 END) AS BIGINT) AS expired \
         FROM stock_now WHERE pool_id = $2 GROUP BY stock_status HAVING SUM(profiles) <> 0",
    )
    .bind::<Moment, _>(At(now))
    .bind::<BigInt, _>(pool_id)
    .load(conn.db)?;
    let mut counts = StockCounts::default();
    for row in rows {
        let status = parse_column("stock_counts", "stock_status", pool_id, &row.stock_status)?;
        counts.by_status.insert(status, u64::try_from(row.profiles).unwrap_or_default());
        counts.expired += u64::try_from(row.expired).unwrap_or_default();
    }
    Ok(counts)
}

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = BigInt)]
    profiles: i64,
}

impl Sum {
    fn get(&self) -> u64 {
        u64::try_from(self.profiles).unwrap_or_default()
    }
}

/// How many available profiles of a pool have not expired.
///
/// # Errors
/// When it cannot be read.
pub fn on_sale(conn: &mut Conn<'_>, pool_id: i64, now: DateTime<Utc>) -> Result<u64> {
    let sum: Sum = diesel::sql_query(
        "SELECT CAST(COALESCE(SUM(profiles), 0) AS BIGINT) AS profiles FROM stock_now \
         WHERE pool_id = $1 AND stock_status = 'available' AND sell_by > $2",
    )
    .bind::<BigInt, _>(pool_id)
    .bind::<Moment, _>(At(now))
    .get_result(conn.db)?;
    Ok(sum.get())
}

/// How many profiles there are in all pools.
///
/// # Errors
/// When it cannot be read.
pub fn total(conn: &mut Conn<'_>) -> Result<u64> {
    let sum: Sum =
        diesel::sql_query("SELECT CAST(COALESCE(SUM(profiles), 0) AS BIGINT) AS profiles FROM stock_now")
            .get_result(conn.db)?;
    Ok(sum.get())
}

/// How many profiles stand there, by pool; pools without one are absent.
///
/// # Errors
/// When it cannot be read.
pub fn by_pool(conn: &mut Conn<'_>, status: StockStatus) -> Result<Vec<(i64, i64)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        pool_id: i64,
        #[diesel(sql_type = BigInt)]
        profiles: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT pool_id, CAST(SUM(profiles) AS BIGINT) AS profiles FROM stock_now WHERE stock_status = $1 \
         GROUP BY pool_id HAVING SUM(profiles) <> 0 ORDER BY pool_id",
    )
    .bind::<Text, _>(<&str>::from(status))
    .load(conn.db)?;
    Ok(rows.into_iter().map(|row| (row.pool_id, row.profiles)).collect())
}

/// How many profiles of a pool were handed out on the days (UTC) that begin after `after`, up to now.
///
/// # Errors
/// When it cannot be read.
pub fn sold_since(conn: &mut Conn<'_>, pool_id: i64, after: DateTime<Utc>) -> Result<u64> {
    let sum: Sum = diesel::sql_query(
        "SELECT CAST(COALESCE(SUM(profiles), 0) AS BIGINT) AS profiles FROM stock_sold_now \
         WHERE pool_id = $1 AND day > $2",
    )
    .bind::<BigInt, _>(pool_id)
    .bind::<Moment, _>(At(after))
    .get_result(conn.db)?;
    Ok(sum.get())
}

/// A pool's profiles on sale that expire after a moment, up to another; `None` when there are none.
///
/// # Errors
/// When it cannot be read.
pub fn expiring(
    conn: &mut Conn<'_>,
    pool_id: i64,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<Expiring>> {
    #[derive(QueryableByName)]
    struct Span {
        #[diesel(sql_type = BigInt)]
        profiles: i64,
        #[diesel(sql_type = Nullable<Moment>)]
        first: Option<At>,
        #[diesel(sql_type = Nullable<Moment>)]
        last: Option<At>,
    }
    let row: Span = diesel::sql_query(
        "SELECT CAST(COALESCE(SUM(profiles), 0) AS BIGINT) AS profiles, MIN(sell_by) AS first, MAX(sell_by) AS last \
         FROM (SELECT sell_by, SUM(profiles) AS profiles FROM stock_now \
         WHERE pool_id = $1 AND stock_status = 'available' AND sell_by > $2 AND sell_by <= $3 \
         GROUP BY sell_by HAVING SUM(profiles) <> 0) there",
    )
    .bind::<BigInt, _>(pool_id)
    .bind::<Moment, _>(At(after))
    .bind::<Moment, _>(At(until))
    .get_result(conn.db)?;
    Ok(match (row.first, row.last) {
        (Some(At(first)), Some(At(last))) => {
            Some(Expiring { profiles: u64::try_from(row.profiles).unwrap_or_default(), first, last })
        }
        _ => None,
    })
}

/// Key of the advisory lock: "stockfld" in ASCII.
const LOCK: i64 = i64::from_be_bytes(*b"stockfld");
/// So many moves are cheap to sum up whenever somebody asks; folding them would cost more.
const FEW: i64 = 500;

/// All moves that are visible go into the counts, and the snapshot that saw them is kept. One statement, so that all of
/// it goes by that one snapshot.
const FOLD: &str = "WITH gone AS ( \
     DELETE FROM stock_moves WHERE txid >= (SELECT next_txid FROM stock_folds) \
         OR txid = ANY (ARRAY(SELECT unnest(in_flight) FROM stock_folds)) RETURNING *), \
 counted AS ( \
     INSERT INTO stock_counts (pool_id, stock_status, sell_by, profiles) \
     SELECT g.pool_id, side.stock_status, \
         CASE WHEN side.stock_status = 'available' THEN g.sell_by ELSE 'epoch' END AS counted_by, SUM(side.profiles) \
     FROM gone g CROSS JOIN LATERAL (VALUES (g.from_status, -g.profiles), (g.to_status, g.profiles)) \
         AS side (stock_status, profiles) \
     WHERE side.stock_status IS NOT NULL GROUP BY g.pool_id, side.stock_status, counted_by \
     HAVING SUM(side.profiles) <> 0 \
     ON CONFLICT (pool_id, stock_status, sell_by) \
     DO UPDATE SET profiles = stock_counts.profiles + excluded.profiles), \
 sold AS ( \
     INSERT INTO stock_sold (pool_id, day, profiles) \
     SELECT pool_id, day, SUM(profiles) FROM gone \
         WHERE to_status = 'allocated' AND from_status IS NOT NULL GROUP BY pool_id, day \
     ON CONFLICT (pool_id, day) DO UPDATE SET profiles = stock_sold.profiles + excluded.profiles) \
 UPDATE stock_folds SET next_txid = pg_snapshot_xmax(seen.shot)::text::bigint, \
     in_flight = ARRAY(SELECT open::text::bigint FROM pg_snapshot_xip(seen.shot) AS open) \
 FROM (SELECT pg_current_snapshot() AS shot) AS seen";

/// Adds the moves to the counts, if there are more than a few and nobody else is doing it. SQLite has none.
///
/// # Errors
/// When the database refuses it.
pub fn fold(conn: &mut Conn<'_>) -> Result<()> {
    fold_more_than(conn, FEW)
}

/// As [`fold`], with another number for "a few".
///
/// # Errors
/// When the database refuses it.
pub fn fold_more_than(conn: &mut Conn<'_>, few: i64) -> Result<()> {
    #[derive(QueryableByName)]
    struct Open {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        many: bool,
    }
    let AnyConnection::Pg(pg) = &mut *conn.db else { return Ok(()) };
    // The lock first: the statement that folds must see what the last folding did.
    let open: Open = diesel::sql_query(
        "SELECT CASE WHEN (SELECT COUNT(*) FROM (SELECT 1 FROM stock_moves_open LIMIT $1 + 1) open) > $1 \
         THEN pg_try_advisory_xact_lock($2) ELSE FALSE END AS many",
    )
    .bind::<BigInt, _>(few)
    .bind::<BigInt, _>(LOCK)
    .get_result(pg)?;
    if open.many {
        begin_anew(pg)?;
        diesel::sql_query(FOLD).execute(pg)?;
        pg.batch_execute("DELETE FROM stock_counts WHERE profiles = 0")?;
    }
    Ok(())
}

/// A database that was restored into another cluster has numbers of transactions that this one has not reached: all its
/// moves are open then, for the folded ones are gone.
fn begin_anew(pg: &mut PgConnection) -> QueryResult<()> {
    pg.batch_execute(
        "UPDATE stock_folds SET next_txid = 0, in_flight = '{}' \
         WHERE next_txid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
    )
}

/// To be called before the counts are read for the first time; see [`begin_anew`].
pub(crate) fn open(db: &mut AnyConnection) -> Result<()> {
    if let AnyConnection::Pg(pg) = db {
        begin_anew(pg)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_of_the_same_way_are_one_row() {
        let (one, two) =
            (DateTime::UNIX_EPOCH + chrono::Days::new(1), DateTime::UNIX_EPOCH + chrono::Days::new(2));
        let (free, held, sold) = (StockStatus::Available, StockStatus::Held, StockStatus::Allocated);
        let moves = [
            Move::one(1, free, sold, one),
            Move::one(1, free, sold, two),
            Move::one(1, free, sold, one),
            // Of what is not on sale the moment does not matter.
            Move::one(1, held, sold, one),
            Move::one(1, held, sold, two),
            Move::one(2, free, sold, one),
            Move::one(2, held, held, one),
        ];
        let expected = [
            ((1, Some(free), Some(sold), one), 2),
            ((1, Some(free), Some(sold), two), 1),
            ((1, Some(held), Some(sold), DateTime::UNIX_EPOCH), 2),
            ((2, Some(free), Some(sold), one), 1),
        ];
        assert_eq!(summed(&moves).into_iter().collect::<Vec<_>>(), expected);
    }
}
