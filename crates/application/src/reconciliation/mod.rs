//! Reconciliation: our books compared with the carriers'.
//!
//! [`sweep`] goes on all the time, a profile now and then. A whole one is asked for: first the accounts' fleets, then
//! every profile by row, then once more what was not found the first time. It is leased work: a process that dies
//! leaves it to the next one, which goes on where it stood.

pub(crate) mod compare;
mod fleet;
mod readings;
pub mod sweep;

use std::time::Duration;

use chrono::TimeDelta;
use simdepot_domain::channel::PoolName;
use simdepot_domain::drift::DriftKind;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ReconciliationId;
use simdepot_domain::reconciliation::{Cursor, LOOK_TWICE, ReconciliationCounts};
use simdepot_persistence::drifts::{self, Drift};
use simdepot_persistence::reconciliations::{self, Reconciliation};
use simdepot_persistence::{Conn, StoreError, events, pools, profiles, stock_counts};
use tokio::time::Instant;
use uuid::Uuid;

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};
use compare::{Compared, compare};

/// How long a worker has a reconciliation for itself: longer than the carriers may take over one profile.
const LEASE: TimeDelta = TimeDelta::minutes(3);
/// Profiles per step, unless the carriers are slow.
const BATCH: usize = 10;
/// A step that has taken this long ends with the profile at hand.
const SLOW: Duration = Duration::from_secs(20);
/// Open differences shown with a reconciliation.
const SHOWN: i64 = 100;

/// A reconciliation with what differs at the moment.
#[derive(Debug, Clone)]
pub struct ReconciliationView {
    /// The reconciliation.
    pub reconciliation: Reconciliation,
    /// The oldest open differences, at most 100, whoever found them.
    pub open_drifts: Vec<(Iccid, Drift)>,
}

/// Begins to compare everything, unless that is under way: then it answers the one that is. The second value tells
/// whether an earlier request with the key asked for it. With `adopt_into`, the lines of that pool's account that the stock
/// lacks are taken into the pool.
///
/// # Errors
/// [`AppError::Invalid`] for an unknown pool; [`AppError::InvalidTransition`] when the one under way does not adopt as asked;
/// the idempotency errors.
pub async fn start(
    depot: &Depot,
    caller: &Caller,
    adopt_into: Option<PoolName>,
    key: Option<&IdempotencyKey>,
) -> Result<(ReconciliationView, bool), AppError> {
    let begun = idempotency::once(depot, caller, key, || {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        async move {
            let write = depot.write_again(move |conn| {
                let id = begin(conn, &work, adopt_into.as_ref())?;
                idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
                Ok(id)
            });
            write.await
        }
    });
    let (id, replayed) = match begun.await? {
        Once::Made(id) => (id, false),
        Once::Replayed(id) => (id.parse().map_err(|_| unreadable_record())?, true),
    };
    Ok((get(depot, id).await?, replayed))
}

fn begin(
    conn: &mut Conn<'_>,
    depot: &Depot,
    adopt_into: Option<&PoolName>,
) -> Result<ReconciliationId, AppError> {
    let (now, id) = (depot.now(), ReconciliationId::generate(depot.ids.as_ref()));
    let total = i64::try_from(stock_counts::total(conn)?).unwrap_or(i64::MAX);
    let pool = adopt_into.map(|name| pools::find(conn, name)).transpose()?.flatten();
    if adopt_into.is_some() && pool.is_none() {
        return Err(AppError::invalid("/adopt_into", "unknown", "there is no such pool"));
    }
    let pool_id = pool.map(|pool| pool.id);
    if reconciliations::insert(conn, id, total, pool_id, now)? {
        let fact = Fact::ReconciliationStarted {};
        events::append(conn, &[depot.event(now, Subject::Reconciliation(id), 1, fact)])?;
        return Ok(id);
    }
    match reconciliations::running(conn)? {
        Some(running) if pool_id.is_some() && running.adopt_pool_id != pool_id => {
            Err(AppError::InvalidTransition {
                from: running.status.to_string(),
                command: "adopt".to_owned(),
                detail: format!(
                    "{} is under way and adopts otherwise; ask again when it has ended",
                    running.id
                ),
            })
        }
        Some(running) => Ok(running.id),
        // It ended in between: decide again.
        None => Err(StoreError::RowsAffected { what: "begin reconciliation", expected: 1, actual: 0 }.into()),
    }
}

/// A reconciliation.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn get(depot: &Depot, id: ReconciliationId) -> Result<ReconciliationView, AppError> {
    depot
        .store
        .read(move |conn| {
            let reconciliation =
                reconciliations::find(conn, id)?.ok_or(AppError::NotFound { what: "reconciliation" })?;
            Ok(ReconciliationView { reconciliation, open_drifts: drifts::open(conn, SHOWN)? })
        })
        .await
}

/// A page of reconciliations, newest first, without differences.
///
/// # Errors
/// When they cannot be read.
pub async fn list(
    depot: &Depot,
    before: Option<ReconciliationId>,
    limit: i64,
) -> Result<Vec<ReconciliationView>, AppError> {
    let listed = depot.store.read(move |conn| reconciliations::list(conn, before, limit)).await?;
    let view = |reconciliation| ReconciliationView { reconciliation, open_drifts: Vec::new() };
    Ok(listed.into_iter().map(view).collect())
}

/// What a step has come to.
#[derive(Debug)]
struct Progress {
    cursor: Cursor,
    counts: ReconciliationCounts,
    /// How long to wait before the next step.
    pause: TimeDelta,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    Completed,
    Failed(String),
}

