//! What the writes ask for, as read from their bodies.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::{Fields, Shape};
use crate::reply::Problem;
use crate::scripts::CallName;

/// What is done to a subscription's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StatusAction {
    /// Active to suspended.
    Suspend,
    /// Suspended to active.
    Resume,
    /// Active to ceased.
    Cease,
    /// Ceased to active.
    Reactivate,
}

/// What a change exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChangeType {
    /// The device.
    DeviceOnly,
    /// The physical SIM.
    #[serde(rename = "PSIMOnly")]
    PsimOnly,
    /// The device and the physical SIM.
    #[serde(rename = "DeviceAndPSIM")]
    DeviceAndPsim,
    /// The device, and the SIM for an eSIM.
    #[serde(rename = "DeviceAndeSIM")]
    DeviceAndEsim,
}

impl ChangeType {
    const WORDS: [(&str, Self); 4] = [
        ("DeviceOnly", Self::DeviceOnly),
        ("PSIMOnly", Self::PsimOnly),
        ("DeviceAndPSIM", Self::DeviceAndPsim),
        ("DeviceAndeSIM", Self::DeviceAndEsim),
    ];

    pub(super) fn changes_device(self) -> bool {
        self != Self::PsimOnly
    }

    pub(super) fn changes_sim(self) -> bool {
        self != Self::DeviceOnly
    }
}

/// Which line a write names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineKey {
    /// By its number.
    Gpsi(String),
    /// By its SIM.
    Iccid(String),
}

/// An activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// `subscriberId`.
    pub subscriber_id: String,
    /// `wholesalePlanId`.
    pub wholesale_plan_id: String,
    /// `bucketRefId`.
    pub bucket_ref_ids: Vec<Value>,
    /// `location`, whose fields are not published.
    pub location: Value,
    /// `billCycleStartDay`; the twin chooses when it is absent.
    pub bill_cycle_start_day: Option<u8>,
    /// `gpsi`; the twin assigns one when it is absent.
    pub gpsi: Option<String>,
    /// `gpsiReservationId`.
    pub gpsi_reservation_id: Option<String>,
    /// `iccid`; the twin takes an eSIM of the stock when it is absent.
    pub iccid: Option<String>,
    /// `pei`.
    pub pei: Option<String>,
    /// `eid`.
    pub eid: Option<String>,
    /// Whether `eSIMDeliveryMethod` is `QR`.
    pub qr: bool,
    /// `products`, whose fields are not published.
    pub products: Vec<Value>,
}

/// A change of device, SIM or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The line.
    pub line: LineKey,
    /// `changeType`.
    pub kind: ChangeType,
    /// `newPei`.
    pub new_pei: Option<String>,
    /// `newIccid`.
    pub new_iccid: Option<String>,
    /// `newEid`.
    pub new_eid: Option<String>,
    /// Whether `eSimDeliveryMethod` is `QR`.
    pub qr: bool,
}

/// A write whose body fits the schema.
#[derive(Debug, Clone, PartialEq)]
pub enum SpsWrite {
    /// Activate a subscription.
    Activate(Box<Activation>),
    /// Update a subscription's status.
    Status {
        /// The line.
        line: LineKey,
        /// What is asked for.
        action: StatusAction,
    },
    /// Change device, SIM or both.
    Change(Change),
    /// Add a device to the blocklist, or remove it.
    BlockList {
        /// Number of the line that asks.
        gpsi: String,
        /// The device.
        pei: String,
        /// Whether it is added.
        add: bool,
    },
}

impl SpsWrite {
    /// Reads the body of a call.
    pub(super) fn read(call: CallName, object: &Map<String, Value>, strict: bool) -> Result<Self, Problem> {
        let fields = Fields::new(object, strict);
        match call {
            CallName::Activate => activation(fields).map(|activation| Self::Activate(Box::new(activation))),
            CallName::Status => {
                let action = fields.word(
                    "action",
                    &[
                        ("Suspend", StatusAction::Suspend),
                        ("Resume", StatusAction::Resume),
                        ("Cease", StatusAction::Cease),
                        ("Reactivate", StatusAction::Reactivate),
                    ],
                )?;
                Ok(Self::Status { line: line_key(fields)?, action })
            }
            CallName::Change => change(fields).map(Self::Change),
            _ => Ok(Self::BlockList {
                gpsi: fields.gpsi("gpsi")?.ok_or_else(|| Problem::bad_request("gpsi is required"))?,
                pei: fields.required("pei", Shape::PEI)?,
                add: fields.word("action", &[("Add", true), ("Remove", false)])?,
            }),
        }
    }
}

