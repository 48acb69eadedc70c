//! The next rows of a kind, as far as the ledger tells of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::id::{BundleId, HoldId, ImportId, OperationId, OrderId, WebhookEndpointId};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::stock::StockStatus;
use uuid::Uuid;

use crate::error::{Result, parse_column};
use crate::profiles::Profile;
use crate::schema::{allocations, profiles};
use crate::sql_types::{At, Id, Moment, Uid};
use crate::store::Conn;
use crate::webhooks::endpoints::{self, Endpoint};

/// The next profiles after a row, in order.
///
/// # Errors
/// When they cannot be read.
pub fn profiles_after(conn: &mut Conn<'_>, after: i64, limit: i64) -> Result<Vec<Profile>> {
    let rows: Vec<crate::profiles::Row> =
        profiles::table.filter(profiles::id.gt(after)).order(profiles::id).limit(limit).load(conn.db)?;
    rows.into_iter().map(Profile::try_from).collect()
}

/// The orders that these profiles belong to now, by profile.
///
/// # Errors
/// When they cannot be read.
pub fn live_orders(conn: &mut Conn<'_>, profile_ids: &[i64]) -> Result<HashMap<i64, OrderId>> {
    let rows: Vec<(i64, Uid)> = allocations::table
        .filter(allocations::profile_id.eq_any(profile_ids))
        .filter(allocations::ended_at.is_null())
        .select((allocations::profile_id, allocations::order_id))
        .load(conn.db)?;
    Ok(rows.into_iter().map(|(profile, order)| (profile, OrderId(order.0))).collect())
}

/// A profile as it was imported, but for its last moment of sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its row.
    pub id: i64,
    /// Its SIM.
    pub iccid: String,
    /// Where it started.
    pub status: StockStatus,
    /// Its last moment of sale as it is now.
    pub sell_by: DateTime<Utc>,
}

/// The next profiles of a batch after a row, in order.
///
/// # Errors
/// When they cannot be read.
pub fn batch_after(conn: &mut Conn<'_>, import: ImportId, after: i64, limit: i64) -> Result<Vec<Imported>> {
    let rows: Vec<(i64, String, String, At)> = profiles::table
        .filter(profiles::import_id.eq(Uid(import.0)))
        // As the index has it, with bound values it would not be: whoever walks the primary key may walk all that came
        // before.
        .filter(sql::<Bool>("profiles.id + 0 > ").bind::<BigInt, _>(after))
        .order(sql::<BigInt>("profiles.id + 0"))
        .limit(limit)
        .select((profiles::id, profiles::iccid, profiles::imported_as, profiles::sell_by))
        .load(conn.db)?;
    rows.into_iter()
        .map(|(id, iccid, status, sell_by)| {
            let status = parse_column("profiles", "imported_as", &iccid, &status)?;
            Ok(Imported { id, iccid, status, sell_by: sell_by.0 })
        })
        .collect()
}

/// An order, as far as its events tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedOrder {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub channel: String,
    /// The storefront's reference.
    pub reference: String,
    /// How many profiles its lines ask for.
    pub quantity: i64,
    /// Where it stands.
    pub status: OrderStatus,
    /// Whether a person closed it without what had failed.
    pub accepted: bool,
    /// How many events it has had.
    pub version: i64,
}

/// A bundle, as far as its events tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBundle {
    /// Its id.
    pub id: BundleId,
    /// On which profile; absent when that is gone.
    pub iccid: Option<String>,
    /// In which order.
    pub order: Option<OrderId>,
    /// Whose it is.
    pub channel: String,
    /// A top-up's reference.
    pub reference: Option<String>,
    /// The carrier's product.
    pub product: String,
    /// The carrier's id of it.
    pub subscription_id: Option<String>,
    /// Where it stands.
    pub status: BundleStatus,
    /// How many events it has had.
    pub version: i64,
}

/// An operation, as far as its events tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedOperation {
    /// Its id.
    pub id: OperationId,
    /// On which profile; absent when that is gone.
    pub iccid: Option<String>,
    /// Where it stands.
    pub status: OperationStatus,
    /// How many events it has had.
    pub version: i64,
}

/// A hold, as far as its events tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHold {
    /// Its id.
    pub id: HoldId,
    /// Whose it is.
    pub channel: String,
    /// Of which pool; absent when that is gone.
    pub pool: Option<String>,
    /// How many profiles it reserved.
    pub quantity: i64,
    /// Where it stands.
    pub status: HoldStatus,
    /// Its deadline.
    pub expires_at: DateTime<Utc>,
    /// The order that it became.
    pub order: Option<OrderId>,
    /// How many events it has had.
    pub version: i64,
}

/// No id is nil.
fn after_id(after: Option<Uuid>) -> Uid {
    Uid(after.unwrap_or_default())
}

