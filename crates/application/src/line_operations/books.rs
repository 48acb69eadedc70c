//! What commands to lines mean for the stock: what is taken into use is not for sale any more.

use simdepot_domain::channel::AccountName;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::OperationRequest;
use simdepot_domain::profile::{QuarantineReason, Traces, seen_in_use};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::{StockCommand, StockStatus, apply};
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, bundles, events, pools, sim_swaps};

use crate::depot::Depot;
use crate::error::AppError;

/// Whether the stock lets a command take its SIMs into use.
///
/// # Errors
/// [`AppError::InvalidTransition`] for a profile that is reserved or out of the stock; [`AppError::Invalid`] for a SIM
/// that cannot take a line over.
pub(super) fn check(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile: &Profile,
    request: &OperationRequest,
) -> Result<(), AppError> {
    let forbidden = match profile.stock_status {
        StockStatus::Held => Some("a hold has reserved this profile: delete the hold, or order with it"),
        StockStatus::Retired if request.takes_into_use() => Some("this profile is out of the stock for good"),
        StockStatus::Available | StockStatus::Allocated | StockStatus::Quarantined | StockStatus::Retired => {
            None
        }
    };
    if let Some(detail) = forbidden {
        return Err(AppError::InvalidTransition {
            from: profile.stock_status.to_string(),
            command: request.kind().to_owned(),
            detail: detail.to_owned(),
        });
    }
    if let Some(by) = sim_swaps::moved_to(conn, profile.id)? {
        let by = profiles::get(conn, by)?.iccid;
        return Err(AppError::InvalidTransition {
            from: profile.stock_status.to_string(),
            command: request.kind().to_owned(),
            detail: format!("the line is on SIM {by} now: tell that one"),
        });
    }
    if let Some(swap) = sim_swaps::reserved_by(conn, profile.id)? {
        return Err(AppError::InvalidTransition {
            from: "operation_open".to_owned(),
            command: request.kind().to_owned(),
            detail: format!("operation {swap} moves a line to this SIM; try again when it has ended"),
        });
    }
    if let Some(new_iccid) = request.successor() {
        successor(conn, account, profile, new_iccid)?;
    }
    Ok(())
}

/// Takes what a command takes into use out of the stock, in the caller's transaction.
///
/// # Errors
/// As [`check`].
pub(super) fn take_into_use(
    conn: &mut Conn<'_>,
    depot: &Depot,
    account: &AccountName,
    profile: &Profile,
    (id, request): (OperationId, &OperationRequest),
) -> Result<(), AppError> {
    check(conn, account, profile, request)?;
    // A profile that is for sale while its line is told something would be sold in the middle of it.
    if profile.stock_status == StockStatus::Available {
        set_aside(conn, depot, profile)?;
    }
    if let Some(new_iccid) = request.successor() {
        let found = successor(conn, account, profile, new_iccid)?;
        // Looked at again under its lock: a hold or an order may have taken it meanwhile.
        profiles::lock(conn, found.id)?;
        let successor = successor(conn, account, profile, new_iccid)?;
        set_aside(conn, depot, &successor)?;
        sim_swaps::reserve(conn, successor.id, id)?;
    }
    Ok(())
}

/// The SIM that takes a line over: of the same account, on sale, and not in service yet.
fn successor(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile: &Profile,
    new_iccid: &Iccid,
) -> Result<Profile, AppError> {
    let wrong = |code, message: &str| AppError::invalid("/new_iccid", code, message);
    let found = profiles::find(conn, new_iccid)?;
    let found = found.ok_or_else(|| wrong("unknown", "this SIM is not in the stock"))?;
    if found.id == profile.id {
        return Err(wrong("same", "a line cannot move to the SIM that it is on"));
    }
    if pools::get(conn, found.pool_id)?.settings.carrier_account != *account {
        return Err(wrong("other_account", "this SIM belongs to another carrier account"));
    }
    if found.stock_status != StockStatus::Available {
        let message =
            format!("this SIM is {} in the stock; one that is available takes over", found.stock_status);
        return Err(wrong("not_available", &message));
    }
    let status = found.sim.as_ref().map(|seen| seen.status);
    match status {
        None | Some(SimStatus::Available | SimStatus::Preactivated) => Ok(found),
        Some(status) => {
            let message = format!("this SIM has a line that is {status}; one without service takes over");
            Err(wrong("in_service", &message))
        }
    }
}

/// Takes a profile out of the stock because its line is in use.
///
/// # Errors
/// When the rules forbid it; a race when the profile changed in between.
pub(super) fn set_aside(conn: &mut Conn<'_>, depot: &Depot, profile: &Profile) -> Result<(), AppError> {
    move_it(conn, depot, profile, StockCommand::Quarantine, Some(QuarantineReason::InService))
}

/// A command that was surely not carried out gives back what it took out of the stock, as long as the line is not seen in
/// service.
///
/// # Errors
/// When the store refuses; a race when the profile changed in between.
pub(super) fn give_back(conn: &mut Conn<'_>, depot: &Depot, operation: &Operation) -> Result<(), AppError> {
    // What was sold with an order goes back with its place.
    if operation.allocation_id.is_some() || operation.bundle.is_some() {
        return Ok(());
    }
    sim_swaps::let_go(conn, operation.id)?;
    back_on_sale(conn, depot, operation.profile_id)?;
    let Some(new_iccid) = operation.request.successor() else {
        return Ok(());
    };
    match profiles::find(conn, new_iccid)? {
        Some(successor) => back_on_sale(conn, depot, successor.id),
        None => Ok(()),
    }
}

fn back_on_sale(conn: &mut Conn<'_>, depot: &Depot, profile_id: i64) -> Result<(), AppError> {
    let profile = profiles::lock(conn, profile_id)?;
    if profile.quarantine_reason != Some(QuarantineReason::InService) {
        return Ok(());
    }
    let sellable = pools::get(conn, profile.pool_id)?.settings.sellable_statuses;
    let sim = profile.sim.as_ref().map(|seen| seen.status);
    let traces = Traces {
        sim,
        esim: profile.esim.as_ref().map(|seen| seen.status),
        device_bound: profile.eid.is_some(),
        has_bundle: bundles::of_profile(conn, profile.id)?.iter().any(|bundle| bundle.status.is_usable()),
        sellable: &sellable,
    };
    // A line that was in service before, or a code that somebody has used, stays set aside.
    if seen_in_use(&traces).is_some() || sim.is_some_and(|status| !sellable.contains(&status)) {
        return Ok(());
    }
    move_it(conn, depot, &profile, StockCommand::Release, None)
}

/// Moves a locked profile in the stock, with its event.
///
/// # Errors
/// When the rules forbid it; a race when the profile changed in between.
pub(super) fn move_it(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    command: StockCommand,
    quarantine: Option<QuarantineReason>,
) -> Result<(), AppError> {
    let now = depot.now();
    let transition =
        apply(profile.stock_state(), command, now).map_err(|error| AppError::InvalidTransition {
            from: error.from.to_string(),
            command: error.command.to_string(),
            detail: error.to_string(),
        })?;
    let version = profiles::move_stock(conn, profile, transition, quarantine, now)?;
    let (from, to) = (transition.from, transition.to);
    let fact = Fact::StockMoved { from, to, order: None, hold: None, quarantine, reason: None };
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    Ok(())
}
