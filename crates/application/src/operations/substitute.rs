//! A profile that cannot be sold for the first time leaves its place in the order, and another takes it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::{Concern, Refusal};
use simdepot_domain::channel::PoolName;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::{OperationStatus, OperationStep};
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::pool::MAX_SUBSTITUTIONS;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{StockCommand, StockStatus, apply};
use simdepot_persistence::allocations::{self, Allocation, Claim, Claimed, NewAllocation};
use simdepot_persistence::bundles::{self, BundleChange};
use simdepot_persistence::operations::{self, Lease, Operation, OperationChange};
use simdepot_persistence::orders::Order;
use simdepot_persistence::pools::{self, Pool};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, orders};
use uuid::Uuid;

use super::cancel::being_cancelled;
use super::outcome::{Proof, give_back};
use super::writes::{change_bundle, change_operation, problem, roll_up_order, signal, step};
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::{self, Sightings};
use crate::orders::{Goods, OnProfile};
use crate::stock_watch;

/// What becomes of a profile that leaves its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// It is not to be sold as it is.
    SetAside(QuarantineReason),
    /// Nothing speaks against it yet but the carrier's refusal, which may not be its fault.
    BackOnSale,
}

impl Leaves {
    /// Counts a substitution, once it is written.
    pub(crate) fn count(self) {
        let reason = self.reason().to_string();
        metrics::counter!("simdepot_substitutions_total", "reason" => reason).increment(1);
    }

    fn reason(self) -> QuarantineReason {
        match self {
            Self::SetAside(reason) => reason,
            Self::BackOnSale => QuarantineReason::RefusedByCarrier,
        }
    }
}

/// Sets the profile of a leased operation aside and puts another in its place; when none is left, or this was the
/// last try, that place of the order fails.
///
/// # Errors
/// When the store refuses.
pub(super) async fn set_aside(
    depot: &Depot,
    lease: Lease,
    reason: QuarantineReason,
    seen: Sightings,
    refusal: Option<Refusal>,
) -> Result<(), AppError> {
    let refusal = refusal.unwrap_or_else(|| unsellable(reason));
    substitute(depot, lease, Leaves::SetAside(reason), seen, refusal).await
}

/// A profile that is not fresh, in the words of a refusal.
pub(super) fn unsellable(reason: QuarantineReason) -> Refusal {
    Refusal {
        code: reason.to_string(),
        detail: Some("the profile cannot be sold for the first time".to_owned()),
        concerns: Concern::Profile,
    }
}

/// Puts another profile in the place of one for which the carrier refused what was sent, without saying that it is to
/// blame. It is back on sale until another one shows that it was ([`set_refused_aside`]); when the carrier refuses
/// those as well, it is the request that is wrong, and no stock is lost over it.
///
/// # Errors
/// When the store refuses.
pub(super) async fn try_another(
    depot: &Depot,
    lease: Lease,
    seen: Sightings,
    refusal: Refusal,
) -> Result<(), AppError> {
    substitute(depot, lease, Leaves::BackOnSale, seen, refusal).await
}

async fn substitute(
    depot: &Depot,
    lease: Lease,
    leaves: Leaves,
    seen: Sightings,
    refusal: Refusal,
) -> Result<(), AppError> {
    let (work, operation) = (depot.clone(), lease.operation.clone());
    leaves.count();
    depot
        .write_again(move |conn| {
            let (operation, token) = (&lease.operation, Some(lease.token));
            let leaving = Leaving { operation, token, leaves, seen: &seen, refusal: &refusal };
            leaving.substitute(conn, &work)
        })
        .await?;
    depot.signals.sold();
    signal(depot, &operation);
    Ok(())
}

/// A profile about to leave its place in an order.
pub(crate) struct Leaving<'a> {
    /// Its refused operation.
    pub(crate) operation: &'a Operation,
    /// The lease that it is under, if any.
    pub(crate) token: Option<Uuid>,
    /// What becomes of it.
    pub(crate) leaves: Leaves,
    /// What was read of it.
    pub(crate) seen: &'a Sightings,
    /// Why.
    pub(crate) refusal: &'a Refusal,
}

