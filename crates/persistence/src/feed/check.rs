//! Reads of the feed for `simdepot verify`: in chunks, with flat memory.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use simdepot_domain::id::EventId;

use super::{Position, hashed};
use crate::error::Result;
use crate::events::Row;
use crate::schema::feed;
use crate::sql_types::{At, Doc, Document, Id, Moment, Uid};
use crate::store::{Backend, Conn};

/// What is wrong with the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Numbers are missing.
    Gap {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// An entry's event is gone.
    EventGone {
        /// The entry.
        seq: i64,
    },
    /// The hash does not follow: the event, its place, or the hash was changed.
    Hash {
        /// The entry.
        seq: i64,
        /// Its event.
        event: EventId,
    },
    /// An event stands before its subject's version before, or that one has no number.
    Order {
        /// The entry.
        seq: i64,
        /// Its event.
        event: EventId,
    },
}

/// A checked part of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Where to go on; the hash is the stored one, so that one fault is told once.
    pub to: Position,
    /// Entries read; 0 at the end.
    pub entries: usize,
    /// What is wrong with them.
    pub faults: Vec<Fault>,
}

#[derive(QueryableByName)]
struct Link {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
    #[diesel(sql_type = Id)]
    event_id: Uid,
    #[diesel(sql_type = Nullable<Moment>)]
    at: Option<At>,
    #[diesel(sql_type = Nullable<Text>)]
    subject_kind: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    subject_id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    version: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    type_name: Option<String>,
    #[diesel(sql_type = Nullable<Document>)]
    data: Option<Doc>,
    /// The number of the subject's version before.
    #[diesel(sql_type = Nullable<BigInt>)]
    before: Option<i64>,
}

impl Link {
    fn event(&self) -> Option<Row> {
        Some(Row {
            id: self.event_id,
            at: self.at?,
            subject_kind: self.subject_kind.clone()?,
            subject_id: self.subject_id.clone()?,
            version: self.version?,
            type_name: self.type_name.clone()?,
            data: self.data.clone()?,
        })
    }
}

/// Checks the next entries after `from`, at most `limit`: numbers, hashes, order within subjects.
///
/// # Errors
/// When they cannot be read.
pub fn check(conn: &mut Conn<'_>, from: &Position, limit: i64) -> Result<Checked> {
    let links: Vec<Link> = diesel::sql_query(
        "SELECT f.seq, f.hash, f.event_id, e.at, e.subject_kind, e.subject_id, e.version, e.type_name, e.data, \
         (SELECT g.seq FROM events p JOIN feed g ON g.event_id = p.id WHERE p.subject_kind = e.subject_kind \
          AND p.subject_id = e.subject_id AND p.version = e.version - 1) AS before \
         FROM feed f LEFT JOIN events e ON e.id = f.event_id WHERE f.seq > $1 ORDER BY f.seq LIMIT $2",
    )
    .bind::<BigInt, _>(from.seq)
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    let chain = conn.chain()?;
    let (mut to, mut faults, entries) = (from.clone(), Vec::new(), links.len());
    for link in links {
        let (seq, event) = (link.seq, EventId(link.event_id.0));
        if seq != to.seq + 1 {
            faults.push(Fault::Gap { from: to.seq + 1, to: seq - 1 });
        }
        match link.event() {
            None => faults.push(Fault::EventGone { seq }),
            Some(row) => {
                if chain.link(&to.hash, seq, &hashed(&row).bytes()) != link.hash {
                    faults.push(Fault::Hash { seq, event });
                }
                if row.version > 1 && link.before.is_none_or(|before| before > seq) {
                    faults.push(Fault::Order { seq, event });
                }
            }
        }
        to.seq = seq;
        to.hash = link.hash;
    }
    Ok(Checked { to, entries, faults })
}

/// The stored hash of an entry.
///
/// # Errors
/// When it cannot be read.
pub fn hash_at(conn: &mut Conn<'_>, seq: i64) -> Result<Option<Vec<u8>>> {
    Ok(feed::table.find(seq).select(feed::hash).first(conn.db).optional()?)
}

/// Events that should have a number and have none: those that the numbering has passed (`lost`), and those that it could
/// have reached although they are older than `before` (`late`). Up to `limit` of each.
///
/// # Errors
/// When they cannot be read.
pub fn unnumbered(
    conn: &mut Conn<'_>,
    before: chrono::DateTime<chrono::Utc>,
    limit: i64,
) -> Result<(Vec<EventId>, Vec<EventId>)> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Id)]
        id: Uid,
        #[diesel(sql_type = diesel::sql_types::Bool)]
        lost: bool,
    }
    // Each is one statement, so it sees one moment: the horizon and the numbers below it are committed together.
    let rows: Vec<Found> = match conn.backend() {
        Backend::Sqlite => diesel::sql_query(
            "SELECT e.id, TRUE AS lost FROM events e LEFT JOIN feed f ON f.event_id = e.id \
             WHERE f.seq IS NULL AND EXISTS (SELECT 1 FROM feed_position) ORDER BY e.id LIMIT $1",
        )
        .bind::<BigInt, _>(limit)
        .load(conn.db)?,
        Backend::Postgres => diesel::sql_query(
            "SELECT e.id, e.txid < COALESCE((SELECT horizon FROM feed_position), 0) AS lost \
             FROM events e LEFT JOIN feed f ON f.event_id = e.id WHERE f.seq IS NULL \
             AND (e.txid < COALESCE((SELECT horizon FROM feed_position), 0) \
                  OR (e.at < $2 AND e.txid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint)) \
             ORDER BY e.id LIMIT $1",
        )
        .bind::<BigInt, _>(limit)
        .bind::<Moment, _>(At(before))
        .load(conn.db)?,
    };
    let (lost, late): (Vec<Found>, Vec<Found>) = rows.into_iter().partition(|row| row.lost);
    let ids = |rows: Vec<Found>| rows.into_iter().map(|row| EventId(row.id.0)).collect();
    Ok((ids(lost), ids(late)))
}
