//! Orders and their lines.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value as Json;
use simdepot_domain::channel::ChannelName;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::OrderStatus;

use crate::dialect::{Both, insert_rows};
use crate::error::{Result, StoreError, ensure_affected, parse_column};
use crate::schema::{order_lines, orders};
use crate::sql_types::{At, Doc, Uid};
use crate::store::{Backend, Conn};

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub channel: ChannelName,
    /// The storefront's reference, unique in the channel for ever.
    pub reference: String,
    /// SHA-256 of what was asked.
    pub request_hash: Vec<u8>,
    /// Where it stands.
    pub status: OrderStatus,
    /// Whether the answer to its creation carries the codes.
    pub reveal: bool,
    /// Why it failed or needs attention.
    pub problem: Option<Json>,
    /// Since when it is being taken back.
    pub cancelling_since: Option<DateTime<Utc>>,
    /// When a person closed it without what had failed.
    pub accepted_at: Option<DateTime<Utc>>,
    /// How many events it has had.
    pub version: i64,
    /// When it was taken.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = orders, treat_none_as_default_value = false)]
struct Row {
    id: Uid,
    channel: String,
    reference: String,
    request_hash: Vec<u8>,
    status: String,
    reveal: bool,
    problem: Option<Doc>,
    cancelling_since: Option<At>,
    accepted_at: Option<At>,
    version: i64,
    created_at: At,
    updated_at: At,
}

impl TryFrom<Row> for Order {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: OrderId(row.id.0),
            channel: parse_column("orders", "channel", row.id.0, &row.channel)?,
            status: parse_column("orders", "status", row.id.0, &row.status)?,
            reference: row.reference,
            request_hash: row.request_hash,
            reveal: row.reveal,
            problem: row.problem.map(|document| document.0),
            cancelling_since: row.cancelling_since.map(|at| at.0),
            accepted_at: row.accepted_at.map(|at| at.0),
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

impl From<&Order> for Row {
    fn from(order: &Order) -> Self {
        Self {
            id: Uid(order.id.0),
            channel: order.channel.to_string(),
            reference: order.reference.clone(),
            request_hash: order.request_hash.clone(),
            status: order.status.to_string(),
            reveal: order.reveal,
            problem: order.problem.clone().map(Doc),
            cancelling_since: order.cancelling_since.map(At),
            accepted_at: order.accepted_at.map(At),
            version: order.version,
            created_at: At(order.created_at),
            updated_at: At(order.updated_at),
        }
    }
}

/// A line of an order as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its place, from 0.
    pub line_no: i32,
    /// The pool it takes from.
    pub pool_id: i64,
    /// The product on each profile.
    pub product: Option<String>,
    /// How many profiles.
    pub quantity: i64,
    /// What the carrier needs for it.
    pub carrier_parameters: Option<Json>,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = order_lines, treat_none_as_default_value = false)]
struct LineRow {
    order_id: Uid,
    line_no: i32,
    pool_id: i64,
    product: Option<String>,
    quantity: i64,
    carrier_parameters: Option<Doc>,
}

/// Writes a new order; `false` when the channel has used the reference. Waits for a parallel order of that reference.
///
/// # Errors
/// When the database refuses it for another reason.
pub fn insert(conn: &mut Conn<'_>, order: &Order, lines: &[Line]) -> Result<bool> {
    let insert = diesel::insert_into(orders::table)
        .values(Row::from(order))
        .on_conflict((orders::channel, orders::reference))
        .do_nothing();
    if Both(insert).execute(conn.db)? == 0 {
        return Ok(false);
    }
    let rows: Vec<LineRow> = lines
        .iter()
        .map(|line| LineRow {
            order_id: Uid(order.id.0),
            line_no: line.line_no,
            pool_id: line.pool_id,
            product: line.product.clone(),
            quantity: line.quantity,
            carrier_parameters: line.carrier_parameters.clone().map(Doc),
        })
        .collect();
    let written = insert_rows!(&mut *conn.db, order_lines::table, &rows)?;
    ensure_affected("insert order lines", rows.len(), written)?;
    Ok(true)
}

