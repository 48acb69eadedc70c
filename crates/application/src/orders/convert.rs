//! An order out of a hold: what was reserved becomes the order's, in the order's own transaction.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use simdepot_domain::hold::{HoldCommand, OutOfBounds, out_of_bounds};
use simdepot_domain::id::{HoldId, OrderId};
use simdepot_domain::order::OrderLine;
use simdepot_persistence::allocations::{self, Claim, Claimed};
use simdepot_persistence::pools::{self, Pool};
use simdepot_persistence::{Conn, holds};

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::holds::{decide, end, give_back, owned};

/// Checks what never changes about a hold: whose it is, and that it covers the lines. Whether it still stands is
/// decided in the transaction.
pub(super) fn check_bounds(
    conn: &mut Conn<'_>,
    caller: &Caller,
    id: HoldId,
    lines: &[OrderLine],
) -> Result<(), AppError> {
    let hold = owned(caller, holds::find(conn, id)?)?;
    let pool = pools::get(conn, hold.pool_id)?.settings.pool;
    let errors: Vec<FieldError> = out_of_bounds(&pool, hold.quantity, lines)
        .into_iter()
        .map(|wrong| match wrong {
            OutOfBounds::Pool { line } => {
                let message = format!("must be {pool}, the pool of the hold");
                FieldError::new(format!("/lines/{line}/pool"), "hold", message)
            }
            OutOfBounds::Quantity { line, left } => {
                let message = format!("must be at most {left}, which is what the hold has for this line");
                FieldError::new(format!("/lines/{line}/quantity"), "hold", message)
            }
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

/// A hold on its way into an order.
pub(super) struct Conversion<'a> {
    pub(super) depot: &'a Depot,
    pub(super) caller: &'a Caller,
    pub(super) hold: HoldId,
    pub(super) order: OrderId,
    pub(super) pool: &'a Pool,
    pub(super) quantity: u32,
    pub(super) now: DateTime<Utc>,
}

impl Conversion<'_> {
    /// Takes what the order needs out of the hold and ends it; the rest goes back. What a person took aside meanwhile
    /// comes from the pool instead.
    pub(super) fn claim(&self, conn: &mut Conn<'_>) -> Result<VecDeque<Claimed>, AppError> {
        let hold = owned(self.caller, holds::lock(conn, self.hold)?)?;
        let status = decide(conn, &hold, HoldCommand::Convert)?;
        let held = holds::held(conn, hold.id, self.now)?;
        let mut taken: VecDeque<Claimed> = held.sellable.into();
        let wanted = usize::try_from(self.quantity).unwrap_or(usize::MAX);
        let mut rest = held.expired;
        rest.extend(taken.drain(wanted.min(taken.len())..));
        give_back(conn, self.depot, &hold, &rest, self.now)?;
        let found = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        let missing = self.quantity.saturating_sub(found);
        if missing > 0 {
            taken.extend(self.claim_missing(conn, missing)?);
        }
        end(conn, self.depot, hold, status, Some(self.order), self.now)?;
        Ok(taken)
    }

    fn claim_missing(&self, conn: &mut Conn<'_>, missing: u32) -> Result<Vec<Claimed>, AppError> {
        match allocations::claim(conn, self.pool, missing, self.now)? {
            Claim::Taken(claimed) => Ok(claimed),
            Claim::OutOfStock { available } => Err(AppError::OutOfStock {
                pool: self.pool.settings.pool.to_string(),
                requested: self.quantity,
                available: available + u64::from(self.quantity - missing),
            }),
        }
    }
}
