//! Taking orders back.
//!
//! A request marks the order; from then on nothing of it is sent and no code of it is revealed. Each of its profiles is
//! decided on by itself, by the request that asked and by a background step, in any number of processes: what waits for
//! a worker is taken back, what is in flight comes to its end first, and then the carrier is asked. A profile goes back
//! on sale only with the whole proof that nobody can have used it; else it is set aside. When the last one has left, the
//! order is cancelled.
//!
//! The carrier is asked outside transactions, so the decision is bound to the profile's version: what happened to it
//! in between makes it decide again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::OrderId;
use simdepot_domain::operation::{Lane, OperationStatus};
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{ReturnProof, StockCommand, StockStatus, Transition, apply};
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::cancellations::{self, Place};
use simdepot_persistence::operations::Operation;
use simdepot_persistence::orders::Order;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, allocations, events, operations, orders, pools};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::carrier_view::{self, CarrierView};
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once};
use crate::observations;
use crate::operations::cancel_pending;
use crate::orders::{OrderView, own, read, roll_up};

/// Profiles decided on in one step: each asks the carrier two or three times.
const BATCH: i64 = 20;
/// How long the request itself tries when it does not want to wait.
const FIRST_TRY: Duration = Duration::from_secs(2);
/// How often a profile that changes under the decision is decided on again within one step.
const LOOKS: usize = 4;

/// An order as its cancellation left it.
#[derive(Debug)]
pub struct Cancelled {
    /// The order: cancelled, or with something still in flight.
    pub order: OrderView,
    /// Whether an earlier request with the key had asked.
    pub replayed: bool,
}

/// Takes an order of the caller's channel back, and waits up to `wait` until nothing of it is in flight. It goes on when
/// the caller goes away.
///
/// # Errors
/// [`AppError::NotFound`], also for another channel's order; [`AppError::InvalidTransition`] for one that failed: there
/// is nothing to take back.
pub async fn cancel(
    depot: &Depot,
    caller: &Caller,
    id: OrderId,
    reason: Option<String>,
    key: Option<&IdempotencyKey>,
    wait: Duration,
) -> Result<Cancelled, AppError> {
    let asked = idempotency::once(depot, caller, key, || {
        let (work, caller, key, reason) = (depot.clone(), caller.clone(), key.cloned(), reason.clone());
        async move {
            let write = depot.write_again(move |conn| {
                if request(conn, &work, &caller, id, reason.clone())? {
                    idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
                }
                Ok(())
            });
            write.await
        }
    });
    let replayed = matches!(asked.await?, Once::Replayed(_));
    settle(depot, id, wait).await?;
    Ok(Cancelled { order: read(depot, caller, id).await?, replayed })
}

/// Marks the order. `false` when that was done before.
fn request(
    conn: &mut Conn<'_>,
    depot: &Depot,
    caller: &Caller,
    id: OrderId,
    reason: Option<String>,
) -> Result<bool, AppError> {
    own(conn, &caller.channel, id)?;
    let order = orders::lock(conn, id)?;
    match order.status {
        OrderStatus::Cancelled => return Ok(false),
        OrderStatus::Failed => {
            return Err(AppError::InvalidTransition {
                from: order.status.to_string(),
                command: "cancel".to_owned(),
                detail: format!("order {id} has failed: nothing of it was delivered"),
            });
        }
        OrderStatus::InProgress | OrderStatus::Fulfilled | OrderStatus::NeedsAttention => {}
    }
    if order.cancelling_since.is_some() {
        return Ok(false);
    }
    let now = conn.now()?;
    let version = cancellations::begin(conn, &order, now)?;
    let fact = Fact::OrderCancelRequested { reason };
    events::append(conn, &[depot.event(now, Subject::Order(id), version, fact)])?;
    tracing::info!(order = %id, "the order is being taken back");
    roll_up(conn, depot, id, None, now)?;
    Ok(true)
}

/// Decides on what can be decided until the order is cancelled or `wait` is over; tries at least once, but not for long.
async fn settle(depot: &Depot, id: OrderId, wait: Duration) -> Result<(), AppError> {
    let deadline = Instant::now() + wait.max(FIRST_TRY);
    let look = || async {
        // Cut off where it waits for the carrier, never in a transaction: the background step goes on.
        if let Ok(tried) = tokio::time::timeout_at(deadline, advance(depot, Some(id))).await {
            tried?;
        }
        let order = depot.store.read(move |conn| orders::find(conn, id)).await?;
        Ok::<_, AppError>(order.filter(|order| order.cancelling_since.is_none()))
    };
    depot.signals.wait_for(id.0, wait, look).await?;
    Ok(())
}

