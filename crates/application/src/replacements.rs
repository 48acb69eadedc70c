//! A sold profile that the customer cannot use is replaced by another, in the same place of the same order.

use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::{Fact, Subject, SubjectKind};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{ReturnProof, StockCommand, StockStatus, apply};
use simdepot_persistence::allocations::{self, Allocation};
use simdepot_persistence::orders::Order;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, operations, orders, pools};

use crate::caller::Caller;
use crate::carrier_view;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once};
use crate::observations::{self, Sightings};
use crate::operations::{Place, Refilled};
use crate::orders::Goods;
use crate::orders::roll_up;
use crate::profiles::{ProfileView, existing, view};

/// A profile in the place of another.
#[derive(Debug)]
pub struct Replacement {
    /// The new one.
    pub profile: ProfileView,
    /// The one that it replaces.
    pub replaces: Iccid,
    /// In which order.
    pub order: OrderId,
    /// Whether an earlier request with the key did it.
    pub replayed: bool,
}

/// Replaces a sold profile by another of its pool. The line's product is placed on the new one as on a first sale; what
/// the carrier has on the old one stays there. The old one is retired when its eSIM was deleted from a device, which
/// cannot be undone, and set aside otherwise.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] for a profile that is not sold, whose order is in progress or
/// being cancelled, or that has an operation open; [`AppError::OutOfStock`].
pub async fn replace(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    reason: String,
    key: Option<&IdempotencyKey>,
) -> Result<Replacement, AppError> {
    let made = idempotency::once(depot, caller, key, || async {
        let seen = look(depot, iccid.clone()).await?;
        let (work, caller, key, iccid) = (depot.clone(), caller.clone(), key.cloned(), iccid.clone());
        let write = depot.write_again(move |conn| {
            let by = swap(conn, &work, &iccid, reason.clone(), &seen)?;
            idempotency::record(conn, &work, &caller, key.as_ref(), 201, by.as_str())?;
            // Told as it is now: a worker may begin with the new one at once.
            told(conn, &iccid, &by, false)
        });
        write.await
    });
    let replacement = match made.await? {
        Once::Made(replacement) => replacement,
        Once::Replayed(by) => {
            let by = Iccid::parse(&by).map_err(|_| idempotency::unreadable_record())?;
            return depot.store.read(move |conn| told(conn, &iccid, &by, true)).await;
        }
    };
    tracing::info!(out = %replacement.replaces, order = %replacement.order, "a sold profile was replaced");
    metrics::counter!("simdepot_replacements_total").increment(1);
    depot.signals.sold();
    depot.signals.changed(replacement.order.0);
    Ok(replacement)
}

/// What the carrier says of the eSIM now: a deletion may not have been told yet. Without an answer the last known
/// counts.
async fn look(depot: &Depot, iccid: Iccid) -> Result<Sightings, AppError> {
    let (profile, account) = depot
        .store
        .read(move |conn| {
            let profile = existing(conn, &iccid)?;
            let account = pools::get(conn, profile.pool_id)?.settings.carrier_account;
            Ok::<_, AppError>((profile, account))
        })
        .await?;
    if profile.stock_status != StockStatus::Allocated {
        return Err(not_sold(&profile));
    }
    Ok(carrier_view::look(depot, &account, &profile, false).await.seen)
}

fn not_sold(profile: &Profile) -> AppError {
    refused(profile.stock_status.to_string(), "only a profile that was sold is replaced".to_owned())
}

fn refused(from: String, detail: String) -> AppError {
    AppError::InvalidTransition { from, command: "replace".to_owned(), detail }
}

