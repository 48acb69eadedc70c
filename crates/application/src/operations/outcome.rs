//! Recording how an operation ended: transaction 3.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::carrier::{BundleReceipt, Concern, Lost, Placement, Refusal};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::operation::OperationStep;
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{ReturnProof, StockCommand, StockStatus, apply};
use simdepot_persistence::bundles::BundleChange;
use simdepot_persistence::operations::{self, Lease, Operation, OperationChange};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, StoreError, allocations, bundles, events};
use uuid::Uuid;

use super::conclude::{self, Found};
use super::deferral::defer;
use super::send::Sent;
use super::substitute;
use super::undecided::{acknowledged, needs_person, unknown};
use super::writes::{
    change_alone, change_bundle, change_operation, lock_name, lock_order, problem, roll_up_order, signal,
    step,
};
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::{self, Sightings};

/// Records the carrier's answer.
///
/// # Errors
/// When the store refuses. The operation is then still `sent`, which is true.
pub(super) async fn record(depot: &Depot, sent: Sent, placement: Placement) -> Result<(), AppError> {
    match placement {
        Placement::Done(receipt) => done(depot, sent, receipt).await,
        Placement::Refused(refusal) => refused(depot, sent, refusal).await,
        Placement::NotTaken(unavailable) => defer(depot, &sent.lease, &unavailable).await,
        Placement::Unknown(lost) => unknown(depot, &sent.lease, lost).await,
    }
}

async fn done(depot: &Depot, sent: Sent, receipt: BundleReceipt) -> Result<(), AppError> {
    if receipt.subscription_id.is_none() {
        return acknowledged(depot, &sent.lease, &receipt).await;
    }
    let (work, late) = (depot.clone(), receipt.clone());
    let (lease, order_type) = (sent.lease.clone(), sent.order.order_type);
    let locks = lock_name(&lease.operation);
    let recorded =
        depot.write_together(locks, move |conn| complete(conn, &work, &lease, order_type, &receipt)).await;
    match recorded {
        // A subscription is evidence for one bundle only. A receipt that names another bundle's proves nothing.
        Err(AppError::Store(StoreError::Unique { .. })) => {
            let reason = "the receipt names a subscription that belongs to another bundle".to_owned();
            let taken_as = late.order_id.or(late.subscription_id);
            unknown(depot, &sent.lease, Lost { reason, taken_as }).await
        }
        // Others took the answer for lost. It is the best evidence that there is.
        Err(error) if error.is_race() => late_receipt(depot, &sent.lease.operation, &late, error).await,
        Err(error) => Err(error),
        Ok(()) => {
            signal(depot, &sent.lease.operation);
            Ok(())
        }
    }
}

/// A receipt for an operation that is not under its sender's lease any more.
async fn late_receipt(
    depot: &Depot,
    sent: &Operation,
    receipt: &BundleReceipt,
    race: AppError,
) -> Result<(), AppError> {
    let id = sent.id;
    let (operation, known) = depot
        .store
        .read(move |conn| {
            let operation = operations::find(conn, id)?.ok_or(AppError::NotFound { what: "operation" })?;
            let bundle = match operation.bundle {
                Some(bundle) => bundles::find(conn, bundle)?,
                None => None,
            };
            Ok::<_, AppError>((operation, bundle.and_then(|bundle| bundle.subscription_id)))
        })
        .await?;
    if operation.status.is_open() {
        tracing::warn!(operation = %id, "a receipt came after its answer was taken for lost");
        return conclude::conclude(depot, &operation, None, Found::in_receipt(receipt)).await.map(drop);
    }
    if known == receipt.subscription_id {
        return Ok(());
    }
    let (status, subscription) = (operation.status, receipt.subscription_id.as_deref());
    tracing::error!(operation = %id, %status, subscription, "a receipt for what was decided otherwise: the carrier has a bundle too many");
    metrics::counter!("simdepot_late_receipts_total").increment(1);
    Err(race)
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
    substitute::set_refused_aside(conn, depot, operation, now)?;
    roll_up_order(conn, depot, operation, None, now)
}

async fn refused(depot: &Depot, sent: Sent, refusal: Refusal) -> Result<(), AppError> {
    let operation = &sent.lease.operation;
    let first_sale = operation.request.is_first_sale();
    match refusal.concerns {
        // The sending whose answer was lost may have made the line, or used up the credit, that is refused now: anything
        // else that is bought in its stead is bought twice.
        _ if operation.answer_lost => needs_person(depot, &sent.lease, &refusal).await,
        // A sure refusal: the line changed between the read and the order. Read again, and try the other type once.
        Concern::LineStatus if !sent.insisted && operation.refused_type.is_none() => {
            retry_other_type(depot, &sent.lease, sent.order.order_type, &refusal).await
        }
        Concern::LineStatus | Concern::Profile if first_sale => {
            let reason = QuarantineReason::RefusedByCarrier;
            substitute::set_aside(depot, sent.lease, reason, sent.seen, Some(refusal)).await
        }
        Concern::Request if first_sale => {
            substitute::try_another(depot, sent.lease, sent.seen, refusal).await
        }
        Concern::LineStatus | Concern::Profile | Concern::Product | Concern::Account | Concern::Request => {
            fail(depot, sent.lease, refusal, Sightings::default()).await
        }
    }
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
    match refusal.concerns {
        _ if lease.operation.answer_lost => needs_person(depot, &lease, &refusal).await,
        // On sale with such a line it would refuse one order after the other.
        Concern::LineStatus if lease.operation.request.is_first_sale() => {
            let reason = QuarantineReason::LineNotSellable;
            substitute::set_aside(depot, lease, reason, seen, Some(refusal)).await
        }
        Concern::Request if lease.operation.request.is_first_sale() => {
            substitute::try_another(depot, lease, seen, refusal).await
        }
        Concern::LineStatus | Concern::Profile | Concern::Product | Concern::Account | Concern::Request => {
            fail(depot, lease, refusal, seen).await
        }
    }
}

