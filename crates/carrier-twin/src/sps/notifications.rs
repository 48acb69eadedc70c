//! Notifications: what is told when a transaction ends (S9–S12). No payload is published; the shape is assumed.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use simdepot_domain::activation_code::ActivationCode;

use super::config::WebhookAuth;
use super::state::SpsTwin;
use super::subscriptions::SpsSubscription;
use super::transactions::{SpsTransactionStatus, add_reason};
use crate::reply::{add_unknown_fields, date};
use crate::scripts::CallName;
use crate::webhook::{Delivery, Retry, Webhook};

/// How many notifications are remembered, at least; older ones are forgotten.
const MAX_EVENTS: usize = 100_000;

/// A notification.
#[derive(Clone, PartialEq)]
pub struct SpsEvent {
    /// `eventId`; a duplicate has the id of its first copy.
    pub event_id: String,
    /// `eventType`.
    pub event_type: String,
    /// `partnerTransactionId`; `None` for what the operator did by itself.
    pub transaction_id: Option<String>,
    /// `eventTime`.
    pub at: DateTime<Utc>,
    /// When a delivery is tried first; `None` when it never is.
    pub deliver_at: Option<DateTime<Utc>>,
    /// As posted to the webhook, with the activation code when it has one.
    pub body: Value,
}

/// The body can hold an activation code.
impl fmt::Debug for SpsEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpsEvent")
            .field("event_id", &self.event_id)
            .field("event_type", &self.event_type)
            .field("transaction_id", &self.transaction_id)
            .field("at", &self.at)
            .field("deliver_at", &self.deliver_at)
            .finish_non_exhaustive()
    }
}

impl SpsTwin {
    /// The notifications in the order written; at least the last hundred thousand.
    pub fn events(&self) -> &[SpsEvent] {
        &self.outbox
    }

    /// Tells of the end of a transaction; `code_of` is the SIM whose activation code goes along.
    pub(super) fn tell_end(&mut self, at: DateTime<Utc>, place: usize, code_of: Option<&str>) {
        if !self.assumptions.notifications {
            return;
        }
        let Some(transaction) = self.transactions.get(place) else { return };
        let assumptions = &self.assumptions;
        let kind = match transaction.call {
            CallName::Activate => &assumptions.activate_event,
            CallName::Status => &assumptions.status_event,
            CallName::Change => &assumptions.change_event,
            _ => &assumptions.block_list_event,
        };
        let word = match transaction.status {
            SpsTransactionStatus::Failed => &assumptions.failed_word,
            _ => &assumptions.completed_word,
        };
        let by_gpsi = || transaction.gpsi.as_deref().and_then(|gpsi| self.subscription_of_gpsi(gpsi));
        let by_iccid = transaction.iccid.as_deref().and_then(|iccid| self.subscription_of_iccid(iccid));
        let mut body = json!({
            "eventType": kind,
            "partnerTransactionId": transaction.id,
            "status": word,
        });
        add_reason(&mut body, transaction.failure.as_ref());
        self.add_subscription(&mut body, by_iccid.or_else(by_gpsi), code_of);
        let (kind, id) = (kind.clone(), Some(transaction.id.clone()));
        self.emit(at, kind, id, body);
    }

    /// Tells of what the operator did by itself, if it does.
    pub(super) fn tell_of_operator(&mut self, at: DateTime<Utc>, iccid: &str) {
        let kind = self.assumptions.operator_event.clone();
        if kind.is_empty() || !self.assumptions.notifications {
            return;
        }
        let mut body = json!({ "eventType": kind, "status": self.assumptions.completed_word });
        self.add_subscription(&mut body, self.subscription_of_iccid(iccid), None);
        self.emit(at, kind, None, body);
    }

