//! From the feed to deliveries.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use simdepot_domain::id::{EventId, WebhookEndpointId};
use simdepot_domain::webhook::{EndpointStatus, MAX_BODY, order_key, wants};
use simdepot_persistence::feed::{self, Entry};
use simdepot_persistence::webhooks::deliveries::{self, NewDelivery};
use simdepot_persistence::webhooks::endpoints::{self, Endpoint};

use crate::depot::Depot;
use crate::error::AppError;

/// Events that an endpoint is moved on by at a time.
const CHUNK: i64 = 500;

/// Moves every enabled endpoint on in the feed, by some events each. `false` when all are at its end.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let behind = depot.store.read(|conn| {
        let last = feed::position(conn)?.seq;
        endpoints::behind(conn, last)
    });
    let behind = behind.await?;
    for id in &behind {
        match move_on(depot, *id).await {
            // Another process moved it on, or its owner changed it: it is looked at again in the next step.
            Err(error) if error.is_race() => tracing::debug!(endpoint = %id, %error, "lost a race"),
            Ok(0) => {}
            Ok(_) => depot.signals.webhooks.notify_one(),
            Err(error) => return Err(error),
        }
    }
    Ok(!behind.is_empty())
}

/// Makes the deliveries of one endpoint's next events; returns how many. They are rendered before the transaction that
/// stores them begins, which then makes sure that the endpoint is still the same.
async fn move_on(depot: &Depot, id: WebhookEndpointId) -> Result<usize, AppError> {
    let seen = depot.store.read(move |conn| {
        let Some(endpoint) = endpoints::find(conn, id)? else {
            return Ok(None);
        };
        let events = feed::after(conn, endpoint.position, CHUNK)?;
        Ok::<_, AppError>(Some((endpoint, events)))
    });
    let Some((endpoint, events)) = seen.await? else {
        return Ok(0);
    };
    let Some(position) = events.last().map(|entry| entry.seq) else {
        return Ok(0);
    };
    let wanted = events.into_iter().filter(|entry| is_wanted(&endpoint, entry));
    let wanted = wanted.map(rendered).collect::<Result<Vec<_>, _>>()?;
    let now = depot.now();
    depot
        .store
        .write(move |conn| {
            let Some(current) = endpoints::lock(conn, id)? else {
                return Ok(0);
            };
            if current.version != endpoint.version || current.settings.status != EndpointStatus::Enabled {
                return Ok(0);
            }
            endpoints::advance(conn, &endpoint, position)?;
            deliveries::insert_many(conn, &endpoint, &wanted, false, now)?;
            Ok(wanted.len())
        })
        .await
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    timestamp: DateTime<Utc>,
    data: Data,
}

/// An event as `GET /v1/events` shows it, without what the envelope tells already.
#[derive(Serialize)]
struct Data {
    seq: i64,
    id: EventId,
    subject: String,
    version: i64,
    /// The fact has a place of its own: a field of a later fact cannot collide with ours. Null when it is too long for
    /// a webhook; `GET /v1/events` has it.
    data: Option<Json>,
}

/// An event as it is sent. It is rendered once: every try and both signatures are of the same bytes. It is taken as it
/// was written, because a process of a later version may have written what this one has no type for.
pub(super) fn rendered(entry: Entry) -> Result<NewDelivery, AppError> {
    let order_key = order_key(entry.subject_kind, &entry.subject_id, &entry.data);
    let mut body = Body {
        r#type: &entry.type_name,
        timestamp: entry.at,
        data: Data {
            seq: entry.seq,
            id: entry.id,
            subject: format!("{}/{}", entry.subject_kind, entry.subject_id),
            version: entry.version,
            data: Some(entry.data),
        },
    };
    let mut bytes = serde_json::to_vec(&body).map_err(|error| unwritable(&error))?;
    if bytes.len() >= MAX_BODY {
        body.data.data = None;
        bytes = serde_json::to_vec(&body).map_err(|error| unwritable(&error))?;
    }
    Ok(NewDelivery { seq: entry.seq, event: entry.id, event_type: entry.type_name, order_key, body: bytes })
}

fn unwritable(error: &serde_json::Error) -> AppError {
    AppError::Internal(format!("an event cannot be written as JSON: {error}"))
}

/// Whether an endpoint's types name an event.
pub(super) fn is_wanted(endpoint: &Endpoint, entry: &Entry) -> bool {
    wants(endpoint.settings.types.as_deref(), &entry.type_name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use simdepot_domain::event::SubjectKind;
    use uuid::Uuid;

    use super::*;

    fn entry(type_name: &str, data: Json) -> Entry {
        Entry {
            seq: 7,
            id: EventId(Uuid::nil()),
            at: DateTime::from_timestamp(1_800_000_000, 5_000_000).unwrap(),
            subject_kind: SubjectKind::Pool,
            subject_id: "world".to_owned(),
            version: 3,
            type_name: type_name.to_owned(),
            data,
            hash: vec![0; 32],
        }
    }

    #[test]
    fn a_body_is_compact_and_complete() {
        let made = rendered(entry("pool.changed", json!({"settings": ["name"]}))).unwrap();
        assert_eq!(
            String::from_utf8(made.body).unwrap(),
            r#"{"type":"pool.changed","timestamp":"2027-01-15T08:00:00.005Z","data":{"seq":7,"id":"evt_00000000000000000000000000","subject":"pool/world","version":3,"data":{"settings":["name"]}}}"#
        );
        assert_eq!((made.order_key.as_str(), made.event_type.as_str()), ("pool/world", "pool.changed"));
        // A checkpoint has a number of its own, beside that of the event.
        let made = rendered(entry("feed.checkpoint", json!({"seq": 6, "hash": "00"}))).unwrap();
        let body: Json = serde_json::from_slice(&made.body).unwrap();
        assert_eq!((&body["data"]["seq"], &body["data"]["data"]["seq"]), (&7.into(), &6.into()));
        // What a later version wrote is passed on.
        assert!(rendered(entry("pool.painted", json!({"colour": "red"}))).is_ok());
    }

    #[test]
    fn a_body_is_short() {
        let made = rendered(entry("pool.changed", json!({"settings": ["x".repeat(30_000)]}))).unwrap();
        assert!(made.body.len() < MAX_BODY);
        let body: Json = serde_json::from_slice(&made.body).unwrap();
        assert_eq!((&body["data"]["seq"], &body["data"]["data"]), (&7.into(), &Json::Null));
    }
}
