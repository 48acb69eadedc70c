//! The carrier port: what simdepot asks of a carrier, in words that hold for all of them.
//!
//! Reads may fail and be repeated. A write has four ends, and the difference between them is where money is lost:
//! it is done, it is surely refused, it was surely not taken up and may be sent again, or nobody knows.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

use crate::activation_code::ActivationCode;
use crate::bundle::{Balance, BundleStatus, OrderType};
use crate::carrier_event::CarrierEvent;
use crate::channel::AccountName;
use crate::eid::Eid;
use crate::esim::EsimStatus;
use crate::iccid::Iccid;
use crate::msisdn::Msisdn;
use crate::observation::Source;
use crate::product::Product;
use crate::sim::SimStatus;

/// One carrier account.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// The catalogue of the account.
    async fn products(&self) -> Result<Vec<Product>, ReadError>;

    /// One product; `None` when the carrier does not know it.
    async fn product(&self, product: &str) -> Result<Option<Product>, ReadError>;

    /// The line of a SIM, from the best source that the account may read; `None` when the carrier does not know it.
    async fn line(&self, iccid: &Iccid) -> Result<Option<LineReading>, ReadError>;

    /// The eSIM record at the SM-DP+; `None` when the SIM is no eSIM, or not one of ours.
    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError>;

    /// Every bundle on a line, in all statuses, the carrier's own technical ones left out; `None` when the carrier does
    /// not know the line.
    async fn bundles(&self, msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError>;

    /// Puts a product on a line. Sent once: the adapter never repeats it by itself.
    async fn place_bundle(&self, order: &BundleOrder) -> Placement;

    /// Checks credentials and rights without changing anything.
    async fn probe(&self) -> Vec<Probe>;

    /// One page of every line of the account, from 1, from an index that lags. Carriers without one deny it.
    async fn fleet(&self, page: u32) -> Result<FleetPage, ReadError> {
        let _ = page;
        Err(ReadError::Denied { code: "unsupported".to_owned() })
    }

    /// Whether an event really comes from the carrier, by the raw bytes of its body. `header` looks a header up by
    /// its name in lower case. Carriers that send no events refuse all.
    ///
    /// # Errors
    /// [`EventRefused`]: nothing of it may be kept.
    fn authenticate(&self, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<(), EventRefused> {
        let _ = (header, body);
        Err(EventRefused::NotConfigured)
    }

    /// Reads the body of an event that was found to be authentic.
    ///
    /// # Errors
    /// [`UnreadableEvent`] when it is not what the carrier's documents describe.
    fn event(&self, body: &[u8]) -> Result<CarrierEvent, UnreadableEvent> {
        let _ = body;
        Err(UnreadableEvent { what: "an event of a carrier that sends none".to_owned() })
    }
}

/// A page of an account's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetPage {
    /// The lines of the page.
    pub lines: Vec<(Iccid, LineReading)>,
    /// How many lines of the page could not be read.
    pub unreadable: u64,
    /// How many pages there are.
    pub pages: u32,
}

/// An event that is not the carrier's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EventRefused {
    /// The account has no secret to check events with.
    #[error("the account has no webhook_secret, so its events cannot be checked")]
    NotConfigured,
    /// There is no signature, or nothing that could be one. No body mends that.
    #[error("the signature is missing")]
    Unsigned,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
}

/// An event that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the event cannot be understood: {what}")]
pub struct UnreadableEvent {
    /// What was expected, without the content.
    pub what: String,
}

/// Turns at a carrier, shared by every process that uses the account.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Takes `turns` at `per_second` and returns how long to wait for the first of them; the others follow at that
    /// rate. Up to a quarter of a second's turns may be taken at once after a pause.
    ///
    /// # Errors
    /// When the turns cannot be taken: then nothing may be sent.
    async fn take(&self, account: &AccountName, turns: u32, per_second: u32)
    -> Result<Duration, Unavailable>;
}

/// What a carrier says of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineReading {
    /// Its number, once it has one.
    pub msisdn: Option<Msisdn>,
    /// Its status; `None` when the source does not say or the spelling is unknown.
    pub sim_status: Option<SimStatus>,
    /// The carrier's date of the status, else the time of the reply.
    pub observed_at: DateTime<Utc>,
    /// Whether `observed_at` is the carrier's.
    pub dated_by_carrier: bool,
    /// [`Source::Read`] from the system of record, [`Source::Search`] from an index that lags.
    pub source: Source,
}

