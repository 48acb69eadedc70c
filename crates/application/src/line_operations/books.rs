//! What commands to lines mean for the stock: what is taken into use is not for sale any more.

use simdepot_domain::channel::AccountName;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineCommand;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::{StockCommand, StockStatus, apply};
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, pools};

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
    command: &LineCommand,
) -> Result<(), AppError> {
    if command.action().takes_into_use() {
        let reserved = match profile.stock_status {
            StockStatus::Held => Some("a hold has reserved this profile: delete the hold, or order with it"),
            StockStatus::Retired => Some("this profile is out of the stock for good"),
            StockStatus::Available | StockStatus::Allocated | StockStatus::Quarantined => None,
        };
        if let Some(detail) = reserved {
            return Err(AppError::InvalidTransition {
                from: profile.stock_status.to_string(),
                command: command.action().to_string(),
                detail: detail.to_owned(),
            });
        }
    }
    if let LineCommand::SwapSim { new_iccid } = command {
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
    command: &LineCommand,
) -> Result<(), AppError> {
    check(conn, account, profile, command)?;
    if let LineCommand::SwapSim { new_iccid } = command {
        let successor = successor(conn, account, profile, new_iccid)?;
        let successor = profiles::lock(conn, successor.id)?;
        return set_aside(conn, depot, &successor);
    }
    if command.action().takes_into_use() && profile.stock_status == StockStatus::Available {
        return set_aside(conn, depot, profile);
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

fn set_aside(conn: &mut Conn<'_>, depot: &Depot, profile: &Profile) -> Result<(), AppError> {
    move_it(conn, depot, profile, StockCommand::Quarantine, Some(QuarantineReason::InService))
}

/// A command that was surely not carried out gives back what it took out of the stock, as long as the line is not seen in
/// service.
///
/// # Errors
/// When the store refuses; a race when the profile changed in between.
pub(super) fn give_back(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    command: &LineCommand,
) -> Result<(), AppError> {
    let taken = match command {
        LineCommand::SwapSim { new_iccid } => profiles::find(conn, new_iccid)?,
        _ if command.action().takes_into_use() => Some(profiles::get(conn, operation.profile_id)?),
        _ => None,
    };
    let Some(taken) = taken else {
        return Ok(());
    };
    let profile = profiles::lock(conn, taken.id)?;
    let sellable = pools::get(conn, profile.pool_id)?.settings.sellable_statuses;
    let untouched = profile.sim.as_ref().is_none_or(|seen| sellable.contains(&seen.status));
    if profile.quarantine_reason != Some(QuarantineReason::InService) || !untouched {
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