/// Decides on some profiles of orders that are being taken back. `false` when none could be decided on now.
///
/// # Errors
/// When the store cannot be asked. A carrier that cannot be asked proves nothing, and is no error.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    advance(depot, None).await
}

/// Decides on up to [`BATCH`] profiles. Those that could not be decided are passed over, so that however many of them
/// there are, those behind them have their turn.
async fn advance(depot: &Depot, order: Option<OrderId>) -> Result<bool, AppError> {
    let (mut decided, mut passed) = (0, 0);
    loop {
        let left = BATCH - decided;
        let places =
            depot.store.read(move |conn| cancellations::decidable(conn, order, passed, left)).await?;
        let was_last = i64::try_from(places.len()).is_ok_and(|found| found < left);
        for place in places {
            if try_to_decide(depot, place).await? {
                decided += 1;
            } else {
                passed += 1;
            }
        }
        if was_last || decided >= BATCH {
            return Ok(decided > 0);
        }
    }
}

async fn try_to_decide(depot: &Depot, place: Place) -> Result<bool, AppError> {
    match decide(depot, place).await {
        Err(error) if !error.is_outage() => {
            // Whatever is wrong with this one, the others must not wait behind it.
            let (order, profile) = (place.order, place.profile_id);
            tracing::error!(%order, profile, %error, "a profile of a cancelled order cannot be decided on");
            Ok(false)
        }
        tried => tried,
    }
}

/// What is known of a profile before the carrier is asked.
struct Known {
    profile: Profile,
    pool: PoolSettings,
    bundles: Vec<Bundle>,
    /// A sending whose answer was lost may still be carried out, however often nothing of it was seen.
    answer_lost: bool,
    /// It was sold with a subscription, which the carrier has.
    activated: bool,
    /// It has no line before its subscription is activated, and nothing was ever sent for it.
    untouched: bool,
}

impl Known {
    fn read(conn: &mut Conn<'_>, profile_id: i64) -> Result<Self, AppError> {
        let profile = profiles::get(conn, profile_id)?;
        let pool = pools::get(conn, profile.pool_id)?.settings;
        let bundles = bundles::of_profile(conn, profile_id)?;
        let operations = operations::of_profile(conn, profile_id)?;
        let answer_lost = operations.iter().any(|operation| operation.answer_lost);
        let activated = operations.iter().any(Operation::has_subscribed);
        let untouched =
            pool.activation.is_some() && operations.iter().all(|operation| operation.attempts == 0);
        Ok(Self { profile, pool, bundles, answer_lost, activated, untouched })
    }

    /// Whether the own records say already that it must not be sold again: then nobody needs to be asked.
    fn speaks_against(&self) -> bool {
        let profile = &self.profile;
        profile.revealed_at.is_some()
            || profile.eid.is_some()
            || profile.esim.as_ref().is_some_and(|esim| esim.status.was_downloaded())
            || self.answer_lost
            || self.activated
            || self.bundles.iter().any(may_be_at_carrier)
    }

    /// The proof that it may be sold again, from the own records as they are in this transaction and from what the
    /// carrier said before it.
    fn proof(&self, view: &CarrierView) -> ReturnProof {
        let profile = &self.profile;
        let on_a_device =
            profile.eid.is_some() || profile.esim.as_ref().is_some_and(|esim| esim.status.was_downloaded());
        let (line, esim) = (view.seen.line.as_ref(), view.seen.esim.as_ref());
        let unused = view.complete && self.pool.proves_unused(profile.form_factor, line, esim);
        ReturnProof {
            never_revealed: profile.revealed_at.is_none(),
            never_downloaded: (unused || (self.untouched && profile.revealed_at.is_none())) && !on_a_device,
            no_bundle: (self.untouched || view.bundles.as_ref().is_some_and(Vec::is_empty))
                && !self.answer_lost
                && !self.activated
                && !self.bundles.iter().any(may_be_at_carrier),
        }
    }
}