/// An order by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: OrderId) -> Result<Option<Order>> {
    let row: Option<Row> = orders::table.find(Uid(id.0)).first(conn.db).optional()?;
    row.map(Order::try_from).transpose()
}

/// An order by the channel's reference.
///
/// # Errors
/// When it cannot be read.
pub fn find_by_reference(
    conn: &mut Conn<'_>,
    channel: &ChannelName,
    reference: &str,
) -> Result<Option<Order>> {
    orders::table
        .filter(orders::channel.eq(channel.as_str()))
        .filter(orders::reference.eq(reference))
        .first::<Row>(conn.db)
        .optional()?
        .map(Order::try_from)
        .transpose()
}

/// An order, locked until the end of the transaction: two profiles of one order may end at the same moment, and the
/// second must see the outcome of the first.
///
/// # Errors
/// When it cannot be read.
pub fn lock(conn: &mut Conn<'_>, id: OrderId) -> Result<Order> {
    if conn.backend() == Backend::Postgres {
        diesel::sql_query("SELECT id FROM orders WHERE id = $1 FOR UPDATE")
            .bind::<crate::sql_types::Id, _>(Uid(id.0))
            .execute(conn.db)?;
    }
    orders::table.find(Uid(id.0)).first::<Row>(conn.db)?.try_into()
}

/// Those of the orders that are being taken back.
///
/// # Errors
/// When they cannot be read.
pub fn being_cancelled(conn: &mut Conn<'_>, ids: &[OrderId]) -> Result<Vec<OrderId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uid> = ids.iter().map(|id| Uid(id.0)).collect();
    let found: Vec<Uid> = orders::table
        .filter(orders::id.eq_any(&ids))
        .filter(orders::cancelling_since.is_not_null())
        .select(orders::id)
        .load(conn.db)?;
    Ok(found.into_iter().map(|id| OrderId(id.0)).collect())
}

/// The lines of an order.
///
/// # Errors
/// When they cannot be read.
pub fn lines(conn: &mut Conn<'_>, id: OrderId) -> Result<Vec<Line>> {
    let rows: Vec<LineRow> = order_lines::table
        .filter(order_lines::order_id.eq(Uid(id.0)))
        .order(order_lines::line_no)
        .load(conn.db)?;
    Ok(rows
        .into_iter()
        .map(|row| Line {
            line_no: row.line_no,
            pool_id: row.pool_id,
            product: row.product,
            quantity: row.quantity,
            carrier_parameters: row.carrier_parameters.map(|document| document.0),
        })
        .collect())
}

/// Moves an order that is still at its version.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn set_status(
    conn: &mut Conn<'_>,
    order: &Order,
    status: OrderStatus,
    problem: Option<&Json>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let version = order.version + 1;
    let guard =
        orders::table.filter(orders::id.eq(Uid(order.id.0))).filter(orders::version.eq(order.version));
    let touched = diesel::update(guard)
        .set((
            orders::status.eq(status.as_ref()),
            orders::problem.eq(problem.cloned().map(Doc)),
            orders::version.eq(version),
            orders::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("set order status", 1, touched)?;
    Ok(version)
}

/// Closes an order that is still at its version without what had failed. Returns its new version.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn accept(conn: &mut Conn<'_>, order: &Order, now: DateTime<Utc>) -> Result<i64> {
    let version = order.version + 1;
    let guard =
        orders::table.filter(orders::id.eq(Uid(order.id.0))).filter(orders::version.eq(order.version));
    let touched = diesel::update(guard)
        .set((orders::accepted_at.eq(At(now)), orders::version.eq(version), orders::updated_at.eq(At(now))))
        .execute(conn.db)?;
    ensure_affected("accept order", 1, touched)?;
    Ok(version)
}

/// Orders by their rows, newest first.
pub(crate) fn get_many(conn: &mut Conn<'_>, ids: &[Uid]) -> Result<Vec<Order>> {
    let found =
        orders::table.filter(orders::id.eq_any(ids)).order((orders::created_at.desc(), orders::id.desc()));
    found.load::<Row>(conn.db)?.into_iter().map(Order::try_from).collect()
}