    fn add_subscription(
        &self,
        body: &mut Value,
        subscription: Option<&SpsSubscription>,
        code_of: Option<&str>,
    ) {
        let Some(fields) = body.as_object_mut() else { return };
        if let Some(customer) = &self.config.wholesale_customer_id {
            fields.insert("wholesaleCustomerId".to_owned(), json!(customer));
        }
        if let Some(subscription) = subscription {
            let mut view = self.identifiers(subscription);
            view.insert("status".to_owned(), json!(self.status_word(subscription.status)));
            fields.insert("subscription".to_owned(), Value::Object(view));
        }
        let sim = code_of.filter(|_| self.assumptions.activation_code_in_notification);
        let code = sim.and_then(|iccid| self.sim(iccid)).and_then(|sim| sim.spec.activation_code.as_ref());
        if let Some(code) = code.map(ActivationCode::lpa) {
            fields.insert("eSim".to_owned(), json!({ "activationCode": code }));
        }
    }

    fn emit(
        &mut self,
        at: DateTime<Utc>,
        event_type: String,
        transaction_id: Option<String>,
        mut body: Value,
    ) {
        let event_id = self.ids.uuid();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("eventId".to_owned(), json!(event_id));
            fields.insert("eventTime".to_owned(), json!(date(at)));
        }
        let assumptions = &self.assumptions;
        let lost = self.random.per_mille(assumptions.notification_lost_per_mille);
        let late = self.random.per_mille(assumptions.notification_late_per_mille);
        let early = self.random.per_mille(assumptions.notification_reordered_per_mille);
        let twice = self.random.per_mille(assumptions.notification_duplicates_per_mille);
        let wait =
            TimeDelta::seconds(if late { i64::from(assumptions.notification_late_seconds) } else { 0 });
        let deliver_at = (!lost).then(|| at.checked_add_signed(wait).unwrap_or(at));
        let event = SpsEvent { event_id, event_type, transaction_id, at, deliver_at, body };
        if self.outbox.len() >= MAX_EVENTS * 2 {
            self.outbox.drain(..MAX_EVENTS);
            self.events_forgotten += MAX_EVENTS;
        }
        if let Some(deliver_at) = deliver_at {
            self.stream.push(event.clone(), deliver_at, early);
            if twice {
                self.stream.push(event.clone(), deliver_at, false);
            }
        }
        self.outbox.push(event);
    }

    /// Where notifications go.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.stream.webhook()
    }

    /// Sends notifications there from now on, or nowhere. What happened before is not sent.
    pub fn set_webhook(&mut self, webhook: Option<Webhook>) {
        self.stream.set_webhook(webhook);
    }

    /// How notifications show where they come from, from now on.
    pub fn set_webhook_auth(&mut self, auth: WebhookAuth) {
        self.config.webhook_auth = auth;
    }

    /// The next notification whose time has come. It counts as under way until [`SpsTwin::delivery_ended`].
    pub fn next_delivery(&mut self, now: DateTime<Utc>) -> Option<Delivery> {
        let now = self.settle(now);
        let webhook = self.stream.webhook().cloned()?;
        let (ticket, event) = self.stream.take(now)?;
        let (event_id, mut body) = (event.event_id.clone(), event.body.clone());
        if self.assumptions.unknown_fields {
            add_unknown_fields(&mut body);
        }
        let body = body.to_string().into_bytes();
        let (signature_header, signature) = match &self.config.webhook_auth {
            WebhookAuth::Signature { header } => (header.to_ascii_lowercase(), webhook.signature(&body)),
            WebhookAuth::Bearer => {
                ("authorization".to_owned(), format!("Bearer {}", webhook.secret.expose()))
            }
        };
        Some(Delivery { ticket, event_id, url: webhook.url, signature_header, signature, body })
    }

    /// Takes the status that the webhook answered with, `None` when there was no answer. Returns whether the
    /// notification is delivered; otherwise it is tried again later, or lost (S12).
    pub fn delivery_ended(&mut self, now: DateTime<Utc>, ticket: u64, status: Option<u16>) -> bool {
        let now = self.clock.read(now);
        let delivered = status.is_some_and(|status| (200..300).contains(&status));
        let retry = Retry {
            pause_seconds: self.assumptions.webhook_retry_seconds,
            retries: self.assumptions.webhook_retries,
            suspends: false,
        };
        self.stream.ended(now, ticket, status, delivered, retry)
    }
}

#[cfg(test)]
mod tests;