impl Leaving<'_> {
    /// Refuses the operation and puts another profile in the place, in the caller's transaction; when none is left, or
    /// this was the last try, that place of the order fails.
    ///
    /// # Errors
    /// When the store refuses; a race when the operation changed in between.
    pub(crate) fn substitute(&self, conn: &mut Conn<'_>, depot: &Depot) -> Result<(), AppError> {
        let Leaving { operation, token, leaves, seen, refusal } = *self;
        let now = conn.now()?;
        let cancelled = being_cancelled(conn, operation)?;
        let profile = profiles::get(conn, operation.profile_id)?;
        let profile = observations::learn(conn, depot, profile, seen, now)?;
        let why = problem(refusal)?;
        let change = OperationChange {
            problem: Some(why.clone()),
            ..OperationChange::to(step(operation, OperationStep::Refuse)?)
        };
        let code = Some(refusal.code.clone());
        // The lease is the first to be asked: whoever lost it finds the place ended, and that is a race, not an error.
        change_operation(conn, depot, operation, token, &change, &profile.iccid, code, now)?;
        let allocation =
            allocations::live_of(conn, profile.id)?.ok_or(AppError::NotFound { what: "allocation" })?;
        let refused = BundleChange { status: Some(BundleStatus::Refused), ..BundleChange::default() };
        change_bundle(conn, depot, operation, &refused, &profile.iccid, now)?;
        if let Leaves::SetAside(reason) = leaves {
            move_aside(conn, depot, &profile, reason, &allocation, now)?;
        }

        // Whether another profile takes the place decides how the old one is remembered.
        let tried = tried(conn, &allocation)?;
        let goods = Goods::of_operation(&operation.request);
        let place = Place { allocation: &allocation, pool_id: profile.pool_id, goods };
        // An order that is being taken back needs no other profile.
        let by = if u32::try_from(tried.len()).is_ok_and(|tried| tried < MAX_SUBSTITUTIONS) && !cancelled {
            place.refill(conn, depot, &tried, now)?.taken()
        } else {
            None
        };
        let outcome = if by.is_some() { ProfileOutcome::Substituted } else { ProfileOutcome::Failed };
        allocations::end(conn, allocation.id, outcome, now)?;
        // Only now, so that the place is not filled with the same profile again.
        if leaves == Leaves::BackOnSale {
            give_back(conn, depot, &profile, operation, Proof::SurelyNothing, now)?;
        }
        record_substitution(
            conn,
            depot,
            &allocation,
            profile.iccid.clone(),
            by.clone(),
            leaves.reason(),
            now,
        )?;
        roll_up_order(conn, depot, operation, by.is_none().then_some(why), now)
    }
}

/// Sets the profiles aside that the carrier refused in the place of an operation that is done now: it took another one
/// for the same product, so they were to blame. The caller holds the order's lock.
///
/// # Errors
/// When the store refuses; a race when one was moved in between.
pub(crate) fn set_refused_aside(
    conn: &mut Conn<'_>,
    depot: &Depot,
    done: &Operation,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let (Some(order), Some(place)) = (done.order, done.allocation_id) else {
        return Ok(());
    };
    let of_order = allocations::of_order(conn, order)?;
    let Some(place) = of_order.iter().find(|allocation| allocation.id == place) else {
        return Ok(());
    };
    let on_place = |other: &&Allocation| other.line_no == place.line_no && other.position == place.position;
    // What was refused before a person had it tried again says nothing any more: something was mended in between.
    let decided = of_order.iter().filter(on_place).filter(|other| other.decided).map(|other| other.id).max();
    let before: BTreeSet<i64> = of_order
        .iter()
        .filter(on_place)
        .filter(|other| other.outcome == ProfileOutcome::Substituted && Some(other.id) > decided)
        .map(|other| other.id)
        .collect();
    if before.is_empty() {
        return Ok(());
    }
    for sent in operations::of_order(conn, order)? {
        let here = sent.allocation_id.is_some_and(|allocation| before.contains(&allocation));
        if !here || !was_not_accepted(&sent) {
            continue;
        }
        let mut profile = profiles::get(conn, sent.profile_id)?;
        // Wherever else it went meanwhile, the same will be found out there.
        if profile.stock_status == StockStatus::Available {
            stock_watch::set_aside(conn, depot, &mut profile, QuarantineReason::RefusedByCarrier, now)?;
        }
    }
    Ok(())
}

