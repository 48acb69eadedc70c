//! The data stream: which events still have to reach the customer's webhook, and when (Transatel "Data Streams";
//! assumption A12).
//!
//! Pure like the rest of the twin: [`Twin::next_delivery`] hands out what is due, [`Twin::delivery_ended`] takes the
//! answer. The HTTP shell does so over real connections; a simulation passes the body on by itself.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use simdepot_domain::secret::Secret;

use crate::events::TwinEvent;
use crate::reply::add_unknown_fields;
use crate::state::Twin;

/// The header with the signature, in lower case.
pub const SIGNATURE_HEADER: &str = "x-tsl-signature-256";
/// How many events wait at most; beyond, the oldest is lost.
const MAX_WAITING: usize = 100_000;

/// Where events go and what they are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `http://` or `https://`.
    pub url: String,
    /// Key of the HMAC.
    pub secret: Secret,
}

impl Webhook {
    /// Checks that events can be sent there.
    ///
    /// # Errors
    /// The text says what is wrong.
    pub fn new(url: &str, secret: Secret) -> Result<Self, String> {
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if host.is_none_or(str::is_empty) || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("url must begin with http:// or https://".to_owned());
        }
        if secret.is_empty() {
            return Err("secret must not be empty".to_owned());
        }
        Ok(Self { url: url.to_owned(), secret })
    }

    /// The value of [`SIGNATURE_HEADER`] for a body.
    pub fn signature(&self, body: &[u8]) -> String {
        // HMAC takes a key of any length, so this cannot fail; a receiver refuses an empty signature.
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes());
        let mac = mac.map(|mac| hex::encode(mac.chain_update(body).finalize().into_bytes()));
        format!("sha256={}", mac.unwrap_or_default())
    }
}

/// One attempt to make.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// For [`crate::machine::Machine::delivery_ended`].
    pub ticket: u64,
    /// Id of the event.
    pub event_id: String,
    /// Where to post it.
    pub url: String,
    /// Header that shows where it comes from, in lower case: [`SIGNATURE_HEADER`] for Transatel.
    pub signature_header: String,
    /// Its value.
    pub signature: String,
    /// JSON, as signed.
    pub body: Vec<u8>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delivery {} of event {}", self.ticket, self.event_id)
    }
}

#[derive(Debug, Clone)]
struct Waiting<E> {
    event: E,
    failures: u32,
}

/// How the stream goes on when the webhook did not take an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    /// Time until the next attempt, in seconds.
    pub(crate) pause_seconds: u32,
    /// How often an event is tried again.
    pub(crate) retries: u32,
    /// Whether the stream ends with the event that is given up; otherwise only that event is lost.
    pub(crate) suspends: bool,
}

/// The stream's state, for events of either carrier.
#[derive(Debug)]
pub(crate) struct Stream<E = TwinEvent> {
    webhook: Option<Webhook>,
    suspended: bool,
    /// By the moment and then by their place in the outbox.
    waiting: BTreeMap<(DateTime<Utc>, u64), Waiting<E>>,
    under_way: BTreeMap<u64, Waiting<E>>,
    /// Where the newest event waits, if it still does.
    newest: Option<(DateTime<Utc>, u64)>,
    tickets: u64,
    delivered: u64,
    failed: u64,
    lost: u64,
    last_status: Option<u16>,
}

impl<E> Stream<E> {
    pub(crate) fn new(webhook: Option<Webhook>) -> Self {
        Self {
            webhook,
            suspended: false,
            waiting: BTreeMap::new(),
            under_way: BTreeMap::new(),
            newest: None,
            tickets: 0,
            delivered: 0,
            failed: 0,
            lost: 0,
            last_status: None,
        }
    }

    /// A new stream that does not know the tickets of this one.
    pub(crate) fn renewed(&self, webhook: Option<Webhook>) -> Self {
        Self { tickets: self.tickets, ..Self::new(webhook) }
    }

