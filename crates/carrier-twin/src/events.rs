//! Events: what Transatel tells its customers' webhooks. The twin writes them to an outbox; [`crate::webhook`] delivers them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::sim::SimStatus;

use crate::line::wire_status;
use crate::line_operation::LineOperation;
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

/// Where a line's event comes from.
pub(crate) struct Origin<'a> {
    /// `api`, `webtool` or `system`.
    pub(crate) source: &'static str,
    /// Of the transaction; one is made up for what no transaction did.
    pub(crate) transaction_id: Option<&'a str>,
    /// Whether it tells of a transaction that failed.
    pub(crate) failed: bool,
    /// A further field of the body.
    pub(crate) extra: Option<(&'static str, Value)>,
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
        let body = self.product_body(subscription);
        self.emit(now, format!("OCS/PRODUCT/{suffix}"), body);
    }

    fn product_body(&self, subscription: &Subscription) -> Value {
        let category = self.product(&subscription.product_id).map(|product| product.category);
        json!({
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
        })
    }

    /// A profile's event (Transatel "SIM management events"; the body's fields are inferred).
    pub(crate) fn emit_esim(&mut self, now: DateTime<Utc>, suffix: &str, iccid: &str) {
        let profile = self.lines.get(iccid).and_then(|line| line.profile.as_ref());
        let body = json!({
            "mvnoRef": self.config.mvno_ref,
            "simSerial": iccid,
            "eid": profile.and_then(|profile| profile.eid.as_ref()),
            "status": profile.map(|profile| profile.status),
            "statusDate": profile.map(|profile| date(profile.since)),
        });
        self.emit(now, format!("SIM-MANAGEMENT/ESIM/{suffix}"), body);
    }

    /// A line's event (Transatel "Connectivity management events"); `name` follows the domain's.
    pub(crate) fn emit_subscriber(
        &mut self,
        now: DateTime<Utc>,
        name: &str,
        origin: &Origin<'_>,
        iccid: &str,
    ) {
        if name.is_empty() {
            return;
        }
        let transaction_id = origin.transaction_id.map_or_else(|| self.ids.uuid(), str::to_owned);
        let Some(line) = self.lines.get(iccid) else { return };
        let mut body = json!({
            "transactionId": transaction_id,
            "mvnoRef": self.config.mvno_ref,
            "msisdn": line.msisdn,
            "simSerial": line.spec.iccid,
            "status": if origin.failed { "ERROR" } else { wire_status(line.sim_status) },
            "source": origin.source,
        });
        if let (Some(fields), Some((field, value))) = (body.as_object_mut(), &origin.extra) {
            fields.insert((*field).to_owned(), value.clone());
        }
        self.emit(now, format!("CONNECTIVITY-MANAGEMENT/{name}"), body);
    }

    /// The event of a write; names that are not public are assumptions.
    pub(crate) fn event_name(&self, operation: LineOperation) -> String {
        let name = match operation {
            LineOperation::Activate | LineOperation::LeaveTestMode => "SUBSCRIBER/ACTIVATED",
            LineOperation::Modify | LineOperation::ContactInfo => "SUBSCRIBER/MODIFIED",
            LineOperation::Suspend => "SUBSCRIBER/SUSPENDED",
            LineOperation::Reactivate | LineOperation::LeaveTariffHoliday => "SUBSCRIBER/REACTIVATED",
            LineOperation::Terminate => "SUBSCRIBER/TERMINATED",
            LineOperation::SimSwap => "SUBSCRIBER/SIMCARD/SWAPPED",
            LineOperation::MsisdnSwap => "SUBSCRIBER/MSISDN/SWAPPED",
            LineOperation::TariffHoliday => &self.assumptions.tariff_holiday_event,
            LineOperation::TestMode => &self.assumptions.test_mode_event,
        };
        name.to_owned()
    }

    /// The event of a status that came without a write.
    pub(crate) fn event_of_move(&self, from: SimStatus, to: SimStatus) -> Option<String> {
        let name = match (from, to) {
            (SimStatus::Suspended | SimStatus::TariffHoliday, SimStatus::Active) => "SUBSCRIBER/REACTIVATED",
            (_, SimStatus::Active) => "SUBSCRIBER/ACTIVATED",
            (_, SimStatus::Suspended) => "SUBSCRIBER/SUSPENDED",
            (_, SimStatus::Terminated) => "SUBSCRIBER/TERMINATED",
            (_, SimStatus::Preactivated) => &self.assumptions.preactivated_event,
            (_, SimStatus::TestMode) => &self.assumptions.test_mode_event,
            (_, SimStatus::TariffHoliday) => &self.assumptions.tariff_holiday_event,
            (_, SimStatus::Available | SimStatus::Loaded | SimStatus::Ceased) => return None,
        };
        Some(name.to_owned())
    }

    /// A resource's event, under a name of its own; the body's fields are those of the plan.
    pub(crate) fn emit_resource(
        &mut self,
        now: DateTime<Utc>,
        event_type: String,
        subscription: &Subscription,
    ) {
        if !event_type.is_empty() {
            let body = self.product_body(subscription);
            self.emit(now, event_type, body);
        }
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
        self.stream.push(event.clone(), event.deliver_at, early);
        if duplicate {
            self.stream.push(event.clone(), event.deliver_at, false);
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