/// Whether the carrier has, or had, a bundle by the own records. What waits for a worker is taken back with it.
fn may_be_at_carrier(bundle: &Bundle) -> bool {
    bundle.subscription_id.is_some()
        || match bundle.status {
            BundleStatus::Ordering | BundleStatus::Refused | BundleStatus::Terminated => false,
            BundleStatus::Preloaded
            | BundleStatus::Ready
            | BundleStatus::Scheduled
            | BundleStatus::Active
            | BundleStatus::Exhausted
            | BundleStatus::Expired
            | BundleStatus::Unknown => true,
        }
}

/// Decides on one profile. `false` when it could not be: something of it is in flight after all.
async fn decide(depot: &Depot, place: Place) -> Result<bool, AppError> {
    for _ in 0..LOOKS {
        let known = depot.store.read(move |conn| Known::read(conn, place.profile_id)).await?;
        let view = if known.speaks_against() {
            CarrierView::default()
        } else {
            carrier_view::look(depot, &known.pool.carrier_account, &known.profile, false).await
        };
        let (work, version) = (depot.clone(), known.profile.version);
        match depot.store.write(move |conn| give_back(conn, &work, place, version, &view)).await {
            Ok(Decided::Yes(to)) => {
                metrics::counter!("simdepot_returns_total", "to" => to.to_string()).increment(1);
                depot.signals.changed(place.order.0);
                return Ok(true);
            }
            Ok(Decided::ByOthers) => return Ok(true),
            Ok(Decided::NotYet) => return Ok(false),
            Err(error) if error.is_race() => {
                tracing::debug!(order = %place.order, %error, "a profile changed under the decision; deciding again");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// How a decision ended.
enum Decided {
    /// The profile went there.
    Yes(StockStatus),
    /// Somebody else had decided.
    ByOthers,
    /// Something of it is in flight.
    NotYet,
}

/// The decision: one transaction, under the order's lock and the version that the profile had before the carrier was
/// asked.
fn give_back(
    conn: &mut Conn<'_>,
    depot: &Depot,
    place: Place,
    version: i64,
    view: &CarrierView,
) -> Result<Decided, AppError> {
    let now = conn.now()?;
    let order = orders::lock(conn, place.order)?;
    let live = allocations::live_of(conn, place.profile_id)?;
    let is_live = live.is_some_and(|live| live.id == place.allocation_id);
    if order.cancelling_since.is_none() || !is_live {
        return Ok(Decided::ByOthers);
    }
    let profile = profiles::lock(conn, place.profile_id)?;
    if profile.version != version {
        return Err(changed());
    }
    if let Some(operation) = operations::open_of(conn, profile.id)? {
        // What waits to be sent again after its answer was lost is its worker's to end, with one more look at the carrier:
        // a person's word that nothing was taken may have come while the write was on its way.
        // A command to the line is not the order's to take back: it comes to its end first.
        let is_sale = operation.request.lane() == Lane::Sale || operation.order == Some(order.id);
        if operation.status != OperationStatus::Pending || operation.answer_lost || !is_sale {
            return Ok(Decided::NotYet);
        }
        cancel_pending(conn, depot, &operation, None, &profile.iccid, now)?;
    }
    observations::learn(conn, depot, profile, &view.seen, now)?;
    // Read again with everything that was written until here.
    let known = Known::read(conn, place.profile_id)?;
    let transition = move_back(conn, depot, &known, view, &order, now)?;
    allocations::end(conn, place.allocation_id, ProfileOutcome::Cancelled, now)?;
    roll_up(conn, depot, order.id, None, now)?;
    Ok(Decided::Yes(transition.to))
}

fn move_back(
    conn: &mut Conn<'_>,
    depot: &Depot,
    known: &Known,
    view: &CarrierView,
    order: &Order,
    now: DateTime<Utc>,
) -> Result<Transition, AppError> {
    let profile = &known.profile;
    let transition = apply(profile.stock_state(), StockCommand::Return(known.proof(view)), now)
        .map_err(|error| AppError::Internal(error.to_string()))?;
    let quarantine =
        (transition.to == StockStatus::Quarantined).then_some(QuarantineReason::ReturnedUnproven);
    let version = profiles::move_stock(conn, profile, transition, quarantine, now)?;
    let (from, to) = (transition.from, transition.to);
    let fact = Fact::StockMoved { from, to, order: Some(order.id), hold: None, quarantine, reason: None };
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    Ok(transition)
}

fn changed() -> AppError {
    AppError::Store(simdepot_persistence::StoreError::RowsAffected {
        what: "take a profile back as it was read",
        expected: 1,
        actual: 0,
    })
}