    pub(crate) fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref()
    }

    /// Opens the stream to a webhook, or closes it. What waits goes there; what is closed forgets it.
    pub(crate) fn set_webhook(&mut self, webhook: Option<Webhook>) {
        if webhook.is_none() {
            self.waiting.clear();
            self.under_way.clear();
        }
        self.webhook = webhook;
        self.suspended = false;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.webhook.is_some() && !self.suspended
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Takes a new event to be tried from `deliver_at` on; `early` ones overtake the one before.
    pub(crate) fn push(&mut self, event: E, deliver_at: DateTime<Utc>, early: bool) {
        if !self.is_open() {
            return;
        }
        if self.waiting.len() >= MAX_WAITING && self.waiting.pop_first().is_some() {
            self.lost += 1;
        }
        self.tickets += 1;
        let mut key = (deliver_at, self.tickets);
        let waiting = Waiting { event, failures: 0 };
        let before = self.newest.filter(|_| early).and_then(|key| Some((key, self.waiting.remove(&key)?)));
        if let Some((earlier, overtaken)) = before {
            self.waiting.insert(earlier, waiting);
            key.0 = key.0.max(earlier.0);
            self.waiting.insert(key, overtaken);
        } else {
            self.waiting.insert(key, waiting);
        }
        self.newest = Some(key);
    }

    /// The next event that is due, with its ticket; it is under way from now on.
    pub(crate) fn take(&mut self, now: DateTime<Utc>) -> Option<(u64, &E)> {
        let key = *self.waiting.first_key_value().filter(|((due, _), _)| *due <= now)?.0;
        let waiting = self.waiting.remove(&key)?;
        self.under_way.insert(key.1, waiting);
        self.under_way.get(&key.1).map(|waiting| (key.1, &waiting.event))
    }

    /// Takes the end of an attempt; returns whether the event is `delivered`.
    pub(crate) fn ended(
        &mut self,
        now: DateTime<Utc>,
        ticket: u64,
        status: Option<u16>,
        delivered: bool,
        retry: Retry,
    ) -> bool {
        let Some(mut waiting) = self.under_way.remove(&ticket) else { return false };
        self.last_status = status;
        if delivered {
            self.delivered += 1;
            return true;
        }
        self.failed += 1;
        waiting.failures += 1;
        let given_up = waiting.failures > retry.retries;
        if given_up && !retry.suspends {
            self.lost += 1;
            return false;
        }
        let pause = TimeDelta::seconds(i64::from(retry.pause_seconds));
        self.waiting.insert((now.checked_add_signed(pause).unwrap_or(now), ticket), waiting);
        if given_up {
            self.suspend();
        }
        false
    }

    /// Counts everything that waits as lost and takes no more.
    fn suspend(&mut self) {
        let lost = self.waiting.len() + self.under_way.len();
        self.lost += u64::try_from(lost).unwrap_or(u64::MAX);
        self.waiting.clear();
        self.under_way.clear();
        self.suspended = true;
    }

    /// What the control API shows.
    pub(crate) fn view(&self) -> Value {
        json!({
            "url": self.webhook.as_ref().map(|webhook| &webhook.url),
            "suspended": self.suspended,
            "waiting": self.waiting.len() + self.under_way.len(),
            "delivered": self.delivered,
            "failed_attempts": self.failed,
            "lost": self.lost,
            "last_status": self.last_status,
        })
    }
}