/// The next orders after one, in order.
///
/// # Errors
/// When they cannot be read.
pub fn orders_after(conn: &mut Conn<'_>, after: Option<OrderId>, limit: i64) -> Result<Vec<VerifiedOrder>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Id)]
        id: Uid,
        #[diesel(sql_type = Text)]
        channel: String,
        #[diesel(sql_type = Text)]
        reference: String,
        #[diesel(sql_type = BigInt)]
        quantity: i64,
        #[diesel(sql_type = Text)]
        status: String,
        #[diesel(sql_type = Nullable<Moment>)]
        accepted_at: Option<At>,
        #[diesel(sql_type = BigInt)]
        version: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT o.id, o.channel, o.reference, o.status, o.accepted_at, o.version, \
         (SELECT CAST(COALESCE(SUM(l.quantity), 0) AS BIGINT) FROM order_lines l WHERE l.order_id = o.id) AS quantity \
         FROM orders o WHERE o.id > $1 ORDER BY o.id LIMIT $2",
    )
    .bind::<Id, _>(after_id(after.map(|id| id.0)))
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    rows.into_iter()
        .map(|row| {
            Ok(VerifiedOrder {
                id: OrderId(row.id.0),
                status: parse_column("orders", "status", row.id.0, &row.status)?,
                channel: row.channel,
                reference: row.reference,
                quantity: row.quantity,
                accepted: row.accepted_at.is_some(),
                version: row.version,
            })
        })
        .collect()
}

/// The next bundles after one, in order.
///
/// # Errors
/// When they cannot be read.
pub fn bundles_after(
    conn: &mut Conn<'_>,
    after: Option<BundleId>,
    limit: i64,
) -> Result<Vec<VerifiedBundle>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Id)]
        id: Uid,
        #[diesel(sql_type = Nullable<Text>)]
        iccid: Option<String>,
        #[diesel(sql_type = Nullable<Id>)]
        order_id: Option<Uid>,
        #[diesel(sql_type = Text)]
        channel: String,
        #[diesel(sql_type = Nullable<Text>)]
        reference: Option<String>,
        #[diesel(sql_type = Text)]
        product: String,
        #[diesel(sql_type = Nullable<Text>)]
        subscription_id: Option<String>,
        #[diesel(sql_type = Text)]
        status: String,
        #[diesel(sql_type = BigInt)]
        version: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT b.id, p.iccid, b.order_id, b.channel, b.reference, b.product, b.subscription_id, b.status, b.version \
         FROM bundles b LEFT JOIN profiles p ON p.id = b.profile_id WHERE b.id > $1 ORDER BY b.id LIMIT $2",
    )
    .bind::<Id, _>(after_id(after.map(|id| id.0)))
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    rows.into_iter()
        .map(|row| {
            Ok(VerifiedBundle {
                id: BundleId(row.id.0),
                iccid: row.iccid,
                order: row.order_id.map(|id| OrderId(id.0)),
                channel: row.channel,
                reference: row.reference,
                product: row.product,
                subscription_id: row.subscription_id,
                status: parse_column("bundles", "status", row.id.0, &row.status)?,
                version: row.version,
            })
        })
        .collect()
}

/// The next operations after one, in order.
///
/// # Errors
/// When they cannot be read.
pub fn operations_after(
    conn: &mut Conn<'_>,
    after: Option<OperationId>,
    limit: i64,
) -> Result<Vec<VerifiedOperation>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Id)]
        id: Uid,
        #[diesel(sql_type = Nullable<Text>)]
        iccid: Option<String>,
        #[diesel(sql_type = Text)]
        status: String,
        #[diesel(sql_type = BigInt)]
        version: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT x.id, p.iccid, x.status, x.version FROM operations x LEFT JOIN profiles p ON p.id = x.profile_id \
         WHERE x.id > $1 ORDER BY x.id LIMIT $2",
    )
    .bind::<Id, _>(after_id(after.map(|id| id.0)))
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    rows.into_iter()
        .map(|row| {
            Ok(VerifiedOperation {
                id: OperationId(row.id.0),
                iccid: row.iccid,
                status: parse_column("operations", "status", row.id.0, &row.status)?,
                version: row.version,
            })
        })
        .collect()
}

/// The next holds after one, in order.
///
/// # Errors
/// When they cannot be read.
pub fn holds_after(conn: &mut Conn<'_>, after: Option<HoldId>, limit: i64) -> Result<Vec<VerifiedHold>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Id)]
        id: Uid,
        #[diesel(sql_type = Text)]
        channel: String,
        #[diesel(sql_type = Nullable<Text>)]
        pool: Option<String>,
        #[diesel(sql_type = BigInt)]
        quantity: i64,
        #[diesel(sql_type = Text)]
        status: String,
        #[diesel(sql_type = Moment)]
        expires_at: At,
        #[diesel(sql_type = Nullable<Id>)]
        order_id: Option<Uid>,
        #[diesel(sql_type = BigInt)]
        version: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT h.id, h.channel, p.pool, h.quantity, h.status, h.expires_at, h.order_id, h.version \
         FROM holds h LEFT JOIN pools p ON p.id = h.pool_id WHERE h.id > $1 ORDER BY h.id LIMIT $2",
    )
    .bind::<Id, _>(after_id(after.map(|id| id.0)))
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    rows.into_iter()
        .map(|row| {
            Ok(VerifiedHold {
                id: HoldId(row.id.0),
                channel: row.channel,
                pool: row.pool,
                quantity: row.quantity,
                status: parse_column("holds", "status", row.id.0, &row.status)?,
                expires_at: row.expires_at.0,
                order: row.order_id.map(|id| OrderId(id.0)),
                version: row.version,
            })
        })
        .collect()
}

/// The next webhook endpoints after one, of every channel, in order.
///
/// # Errors
/// When they cannot be read.
pub fn endpoints_after(
    conn: &mut Conn<'_>,
    after: Option<WebhookEndpointId>,
    limit: i64,
) -> Result<Vec<Endpoint>> {
    endpoints::all_after(conn, WebhookEndpointId(after_id(after.map(|id| id.0)).0), limit)
}