/// Whether the carrier refused what was sent without saying what is wrong with it.
fn was_not_accepted(operation: &Operation) -> bool {
    let refusal = operation.problem.clone().and_then(|why| serde_json::from_value::<Refusal>(why).ok());
    operation.status == OperationStatus::Refused
        && refusal.is_some_and(|refusal| matches!(refusal.concerns, Concern::Request | Concern::LineStatus))
}

/// The profiles of this place that were substituted already, since the last one that was sold on it.
fn tried(conn: &mut Conn<'_>, allocation: &Allocation) -> Result<Vec<i64>, AppError> {
    let of_order = allocations::of_order(conn, allocation.order)?;
    let sent = operations::of_order(conn, allocation.order)?;
    let sold = replaced(&of_order, &sent);
    // By age, newest first: what lies before a profile that was sold here, or before a person's decision to try again,
    // belongs to the place's earlier life.
    let tried = of_order
        .iter()
        .rev()
        .filter(|other| other.line_no == allocation.line_no && other.position == allocation.position)
        .filter(|other| other.outcome == ProfileOutcome::Substituted)
        .take_while(|other| !sold.contains(&other.id) && !other.decided);
    Ok(tried.map(|other| other.profile_id).collect())
}

/// The allocations of an order whose profile was sold and replaced later, told from those that were substituted before
/// they could be sold: nothing had to be placed on them, or it was placed.
pub(crate) fn replaced(of_order: &[Allocation], sent: &[Operation]) -> BTreeSet<i64> {
    let unsold: BTreeSet<i64> = sent
        .iter()
        .filter(|operation| operation.status != OperationStatus::Done)
        .filter_map(|operation| operation.allocation_id)
        .collect();
    of_order
        .iter()
        .filter(|allocation| allocation.outcome == ProfileOutcome::Substituted)
        .map(|allocation| allocation.id)
        .filter(|id| !unsold.contains(id))
        .collect()
}

fn move_aside(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    reason: QuarantineReason,
    allocation: &Allocation,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let transition = apply(profile.stock_state(), StockCommand::Substitute, now)
        .map_err(|error| AppError::Internal(error.to_string()))?;
    let version = profiles::move_stock(conn, profile, transition, Some(reason), now)?;
    let (from, to, order, quarantine) =
        (transition.from, transition.to, Some(allocation.order), Some(reason));
    let fact = Fact::StockMoved { from, to, order, hold: None, quarantine, reason: None };
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    Ok(())
}

/// A place of an order that needs another profile.
pub(crate) struct Place<'a> {
    /// The one that leaves it.
    pub(crate) allocation: &'a Allocation,
    /// The pool to take from.
    pub(crate) pool_id: i64,
    /// What is sold on it.
    pub(crate) goods: Goods,
}

/// Whether another profile was found.
pub(crate) enum Refilled {
    /// This one took the place.
    By(Iccid),
    /// The pool has none to sell.
    OutOfStock {
        /// Which.
        pool: PoolName,
        /// How many could be sold.
        available: u64,
    },
}

impl Refilled {
    fn taken(self) -> Option<Iccid> {
        match self {
            Self::By(iccid) => Some(iccid),
            Self::OutOfStock { .. } => None,
        }
    }
}

