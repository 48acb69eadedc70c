//! Placing an order: checked, taken at the desk, and waited for.

use std::sync::Arc;
use std::time::Duration;

use simdepot_domain::id::{HoldId, OrderId};
use simdepot_domain::order::{OrderLine, OrderStatus};
use simdepot_persistence::{Conn, orders};

use super::check::check;
use super::desk::{Asked, take_order};
use super::read::{OrderView, read, read_and_reveal, view};
use super::take::{Ending, Taken, earlier, take_alone};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::IdempotencyKey;

/// What a storefront asks for.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// The storefront's own reference, unique in its channel for ever.
    pub reference: String,
    /// What it wants.
    pub lines: Vec<OrderLine>,
    /// The hold to take it from; it bounds the lines.
    pub hold: Option<HoldId>,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Whether the answer carries the activation codes.
    pub reveal: bool,
}

/// How an order came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacedAs {
    /// By this request.
    Created,
    /// By an earlier request with the same reference and content.
    Repeated,
    /// By an earlier request with the same idempotency key.
    Replayed,
    /// Not at all: a dry run.
    DryRun,
}

/// An order and how it came about.
#[derive(Debug)]
pub struct Placed {
    /// How.
    pub placed_as: PlacedAs,
    /// The order.
    pub order: OrderView,
}

/// Takes an order and waits up to `wait` for its fulfilment. An order that is being taken is taken, and one that is taken
/// goes on, when the caller goes away; one whose turn has not come is forgotten then.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::OutOfStock`], [`AppError::ReferenceConflict`], the idempotency errors; with a hold
/// [`AppError::NotFound`], [`AppError::HoldExpired`] and [`AppError::InvalidTransition`]; and
/// [`AppError::CarrierRefused`] when the order failed within the wait.
pub async fn place(
    depot: &Depot,
    caller: &Caller,
    request: PlaceOrder,
    key: Option<&IdempotencyKey>,
    wait: Duration,
) -> Result<Placed, AppError> {
    let asked = Arc::new(Asked { depot: depot.clone(), caller: caller.clone(), request, key: key.cloned() });
    let PlaceOrder { reveal, dry_run, .. } = asked.request;
    let taken = match check(depot, caller, &asked.request).await {
        Ok(()) if dry_run => return rehearse(&asked).await,
        Ok(()) => take_order(&asked).await?,
        Err(error) => taken_before(&asked, error).await?,
    };
    let (Taken { id, placed_as, fresh }, from_hold) = (taken, asked.request.hold.is_some());
    if from_hold && placed_as == PlacedAs::Created {
        crate::holds::count_converted();
    }
    if let Some(fresh) = fresh {
        return Ok(Placed { placed_as, order: fresh.open()? });
    }
    depot.signals.sold();
    settle(depot, id, wait).await?;
    let order =
        if reveal { read_and_reveal(depot, caller, id).await? } else { read(depot, caller, id).await? };
    if placed_as != PlacedAs::Repeated && order.order.status == OrderStatus::Failed {
        let problem = order.order.problem;
        return Err(AppError::carrier_refused(Some(id), None, problem));
    }
    Ok(Placed { placed_as, order })
}

/// What was taken when it could be is answered as it was taken, though it could not be taken any more.
async fn taken_before(asked: &Arc<Asked>, error: AppError) -> Result<Taken, AppError> {
    if error.is_outage() {
        return Err(error);
    }
    let again = Arc::clone(asked);
    match asked.depot.store.read(move |conn| earlier(conn, &again)).await? {
        Some(Ok(taken)) => Ok(taken),
        Some(Err(_)) | None => Err(error),
    }
}

/// Waits until the order is no longer in progress.
pub(super) async fn settle(depot: &Depot, id: OrderId, wait: Duration) -> Result<(), AppError> {
    let look = || async {
        let order = depot.store.read(move |conn| orders::find(conn, id)).await?;
        Ok::<_, AppError>(order.filter(|order| order.status != OrderStatus::InProgress))
    };
    depot.signals.wait_for(id.0, wait, look).await?;
    Ok(())
}

/// The order as it would be: everything is done, looked at, and rolled back.
async fn rehearse(asked: &Arc<Asked>) -> Result<Placed, AppError> {
    let look = |conn: &mut Conn<'_>, taken: Taken| {
        let order = orders::find(conn, taken.id)?.ok_or(AppError::NotFound { what: "order" })?;
        let created = taken.placed_as == PlacedAs::Created;
        let placed_as = if created { PlacedAs::DryRun } else { taken.placed_as };
        Ok(Placed { placed_as, order: view(conn, order)? })
    };
    take_alone(asked, Ending::RollBack, look).await
}
