//! Writing a command down for the workers: what it takes into use leaves the stock with it, and a profile has one open
//! operation at a time.

use simdepot_domain::channel::AccountName;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_persistence::operations::{self, NewOperation};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{Conn, StoreError, events};

use super::books;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, Once};
use crate::operations::{OperationView, get};

/// A command about to be written down.
pub(crate) struct Placing<'a> {
    /// Its id.
    pub(crate) id: OperationId,
    /// At which account.
    pub(crate) account: &'a AccountName,
    /// The command in full.
    pub(crate) request: OperationRequest,
    /// Contact data, sealed.
    pub(crate) sealed: Option<Vec<u8>>,
}

/// Whether the stock lets a command be placed, apart from open operations.
///
/// # Errors
/// [`AppError::InvalidTransition`] for a profile that the command may not take into use; [`AppError::Invalid`] for a SIM
/// that cannot take a line over.
pub(crate) fn may_place(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile: &Profile,
    request: &OperationRequest,
) -> Result<(), AppError> {
    books::check(conn, account, profile, request)
}

/// Writes a command to a locked profile's line down, in the caller's transaction: what it takes into use leaves the stock
/// with it.
///
/// # Errors
/// [`AppError::InvalidTransition`] for a profile that the command may not take into use; `Unique` while another operation
/// of the profile is open.
pub(crate) fn place(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    placing: Placing<'_>,
) -> Result<(), AppError> {
    let Placing { id, account, request, sealed } = placing;
    let iccid = profile.iccid.clone();
    write_down(
        conn,
        depot,
        NewOperation {
            id,
            carrier_account: account.clone(),
            request: request.clone(),
            profile_id: profile.id,
            allocation_id: None,
            order: None,
            bundle: None,
            sealed,
        },
        &iccid,
    )?;
    books::take_into_use(conn, depot, account, profile, (id, &request))
}

/// The operation with its first event.
///
/// # Errors
/// `Unique` while another operation of the profile is open.
pub(super) fn write_down(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: NewOperation,
    iccid: &Iccid,
) -> Result<(), AppError> {
    let (id, now) = (operation.id, conn.now()?);
    let pending = Fact::OperationStatusChanged {
        iccid: iccid.clone(),
        kind: Some(operation.request.kind().to_owned()),
        from: None,
        to: OperationStatus::Pending,
        order_type: None,
        code: None,
        reason: None,
    };
    operations::insert_many(conn, &[operation], now)?;
    events::append(conn, &[depot.event(now, Subject::Operation(id), 1, pending)])?;
    Ok(())
}

/// The one-open-operation index: a second write must not start before the first is decided.
pub(super) fn open_operation(error: AppError, command: &str) -> AppError {
    match error {
        AppError::Store(StoreError::Unique { .. }) => busy(command),
        other => other,
    }
}

pub(super) fn busy(command: &str) -> AppError {
    AppError::InvalidTransition {
        from: "operation_open".to_owned(),
        command: command.to_owned(),
        detail: "another carrier operation of this profile is open; try again when it has ended".to_owned(),
    }
}

/// What was written down, and whether an earlier request with the key did it.
pub(super) async fn taken(
    depot: &Depot,
    caller: &Caller,
    made: Once<OperationId>,
) -> Result<(OperationView, bool), AppError> {
    let (id, replayed) = match made {
        Once::Made(id) => (id, false),
        Once::Replayed(id) => (id.parse().map_err(|_| idempotency::unreadable_record())?, true),
    };
    depot.signals.lines.notify_one();
    Ok((get(depot, caller, id).await?, replayed))
}
