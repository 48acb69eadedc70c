//! Outcomes that stay open: the answer was lost, or what came back decides nothing. A resolver looks into them, and what
//! it cannot decide waits for a person.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::{BundleReceipt, Lost, Refusal};
use simdepot_domain::operation::OperationStep;
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::resolution::Doubt;
use simdepot_persistence::bundles::BundleChange;
use simdepot_persistence::operations::{self, Lease, Operation, OperationChange};
use simdepot_persistence::{Conn, allocations, profiles};
use uuid::Uuid;

use super::writes::{change_bundle, change_operation, lock_order, problem, roll_up_order, signal, step};
use crate::depot::Depot;
use crate::error::AppError;

/// The answer was lost. The operation says so, and nothing sends it again.
pub(super) async fn unknown(depot: &Depot, lease: &Lease, lost: Lost) -> Result<(), AppError> {
    record_lost(depot, lease, Losing::answer(lost)).await
}

/// A receipt that does not name the subscription. What was ordered is looked for at once, and never sent again by
/// itself: without its id a bundle would be evidence for the next order.
pub(super) async fn acknowledged(
    depot: &Depot,
    lease: &Lease,
    receipt: &BundleReceipt,
) -> Result<(), AppError> {
    let lost = Losing {
        code: "receipt_without_subscription",
        reason: "the carrier took the order and did not say as which subscription".to_owned(),
        hint: Some(receipt.order_id.clone().unwrap_or_else(|| "receipt".to_owned())),
        carrier_reference: receipt.order_id.clone(),
        resolve_after: Some(depot.store.now().await?),
    };
    record_lost(depot, lease, lost).await
}

/// What an operation that was to be sent again found in the carrier's list leaves open whether it was taken.
///
/// # Errors
/// When the store refuses.
pub(super) async fn doubted(depot: &Depot, lease: &Lease, doubt: Doubt) -> Result<(), AppError> {
    let lost = Losing {
        code: "in_doubt",
        reason: doubt.explain().to_owned(),
        hint: None,
        carrier_reference: None,
        resolve_after: Some(depot.store.now().await? + depot.work.absence_gap),
    };
    record_lost(depot, lease, lost).await
}

/// Why an outcome is open.
#[derive(Debug, Clone)]
struct Losing {
    code: &'static str,
    reason: String,
    /// What speaks for its having been taken all the same.
    hint: Option<String>,
    /// The carrier's id of an order that it acknowledged.
    carrier_reference: Option<String>,
    /// When it may be looked into; as the sending said when absent.
    resolve_after: Option<DateTime<Utc>>,
}

impl Losing {
    fn answer(lost: Lost) -> Self {
        let Lost { reason, taken_as: hint } = lost;
        Self { code: "answer_lost", reason, hint, carrier_reference: None, resolve_after: None }
    }
}

async fn record_lost(depot: &Depot, lease: &Lease, lost: Losing) -> Result<(), AppError> {
    let (code, reason) = (lost.code, lost.reason.as_str());
    tracing::warn!(operation = %lease.operation.id, code, reason, "the outcome is open; not sent again");
    let (work, lease, operation) = (depot.clone(), lease.clone(), lease.operation.clone());
    depot.write_again(move |conn| lose(conn, &work, &lease.operation, Some(lease.token), &lost)).await?;
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
    reason: &str,
) -> Result<(), AppError> {
    lose(conn, depot, operation, None, &Losing::answer(Lost::silent(reason)))
}

fn lose(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    token: Option<Uuid>,
    lost: &Losing,
) -> Result<(), AppError> {
    let now = conn.now()?;
    lock_order(conn, operation)?;
    let iccid = profiles::get(conn, operation.profile_id)?.iccid;
    let change = OperationChange {
        problem: Some(json!({ "code": lost.code, "detail": lost.reason })),
        carrier_reference: lost.carrier_reference.clone(),
        resolve_after: lost.resolve_after,
        ..OperationChange::to(step(operation, OperationStep::Lose)?)
    };
    change_operation(conn, depot, operation, token, &change, &iccid, Some(lost.code.to_owned()), now)?;
    if let Some(hint) = &lost.hint {
        operations::add_hint(conn, operation.id, hint)?;
    }
    let unknown = BundleChange { status: Some(BundleStatus::Unknown), ..BundleChange::default() };
    change_bundle(conn, depot, operation, &unknown, &iccid, now)?;
    if let Some(allocation) = operation.allocation_id {
        allocations::set_outcome(conn, allocation, ProfileOutcome::Unknown)?;
    }
    roll_up_order(conn, depot, operation, None, now)
}

/// A person must decide: an answer was lost before, and what was found out since neither proves that the carrier took
/// that sending nor that it did not.
///
/// # Errors
/// When the store refuses.
pub(super) async fn needs_person(depot: &Depot, lease: &Lease, refusal: &Refusal) -> Result<(), AppError> {
    let operation = &lease.operation;
    tracing::error!(operation = %operation.id, code = refusal.code, "refused after a lost answer; a person must decide");
    let detail = refusal.detail.as_deref().unwrap_or("the carrier gave no reason");
    let detail = format!("refused after the answer to an earlier sending was lost: {detail}");
    let why = problem(&Refusal { detail: Some(detail), ..refusal.clone() })?;
    let (work, leased, code) = (depot.clone(), lease.clone(), refusal.code.clone());
    depot
        .write_again(move |conn| {
            give_up(conn, &work, &leased, why.clone(), standing(&leased.operation), &code)
        })
        .await?;
    signal(depot, operation);
    Ok(())
}

/// What is known of an open outcome, for the person who must decide it.
pub(super) fn standing(operation: &Operation) -> Json {
    json!({
        "sent_at": operation.sent_at,
        "first_sent_at": operation.first_sent_at,
        "on_the_line_before": operation.before_set,
        "reads": operation.reads,
        "hints": operation.hints,
        "looked": operation.resolution,
        // What put it back, when it was sent more than once.
        "earlier": operation.evidence,
    })
}

/// Leaves an operation, and its place in the order, to a person, in the caller's transaction.
///
/// # Errors
/// When the store refuses, or the operation changed.
pub(super) fn give_up(
    conn: &mut Conn<'_>,
    depot: &Depot,
    lease: &Lease,
    problem: Json,
    evidence: Json,
    code: &str,
) -> Result<(), AppError> {
    let now = conn.now()?;
    let operation = &lease.operation;
    lock_order(conn, operation)?;
    let iccid = profiles::get(conn, operation.profile_id)?.iccid;
    let change = OperationChange {
        evidence: Some(evidence),
        problem: Some(problem),
        ..OperationChange::to(step(operation, OperationStep::GiveUp)?)
    };
    change_operation(conn, depot, operation, Some(lease.token), &change, &iccid, Some(code.to_owned()), now)?;
    if let Some(allocation) = operation.allocation_id {
        allocations::set_outcome(conn, allocation, ProfileOutcome::NeedsAttention)?;
    }
    roll_up_order(conn, depot, operation, None, now)
}
