//! What is wrong with an order whatever the stock is.

use std::collections::BTreeMap;

use simdepot_domain::channel::PoolName;
use simdepot_domain::order::{MAX_LINES, MAX_PROFILES, OrderLine};
use simdepot_persistence::pools::{self, Pool};

use super::convert::check_bounds;
use super::place::PlaceOrder;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::products;

/// Checks sizes, the hold's bounds, and that the carrier sells the products. The rest of a line is checked with the pools
/// as they are when the order is taken ([`check_lines`]).
///
/// # Errors
/// [`AppError::Invalid`]; [`AppError::NotFound`] for a hold that is not the caller's.
pub(super) async fn check(depot: &Depot, caller: &Caller, request: &PlaceOrder) -> Result<(), AppError> {
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
    if request.lines.iter().any(|line| line.product.is_some()) {
        check_products(depot, request).await?;
    }
    Ok(())
}

async fn check_products(depot: &Depot, request: &PlaceOrder) -> Result<(), AppError> {
    let pools = depot.store.read(|conn| Ok::<_, AppError>(pools::list(conn)?)).await?;
    let pools = pools.into_iter().map(|pool| (pool.settings.pool.clone(), pool)).collect();
    let mut errors = Vec::new();
    for (index, line) in request.lines.iter().enumerate() {
        errors.extend(check_line(index, line, &pools));
        let (Some(product), Some(pool)) = (&line.product, pools.get(&line.pool)) else { continue };
        if !products::is_sold(depot, &pool.settings.carrier_account, product).await? {
            let place = format!("/lines/{index}/product");
            errors.push(FieldError::new(place, "unknown", "the carrier does not sell this product"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

/// What is wrong with the lines of an order, seen with the pools that it names.
pub(super) fn check_lines(request: &PlaceOrder, pools: &BTreeMap<PoolName, Pool>) -> Vec<FieldError> {
    request.lines.iter().enumerate().flat_map(|(index, line)| check_line(index, line, pools)).collect()
}

fn check_line(index: usize, line: &OrderLine, pools: &BTreeMap<PoolName, Pool>) -> Vec<FieldError> {
    let at = |field: &str| format!("/lines/{index}/{field}");
    let Some(pool) = pools.get(&line.pool) else {
        return vec![FieldError::new(at("pool"), "unknown", "there is no such pool")];
    };
    let mut errors = Vec::new();
    if line.quantity == 0 {
        errors.push(FieldError::new(at("quantity"), "range", "must be at least 1"));
    }
    if line.carrier_parameters.is_some() && pool.settings.activation.is_none() {
        let message = "this pool has no activation, so the carrier takes no parameters with an order";
        errors.push(FieldError::new(at("carrier_parameters"), "unsupported", message));
    }
    errors
}
