//! Events that an endpoint wants again: after it lost them, or after they were given up.

use simdepot_domain::id::{EventId, WebhookEndpointId};
use simdepot_domain::webhook::EndpointStatus;
use simdepot_persistence::feed::{self, Entry};
use simdepot_persistence::webhooks::deliveries;
use simdepot_persistence::webhooks::endpoints::{self, Endpoint};

use super::endpoints::{get, own_locked};
use super::fan_out::{is_wanted, rendered};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};

/// Most numbers of a range.
pub const MAX_RANGE: i64 = 10_000;

/// What to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// One event, whether or not the endpoint's types name it.
    Event(EventId),
    /// The events from one number to another, both included, as far as the endpoint's types name them and it has got
    /// to them: what comes after that is sent anyway.
    Range {
        /// The first number.
        from: i64,
        /// The last number.
        to: i64,
    },
}

/// Queues deliveries of events again and ends the endpoint's pause; returns how many, and whether an earlier request with the key had done it. They
/// have the `webhook-id` that they had, so a receiver that has one already can tell.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] for a range that is none or too long, or an event that is not in the
/// feed; [`AppError::InvalidTransition`] when the endpoint is disabled.
pub async fn replay(
    depot: &Depot,
    caller: &Caller,
    id: WebhookEndpointId,
    asked: Replay,
    key: Option<&IdempotencyKey>,
) -> Result<(u64, bool), AppError> {
    let queued = match idempotency::once(depot, caller, key, || queue(depot, caller, id, asked, key)).await? {
        Once::Made(queued) => (queued, false),
        Once::Replayed(queued) => (queued.parse().map_err(|_| unreadable_record())?, true),
    };
    depot.signals.webhooks.notify_one();
    Ok(queued)
}

async fn queue(
    depot: &Depot,
    caller: &Caller,
    id: WebhookEndpointId,
    asked: Replay,
    key: Option<&IdempotencyKey>,
) -> Result<u64, AppError> {
    let endpoint = get(depot, caller, id).await?;
    require_enabled(&endpoint)?;
    let events = find(depot, &endpoint, asked).await?;
    let new = events.into_iter().map(rendered).collect::<Result<Vec<_>, _>>()?;
    let count = u64::try_from(new.len()).unwrap_or_default();
    let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
    depot
        .store
        .write(move |conn| {
            idempotency::record(conn, &work, &caller, key.as_ref(), 202, &count.to_string())?;
            let endpoint = own_locked(conn, &caller, id)?;
            require_enabled(&endpoint)?;
            deliveries::insert_many(conn, &endpoint, &new, true, work.now())?;
            // Who asks for events says that he takes them. One that goes on failing still has one try at a time.
            endpoints::set_health(conn, &endpoint, endpoint.health.at_once())?;
            Ok(count)
        })
        .await
}

fn require_enabled(endpoint: &Endpoint) -> Result<(), AppError> {
    match endpoint.settings.status {
        EndpointStatus::Enabled => Ok(()),
        EndpointStatus::Disabled => Err(AppError::InvalidTransition {
            from: endpoint.settings.status.to_string(),
            command: "replay".to_owned(),
            detail: "the endpoint is disabled: enable it first".to_owned(),
        }),
    }
}

async fn find(depot: &Depot, endpoint: &Endpoint, asked: Replay) -> Result<Vec<Entry>, AppError> {
    match asked {
        Replay::Event(event) => {
            let found = depot.store.read(move |conn| feed::find(conn, event)).await?;
            let message = "is not in the feed";
            found.map(|found| vec![found]).ok_or_else(|| AppError::invalid("/event_id", "unknown", message))
        }
        Replay::Range { from, to } => {
            if to < from || to - from >= MAX_RANGE {
                let message = format!("must be from_seq to from_seq + {}", MAX_RANGE - 1);
                return Err(AppError::invalid("/to_seq", "range", message));
            }
            let (through, limit) = (to.min(endpoint.position), to - from + 1);
            let mut found = depot.store.read(move |conn| feed::after(conn, from - 1, limit)).await?;
            found.retain(|entry| entry.seq <= through && is_wanted(endpoint, entry));
            Ok(found)
        }
    }
}
