//! Operations that were taken back before the carrier had them.
//!
//! An order that is being cancelled sends nothing any more: workers look before they read, and again, under the order's
//! lock, in the transaction that commits `sent`. What was sent before that comes to its end first; what then surely
//! was not taken ends here instead of being sent again.

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::OperationStep;
use simdepot_persistence::bundles::BundleChange;
use simdepot_persistence::operations::{Lease, Operation, OperationChange};
use simdepot_persistence::orders::{self, Order};
use simdepot_persistence::{Conn, allocations, profiles};
use uuid::Uuid;

use super::deferral;
use super::writes::{change_bundle, change_operation, signal, step};
use crate::depot::Depot;
use crate::error::AppError;

/// The order that an operation is for: its own, or for a top-up the one that holds the profile.
pub(super) fn order_of(conn: &mut Conn<'_>, operation: &Operation) -> Result<Option<Order>, AppError> {
    let id = match operation.order {
        Some(order) => Some(order),
        None => allocations::live_of(conn, operation.profile_id)?.map(|allocation| allocation.order),
    };
    Ok(match id {
        Some(id) => orders::find(conn, id)?,
        None => None,
    })
}

/// Whether the order that an operation is for is being taken back. Holds the order's lock until the transaction ends.
///
/// # Errors
/// When the store refuses.
pub(crate) fn being_cancelled(conn: &mut Conn<'_>, operation: &Operation) -> Result<bool, AppError> {
    let Some(order) = order_of(conn, operation)? else {
        return Ok(false);
    };
    Ok(orders::lock(conn, order.id)?.cancelling_since.is_some())
}

/// Takes back an operation that waits for a worker, and its bundle with it. The caller holds the order's lock; a worker
/// that has leased the operation finds it changed and sends nothing.
///
/// # Errors
/// When the store refuses, or the operation is not waiting any more.
pub(crate) fn cancel_pending(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    token: Option<Uuid>,
    iccid: &Iccid,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let change = OperationChange::to(step(operation, OperationStep::Cancel)?);
    let code = Some("order_cancelled".to_owned());
    change_operation(conn, depot, operation, token, &change, iccid, code, now)?;
    let ended = BundleChange { status: Some(BundleStatus::Terminated), ..BundleChange::default() };
    change_bundle(conn, depot, operation, &ended, iccid, now)
}

/// Takes back a leased operation whose order is being cancelled. What becomes of the profile is the cancellation's to
/// decide.
///
/// # Errors
/// When the store refuses.
pub(super) async fn cancel(depot: &Depot, lease: Lease) -> Result<(), AppError> {
    let (work, held) = (depot.clone(), lease.clone());
    let cancelled = depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            if !being_cancelled(conn, &held.operation)? {
                return Ok::<_, AppError>(false);
            }
            let iccid = profiles::get(conn, held.operation.profile_id)?.iccid;
            cancel_pending(conn, &work, &held.operation, Some(held.token), &iccid, now)?;
            Ok(true)
        })
        .await?;
    if !cancelled {
        // The profile left the cancelled order in between: the next try starts from what is true then.
        let again = depot.store.now().await? + deferral::RACE_PAUSE;
        return deferral::put_off(depot, &lease, again).await;
    }
    signal(depot, &lease.operation);
    Ok(())
}
