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
use super::writes::lock_name;
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::{self, Sightings};

/// First and longest pause before an outcome is recorded again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What tx 3 must know of what went before.
#[derive(Clone)]
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
    let lease_time = depot.lease_of(&account).to_std().unwrap_or_default();
    let (lease, dated) = commit_sent(depot, lease, plan).await?;
    // A worker that was paused since it leased, or whose commit took long, may find its outcome being decided by others
    // while the carrier is still at work: it does not send. Here the operation is `sent` and untouched, so it can be put
    // back for sure.
    let late = dated.elapsed() > depot.work.resolve_margin.to_std().unwrap_or_default() / 2;
    let placement = if late || started.elapsed() + account.timeout > lease_time {
        let reason = "the worker was paused before the call".to_owned();
        Placement::NotTaken(Unavailable { reason, retry_after_ms: None })
    } else {
        call(&account, &order).await
    };
    let until = dated + account.timeout + depot.work.resolve_margin.to_std().unwrap_or_default();
    record(depot, Sent { lease, seen, order, insisted }, placement, until).await
}

/// Transaction 3, again and again while the database is away: what is known now is worth more than all that could be
/// found out later. From `until` on others look for the outcome.
async fn record(depot: &Depot, sent: Sent, placement: Placement, until: Instant) -> Result<(), AppError> {
    count(&placement);
    let mut pause = FIRST_PAUSE;
    loop {
        match outcome::record(depot, sent.clone(), placement.clone()).await {
            Err(error) if error.may_pass() && Instant::now() + pause < until => {
                tracing::warn!(operation = %sent.lease.operation.id, %error, "an outcome cannot be recorded yet");
            }
            Err(error) => {
                // Ids of the carrier, which no secret can be made of.
                tracing::error!(operation = %sent.lease.operation.id, ?placement, %error, "an outcome is not recorded");
                return Err(error);
            }
            Ok(()) => return Ok(()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn count(placement: &Placement) {
    let outcome = match placement {
        Placement::Done(_) => "done",
        Placement::Refused(_) => "refused",
        Placement::NotTaken(_) => "not_taken",
        Placement::Unknown(_) => "unknown",
    };
    metrics::counter!("simdepot_operation_outcomes_total", "kind" => "place_bundle", "outcome" => outcome)
        .increment(1);
}

/// The call itself. The adapter has its own time-out; this one only guards against an adapter that hangs.
async fn call(account: &crate::depot::Account, order: &BundleOrder) -> Placement {
    let limit = account.timeout + Duration::from_secs(1);
    match tokio::time::timeout(limit, account.carrier.place_bundle(order)).await {
        Ok(placement) => placement,
        Err(_) => Placement::Unknown(Lost::silent("the adapter did not answer in time")),
    }
}

/// Transaction 2: what was read, and that the next thing is the call. The instant is that of the operation's dates.
async fn commit_sent(depot: &Depot, lease: Lease, plan: Plan) -> Result<(Lease, Instant), AppError> {
    let (work, locks) = (depot.clone(), lock_name(&lease.operation));
    depot
        .write_together(locks, move |conn| {
            let operation = &lease.operation;
            // Under the order's lock: an order that began to be taken back sends nothing any more.
            if being_cancelled(conn, operation)? {
                return Err(lost_lease());
            }
            // The clock comes after the lock, which may have been waited for.
            let (dated, now) = (Instant::now(), conn.now()?);
            if lease.until <= now {
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
                before_set: plan.before_set.clone(),
                keep_lease: true,
                ..OperationChange::to(status)
            };
            let version = operations::change(conn, operation, Some(lease.token), &change, now)?;
            let iccid = plan.profile.iccid.clone();
            observations::learn(conn, &work, plan.profile.clone(), &plan.seen, now)?;
            let order_type = Some(plan.order_type);
            let fact = Fact::OperationStatusChanged {
                iccid,
                kind: Some(operation.request.kind().to_owned()),
                from: Some(operation.status),
                to: status,
                order_type,
                code: None,
                reason: None,
            };
            events::append(conn, &[work.event(now, Subject::Operation(operation.id), version, fact)])?;
            let operation =
                operations::find(conn, operation.id)?.ok_or(AppError::NotFound { what: "operation" })?;
            Ok((Lease { operation, token: lease.token, until: lease.until }, dated))
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
