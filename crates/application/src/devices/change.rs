//! What a carrier is told of devices: written down like a command to a line, and carried out by the same workers.

use simdepot_domain::carrier::Capability;
use simdepot_domain::channel::{AccountName, Scope};
use simdepot_domain::device::{ChangeField, ChangeType, DeviceChange, Need};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::operation::OperationRequest;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::Conn;
use simdepot_persistence::profiles::{self, Profile};
use strum::VariantArray as _;

use super::named;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::idempotency::{self, IdempotencyKey};
use crate::line_operations::{may_request, request};
use crate::lines::{self, operable};
use crate::operations::OperationView;

/// The line that a device is used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsedWith {
    /// By its SIM.
    Iccid(Iccid),
    /// By its number.
    Msisdn(Msisdn),
}

/// What a change of a line's device would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePreview {
    /// To which line.
    pub iccid: Iccid,
    /// The change.
    pub change: DeviceChange,
    /// How the line stands, as far as that is known.
    pub from: Option<SimStatus>,
}

/// Puts a device on the block list of an account's carrier, or takes it off: written down at once, carried out soon.
///
/// # Errors
/// [`AppError::NotFound`] for an account that there is not, and for a line that is no profile of a pool of it;
/// [`AppError::Unsupported`]; [`AppError::InvalidTransition`] while another operation of the profile is open.
pub async fn block(
    depot: &Depot,
    caller: &Caller,
    (name, imei): (AccountName, Imei),
    used_with: UsedWith,
    block: bool,
) -> Result<OperationView, AppError> {
    named(depot, &name).await?.require(Capability::DeviceBlocklist)?;
    let by = caller.clone();
    let found = depot.store.read(move |conn| match used_with {
        UsedWith::Iccid(iccid) => by_sim(conn, &by, &name, &iccid),
        UsedWith::Msisdn(msisdn) => by_number(conn, &by, &name, &msisdn),
    });
    let iccid = found.await?.iccid;
    let asked = OperationRequest::BlockDevice { imei, block };
    let (operation, _) = request(depot, caller, iccid, asked, None).await?;
    Ok(operation)
}

fn by_sim(
    conn: &mut Conn<'_>,
    caller: &Caller,
    name: &AccountName,
    iccid: &Iccid,
) -> Result<Profile, AppError> {
    match operable(conn, caller, iccid)? {
        (profile, account) if account == *name => Ok(profile),
        _ => Err(AppError::NotFound { what: "profile" }),
    }
}

/// A number may have been given again: then the SIM that is not out of the stock has it.
fn by_number(
    conn: &mut Conn<'_>,
    caller: &Caller,
    name: &AccountName,
    msisdn: &Msisdn,
) -> Result<Profile, AppError> {
    let mut found = Vec::new();
    for profile in profiles::of_msisdn(conn, name, msisdn)? {
        if profile.stock_status == StockStatus::Retired {
            continue;
        }
        match operable(conn, caller, &profile.iccid) {
            Ok((profile, _)) => found.push(profile),
            Err(AppError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(profile), true) => Ok(profile),
        (Some(_), false) => {
            let message = "several profiles have this number: name the line by its iccid";
            Err(AppError::invalid("/msisdn", "ambiguous", message))
        }
        (None, _) => Err(AppError::NotFound { what: "profile" }),
    }
}

/// Moves a profile's line to another device, SIM or both: written down at once, carried out soon. The second value tells
/// whether an earlier request with the key did it.
///
/// # Errors
/// [`AppError::Invalid`] for a change whose fields do not fit its type, or for a SIM that cannot take the line over;
/// [`AppError::NotFound`]; [`AppError::Unsupported`]; [`AppError::InvalidTransition`] for a line that is known not to be
/// active, or while another operation of the profile is open.
pub async fn change(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    change: DeviceChange,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    // What was taken once is answered again, however the line stands now.
    if idempotency::lookup(depot, caller, key).await?.is_none() {
        check(depot, caller, &iccid, &change).await?;
    }
    let change_type = change.change_type;
    let asked = OperationRequest::ChangeDevice { change };
    let (operation, replayed) = request(depot, caller, iccid, asked, key).await?;
    if !replayed {
        let label = change_type.to_string();
        metrics::counter!("simdepot_device_changes_total", "change_type" => label).increment(1);
    }
    Ok((operation, replayed))
}

/// Tells what a change would do, and does nothing.
///
/// # Errors
/// As [`change`].
pub async fn preview(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    change: DeviceChange,
) -> Result<ChangePreview, AppError> {
    let (profile, account) = check(depot, caller, &iccid, &change).await?;
    let from = profile.sim.as_ref().map(|seen| seen.status);
    let (asked, iccid) = (OperationRequest::ChangeDevice { change: change.clone() }, profile.iccid.clone());
    depot.store.read(move |conn| may_request(conn, &account, &profile, &asked)).await?;
    Ok(ChangePreview { iccid, change, from })
}

/// Whether the change is one, and the carrier one that makes it. The line comes as it stands now.
async fn check(
    depot: &Depot,
    caller: &Caller,
    iccid: &Iccid,
    change: &DeviceChange,
) -> Result<(Profile, AccountName), AppError> {
    fits(change)?;
    // Another SIM leaves the stock: not for who sees only what was sold to its own channel.
    if change.new_iccid.is_some() && !caller.works_all_lines() {
        return Err(AppError::Forbidden { scope: Scope::Stock });
    }
    let (profile, name, account) = lines::find(depot, caller, iccid.clone()).await?;
    account.require(Capability::DeviceChange)?;
    match profile.sim.as_ref().map(|seen| seen.status) {
        None | Some(SimStatus::Active) => Ok((profile, name)),
        // It may have come into service since: only what is true now speaks against it.
        Some(_) => match lines::read(depot, caller, iccid.clone()).await {
            Ok(view) => Ok((view.profile, name)),
            Err(AppError::CarrierUnavailable(_)) => Ok((profile, name)),
            Err(error) => Err(error),
        },
    }
}

/// Whether the fields of a change are those of its type.
fn fits(change: &DeviceChange) -> Result<(), AppError> {
    let takes = takes(change.change_type);
    let wrong = |(field, need): (ChangeField, Need)| {
        let code = if need == Need::Required { "required" } else { "unexpected" };
        FieldError::new(format!("/{field}"), code, takes.clone())
    };
    let errors: Vec<FieldError> = change.misfits().into_iter().map(wrong).collect();
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

/// What a change of a type is made of, in a sentence.
fn takes(change_type: ChangeType) -> String {
    let of = |need: Need| {
        let fields = ChangeField::VARIANTS.iter().filter(|field| change_type.needs(**field) == need);
        fields.map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
    };
    match of(Need::Optional) {
        optional if optional.is_empty() => {
            format!("a change of type {change_type} needs {} and nothing else", of(Need::Required))
        }
        optional => {
            format!("a change of type {change_type} needs {} and may have {optional}", of(Need::Required))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_says_what_it_takes() {
        let told: Vec<String> = ChangeType::VARIANTS.iter().copied().map(takes).collect();
        assert_eq!(
            told,
            [
                "a change of type device_only needs new_imei and nothing else",
                "a change of type psim_only needs new_iccid and nothing else",
                "a change of type device_and_psim needs new_imei, new_iccid and nothing else",
                "a change of type device_and_esim needs new_imei and may have new_iccid, new_eid, delivery",
            ]
        );
    }
}