impl Place<'_> {
    /// Takes another profile of the pool for the place, none of those that were `tried`, with its own bundle and
    /// operation. The caller holds the order's lock.
    ///
    /// # Errors
    /// When the store refuses.
    pub(crate) fn refill(
        &self,
        conn: &mut Conn<'_>,
        depot: &Depot,
        tried: &[i64],
        now: DateTime<Utc>,
    ) -> Result<Refilled, AppError> {
        let pool = pools::get(conn, self.pool_id)?;
        let claimed = match claim_other(conn, &pool, tried, now)? {
            Ok(claimed) => claimed,
            Err(available) => {
                return Ok(Refilled::OutOfStock { pool: pool.settings.pool, available });
            }
        };
        let order = orders::find(conn, self.allocation.order)?.ok_or(AppError::NotFound { what: "order" })?;
        self.hand_over(conn, depot, &order, &pool, &claimed, now).map(Refilled::By)
    }

    /// Puts a claimed profile on the place, with its own bundle and operation. The caller holds the order's lock.
    ///
    /// # Errors
    /// When the store refuses.
    pub(crate) fn hand_over(
        &self,
        conn: &mut Conn<'_>,
        depot: &Depot,
        order: &Order,
        pool: &Pool,
        claimed: &Claimed,
        now: DateTime<Utc>,
    ) -> Result<Iccid, AppError> {
        let iccid = claimed.iccid.clone();
        let new = NewAllocation {
            profile: claimed.clone(),
            line_no: self.allocation.line_no,
            position: self.allocation.position,
            outcome: self.goods.outcome(),
        };
        let rows = allocations::allocate(conn, order.id, &[new], false, now)?;
        let allocation_id = rows.first().copied().ok_or(AppError::NotFound { what: "allocation" })?;
        let (from, to) = (StockStatus::Available, StockStatus::Allocated);
        let moved =
            Fact::StockMoved { from, to, order: Some(order.id), hold: None, quarantine: None, reason: None };
        let mut facts = vec![depot.event(now, Subject::Profile(iccid.clone()), claimed.version + 1, moved)];
        let place = OnProfile { order, pool, profile_id: claimed.id, allocation_id: Some(allocation_id) };
        if let Some(made) = place.make(&self.goods, depot, now) {
            facts.extend(made.events(depot, &iccid, now));
            bundles::insert_many(conn, &made.bundle.into_iter().collect::<Vec<_>>())?;
            // Due by the clock that the workers go by.
            let due = conn.now()?;
            operations::insert_many(conn, &[made.operation], due)?;
        }
        events::append(conn, &facts)?;
        Ok(iccid)
    }
}

/// Claims the first profile of a pool that was not tried, or tells how many could be sold. Those that were tried may be
/// on sale again, at the head of the pool: as many more are claimed as there are of them, and left.
fn claim_other(
    conn: &mut Conn<'_>,
    pool: &Pool,
    tried: &[i64],
    now: DateTime<Utc>,
) -> Result<Result<Claimed, u64>, AppError> {
    let most = u32::try_from(tried.len()).unwrap_or(u32::MAX).saturating_add(1);
    for quantity in 1..=most {
        match allocations::claim(conn, pool, quantity, now)? {
            Claim::Taken(claimed) => {
                if let Some(other) = claimed.into_iter().find(|claimed| !tried.contains(&claimed.id)) {
                    return Ok(Ok(other));
                }
            }
            Claim::OutOfStock { available } => return Ok(Err(available)),
        }
    }
    Err(AppError::Internal("a claim gave fewer profiles than it said".to_owned()))
}

fn record_substitution(
    conn: &mut Conn<'_>,
    depot: &Depot,
    allocation: &Allocation,
    out: Iccid,
    by: Option<Iccid>,
    reason: QuarantineReason,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let order = orders::lock(conn, allocation.order)?;
    let version = orders::set_status(conn, &order, order.status, order.problem.as_ref(), now)?;
    let fact = Fact::ProfileSubstituted { out, by, reason };
    events::append(conn, &[depot.event(now, Subject::Order(order.id), version, fact)])?;
    Ok(())
}
