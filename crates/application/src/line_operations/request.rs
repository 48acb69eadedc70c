//! Asking for what is no command to a line but goes its way: written down here, carried out by the same workers.

use simdepot_domain::channel::AccountName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::line::LineCommand;
use simdepot_domain::operation::OperationRequest;
use simdepot_persistence::Conn;
use simdepot_persistence::operations::{self, NewOperation};
use simdepot_persistence::profiles::{self, Profile};

use super::ask::{busy, open_operation, taken, write_down};
use super::books;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey};
use crate::lines::operable;
use crate::operations::OperationView;

/// Writes a request down for a profile's line. The second value tells whether an earlier request with the key did it.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] for a profile that is reserved, or while another operation of
/// it is open; [`AppError::Invalid`] for a SIM that cannot take the line over.
pub async fn request(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    request: OperationRequest,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    let kind = request.kind();
    let made = idempotency::once(depot, caller, key, || async {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        let write = depot.write_again(move |conn| {
            let (profile, account) = operable(conn, &caller, &iccid)?;
            let profile = profiles::lock(conn, profile.id)?;
            let id = OperationId::generate(work.ids.as_ref());
            let operation = NewOperation {
                id,
                carrier_account: account.clone(),
                request: request.clone(),
                profile_id: profile.id,
                allocation_id: None,
                order: None,
                bundle: None,
                sealed: None,
            };
            write_down(conn, &work, operation, &profile.iccid)?;
            let like = like(&request);
            books::take_into_use(conn, &work, &account, &profile, (id, &like))
                .map_err(|error| named(error, kind))?;
            idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
            Ok(id)
        });
        write.await.map_err(|error| open_operation(error, kind))
    });
    taken(depot, caller, made.await?).await
}

/// Whether a request could be written down now.
///
/// # Errors
/// As [`request`].
pub(crate) fn may_request(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile: &Profile,
    request: &OperationRequest,
) -> Result<(), AppError> {
    let kind = request.kind();
    books::check(conn, account, profile, &like(request)).map_err(|error| named(error, kind))?;
    if operations::open_of(conn, profile.id)?.is_some() { Err(busy(kind)) } else { Ok(()) }
}

/// The command that means the same for the stock.
fn like(request: &OperationRequest) -> LineCommand {
    match request.successor() {
        Some(new_iccid) => LineCommand::SwapSim { new_iccid: new_iccid.clone() },
        None => LineCommand::Suspend,
    }
}

fn named(error: AppError, kind: &str) -> AppError {
    match error {
        AppError::InvalidTransition { from, detail, .. } => {
            AppError::InvalidTransition { from, command: kind.to_owned(), detail }
        }
        other => other,
    }
}
