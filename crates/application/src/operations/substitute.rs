//! A profile that cannot be sold for the first time is set aside, and another takes its place in the order.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::{Concern, Refusal};
use simdepot_domain::channel::PoolName;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::{OperationRequest, OperationStatus, OperationStep};
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::pool::MAX_SUBSTITUTIONS;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{StockCommand, StockStatus, apply};
use simdepot_persistence::allocations::{self, Allocation, Claim, Claimed, NewAllocation};
use simdepot_persistence::bundles::{self, BundleChange};
use simdepot_persistence::operations::{self, Lease, Operation, OperationChange};
use simdepot_persistence::orders::Order;
use simdepot_persistence::pools::Pool;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, orders, pools};

use super::cancel::being_cancelled;
use super::writes::{change_bundle, change_operation, problem, roll_up_order, signal, step};
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::{self, Sightings};
use crate::orders::BundleOnProfile;

/// Sets the profile of a leased operation aside and puts another in its place; when none is left, or this was the
/// last try, that place of the order fails.
///
/// # Errors
/// When the store refuses.
pub(super) async fn substitute(
    depot: &Depot,
    lease: Lease,
    reason: QuarantineReason,
    seen: Sightings,
    refusal: Option<Refusal>,
) -> Result<(), AppError> {
    let (work, operation) = (depot.clone(), lease.operation.clone());
    let refusal = refusal.unwrap_or_else(|| Refusal {
        code: reason.to_string(),
        detail: Some("the profile cannot be sold for the first time".to_owned()),
        concerns: Concern::Profile,
    });
    metrics::counter!("simdepot_substitutions_total", "reason" => reason.to_string()).increment(1);
    depot.write_again(move |conn| swap(conn, &work, &lease, reason, &seen, &refusal)).await?;
    depot.signals.work.notify_one();
    signal(depot, &operation);
    Ok(())
}

fn swap(
    conn: &mut Conn<'_>,
    depot: &Depot,
    lease: &Lease,
    reason: QuarantineReason,
    seen: &Sightings,
    refusal: &Refusal,
) -> Result<(), AppError> {
    let now = conn.now()?;
    let operation = &lease.operation;
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
    change_operation(conn, depot, operation, Some(lease.token), &change, &profile.iccid, code, now)?;
    let allocation =
        allocations::live_of(conn, profile.id)?.ok_or(AppError::NotFound { what: "allocation" })?;
    let refused = BundleChange { status: Some(BundleStatus::Refused), ..BundleChange::default() };
    change_bundle(conn, depot, operation, &refused, &profile.iccid, now)?;
    set_aside(conn, depot, &profile, reason, &allocation, now)?;

    // The place is left before another profile takes it; whether one does decides how the old one is remembered.
    let tries = tried(conn, &allocation)?;
    let OperationRequest::PlaceBundle { product, .. } = &operation.request;
    let place = Place { allocation: &allocation, pool_id: profile.pool_id, product: Some(product) };
    // An order that is being taken back needs no other profile.
    let by =
        if tries < MAX_SUBSTITUTIONS && !cancelled { place.refill(conn, depot, now)?.taken() } else { None };
    let outcome = if by.is_some() { ProfileOutcome::Substituted } else { ProfileOutcome::Failed };
    allocations::end(conn, allocation.id, outcome, now)?;
    record_substitution(conn, depot, &allocation, profile.iccid.clone(), by.clone(), reason, now)?;
    roll_up_order(conn, depot, operation, by.is_none().then_some(why), now)
}

/// How many profiles of this place were substituted already, since the last one that was sold on it.
fn tried(conn: &mut Conn<'_>, allocation: &Allocation) -> Result<u32, AppError> {
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
    Ok(u32::try_from(tried.count()).unwrap_or(u32::MAX))
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

fn set_aside(
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
    /// What is to be placed on it; a profile without product is handed over at once.
    pub(crate) product: Option<&'a str>,
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
    /// Takes another profile of the pool for the place, with its own bundle and operation. The caller holds the order's
    /// lock.
    ///
    /// # Errors
    /// When the store refuses.
    pub(crate) fn refill(
        &self,
        conn: &mut Conn<'_>,
        depot: &Depot,
        now: DateTime<Utc>,
    ) -> Result<Refilled, AppError> {
        let pool = pools::get(conn, self.pool_id)?;
        let claimed = match allocations::claim(conn, &pool, 1, now)? {
            Claim::Taken(mut claimed) => claimed.pop(),
            Claim::OutOfStock { available } => {
                return Ok(Refilled::OutOfStock { pool: pool.settings.pool, available });
            }
        };
        let claimed = claimed
            .ok_or_else(|| AppError::Internal("a claim gave fewer profiles than it said".to_owned()))?;
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
            outcome: match self.product {
                Some(_) => ProfileOutcome::Pending,
                None => ProfileOutcome::Fulfilled,
            },
        };
        let rows = allocations::allocate(conn, order.id, &[new], false, now)?;
        let allocation_id = rows.first().copied().ok_or(AppError::NotFound { what: "allocation" })?;
        let (from, to) = (StockStatus::Available, StockStatus::Allocated);
        let moved =
            Fact::StockMoved { from, to, order: Some(order.id), hold: None, quarantine: None, reason: None };
        let mut facts = vec![depot.event(now, Subject::Profile(iccid.clone()), claimed.version + 1, moved)];
        if let Some(product) = self.product {
            let made = BundleOnProfile { order, pool, product, profile_id: claimed.id, allocation_id }
                .make(depot, now);
            facts.extend(made.events(depot, &iccid, now));
            bundles::insert_many(conn, &[made.bundle])?;
            // Due by the clock that the workers go by.
            let due = conn.now()?;
            operations::insert_many(conn, &[made.operation], due)?;
        }
        events::append(conn, &facts)?;
        Ok(iccid)
    }
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
