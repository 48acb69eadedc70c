//! The worker: leases commands of one account, reads their lines, commits that they are sent, and sends them, side by
//! side. Each phase is one transaction for all of them.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use simdepot_domain::carrier::{Commanded, Lost, Unavailable};
use simdepot_domain::channel::AccountName;
use simdepot_domain::id::OrderId;
use simdepot_domain::line::SuspendedBy;
use simdepot_domain::operation::{Lane, OperationStep};
use simdepot_persistence::operations::{self, BatchLease, Operation, OperationChange};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, lines, orders};
use tokio::time::Instant;
use uuid::Uuid;

use super::gather::{Decision, Gathered, Preparing};
use super::outcome::{self, Ended};
use super::{Known, Order};
use crate::batch::write_each;
use crate::depot::{Account, Depot};
use crate::error::AppError;
use crate::observations::{self, Sightings};
use crate::operations::being_cancelled;
use crate::operations::writes::{change_operation, step as next};

/// Most commands of one account that a worker has in hand at a time.
const BATCH: u64 = 64;
/// Such batches of one account that a process has in hand.
const BATCHES: usize = 2;
/// First and longest pause before outcomes are recorded again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Carries out some commands that are due. `false` when there were none.
///
/// # Errors
/// When the store cannot be asked. What goes wrong at the carrier is an outcome, not an error.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    // Looked for without a write transaction first: idle workers must not queue for SQLite's only writer.
    let due = depot.store.read(|conn| {
        let now = conn.now()?;
        operations::due_accounts(conn, Lane::Line, now)
    });
    let Some(place) = depot.line_batches.enter(&due.await?, BATCHES) else {
        return Ok(false);
    };
    let lease = lease(depot, place.account.clone()).await?;
    if lease.operations.is_empty() {
        return Ok(false);
    }
    // One signal wakes one worker; each wakes the next.
    depot.signals.lines.notify_one();
    Box::pin(carry_out(depot, &place.account, lease)).await?;
    Ok(true)
}

/// How many commands are taken at once: what waits for its turn at the carrier must not keep sales waiting for most of
/// their time-out.
pub(super) fn batch(account: &Account) -> i64 {
    let Some(rate) = account.carrier.calls_per_second() else {
        return i64::try_from(BATCH).unwrap_or(1);
    };
    let turns = u128::from(rate) * account.timeout.as_millis() / 8_000;
    i64::try_from(turns.clamp(1, u128::from(BATCH))).unwrap_or(1)
}

async fn lease(depot: &Depot, account: AccountName) -> Result<BatchLease, AppError> {
    let length = depot.account(&account).map_or(depot.work.lease, |account| depot.lease_of(account));
    let most = depot.account(&account).map_or(1, batch);
    let token = depot.ids.uuid();
    let write = depot.store.write(move |conn| {
        let now = conn.now()?;
        Ok(operations::lease_pending(conn, &account, (token, now + length), now, most)?)
    });
    write.await
}

async fn carry_out(depot: &Depot, name: &AccountName, lease: BatchLease) -> Result<(), AppError> {
    let started = Instant::now();
    let token = lease.token;
    let account = match depot.account(name) {
        Ok(account) => account.clone(),
        // The operator may bring the account back: nothing is lost by waiting.
        Err(error) => {
            let why = Unavailable { reason: error.to_string(), retry_after_ms: None };
            let later =
                lease.operations.into_iter().map(|operation| (operation, Ended::NotTaken(why.clone())));
            return outcome::record(depot, token, later.collect()).await;
        }
    };
    let (to_send, ended) = divide(read(depot, &account, &lease).await?);
    outcome::record(depot, token, ended).await?;
    let lease_time = depot.lease_of(&account).to_std().unwrap_or_default();
    if started.elapsed() + account.timeout > lease_time {
        let why = Unavailable { reason: "too little of the lease was left".to_owned(), retry_after_ms: None };
        let later = to_send.into_iter().map(|(operation, ..)| (operation, Ended::NotTaken(why.clone())));
        return outcome::record(depot, token, later.collect()).await;
    }
    let dated = Instant::now();
    let (ready, cancelled) = commit_sent(depot, to_send, (token, lease.until), account.timeout).await?;
    // A worker that was paused since it leased, or whose commit took long, does not send: see the sales' worker.
    let margin = depot.work.resolve_margin.to_std().unwrap_or_default();
    let late = dated.elapsed() > margin / 2 || started.elapsed() + account.timeout > lease_time;
    let mut answers = call_all(&account, ready, late).await;
    answers.extend(cancelled);
    record(depot, token, answers, dated + account.timeout + margin).await
}

