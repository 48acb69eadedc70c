//! The feed: the ledger in one dense order, 1, 2, 3, …, chained by hashes.
//!
//! On SQLite an event gets its number in the transaction that writes it: there is one writer. On PostgreSQL a counter
//! that every transaction touches would make them wait for each other, so one sequencer at a time numbers what is
//! surely complete ([`sequence`]). A number is given once and never again, as long as no backup is restored; every hash
//! covers the one before it, so that a number with its hash stands for everything up to it.

mod check;
mod entries;
mod sequence;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value as Json;
use simdepot_domain::event::SubjectKind;
use simdepot_domain::feed::{Hashed, in_version_order};
use simdepot_domain::id::EventId;

use crate::dialect::INSERT_CHUNK;
use crate::error::{Result, ensure_affected, parse_column};
use crate::events::Row;
use crate::schema::{events, feed, feed_position};
use crate::sql_types::Uid;
use crate::store::Conn;

use self::entries::Entries;

pub use check::{Checked, Fault, check, hash_at, unnumbered};
pub use sequence::{Backlog, backlog, is_waiting, sequence};

/// The hash before the first entry.
const GENESIS: [u8; 32] = [0; 32];

/// An entry of the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number, from 1, without a gap.
    pub seq: i64,
    /// Its hash in the chain.
    pub hash: Vec<u8>,
    /// The event's id.
    pub id: EventId,
    /// When it became true.
    pub at: DateTime<Utc>,
    /// What kind of thing it is about.
    pub subject_kind: SubjectKind,
    /// Which one.
    pub subject_id: String,
    /// How many events the subject has had with this one.
    pub version: i64,
    /// Its type, for example `order.created`.
    pub type_name: String,
    /// Its data, as it was written.
    pub data: Json,
}

/// Where the numbering stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The last number; 0 before the first.
    pub seq: i64,
    /// Its hash.
    pub hash: Vec<u8>,
    /// PostgreSQL: every transaction below this one is numbered.
    horizon: i64,
    /// PostgreSQL: the cluster whose transaction numbers these are, if it may be known.
    cluster: String,
}

impl Position {
    /// Before the first entry.
    pub fn start() -> Self {
        Self { seq: 0, hash: GENESIS.to_vec(), horizon: 0, cluster: String::new() }
    }
}

/// The entries after a number, in order, at most `limit`.
///
/// # Errors
/// When one cannot be read.
pub fn after(conn: &mut Conn<'_>, seq: i64, limit: i64) -> Result<Vec<Entry>> {
    let rows: Vec<(i64, Vec<u8>, Row)> = feed::table
        .inner_join(events::table.on(events::id.eq(feed::event_id)))
        .filter(feed::seq.gt(seq))
        .order(feed::seq)
        .limit(limit)
        .select((feed::seq, feed::hash, events::all_columns))
        .load(conn.db)?;
    rows.into_iter().map(entry).collect()
}

/// The entry of an event; `None` when there is no such event, or it has no number yet.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: EventId) -> Result<Option<Entry>> {
    let found: Option<(i64, Vec<u8>, Row)> = feed::table
        .inner_join(events::table.on(events::id.eq(feed::event_id)))
        .filter(feed::event_id.eq(Uid(id.0)))
        .select((feed::seq, feed::hash, events::all_columns))
        .first(conn.db)
        .optional()?;
    found.map(entry).transpose()
}

fn entry((seq, hash, row): (i64, Vec<u8>, Row)) -> Result<Entry> {
    Ok(Entry {
        seq,
        hash,
        subject_kind: parse_column("events", "subject_kind", row.id.0, &row.subject_kind)?,
        id: EventId(row.id.0),
        at: row.at.0,
        subject_id: row.subject_id,
        version: row.version,
        type_name: row.type_name,
        data: row.data.0,
    })
}

/// Where the numbering stands.
///
/// # Errors
/// When it cannot be read.
pub fn position(conn: &mut Conn<'_>) -> Result<Position> {
    Ok(stored_position(conn)?.unwrap_or_else(Position::start))
}

/// Whether something other than checkpoints was numbered after `seq`.
///
/// # Errors
/// When it cannot be read.
pub fn moved_since(conn: &mut Conn<'_>, seq: i64) -> Result<bool> {
    let found: Option<i64> = feed::table
        .inner_join(events::table.on(events::id.eq(feed::event_id)))
        .filter(feed::seq.gt(seq))
        .filter(events::subject_kind.ne(SubjectKind::Feed.as_ref()))
        .order(feed::seq)
        .select(feed::seq)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

fn stored_position(conn: &mut Conn<'_>) -> Result<Option<Position>> {
    let row: Option<(i32, i64, Vec<u8>, i64, String)> = feed_position::table.first(conn.db).optional()?;
    Ok(row.map(|(_, seq, hash, horizon, cluster)| Position { seq, hash, horizon, cluster }))
}

/// Numbers what is being written in this transaction. SQLite alone: its writer is alone.
pub(crate) fn number_as_written(conn: &mut Conn<'_>, rows: Vec<Row>) -> Result<()> {
    let Some(before) = stored_position(conn)? else {
        // The first event of a database, or the first since it has a feed; the rows are in the table already.
        return sequence::number_all(conn, Position::start(), 0).map(|_| ());
    };
    let after = number(conn, &before, rows)?;
    save(conn, Some(&before), &after)
}

/// Gives the next numbers to events; of one subject in the order of their versions.
fn number(conn: &mut Conn<'_>, from: &Position, rows: Vec<Row>) -> Result<Position> {
    let chain = conn.chain()?;
    let mut to = from.clone();
    let subject = |row: &Row| (row.subject_kind.clone(), row.subject_id.clone());
    let rows = in_version_order(rows, subject, |row| row.version);
    for chunk in rows.chunks(INSERT_CHUNK) {
        let mut entries = Entries::default();
        for row in chunk {
            to.seq += 1;
            to.hash = chain.link(&to.hash, to.seq, &hashed(row).bytes());
            entries.add(to.seq, row.id, to.hash.clone());
        }
        ensure_affected("number events", chunk.len(), entries.insert(conn.db)?)?;
    }
    Ok(to)
}

fn hashed(row: &Row) -> Hashed<'_> {
    Hashed {
        id: EventId(row.id.0),
        at: row.at.0,
        subject_kind: &row.subject_kind,
        subject_id: &row.subject_id,
        version: row.version,
        type_name: &row.type_name,
        data: &row.data.0,
    }
}

/// Moves the position on from where it was read; `before` is absent when there was none.
fn save(conn: &mut Conn<'_>, before: Option<&Position>, after: &Position) -> Result<()> {
    let values = (
        feed_position::seq.eq(after.seq),
        feed_position::hash.eq(&after.hash),
        feed_position::horizon.eq(after.horizon),
        feed_position::cluster.eq(&after.cluster),
    );
    let touched = match before {
        Some(before) => {
            let guard = feed_position::table
                .filter(feed_position::id.eq(1))
                .filter(feed_position::seq.eq(before.seq))
                .filter(feed_position::horizon.eq(before.horizon));
            diesel::update(guard).set(values).execute(conn.db)?
        }
        None => diesel::insert_into(feed_position::table)
            .values((feed_position::id.eq(1), values))
            .execute(conn.db)?,
    };
    ensure_affected("move the feed's position", 1, touched)
}
