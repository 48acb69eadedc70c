//! The resolver: finds out what became of an operation whose answer was lost.
//!
//! It asks the carrier for everything on the line, in all statuses, and weighs that against what was there before the
//! first sending (`domain::resolution`). A bundle that fits ends the operation as done. Nothing there, seen twice
//! some time apart, sends it again. A read that fails decides nothing. After too long a person must decide.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use simdepot_domain::carrier::{BundleReading, ReadError};
use simdepot_domain::operation::OperationStep;
use simdepot_domain::order::ProfileOutcome;
use simdepot_persistence::operations::{self, Lease, Operation, OperationChange};
use simdepot_persistence::{allocations, profiles};

use super::conclude::{Finding, Found, conclude, weigh};
use super::deferral::backoff;
use super::undecided::{self, standing};
use super::writes::{change_operation, lock_order, roll_up_order, signal, step as next};
use crate::depot::Depot;
use crate::error::AppError;

/// Left of a lease for writing down what was read.
const WRITING: TimeDelta = TimeDelta::seconds(2);
/// The longest time for which nothing must be seen before an order is sent again.
const LONGEST_GAP: TimeDelta = TimeDelta::minutes(1);

/// What was seen of an open outcome so far; kept with the operation, for the next look and for a person.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Looked {
    /// Since when complete reads show nothing of it.
    #[serde(default)]
    nothing_since: Option<DateTime<Utc>>,
    /// Why the last read failed, if it did.
    #[serde(default)]
    last_failure: Option<String>,
    /// The subscriptions that the last complete read showed.
    #[serde(default)]
    listed: Vec<String>,
}

/// Looks into one open outcome that is due. `false` when there was none.
///
/// # Errors
/// When the store cannot be asked. What goes wrong at the carrier is seen again later.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let due = depot.store.read(|conn| {
        let now = conn.now()?;
        operations::any_unknown_due(conn, now)
    });
    if !due.await? {
        return Ok(false);
    }
    // Whose operation it will be is not known yet.
    let lengths = depot.accounts.values().map(|account| depot.lease_of(account));
    let (token, length) = (depot.ids.uuid(), lengths.max().unwrap_or(depot.work.lease));
    let leased = depot.store.write(move |conn| {
        let now = conn.now()?;
        operations::lease_unknown(conn, token, now, now + length)
    });
    let Some(lease) = leased.await? else {
        return Ok(false);
    };
    match look(depot, &lease).await {
        // An event or a person decided it in between.
        Err(error) if error.is_race() => {
            tracing::debug!(operation = %lease.operation.id, %error, "decided by somebody else");
            Ok(true)
        }
        other => other.map(|()| true),
    }
}

async fn look(depot: &Depot, lease: &Lease) -> Result<(), AppError> {
    let operation = &lease.operation;
    let before: Looked =
        operation.resolution.clone().and_then(|seen| serde_json::from_value(seen).ok()).unwrap_or_default();
    let inventory = match read(depot, operation).await? {
        Ok(inventory) => inventory,
        Err(reason) => {
            let looked = Looked { last_failure: Some(reason), ..before };
            return undecided(depot, lease, looked).await;
        }
    };
    let listed = inventory.iter().flatten().map(|bundle| bundle.subscription_id.clone()).collect();
    let sent = operation.clone();
    match depot.store.read(move |conn| weigh(conn, &sent, inventory.as_deref())).await? {
        Finding::Taken(found) => {
            let evidence = Found::in_inventory(&found);
            count("done");
            if found.more > 0 {
                tracing::error!(operation = %operation.id, more = found.more, "the carrier has more bundles than were ordered");
            }
            conclude(depot, operation, Some(lease.token), evidence).await.map(drop)
        }
        Finding::Doubtful(doubt) => doubtful(depot, lease, listed, doubt.explain()).await,
        Finding::Nothing => {
            nothing_there(depot, lease, Looked { listed, last_failure: None, ..before }).await
        }
    }
}

/// A list that decides nothing: what earlier ones seemed to show counts no more.
async fn doubtful(depot: &Depot, lease: &Lease, listed: Vec<String>, why: &str) -> Result<(), AppError> {
    tracing::warn!(operation = %lease.operation.id, why, "the carrier's list decides nothing");
    let looked = Looked { nothing_since: None, last_failure: Some(why.to_owned()), listed };
    undecided(depot, lease, looked).await
}

/// The bundles on a line; `None` when the carrier does not know the line.
type Listed = Option<Vec<BundleReading>>;

/// Everything on the operation's line, or why that is not known.
async fn read(depot: &Depot, operation: &Operation) -> Result<Result<Listed, String>, AppError> {
    let profile_id = operation.profile_id;
    let profile = depot.store.read(move |conn| profiles::get(conn, profile_id)).await?;
    let account = match depot.account(&operation.carrier_account) {
        Ok(account) => account,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let asked = async {
        let msisdn = match &profile.msisdn {
            Some(msisdn) => Some(msisdn.clone()),
            None => account.carrier.line(&profile.line_key()).await?.and_then(|line| line.msisdn),
        };
        match msisdn {
            Some(msisdn) => account.carrier.bundles(&msisdn).await,
            None => Err(ReadError::Unreadable { what: "the line has no number".to_owned() }),
        }
    };
    // Two calls at most; what is read after the lease has run out counts for nothing.
    let limit = (depot.lease_of(account) - WRITING).to_std().unwrap_or_default();
    Ok(match tokio::time::timeout(limit.min(account.timeout * 2), asked).await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("the carrier did not answer in time".to_owned()),
    })
}

