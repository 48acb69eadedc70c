//! A person decides what became of a command.

use serde_json::json;
use simdepot_domain::operation::{OperationStatus, OperationStep};
use simdepot_domain::order::ProfileOutcome;
use simdepot_persistence::Conn;
use simdepot_persistence::operations::{Operation, OperationChange};

use super::Known;
use super::follow::by_hand;
use super::outcome::Done;
use super::recording::Recording;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::Sightings;
use crate::operations::writes::{change_operation, lock_order, step as next};
use crate::operations::{self, Verdict};

/// Decides an open command, in the caller's transaction.
///
/// # Errors
/// [`AppError::InvalidTransition`] from a status that is not a person's to decide; [`AppError::Invalid`] for a
/// subscription, which a command does not make.
pub(crate) fn decide(
    conn: &mut Conn<'_>,
    depot: &Depot,
    caller: &Caller,
    operation: &Operation,
    verdict: &Verdict,
    reason: &str,
) -> Result<(), AppError> {
    let open = match operation.status {
        OperationStatus::Unknown | OperationStatus::NeedsAttention => true,
        // What the carrier works on may take weeks; it is never sent again.
        OperationStatus::Accepted => !matches!(verdict, Verdict::Retry),
        _ => false,
    };
    if !open {
        return Err(AppError::InvalidTransition {
            from: operation.status.to_string(),
            command: "resolve".to_owned(),
            detail: "only a command that is unknown or needs_attention is decided by hand, or one that is accepted as done or \
                     refused".to_owned(),
        });
    }
    lock_order(conn, operation)?;
    let now = conn.now()?;
    let recording = Recording { depot, operation, token: None, now };
    match verdict {
        Verdict::Done { subscription_id: Some(_) } => {
            let message = "a command to a line makes no subscription";
            Err(AppError::invalid("/subscription_id", "unexpected", message))
        }
        Verdict::Done { subscription_id: None } => {
            let evidence = json!({ "source": "person", "key": caller.key, "reason": reason, "seen": operation.resolution });
            let mut done = Done::by("by_hand", evidence, Sightings::default());
            done.reason = Some(reason.to_owned());
            done.moved_to = Known::of(operation).moved_to;
            recording.done(conn, &done)
        }
        Verdict::Refused if recording.is_sale() => {
            let evidence = json!({ "source": "person", "key": caller.key, "reason": reason, "seen": operation.resolution });
            operations::refuse(conn, depot, operation, &by_hand(), evidence, reason)
        }
        Verdict::Refused => recording.refuse(conn, &by_hand(), Some(reason)),
        Verdict::Retry => {
            let known = Known::of(operation).for_another_sending();
            let change = OperationChange {
                deferred_to: Some(operations::not_before(depot, operation, now)),
                forget_hints: true,
                resolution: Some(known.document()?),
                reason: Some(reason.to_owned()),
                ..OperationChange::to(next(operation, OperationStep::PutBack)?)
            };
            let iccid = simdepot_persistence::profiles::get(conn, operation.profile_id)?.iccid;
            change_operation(conn, depot, operation, None, &change, &iccid, Some("by_hand".to_owned()), now)?;
            recording.place(conn, ProfileOutcome::Pending)
        }
    }
}
