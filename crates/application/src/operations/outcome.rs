//! Recording how an operation ended: transaction 3.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::carrier::{BundleReceipt, Concern, Lost, Placement, Refusal, Unavailable};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::{OperationRequest, OperationStatus, OperationStep};
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{ReturnProof, StockCommand, StockStatus, apply};
use simdepot_persistence::bundles::{self, BundleChange};
use simdepot_persistence::operations::{self, Lease, Operation, OperationChange};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, StoreError, allocations, events, orders};
use uuid::Uuid;

use super::send::Sent;
use super::substitute;
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::{self, Sightings};
use crate::orders::roll_up;

/// First pause between two tries.
const BACKOFF: TimeDelta = TimeDelta::milliseconds(500);

/// Records the carrier's answer.
///
/// # Errors
/// When the store refuses. The operation is then still `sent`, which is true.
pub(super) async fn record(depot: &Depot, sent: Sent, placement: Placement) -> Result<(), AppError> {
    let outcome = match &placement {
        Placement::Done(_) => "done",
        Placement::Refused(_) => "refused",
        Placement::NotTaken(_) => "not_taken",
        Placement::Unknown(_) => "unknown",
    };
    metrics::counter!("simdepot_operation_outcomes_total", "kind" => "place_bundle", "outcome" => outcome)
        .increment(1);
    match placement {
        Placement::Done(receipt) => done(depot, sent, receipt).await,
        Placement::Refused(refusal) => refused(depot, sent, refusal).await,
        Placement::NotTaken(unavailable) => defer(depot, &sent.lease, &unavailable).await,
        Placement::Unknown(lost) => unknown(depot, &sent.lease, lost).await,
    }
}

async fn done(depot: &Depot, sent: Sent, receipt: BundleReceipt) -> Result<(), AppError> {
    let (work, lease, order_type) = (depot.clone(), sent.lease.clone(), sent.order.order_type);
    let recorded = depot.store.write(move |conn| complete(conn, &work, &lease, order_type, &receipt)).await;
    match recorded {
        // A subscription is evidence for one bundle only. A receipt that names another bundle's proves nothing.
        Err(AppError::Store(StoreError::Unique { .. })) => {
            let reason = "the receipt names a subscription that belongs to another bundle".to_owned();
            unknown(depot, &sent.lease, Lost { reason }).await
        }
        Err(error) => Err(error),
        Ok(()) => {
            signal(depot, &sent.lease.operation);
            Ok(())
        }
    }
}

fn complete(
    conn: &mut Conn<'_>,
    depot: &Depot,
    lease: &Lease,
    order_type: OrderType,
    receipt: &BundleReceipt,
) -> Result<(), AppError> {
    let now = conn.now()?;
    let operation = &lease.operation;
    lock_order(conn, operation)?;
    let change = OperationChange {
        evidence: Some(json!({ "receipt": receipt })),
        carrier_reference: receipt.order_id.clone().or_else(|| receipt.subscription_id.clone()),
        ..OperationChange::to(step(operation, OperationStep::Complete)?)
    };
    let iccid = profiles::get(conn, operation.profile_id)?.iccid;
    change_operation(conn, depot, operation, Some(lease.token), &change, &iccid, None, now)?;
    let status = match order_type {
        OrderType::Preload => BundleStatus::Preloaded,
        OrderType::Subscribe => BundleStatus::Ready,
    };
    let placed = BundleChange {
        status: Some(status),
        order_type: Some(order_type),
        subscription_id: receipt.subscription_id.clone(),
    };
    change_bundle(conn, depot, operation, &placed, &iccid, now)?;
    if let Some(allocation) = operation.allocation_id {
        allocations::set_outcome(conn, allocation, ProfileOutcome::Fulfilled)?;
    }
    roll_up_order(conn, depot, operation, None, now)
}

async fn refused(depot: &Depot, sent: Sent, refusal: Refusal) -> Result<(), AppError> {
    let operation = &sent.lease.operation;
    let first_sale = is_first_sale(operation);
    match refusal.concerns {
        // A sure refusal: the line changed between the read and the order. Read again, and try the other type once.
        Concern::LineStatus if !sent.insisted && operation.refused_type.is_none() => {
            retry_other_type(depot, &sent.lease, sent.order.order_type, &refusal).await
        }
        Concern::LineStatus | Concern::Profile if first_sale => {
            let reason = QuarantineReason::RefusedByCarrier;
            substitute::substitute(depot, sent.lease, reason, sent.seen, Some(refusal)).await
        }
        Concern::LineStatus | Concern::Profile | Concern::Product | Concern::Account | Concern::Request => {
            fail(depot, sent.lease, refusal, Sightings::default()).await
        }
    }
}

pub(super) fn is_first_sale(operation: &Operation) -> bool {
    let OperationRequest::PlaceBundle { first_sale, .. } = &operation.request;
    *first_sale
}

/// Refuses an operation that was never sent.
///
/// # Errors
/// When the store refuses.
pub(super) async fn refuse_unsent(
    depot: &Depot,
    lease: Lease,
    refusal: Refusal,
    seen: Sightings,
) -> Result<(), AppError> {
    fail(depot, lease, refusal, seen).await
}

