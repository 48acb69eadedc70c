//! What a batch of orders writes, in one go: orders, lines, the profiles' moves, allocations, events and idempotency keys.
//!
//! A commit and a round trip cost more than the rows: on PostgreSQL everything is one prepared statement over arrays,
//! on SQLite it is prepared statements row by row, which cost no round trip there. Many orders then cost little more
//! than one.

mod postgres;
mod sqlite;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use simdepot_domain::event::Event;

use crate::allocations::NewAllocation;
use crate::connection::AnyConnection;
use crate::error::Result;
use crate::idempotency::Record;
use crate::orders::{Line, Order};
use crate::profiles::{Profile, Row as ProfileRow};
use crate::secrets::{SealedCode, SealedRow, sealed_code};
use crate::store::Conn;
use crate::vault::Vault;

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
    /// Everything that becomes true with it.
    pub events: Vec<Event>,
}

/// A profile that an order got, as it stands now.
#[derive(Debug)]
pub struct Allotted {
    /// The allocation's row.
    pub allocation: i64,
    /// The profile.
    pub profile: Profile,
    /// Its code, sealed. One whose data key does not open is an error of its own, for whoever wants to see the code.
    pub code: Option<Result<SealedCode>>,
}

/// How a batch was written.
#[derive(Debug)]
pub enum Written {
    /// Order by order: its profiles, place by place; or nothing of it, because its reference is taken.
    Each(Vec<Option<Vec<Allotted>>>),
    /// A key of the batch is taken, and not its order's reference. The transaction must be rolled back.
    KeyTaken,
}

/// Writes a batch of orders with their events. No two orders of a batch may share a reference or a key of a channel; they
/// are sorted by reference, so that two batches never wait for each other's.
///
/// Waits for parallel transactions that write the same reference or key.
///
/// # Errors
/// [`StoreError::RowsAffected`](crate::StoreError::RowsAffected) when a profile did not stand where it was claimed any more: the transaction must be
/// rolled back.
pub fn write(conn: &mut Conn<'_>, vault: &Vault, batch: &[&NewOrder], now: DateTime<Utc>) -> Result<Written> {
    let written = match conn.db {
        AnyConnection::Pg(pg) => postgres::write(pg, batch, now)?,
        AnyConnection::Sqlite(_) => sqlite::write(conn, batch, now)?,
    };
    let Some(places) = written else { return Ok(Written::KeyTaken) };
    let mut by_profile = HashMap::with_capacity(places.len());
    for (allocation, profile, sealed) in places {
        let profile = Profile::try_from(profile)?;
        let code = sealed_code(conn, vault, &profile, sealed);
        by_profile.insert(profile.id, Allotted { allocation, profile, code });
    }
    Ok(Written::Each(batch.iter().map(|new| of_order(new, &mut by_profile)).collect()))
}

fn of_order(new: &NewOrder, by_profile: &mut HashMap<i64, Allotted>) -> Option<Vec<Allotted>> {
    new.places.iter().map(|place| by_profile.remove(&place.profile.id)).collect()
}

/// An allocation, its profile, and the profile's sealed code.
type Place = (i64, ProfileRow, Option<SealedRow>);
