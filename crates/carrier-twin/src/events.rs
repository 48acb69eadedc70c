//! Events: what Transatel tells its customers' webhooks. The twin writes them to an outbox; [`crate::webhook`] delivers them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::sim::SimStatus;

use crate::line::{Line, wire_status};
use crate::reply::date;
use crate::state::Twin;
use crate::subscription::Subscription;

/// How many events are remembered, at least; older ones are forgotten so that a long run does not fill the memory.
const MAX_EVENTS: usize = 100_000;

/// One event of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinEvent {
    /// Id; a duplicate has the id of its first copy.
    pub event_id: String,
    /// Type, for example `OCS/PRODUCT/ACTIVATED`.
    pub event_type: String,
    /// When it happened.
    pub event_date: DateTime<Utc>,
    /// When a delivery should be tried first: the date plus jitter (A9).
    pub deliver_at: DateTime<Utc>,
    /// Fields of the body.
    pub body: Value,
}

impl TwinEvent {
    /// The event as it is posted to a webhook.
    pub fn envelope(&self) -> Value {
        json!({
            "header": {
                "eventId": self.event_id,
                "eventType": self.event_type,
                "eventDate": date(self.event_date),
            },
            "body": self.body,
        })
    }
}

impl Twin {
    /// The outbox, in the order written; at least the last hundred thousand events.
    pub fn events(&self) -> &[TwinEvent] {
        &self.outbox
    }

    /// A plan's event (Transatel "OCS events").
    pub(crate) fn emit_product(&mut self, now: DateTime<Utc>, suffix: &str, subscription: &Subscription) {
        let category = self.product(&subscription.product_id).map(|product| product.category);
        let body = json!({
            "mvnoRef": self.config.mvno_ref,
            "cos": self.config.cos,
            "msisdn": subscription.msisdn,
            "iccid": subscription.iccid,
            "externalReference": subscription.transaction_reference,
            "productSubscription": {
                "subscriptionId": subscription.subscription_id,
                "subscriptionDate": date(subscription.subscription_date),
                "activationDate": subscription.activation_date.map(date),
                "expirationDate": date(subscription.expiration_date),
                "productDefinition": { "productId": subscription.product_id, "productCategory": category },
            },
        });
        self.emit(now, format!("OCS/PRODUCT/{suffix}"), body);
    }

    /// A profile's event (Transatel "SIM management events"; the body's fields are inferred).
    pub(crate) fn emit_esim(&mut self, now: DateTime<Utc>, suffix: &str, line: &Line) {
        let profile = line.profile.as_ref();
        let body = json!({
            "mvnoRef": self.config.mvno_ref,
            "simSerial": line.spec.iccid,
            "eid": profile.and_then(|profile| profile.eid.as_ref()),
            "status": profile.map(|profile| profile.status),
            "statusDate": profile.map(|profile| date(profile.since)),
        });
        self.emit(now, format!("SIM-MANAGEMENT/ESIM/{suffix}"), body);
    }

    /// A line's event (Transatel "Connectivity management events").
    pub(crate) fn emit_subscriber(&mut self, now: DateTime<Utc>, suffix: &str, source: &str, line: &Line) {
        let body = json!({
            "transactionId": self.ids.uuid(),
            "mvnoRef": self.config.mvno_ref,
            "msisdn": line.spec.msisdn,
            "simSerial": line.spec.iccid,
            "status": wire_status(line.sim_status),
            "source": source,
        });
        self.emit(now, format!("CONNECTIVITY-MANAGEMENT/SUBSCRIBER/{suffix}"), body);
    }

