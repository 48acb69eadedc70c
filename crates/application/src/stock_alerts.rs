//! Tells when a pool runs low, when it has recovered, and when stock is about to expire.

use chrono::{DateTime, Utc};
use simdepot_domain::channel::PoolName;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::pool::AlertLevel;
use simdepot_domain::stock_alert::{expiry_window, level, threshold};
use simdepot_persistence::pools::{self, Expiring, Pool};
use simdepot_persistence::{Conn, events, stock_counts};

use crate::depot::Depot;
use crate::error::AppError;

/// Looks at every pool.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<(), AppError> {
    let now = depot.now();
    let news = depot.store.read(move |conn| {
        let mut news = Vec::new();
        for pool in pools::list(conn)? {
            if low_or_not(conn, &pool, now)? != pool.alert_level || expiring(conn, &pool, now)?.is_some() {
                news.push(pool.settings.pool);
            }
        }
        Ok::<_, AppError>(news)
    });
    for name in news.await? {
        let (work, pool) = (depot.clone(), name.clone());
        match depot.store.write(move |conn| tell(conn, &work, &pool)).await {
            Err(error) if error.is_race() => {
                tracing::debug!(pool = %name, %error, "the pool changed; looked at again in the next step");
            }
            other => other?,
        }
    }
    Ok(())
}

fn low_or_not(conn: &mut Conn<'_>, pool: &Pool, now: DateTime<Utc>) -> Result<AlertLevel, AppError> {
    let available = pools::sellable(conn, pool, now)?;
    Ok(level(&pool.settings, pool.alert_level, available))
}

fn expiring(conn: &mut Conn<'_>, pool: &Pool, now: DateTime<Utc>) -> Result<Option<Expiring>, AppError> {
    Ok(match expiry_window(&pool.settings, pool.expiring_through, now) {
        Some((after, until)) => stock_counts::expiring(conn, pool.id, after, until)?,
        None => None,
    })
}

/// Decides again on what is true inside the transaction, and writes it down with its events.
fn tell(conn: &mut Conn<'_>, depot: &Depot, name: &PoolName) -> Result<(), AppError> {
    let now = depot.now();
    let pool = crate::pools::require(conn, name)?;
    let available = pools::sellable(conn, &pool, now)?;
    let (before, after) = (pool.alert_level, level(&pool.settings, pool.alert_level, available));
    let mut facts = Vec::new();
    if after > before {
        let threshold = threshold(&pool.settings, after).unwrap_or_default();
        facts.push(Fact::PoolStockLow { level: after, available, threshold });
    } else if after < before {
        facts.push(Fact::PoolStockRecovered { level: after, available });
    }
    let mut through = pool.expiring_through;
    if let Some(Expiring { profiles, first, last }) = expiring(conn, &pool, now)? {
        // Not to the end of the span: what is imported for the time behind it has not been told of.
        through = Some(last);
        facts.push(Fact::PoolStockExpiring { profiles, first, last });
    }
    let told: Vec<_> = (pool.version + 1..)
        .zip(facts)
        .map(|(version, fact)| depot.event(now, Subject::Pool(name.clone()), version, fact))
        .collect();
    let Some(version) = told.last().map(|event| event.version) else {
        return Ok(());
    };
    pools::set_alerts(conn, &pool, after, through, version)?;
    events::append(conn, &told)?;
    if after != before {
        if after > before {
            tracing::warn!(pool = %name, level = %after, available, "stock is low");
        } else {
            tracing::info!(pool = %name, level = %after, available, "stock has recovered");
        }
        metrics::counter!("simdepot_stock_alerts_total", "level" => after.to_string()).increment(1);
    }
    Ok(())
}