/// A command about to be sent, with what was read for it and how its line stood before.
type ToSend = (Operation, Sightings, (Order, Known));

/// What is to be sent, and what has ended unsent.
fn divide(gathered: Vec<Gathered>) -> (Vec<ToSend>, Vec<(Operation, Ended)>) {
    let (mut to_send, mut ended) = (Vec::new(), Vec::new());
    for Gathered { operation, seen, decision } in gathered {
        let end = match decision {
            Decision::Send(plan) => {
                to_send.push((operation, seen, *plan));
                continue;
            }
            Decision::Reached(done) => Ended::Done(done),
            Decision::Taken(why) => Ended::Answer(Commanded::Unknown(Lost::silent(why))),
            Decision::Cancel => Ended::Cancelled,
            Decision::Defer(why) => Ended::NotTaken(why),
            Decision::Refuse(refusal) => Ended::Refused(refusal, Box::new(seen)),
            Decision::Unpreparable => Ended::GiveUp {
                code: "cannot_be_prepared",
                detail: "it cannot be prepared, the log has the cause; nothing of it was sent now".to_owned(),
                known: Box::new(Known::of(&operation)),
            },
        };
        ended.push((operation, end));
    }
    to_send.sort_by_key(|(operation, ..)| locking_rank(operation));
    (to_send, ended)
}

/// Whoever locks several orders and profiles does so in one order.
pub(super) fn locking_rank(operation: &Operation) -> (Option<OrderId>, i64) {
    (operation.order, operation.profile_id)
}

/// Transaction 2 for all of them: what was read, and that the next thing is the call. What is not sent because its order
/// is being taken back is returned apart.
async fn commit_sent(
    depot: &Depot,
    to_send: Vec<ToSend>,
    (token, until): (Uuid, DateTime<Utc>),
    timeout: Duration,
) -> Result<(Vec<(Operation, Order)>, Vec<(Operation, Ended)>), AppError> {
    let work = depot.clone();
    let sent = write_each(depot, to_send, move |conn, (operation, seen, (order, known))| {
        let sending = Sending { operation, known, token, until, timeout };
        // Under the order's lock: an order that began to be taken back sends nothing any more.
        if operation.order.is_some() && being_cancelled(conn, operation)? {
            return Ok(Err((operation.clone(), Ended::Cancelled)));
        }
        let profile = profiles::lock(conn, operation.profile_id)?;
        observations::learn(conn, &work, profile, seen, work.now())?;
        Ok(Ok((sending.commit(conn, &work)?, order.clone())))
    });
    let (mut ready, mut cancelled) = (Vec::new(), Vec::new());
    for sent in sent.await? {
        match sent {
            Ok(Ok(sent)) => ready.push(sent),
            Ok(Err(taken_back)) => cancelled.push(taken_back),
            // Somebody else changed it; it is leased again when this lease has run out, from what is true then.
            Err(error) => tracing::info!(%error, "a command met a concurrent change; not sent"),
        }
    }
    Ok((ready, cancelled))
}

