//! The timeline of a profile.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use simdepot_application::timeline;
use simdepot_domain::iccid::Iccid;
use utoipa::ToSchema;

use super::identifiers;
use super::words::DiagnosisCode;

/// The story of a profile and what it comes down to. Never shows the activation code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "iccid": "8988247000000210014",
    "diagnosis": {"code": "never_downloaded", "text": "The code was shown, but no device downloaded the profile."},
    "data": [{
        "time": "2026-11-21T18:00:00Z", "type": "profile.stock_moved",
        "text": "Sold with order ord_01kamf2r8ye4ja3v6m1tbk7q5c",
        "data": {"from": "available", "to": "allocated", "order": "ord_01kamf2r8ye4ja3v6m1tbk7q5c"}
    }],
    "next_cursor": null
}))]
pub struct Timeline {
    /// The profile.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// What it comes down to.
    pub diagnosis: Diagnosis,
    /// What happened, oldest first.
    pub data: Vec<TimelineEntry>,
    /// Always null: the story is one page.
    pub next_cursor: Option<String>,
}

/// What a profile's standing comes down to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Diagnosis {
    /// For programs. Codes are only added.
    pub code: DiagnosisCode,
    /// For people: what it means, and whose turn it is.
    pub text: String,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// When.
    pub time: DateTime<Utc>,
    /// The type of the event, for example `order.created`.
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// In a sentence.
    pub text: String,
    /// The event's data; its form depends on the type.
    #[schema(value_type = Object)]
    pub data: Json,
}

impl From<timeline::Timeline> for Timeline {
    fn from(story: timeline::Timeline) -> Self {
        let entry = |entry: timeline::TimelineEntry| TimelineEntry {
            time: entry.at,
            type_name: entry.type_name,
            text: entry.text,
            data: entry.data,
        };
        Self {
            iccid: story.iccid,
            diagnosis: Diagnosis { code: story.diagnosis.into(), text: story.diagnosis.text().to_owned() },
            data: story.entries.into_iter().map(entry).collect(),
            next_cursor: None,
        }
    }
}
