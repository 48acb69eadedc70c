//! Operations: carried out by leased workers, each write to the carrier in three transactions.
//!
//! 1. Lease: the operation belongs to one worker for a while. It reads what it needs from the carrier; a failed read
//!    sends nothing.
//! 2. `sent` is committed with what was known before. Only then, at once, the carrier is called.
//! 3. The outcome is committed: done, refused, put back (surely not taken) or unknown.
//!
//! A process that dies after `sent` leaves an operation that says so. What became of it is found out from the carrier
//! ([`resolve_step`]): it is done, or it is sent again because it surely was not taken, or a person decides.

mod by_hand;
mod cancel;
mod conclude;
pub(crate) mod deferral;
mod evidence;
mod gather;
mod line_check;
mod naming;
mod outcome;
mod resolve;
mod send;
mod substitute;
mod undecided;
pub(crate) mod writes;

use simdepot_domain::channel::AccountName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::{Lane, OperationStatus};
use simdepot_persistence::operations::{self, Lease, Operation};
use simdepot_persistence::{Conn, profiles};

pub(crate) use by_hand::not_before;
pub use by_hand::{Verdict, decide_by_hand};
pub(crate) use cancel::{being_cancelled, cancel_pending};
pub use conclude::{Concluded, conclude_by_event};
pub(crate) use evidence::{Heard, Seen, hear_of_bundle};
pub(crate) use naming::{Unnamed, is_unnamed, name, name_listed, unnamed_by, unnamed_of};
pub(crate) use outcome::{fail_here, refuse};
pub use resolve::step as resolve_step;
pub(crate) use substitute::{Leaves, Leaving, Place, Refilled, replaced, set_refused_aside};
pub(crate) use undecided::mark_unknown;

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;

/// An operation with its profile's ICCID.
#[derive(Debug, Clone)]
pub struct OperationView {
    /// The operation.
    pub operation: Operation,
    /// Its profile.
    pub iccid: Iccid,
}

fn view(conn: &mut Conn<'_>, operation: Operation) -> Result<OperationView, AppError> {
    let iccid = profiles::get(conn, operation.profile_id)?.iccid;
    Ok(OperationView { operation, iccid })
}

/// An operation.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn get(depot: &Depot, caller: &Caller, id: OperationId) -> Result<OperationView, AppError> {
    let caller = caller.clone();
    depot
        .store
        .read(move |conn| {
            let operation = visible(conn, &caller, id)?;
            view(conn, operation)
        })
        .await
}

/// An operation that the caller may know of: any, or those on its own channel's profiles.
pub(crate) fn visible(conn: &mut Conn<'_>, caller: &Caller, id: OperationId) -> Result<Operation, AppError> {
    let operation = operations::find(conn, id)?.ok_or(AppError::NotFound { what: "operation" })?;
    if caller.works_all_lines() || profiles::belongs_to(conn, operation.profile_id, &caller.channel)? {
        return Ok(operation);
    }
    Err(AppError::NotFound { what: "operation" })
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct ListedOperations {
    /// The operations, newest first.
    pub operations: Vec<OperationView>,
    /// Up to which one was looked, when there may be more behind it although the page is not full.
    pub looked_up_to: Option<OperationId>,
}

/// A page of operations, newest first.
///
/// # Errors
/// When they cannot be read.
pub async fn list(
    depot: &Depot,
    caller: &Caller,
    status: Option<OperationStatus>,
    before: Option<OperationId>,
    limit: i64,
) -> Result<ListedOperations, AppError> {
    let channel = (!caller.works_all_lines()).then(|| caller.channel.clone());
    depot
        .store
        .snapshot(move |conn| {
            let listed = operations::list(conn, channel.as_ref(), status, before, limit)?;
            let views = listed.operations.into_iter().map(|operation| view(conn, operation));
            Ok(ListedOperations {
                operations: views.collect::<Result<_, _>>()?,
                looked_up_to: listed.looked_up_to,
            })
        })
        .await
}

/// Carries out one operation that is due. `false` when there was none.
///
/// # Errors
/// When the store cannot be asked. What goes wrong at the carrier is an outcome, not an error.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    // Looked for without a write transaction first: idle workers must not queue for SQLite's only writer.
    let due = depot.store.read(|conn| {
        let now = conn.now()?;
        operations::due_accounts(conn, Lane::Sale, now)
    });
    let Some(place) = depot.in_flight.enter(&due.await?, depot.work.account_concurrency) else {
        return Ok(false);
    };
    let Some(lease) = lease(depot, place.account.clone()).await? else {
        return Ok(false);
    };
    // One signal wakes one worker; each wakes the next, so that the operations of one order go out side by side.
    depot.signals.work.notify_one();
    match Box::pin(carry_out(depot, lease.clone())).await {
        Ok(()) => Ok(true),
        // Somebody else changed the profile, the order or the operation between two of our transactions. What was not
        // sent goes back to the queue, and the next try starts from what is true then; what was sent stays sent.
        Err(error) if error.is_race() => {
            tracing::info!(operation = %lease.operation.id, %error, "operation met a concurrent change");
            let again = depot.store.now().await? + deferral::RACE_PAUSE;
            deferral::put_off(depot, &lease, again).await?;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

async fn lease(depot: &Depot, account: AccountName) -> Result<Option<Lease>, AppError> {
    // The operation of an account that the configuration lacks is put off at once.
    let length = depot.account(&account).map_or(depot.work.lease, |account| depot.lease_of(account));
    let token = depot.ids.uuid();
    depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            Ok(operations::lease_next(conn, &account, token, now, now + length)?)
        })
        .await
}

async fn carry_out(depot: &Depot, lease: Lease) -> Result<(), AppError> {
    let started = tokio::time::Instant::now();
    match gather::gather(depot, &lease).await? {
        gather::Decision::Send(plan) => Box::pin(send::send(depot, lease, *plan, started)).await,
        gather::Decision::Taken(found) => {
            // An earlier sending was taken after all, and is listed only now.
            let found = conclude::Found::in_inventory(&found);
            conclude::conclude(depot, &lease.operation, Some(lease.token), found).await.map(drop)
        }
        gather::Decision::Defer(reason) => deferral::defer(depot, &lease, &reason).await,
        gather::Decision::Doubt(doubt) => undecided::doubted(depot, &lease, doubt).await,
        gather::Decision::Refuse(refusal, seen) => outcome::refuse_unsent(depot, lease, refusal, *seen).await,
        // The earlier sending may be why it cannot be sold any more.
        gather::Decision::Substitute(reason, _) if lease.operation.answer_lost => {
            undecided::needs_person(depot, &lease, &substitute::unsellable(reason)).await
        }
        gather::Decision::Substitute(reason, seen) => {
            substitute::set_aside(depot, lease, reason, *seen, None).await
        }
        gather::Decision::Cancel => cancel::cancel(depot, lease).await,
    }
}
