//! Taking an order: one transaction over all its lines.

use std::collections::BTreeMap;
use std::time::Duration;

use simdepot_domain::channel::PoolName;
use simdepot_domain::id::{HoldId, OrderId};
use simdepot_domain::order::{MAX_LINES, MAX_PROFILES, OrderLine, OrderStatus};
use simdepot_persistence::orders;
use simdepot_persistence::pools::{self, Pool};

use super::convert::check_bounds;
use super::read::{OrderView, read, read_and_reveal, view};
use super::take::Taking;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::idempotency::{self, IdempotencyKey};
use crate::products;

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

/// Takes an order and waits up to `wait` for its fulfilment. The order goes on when the caller goes away.
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
    check(depot, caller, &request).await?;
    let (reveal, from_hold) = (request.reveal, request.hold.is_some());
    if request.dry_run {
        return dry_run(depot, caller, request).await;
    }
    let (id, placed_as) =
        idempotency::place_once(depot, caller, key, || take(depot, caller, request, key)).await?;
    if from_hold && placed_as == PlacedAs::Created {
        crate::holds::count_converted();
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

/// Waits until the order is no longer in progress.
pub(super) async fn settle(depot: &Depot, id: OrderId, wait: Duration) -> Result<(), AppError> {
    let look = || async {
        let order = depot.store.read(move |conn| orders::find(conn, id)).await?;
        Ok::<_, AppError>(order.filter(|order| order.status != OrderStatus::InProgress))
    };
    depot.signals.wait_for(id.0, wait, look).await?;
    Ok(())
}

/// Checks what needs no lock: sizes, the hold's bounds, pools, and that the carrier sells the products.
async fn check(depot: &Depot, caller: &Caller, request: &PlaceOrder) -> Result<(), AppError> {
    let total: u64 = request.lines.iter().map(|line| u64::from(line.quantity)).sum();
    if request.lines.is_empty() || request.lines.len() > MAX_LINES {
        return Err(AppError::invalid("/lines", "length", format!("must have 1 to {MAX_LINES} lines")));
    }
    if total > u64::from(MAX_PROFILES) {
        let message =
            format!("an order has at most {MAX_PROFILES} profiles over all lines, this one has {total}");
        return Err(AppError::invalid("/lines", "range", message));
    }
    if let Some(hold) = request.hold {
        let (caller, lines) = (caller.clone(), request.lines.clone());
        depot.store.read(move |conn| check_bounds(conn, &caller, hold, &lines)).await?;
    }
    let known: BTreeMap<PoolName, Pool> = depot
        .store
        .read(|conn| Ok::<_, AppError>(pools::list(conn)?))
        .await?
        .into_iter()
        .map(|pool| (pool.settings.pool.clone(), pool))
        .collect();
    let mut errors = Vec::new();
    for (index, line) in request.lines.iter().enumerate() {
        let at = |field: &str| format!("/lines/{index}/{field}");
        let Some(pool) = known.get(&line.pool) else {
            errors.push(FieldError::new(at("pool"), "unknown", "there is no such pool"));
            continue;
        };
        if line.quantity == 0 {
            errors.push(FieldError::new(at("quantity"), "range", "must be at least 1"));
        }
        if line.carrier_parameters.is_some() && pool.settings.activation.is_none() {
            let message = "this pool has no activation, so the carrier takes no parameters with an order";
            errors.push(FieldError::new(at("carrier_parameters"), "unsupported", message));
        }
        if let Some(product) = &line.product
            && !products::is_sold(depot, &pool.settings.carrier_account, product).await?
        {
            errors.push(FieldError::new(at("product"), "unknown", "the carrier does not sell this product"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

async fn take(
    depot: &Depot,
    caller: &Caller,
    request: PlaceOrder,
    key: Option<&IdempotencyKey>,
) -> Result<(OrderId, PlacedAs), AppError> {
    let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
    depot
        .store
        .write(move |conn| {
            let (id, placed_as) = Taking::new(&work, &caller, &request).run(conn)?;
            // A repeat by reference made nothing, so there is nothing to remember for the key.
            if placed_as == PlacedAs::Created {
                idempotency::record(conn, &work, &caller, key.as_ref(), 201, &id.to_string())?;
            }
            Ok((id, placed_as))
        })
        .await
}

/// The order as it would be: everything is done, looked at, and rolled back.
async fn dry_run(depot: &Depot, caller: &Caller, request: PlaceOrder) -> Result<Placed, AppError> {
    enum Outcome {
        Tried(Box<Placed>),
        Failed(AppError),
    }
    impl From<AppError> for Outcome {
        fn from(error: AppError) -> Self {
            Self::Failed(error)
        }
    }
    impl From<simdepot_persistence::StoreError> for Outcome {
        fn from(error: simdepot_persistence::StoreError) -> Self {
            Self::Failed(error.into())
        }
    }
    let (work, caller) = (depot.clone(), caller.clone());
    let tried = depot.store.write(move |conn| {
        let (id, placed_as) = Taking::new(&work, &caller, &request).run(conn)?;
        let order = orders::find(conn, id)?.ok_or(AppError::NotFound { what: "order" })?;
        let placed_as = if placed_as == PlacedAs::Created { PlacedAs::DryRun } else { placed_as };
        let placed = Placed { placed_as, order: view(conn, order)? };
        Err::<(), _>(Outcome::Tried(Box::new(placed)))
    });
    match tried.await {
        Err(Outcome::Tried(placed)) => Ok(*placed),
        Err(Outcome::Failed(error)) => Err(error),
        Ok(()) => Err(AppError::Internal("a dry run was committed".to_owned())),
    }
}
