//! A person decides about an order of which some was fulfilled and some failed, also when what was fulfilled was replaced
//! later and the replacement failed.
//!
//! Nothing moves such an order by itself: whether the customer takes what there is, or the rest is tried again, no rule
//! can know. What is fulfilled on it is paid at the carrier, so it must not be lost to a cancellation.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::OrderId;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_persistence::allocations::{self, Allocation};
use simdepot_persistence::orders::{self, Order};
use simdepot_persistence::{Conn, events, pools, profiles};

use super::goods::Goods;
use super::read::{OrderView, view};
use super::roll_up::roll_up;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once};
use crate::operations::Place;

/// What a person decided about the places of an order that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderVerdict {
    /// They are given up: the order is fulfilled with what it has, or had.
    Accept,
    /// Each gets another profile, with the product again: all of them, or none.
    Refill,
}

impl OrderVerdict {
    fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refill => "refill",
        }
    }
}

/// An order as the decision left it.
#[derive(Debug)]
pub struct OrderDecided {
    /// The order, without codes.
    pub order: OrderView,
    /// Whether an earlier request with the key had decided.
    pub replayed: bool,
}

/// Decides about an order of any channel that needs attention because some of its profiles failed and some did not, or
/// because one that replaced a sold one failed.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] from any other status, while it is being cancelled, and while
/// an operation of it waits for a decision of its own; [`AppError::OutOfStock`] when not every failed place can be
/// refilled.
pub async fn decide_by_hand(
    depot: &Depot,
    caller: &Caller,
    id: OrderId,
    verdict: OrderVerdict,
    reason: String,
    key: Option<&IdempotencyKey>,
) -> Result<OrderDecided, AppError> {
    let decided = idempotency::once(depot, caller, key, || {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        depot.write_again(move |conn| {
            idempotency::record(conn, &work, &caller, key.as_ref(), 200, &id.to_string())?;
            decide(conn, &work, id, verdict, &reason)
        })
    });
    let replayed = matches!(decided.await?, Once::Replayed(_));
    if !replayed {
        let outcome = verdict.name();
        tracing::info!(order = %id, outcome, "a person decided about an order that had failed in part");
        metrics::counter!("simdepot_order_resolutions_total", "outcome" => outcome).increment(1);
        depot.signals.sold();
        depot.signals.changed(id.0);
    }
    let order = depot.store.read(move |conn| {
        let order = orders::find(conn, id)?.ok_or(AppError::NotFound { what: "order" })?;
        view(conn, order)
    });
    Ok(OrderDecided { order: order.await?, replayed })
}

fn decide(
    conn: &mut Conn<'_>,
    depot: &Depot,
    id: OrderId,
    verdict: OrderVerdict,
    reason: &str,
) -> Result<(), AppError> {
    orders::find(conn, id)?.ok_or(AppError::NotFound { what: "order" })?;
    let order = orders::lock(conn, id)?;
    let failed = failed_places(conn, &order)?;
    let now = conn.now()?;
    match verdict {
        OrderVerdict::Accept => accept(conn, depot, &order, &failed, reason, now)?,
        OrderVerdict::Refill => refill(conn, depot, order, &failed, reason, now)?,
    }
    roll_up(conn, depot, id, None, now)?;
    Ok(())
}

/// The places that nobody has decided about, of an order that waits for nothing else.
fn failed_places(conn: &mut Conn<'_>, order: &Order) -> Result<Vec<Allocation>, AppError> {
    let id = order.id;
    if order.cancelling_since.is_some() {
        return Err(refused(order, format!("order {id} is being cancelled")));
    }
    if order.status != OrderStatus::NeedsAttention {
        let detail =
            format!("order {id} is {}: only one that failed in part is decided by hand", order.status);
        return Err(refused(order, detail));
    }
    let places = allocations::of_order(conn, id)?;
    if places.iter().any(|place| place.outcome == ProfileOutcome::NeedsAttention) {
        let detail = format!("what the carrier did for order {id} is not known: resolve its operation first");
        return Err(refused(order, detail));
    }
    Ok(places.into_iter().filter(|place| place.outcome == ProfileOutcome::Failed && !place.decided).collect())
}

fn refused(order: &Order, detail: String) -> AppError {
    AppError::InvalidTransition { from: order.status.to_string(), command: "resolve".to_owned(), detail }
}

fn accept(
    conn: &mut Conn<'_>,
    depot: &Depot,
    order: &Order,
    failed: &[Allocation],
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    for place in failed {
        allocations::decide_failed(conn, place.id, ProfileOutcome::Failed)?;
    }
    let version = orders::accept(conn, order, now)?;
    let given_up = u32::try_from(failed.len()).unwrap_or(u32::MAX);
    let fact = Fact::OrderAccepted { given_up, reason: reason.to_owned() };
    events::append(conn, &[depot.event(now, Subject::Order(order.id), version, fact)])?;
    Ok(())
}

/// Pool by pool in ascending order, and each pool's demand at once, so that no two claims wait for each other.
fn refill(
    conn: &mut Conn<'_>,
    depot: &Depot,
    mut order: Order,
    failed: &[Allocation],
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let lines = orders::lines(conn, order.id)?;
    let mut demand: BTreeMap<i64, Vec<Place<'_>>> = BTreeMap::new();
    for allocation in failed {
        let line = lines.iter().find(|line| line.line_no == allocation.line_no);
        let line = line.ok_or(AppError::NotFound { what: "order line" })?;
        let goods = Goods::of_place(conn, allocation)?;
        let place = Place { allocation, pool_id: line.pool_id, goods };
        demand.entry(line.pool_id).or_default().push(place);
    }
    for (pool_id, places) in demand {
        let pool = pools::get(conn, pool_id)?;
        let requested = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let claimed = crate::pools::claim(conn, &pool, requested, now)?;
        for (place, profile) in places.iter().zip(claimed) {
            let out = profiles::get(conn, place.allocation.profile_id)?.iccid;
            allocations::decide_failed(conn, place.allocation.id, ProfileOutcome::Substituted)?;
            let by = place.hand_over(conn, depot, &order, &pool, &profile, now)?;
            order.version = orders::set_status(conn, &order, order.status, order.problem.as_ref(), now)?;
            let fact = Fact::PlaceRefilled { out, by, reason: reason.to_owned() };
            events::append(conn, &[depot.event(now, Subject::Order(order.id), order.version, fact)])?;
        }
    }
    Ok(())
}