/// Nothing was done at the carrier: the bundle is refused, and the profile leaves its order.
async fn fail(depot: &Depot, lease: Lease, refusal: Refusal, seen: Sightings) -> Result<(), AppError> {
    let work = depot.clone();
    let operation = lease.operation.clone();
    depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            let operation = &lease.operation;
            lock_order(conn, operation)?;
            let profile = profiles::get(conn, operation.profile_id)?;
            let profile = observations::learn(conn, &work, profile, &seen, now)?;
            let problem = problem(&refusal)?;
            let change = OperationChange {
                problem: Some(problem.clone()),
                ..OperationChange::to(step(operation, OperationStep::Refuse)?)
            };
            let code = Some(refusal.code.clone());
            change_operation(conn, &work, operation, Some(lease.token), &change, &profile.iccid, code, now)?;
            let refused = BundleChange { status: Some(BundleStatus::Refused), ..BundleChange::default() };
            change_bundle(conn, &work, operation, &refused, &profile.iccid, now)?;
            if let Some(allocation) = operation.allocation_id {
                allocations::end(conn, allocation, ProfileOutcome::Failed, now)?;
                give_back(conn, &work, &profile, operation, now)?;
            }
            roll_up_order(conn, &work, operation, Some(problem), now)
        })
        .await?;
    signal(depot, &operation);
    Ok(())
}

/// The profile of a failed sale goes back to where it was: its order was never fulfilled, so its code was never
/// revealed, and nothing that was sent for it was taken. What else is known of it must not speak against that.
fn give_back(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    operation: &Operation,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let on_a_device =
        profile.eid.is_some() || profile.esim.as_ref().is_some_and(|seen| seen.status.was_downloaded());
    let proof = ReturnProof {
        never_revealed: profile.revealed_at.is_none(),
        never_downloaded: !on_a_device,
        no_bundle: operation.before_set.as_ref().is_none_or(Vec::is_empty),
    };
    let transition = apply(profile.stock_state(), StockCommand::Return(proof), now)
        .map_err(|error| AppError::Internal(error.to_string()))?;
    let quarantine =
        (transition.to == StockStatus::Quarantined).then_some(QuarantineReason::ReturnedUnproven);
    let version = profiles::move_stock(conn, profile, transition, quarantine, now)?;
    let (from, to, order) = (transition.from, transition.to, operation.order);
    let fact = Fact::StockMoved { from, to, order, quarantine, reason: None };
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    Ok(())
}

async fn retry_other_type(
    depot: &Depot,
    lease: &Lease,
    refused: OrderType,
    refusal: &Refusal,
) -> Result<(), AppError> {
    let change = OperationChange {
        refused_type: Some(refused),
        ..OperationChange::to(step(&lease.operation, OperationStep::PutBack)?)
    };
    change_alone(depot, lease, change, Some(refusal.code.clone())).await?;
    depot.signals.work.notify_one();
    Ok(())
}

/// Puts an operation off: the carrier surely has not taken it. After too long it fails.
///
/// # Errors
/// When the store refuses.
pub(super) async fn defer(depot: &Depot, lease: &Lease, unavailable: &Unavailable) -> Result<(), AppError> {
    let operation = &lease.operation;
    let now = depot.store.now().await?;
    if now - operation.created_at > depot.work.give_up {
        let refusal = Refusal {
            code: "carrier_unavailable".to_owned(),
            detail: Some(unavailable.reason.clone()),
            concerns: Concern::Account,
        };
        return fail(depot, lease.clone(), refusal, Sightings::default()).await;
    }
    let asked = unavailable.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).map(TimeDelta::milliseconds);
    let pause =
        backoff(operation.deferrals, depot.work.backoff_cap, depot.ids.uuid()).max(asked.unwrap_or_default());
    let (id, reason) = (operation.id, unavailable.reason.as_str());
    tracing::info!(operation = %id, reason, pause_ms = pause.num_milliseconds(), "operation put off");
    if operation.status == OperationStatus::Pending {
        return put_off(depot, lease, now + pause).await;
    }
    let change = OperationChange {
        deferred_to: Some(now + pause),
        ..OperationChange::to(step(operation, OperationStep::PutBack)?)
    };
    change_alone(depot, lease, change, Some("not_taken".to_owned())).await
}

/// Gives the lease on an operation that was not sent back to the queue.
///
/// # Errors
/// When the store refuses.
pub(super) async fn put_off(depot: &Depot, lease: &Lease, run_at: DateTime<Utc>) -> Result<(), AppError> {
    let lease = lease.clone();
    Ok(depot
        .store
        .write(move |conn| operations::put_off(conn, &lease.operation, lease.token, run_at))
        .await?)
}