    fn emit(&mut self, now: DateTime<Utc>, event_type: String, body: Value) {
        let jitter = self.random.below(u64::from(self.assumptions.event_jitter_seconds) + 1);
        let jitter = TimeDelta::seconds(i64::try_from(jitter).unwrap_or_default());
        let event = TwinEvent {
            event_id: self.ids.uuid(),
            event_type,
            event_date: now,
            deliver_at: now.checked_add_signed(jitter).unwrap_or(now),
            body,
        };
        let duplicate = self.random.per_mille(self.assumptions.event_duplicates_per_mille);
        let early = self.random.per_mille(self.assumptions.event_reordered_per_mille);
        if self.outbox.len() >= MAX_EVENTS * 2 {
            self.outbox.drain(..MAX_EVENTS);
            self.events_forgotten += MAX_EVENTS;
        }
        let place = if early { self.outbox.len().saturating_sub(1) } else { self.outbox.len() };
        self.outbox.insert(place, event.clone());
        self.stream.push(&event, early);
        if duplicate {
            self.stream.push(&event, false);
            self.outbox.push(event);
        }
    }
}

/// The event of a profile's new status; `available` and `allocated` have none (Transatel "SIM management events").
pub(crate) fn esim_suffix(status: EsimStatus) -> Option<&'static str> {
    match status {
        EsimStatus::Available | EsimStatus::Allocated => None,
        EsimStatus::Released => Some("RELEASED"),
        EsimStatus::Downloaded => Some("DOWNLOADED"),
        EsimStatus::Installed => Some("INSTALLED"),
        EsimStatus::Enabled => Some("ENABLED"),
        EsimStatus::Disabled => Some("DISABLED"),
        EsimStatus::Deleted => Some("DELETED"),
    }
}

/// The event of a line's new status; the other statuses' event names are not public.
pub(crate) fn subscriber_suffix(from: SimStatus, to: SimStatus) -> Option<&'static str> {
    match (from, to) {
        (SimStatus::Suspended, SimStatus::Active) => Some("REACTIVATED"),
        (_, SimStatus::Active) => Some("ACTIVATED"),
        (_, SimStatus::Suspended) => Some("SUSPENDED"),
        (_, SimStatus::Terminated) => Some("TERMINATED"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::{Bench, at};

    fn toggled(bench: &mut Bench, times: i64) {
        let iccid = bench.line().iccid;
        for minute in 0..times {
            let status = if minute % 2 == 0 { SimStatus::Active } else { SimStatus::Suspended };
            bench.twin.set_line_status(&iccid, status, at(minute)).unwrap();
        }
    }

    #[test]
    fn statuses_have_their_documented_events_in_order() {
        let mut bench = Bench::new();
        toggled(&mut bench, 3);
        let types: Vec<&str> = bench.twin.events().iter().map(|e| e.event_type.as_str()).collect();
        assert_eq!(
            types,
            ["ACTIVATED", "SUSPENDED", "REACTIVATED"]
                .map(|s| format!("CONNECTIVITY-MANAGEMENT/SUBSCRIBER/{s}"))
        );
        let event = bench.twin.events()[0].envelope();
        assert_eq!(
            (&event["body"]["status"], &event["body"]["source"]),
            (&json!("Active"), &json!("webtool"))
        );
        assert!(event["header"]["eventDate"].as_str().unwrap().ends_with('Z'));
        assert!(bench.twin.events().iter().all(|e| e.deliver_at == e.event_date));
    }

    #[test]
    fn jitter_duplicates_and_disorder_can_be_switched_on() {
        let mut bench = Bench::new();
        bench.twin.assumptions_mut().event_duplicates_per_mille = 1000;
        bench.twin.assumptions_mut().event_jitter_seconds = 30;
        toggled(&mut bench, 10);
        let events = bench.twin.events();
        let ids: BTreeSet<&str> = events.iter().map(|e| e.event_id.as_str()).collect();
        assert_eq!((events.len(), ids.len()), (20, 10));
        assert!(events.iter().any(|e| e.deliver_at > e.event_date));
        assert!(events.iter().all(|e| e.deliver_at <= e.event_date + TimeDelta::seconds(30)));

        let mut bench = Bench::new();
        bench.twin.assumptions_mut().event_reordered_per_mille = 1000;
        toggled(&mut bench, 2);
        assert!(bench.twin.events()[0].event_date > bench.twin.events()[1].event_date);
    }
}
