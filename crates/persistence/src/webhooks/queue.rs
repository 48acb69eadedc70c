//! Deliveries as leased work: which endpoint is next, what it is sent, and how a try ended.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use simdepot_domain::id::WebhookEndpointId;
use simdepot_domain::webhook::DeliveryStatus;
use uuid::Uuid;

use super::deliveries::{Delivery, Row};
use super::endpoints::Endpoint;
use crate::error::{Result, ensure_affected};
use crate::schema::webhook_deliveries as table;
use crate::sql_types::{At, Id, Moment, Uid};
use crate::store::Conn;

/// How many tries an endpoint gets at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parallel {
    /// While it takes what it is sent.
    pub healthy: i64,
    /// After a failure.
    pub failing: i64,
}

/// Where failing endpoints stand among those with work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// Before the healthy ones.
    First,
    /// Behind them.
    Last,
    /// Nowhere.
    LeftOut,
}

impl Failing {
    /// Before or behind the healthy ones, which have 0; 0 leaves them out.
    const fn rank(self) -> i64 {
        match self {
            Self::First => -1,
            Self::Last => 1,
            Self::LeftOut => 0,
        }
    }
}

/// Enabled endpoints with a delivery that is due and room for another try, as far as they may be tried now. Of the
/// healthy ones, and of the failing ones, those with the fewest tries under way come first, so that slow ones do not
/// keep the others waiting; among equals, the one that waits longest.
///
/// # Errors
/// When the database cannot be asked.
pub fn endpoints_with_work(
    conn: &mut Conn<'_>,
    parallel: Parallel,
    failing: Failing,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<WebhookEndpointId>> {
    #[derive(QueryableByName)]
    struct IdRow {
        #[diesel(sql_type = Id)]
        id: Uid,
    }
    let clock = conn.now()?;
    // SQLite counts the parameters as they come, whatever their numbers.
    let rows: Vec<IdRow> = diesel::sql_query(
        "SELECT w.id FROM (SELECT e.id, e.failures, \
          (SELECT MIN(d.run_at) FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.status = 'pending' \
           AND d.run_at <= $1 AND (d.lease_until IS NULL OR d.lease_until <= $2)) AS since, \
          (SELECT COUNT(*) FROM webhook_deliveries l WHERE l.endpoint_id = e.id AND l.lease_token IS NOT NULL \
           AND l.lease_until > $2) AS under_way \
         FROM webhook_endpoints e WHERE e.status = 'enabled' AND (e.not_before IS NULL OR e.not_before <= $1) \
         AND (e.failures = 0 OR $3 <> 0)) w WHERE w.since IS NOT NULL \
         AND w.under_way < CASE WHEN w.failures > 0 THEN $4 ELSE $5 END \
         ORDER BY CASE WHEN w.failures > 0 THEN $3 ELSE 0 END, w.under_way, w.since, w.id LIMIT $6",
    )
    .bind::<Moment, _>(At(now))
    .bind::<Moment, _>(At(clock))
    .bind::<BigInt, _>(failing.rank())
    .bind::<BigInt, _>(parallel.failing)
    .bind::<BigInt, _>(parallel.healthy)
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    Ok(rows.into_iter().map(|row| WebhookEndpointId(row.id.0)).collect())
}

/// A delivery that one worker has for itself until `until`, by the database's clock.
#[derive(Clone)]
pub struct Lease {
    /// The delivery.
    pub delivery: Delivery,
    /// What to send.
    pub body: Vec<u8>,
    /// Proves the lease.
    pub token: Uuid,
    /// When it runs out.
    pub until: DateTime<Utc>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("delivery", &self.delivery.id)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// Leases the delivery of an endpoint that has been due longest, if it may have another try now. The endpoint must be
/// locked.
///
/// # Errors
/// When the database cannot be asked.
pub fn lease_next(
    conn: &mut Conn<'_>,
    endpoint: &Endpoint,
    parallel: Parallel,
    token: Uuid,
    now: DateTime<Utc>,
    length: chrono::TimeDelta,
) -> Result<Option<Lease>> {
    if !endpoint.health.is_due(now) {
        return Ok(None);
    }
    let clock = conn.now()?;
    let own = table::table.filter(table::endpoint_id.eq(Uid(endpoint.id.0)));
    let under_way: i64 = own
        .filter(table::lease_token.is_not_null())
        .filter(table::lease_until.gt(At(clock)))
        .count()
        .get_result(conn.db)?;
    let room = if endpoint.health.is_failing() { parallel.failing } else { parallel.healthy };
    if under_way >= room {
        return Ok(None);
    }
    let found: Option<(Row, Vec<u8>)> = own
        .filter(table::status.eq(DeliveryStatus::Pending.as_ref()))
        .filter(table::run_at.le(At(now)))
        .filter(table::lease_until.is_null().or(table::lease_until.le(At(clock))))
        .order((table::run_at, table::id))
        .select((Row::as_select(), table::body))
        .first(conn.db)
        .optional()?;
    let Some((row, body)) = found else {
        return Ok(None);
    };
    let until = clock + length;
    let touched = diesel::update(table::table.find(row.id))
        .set((table::lease_token.eq(Uid(token)), table::lease_until.eq(At(until))))
        .execute(conn.db)?;
    ensure_affected("lease webhook delivery", 1, touched)?;
    Ok(Some(Lease { delivery: row.try_into()?, body, token, until }))
}

/// Gives a lease back: nothing was sent. A lease that is over is left alone.
///
/// # Errors
/// When the database cannot be asked.
pub fn give_back(conn: &mut Conn<'_>, lease: &Lease) -> Result<()> {
    diesel::update(table::table.find(lease.delivery.id).filter(table::lease_token.eq(Uid(lease.token))))
        .set((table::lease_token.eq(None::<Uid>), table::lease_until.eq(None::<At>)))
        .execute(conn.db)?;
    Ok(())
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// What follows.
    pub next: Next,
}

/// What follows from a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the endpoint has it.
    Delivered,
    /// Another try, not before this moment.
    Again(DateTime<Utc>),
    /// Nothing: given up.
    Failed,
}

#[derive(AsChangeset)]
#[diesel(table_name = table)]
struct Outcome {
    status: String,
    attempts: i32,
    run_at: Option<At>,
    lease_token: Option<Option<Uid>>,
    lease_until: Option<Option<At>>,
    last_status: Option<Option<i32>>,
    last_error: Option<Option<String>>,
    finished_at: Option<At>,
}

/// Records a try made under a lease; when the delivery has ended, the next one with its key is due. The endpoint must
/// be locked.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when the lease ran out to somebody else, or the delivery is gone.
pub fn record(conn: &mut Conn<'_>, lease: &Lease, tried: &Tried, now: DateTime<Utc>) -> Result<()> {
    let (status, run_at, finished_at) = match tried.next {
        Next::Delivered => (DeliveryStatus::Delivered, None, Some(At(now))),
        Next::Again(at) => (DeliveryStatus::Pending, Some(At(at)), None),
        Next::Failed => (DeliveryStatus::Failed, None, Some(At(now))),
    };
    let outcome = Outcome {
        status: status.to_string(),
        attempts: i32::try_from(lease.delivery.attempts).unwrap_or(i32::MAX).saturating_add(1),
        run_at,
        lease_token: Some(None),
        lease_until: Some(None),
        last_status: Some(tried.status.map(i32::from)),
        last_error: Some(tried.error.clone()),
        finished_at,
    };
    let guard = table::table
        .filter(table::id.eq(lease.delivery.id))
        .filter(table::status.eq(DeliveryStatus::Pending.as_ref()))
        .filter(table::lease_token.eq(Uid(lease.token)));
    let touched = diesel::update(guard).set(&outcome).execute(conn.db)?;
    ensure_affected("record webhook delivery", 1, touched)?;
    if status == DeliveryStatus::Pending { Ok(()) } else { release_next(conn, &lease.delivery, now) }
}

fn release_next(conn: &mut Conn<'_>, ended: &Delivery, now: DateTime<Utc>) -> Result<()> {
    let next: Option<i64> = table::table
        .filter(table::endpoint_id.eq(Uid(ended.endpoint.0)))
        .filter(table::order_key.eq(&ended.order_key))
        .filter(table::status.eq(DeliveryStatus::Pending.as_ref()))
        .order(table::id)
        .select(table::id)
        .first(conn.db)
        .optional()?;
    let Some(next) = next else {
        return Ok(());
    };
    let touched = diesel::update(table::table.find(next)).set(table::run_at.eq(At(now))).execute(conn.db)?;
    ensure_affected("release webhook delivery", 1, touched)
}

/// Makes what waits for its next try due at once. The endpoint must be locked.
///
/// # Errors
/// When the database refuses it.
pub fn hurry(conn: &mut Conn<'_>, endpoint: WebhookEndpointId, now: DateTime<Utc>) -> Result<()> {
    let waiting = table::table
        .filter(table::endpoint_id.eq(Uid(endpoint.0)))
        .filter(table::status.eq(DeliveryStatus::Pending.as_ref()))
        .filter(table::run_at.gt(At(now)));
    diesel::update(waiting).set(table::run_at.eq(At(now))).execute(conn.db)?;
    Ok(())
}
