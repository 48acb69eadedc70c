//! What is read from a carrier.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

use super::write::Unavailable;
use crate::activation_code::ActivationCode;
use crate::bundle::{Balance, BundleStatus};
use crate::country::CountryCode;
use crate::eid::Eid;
use crate::esim::EsimStatus;
use crate::iccid::Iccid;
use crate::imei::Imei;
use crate::line::LineDetails;
use crate::msisdn::Msisdn;
use crate::observation::Source;
use crate::secret::Secret;
use crate::sim::SimStatus;

/// A line by everything that it may be asked for by. Carriers differ in which of them they take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineKey {
    /// Its SIM.
    pub iccid: Iccid,
    /// Its number, when one is known.
    pub msisdn: Option<Msisdn>,
    /// The device that the SIM is in, when one is known.
    pub imei: Option<Imei>,
}

impl LineKey {
    /// A line of which only the SIM is known.
    pub fn of(iccid: &Iccid) -> Self {
        Self { iccid: iccid.clone(), msisdn: None, imei: None }
    }
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
