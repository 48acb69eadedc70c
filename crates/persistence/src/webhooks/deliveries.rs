//! Deliveries: one event for one endpoint, tried until it is taken or given up.
//!
//! Of the deliveries of an endpoint with the same key only the oldest pending one has a `run_at`; the others wait for
//! it and are in no index that a search for work looks at, so that a long queue behind a dead endpoint costs nothing.
//!
//! `run_at` goes by the clock of the application, leases by the database's ([`crate::Conn::now`]). What must be the
//! same for all machines is only who has a delivery; when it is due may be off by what their clocks are.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use simdepot_domain::id::{EventId, WebhookEndpointId};
use simdepot_domain::webhook::DeliveryStatus;

use super::endpoints::Endpoint;
use crate::dialect::{INSERT_CHUNK, both};
use crate::error::{Result, StoreError, ensure_affected, parse_column};
use crate::schema::webhook_deliveries as table;
use crate::sql_types::{At, Moment, Uid};
use crate::store::Conn;

/// An event for an endpoint, rendered.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The event's number in the feed.
    pub seq: i64,
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// Goes out after the ones before it with the same key.
    pub order_key: String,
    /// The bytes of every try.
    pub body: Vec<u8>,
}

/// A delivery as it is stored, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its row.
    pub id: i64,
    /// To which endpoint.
    pub endpoint: WebhookEndpointId,
    /// The event's number in the feed.
    pub seq: i64,
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// Goes out after the ones before it with the same key.
    pub order_key: String,
    /// Whether somebody asked for it, besides the one that the feed made.
    pub replay: bool,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// Not before; absent while it waits for one before it.
    pub run_at: Option<DateTime<Utc>>,
    /// HTTP status of the last answer.
    pub last_status: Option<u16>,
    /// Why there was no answer to the last try.
    pub last_error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = table)]
pub(super) struct Row {
    pub(super) id: i64,
    endpoint_id: Uid,
    seq: i64,
    event_id: Uid,
    event_type: String,
    order_key: String,
    replay: bool,
    status: String,
    attempts: i32,
    run_at: Option<At>,
    last_status: Option<i32>,
    last_error: Option<String>,
    created_at: At,
    finished_at: Option<At>,
}

impl TryFrom<Row> for Delivery {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            status: parse_column("webhook_deliveries", "status", row.id, &row.status)?,
            id: row.id,
            endpoint: WebhookEndpointId(row.endpoint_id.0),
            seq: row.seq,
            event: EventId(row.event_id.0),
            event_type: row.event_type,
            order_key: row.order_key,
            replay: row.replay,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            run_at: row.run_at.map(|at| at.0),
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            last_error: row.last_error,
            created_at: row.created_at.0,
            finished_at: row.finished_at.map(|at| at.0),
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = table, treat_none_as_default_value = false)]
struct NewRow<'a> {
    endpoint_id: Uid,
    seq: i64,
    event_id: Uid,
    event_type: &'a str,
    order_key: &'a str,
    body: &'a [u8],
    replay: bool,
    status: &'a str,
    run_at: Option<At>,
    created_at: At,
}

/// Queues deliveries in this order, behind what is queued already. The endpoint must be locked.
///
/// # Errors
/// When they cannot be stored.
pub fn insert_many(
    conn: &mut Conn<'_>,
    endpoint: &Endpoint,
    new: &[NewDelivery],
    replay: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    for chunk in new.chunks(INSERT_CHUNK) {
        let keys: BTreeSet<&str> = chunk.iter().map(|delivery| delivery.order_key.as_str()).collect();
        let keys: Vec<&str> = keys.into_iter().collect();
        let taken: Vec<String> = table::table
            .filter(table::endpoint_id.eq(Uid(endpoint.id.0)))
            .filter(table::status.eq(DeliveryStatus::Pending.as_ref()))
            .filter(table::order_key.eq_any(keys))
            .select(table::order_key)
            .distinct()
            .load(conn.db)?;
        let mut taken: BTreeSet<&str> = taken.iter().map(String::as_str).collect();
        let rows: Vec<NewRow<'_>> = chunk
            .iter()
            .map(|delivery| NewRow {
                endpoint_id: Uid(endpoint.id.0),
                seq: delivery.seq,
                event_id: Uid(delivery.event.0),
                event_type: &delivery.event_type,
                order_key: &delivery.order_key,
                body: &delivery.body,
                replay,
                status: DeliveryStatus::Pending.into(),
                run_at: taken.insert(&delivery.order_key).then_some(At(now)),
                created_at: At(now),
            })
            .collect();
        let written = both!(conn.db, c => diesel::insert_into(table::table).values(&rows).execute(c))?;
        ensure_affected("insert webhook deliveries", rows.len(), written)?;
    }
    Ok(())
}

/// A page of an endpoint's deliveries, newest first.
///
/// # Errors
/// When they cannot be read.
pub fn list(
    conn: &mut Conn<'_>,
    endpoint: WebhookEndpointId,
    status: Option<DeliveryStatus>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Delivery>> {
    let mut query = table::table
        .filter(table::endpoint_id.eq(Uid(endpoint.0)))
        .order(table::id.desc())
        .limit(limit)
        .select(Row::as_select())
        .into_boxed();
    if let Some(status) = status {
        query = query.filter(table::status.eq(status.to_string()));
    }
    if let Some(before) = before {
        query = query.filter(table::id.lt(before));
    }
    query.load::<Row>(conn.db)?.into_iter().map(Delivery::try_from).collect()
}

/// Whether a delivery ended before a moment.
///
/// # Errors
/// When the database cannot be asked.
pub fn any_finished_before(conn: &mut Conn<'_>, moment: DateTime<Utc>) -> Result<bool> {
    let found: Option<i64> = table::table
        .filter(table::finished_at.lt(At(moment)))
        .order(table::finished_at)
        .select(table::id)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

/// Forgets some deliveries that ended before a moment; returns how many.
///
/// # Errors
/// When they cannot be removed.
pub fn purge(conn: &mut Conn<'_>, moment: DateTime<Utc>, limit: i64) -> Result<usize> {
    Ok(diesel::sql_query(
        "DELETE FROM webhook_deliveries WHERE id IN \
         (SELECT id FROM webhook_deliveries WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)",
    )
    .bind::<Moment, _>(At(moment))
    .bind::<BigInt, _>(limit)
    .execute(conn.db)?)
}

/// How many deliveries of enabled endpoints are pending, and since when the oldest of them is, for the metrics.
///
/// # Errors
/// When they cannot be counted.
pub fn pending(conn: &mut Conn<'_>) -> Result<(i64, Option<DateTime<Utc>>)> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        deliveries: i64,
        #[diesel(sql_type = Nullable<Moment>)]
        since: Option<At>,
    }
    let count: Count = diesel::sql_query(
        "SELECT COUNT(*) AS deliveries, MIN(d.created_at) AS since FROM webhook_deliveries d \
         JOIN webhook_endpoints e ON e.id = d.endpoint_id WHERE d.status = 'pending' AND e.status = 'enabled'",
    )
    .get_result(conn.db)?;
    Ok((count.deliveries, count.since.map(|at| at.0)))
}
