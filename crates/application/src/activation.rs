//! Revealing activation codes. A code leaves simdepot only on a fulfilled order of the caller's channel, and the
//! reveal is an event before it does.
//!
//! A reveal must not cross a cancellation: a profile that goes back on sale was never shown, and what was shown does
//! not go back. Both take the order's lock, and a reveal looks again at the order and at the profile's allocation
//! under it; the codes are read before that is looked at for the last time, so that a code is never opened after the
//! order began to be taken back.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::event::{Fact, Subject, SubjectKind};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::profile::FormFactor;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::orders::{self, Order};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, allocations, events, secrets};

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;

/// The activation code of a profile.
///
/// # Errors
/// [`AppError::NotFound`] when the profile is not allocated to the caller's channel, or has no code;
/// [`AppError::InvalidTransition`] when it may be known of but not revealed.
pub async fn reveal(depot: &Depot, caller: &Caller, iccid: Iccid) -> Result<ActivationCode, AppError> {
    let asked_by = caller.clone();
    let (profile, order) = depot.store.read(move |conn| revealable(conn, &asked_by, &iccid)).await?;
    let codes = reveal_all(depot, caller, order.id, vec![profile]).await?;
    codes.into_iter().next().flatten().ok_or(AppError::NotFound { what: "activation code" })
}

/// The activation codes of profiles of one order, in the order of `shown`: the reveal is recorded, then they are opened.
///
/// # Errors
/// [`AppError::InvalidTransition`] when the order is not fulfilled, or one of the profiles is not its own any more.
pub(crate) async fn reveal_all(
    depot: &Depot,
    caller: &Caller,
    order: OrderId,
    shown: Vec<Profile>,
) -> Result<Vec<Option<ActivationCode>>, AppError> {
    // A physical SIM has no code to show, and an eSIM may get its own with its activation.
    let ids = rows_of(&shown);
    let with_code = depot.store.read(move |conn| Ok::<_, AppError>(secrets::with_code(conn, &ids)?)).await?;
    let has_code =
        |profile: &&Profile| profile.form_factor == FormFactor::Esim && with_code.contains(&profile.id);
    let coded = shown.iter().filter(has_code).cloned().collect();
    record_reveal(depot, caller, order, coded).await?;
    let store = depot.store.clone();
    depot
        .store
        .read(move |conn| {
            let codes = shown
                .iter()
                .map(|profile| secrets::activation_code(conn, store.vault(), profile))
                .collect::<Result<Vec<_>, _>>()?;
            // Behind the codes: what is true now was true when they were read.
            let order = orders::find(conn, order)?.ok_or(AppError::NotFound { what: "order" })?;
            check(conn, &order, &rows_of(&shown))?;
            Ok(codes)
        })
        .await
}

fn rows_of(profiles: &[Profile]) -> Vec<i64> {
    profiles.iter().map(|profile| profile.id).collect()
}

fn revealable(conn: &mut Conn<'_>, caller: &Caller, iccid: &Iccid) -> Result<(Profile, Order), AppError> {
    const NOT_FOUND: AppError = AppError::NotFound { what: "profile" };
    let profile = profiles::find(conn, iccid)?.ok_or(NOT_FOUND)?;
    let live = allocations::live_of(conn, profile.id)?;
    let order = match live {
        Some(allocation) => {
            orders::find(conn, allocation.order)?.filter(|order| order.channel == caller.channel)
        }
        None => None,
    };
    match order {
        Some(order) if profile.stock_status == StockStatus::Allocated && shows_codes(&order) => {
            Ok((profile, order))
        }
        Some(order) => Err(not_fulfilled(&order)),
        // Whoever sees the whole stock may know that the profile is there, but no key gets its code.
        None if caller.sees_all_stock() => Err(AppError::InvalidTransition {
            from: profile.stock_status.to_string(),
            command: "reveal".to_owned(),
            detail: "a code is revealed only to the channel whose fulfilled order holds the profile"
                .to_owned(),
        }),
        None => Err(NOT_FOUND),
    }
}

/// Whether the codes of an order's profiles may leave.
pub(crate) fn shows_codes(order: &Order) -> bool {
    order.status == OrderStatus::Fulfilled && order.cancelling_since.is_none()
}

pub(crate) fn not_fulfilled(order: &Order) -> AppError {
    let detail = if order.cancelling_since.is_some() {
        format!("order {} is being cancelled: no code of it is revealed any more", order.id)
    } else {
        format!("order {} is {}: codes are revealed once it is fulfilled", order.id, order.status)
    };
    AppError::InvalidTransition { from: order.status.to_string(), command: "reveal".to_owned(), detail }
}

/// The order may show codes, and every one of the profiles is its own.
fn check(conn: &mut Conn<'_>, order: &Order, profile_ids: &[i64]) -> Result<(), AppError> {
    if !shows_codes(order) {
        return Err(not_fulfilled(order));
    }
    if allocations::live_count(conn, order.id, profile_ids)? == profile_ids.len() {
        return Ok(());
    }
    Err(AppError::InvalidTransition {
        from: order.status.to_string(),
        command: "reveal".to_owned(),
        detail: format!("a profile has left order {}: read the order again", order.id),
    })
}

/// Records that the codes of `shown` leave simdepot: the first time always, later once per key and hour.
async fn record_reveal(
    depot: &Depot,
    caller: &Caller,
    order: OrderId,
    shown: Vec<Profile>,
) -> Result<(), AppError> {
    let (work, caller) = (depot.clone(), caller.clone());
    let now = depot.now();
    let asked_caller = caller.clone();
    // Most reveals are repeats within the hour: they are found out without a write.
    let due = depot.store.read(move |conn| due(conn, &asked_caller, order, shown, now)).await?;
    if due.is_empty() {
        return Ok(());
    }
    let ids = rows_of(&due);
    depot
        .write_again(move |conn| {
            // Under the order's lock: whoever takes it back, or replaces a profile, comes before or after.
            let order = orders::lock(conn, order)?;
            check(conn, &order, &ids)?;
            // Read and weighed again under the transaction: a parallel reveal may have told it already.
            let shown = profiles::get_many(conn, &ids)?;
            let fresh = self::due(conn, &caller, order.id, shown, now)?;
            profiles::reveal(conn, &fresh, now)?;
            let facts: Vec<_> = fresh
                .iter()
                .map(|profile| {
                    let fact = Fact::CodeRevealed { order: order.id, key: caller.key };
                    work.event(now, Subject::Profile(profile.iccid.clone()), profile.version + 1, fact)
                })
                .collect();
            events::append(conn, &facts)?;
            Ok(())
        })
        .await
}

/// Those of `shown` whose reveal must be told.
fn due(
    conn: &mut Conn<'_>,
    caller: &Caller,
    order: OrderId,
    shown: Vec<Profile>,
    now: DateTime<Utc>,
) -> Result<Vec<Profile>, AppError> {
    let mut due = Vec::new();
    for profile in shown {
        let recent = profile.revealed_at.is_some() && {
            let story = events::of_subject(conn, SubjectKind::Profile, profile.iccid.as_str())?;
            story.iter().rev().any(|event| {
                matches!(&event.fact, Fact::CodeRevealed { key, order: shown_for }
                        if *key == caller.key && *shown_for == order)
                    && now - event.at < TimeDelta::hours(1)
            })
        };
        if !recent {
            due.push(profile);
        }
    }
    Ok(due)
}
