//! Orders that are being taken back: what of them is still to be decided.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::Value as Json;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::OrderStatus;

use crate::error::{Result, ensure_affected};
use crate::orders::Order;
use crate::schema::{allocations, orders};
use crate::sql_types::{At, Doc, Id, Uid};
use crate::store::Conn;

/// A place of an order that is being taken back, with a profile still on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its allocation.
    pub allocation_id: i64,
    /// The profile on it.
    pub profile_id: i64,
    /// The order.
    pub order: OrderId,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    profile_id: i64,
    #[diesel(sql_type = Id)]
    order_id: Uid,
}

impl From<Row> for Place {
    fn from(row: Row) -> Self {
        Self { allocation_id: row.id, profile_id: row.profile_id, order: OrderId(row.order_id.0) }
    }
}

/// Places that can be decided now, oldest request first: the profile has nothing at the carrier whose outcome is open, and
/// nothing that waits to be sent again after its answer was lost: that one is its worker's to end. The first condition on
/// operations is that of the index of open ones, word for word.
const DECIDABLE: &str = "SELECT a.id, a.profile_id, a.order_id FROM orders o \
     JOIN allocations a ON a.order_id = o.id AND a.ended_at IS NULL \
     WHERE o.cancelling_since IS NOT NULL AND NOT EXISTS (SELECT 1 FROM operations x WHERE x.profile_id = a.profile_id \
     AND x.status IN ('pending', 'sent', 'accepted', 'unknown', 'needs_attention') AND (x.status <> 'pending' OR x.answer_lost))";

/// Up to `limit` places that can be decided now, of one order or of all, behind the first `passed` of them.
///
/// # Errors
/// When they cannot be read.
pub fn decidable(conn: &mut Conn<'_>, order: Option<OrderId>, passed: i64, limit: i64) -> Result<Vec<Place>> {
    const SORTED: &str = "ORDER BY o.cancelling_since, a.id LIMIT";
    let rows: Vec<Row> = match order {
        Some(order) => diesel::sql_query(format!("{DECIDABLE} AND o.id = $1 {SORTED} $2 OFFSET $3"))
            .bind::<Id, _>(Uid(order.0))
            .bind::<BigInt, _>(limit)
            .bind::<BigInt, _>(passed)
            .load(conn.db)?,
        None => diesel::sql_query(format!("{DECIDABLE} {SORTED} $1 OFFSET $2"))
            .bind::<BigInt, _>(limit)
            .bind::<BigInt, _>(passed)
            .load(conn.db)?,
    };
    Ok(rows.into_iter().map(Place::from).collect())
}

/// Whether a profile still belongs to the order.
///
/// # Errors
/// When it cannot be read.
pub fn any_live(conn: &mut Conn<'_>, order: OrderId) -> Result<bool> {
    let found: Option<i64> = allocations::table
        .filter(allocations::order_id.eq(Uid(order.0)))
        .filter(allocations::ended_at.is_null())
        .select(allocations::id)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

/// Marks an order that is still at its version as being taken back. Returns its new version.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when somebody else changed it.
pub fn begin(conn: &mut Conn<'_>, order: &Order, now: DateTime<Utc>) -> Result<i64> {
    let version = order.version + 1;
    let guard = orders::table
        .filter(orders::id.eq(Uid(order.id.0)))
        .filter(orders::version.eq(order.version))
        .filter(orders::cancelling_since.is_null());
    let touched = diesel::update(guard)
        .set((
            orders::cancelling_since.eq(At(now)),
            orders::version.eq(version),
            orders::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("begin cancellation", 1, touched)?;
    Ok(version)
}

/// Ends the taking back of an order that is still at its version: it is cancelled. Returns its new version.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when somebody else changed it.
pub fn complete(
    conn: &mut Conn<'_>,
    order: &Order,
    problem: Option<&Json>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let version = order.version + 1;
    let guard = orders::table
        .filter(orders::id.eq(Uid(order.id.0)))
        .filter(orders::version.eq(order.version))
        .filter(orders::cancelling_since.is_not_null());
    let touched = diesel::update(guard)
        .set((
            orders::status.eq(OrderStatus::Cancelled.as_ref()),
            orders::problem.eq(problem.cloned().map(Doc)),
            orders::cancelling_since.eq(None::<At>),
            orders::version.eq(version),
            orders::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("complete cancellation", 1, touched)?;
    Ok(version)
}
