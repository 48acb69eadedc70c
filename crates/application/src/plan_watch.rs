//! Tells of customers' plans that run out: of little data left as soon as a sighting shows it, of a near end also by the
//! clock alone.

use chrono::{DateTime, Utc};
use simdepot_domain::bundle_warning::{counts_down, data_left};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_persistence::bundles::{self, Bundle, BundleWarned};
use simdepot_persistence::pools::{self, Pool};
use simdepot_persistence::{Conn, events, profiles, watermarks};

use crate::depot::Depot;
use crate::error::AppError;

/// Plans told of per step and pool.
const BATCH: i64 = 100;

/// Tells what the pool of a bundle wants told of it, in the caller's transaction, which has just written the bundle as it is
/// given. Returns whether something was told.
///
/// # Errors
/// [`AppError::Store`] with `RowsAffected` when somebody else changed the bundle in between.
pub(crate) fn warn(
    conn: &mut Conn<'_>,
    depot: &Depot,
    iccid: &Iccid,
    bundle: &Bundle,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    if !counts_down(bundle.status) {
        return Ok(false);
    }
    let settings = pools::of_profile(conn, bundle.profile_id)?.settings;
    let (mut warned, mut facts) = (BundleWarned::default(), Vec::new());
    if let Some(left) = data_left(&bundle.balances, bundle.expires_at)
        && let Some(threshold) = settings.is_low(&left, bundle.low_told_for)
    {
        warned.low_for = Some(left.period);
        let (iccid, percent_left) = (iccid.clone(), left.percent);
        facts.push(Fact::BundleBalanceLow { iccid, percent_left, threshold });
    }
    if let Some(expires_at) = bundle.expires_at
        && settings.ends_soon(expires_at, bundle.expiry_told_for, now)
    {
        warned.expiry_for = Some(expires_at);
        facts.push(Fact::BundleExpiresSoon { iccid: iccid.clone(), expires_at });
    }
    if facts.is_empty() {
        return Ok(false);
    }
    bundles::warned(conn, bundle.id, bundle.version, &warned)?;
    for fact in &facts {
        metrics::counter!("simdepot_plan_warnings_total", "type" => fact.type_name()).increment(1);
    }
    let told: Vec<_> = (bundle.version + 1..)
        .zip(facts)
        .map(|(version, fact)| depot.event(now, Subject::Bundle(bundle.id), version, fact))
        .collect();
    events::append(conn, &told)?;
    Ok(true)
}

/// Tells of plans whose end has come near since the last look, a batch of each pool's. `false` when there is none.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let pools = depot.store.read(pools::list).await?;
    let mut any = false;
    for pool in pools.into_iter().filter(|pool| pool.settings.expiry_warning_days.is_some()) {
        any |= look_at(depot, pool).await?;
    }
    Ok(any)
}

/// Up to which end a pool's plans have been looked at, in microseconds.
fn mark_of(pool: &Pool) -> String {
    format!("plan_watch_{}", pool.id)
}

/// A span of ends, and the mark that it was made from.
#[derive(Debug, Clone, Copy)]
struct Span {
    mark: i64,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// The ends that have come near since the last look. An end that a later sighting brings is that sighting's to tell, so
/// that nothing behind the mark is looked at twice. When a pool is to warn later than before, the mark goes back with it.
fn span(pool: &Pool, mark: i64, now: DateTime<Utc>) -> Option<Span> {
    let until = pool.settings.ends_soon_until(now)?;
    let looked = DateTime::from_timestamp_micros(mark).unwrap_or(now);
    Some(Span { mark, after: looked.clamp(now, until), until })
}

async fn look_at(depot: &Depot, pool: Pool) -> Result<bool, AppError> {
    let (now, name, asked) = (depot.now(), mark_of(&pool), pool.clone());
    let read = depot.store.read(move |conn| {
        let Some(span) = span(&asked, watermarks::get(conn, &mark_of(&asked))?, now) else {
            return Ok(None);
        };
        let ending = bundles::ending(conn, asked.id, span.after, span.until, BATCH)?;
        Ok::<_, AppError>(Some((span, ending)))
    });
    let Some((span, ending)) = read.await? else {
        return Ok(false);
    };
    let full = i64::try_from(ending.len()).unwrap_or(i64::MAX) >= BATCH;
    let moves_back = span.mark > span.until.timestamp_micros();
    if ending.is_empty() && !moves_back {
        // What is there is looked at again; a write for a mark alone is not worth SQLite's only writer.
        return Ok(false);
    }
    let (work, any) = (depot.clone(), !ending.is_empty());
    let told = depot.write_again(move |conn| {
        let now = work.now();
        for seen in &ending {
            let Some(bundle) = bundles::find(conn, seen.id)? else { continue };
            let iccid = profiles::get(conn, bundle.profile_id)?.iccid;
            warn(conn, &work, &iccid, &bundle, now)?;
        }
        // As long as there are more, the told ones are left out by what was noted with them.
        if !full {
            watermarks::advance(conn, &name, span.mark, span.until.timestamp_micros())?;
        }
        Ok::<_, AppError>(())
    });
    match told.await {
        Err(error) if error.is_race() => {
            tracing::debug!(pool = %pool.settings.pool, %error, "plans changed; looked at again in the next step");
            Ok(false)
        }
        other => other.map(|()| any),
    }
}