/// Doubles from half a second to the cap, half of it random, so that many operations do not come back at once.
fn backoff(deferrals: u32, cap: TimeDelta, randomness: Uuid) -> TimeDelta {
    let full = BACKOFF.checked_mul(1 << deferrals.min(16)).unwrap_or(cap).min(cap);
    let half = full / 2;
    let millis = u128::try_from(half.num_milliseconds()).unwrap_or_default() + 1;
    half + TimeDelta::milliseconds(i64::try_from(randomness.as_u128() % millis).unwrap_or_default())
}

/// The answer was lost. The operation says so, and nothing sends it again.
async fn unknown(depot: &Depot, lease: &Lease, lost: Lost) -> Result<(), AppError> {
    let (work, lease, operation) = (depot.clone(), lease.clone(), lease.operation.clone());
    depot
        .store
        .write(move |conn| mark_unknown(conn, &work, &lease.operation, Some(lease.token), &lost.reason))
        .await?;
    signal(depot, &operation);
    Ok(())
}

/// Marks a sent operation whose answer is lost, its bundle and its place in the order.
///
/// # Errors
/// When the store refuses, or the operation changed.
pub(crate) fn mark_unknown(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    token: Option<Uuid>,
    reason: &str,
) -> Result<(), AppError> {
    let now = conn.now()?;
    lock_order(conn, operation)?;
    let iccid = profiles::get(conn, operation.profile_id)?.iccid;
    let change = OperationChange {
        problem: Some(json!({ "code": "answer_lost", "detail": reason })),
        ..OperationChange::to(step(operation, OperationStep::Lose)?)
    };
    change_operation(conn, depot, operation, token, &change, &iccid, Some("answer_lost".to_owned()), now)?;
    let unknown = BundleChange { status: Some(BundleStatus::Unknown), ..BundleChange::default() };
    change_bundle(conn, depot, operation, &unknown, &iccid, now)?;
    if let Some(allocation) = operation.allocation_id {
        allocations::set_outcome(conn, allocation, ProfileOutcome::Unknown)?;
    }
    roll_up_order(conn, depot, operation, None, now)
}

/// A change that concerns the operation alone.
async fn change_alone(
    depot: &Depot,
    lease: &Lease,
    change: OperationChange,
    code: Option<String>,
) -> Result<(), AppError> {
    let (work, lease) = (depot.clone(), lease.clone());
    depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            let iccid = profiles::get(conn, lease.operation.profile_id)?.iccid;
            change_operation(conn, &work, &lease.operation, Some(lease.token), &change, &iccid, code, now)
        })
        .await
}

pub(super) fn step(operation: &Operation, step: OperationStep) -> Result<OperationStatus, AppError> {
    operation.status.step(step).map_err(|error| AppError::Internal(error.to_string()))
}

pub(super) fn problem(refusal: &Refusal) -> Result<Json, AppError> {
    serde_json::to_value(refusal).map_err(|error| AppError::Internal(error.to_string()))
}

/// Locks the order before anything of it changes: of two profiles that end at once the second sees the first.
pub(super) fn lock_order(conn: &mut Conn<'_>, operation: &Operation) -> Result<(), AppError> {
    if let Some(order) = operation.order {
        orders::lock(conn, order)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one guarded change and the event that goes with it")]
pub(super) fn change_operation(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    token: Option<Uuid>,
    change: &OperationChange,
    iccid: &Iccid,
    code: Option<String>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let version = operations::change(conn, operation, token, change, now)?;
    let fact = Fact::OperationStatusChanged {
        iccid: iccid.clone(),
        from: Some(operation.status),
        to: change.status,
        order_type: change.order_type,
        code,
    };
    events::append(conn, &[depot.event(now, Subject::Operation(operation.id), version, fact)])?;
    Ok(())
}

pub(super) fn change_bundle(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    change: &BundleChange,
    iccid: &Iccid,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let Some(id) = operation.bundle else {
        return Ok(());
    };
    let bundle = bundles::find(conn, id)?.ok_or(AppError::NotFound { what: "bundle" })?;
    let version = bundles::change(conn, &bundle, change, now)?;
    let fact = Fact::BundleStatusChanged {
        iccid: iccid.clone(),
        from: bundle.status,
        to: change.status.unwrap_or(bundle.status),
    };
    events::append(conn, &[depot.event(now, Subject::Bundle(id), version, fact)])?;
    Ok(())
}

pub(super) fn roll_up_order(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    problem: Option<Json>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    if let Some(order) = operation.order {
        roll_up(conn, depot, order, problem, now)?;
    }
    Ok(())
}

/// Wakes whoever waits for the order or the top-up.
pub(super) fn signal(depot: &Depot, operation: &Operation) {
    if let Some(order) = operation.order {
        depot.signals.changed(order.0);
    }
    if let Some(bundle) = operation.bundle {
        depot.signals.changed(bundle.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_cap() {
        let cap = TimeDelta::seconds(15);
        for deferrals in 0..40 {
            for randomness in [Uuid::nil(), Uuid::max()] {
                let pause = backoff(deferrals, cap, randomness);
                let full = TimeDelta::milliseconds(500 << deferrals.min(16)).min(cap);
                assert!(pause >= full / 2 && pause <= full, "{deferrals}: {pause}");
            }
        }
    }
}