/// Exactly one of `gpsi` and `iccid`; leniently both, of which the SIM counts.
fn line_key(fields: Fields<'_>) -> Result<LineKey, Problem> {
    let (gpsi, iccid) = (fields.gpsi("gpsi")?, fields.text("iccid", Shape::ICCID)?);
    match (gpsi, iccid) {
        (Some(_), Some(_)) if fields.strict() => Err(Problem::bad_request("Give gpsi or iccid, not both")),
        (_, Some(iccid)) => Ok(LineKey::Iccid(iccid)),
        (Some(gpsi), None) => Ok(LineKey::Gpsi(gpsi)),
        (None, None) => Err(Problem::bad_request("gpsi or iccid is required")),
    }
}

fn activation(fields: Fields<'_>) -> Result<Activation, Problem> {
    if fields.has("billCycleFrequency") {
        fields.word("billCycleFrequency", &[("MONTHLY", ())])?;
    }
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let activation = Activation {
        subscriber_id: fields.required("subscriberId", Shape::SUBSCRIBER_ID)?,
        wholesale_plan_id: fields.required("wholesalePlanId", Shape::PLAN_ID)?,
        bucket_ref_ids: fields.list("bucketRefId", "texts that are not empty", text)?,
        location: fields.object("location")?,
        bill_cycle_start_day: fields.bill_day("billCycleStartDay")?,
        gpsi: fields.gpsi("gpsi")?,
        gpsi_reservation_id: fields.text("gpsiReservationId", Shape::RESERVATION_ID)?,
        iccid: fields.text("iccid", Shape::ICCID)?,
        pei: fields.text("pei", Shape::PEI)?,
        eid: fields.text("eid", Shape::EID)?,
        qr: fields.wants_qr("eSIMDeliveryMethod", "eSimDeliveryMethod")?,
        products: fields.list("products", "objects", Value::is_object)?,
    };
    if fields.strict() {
        fits_a_scenario(&activation)?;
    }
    Ok(activation)
}

/// The combinations that activations are described for; the table is inferred (S1).
fn fits_a_scenario(activation: &Activation) -> Result<(), Problem> {
    let Activation { iccid, pei, eid, gpsi, gpsi_reservation_id, qr, .. } = activation;
    if iccid.is_none() && pei.is_none() {
        return Err(Problem::bad_request("iccid or pei is required"));
    }
    if pei.is_none() && (eid.is_some() || *qr) {
        return Err(Problem::bad_request("eid and eSIMDeliveryMethod go with a pei"));
    }
    if gpsi.is_some() != gpsi_reservation_id.is_some() {
        return Err(Problem::bad_request("gpsi and gpsiReservationId go together"));
    }
    Ok(())
}

fn change(fields: Fields<'_>) -> Result<Change, Problem> {
    let change = Change {
        kind: fields.word("changeType", &ChangeType::WORDS)?,
        line: line_key(fields)?,
        new_pei: fields.text("newPei", Shape::PEI)?,
        new_iccid: fields.text("newIccid", Shape::ICCID)?,
        new_eid: fields.text("newEid", Shape::EID)?,
        qr: fields.wants_qr("eSimDeliveryMethod", "eSIMDeliveryMethod")?,
    };
    needs_its_fields(&change)?;
    if fields.strict() {
        has_no_others(&change)?;
    }
    Ok(change)
}

/// What each of the supported scenarios requires; for most it is inferred.
fn needs_its_fields(change: &Change) -> Result<(), Problem> {
    let sim_is_named = matches!(change.kind, ChangeType::PsimOnly | ChangeType::DeviceAndPsim);
    let missing = if change.kind.changes_device() && change.new_pei.is_none() {
        "newPei"
    } else if sim_is_named && change.new_iccid.is_none() {
        "newIccid"
    } else {
        return Ok(());
    };
    Err(Problem::bad_request(format!("{missing} is required for this changeType")))
}

/// What none of the supported scenarios of a change type has (S1).
fn has_no_others(change: &Change) -> Result<(), Problem> {
    let esim = change.kind == ChangeType::DeviceAndEsim;
    let surplus = [
        ("newPei", change.new_pei.is_some() && !change.kind.changes_device()),
        ("newIccid", change.new_iccid.is_some() && !change.kind.changes_sim()),
        ("newEid", change.new_eid.is_some() && !esim),
        ("eSimDeliveryMethod", change.qr && !esim),
    ];
    match surplus.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Problem::bad_request(format!("{name} does not go with this changeType"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
