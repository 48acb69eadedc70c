//! Devices, as carriers tell of them and are told of them.

use serde_json::Value as Json;

use super::reading::LineKey;
use crate::device::{DeviceChange, Tac};
use crate::eid::Eid;
use crate::iccid::Iccid;
use crate::imei::Imei;
use crate::msisdn::Msisdn;

/// Which model of devices is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceQuery {
    /// That of this device.
    Imei(Imei),
    /// The one with this type allocation code.
    Tac(Tac),
}

impl DeviceQuery {
    /// The model's code.
    pub fn tac(&self) -> Tac {
        match self {
            Self::Imei(imei) => Tac::of(imei),
            Self::Tac(tac) => tac.clone(),
        }
    }
}

/// What a carrier says of a model of devices. What no document describes is kept as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceModelReading {
    /// Who makes it, as it came.
    pub manufacturer: Option<Json>,
    /// What it is, for example `PHONE`.
    pub equipment_type: Option<String>,
    /// The networks that it works in, as they came.
    pub networks: Vec<Json>,
    /// Whether it is blocked, as it came.
    pub block_status: Option<Json>,
}

/// What a carrier says of the device that a line is used in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceReading {
    /// The line's status, in the carrier's word.
    pub status: Option<String>,
    /// Whether the device is on the block list.
    pub blocked: Option<bool>,
    /// The line's number.
    pub msisdn: Option<Msisdn>,
    /// The subscriber's number in the network (IMSI or another form).
    pub imsi: Option<String>,
    /// The SIM.
    pub iccid: Option<Iccid>,
    /// The device.
    pub imei: Option<Imei>,
    /// The chip that the eSIM is on.
    pub eid: Option<Eid>,
    /// The subscriber, as named at the activation.
    pub subscriber: Option<String>,
}

/// A change of a line's device, SIM or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChangeOrder {
    /// Our number of the command, the same when it is sent again.
    pub reference: String,
    /// The line.
    pub line: LineKey,
    /// The change.
    pub change: DeviceChange,
}

/// A device to put on the block list, or to take off it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceBlockOrder {
    /// Our number of the command, the same when it is sent again.
    pub reference: String,
    /// The line that the device is used with.
    pub line: LineKey,
    /// The device.
    pub imei: Imei,
    /// Put on, else taken off.
    pub block: bool,
}
