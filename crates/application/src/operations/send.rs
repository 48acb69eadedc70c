//! The send: `sent` is committed, the carrier is called, the outcome is committed.

use std::time::Duration;

use simdepot_domain::carrier::{BundleOrder, Lost, Placement, Unavailable};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::operation::OperationStep;
use simdepot_persistence::events;
use simdepot_persistence::operations::{self, Lease, OperationChange};
use tokio::time::Instant;

use super::cancel::being_cancelled;
use super::gather::Plan;
use super::outcome;
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::{self, Sightings};

/// The call begins within this time after `sent` was committed, or not at all. Others count from that moment when they
/// decide what became of it: time-out and margin later the call must be over.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What tx 3 must know of what went before.
pub(super) struct Sent {
    /// The lease, its operation as `sent` left it.
    pub(super) lease: Lease,
    /// What was read before the send.
    pub(super) seen: Sightings,
    /// How it was placed.
    pub(super) order: BundleOrder,
    /// The other order type is not tried.
    pub(super) insisted: bool,
}

/// Sends a planned product and records how it ended.
///
/// # Errors
/// When the store refuses; a race means that another worker took over before anything was sent.
pub(super) async fn send(depot: &Depot, lease: Lease, plan: Plan, started: Instant) -> Result<(), AppError> {
    let order = BundleOrder {
        iccid: plan.profile.iccid.clone(),
        msisdn: plan.msisdn.clone(),
        product: plan.product.clone(),
        order_type: plan.order_type,
        reference: lease.operation.id.to_string(),
    };
    let (account, insisted) = (plan.account.clone(), plan.insisted);
    let seen = plan.seen.clone();
    let (lease, committed) = commit_sent(depot, lease, plan).await?;
    // A worker that was paused since it leased, or since it committed, may find its outcome being decided by others: it
    // does not send. When the operation is still `sent` and untouched it can be put back for sure.
    let lease_over = started.elapsed() + account.timeout > depot.work.lease.to_std().unwrap_or_default();
    let placement = if lease_over || committed.elapsed() > AT_ONCE {
        let reason = "the worker was paused before the call".to_owned();
        Placement::NotTaken(Unavailable { reason, retry_after_ms: None })
    } else {
        call(&account, &order).await
    };
    outcome::record(depot, Sent { lease, seen, order, insisted }, placement).await
}

/// The call itself. The adapter has its own time-out; this one only guards against an adapter that hangs.
async fn call(account: &crate::depot::Account, order: &BundleOrder) -> Placement {
    let limit = account.timeout + Duration::from_secs(1);
    match tokio::time::timeout(limit, account.carrier.place_bundle(order)).await {
        Ok(placement) => placement,
        Err(_) => Placement::Unknown(Lost { reason: "the adapter did not answer in time".to_owned() }),
    }
}

/// Transaction 2: what was read, and that the next thing is the call. Returns the moment that others count from.
async fn commit_sent(depot: &Depot, lease: Lease, plan: Plan) -> Result<(Lease, Instant), AppError> {
    let work = depot.clone();
    depot
        .store
        .write(move |conn| {
            let (committed, now) = (Instant::now(), conn.now()?);
            let operation = &lease.operation;
            if lease.until <= now {
                return Err(lost_lease());
            }
            // Under the order's lock: an order that began to be taken back sends nothing any more.
            if being_cancelled(conn, operation)? {
                return Err(lost_lease());
            }
            let status = operation
                .status
                .step(OperationStep::Send)
                .map_err(|error| AppError::Internal(error.to_string()))?;
            let resolve_after = now
                + chrono::TimeDelta::from_std(plan.account.timeout).unwrap_or_default()
                + work.work.resolve_margin;
            let change = OperationChange {
                sent: true,
                order_type: Some(plan.order_type),
                sent_at: Some((now, resolve_after)),
                before_set: Some(plan.before_set),
                keep_lease: true,
                ..OperationChange::to(status)
            };
            let version = operations::change(conn, operation, Some(lease.token), &change, now)?;
            let iccid = plan.profile.iccid.clone();
            observations::learn(conn, &work, plan.profile, &plan.seen, now)?;
            let order_type = Some(plan.order_type);
            let fact = Fact::OperationStatusChanged {
                iccid,
                from: Some(operation.status),
                to: status,
                order_type,
                code: None,
                reason: None,
            };
            events::append(conn, &[work.event(now, Subject::Operation(operation.id), version, fact)])?;
            let operation =
                operations::find(conn, operation.id)?.ok_or(AppError::NotFound { what: "operation" })?;
            Ok((Lease { operation, token: lease.token, until: lease.until }, committed))
        })
        .await
}

fn lost_lease() -> AppError {
    AppError::Store(simdepot_persistence::StoreError::RowsAffected {
        what: "send under a lease",
        expected: 1,
        actual: 0,
    })
}
