//! What carriers told us, as they told it, until it is applied.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Integer, Text};
use simdepot_domain::carrier_event::CarrierEventStatus;
use simdepot_domain::channel::AccountName;

use crate::dialect::{Both, Lock};
use crate::error::{Result, ensure_affected, parse_column};
use crate::schema::carrier_events;
use crate::sql_types::{At, Moment};
use crate::store::Conn;

/// An event that has just arrived.
#[derive(Debug, Clone)]
pub struct NewCarrierEvent {
    /// From which account.
    pub account: AccountName,
    /// The carrier's id of it, unique within the account.
    pub event_id: String,
    /// The carrier's type of it.
    pub event_type: String,
    /// Pending, or decided already.
    pub status: CarrierEventStatus,
    /// The body, sealed.
    pub body: Vec<u8>,
}

/// Stores an event; `false` when it came before. Waits for a parallel copy.
///
/// # Errors
/// When the database refuses it for another reason.
pub fn insert(conn: &mut Conn<'_>, new: &NewCarrierEvent, now: DateTime<Utc>) -> Result<bool> {
    let decided = (new.status != CarrierEventStatus::Pending).then_some(At(now));
    let insert = diesel::insert_into(carrier_events::table)
        .values((
            carrier_events::carrier_account.eq(new.account.as_str()),
            carrier_events::event_id.eq(new.event_id.as_str()),
            carrier_events::event_type.eq(new.event_type.as_str()),
            carrier_events::status.eq(new.status.as_ref()),
            carrier_events::run_at.eq(At(now)),
            carrier_events::body.eq(new.body.as_slice()),
            carrier_events::received_at.eq(At(now)),
            carrier_events::applied_at.eq(decided),
        ))
        .on_conflict_do_nothing();
    Ok(Both(insert).execute(conn.db)? == 1)
}

/// An event that a worker has for itself until `run_at`.
#[derive(Clone)]
pub struct TakenEvent {
    /// From which account.
    pub account: AccountName,
    /// The carrier's id of it.
    pub event_id: String,
    /// The carrier's type of it.
    pub event_type: String,
    /// How often it was taken, this time included.
    pub tries: u32,
    /// When others may take it; proves that it is still this worker's.
    pub run_at: DateTime<Utc>,
    /// The body, sealed.
    pub body: Vec<u8>,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
}

/// Without the body.
impl std::fmt::Debug for TakenEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TakenEvent")
            .field("account", &self.account)
            .field("event_id", &self.event_id)
            .field("event_type", &self.event_type)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    carrier_account: String,
    #[diesel(sql_type = Text)]
    event_id: String,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Moment)]
    run_at: At,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
    #[diesel(sql_type = Moment)]
    received_at: At,
}

/// Whether a pending event is due.
///
/// # Errors
/// When the database cannot be asked.
pub fn any_due(conn: &mut Conn<'_>, now: DateTime<Utc>) -> Result<bool> {
    let found: Option<String> = carrier_events::table
        .filter(carrier_events::status.eq(CarrierEventStatus::Pending.as_ref()))
        .filter(carrier_events::run_at.le(At(now)))
        .order(carrier_events::run_at)
        .select(carrier_events::event_id)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

/// Takes up to `limit` pending events that are due, and postpones their next turn to `until`: a worker that dies leaves
/// them to others.
///
/// # Errors
/// When they cannot be read.
pub fn take_due(
    conn: &mut Conn<'_>,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<TakenEvent>> {
    // Guarded again by the date: of two workers that read the same rows one gets each.
    let sql = format!(
        "UPDATE carrier_events SET run_at = $2, attempts = attempts + 1 WHERE status = 'pending' AND run_at <= $1 \
         AND (carrier_account, event_id) IN (SELECT carrier_account, event_id FROM carrier_events \
         WHERE status = 'pending' AND run_at <= $1 ORDER BY run_at LIMIT $3{}) \
         RETURNING carrier_account, event_id, event_type, attempts, run_at, body, received_at",
        Lock::Skip.clause(conn.db)
    );
    let rows: Vec<Row> = diesel::sql_query(sql)
        .bind::<Moment, _>(At(now))
        .bind::<Moment, _>(At(until))
        .bind::<BigInt, _>(limit)
        .load(conn.db)?;
    let mut taken = rows.into_iter().map(taken).collect::<Result<Vec<_>>>()?;
    taken.sort_by_key(|event| event.received_at);
    Ok(taken)
}

fn taken(row: Row) -> Result<TakenEvent> {
    Ok(TakenEvent {
        account: parse_column("carrier_events", "carrier_account", &row.event_id, &row.carrier_account)?,
        event_id: row.event_id,
        event_type: row.event_type,
        tries: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        run_at: row.run_at.0,
        body: row.body,
        received_at: row.received_at.0,
    })
}

/// Records what became of an event that this worker still has, in the transaction that applies it.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when the worker was too slow and another one has it.
pub fn finish(
    conn: &mut Conn<'_>,
    event: &TakenEvent,
    status: CarrierEventStatus,
    profile_id: Option<i64>,
    now: DateTime<Utc>,
) -> Result<()> {
    let touched = diesel::update(
        carrier_events::table
            .filter(carrier_events::carrier_account.eq(event.account.as_str()))
            .filter(carrier_events::event_id.eq(event.event_id.as_str()))
            .filter(carrier_events::status.eq(CarrierEventStatus::Pending.as_ref()))
            .filter(carrier_events::run_at.eq(At(event.run_at))),
    )
    .set((
        carrier_events::status.eq(status.as_ref()),
        carrier_events::profile_id.eq(profile_id),
        carrier_events::applied_at.eq(At(now)),
    ))
    .execute(conn.db)?;
    ensure_affected("finish carrier event", 1, touched)
}

/// Puts an event that this worker still has off.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when the worker was too slow and another one has it.
pub fn put_off(conn: &mut Conn<'_>, event: &TakenEvent, run_at: DateTime<Utc>) -> Result<()> {
    let touched = diesel::update(
        carrier_events::table
            .filter(carrier_events::carrier_account.eq(event.account.as_str()))
            .filter(carrier_events::event_id.eq(event.event_id.as_str()))
            .filter(carrier_events::status.eq(CarrierEventStatus::Pending.as_ref()))
            .filter(carrier_events::run_at.eq(At(event.run_at))),
    )
    .set(carrier_events::run_at.eq(At(run_at)))
    .execute(conn.db)?;
    ensure_affected("put carrier event off", 1, touched)
}

/// Forgets up to `limit` decided events that arrived before `before`; returns how many.
///
/// # Errors
/// When they cannot be removed.
pub fn purge(conn: &mut Conn<'_>, before: DateTime<Utc>, limit: i64) -> Result<usize> {
    let sql = "DELETE FROM carrier_events WHERE (carrier_account, event_id) IN (SELECT carrier_account, event_id \
               FROM carrier_events WHERE received_at < $1 AND status <> 'pending' ORDER BY received_at LIMIT $2)";
    Ok(diesel::sql_query(sql).bind::<Moment, _>(At(before)).bind::<BigInt, _>(limit).execute(conn.db)?)
}
