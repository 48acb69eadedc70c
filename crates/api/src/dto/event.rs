//! Events: the entries of the feed.

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use simdepot_domain::id;
use simdepot_persistence::feed::Entry;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::identifiers;
use crate::pagination::Limit;

/// Where to go on in the feed.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The last number that was seen; 0 begins at the start. Beyond the end it is refused: the database was restored.
    #[serde(default)]
    #[validate(range(min = 0, message = "must be 0 or more"))]
    #[param(value_type = Option<i64>, minimum = 0, default = 0)]
    pub after: i64,
    /// The `hash` of that event. The answer is 422 when the feed has another one there: the database was restored, and
    /// the number given again.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    pub hash: Option<FeedHash>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
}

/// The hash of an event of the feed, 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedHash(pub Vec<u8>);

impl<'de> Deserialize<'de> for FeedHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = hex::decode(&text).ok().filter(|hash| hash.len() == 32);
        hash.map(Self).ok_or_else(|| D::Error::custom("must be 64 hex digits"))
    }
}

/// An event: one fact, in its place in the feed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "seq": 1042, "id": "evt_01kamf2r90e1w8k3c5t7y9n2bd", "type": "order.status_changed",
    "time": "2026-11-21T18:00:01Z", "subject": "order/ord_01kamf2r8ye4ja3v6m1tbk7q5c", "version": 2,
    "data": {"from": "in_progress", "to": "fulfilled"},
    "hash": "8b1a9953c4611296a827abf8c47804d7e6c49c6b97c1f3b0c1f0d7f8e2a4d5b6"
}))]
pub struct Event {
    /// Its number: from 1, without a gap, given once unless a backup is restored.
    #[schema(minimum = 1)]
    pub seq: i64,
    /// Stands for this event and all before it: the same number with the same hash is the same feed up to there. Send
    /// it back with `after`.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub hash: String,
    /// Its id.
    #[schema(value_type = identifiers::EventId)]
    pub id: id::EventId,
    /// Its type, for example `order.created`; `docs/EVENTS.md` lists them all with their data. Types are only added.
    #[serde(rename = "type")]
    pub type_name: String,
    /// When it became true.
    pub time: DateTime<Utc>,
    /// What it is about: kind and id.
    #[schema(pattern = "^[a-z_]+/.+$")]
    pub subject: String,
    /// How many events the subject has had with this one: the order of a subject's events.
    #[schema(minimum = 1)]
    pub version: i64,
    /// What is true now; its form depends on the type, as `docs/EVENTS.md` tells. Fields are only added.
    #[schema(value_type = Object)]
    pub data: Json,
}

impl From<Entry> for Event {
    fn from(entry: Entry) -> Self {
        Self {
            seq: entry.seq,
            hash: hex::encode(entry.hash),
            id: entry.id,
            type_name: entry.type_name,
            time: entry.at,
            subject: format!("{}/{}", entry.subject_kind, entry.subject_id),
            version: entry.version,
            data: entry.data,
        }
    }
}
