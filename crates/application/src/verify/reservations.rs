//! Pools and holds against their events.

use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::hold::HoldStatus;
use simdepot_domain::id::HoldId;
use simdepot_domain::pool::AlertLevel;
use simdepot_persistence::events::{self, StoredEvent};
use simdepot_persistence::pools::Pool;
use simdepot_persistence::verification::VerifiedHold;
use simdepot_persistence::{Conn, pools, verification};

use super::{CHUNK, Look, Report, by_subject, look_again};
use crate::depot::Depot;
use crate::error::AppError;

pub(super) async fn verify_pools(depot: &Depot, report: &mut Report) -> Result<(), AppError> {
    for pool in depot.store.read(pools::list).await? {
        report.pools += 1;
        if let Some(what) = look_again(depot, move |conn| look_at_pool(conn, pool.id)).await? {
            report.find(what);
        }
    }
    Ok(())
}

fn look_at_pool(conn: &mut Conn<'_>, id: i64) -> Result<Look, AppError> {
    let pool = pools::get(conn, id)?;
    let story = events::of_subject(conn, SubjectKind::Pool, pool.settings.pool.as_str())?;
    Ok(match pool_differs(&pool, &story) {
        Some(what) => Look::Differs { what, version: pool.version },
        None => Look::Agrees,
    })
}

/// How a pool differs from its story, if it does.
fn pool_differs(pool: &Pool, story: &[StoredEvent]) -> Option<String> {
    let name = &pool.settings.pool;
    let told = i64::try_from(story.len()).unwrap_or_default();
    if told != pool.version {
        return Some(format!("pool {name} is at version {} but has {told} events", pool.version));
    }
    let level = story.iter().rev().find_map(|event| match &event.fact {
        Fact::PoolStockLow { level, .. } | Fact::PoolStockRecovered { level, .. } => Some(*level),
        _ => None,
    });
    let level = level.unwrap_or(AlertLevel::Ok);
    (level != pool.alert_level)
        .then(|| format!("pool {name} was alerted as {} but its events say {level}", pool.alert_level))
}

pub(super) async fn verify_holds(
    depot: &Depot,
    report: &mut Report,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), AppError> {
    let mut after: Option<HoldId> = None;
    loop {
        let (chunk, story) = depot
            .store
            .read(move |conn| {
                let chunk = verification::holds_after(conn, after, CHUNK)?;
                let ids: Vec<String> = chunk.iter().map(|hold| hold.id.to_string()).collect();
                let story = events::of_subjects(conn, SubjectKind::Hold, &ids)?;
                Ok::<_, AppError>((chunk, story))
            })
            .await?;
        let Some(last) = chunk.last() else {
            return Ok(());
        };
        after = Some(last.id);
        let story = by_subject(story, report);
        for hold in chunk {
            report.holds += 1;
            let told = story.get(&hold.id.to_string()).map_or(&[][..], Vec::as_slice);
            if hold_differs(&hold, told).is_some()
                && let Some(what) = look_again(depot, move |conn| look_at_hold(conn, hold.id)).await?
            {
                report.find(what);
            }
        }
        progress(report.rows());
    }
}

fn look_at_hold(conn: &mut Conn<'_>, id: HoldId) -> Result<Look, AppError> {
    let hold = verification::get_hold(conn, id)?;
    let story = events::of_subject(conn, SubjectKind::Hold, &id.to_string())?;
    Ok(match hold_differs(&hold, &story) {
        Some(what) => Look::Differs { what, version: hold.version },
        None => Look::Agrees,
    })
}

/// How a hold differs from its story, if it does.
fn hold_differs(hold: &VerifiedHold, story: &[StoredEvent]) -> Option<String> {
    let id = hold.id;
    let told = i64::try_from(story.len()).unwrap_or_default();
    if told != hold.version {
        return Some(format!("hold {id} is at version {} but has {told} events", hold.version));
    }
    let (mut status, mut expiry, mut became, mut reserved) = (HoldStatus::Active, None, None, None);
    for event in story {
        match &event.fact {
            Fact::HoldCreated { quantity, expires_at, .. } => {
                (reserved, expiry) = (Some(i64::from(*quantity)), Some(*expires_at));
            }
            Fact::HoldExtended { expires_at } => expiry = Some(*expires_at),
            Fact::HoldEnded { status: ended, order } => (status, became) = (*ended, *order),
            _ => {}
        }
    }
    if status != hold.status {
        return Some(format!("hold {id} is {} but its events say {status}", hold.status));
    }
    if became != hold.order {
        return Some(format!("hold {id} became another order than its events say"));
    }
    let same_moment = |told: chrono::DateTime<chrono::Utc>| {
        // The row keeps microseconds, the event what the clock said.
        told.timestamp_micros() == hold.expires_at.timestamp_micros()
    };
    if reserved != Some(hold.quantity) || !expiry.is_some_and(same_moment) {
        return Some(format!(
            "hold {id} reserves another number, or until another moment, than its events say"
        ));
    }
    None
}
