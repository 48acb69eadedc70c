//! Idempotency keys: what a request made, so that its repetition can be answered from it.
//!
//! The record is written in the transaction that makes the resource. It names the resource and never holds a rendered
//! body: the answer is rendered again, and what is secret in it is not there to leak.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use simdepot_domain::channel::ChannelName;

use crate::dialect::Both;
use crate::error::Result;
use crate::schema::idempotency_keys;
use crate::sql_types::At;
use crate::store::Conn;

/// How long a key is remembered.
pub const KEPT: TimeDelta = TimeDelta::hours(24);

/// What a key was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose key: channels have their own namespaces.
    pub channel: ChannelName,
    /// The key, 1 to 255 visible ASCII characters.
    pub key: String,
    /// Method and path.
    pub request: String,
    /// SHA-256 of the body.
    pub body_hash: Vec<u8>,
    /// HTTP status of the first answer.
    pub status: u16,
    /// Id of what was made.
    pub resource_id: String,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = idempotency_keys, treat_none_as_default_value = false)]
struct Row {
    channel: String,
    key: String,
    request: String,
    body_hash: Vec<u8>,
    status: i32,
    resource_id: String,
    created_at: At,
    expires_at: At,
}

/// The live record of a key.
///
/// # Errors
/// When it cannot be read.
pub fn find(
    conn: &mut Conn<'_>,
    channel: &ChannelName,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Option<Record>> {
    let row: Option<Row> = idempotency_keys::table
        .find((channel.as_str(), key))
        .filter(idempotency_keys::expires_at.gt(At(now)))
        .first(conn.db)
        .optional()?;
    Ok(row.map(|row| Record {
        channel: channel.clone(),
        key: row.key,
        request: row.request,
        body_hash: row.body_hash,
        status: u16::try_from(row.status).unwrap_or_default(),
        resource_id: row.resource_id,
    }))
}

/// Writes a record; `false` when the key is taken. Waits for a parallel request with the key to end.
///
/// # Errors
/// When the database refuses it for another reason.
pub fn insert(conn: &mut Conn<'_>, record: &Record, now: DateTime<Utc>) -> Result<bool> {
    forget_expired(conn, &record.channel, &record.key, now)?;
    let row = Row {
        channel: record.channel.to_string(),
        key: record.key.clone(),
        request: record.request.clone(),
        body_hash: record.body_hash.clone(),
        status: i32::from(record.status),
        resource_id: record.resource_id.clone(),
        created_at: At(now),
        expires_at: At(now + KEPT),
    };
    let insert = diesel::insert_into(idempotency_keys::table).values(row).on_conflict_do_nothing();
    Ok(Both(insert).execute(conn.db)? == 1)
}

/// Forgets a key if its time is over.
///
/// # Errors
/// When it cannot be removed.
pub fn forget_expired(
    conn: &mut Conn<'_>,
    channel: &ChannelName,
    key: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let expired = idempotency_keys::table
        .find((channel.as_str(), key))
        .filter(idempotency_keys::expires_at.le(At(now)));
    diesel::delete(expired).execute(conn.db)?;
    Ok(())
}

/// Forgets expired keys; returns how many.
///
/// # Errors
/// When they cannot be removed.
pub fn purge(conn: &mut Conn<'_>, now: DateTime<Utc>) -> Result<usize> {
    Ok(diesel::delete(idempotency_keys::table.filter(idempotency_keys::expires_at.le(At(now))))
        .execute(conn.db)?)
}
