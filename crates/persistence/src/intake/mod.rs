//! What a batch of orders writes, in one go: orders, lines, the profiles' moves, allocations, events and idempotency keys.
//!
//! A commit and a round trip cost more than the rows: on PostgreSQL everything is one prepared statement over arrays,
//! on SQLite it is prepared statements row by row, which cost no round trip there. Many orders then cost little more
//! than one.

mod postgres;
mod sqlite;

use chrono::{DateTime, Utc};
use simdepot_domain::event::Event;

use crate::allocations::NewAllocation;
use crate::connection::AnyConnection;
use crate::error::Result;
use crate::idempotency::Record;
use crate::orders::{Line, Order};
use crate::store::Conn;

/// An order about to be written.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The order.
    pub order: Order,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Its profiles, claimed in this transaction.
    pub places: Vec<NewAllocation>,
    /// Whether the answer shows their codes.
    pub revealed: bool,
    /// The request's key, if it had one.
    pub key: Option<Record>,
}

/// How a batch was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// All of it: the rows of the allocations, order by order, place by place.
    All(Vec<Vec<i64>>),
    /// A reference or a key of the batch is taken. The transaction must be rolled back.
    Taken,
}

/// Writes a batch of orders and all events that belong to it. No two orders of a batch may share a reference or a key of
/// a channel; they are sorted by reference, so that two batches never wait for each other's.
///
/// Waits for parallel transactions that write the same reference or key.
///
/// # Errors
/// [`StoreError::RowsAffected`](crate::StoreError::RowsAffected) when a profile did not stand where it was claimed any
/// more: the transaction must be rolled back.
pub fn write(
    conn: &mut Conn<'_>,
    batch: &[&NewOrder],
    events: &[Event],
    now: DateTime<Utc>,
) -> Result<Written> {
    match conn.db {
        AnyConnection::Pg(pg) => postgres::write(pg, batch, events, now),
        AnyConnection::Sqlite(_) => sqlite::write(conn, batch, events, now),
    }
}
