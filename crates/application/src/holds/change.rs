//! What becomes of a hold: another deadline, or its end.

use chrono::{DateTime, Utc};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::hold::{HoldCommand, HoldError, HoldRefusal, HoldStatus, apply};
use simdepot_domain::id::{HoldId, OrderId};
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::allocations::Claimed;
use simdepot_persistence::holds::{self, Hold, HoldChange};
use simdepot_persistence::{Conn, events};

use super::{HoldView, check_ttl, count, deadline, moved, owned, view};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;

/// Gives a hold another deadline, counted from now.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::HoldExpired`] when it is over; [`AppError::InvalidTransition`] when it became an
/// order.
pub async fn extend(
    depot: &Depot,
    caller: &Caller,
    id: HoldId,
    ttl_seconds: u32,
) -> Result<HoldView, AppError> {
    if let Some(error) = check_ttl(ttl_seconds) {
        return Err(AppError::Invalid(vec![error]));
    }
    let (work, caller) = (depot.clone(), caller.clone());
    let write = depot.write_again(move |conn| {
        let hold = owned(&caller, holds::lock(conn, id)?)?;
        decide(conn, &hold, HoldCommand::Extend)?;
        let (now, expires_at) = (work.now(), deadline(conn, ttl_seconds)?);
        let version = holds::change(conn, &hold, HoldChange::Deadline(expires_at), now)?;
        let fact = Fact::HoldExtended { expires_at };
        events::append(conn, &[work.event(now, Subject::Hold(id), version, fact)])?;
        let at = conn.now()?;
        view(conn, Hold { expires_at, version, updated_at: now, ..hold }, at)
    });
    let extended = write.await?;
    count("extended");
    Ok(extended)
}

/// Gives a hold's profiles back. One that is over already stays as it is.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] when it became an order.
pub async fn release(depot: &Depot, caller: &Caller, id: HoldId) -> Result<HoldView, AppError> {
    let (work, caller) = (depot.clone(), caller.clone());
    let write = depot.write_again(move |conn| {
        let hold = owned(&caller, holds::lock(conn, id)?)?;
        let status = decide(conn, &hold, HoldCommand::Release)?;
        let at = conn.now()?;
        if hold.status != HoldStatus::Active {
            return Ok((view(conn, hold, at)?, None));
        }
        let hold = end_whole(conn, &work, hold, status)?;
        Ok((view(conn, hold, at)?, Some(status)))
    });
    let (released, ended) = write.await?;
    match ended {
        Some(HoldStatus::Expired) => count("expired"),
        Some(_) => count("released"),
        None => {}
    }
    Ok(released)
}

/// What the rules say to a command now. The caller has locked the hold.
pub(crate) fn decide(conn: &mut Conn<'_>, hold: &Hold, command: HoldCommand) -> Result<HoldStatus, AppError> {
    apply(hold.state(), command, conn.now()?).map_err(|error| refused(hold, error))
}

/// The hold is the caller's, and the order that it became is of the same channel: the caller may read of it.
fn refused(hold: &Hold, error: HoldError) -> AppError {
    match error.reason {
        HoldRefusal::Over => AppError::HoldExpired { hold: hold.id, status: error.from },
        HoldRefusal::WrongStatus => AppError::InvalidTransition {
            from: error.from.to_string(),
            command: error.command.to_string(),
            detail: hold
                .order
                .map_or_else(|| error.to_string(), |order| became(hold.id, order, error.command)),
        },
    }
}

/// Why nothing can be asked of a hold that became an order, and what can be done instead.
fn became(hold: HoldId, order: OrderId, command: HoldCommand) -> String {
    let instead = match command {
        HoldCommand::Convert => {
            "read that order, or repeat its request with its own reference; another order needs another hold, or none"
        }
        HoldCommand::Extend | HoldCommand::Expire => {
            "its profiles are that order's, and have no deadline any more"
        }
        HoldCommand::Release => "to give its profiles back, cancel that order",
    };
    format!("the hold {hold} became the order {order}: {instead}")
}

/// Ends a hold that becomes no order: all that it still has goes back.
pub(super) fn end_whole(
    conn: &mut Conn<'_>,
    depot: &Depot,
    hold: Hold,
    status: HoldStatus,
) -> Result<Hold, AppError> {
    let now = depot.now();
    let held = holds::held(conn, hold.id, now)?;
    give_back(conn, depot, &hold, &[held.sellable, held.expired].concat(), now)?;
    end(conn, depot, hold, status, None, now)
}

/// Puts profiles of a hold back on sale.
pub(crate) fn give_back(
    conn: &mut Conn<'_>,
    depot: &Depot,
    hold: &Hold,
    held: &[Claimed],
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    holds::give_back(conn, hold, held, now)?;
    let back = held.iter().map(|profile| {
        let fact = moved(hold.id, StockStatus::Held, StockStatus::Available);
        depot.event(now, Subject::Profile(profile.iccid.clone()), profile.version + 1, fact)
    });
    let facts: Vec<_> = back.collect();
    Ok(events::append(conn, &facts)?)
}

/// Writes a hold's end, and the order that it became. Nothing may be reserved for it any more.
pub(crate) fn end(
    conn: &mut Conn<'_>,
    depot: &Depot,
    hold: Hold,
    status: HoldStatus,
    order: Option<OrderId>,
    now: DateTime<Utc>,
) -> Result<Hold, AppError> {
    let version = holds::change(conn, &hold, HoldChange::End(status, order), now)?;
    let fact = Fact::HoldEnded { status, order };
    events::append(conn, &[depot.event(now, Subject::Hold(hold.id), version, fact)])?;
    Ok(Hold { status, order, version, updated_at: now, ..hold })
}

/// Counts a hold that became an order, once that is committed.
pub(crate) fn count_converted() {
    count("converted");
}