/// A complete read shows nothing of it. Believed when an earlier one, some time ago, showed nothing either.
async fn nothing_there(depot: &Depot, lease: &Lease, looked: Looked) -> Result<(), AppError> {
    let now = depot.store.now().await?;
    let since = looked.nothing_since.unwrap_or(now);
    let gap = absence_gap(depot.work.absence_gap, lease.operation.attempts);
    if now - since < gap {
        let looked = Looked { nothing_since: Some(since), ..looked };
        return look_again(depot, lease, &looked, since + gap).await;
    }
    if lease.operation.attempts >= depot.work.sends {
        let detail = format!(
            "no answer to {} sendings, and nothing of them at the carrier; decide with POST \
             /v1/operations/{{id}}/resolve",
            lease.operation.attempts
        );
        return give_up(depot, lease, &looked, "never_answered", &detail).await;
    }
    count("not_taken");
    tracing::info!(operation = %lease.operation.id, "a lost answer was found out: surely not taken; sent again");
    let evidence = standing(&having_looked(&lease.operation, &looked)?);
    let (work, leased) = (depot.clone(), lease.clone());
    depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            let operation = &leased.operation;
            lock_order(conn, operation)?;
            let iccid = profiles::get(conn, operation.profile_id)?.iccid;
            let change = OperationChange {
                deferred_to: Some(now),
                evidence: Some(evidence.clone()),
                ..OperationChange::to(next(operation, OperationStep::PutBack)?)
            };
            let code = Some("surely_not_taken".to_owned());
            change_operation(conn, &work, operation, Some(leased.token), &change, &iccid, code, now)?;
            if let Some(allocation) = operation.allocation_id {
                allocations::set_outcome(conn, allocation, ProfileOutcome::Pending)?;
            }
            roll_up_order(conn, &work, operation, None, now)
        })
        .await?;
    depot.signals.work.notify_one();
    Ok(())
}

/// Nothing was decided. After too many looks over too long a time a person must.
async fn undecided(depot: &Depot, lease: &Lease, looked: Looked) -> Result<(), AppError> {
    let (now, operation) = (depot.store.now().await?, &lease.operation);
    let since = operation.sent_at.unwrap_or(operation.created_at);
    if now - since > depot.work.give_up && operation.reads >= depot.work.resolve_reads {
        let detail = "the carrier could not tell whether it took the order; decide with POST /v1/operations/{id}/resolve";
        return give_up(depot, lease, &looked, "undecided", detail).await;
    }
    let pause = backoff(operation.reads, depot.work.backoff_cap, depot.ids.uuid());
    look_again(depot, lease, &looked, now + pause).await
}

async fn look_again(
    depot: &Depot,
    lease: &Lease,
    looked: &Looked,
    resolve_after: DateTime<Utc>,
) -> Result<(), AppError> {
    let (lease, seen) = (lease.clone(), document(looked)?);
    let write = depot
        .store
        .write(move |conn| operations::look_again(conn, &lease.operation, lease.token, &seen, resolve_after));
    Ok(write.await?)
}

/// How long nothing must be seen. A carrier that loses one answer after the other is in trouble, and so may its lists be:
/// twice as long each time, up to a minute.
fn absence_gap(first: TimeDelta, attempts: u32) -> TimeDelta {
    let longest = LONGEST_GAP.max(first);
    first.checked_mul(1 << attempts.saturating_sub(1).min(16)).unwrap_or(longest).min(longest)
}

async fn give_up(
    depot: &Depot,
    lease: &Lease,
    looked: &Looked,
    code: &'static str,
    detail: &str,
) -> Result<(), AppError> {
    count("needs_attention");
    let operation = &lease.operation;
    tracing::error!(operation = %operation.id, reads = operation.reads, "an open outcome cannot be decided; a person must");
    let seen = having_looked(operation, looked)?;
    let problem = json!({ "code": code, "detail": detail });
    let (work, leased, evidence) = (depot.clone(), lease.clone(), standing(&seen));
    depot.store.write(move |conn| undecided::give_up(conn, &work, &leased, problem, evidence, code)).await?;
    signal(depot, operation);
    Ok(())
}

/// The operation as it is after the latest look.
fn having_looked(operation: &Operation, looked: &Looked) -> Result<Operation, AppError> {
    Ok(Operation { resolution: Some(document(looked)?), ..operation.clone() })
}

fn document(looked: &Looked) -> Result<Json, AppError> {
    serde_json::to_value(looked).map_err(|error| AppError::Internal(error.to_string()))
}

fn count(outcome: &'static str) {
    metrics::counter!("simdepot_resolutions_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_must_be_seen_for_longer_each_time() {
        let gap = |attempts| absence_gap(TimeDelta::seconds(5), attempts).num_seconds();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 40].map(gap), [5, 5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(absence_gap(TimeDelta::minutes(3), 9), TimeDelta::minutes(3), "as configured, never less");
        assert_eq!(absence_gap(TimeDelta::zero(), 9), TimeDelta::zero());
    }
}