fn swap(
    conn: &mut Conn<'_>,
    depot: &Depot,
    iccid: &Iccid,
    reason: String,
    seen: &Sightings,
) -> Result<Iccid, AppError> {
    let now = conn.now()?;
    let (order, allocation) = sold_place(conn, iccid)?;
    let profile = existing(conn, iccid)?;
    let profile = observations::learn(conn, depot, profile, seen, now)?;
    let pool = pools::get(conn, profile.pool_id)?;
    let goods = Goods::of_place(conn, &allocation)?.for_another(depot, &pool);
    let place = Place { allocation: &allocation, pool_id: profile.pool_id, goods };
    let by = match place.refill(conn, depot, &[], now)? {
        Refilled::By(by) => by,
        Refilled::OutOfStock { pool, available } => {
            return Err(AppError::OutOfStock { pool: pool.to_string(), requested: 1, available });
        }
    };
    allocations::end(conn, allocation.id, ProfileOutcome::Substituted, now)?;
    take_out(conn, depot, &profile, &order, &reason, now)?;
    let version = orders::set_status(conn, &order, order.status, order.problem.as_ref(), now)?;
    let fact = Fact::ProfileReplaced { out: profile.iccid, by: by.clone(), reason };
    events::append(conn, &[depot.event(now, Subject::Order(order.id), version, fact)])?;
    roll_up(conn, depot, order.id, None, now)?;
    Ok(by)
}

/// The place of a sold profile, with its order locked.
fn sold_place(conn: &mut Conn<'_>, iccid: &Iccid) -> Result<(Order, Allocation), AppError> {
    let profile = existing(conn, iccid)?;
    let live = allocations::live_of(conn, profile.id)?.ok_or_else(|| not_sold(&profile))?;
    let order = orders::lock(conn, live.order)?;
    // Looked for again: it may have left the order while the lock was waited for.
    if allocations::live_of(conn, profile.id)?.as_ref() != Some(&live) {
        return Err(AppError::Store(simdepot_persistence::StoreError::RowsAffected {
            what: "replace a profile on its place",
            expected: 1,
            actual: 0,
        }));
    }
    if order.cancelling_since.is_some() {
        let detail = format!("order {} is being cancelled", order.id);
        return Err(refused(order.status.to_string(), detail));
    }
    match order.status {
        OrderStatus::Fulfilled | OrderStatus::NeedsAttention => {}
        OrderStatus::InProgress | OrderStatus::Failed | OrderStatus::Cancelled => {
            let detail = format!("order {} is {}: nothing of it was sold yet", order.id, order.status);
            return Err(refused(order.status.to_string(), detail));
        }
    }
    if let Some(operation) = operations::open_of(conn, profile.id)? {
        let detail = format!("operation {} of the profile is {}", operation.id, operation.status);
        return Err(refused("operation_open".to_owned(), detail));
    }
    Ok((order, live))
}

/// The old profile leaves the stock: a deleted eSIM cannot be downloaded again; of any other it is not known what the
/// customer has of it.
fn take_out(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    order: &Order,
    reason: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), AppError> {
    let deleted = profile.esim.as_ref().is_some_and(|esim| esim.status == EsimStatus::Deleted);
    let unproven = ReturnProof { never_revealed: false, never_downloaded: false, no_bundle: false };
    let command = if deleted { StockCommand::Retire } else { StockCommand::Return(unproven) };
    let transition =
        apply(profile.stock_state(), command, now).map_err(|error| AppError::Internal(error.to_string()))?;
    let quarantine =
        (transition.to == StockStatus::Quarantined).then_some(QuarantineReason::ReturnedUnproven);
    let version = profiles::move_stock(conn, profile, transition, quarantine, now)?;
    let (from, to, order, reason) = (transition.from, transition.to, Some(order.id), Some(reason.to_owned()));
    let fact = Fact::StockMoved { from, to, order, hold: None, quarantine, reason };
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    Ok(())
}

/// The replacement as the ledger tells it: an answer that is given again comes from nothing else.
fn told(conn: &mut Conn<'_>, out: &Iccid, by: &Iccid, replayed: bool) -> Result<Replacement, AppError> {
    let replaces = existing(conn, out)?.iccid;
    let story = events::of_subject(conn, SubjectKind::Profile, replaces.as_str())?;
    let left = story.iter().rev().find_map(|event| match &event.fact {
        Fact::StockMoved { from: StockStatus::Allocated, order, .. } => *order,
        _ => None,
    });
    let order = left.ok_or(AppError::NotFound { what: "order" })?;
    let profile = existing(conn, by)?;
    Ok(Replacement { profile: view(conn, profile)?, replaces, order, replayed })
}
