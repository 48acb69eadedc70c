//! The order's status follows from the outcomes of its profiles.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::OrderId;
use simdepot_domain::order::{OrderStatus, roll_up as status_of};
use simdepot_persistence::{Conn, allocations, events, orders};

use crate::depot::Depot;
use crate::error::AppError;

/// Recomputes an order's status after one of its profiles came to an outcome. The caller has locked the order
/// ([`orders::lock`]) before it changed the outcome, so that of two profiles the second sees the first.
///
/// # Errors
/// When the store refuses.
pub(crate) fn roll_up(
    conn: &mut Conn<'_>,
    depot: &Depot,
    order: OrderId,
    problem: Option<Json>,
    now: DateTime<Utc>,
) -> Result<OrderStatus, AppError> {
    let order = orders::lock(conn, order)?;
    let outcomes = allocations::of_order(conn, order.id)?.into_iter().map(|allocation| allocation.outcome);
    let status = status_of(outcomes);
    // What went wrong on the way to a fulfilled order concerns nobody any more.
    let problem = problem.or_else(|| order.problem.clone()).filter(|_| status != OrderStatus::Fulfilled);
    if status == order.status && problem == order.problem {
        return Ok(status);
    }
    let version = orders::set_status(conn, &order, status, problem.as_ref(), now)?;
    let fact = Fact::OrderStatusChanged { from: order.status, to: status };
    events::append(conn, &[depot.event(now, Subject::Order(order.id), version, fact)])?;
    Ok(status)
}
