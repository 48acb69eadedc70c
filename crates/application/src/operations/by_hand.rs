//! A person decides an outcome that the carrier could not tell.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use simdepot_domain::carrier::{Concern, Refusal};
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::{Lane, OperationStatus, OperationStep};
use simdepot_domain::order::ProfileOutcome;
use simdepot_persistence::operations::{Operation, OperationChange};
use simdepot_persistence::{Conn, StoreError, allocations, profiles};

use super::conclude::{Found, record};
use super::line_check::check_named;
use super::naming::{name_by_hand, tell_identified};
use super::outcome::refuse;
use super::writes::{change_operation, lock_order, roll_up_order, signal, step};
use super::{OperationView, get, visible};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once};
use crate::line_operations;

/// What a person found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The carrier did it; as this subscription, when the person knows.
    Done {
        /// The carrier's id of the subscription.
        subscription_id: Option<String>,
    },
    /// The carrier did not do it, and it is not to be tried again.
    Refused,
    /// The carrier did not do it: send it again, as soon as the last sending cannot take effect any more.
    Retry,
}

/// Decides an operation that is `unknown` or `needs_attention`, or names the subscription of one that is done without.
/// The second value tells whether an earlier request with the key did it; then the carrier is not asked again.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] from any other status; [`AppError::Invalid`] when the
/// subscription is not on the line, or evidence for another bundle.
pub async fn decide_by_hand(
    depot: &Depot,
    caller: &Caller,
    id: OperationId,
    verdict: Verdict,
    reason: String,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    let decided = idempotency::once(depot, caller, key, || {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        async move {
            if let Verdict::Done { subscription_id: Some(named) } = &verdict {
                check_named(&work, id, named).await?;
            }
            let write = depot.write_again(move |conn| {
                idempotency::record(conn, &work, &caller, key.as_ref(), 200, &id.to_string())?;
                decide(conn, &work, &caller, id, &verdict, &reason)
            });
            match write.await {
                Err(AppError::Store(StoreError::Unique { .. })) => Err(AppError::invalid(
                    "/subscription_id",
                    "taken",
                    "this subscription is evidence for another bundle",
                )),
                other => other,
            }
        }
    })
    .await?;
    // Counted when it is committed: a race repeats the transaction.
    let replayed = match decided {
        Once::Replayed(_) => true,
        Once::Made(Decided::Outcome) => {
            metrics::counter!("simdepot_resolutions_total", "outcome" => "by_hand").increment(1);
            false
        }
        Once::Made(Decided::Name(named)) => {
            tell_identified(id, &named);
            false
        }
    };
    let view = get(depot, caller, id).await?;
    signal(depot, &view.operation);
    depot.signals.sold();
    Ok((view, replayed))
}

/// What was decided.
enum Decided {
    /// What became of the operation.
    Outcome,
    /// As which subscription it was done.
    Name(String),
}

fn decide(
    conn: &mut Conn<'_>,
    depot: &Depot,
    caller: &Caller,
    id: OperationId,
    verdict: &Verdict,
    reason: &str,
) -> Result<Decided, AppError> {
    let operation = visible(conn, caller, id)?;
    if operation.request.lane() == Lane::Line {
        return line_operations::decide(conn, depot, caller, &operation, verdict, reason)
            .map(|()| Decided::Outcome);
    }
    if let (OperationStatus::Done, Verdict::Done { subscription_id: Some(named) }) =
        (operation.status, verdict)
    {
        let now = depot.now();
        if name_by_hand(conn, depot, &operation, named, reason, now)? {
            return Ok(Decided::Name(named.clone()));
        }
    }
    if !matches!(operation.status, OperationStatus::Unknown | OperationStatus::NeedsAttention) {
        return Err(AppError::InvalidTransition {
            from: operation.status.to_string(),
            command: "resolve".to_owned(),
            detail:
                "only an operation that is unknown or needs_attention, or done without its subscription, is \
                     decided by hand"
                    .to_owned(),
        });
    }
    let by = json!({ "source": "person", "key": caller.key, "reason": reason, "seen": operation.resolution });
    match verdict {
        Verdict::Done { subscription_id } => {
            let found = Found {
                subscription_id: subscription_id.clone(),
                status: None,
                evidence: by,
                code: "by_hand",
                reason: Some(reason.to_owned()),
            };
            let now = conn.now()?;
            record(conn, depot, &operation, None, &found, now)?;
        }
        Verdict::Refused => {
            let refusal = Refusal {
                code: "by_hand".to_owned(),
                // The order shows it to the storefront; the reason is for the operator, in the event and the evidence.
                detail: Some("decided by hand: the carrier has nothing of it".to_owned()),
                concerns: Concern::Request,
            };
            refuse(conn, depot, &operation, &refusal, by, reason)?;
        }
        Verdict::Retry => send_again(conn, depot, &operation, by, reason)?,
    }
    Ok(Decided::Outcome)
}

/// Puts it back, not before the last sending can have taken effect and be listed: the person looked at some moment,
/// but the write may still be on its way. The worker looks at the inventory once more then, so that a sending that was
/// taken after all, or was overlooked, is found instead of repeated.
fn send_again(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    evidence: serde_json::Value,
    reason: &str,
) -> Result<(), AppError> {
    let now = conn.now()?;
    lock_order(conn, operation)?;
    let iccid = profiles::get(conn, operation.profile_id)?.iccid;
    let change = OperationChange {
        deferred_to: Some(not_before(depot, operation, now)),
        // The person has looked at what speaks for it.
        forget_hints: true,
        evidence: Some(evidence),
        reason: Some(reason.to_owned()),
        ..OperationChange::to(step(operation, OperationStep::PutBack)?)
    };
    change_operation(conn, depot, operation, None, &change, &iccid, Some("by_hand".to_owned()), now)?;
    if let Some(allocation) = operation.allocation_id {
        allocations::set_outcome(conn, allocation, ProfileOutcome::Pending)?;
    }
    roll_up_order(conn, depot, operation, None, now)
}

/// When what a person wants sent again may be sent, or taken back: while the carrier may still be working on the last
/// sending, nobody does either.
pub(crate) fn not_before(depot: &Depot, operation: &Operation, now: DateTime<Utc>) -> DateTime<Utc> {
    settled_at(depot, operation).map_or(now, |settled| settled.max(now))
}

/// When the last sending has taken effect, if it ever does, and every replica of the inventory lists it. Without the
/// account nothing can be sent anyway.
fn settled_at(depot: &Depot, operation: &Operation) -> Option<DateTime<Utc>> {
    let timeout = depot.account(&operation.carrier_account).ok()?.timeout;
    let open = TimeDelta::from_std(timeout).ok()? + depot.work.resolve_margin + depot.work.absence_gap;
    operation.sent_at?.checked_add_signed(open)
}
