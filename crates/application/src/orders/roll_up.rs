//! The order's status follows from the outcomes of its profiles.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::OrderId;
use simdepot_domain::order::{OrderStatus, ProfileOutcome, roll_up as status_of};
use simdepot_persistence::allocations::Allocation;
use simdepot_persistence::orders::Order;
use simdepot_persistence::{Conn, allocations, cancellations, events, operations, orders};

use crate::depot::Depot;
use crate::error::AppError;
use crate::operations::replaced;

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
    let problem = problem.or_else(|| order.problem.clone());
    if order.cancelling_since.is_some() {
        return end_cancellation(conn, depot, &order, problem.as_ref(), now);
    }
    let of_order = allocations::of_order(conn, order.id)?;
    let sold_before = sold_before(conn, order.id, &of_order)?;
    // What a person has given up does not count any more.
    let counting = of_order.iter().filter(|allocation| !allocation.decided);
    let status = status_of(counting.map(|allocation| allocation.outcome), sold_before);
    // What went wrong on the way to a fulfilled order concerns nobody any more, unless it was closed without it.
    let problem = problem.filter(|_| status != OrderStatus::Fulfilled || order.accepted_at.is_some());
    if status == order.status && problem == order.problem {
        return Ok(status);
    }
    let version = orders::set_status(conn, &order, status, problem.as_ref(), now)?;
    let fact = Fact::OrderStatusChanged { from: order.status, to: status };
    events::append(conn, &[depot.event(now, Subject::Order(order.id), version, fact)])?;
    Ok(status)
}

/// Whether a profile of the order was sold and replaced later.
fn sold_before(conn: &mut Conn<'_>, order: OrderId, of_order: &[Allocation]) -> Result<bool, AppError> {
    if !of_order.iter().any(|allocation| allocation.outcome == ProfileOutcome::Substituted) {
        return Ok(false);
    }
    Ok(!replaced(of_order, &operations::of_order(conn, order)?).is_empty())
}

/// An order that is being taken back stays what it was until the last of its profiles has left it, whatever becomes of
/// the others on the way: nobody shall read `fulfilled` and deliver. Then it is cancelled.
fn end_cancellation(
    conn: &mut Conn<'_>,
    depot: &Depot,
    order: &Order,
    problem: Option<&Json>,
    now: DateTime<Utc>,
) -> Result<OrderStatus, AppError> {
    if cancellations::any_live(conn, order.id)? {
        return Ok(order.status);
    }
    tracing::info!(order = %order.id, "the order is cancelled");
    let version = cancellations::complete(conn, order, problem, now)?;
    let fact = Fact::OrderStatusChanged { from: order.status, to: OrderStatus::Cancelled };
    events::append(conn, &[depot.event(now, Subject::Order(order.id), version, fact)])?;
    Ok(OrderStatus::Cancelled)
}
