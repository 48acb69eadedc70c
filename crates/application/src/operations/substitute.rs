//! A profile that cannot be sold for the first time is set aside, and another takes its place in the order.

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::{Concern, Refusal};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::{OperationRequest, OperationStep};
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::pool::MAX_SUBSTITUTIONS;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{StockCommand, StockStatus, apply};
use simdepot_persistence::allocations::{self, Allocation, Claim, NewAllocation};
use simdepot_persistence::bundles::{self, BundleChange};
use simdepot_persistence::operations::{self, Lease, OperationChange};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, orders, pools};

use super::writes::{change_bundle, change_operation, lock_order, problem, roll_up_order, signal, step};
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
    lock_order(conn, operation)?;
    let profile = profiles::get(conn, operation.profile_id)?;
    let profile = observations::learn(conn, depot, profile, seen, now)?;
    let allocation =
        allocations::live_of(conn, profile.id)?.ok_or(AppError::NotFound { what: "allocation" })?;

    let why = problem(refusal)?;
    let change = OperationChange {
        problem: Some(why.clone()),
        ..OperationChange::to(step(operation, OperationStep::Refuse)?)
    };
    let code = Some(refusal.code.clone());
    change_operation(conn, depot, operation, Some(lease.token), &change, &profile.iccid, code, now)?;
    let refused = BundleChange { status: Some(BundleStatus::Refused), ..BundleChange::default() };
    change_bundle(conn, depot, operation, &refused, &profile.iccid, now)?;
    set_aside(conn, depot, &profile, reason, &allocation, now)?;

    // The place is left before another profile takes it; whether one does decides how the old one is remembered.
    let tries = tried(conn, &allocation)?;
    let OperationRequest::PlaceBundle { product, .. } = &operation.request;
    let place = Place { allocation: &allocation, profile: &profile, product };
    let by = if tries < MAX_SUBSTITUTIONS { place.refill(conn, depot, now)? } else { None };
    let outcome = if by.is_some() { ProfileOutcome::Substituted } else { ProfileOutcome::Failed };
    allocations::end(conn, allocation.id, outcome, now)?;
    record_substitution(conn, depot, &allocation, profile.iccid.clone(), by.clone(), reason, now)?;
    roll_up_order(conn, depot, operation, by.is_none().then_some(why), now)
}

/// How many profiles of this place were substituted already.
fn tried(conn: &mut Conn<'_>, allocation: &Allocation) -> Result<u32, AppError> {
    let before = allocations::of_order(conn, allocation.order)?;
    let same_place = before.iter().filter(|other| {
        other.line_no == allocation.line_no
            && other.position == allocation.position
            && other.outcome == ProfileOutcome::Substituted
    });
    Ok(u32::try_from(same_place.count()).unwrap_or(u32::MAX))
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
struct Place<'a> {
    allocation: &'a Allocation,
    profile: &'a Profile,
    product: &'a str,
}

impl Place<'_> {
    /// Takes another profile of the pool for the place, with its own bundle and operation; `None` when none is left.
    fn refill(
        &self,
        conn: &mut Conn<'_>,
        depot: &Depot,
        now: DateTime<Utc>,
    ) -> Result<Option<Iccid>, AppError> {
        let pool = pools::get(conn, self.profile.pool_id)?;
        let Claim::Taken(mut claimed) = allocations::claim(conn, &pool, 1, now)? else {
            return Ok(None);
        };
        let Some(claimed) = claimed.pop() else {
            return Ok(None);
        };
        let order = orders::find(conn, self.allocation.order)?.ok_or(AppError::NotFound { what: "order" })?;
        let iccid = claimed.iccid.clone();
        let new = NewAllocation {
            profile: claimed.clone(),
            line_no: self.allocation.line_no,
            position: self.allocation.position,
            outcome: ProfileOutcome::Pending,
        };
        let rows = allocations::allocate(conn, order.id, &[new], false, now)?;
        let allocation_id = rows.first().copied().ok_or(AppError::NotFound { what: "allocation" })?;
        let made = BundleOnProfile {
            order: &order,
            pool: &pool,
            product: self.product,
            profile_id: claimed.id,
            allocation_id,
        }
        .make(depot, now);
        let (from, to) = (StockStatus::Available, StockStatus::Allocated);
        let moved =
            Fact::StockMoved { from, to, order: Some(order.id), hold: None, quarantine: None, reason: None };
        let mut facts = vec![depot.event(now, Subject::Profile(iccid.clone()), claimed.version + 1, moved)];
        facts.extend(made.events(depot, &iccid, now));
        bundles::insert_many(conn, &[made.bundle])?;
        operations::insert_many(conn, &[made.operation], now)?;
        events::append(conn, &facts)?;
        Ok(Some(iccid))
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
