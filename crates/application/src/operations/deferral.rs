//! Putting an operation off: the carrier surely has not taken it, and may later.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::carrier::{Concern, Refusal, Unavailable};
use simdepot_domain::operation::{OperationStatus, OperationStep};
use simdepot_persistence::operations::{self, Lease, OperationChange};
use uuid::Uuid;

use super::outcome::refuse_unsent;
use super::writes::{change_alone, step};
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::Sightings;

/// However long the carrier asks to be left alone: orders wait.
pub(crate) const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(5);
/// Fewer tries than this say nothing of the carrier, however long ago the first of them was.
pub(crate) const TRIES: u32 = 3;
/// Pause after a concurrent change.
pub(crate) const RACE_PAUSE: TimeDelta = TimeDelta::milliseconds(100);
/// First pause between two tries.
const BACKOFF: TimeDelta = TimeDelta::milliseconds(500);

/// Puts an operation off: the carrier surely has not taken it. After too long it fails.
///
/// # Errors
/// When the store refuses.
pub(super) async fn defer(depot: &Depot, lease: &Lease, unavailable: &Unavailable) -> Result<(), AppError> {
    let operation = &lease.operation;
    let now = depot.store.now().await?;
    // Counted from the first try, and not by the clock alone: one that only waited for its turn, or for this process, was
    // not turned down by anybody.
    let waited = now - operation.waiting_since.unwrap_or(now);
    if waited > depot.work.give_up && operation.deferrals >= TRIES {
        let refusal = Refusal {
            code: "carrier_unavailable".to_owned(),
            detail: Some(unavailable.reason.clone()),
            concerns: Concern::Account,
        };
        return refuse_unsent(depot, lease.clone(), refusal, Sightings::default()).await;
    }
    let asked = unavailable.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).map(TimeDelta::milliseconds);
    let asked = asked.unwrap_or_default().min(LONGEST_PAUSE);
    let pause = backoff(operation.deferrals, depot.work.backoff_cap, depot.ids.uuid()).max(asked);
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
pub(crate) fn backoff(deferrals: u32, cap: TimeDelta, randomness: Uuid) -> TimeDelta {
    let full = BACKOFF.checked_mul(1 << deferrals.min(16)).unwrap_or(cap).min(cap);
    let half = full / 2;
    let millis = u128::try_from(half.num_milliseconds()).unwrap_or_default() + 1;
    half + TimeDelta::milliseconds(i64::try_from(randomness.as_u128() % millis).unwrap_or_default())
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
