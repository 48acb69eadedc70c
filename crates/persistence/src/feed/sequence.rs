//! Numbering after the commit.
//!
//! PostgreSQL: an event carries the number of the transaction that wrote it. Below the snapshot's `xmin` every
//! transaction has ended, so what is there is complete, and what is missing was rolled back and never had a number.
//! The sequencer takes the transactions from its horizon up to there, whole ones only, and moves the horizon.
//!
//! A transaction may begin first, get the lower number and commit last: then an event's predecessor (the same
//! subject's version before) can lie in a higher transaction than the event. Such a predecessor is taken in if it is
//! complete; if not, the window ends below the event.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::{Position, number, save, stored_position};
use crate::error::Result;
use crate::events::Row;
use crate::schema::{events, feed};
use crate::sql_types::{At, Doc, Document, Id, Moment, Uid};
use crate::store::{Backend, Conn};

/// Key of the advisory lock: "sdepfeed" in ASCII.
const LOCK: i64 = 8_314_882_345_461_441_892;
/// An idle horizon is moved when it is this many transactions behind: seldom enough to cost nothing.
const IDLE_TRANSACTIONS: i64 = 100_000;
/// Events that are numbered at once when everything that has no number gets one.
const CHUNK: i64 = 5_000;

/// Events whose number is missing, as a condition on `events e`.
macro_rules! unnumbered {
    () => {
        "NOT EXISTS (SELECT 1 FROM feed f WHERE f.event_id = e.id)"
    };
}

/// Whether [`sequence`] would find something to do: a read, so that an idle depot writes nothing.
///
/// # Errors
/// When it cannot be read.
pub fn is_waiting(conn: &mut Conn<'_>) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = Bool)]
        waiting: bool,
    }
    if conn.backend() == Backend::Sqlite {
        // Events that were written before there was a feed; all others have their number.
        let none = stored_position(conn)?.is_none();
        return Ok(none && events::table.select(events::version).first::<i64>(conn.db).optional()?.is_some());
    }
    let horizon = horizon(conn)?;
    // The horizon is a parameter, so that the planner knows how little lies behind it, and the order leaves it no plan
    // that reads the whole table to find nothing.
    let row: Waiting = diesel::sql_query(concat!(
        "WITH now AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin, \
                                          pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax) \
         SELECT $1 > now.xmax OR ($1 > 0 AND now.xmin - $1 > $2) \
             OR COALESCE((SELECT e.txid FROM events e WHERE e.txid >= $1 AND ",
        unnumbered!(),
        " ORDER BY e.txid LIMIT 1) < CASE WHEN $1 = 0 THEN 9223372036854775807 ELSE now.xmin END, FALSE) AS waiting \
         FROM now"
    ))
    .bind::<BigInt, _>(horizon)
    .bind::<BigInt, _>(IDLE_TRANSACTIONS)
    .get_result(conn.db)?;
    Ok(row.waiting)
}

fn horizon(conn: &mut Conn<'_>) -> Result<i64> {
    Ok(stored_position(conn)?.map_or(0, |position| position.horizon))
}

/// Numbers about `limit` events that are complete, in the caller's transaction; returns how many. Of several sequencers
/// one works and the others return 0.
///
/// # Errors
/// [`StoreError::Unique`](crate::StoreError::Unique) or [`StoreError::RowsAffected`](crate::StoreError::RowsAffected)
/// when another sequencer worked at the same time in spite of the lock: it did the work.
pub fn sequence(conn: &mut Conn<'_>, limit: i64) -> Result<u64> {
    if conn.backend() == Backend::Sqlite {
        return if is_waiting(conn)? { number_all(conn, Position::start(), 0) } else { Ok(0) };
    }
    if !take_turn(conn)? {
        return Ok(0);
    }
    let cluster = cluster(conn)?;
    let stored = stored_position(conn)?;
    let mut before = stored.clone().unwrap_or_else(Position::start);
    let snapshot = snapshot(conn)?;
    let moved = !before.cluster.is_empty() && !cluster.is_empty() && before.cluster != cluster;
    if moved || before.horizon > snapshot.xmax || (stored.is_none() && has_foreign(conn, snapshot.xmax)?) {
        tracing::warn!(cluster, "the database came from elsewhere; every event without a number gets one");
        return recover(conn, stored.as_ref(), before, cluster);
    }
    let end = window_end(conn, before.horizon, snapshot.xmin, limit)?;
    let rows = window(conn, before.horizon, end)?;
    let numbered = u64::try_from(rows.len()).unwrap_or_default();
    if numbered == 0 && end - before.horizon <= IDLE_TRANSACTIONS {
        return Ok(0);
    }
    if !cluster.is_empty() {
        before.cluster = cluster;
    }
    let mut after = number(conn, &before, rows)?;
    after.horizon = end;
    save(conn, stored.as_ref(), &after)?;
    Ok(numbered)
}

/// How much waits for a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events without a number, counted up to 100,000.
    pub events: i64,
    /// When the oldest of them became true.
    pub oldest: Option<chrono::DateTime<chrono::Utc>>,
}