/// Every line, within the time that the lease leaves before the calls.
async fn read(depot: &Depot, account: &Account, lease: &BatchLease) -> Result<Vec<Gathered>, AppError> {
    let ids: Vec<i64> = lease.operations.iter().map(|operation| operation.profile_id).collect();
    let orders: Vec<OrderId> = lease.operations.iter().filter_map(|operation| operation.order).collect();
    let (profiles, known, cancelling) = depot
        .store
        .read(move |conn| {
            let (profiles, known) = (profiles::get_many(conn, &ids)?, lines::of_profiles(conn, &ids)?);
            Ok::<_, AppError>((profiles, known, orders::being_cancelled(conn, &orders)?))
        })
        .await?;
    let profiles: HashMap<i64, Profile> = profiles.into_iter().map(|profile| (profile.id, profile)).collect();
    let suspended: HashMap<i64, Option<SuspendedBy>> =
        known.into_iter().map(|(id, line)| (id, line.details.suspended_by)).collect();
    // One line that is slow to read must not keep the others from being sent within the lease.
    let budget = depot.lease_of(account).to_std().unwrap_or_default().saturating_sub(account.timeout) / 2;
    let budget = budget.max(Duration::from_millis(500));
    let reads = lease.operations.iter().filter_map(|operation| {
        let profile = profiles.get(&operation.profile_id)?;
        let suspended_by = suspended.get(&operation.profile_id).copied().flatten();
        let cancelling = operation.order.is_some_and(|order| cancelling.contains(&order));
        let preparing = Preparing { depot, account, operation, profile, suspended_by, cancelling };
        Some(async move {
            let read = match tokio::time::timeout(budget, Box::pin(preparing.gather())).await {
                Ok(gathered) => gathered,
                Err(_) => {
                    let why = Unavailable { reason: "reads took too long".to_owned(), retry_after_ms: None };
                    let (operation, seen) = (operation.clone(), Sightings::default());
                    Ok(Gathered { operation, seen, decision: Decision::Defer(why) })
                }
            };
            (operation, read)
        })
    });
    let mut gathered = Vec::new();
    for read in join_all(reads).await {
        match read {
            (_, Ok(read)) => gathered.push(read),
            (_, Err(error)) if error.is_outage() => return Err(error),
            (operation, Err(error)) => {
                tracing::error!(operation = %operation.id, %error, "a command cannot be prepared");
                gathered.push(Gathered {
                    operation: operation.clone(),
                    seen: Sightings::default(),
                    decision: Decision::Unpreparable,
                });
            }
        }
    }
    Ok(gathered)
}

/// What is committed before a call.
struct Sending<'a> {
    operation: &'a Operation,
    known: &'a Known,
    token: Uuid,
    until: DateTime<Utc>,
    timeout: Duration,
}

impl Sending<'_> {
    fn commit(&self, conn: &mut Conn<'_>, depot: &Depot) -> Result<Operation, AppError> {
        let (operation, now) = (self.operation, conn.now()?);
        if self.until <= now {
            return Err(AppError::Store(simdepot_persistence::StoreError::RowsAffected {
                what: "send under a lease",
                expected: 1,
                actual: 0,
            }));
        }
        let timeout = TimeDelta::from_std(self.timeout).unwrap_or_default();
        let change = OperationChange {
            sent: true,
            sent_at: Some((now, now + timeout + depot.work.resolve_margin)),
            resolution: Some(self.known.document()?),
            keep_lease: true,
            ..OperationChange::to(next(operation, OperationStep::Send)?)
        };
        let iccid = profiles::get(conn, operation.profile_id)?.iccid;
        change_operation(conn, depot, operation, Some(self.token), &change, &iccid, None, now)?;
        let sent = operations::find(conn, operation.id)?;
        sent.ok_or(AppError::NotFound { what: "operation" })
    }
}

async fn call_all(account: &Account, ready: Vec<(Operation, Order)>, late: bool) -> Vec<(Operation, Ended)> {
    let calls = ready.into_iter().map(|(operation, order)| async move {
        let answer = if late {
            let reason = "the worker was paused before the call".to_owned();
            Commanded::NotTaken(Unavailable { reason, retry_after_ms: None })
        } else {
            call(account, &order).await
        };
        (operation, Ended::Answer(answer))
    });
    join_all(calls).await
}

/// The call itself. The adapter has its own time-out; this one only guards against an adapter that hangs.
async fn call(account: &Account, order: &Order) -> Commanded {
    let limit = account.timeout + Duration::from_secs(1);
    let answer = async {
        match order {
            Order::Line(order) => account.carrier.command_line(order).await,
            Order::Bundle(order) => account.carrier.change_bundle(order).await,
            Order::Activation(order) => account.carrier.activate(order).await,
            Order::DeviceChange(order) => account.carrier.change_device(order).await,
            Order::DeviceBlock(order) => account.carrier.block_device(order).await,
        }
    };
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Commanded::Unknown(Lost::silent("the adapter did not answer in time")),
    }
}

/// The outcomes, again and again while the database is away: what is known now is worth more than all that could be
/// found out later. From `until` on others look for them.
async fn record(
    depot: &Depot,
    token: Uuid,
    answers: Vec<(Operation, Ended)>,
    until: Instant,
) -> Result<(), AppError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match outcome::record(depot, token, answers.clone()).await {
            Err(error) if error.may_pass() && Instant::now() + pause < until => {
                tracing::warn!(%error, "outcomes cannot be recorded yet");
            }
            Err(error) => {
                tracing::error!(%error, commands = answers.len(), "outcomes are not recorded");
                return Err(error);
            }
            Ok(()) => return Ok(()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