impl Twin {
    /// Where events go.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.stream.webhook()
    }

    /// Sends events there from now on, or nowhere. A suspended stream is opened again; what happened before is not
    /// sent.
    pub fn set_webhook(&mut self, webhook: Option<Webhook>) {
        self.stream.set_webhook(webhook);
    }

    /// The next event whose time has come. It counts as under way until [`Twin::delivery_ended`].
    pub fn next_delivery(&mut self, now: DateTime<Utc>) -> Option<Delivery> {
        if !self.stream.is_open() {
            return None;
        }
        let now = self.begin(now);
        let webhook = self.stream.webhook().cloned()?;
        let (ticket, event) = self.stream.take(now)?;
        let mut envelope = event.envelope();
        if self.assumptions.unknown_fields {
            add_unknown_fields(&mut envelope);
        }
        let body = envelope.to_string().into_bytes();
        Some(Delivery {
            ticket,
            event_id: event.event_id.clone(),
            signature_header: SIGNATURE_HEADER.to_owned(),
            signature: webhook.signature(&body),
            url: webhook.url,
            body,
        })
    }

    /// Takes the status that the webhook answered with, `None` when there was no answer. Returns whether the event is
    /// delivered; otherwise it is tried again later, or the stream is suspended.
    pub fn delivery_ended(&mut self, now: DateTime<Utc>, ticket: u64, status: Option<u16>) -> bool {
        let now = self.clock.read(now);
        let only_204 = self.assumptions.webhook_only_204;
        let delivered =
            status.is_some_and(|status| if only_204 { status == 204 } else { (200..300).contains(&status) });
        let retry = Retry {
            pause_seconds: self.assumptions.webhook_retry_seconds,
            retries: self.assumptions.webhook_retries,
            suspends: true,
        };
        self.stream.ended(now, ticket, status, delivered, retry)
    }

    /// Whether the stream was suspended because its webhook stayed down.
    pub fn stream_is_suspended(&self) -> bool {
        self.stream.is_suspended()
    }

    /// What the control API shows.
    pub(crate) fn stream_view(&self) -> Value {
        self.stream.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, at};
    use simdepot_domain::sim::SimStatus;

    fn wired() -> (Bench, simdepot_domain::iccid::Iccid) {
        let mut bench = Bench::new();
        let webhook = Webhook::new("http://127.0.0.1:9/hook", Secret::new("Jefe")).unwrap();
        bench.twin.set_webhook(Some(webhook));
        let iccid = bench.line().iccid;
        (bench, iccid)
    }

    fn kind(delivery: &Delivery) -> String {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap();
        let kind = body["header"]["eventType"].as_str().unwrap();
        kind.rsplit('/').next().unwrap().to_owned()
    }

    /// Everything that is due, each answered with `status`.
    fn post(bench: &mut Bench, minute: i64, status: Option<u16>) -> Vec<String> {
        let mut posted = Vec::new();
        while let Some(delivery) = bench.twin.next_delivery(at(minute)) {
            posted.push(kind(&delivery));
            bench.twin.delivery_ended(at(minute), delivery.ticket, status);
        }
        posted
    }

    #[test]
    fn signs_as_documented() {
        // RFC 4231, test case 2.
        let webhook = Webhook::new("https://x", Secret::new("Jefe")).unwrap();
        assert_eq!(
            webhook.signature(b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(!format!("{webhook:?}").contains("Jefe"));
        for (url, secret) in [("ftp://x", "s"), ("http://", "s"), ("http://x y", "s"), ("http://x", "")] {
            assert!(Webhook::new(url, Secret::new(secret)).is_err(), "{url}");
        }
    }

    #[test]
    fn delivers_once_in_the_order_of_the_outbox() {
        let (mut bench, iccid) = wired();
        bench.install(&iccid);
        bench.twin.attach(&iccid, "FR", at(0)).unwrap();
        assert_eq!(post(&mut bench, 0, Some(204)), ["DOWNLOADED", "INSTALLED", "ENABLED", "ACTIVATED"]);
        assert!(post(&mut bench, 60, Some(204)).is_empty());
        let view = bench.twin.stream_view();
        assert_eq!((&view["delivered"], &view["waiting"]), (&json!(4), &json!(0)));
    }

    #[test]
    fn an_order_tells_of_its_plan() {
        let (mut bench, _) = wired();
        let line = bench.line();
        assert_eq!(bench.order(&line, "preload").status(), Some(201));
        assert_eq!(post(&mut bench, 0, Some(200)), ["PRELOADED"]);
    }

    #[test]
    fn a12_tries_again_every_ten_minutes_and_lets_others_pass() {
        let (mut bench, iccid) = wired();
        bench.twin.set_line_status(&iccid, SimStatus::Active, at(0)).unwrap();
        for status in [None, Some(500), Some(302), Some(404)] {
            let minute = bench.twin.stream.failed * 10;
            let minute = i64::try_from(minute).unwrap();
            assert_eq!(post(&mut bench, minute, status), ["ACTIVATED"], "{status:?}");
            assert!(post(&mut bench, minute + 9, status).is_empty());
        }
        bench.twin.set_line_status(&iccid, SimStatus::Suspended, at(31)).unwrap();
        assert_eq!(post(&mut bench, 31, Some(204)), ["SUSPENDED"]);
        assert_eq!(post(&mut bench, 40, Some(204)), ["ACTIVATED"]);
    }

    #[test]
    fn a12_suspends_after_sixty_retries_until_it_is_set_again() {
        let (mut bench, iccid) = wired();
        bench.twin.set_line_status(&iccid, SimStatus::Active, at(0)).unwrap();
        for retry in 0..=60 {
            assert!(!bench.twin.stream_is_suspended(), "{retry}");
            assert_eq!(post(&mut bench, retry * 10, Some(503)).len(), 1);
        }
        assert!(bench.twin.stream_is_suspended());
        bench.twin.set_line_status(&iccid, SimStatus::Suspended, at(700)).unwrap();
        assert!(post(&mut bench, 701, Some(204)).is_empty());
        let webhook = bench.twin.webhook().cloned();
        bench.twin.set_webhook(webhook);
        bench.twin.set_line_status(&iccid, SimStatus::Active, at(702)).unwrap();
        assert_eq!(post(&mut bench, 703, Some(204)), ["REACTIVATED"]);
        let view = bench.twin.stream_view();
        assert_eq!((&view["failed_attempts"], &view["lost"]), (&json!(61), &json!(1)));
    }

    #[test]
    fn a12_can_be_turned_over() {
        let (mut bench, iccid) = wired();
        bench.twin.assumptions_mut().webhook_only_204 = true;
        bench.twin.assumptions_mut().webhook_retry_seconds = 0;
        bench.twin.set_line_status(&iccid, SimStatus::Active, at(0)).unwrap();
        let delivery = bench.twin.next_delivery(at(0)).unwrap();
        assert!(!bench.twin.delivery_ended(at(0), delivery.ticket, Some(200)));
        assert_eq!(post(&mut bench, 0, Some(204)), ["ACTIVATED"]);
    }

    #[test]
    fn disorder_and_duplicates_reach_the_webhook() {
        let (mut bench, iccid) = wired();
        bench.twin.assumptions_mut().event_reordered_per_mille = 1000;
        for status in [SimStatus::Active, SimStatus::Suspended, SimStatus::Terminated] {
            bench.twin.set_line_status(&iccid, status, at(0)).unwrap();
        }
        let outbox: Vec<&str> =
            bench.twin.events().iter().map(|e| e.event_type.rsplit('/').next().unwrap()).collect();
        assert_eq!(outbox, ["SUSPENDED", "TERMINATED", "ACTIVATED"]);
        assert_eq!(post(&mut bench, 0, Some(204)), ["SUSPENDED", "TERMINATED", "ACTIVATED"]);

        let (mut bench, iccid) = wired();
        bench.twin.assumptions_mut().event_duplicates_per_mille = 1000;
        bench.twin.set_line_status(&iccid, SimStatus::Active, at(0)).unwrap();
        assert_eq!(post(&mut bench, 0, Some(204)), ["ACTIVATED", "ACTIVATED"]);
    }

    #[test]
    fn jitter_delays_a_delivery() {
        let (mut bench, iccid) = wired();
        bench.twin.assumptions_mut().event_jitter_seconds = 3600;
        bench.twin.set_line_status(&iccid, SimStatus::Active, at(0)).unwrap();
        let due = bench.twin.events()[0].deliver_at;
        assert!(due > at(0) && bench.twin.next_delivery(due - TimeDelta::seconds(1)).is_none());
        assert!(bench.twin.next_delivery(due).is_some());
    }

    #[test]
    fn a_reset_forgets_what_is_under_way() {
        let (mut bench, iccid) = wired();
        bench.twin.set_line_status(&iccid, SimStatus::Active, at(0)).unwrap();
        let delivery = bench.twin.next_delivery(at(0)).unwrap();
        bench.twin.reset();
        assert!(!bench.twin.delivery_ended(at(0), delivery.ticket, Some(204)));
        assert_eq!(bench.twin.webhook(), None, "the configuration has none");
    }
}