impl Progress {
    fn to(cursor: Cursor, counts: ReconciliationCounts) -> Self {
        Self { cursor, counts, pause: TimeDelta::zero(), end: None }
    }

    fn after(self, pause: TimeDelta) -> Self {
        Self { pause, ..self }
    }

    fn failed(self, problem: String) -> Self {
        Self { end: Some(End::Failed(problem)), ..self }
    }

    fn completed(self) -> Self {
        Self { end: Some(End::Completed), ..self }
    }
}

/// Does a piece of the reconciliation that is running. `false` when there is none, or another worker has it.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let due = depot.store.read(|conn| {
        let now = conn.now()?;
        reconciliations::any_due(conn, now)
    });
    if !due.await? {
        return Ok(false);
    }
    let token = depot.ids.uuid();
    let leased = depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            reconciliations::lease(conn, token, now, now + LEASE)
        })
        .await?;
    let Some(running) = leased else {
        return Ok(false);
    };
    let counts = running.counts;
    let progress = match running.cursor {
        Cursor::Fleet { account, page, tries } => {
            let adopting = fleet::Adopting { by: running.id, pool_id: running.adopt_pool_id };
            fleet::step(depot, (account, page, tries), adopting, counts).await?
        }
        Cursor::Profiles { after } => profiles_after(depot, after, counts).await?,
        Cursor::Again { after } => suspects_after(depot, after, counts).await?,
    };
    let waits = progress.pause > TimeDelta::zero();
    match record(depot, running, token, progress).await {
        Ok(()) => Ok(!waits),
        // The lease ran out and another worker has it: what was compared is compared, its counts are the other's.
        Err(error) if error.is_race() => Ok(true),
        Err(error) => Err(error),
    }
}

async fn profiles_after(
    depot: &Depot,
    mut after: i64,
    mut counts: ReconciliationCounts,
) -> Result<Progress, AppError> {
    let started = Instant::now();
    for _ in 0..BATCH {
        let next = depot.store.read(move |conn| profiles::next_after(conn, after)).await?;
        let Some(profile) = next else {
            return Ok(Progress::to(Cursor::Again { after: 0 }, counts));
        };
        let compared = compare(depot, &profile).await?;
        after = profile.id;
        add(&mut counts, &compared);
        if compared.unread {
            counts.unread += 1;
        } else {
            counts.compared += 1;
        }
        if started.elapsed() > SLOW {
            break;
        }
    }
    Ok(Progress::to(Cursor::Profiles { after }, counts))
}

/// Looks again at what was not found, once enough time has passed for a second look to say something.
async fn suspects_after(
    depot: &Depot,
    after: i64,
    mut counts: ReconciliationCounts,
) -> Result<Progress, AppError> {
    let (next, now) = depot
        .store
        .read(move |conn| {
            let next = drifts::next_suspect(conn, after)?;
            let profile = next.map(|(id, since)| Ok::<_, StoreError>((profiles::get(conn, id)?, since)));
            Ok::<_, AppError>((profile.transpose()?, conn.now()?))
        })
        .await?;
    let Some((profile, since)) = next else {
        return Ok(Progress::to(Cursor::Again { after }, counts).completed());
    };
    let wait = LOOK_TWICE - (now - since);
    if wait > TimeDelta::zero() {
        return Ok(Progress::to(Cursor::Again { after }, counts).after(wait));
    }
    let mut compared = compare(depot, &profile).await?;
    // Everything else was counted the first time.
    compared.found.retain(|kind| matches!(kind, DriftKind::MissingBundle | DriftKind::UnknownToCarrier));
    compared.healed = compared.healed.min(u64::try_from(compared.found.len()).unwrap_or_default());
    add(&mut counts, &compared);
    if compared.unread {
        counts.compared = counts.compared.saturating_sub(1);
        counts.unread += 1;
    }
    Ok(Progress::to(Cursor::Again { after: profile.id }, counts))
}

fn add(counts: &mut ReconciliationCounts, compared: &Compared) {
    counts.drifts += u64::try_from(compared.found.len()).unwrap_or_default();
    counts.healed += compared.healed;
}

async fn record(
    depot: &Depot,
    running: Reconciliation,
    token: Uuid,
    progress: Progress,
) -> Result<(), AppError> {
    let work = depot.clone();
    depot
        .store
        .write(move |conn| {
            let Progress { cursor, counts, pause, end } = progress;
            let free_at = conn.now()? + pause;
            reconciliations::progress(conn, running.id, token, cursor, &counts, free_at)?;
            let Some(end) = end else {
                return Ok(());
            };
            let now = work.now();
            let problem = match &end {
                End::Completed => None,
                End::Failed(problem) => Some(problem.as_str()),
            };
            let version = reconciliations::finish(conn, &running, token, problem, now)?;
            tracing::info!(reconciliation = %running.id, ?counts, problem, "reconciliation ended");
            let ReconciliationCounts { compared, unread, drifts, healed, .. } = counts;
            let adopted = running.adopt_pool_id.map(|_| counts.adopted);
            let fact = match end {
                End::Completed => Fact::ReconciliationCompleted { compared, unread, drifts, healed, adopted },
                End::Failed(reason) => Fact::ReconciliationFailed { reason },
            };
            events::append(conn, &[work.event(now, Subject::Reconciliation(running.id), version, fact)])?;
            Ok(())
        })
        .await
}
