//! A line moves to another SIM: stock, order and bundles follow it, in the transaction that records that it did.

use chrono::{DateTime, Utc};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{StockCommand, StockStatus, apply};
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::{self, Learned, Profile};
use simdepot_persistence::{Conn, allocations, bundles, events, lines, orders, sim_swaps};

use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::{self, Sightings};

/// Whether the SIM that takes over still waits for that: set aside for it, or taken over already.
///
/// # Errors
/// When the store refuses.
pub(super) fn is_ready(
    conn: &mut Conn<'_>,
    operation: &Operation,
    new_iccid: &Iccid,
) -> Result<bool, AppError> {
    if sim_swaps::of_operation(conn, operation.id)?.is_some() {
        return Ok(true);
    }
    let Some(new) = profiles::find(conn, new_iccid)? else {
        return Ok(false);
    };
    let kept = sim_swaps::reserved_by(conn, new.id)? == Some(operation.id);
    Ok(kept && new.quarantine_reason == Some(QuarantineReason::InService))
}

/// Puts `new_iccid` in the place of the operation's SIM. `seen` is its line as the carrier shows it since.
///
/// # Errors
/// When the store refuses; a race when one of the profiles changed in between.
pub(super) fn swap(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    new_iccid: &Iccid,
    seen: &Sightings,
) -> Result<(), AppError> {
    let now = depot.now();
    let live = allocations::live_of(conn, operation.profile_id)?;
    if let Some(live) = &live {
        orders::lock(conn, live.order)?;
    }
    let old = profiles::lock(conn, operation.profile_id)?;
    let found = profiles::find(conn, new_iccid)?.ok_or(AppError::NotFound { what: "profile" })?;
    let new = profiles::lock(conn, found.id)?;
    if sim_swaps::of_operation(conn, operation.id)?.is_some() {
        return Ok(());
    }
    sim_swaps::let_go(conn, operation.id)?;
    sim_swaps::insert(conn, (old.id, new.id), operation.id, now)?;
    let order = live.as_ref().map(|live| live.order);
    let swapped = Swapped { depot, operation, out: &old.iccid, by: new_iccid, order, now };
    // The old one leaves first: a place of an order is held by one profile.
    if let Some(live) = &live {
        allocations::end(conn, live.id, ProfileOutcome::Substituted, now)?;
    }
    swapped.move_stock(conn, &old, StockCommand::Retire)?;
    let new = match &live {
        Some(live) => {
            swapped.move_stock(conn, &new, StockCommand::TakeOver)?;
            allocations::take_over(conn, live, new.id, now)?;
            profiles::get(conn, new.id)?
        }
        None => new,
    };
    let retired = profiles::get(conn, old.id)?;
    swapped.tell(conn, &retired)?;
    let new = swapped.tell(conn, &new)?;
    bundles::move_to(conn, old.id, new.id)?.into_iter().try_for_each(|(id, version)| {
        let fact = Fact::BundleMoved { iccid: new.iccid.clone(), out: old.iccid.clone() };
        events::append(conn, &[depot.event(now, Subject::Bundle(id), version, fact)])
    })?;
    swapped.learn(conn, &old, new, seen)?;
    if let Some(order) = order {
        let order = orders::lock(conn, order)?;
        let version = orders::set_status(conn, &order, order.status, order.problem.as_ref(), now)?;
        let reason = "the line moved to another SIM".to_owned();
        let fact = Fact::ProfileReplaced { out: old.iccid.clone(), by: new_iccid.clone(), reason };
        events::append(conn, &[depot.event(now, Subject::Order(order.id), version, fact)])?;
    }
    metrics::counter!("simdepot_sim_swaps_total").increment(1);
    Ok(())
}

struct Swapped<'a> {
    depot: &'a Depot,
    operation: &'a Operation,
    out: &'a Iccid,
    by: &'a Iccid,
    order: Option<OrderId>,
    now: DateTime<Utc>,
}

impl Swapped<'_> {
    fn move_stock(
        &self,
        conn: &mut Conn<'_>,
        profile: &Profile,
        command: StockCommand,
    ) -> Result<(), AppError> {
        // Somebody may have retired it meanwhile: the line has moved all the same.
        if command == StockCommand::Retire && profile.stock_status == StockStatus::Retired {
            return Ok(());
        }
        let transition = apply(profile.stock_state(), command, self.now)
            .map_err(|error| AppError::Internal(error.to_string()))?;
        let version = profiles::move_stock(conn, profile, transition, None, self.now)?;
        let fact = Fact::StockMoved {
            from: transition.from,
            to: transition.to,
            order: self.order,
            hold: None,
            quarantine: None,
            reason: None,
        };
        let event = self.depot.event(self.now, Subject::Profile(profile.iccid.clone()), version, fact);
        Ok(events::append(conn, &[event])?)
    }

    /// Tells a profile's story of the swap.
    fn tell(&self, conn: &mut Conn<'_>, profile: &Profile) -> Result<Profile, AppError> {
        let version = profiles::bump(conn, profile, self.now)?;
        let fact = Fact::SimSwapped {
            out: self.out.clone(),
            by: self.by.clone(),
            operation: self.operation.id,
            order: self.order,
        };
        let event = self.depot.event(self.now, Subject::Profile(profile.iccid.clone()), version, fact);
        events::append(conn, &[event])?;
        Ok(profiles::get(conn, profile.id)?)
    }

    /// The line is the same: what was known of it is true of the new SIM, until the carrier says more.
    fn learn(
        &self,
        conn: &mut Conn<'_>,
        old: &Profile,
        new: Profile,
        seen: &Sightings,
    ) -> Result<(), AppError> {
        if let Some(line) = lines::find(conn, old.id)? {
            // Something newer may have been read of the new SIM while it had no line.
            let newer = lines::find(conn, new.id)?.map_or(line.observed_at, |own| own.observed_at);
            let observed_at = line.observed_at.max(newer);
            lines::keep(conn, new.id, &line.details, line.source, observed_at)?;
        }
        let mut new = new;
        if seen.line.as_ref().is_none_or(|line| line.msisdn.is_none()) && old.msisdn.is_some() {
            let learned = Learned { msisdn: old.msisdn.clone(), ..Learned::default() };
            profiles::learn(conn, &new, &learned, 1, self.now)?;
            let source = simdepot_domain::observation::Source::Answer;
            let fact = Fact::MsisdnLearned { source };
            let event =
                self.depot.event(self.now, Subject::Profile(new.iccid.clone()), new.version + 1, fact);
            events::append(conn, &[event])?;
            new = profiles::get(conn, new.id)?;
        }
        observations::learn(conn, self.depot, new, seen, self.now).map(drop)
    }
}
