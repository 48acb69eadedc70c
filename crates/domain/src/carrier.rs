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
use crate::country::CountryCode;
use crate::eid::Eid;
use crate::esim::EsimStatus;
use crate::iccid::Iccid;
use crate::line::{Contact, LineCommand, LineDetails, LineRules};
use crate::msisdn::Msisdn;
use crate::observation::Source;
use crate::operation::BundleCommand;
use crate::product::Product;
use crate::secret::Secret;
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
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// How many calls a second the account may make; `None` when nothing limits them.
    fn calls_per_second(&self) -> Option<u32> {
        None
    }

    /// What the account's lines may be told; `None` for a carrier without line operations.
    fn line_rules(&self) -> Option<LineRules> {
        None
    }

    /// Tells a line something. Sent once: the adapter never repeats it by itself.
    async fn command_line(&self, order: &LineOrder) -> Commanded {
        let _ = order;
        Commanded::Refused(unsupported())
    }

    /// Changes a bundle that is on a line. Sent once: the adapter never repeats it by itself.
    async fn change_bundle(&self, order: &BundleChangeOrder) -> Commanded {
        let _ = order;
        Commanded::Refused(unsupported())
    }

    /// How a command stands that the carrier acknowledged; `None` when the carrier does not know it.
    async fn transaction(&self, id: &str) -> Result<Option<TransactionReading>, ReadError> {
        let _ = id;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// What the SIM card itself is, with its security codes; `None` when the carrier does not know it.
    async fn sim_card(&self, iccid: &Iccid) -> Result<Option<SimCard>, ReadError> {
        let _ = iccid;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// What a line has used in a period, where the carrier counts it beside the bundles' balances.
    async fn usage(&self, asked: &UsageQuery) -> Result<Vec<UsageReading>, ReadError> {
        let _ = asked;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
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

/// The code of what a carrier does not have.
pub const UNSUPPORTED: &str = "unsupported";

fn unsupported() -> Refusal {
    let detail = Some("this carrier has no such operation".to_owned());
    Refusal { code: UNSUPPORTED.to_owned(), detail, concerns: Concern::Account }
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
    /// What else it says.
    pub details: LineDetails,
}

/// A command to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOrder {
    /// The SIM.
    pub iccid: Iccid,
    /// The rate plan that goes with every command.
    pub rate_plan: String,
    /// What the line is told.
    pub command: LineCommand,
    /// With [`LineCommand::SetContact`].
    pub contact: Option<Contact>,
}

/// A change of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleChangeOrder {
    /// The line's number.
    pub msisdn: Msisdn,
    /// The carrier's product id.
    pub product: String,
    /// The carrier's id of the subscription.
    pub subscription_id: String,
    /// What becomes of it.
    pub change: BundleCommand,
    /// Our reference, at most 255 characters.
    pub reference: String,
}

/// The carrier's word on a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandReceipt {
    /// It works on it, under this id.
    Accepted {
        /// The carrier's id of the transaction; absent when it gives none.
        transaction: Option<String>,
    },
    /// It is done.
    Done {
        /// The carrier's id of it.
        reference: Option<String>,
    },
}

/// How a command ended.
pub type Commanded = Answered<CommandReceipt>;

/// How an acknowledged command stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionReading {
    /// The carrier works on it.
    Pending,
    /// It is done.
    Done,
    /// It failed: the line is as before.
    Failed(Refusal),
    /// A word that no document and no setting names.
    Unrecognised {
        /// The word.
        status: String,
    },
}

/// A SIM card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimCard {
    /// The line's number, if it has one.
    pub msisdn: Option<Msisdn>,
    /// Who made the card.
    pub manufacturer: Option<String>,
    /// Reference of the electrical profile.
    pub electrical_profile: Option<String>,
    /// Which SIM applications it takes.
    pub application_compatibility: Option<String>,
    /// Release of the carrier's applet.
    pub applet_release: Option<String>,
    /// Type of the card.
    pub card_type: Option<String>,
    /// Its codes.
    pub codes: SecurityCodes,
}

/// Security codes of a SIM card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityCodes {
    /// PIN 1.
    pub pin1: Option<Secret>,
    /// PUK 1.
    pub puk1: Option<Secret>,
    /// PIN 2.
    pub pin2: Option<Secret>,
    /// PUK 2.
    pub puk2: Option<Secret>,
}

/// What is asked of a line's usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// The SIM.
    pub iccid: Iccid,
    /// Its number, if it has one.
    pub msisdn: Option<Msisdn>,
    /// From this moment.
    pub from: DateTime<Utc>,
    /// To this moment, not included.
    pub to: DateTime<Utc>,
    /// By which interval.
    pub by: UsageInterval,
}

/// An interval of usage.
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
pub enum UsageInterval {
    /// By the hour.
    Hour,
    /// By the day.
    Day,
    /// By the month.
    Month,
}

/// What was used in one interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageReading {
    /// Where the interval begins.
    pub from: DateTime<Utc>,
    /// In which country, when the carrier tells them apart.
    pub country: Option<CountryCode>,
    /// Data, in bytes.
    pub data_bytes: u64,
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
pub type Placement = Answered<BundleReceipt>;

/// How a write ended; `T` is what the carrier says when it took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered<T> {
    /// The carrier took it.
    Done(T),
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