/// How much waits for a number, what is held back by open transactions included.
///
/// # Errors
/// When it cannot be read.
pub fn backlog(conn: &mut Conn<'_>) -> Result<Backlog> {
    #[derive(QueryableByName)]
    struct Counted {
        #[diesel(sql_type = BigInt)]
        events: i64,
        #[diesel(sql_type = Nullable<Moment>)]
        oldest: Option<At>,
    }
    if conn.backend() == Backend::Sqlite {
        return Ok(Backlog::default());
    }
    let horizon = horizon(conn)?;
    let counted: Counted = diesel::sql_query(concat!(
        "SELECT COUNT(*) AS events, MIN(waiting.at) AS oldest FROM (SELECT e.at FROM events e WHERE e.txid >= $1 AND ",
        unnumbered!(),
        " ORDER BY e.txid LIMIT 100000) waiting"
    ))
    .bind::<BigInt, _>(horizon)
    .get_result(conn.db)?;
    Ok(Backlog { events: counted.events, oldest: counted.oldest.map(|at| at.0) })
}

/// Takes the lock of the sequencer until the end of the transaction; `false` when another one has it.
///
/// The window is small beside the tables, and what the planner knows of their newest rows is old: it is kept from
/// reading whole tables for a handful of events.
fn take_turn(conn: &mut Conn<'_>) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Turn {
        #[diesel(sql_type = Bool)]
        taken: bool,
    }
    let turn: Turn = diesel::sql_query(
        "SELECT pg_try_advisory_xact_lock($1) AS taken, set_config('enable_hashjoin', 'off', true), \
         set_config('enable_mergejoin', 'off', true)",
    )
    .bind::<BigInt, _>(LOCK)
    .get_result(conn.db)?;
    Ok(turn.taken)
}

/// The cluster's own number; empty where it may not be read, as some providers have it.
fn cluster(conn: &mut Conn<'_>) -> Result<String> {
    #[derive(QueryableByName)]
    struct Allowed {
        #[diesel(sql_type = Bool)]
        allowed: bool,
    }
    #[derive(QueryableByName)]
    struct Cluster {
        #[diesel(sql_type = Text)]
        cluster: String,
    }
    let row: Allowed =
        diesel::sql_query("SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS allowed")
            .get_result(conn.db)?;
    if !row.allowed {
        return Ok(String::new());
    }
    let row: Cluster =
        diesel::sql_query("SELECT system_identifier::text AS cluster FROM pg_control_system()")
            .get_result(conn.db)?;
    Ok(row.cluster)
}

/// Which transactions have ended.
#[derive(QueryableByName)]
struct Snapshot {
    /// All below have.
    #[diesel(sql_type = BigInt)]
    xmin: i64,
    /// From here on none has begun.
    #[diesel(sql_type = BigInt)]
    xmax: i64,
}

fn snapshot(conn: &mut Conn<'_>) -> Result<Snapshot> {
    Ok(diesel::sql_query(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin, \
         pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax",
    )
    .get_result(conn.db)?)
}

#[derive(QueryableByName)]
struct Transaction {
    #[diesel(sql_type = Nullable<BigInt>)]
    txid: Option<i64>,
}

/// Whether there are events of transactions that have not begun here.
fn has_foreign(conn: &mut Conn<'_>, xmax: i64) -> Result<bool> {
    let newest: Transaction =
        diesel::sql_query("SELECT MAX(txid) AS txid FROM events").get_result(conn.db)?;
    Ok(newest.txid.is_some_and(|txid| txid >= xmax))
}

/// Where the window that begins at `horizon` ends: not beyond `bound`, with whole transactions, about `limit` events,
/// and no event whose predecessor is left out.
fn window_end(conn: &mut Conn<'_>, horizon: i64, mut bound: i64, limit: i64) -> Result<i64> {
    loop {
        let mut end = cut(conn, horizon, bound, limit)?;
        loop {
            match left_out(conn, horizon, end, bound)? {
                // What is blocked once is blocked for this round, and whatever hangs on it: the bound only sinks.
                LeftOut { blocked: Some(blocked), .. } => {
                    bound = blocked;
                    break;
                }
                LeftOut { complete: Some(complete), .. } => end = complete + 1,
                LeftOut { blocked: None, complete: None } => return Ok(end),
            }
        }
    }
}

/// Cuts at the transaction that has the event after the limit; one that alone has more is taken whole.
fn cut(conn: &mut Conn<'_>, horizon: i64, bound: i64, limit: i64) -> Result<i64> {
    let mut at = |offset: i64| -> Result<Option<i64>> {
        let row: Option<Transaction> = diesel::sql_query(concat!(
            "SELECT e.txid FROM events e WHERE e.txid >= $1 AND e.txid < $2 AND ",
            unnumbered!(),
            " ORDER BY e.txid OFFSET $3 LIMIT 1"
        ))
        .bind::<BigInt, _>(horizon)
        .bind::<BigInt, _>(bound)
        .bind::<BigInt, _>(offset)
        .get_result(conn.db)
        .optional()?;
        Ok(row.and_then(|row| row.txid))
    };
    match at(limit)? {
        None => Ok(bound.max(horizon)),
        Some(over) if at(0)? == Some(over) => Ok(over + 1),
        Some(over) => Ok(over),
    }
}

