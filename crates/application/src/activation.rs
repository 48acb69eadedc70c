//! Revealing activation codes. A code leaves simdepot only on a fulfilled order of the caller's channel, and the
//! reveal is an event before it does.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::event::{Fact, Subject, SubjectKind};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::OrderStatus;
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
    record_reveal(depot, caller, order.id, vec![profile.clone()]).await?;
    let store = depot.store.clone();
    let code = depot.store.read(move |conn| secrets::activation_code(conn, store.vault(), &profile)).await?;
    code.ok_or(AppError::NotFound { what: "activation code" })
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
        Some(order)
            if profile.stock_status == StockStatus::Allocated && order.status == OrderStatus::Fulfilled =>
        {
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

pub(crate) fn not_fulfilled(order: &Order) -> AppError {
    AppError::InvalidTransition {
        from: order.status.to_string(),
        command: "reveal".to_owned(),
        detail: format!("order {} is {}: codes are revealed once it is fulfilled", order.id, order.status),
    }
}

/// Records that the codes of `shown` leave simdepot: the first time always, later once per key and hour.
pub(crate) async fn record_reveal(
    depot: &Depot,
    caller: &Caller,
    order: OrderId,
    shown: Vec<Profile>,
) -> Result<(), AppError> {
    let (work, caller) = (depot.clone(), caller.clone());
    let now = depot.now();
    let asked_caller = caller.clone();
    // Most reveals are repeats within the hour: they are found out without a write.
    let due = depot.store.read(move |conn| due(conn, &asked_caller, shown, now)).await?;
    if due.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = due.iter().map(|profile| profile.id).collect();
    depot
        .write_again(move |conn| {
            // Read and weighed again under the transaction: a parallel reveal may have told it already.
            let shown = profiles::get_many(conn, &ids)?;
            let fresh = self::due(conn, &caller, shown, now)?;
            profiles::reveal(conn, &fresh, now)?;
            let facts: Vec<_> = fresh
                .iter()
                .map(|profile| {
                    let fact = Fact::CodeRevealed { order, key: caller.key };
                    work.event(now, Subject::Profile(profile.iccid.clone()), profile.version + 1, fact)
                })
                .collect();
            events::append(conn, &facts)?;
            Ok(())
        })
        .await
}

fn due(
    conn: &mut Conn<'_>,
    caller: &Caller,
    shown: Vec<Profile>,
    now: DateTime<Utc>,
) -> Result<Vec<Profile>, AppError> {
    let mut due = Vec::new();
    for profile in shown {
        let recent = profile.revealed_at.is_some() && {
            let story = events::of_subject(conn, SubjectKind::Profile, profile.iccid.as_str())?;
            story.iter().rev().any(|event| {
                matches!(&event.fact, Fact::CodeRevealed { key, .. } if *key == caller.key)
                    && now - event.at < TimeDelta::hours(1)
            })
        };
        if !recent {
            due.push(profile);
        }
    }
    Ok(due)
}
