//! Asking for something to be done with the device that a line is used in, or with a bundle on it.

use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::Capability;
use simdepot_domain::channel::{AccountName, Scope};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{BundleId, OperationId};
use simdepot_domain::operation::{BundleCommand, OperationRequest};
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::operations::{self, NewOperation};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, bundles};

use super::place::{Placing, busy, may_place, open_operation, place, taken, write_down};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey};
use crate::lines::operable;
use crate::operations::OperationView;

/// Asks for something to be done with the device that a line is used in: written down at once, carried out soon. The second
/// value tells whether an earlier request with the key did it.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] for a line that is not in service, for a profile that is
/// reserved or out of the stock, or while another operation of the profile is open; [`AppError::Invalid`] for a SIM that
/// cannot take the line over.
pub async fn request(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    request: OperationRequest,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    if request.successor().is_some() && !caller.works_all_lines() {
        return Err(AppError::Forbidden { scope: Scope::Stock });
    }
    let kind = request.kind();
    let made = idempotency::once(depot, caller, key, || async {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        let write = depot.write_again(move |conn| {
            let (profile, account) = operable(conn, &caller, &iccid)?;
            let profile = profiles::lock(conn, profile.id)?;
            in_service(&profile, &request)?;
            let id = OperationId::generate(work.ids.as_ref());
            // Before the operation: a parallel request with the key shall find the key taken, and not the profile busy.
            idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
            let placing = Placing { id, account: &account, request: request.clone(), sealed: None };
            place(conn, &work, &profile, placing)?;
            Ok(id)
        });
        write.await.map_err(|error| open_operation(error, kind))
    });
    taken(depot, caller, made.await?).await
}

/// Whether a request could be written down now, by what is known of the line.
///
/// # Errors
/// As [`request`].
pub(crate) fn may_request(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile: &Profile,
    request: &OperationRequest,
) -> Result<(), AppError> {
    in_service(profile, request)?;
    may_place(conn, account, profile, request)?;
    if operations::open_of(conn, profile.id)?.is_some() { Err(busy(request.kind())) } else { Ok(()) }
}

/// Only a line in service moves to another device. A line of which nothing is known is the worker's to judge.
fn in_service(profile: &Profile, request: &OperationRequest) -> Result<(), AppError> {
    let status = profile.sim.as_ref().map(|seen| seen.status);
    match (request, status) {
        (OperationRequest::ChangeDevice { .. }, Some(status)) if status != SimStatus::Active => {
            Err(AppError::InvalidTransition {
                from: status.to_string(),
                command: request.kind().to_owned(),
                detail: "only a line that is active changes its device".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Changes a bundle that the carrier has: written down at once, carried out soon.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] for a bundle that is over or that the carrier has not
/// confirmed, or while another operation of the profile is open.
pub async fn change_bundle(
    depot: &Depot,
    caller: &Caller,
    (iccid, bundle): (Iccid, BundleId),
    change: BundleCommand,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    let made = idempotency::once(depot, caller, key, || async {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        let write = depot.write_again(move |conn| {
            let (profile, _) = operable(conn, &caller, &iccid)?;
            let profile = profiles::lock(conn, profile.id)?;
            let bundle = bundles::find(conn, bundle)?.filter(|bundle| bundle.profile_id == profile.id);
            let bundle = bundle.ok_or(AppError::NotFound { what: "bundle" })?;
            if let Some(account) = work.accounts.get(&bundle.carrier_account) {
                account.require(Capability::Products)?;
            }
            let subscription_id = changeable(&bundle.status, bundle.subscription_id.clone(), change)?;
            let id = OperationId::generate(work.ids.as_ref());
            // Before the operation: a parallel request with the key shall find the key taken, and not the profile busy.
            idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
            let operation = NewOperation {
                id,
                carrier_account: bundle.carrier_account.clone(),
                request: OperationRequest::ChangeBundle { subscription_id, product: bundle.product, change },
                profile_id: profile.id,
                allocation_id: None,
                order: None,
                bundle: Some(bundle.id),
                sealed: None,
            };
            write_down(conn, &work, operation, &profile.iccid)?;
            Ok(id)
        });
        write.await.map_err(|error| open_operation(error, change.as_ref()))
    });
    taken(depot, caller, made.await?).await
}

fn changeable(
    status: &BundleStatus,
    subscription_id: Option<String>,
    change: BundleCommand,
) -> Result<String, AppError> {
    match subscription_id {
        Some(subscription_id) if status.is_usable() => Ok(subscription_id),
        _ => Err(AppError::InvalidTransition {
            from: status.to_string(),
            command: change.to_string(),
            detail: "only a bundle that the carrier has, and that is not over, is changed".to_owned(),
        }),
    }
}