/// Predecessors of events in a window that are neither in it nor numbered.
#[derive(QueryableByName)]
struct LeftOut {
    /// The first transaction with an event whose predecessor is beyond the bound.
    #[diesel(sql_type = Nullable<BigInt>)]
    blocked: Option<i64>,
    /// The last transaction with a predecessor below the bound.
    #[diesel(sql_type = Nullable<BigInt>)]
    complete: Option<i64>,
}

fn left_out(conn: &mut Conn<'_>, horizon: i64, end: i64, bound: i64) -> Result<LeftOut> {
    // Each event of the window looks its predecessor up, whatever the planner knows: the limit keeps it from beginning with
    // all that is behind the window.
    Ok(diesel::sql_query(concat!(
        "SELECT MIN(e.txid) FILTER (WHERE p.txid >= $3) AS blocked, \
                MAX(p.txid) FILTER (WHERE p.txid < $3) AS complete \
         FROM events e CROSS JOIN LATERAL (SELECT b.id, b.txid FROM events b WHERE b.subject_kind = e.subject_kind \
              AND b.subject_id = e.subject_id AND b.version = e.version - 1 LIMIT 1) p \
         WHERE e.txid >= $1 AND e.txid < $2 AND e.version > 1 AND p.txid >= $2 AND ",
        unnumbered!(),
        " AND NOT EXISTS (SELECT 1 FROM feed g WHERE g.event_id = p.id)"
    ))
    .bind::<BigInt, _>(horizon)
    .bind::<BigInt, _>(end)
    .bind::<BigInt, _>(bound)
    .get_result(conn.db)?)
}

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = Id)]
    id: Uid,
    #[diesel(sql_type = Moment)]
    at: At,
    #[diesel(sql_type = Text)]
    subject_kind: String,
    #[diesel(sql_type = Text)]
    subject_id: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    type_name: String,
    #[diesel(sql_type = Document)]
    data: Doc,
}

impl From<EventRow> for Row {
    fn from(row: EventRow) -> Self {
        let EventRow { id, at, subject_kind, subject_id, version, type_name, data } = row;
        Self { id, at, subject_kind, subject_id, version, type_name, data }
    }
}

/// The events of a window by transaction, within one by id: ids of one process ascend. The window itself leaves out
/// what has a number: after a move to another cluster the numbers of transactions begin anew.
fn window(conn: &mut Conn<'_>, horizon: i64, end: i64) -> Result<Vec<Row>> {
    let rows: Vec<EventRow> = diesel::sql_query(concat!(
        "SELECT e.id, e.at, e.subject_kind, e.subject_id, e.version, e.type_name, e.data FROM events e \
         WHERE e.txid >= $1 AND e.txid < $2 AND ",
        unnumbered!(),
        " ORDER BY e.txid, e.id"
    ))
    .bind::<BigInt, _>(horizon)
    .bind::<BigInt, _>(end)
    .load(conn.db)?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// The database was restored or moved: its transaction numbers mean nothing here. While nobody can write events, all
/// that have no number get one. The horizon then is the lowest transaction still open, not the next one: a transaction
/// that waits to write its events may have begun long ago, and what is numbered now is left out of later windows.
fn recover(
    conn: &mut Conn<'_>,
    stored: Option<&Position>,
    mut position: Position,
    cluster: String,
) -> Result<u64> {
    diesel::sql_query(
        "SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true)",
    )
    .execute(conn.db)?;
    diesel::sql_query("LOCK TABLE events IN SHARE MODE").execute(conn.db)?;
    if !cluster.is_empty() {
        position.cluster = cluster;
    }
    let horizon = snapshot(conn)?.xmin;
    number_rest(conn, stored, position, horizon)
}

/// Numbers everything that has no number, where no numbering has been before.
pub(super) fn number_all(conn: &mut Conn<'_>, position: Position, horizon: i64) -> Result<u64> {
    number_rest(conn, None, position, horizon)
}

/// By version first, so that the order within a subject holds over all chunks.
fn number_rest(
    conn: &mut Conn<'_>,
    stored: Option<&Position>,
    mut position: Position,
    horizon: i64,
) -> Result<u64> {
    let mut numbered = 0;
    loop {
        let rows: Vec<Row> = events::table
            .left_join(feed::table.on(feed::event_id.eq(events::id)))
            .filter(feed::seq.is_null())
            .order((events::version, events::at, events::id))
            .limit(CHUNK)
            .select(events::all_columns)
            .load(conn.db)?;
        if rows.is_empty() {
            position.horizon = horizon;
            save(conn, stored, &position)?;
            return Ok(numbered);
        }
        numbered += u64::try_from(rows.len()).unwrap_or_default();
        position = number(conn, &position, rows)?;
    }
}
