//! Webhooks out, by Standard Webhooks 1.0.
//!
//! The feed becomes deliveries ([`fan_out`]), deliveries are sent ([`deliver`]) until they are taken or given up, and
//! are kept for a while to be looked at and [`replay`]ed. An event reaches an endpoint **at least once**: a process
//! that dies between a send and its record leaves a delivery that is sent again, with the same `webhook-id` and the
//! same bytes. Events about the same profile arrive in their order, unless one of them was given up.

pub mod deliver;
pub mod endpoints;
pub mod fan_out;
mod probes;
pub mod replay;

use async_trait::async_trait;
use chrono::TimeDelta;
use simdepot_domain::webhook::{Courier, Parcel, Reply};
use simdepot_persistence::webhooks::deliveries;

use crate::depot::Depot;
use crate::error::AppError;

pub use probes::{Probe, Probes};

/// How long deliveries that have ended are kept.
const KEPT: TimeDelta = TimeDelta::days(30);
/// Deliveries that are forgotten per step.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

/// The courier of a process that sends nothing: a command, a test.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCourier;

#[async_trait]
impl Courier for NoCourier {
    async fn deliver(&self, _: &Parcel) -> Reply {
        Reply::Failed { reason: "this process sends no webhooks".to_owned() }
    }
}

/// Forgets deliveries that ended long ago, and counts the pending ones for the metrics. `true` when there may be more
/// to forget.
///
/// # Errors
/// When the store cannot be asked.
pub async fn tidy(depot: &Depot) -> Result<bool, AppError> {
    let now = depot.now();
    let (any_old, (pending, since)) = depot
        .store
        .read(move |conn| {
            Ok::<_, AppError>((
                deliveries::any_finished_before(conn, now - KEPT)?,
                deliveries::pending(conn)?,
            ))
        })
        .await?;
    let age = since.map_or(0, |since| (now - since).num_seconds().max(0));
    metrics::gauge!("simdepot_webhook_pending_deliveries").set(gauge(pending));
    metrics::gauge!("simdepot_webhook_oldest_pending_seconds").set(gauge(age));
    if !any_old {
        return Ok(false);
    }
    let forgotten =
        depot.store.write(move |conn| deliveries::purge(conn, now - KEPT, FORGOTTEN_AT_ONCE)).await?;
    Ok(forgotten > 0)
}

fn gauge(value: i64) -> f64 {
    f64::from(i32::try_from(value).unwrap_or(i32::MAX))
}
