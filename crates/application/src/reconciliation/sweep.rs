//! The continuous comparison: one profile after the other, at a small share of the carriers' rate. What was sold lately
//! comes first and often, because what goes wrong with a sale goes wrong soon; then the rest of the stock in turn.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::reconciliation::{LOOK_TWICE, next_check};
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, operations, profile_checks, watermarks};

use super::compare::compare;
use crate::depot::Depot;
use crate::error::AppError;

/// The last allocation that is watched.
const SALES: &str = "sweep_sales";
/// The last profile of the round through the stock.
const STOCK: &str = "sweep_stock";
/// The moment of the next turn, in microseconds.
const TURN: &str = "sweep_turn";
/// Sales become watched once they are this old: rows are numbered before they are committed, so that the newest may
/// still have gaps.
const SETTLED: TimeDelta = TimeDelta::seconds(60);
/// Sales per step.
const SALES_BATCH: i64 = 200;
/// When a watched profile that could not be compared is looked at again.
const AGAIN: TimeDelta = TimeDelta::minutes(10);
/// Profiles passed over per turn.
const PASSES: usize = 20;
/// As often as a profile is watched that is looked at again for a suspicion alone: not after that.
const NOT_WATCHED: u32 = 1_000;

/// A profile whose turn it is, and how often it was looked at since its sale, when it is watched.
#[derive(Debug)]
struct Picked {
    profile: Profile,
    watched: Option<u32>,
}

/// Compares one profile when it is time for one. `false` when it is not, or there is none.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let every = depot.work.sweep_every;
    if every <= TimeDelta::zero() {
        return Ok(false);
    }
    let (now, turn, any) = depot
        .store
        .read(|conn| {
            let now = conn.now()?;
            let any = profiles::next_after(conn, 0)?.is_some();
            Ok::<_, AppError>((now, watermarks::get(conn, TURN)?, any))
        })
        .await?;
    if !any || turn > now.timestamp_micros() {
        return Ok(false);
    }
    let picked = depot.write_again(move |conn| pick(conn, now, turn, every)).await?;
    let Some(Picked { profile, watched }) = picked else {
        return Ok(false);
    };
    let compared = compare(depot, &profile).await?;
    let result = if compared.unread { "unread" } else { "compared" };
    metrics::counter!("simdepot_sweep_profiles_total", "result" => result).increment(1);
    if watched.is_none() && !compared.suspected {
        return Ok(true);
    }
    depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            if let Some(checks) = watched.filter(|_| !compared.unread) {
                let next = next_check(checks + 1).map(|pause| now + pause);
                profile_checks::looked(conn, profile.id, checks + 1, next)?;
            }
            if compared.suspected {
                profile_checks::look_by(conn, profile.id, now + LOOK_TWICE, NOT_WATCHED)?;
            }
            Ok::<_, AppError>(())
        })
        .await?;
    Ok(true)
}

/// Has a profile compared at the next turn.
///
/// # Errors
/// When the store refuses.
pub(crate) fn look_soon(conn: &mut Conn<'_>, profile_id: i64) -> Result<(), AppError> {
    let now = conn.now()?;
    Ok(profile_checks::look_by(conn, profile_id, now, NOT_WATCHED)?)
}

/// Takes the turn, notes new sales, and picks a profile. `None` when another process has taken the turn.
fn pick(
    conn: &mut Conn<'_>,
    now: DateTime<Utc>,
    turn: i64,
    every: TimeDelta,
) -> Result<Option<Picked>, AppError> {
    if !watermarks::advance(conn, TURN, turn, (now + every).timestamp_micros())? {
        return Ok(None);
    }
    note_sales(conn, now)?;
    for _ in 0..PASSES {
        let Some((id, checks)) = profile_checks::take_due(conn, now, now + AGAIN)? else {
            return next_of_stock(conn);
        };
        if operations::open_sale_of(conn, id)?.is_none() {
            return Ok(Some(Picked { profile: profiles::get(conn, id)?, watched: Some(checks) }));
        }
    }
    Ok(None)
}

fn note_sales(conn: &mut Conn<'_>, now: DateTime<Utc>) -> Result<(), AppError> {
    let mark = watermarks::get(conn, SALES)?;
    let sales = profile_checks::sales_after(conn, mark, now - SETTLED, SALES_BATCH)?;
    let Some((last, ..)) = sales.last() else {
        return Ok(());
    };
    let last = *last;
    for (_, profile_id, sold_at) in sales {
        let first = next_check(0).unwrap_or_default();
        profile_checks::watch(conn, profile_id, sold_at + first)?;
    }
    // Under the turn: nobody else moves it.
    watermarks::advance(conn, SALES, mark, last)?;
    Ok(())
}

/// The next profile of the round; from the start again behind the last. Retired ones have left the stock.
fn next_of_stock(conn: &mut Conn<'_>) -> Result<Option<Picked>, AppError> {
    let mark = watermarks::get(conn, STOCK)?;
    let mut after = mark;
    let mut picked = None;
    for _ in 0..PASSES {
        let next = match profiles::next_after(conn, after)? {
            Some(next) => next,
            None => match profiles::next_after(conn, 0)? {
                Some(first) => first,
                None => break,
            },
        };
        after = next.id;
        let free = operations::open_sale_of(conn, next.id)?.is_none();
        if next.stock_status != StockStatus::Retired && free {
            picked = Some(Picked { profile: next, watched: None });
            break;
        }
    }
    watermarks::advance(conn, STOCK, mark, after)?;
    Ok(picked)
}