/// Nothing was done at the carrier: the bundle is refused, and the profile leaves its order.
pub(super) async fn fail(
    depot: &Depot,
    lease: Lease,
    refusal: Refusal,
    seen: Sightings,
) -> Result<(), AppError> {
    let work = depot.clone();
    let operation = lease.operation.clone();
    depot
        .write_again(move |conn| fail_here(conn, &work, &lease.operation, Some(lease.token), &refusal, &seen))
        .await?;
    signal(depot, &operation);
    Ok(())
}

/// As [`fail`], in the caller's transaction.
///
/// # Errors
/// When the store refuses; a race when the operation changed in between.
pub(crate) fn fail_here(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    token: Option<Uuid>,
    refusal: &Refusal,
    seen: &Sightings,
) -> Result<(), AppError> {
    let now = conn.now()?;
    lock_order(conn, operation)?;
    let profile = profiles::get(conn, operation.profile_id)?;
    let profile = observations::learn(conn, depot, profile, seen, now)?;
    let change = OperationChange {
        problem: Some(problem(refusal)?),
        ..OperationChange::to(step(operation, OperationStep::Refuse)?)
    };
    let code = Some(refusal.code.clone());
    change_operation(conn, depot, operation, token, &change, &profile.iccid, code, now)?;
    end_refused(conn, depot, operation, &profile, refusal, Proof::SurelyNothing, now)
}

/// Refuses an operation by a person's word, in the caller's transaction. That is no proof: its profile is set aside.
///
/// # Errors
/// When the store refuses.
pub(crate) fn refuse(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    refusal: &Refusal,
    evidence: Json,
    reason: &str,
) -> Result<(), AppError> {
    let now = conn.now()?;
    lock_order(conn, operation)?;
    let profile = profiles::get(conn, operation.profile_id)?;
    let change = OperationChange {
        evidence: Some(evidence),
        problem: Some(problem(refusal)?),
        reason: Some(reason.to_owned()),
        ..OperationChange::to(step(operation, OperationStep::Refuse)?)
    };
    let code = Some(refusal.code.clone());
    change_operation(conn, depot, operation, None, &change, &profile.iccid, code, now)?;
    end_refused(conn, depot, operation, &profile, refusal, Proof::PersonsWord, now)
}

/// How sure it is that the carrier has nothing for a refused operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Whatever was sent was refused or not taken.
    SurelyNothing,
    /// A person says so.
    PersonsWord,
}

/// The bundle of a refused operation is refused, and its profile leaves the order.
fn end_refused(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    profile: &Profile,
    refusal: &Refusal,
    proof: Proof,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let refused = BundleChange { status: Some(BundleStatus::Refused), ..BundleChange::default() };
    change_bundle(conn, depot, operation, &refused, &profile.iccid, now)?;
    if let Some(allocation) = operation.allocation_id {
        allocations::end(conn, allocation, ProfileOutcome::Failed, now)?;
        give_back(conn, depot, profile, operation, proof, now)?;
    }
    roll_up_order(conn, depot, operation, Some(problem(refusal)?), now)
}

/// The profile of a failed sale goes back to where it was: its order was never fulfilled, so its code was never
/// revealed, and nothing that was sent for it was taken. What else is known of it must not speak against that.
pub(super) fn give_back(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    operation: &Operation,
    proof: Proof,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let on_a_device =
        profile.eid.is_some() || profile.esim.as_ref().is_some_and(|seen| seen.status.was_downloaded());
    let proof = ReturnProof {
        never_revealed: profile.revealed_at.is_none(),
        never_downloaded: !on_a_device,
        // A sending whose answer was lost may still be carried out, however often nothing of it was seen.
        no_bundle: proof == Proof::SurelyNothing
            && !operation.answer_lost
            && operation.before_set.as_ref().is_none_or(Vec::is_empty),
    };
    let transition = apply(profile.stock_state(), StockCommand::Return(proof), now)
        .map_err(|error| AppError::Internal(error.to_string()))?;
    let quarantine =
        (transition.to == StockStatus::Quarantined).then_some(QuarantineReason::ReturnedUnproven);
    let version = profiles::move_stock(conn, profile, transition, quarantine, now)?;
    let (from, to, order) = (transition.from, transition.to, operation.order);
    let fact = Fact::StockMoved { from, to, order, hold: None, quarantine, reason: None };
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
