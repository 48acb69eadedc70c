//! Events as Transatel posts them: `{"header": {eventId, eventType, eventDate}, "body": {…}}`.
//!
//! Types come and go without notice and most bodies are documented in part, so only two things are asked of an event:
//! an id and a type. What says nothing for us, or not clearly, is [`News::Nothing`]: reading the carrier finds it out
//! later, while a wrong status would have to be explained.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::UnreadableEvent;
use simdepot_domain::carrier_event::{BundleNews, CarrierEvent, News};
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;

use super::catalogue::Definition;
use super::lenient::{self, plausible};
use crate::settings::LineSettings;
use simdepot_carrier_http::{Fields, usable};

mod line;

#[derive(Deserialize)]
struct Envelope {
    #[serde(default, deserialize_with = "lenient::or_none")]
    header: Option<Header>,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    #[serde(default, deserialize_with = "lenient::text")]
    event_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    event_type: Option<String>,
    #[serde(default, deserialize_with = "lenient::moment")]
    event_date: Option<DateTime<Utc>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    #[serde(deserialize_with = "lenient::text")]
    iccid: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    sim_serial: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    msisdn: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    eid: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    external_reference: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    transaction_reference: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    subscription_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    resource_unit: Option<String>,
    #[serde(deserialize_with = "lenient::or_none")]
    product_subscription: Option<Plan>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Plan {
    #[serde(deserialize_with = "lenient::text")]
    subscription_id: Option<String>,
    #[serde(deserialize_with = "lenient::moment")]
    subscription_date: Option<DateTime<Utc>>,
    #[serde(deserialize_with = "lenient::moment")]
    activation_date: Option<DateTime<Utc>>,
    #[serde(deserialize_with = "lenient::moment")]
    expiration_date: Option<DateTime<Utc>>,
    #[serde(deserialize_with = "lenient::or_none")]
    product_definition: Option<Definition>,
}

/// Reads an event of an account with these settings.
pub(crate) fn parse(bytes: &[u8], settings: &LineSettings) -> Result<CarrierEvent, UnreadableEvent> {
    let expected = |what: &str| UnreadableEvent { what: what.to_owned() };
    // serde's message may quote the value, so it is left out.
    let value: Value = serde_json::from_slice(bytes).map_err(|_| expected("JSON"))?;
    let envelope: Envelope =
        serde_json::from_value(value).map_err(|_| expected("an object with header and body"))?;
    let header = envelope.header.ok_or_else(|| expected("header"))?;
    let id = usable(header.event_id).ok_or_else(|| expected("header.eventId"))?;
    let event_type = usable(header.event_type).ok_or_else(|| expected("header.eventType"))?;
    let body = Body::deserialize(&envelope.body).unwrap_or_default();
    let fields = Fields::of(envelope.body).unwrap_or_default();
    let iccid =
        [&body.iccid, &body.sim_serial].into_iter().flatten().find_map(|text| Iccid::parse(text).ok());
    Ok(CarrierEvent {
        id,
        at: plausible(header.event_date),
        iccid,
        msisdn: body.msisdn.as_deref().and_then(|text| Msisdn::parse(text).ok()),
        activation_code: None,
        news: news_of(&event_type, body, &fields, settings),
        event_type,
    })
}

fn news_of(event_type: &str, body: Body, fields: &Fields, settings: &LineSettings) -> News {
    let upper = event_type.to_ascii_uppercase();
    let segments: Vec<&str> = upper.split('/').map(str::trim).collect();
    match segments.as_slice() {
        ["OCS", "PRODUCT", suffix] => match product_status(suffix) {
            Some(status) => bundle_news(Some(status), body),
            None => News::Nothing,
        },
        ["OCS", .., "RESOURCE", suffix] if suffix.starts_with("EXHAUST") && may_be_data(&body) => {
            bundle_news(Some(BundleStatus::Exhausted), body)
        }
        // Says nothing of the status, but that the balances of one subscription are worth a look.
        ["OCS", .., "RESOURCE", suffix] if suffix.contains("THRESHOLD") => bundle_news(None, body),
        ["SIM-MANAGEMENT", "ESIM", suffix] => match EsimStatus::from_carrier_text(suffix) {
            Some(status) => News::Esim(status, body.eid.and_then(|text| Eid::parse(&text).ok())),
            None => News::Nothing,
        },
        ["CONNECTIVITY-MANAGEMENT", "SUBSCRIBER", suffix @ ..] => {
            line::news_of(suffix, fields, settings).map_or(News::Nothing, News::Line)
        }
        _ => News::Nothing,
    }
}

fn product_status(suffix: &str) -> Option<BundleStatus> {
    match suffix {
        "PRELOADED" => Some(BundleStatus::Preloaded),
        // Starts by itself at a later trigger: the first use where it covers.
        "DEFERRED" => Some(BundleStatus::Ready),
        // A cancelled renewal leaves the period that was paid for.
        "ACTIVATED" | "RENEWED" | "CANCELED" | "CANCELLED" => Some(BundleStatus::Active),
        "EXPIRED" => Some(BundleStatus::Expired),
        "TERMINATED" => Some(BundleStatus::Terminated),
        _ => None,
    }
}

/// A plan without voice minutes is not used up while it has data. The fields of these events are not public, so a
/// unit counts when there is one.
fn may_be_data(body: &Body) -> bool {
    body.resource_unit.as_deref().is_none_or(|unit| lenient::bytes_per(unit).is_some())
}

fn bundle_news(status: Option<BundleStatus>, body: Body) -> News {
    let plan = body.product_subscription.unwrap_or_default();
    let Some(subscription_id) = usable(plan.subscription_id.or(body.subscription_id)) else {
        return News::Nothing;
    };
    if plan.product_definition.as_ref().is_some_and(Definition::is_technical) {
        return News::Nothing;
    }
    News::Bundle(BundleNews {
        subscription_id,
        product: usable(plan.product_definition.and_then(|definition| definition.product_id)),
        status,
        ordered_at: plausible(plan.subscription_date),
        activated_at: plausible(plan.activation_date),
        expires_at: plausible(plan.expiration_date),
        reference: usable(body.external_reference.or(body.transaction_reference)),
    })
}

#[cfg(test)]
mod tests;
