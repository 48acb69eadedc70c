//! What is written to a carrier, and how a write ends.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

use crate::bundle::OrderType;
use crate::iccid::Iccid;
use crate::line::{Contact, LineCommand};
use crate::msisdn::Msisdn;
use crate::operation::BundleCommand;
use crate::sim::SimStatus;

/// Who numbers the commands that are sent to a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// The carrier, in its answer. When the answer is lost nobody knows the number, and another sending is another
    /// command.
    Carrier,
    /// We do, with our reference. Whatever became of the answer, the carrier is asked by it; another sending under the
    /// same number is the same command.
    Ours,
}

/// A command to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOrder {
    /// Our number of the command, the same when it is sent again; at most 36 letters, digits, `-` and `_`.
    pub reference: String,
    /// The SIM.
    pub iccid: Iccid,
    /// The line's number, when it is known.
    pub msisdn: Option<Msisdn>,
    /// How the line stands, when it is known.
    pub from: Option<SimStatus>,
    /// The rate plan that goes with every command, for offers that have one.
    pub rate_plan: Option<String>,
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