/// What the SM-DP+ says of an eSIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EsimReading {
    /// Its status; `None` when the spelling is unknown.
    pub status: Option<EsimStatus>,
    /// The carrier's date of the status.
    pub status_date: Option<DateTime<Utc>>,
    /// The device that holds it.
    pub eid: Option<Eid>,
    /// Present once released.
    pub activation_code: Option<ActivationCode>,
    /// Time of the reply.
    pub observed_at: DateTime<Utc>,
}

/// A product to place on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleOrder {
    /// The SIM.
    pub iccid: Iccid,
    /// Its number.
    pub msisdn: Msisdn,
    /// The carrier's product id.
    pub product: String,
    /// How it is placed.
    pub order_type: OrderType,
    /// Our reference, at most 255 characters; carriers that echo it give exact evidence.
    pub reference: String,
}

/// A bundle as the carrier lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleReading {
    /// The carrier's id of the subscription.
    pub subscription_id: String,
    /// The carrier's product id.
    pub product: String,
    /// Its status in our words.
    pub status: BundleStatus,
    /// When it was ordered.
    pub ordered_at: Option<DateTime<Utc>>,
    /// When it started.
    pub activated_at: Option<DateTime<Utc>>,
    /// Before the start the last day to start, then the end.
    pub expires_at: Option<DateTime<Utc>>,
    /// What is left; empty before the start.
    pub balances: Vec<Balance>,
    /// Our reference, where the carrier echoes it.
    pub reference: Option<String>,
}

/// How a bundle order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// The carrier took it.
    Done(BundleReceipt),
    /// The carrier surely did nothing, and says why.
    Refused(Refusal),
    /// The carrier surely did nothing and may take it later: not sent, or turned away at the gate.
    NotTaken(Unavailable),
    /// The carrier may have done it: time-out, lost answer, server error, unreadable answer.
    Unknown(Lost),
}

/// The carrier's receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleReceipt {
    /// The carrier's id of the order.
    pub order_id: Option<String>,
    /// The carrier's id of the subscription; evidence for this order alone.
    pub subscription_id: Option<String>,
    /// How it was placed.
    pub order_type: OrderType,
}

/// A sure refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("the carrier refused: {code}{}", detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default())]
pub struct Refusal {
    /// The carrier's stable code, for example `SUBSCRIBER_STATUS_NOT_ELIGIBLE`.
    pub code: String,
    /// The carrier's words, cut to 500 characters.
    pub detail: Option<String>,
    /// What the refusal is about: decides what happens next.
    pub concerns: Concern,
}

/// What a refusal is about.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Concern {
    /// The line's status does not fit the order type: read it again, try the other type once.
    LineStatus,
    /// This profile cannot be sold: another may take its place.
    Profile,
    /// The product cannot be sold at all.
    Product,
    /// The account may not, or has no funds.
    Account,
    /// The carrier did not accept what we sent. Whether the profile is to blame shows when another is tried.
    Request,
}

/// The carrier cannot be asked right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("the carrier cannot be reached: {reason}")]
pub struct Unavailable {
    /// Why, without secrets.
    pub reason: String,
    /// When it asks to be tried again, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
}

/// A write whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("the carrier's answer was lost: {reason}")]
pub struct Lost {
    /// What was seen instead of an answer, without secrets.
    pub reason: String,
    /// What spoke for its having been taken, when it was answered as a success all the same: the carrier's id of the
    /// order, or the status of the answer.
    pub taken_as: Option<String>,
}

impl Lost {
    /// An answer that never came, or that says nothing.
    pub fn silent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), taken_as: None }
    }
}

/// A read that failed. A failed read is never "nothing there".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Try again later.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The carrier answers that this account may not.
    #[error("the carrier denies this read: {code}")]
    Denied {
        /// The carrier's stable code.
        code: String,
    },
    /// An answer that cannot be understood.
    #[error("the carrier's answer cannot be understood: {what}")]
    Unreadable {
        /// What was expected, without the content.
        what: String,
    },
}

/// One line of a credentials and rights check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What was checked, for example `place orders`.
    pub what: String,
    /// How it went.
    pub result: ProbeResult,
    /// What was seen, and what to do about it.
    pub detail: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr, Display, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ProbeResult {
    /// As needed.
    Ok,
    /// Missing, but simdepot works without it.
    Optional,
    /// Missing, and needed.
    Failed,
}
