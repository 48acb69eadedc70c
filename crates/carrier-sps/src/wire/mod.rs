//! What goes over the wire, without sending it: requests as values, answers as status and bytes.
//!
//! Names, lengths and patterns are those of the pages "SPS - Subscriptions (v5)" and "SPS - Subscription Device Management
//! (v5)". The spelling of a field differs from one request to the next, so each has a type of its own. Fields that are not
//! named here are ignored; what an answer is asked for must be there, or the read has failed.

pub(crate) mod activate;
pub(crate) mod block_list;
pub(crate) mod change;
pub(crate) mod compatibility;
pub(crate) mod device_details;
pub(crate) mod identity;
pub(crate) mod notification;
pub(crate) mod problem;
pub(crate) mod status;
pub(crate) mod transaction;

use serde::Serialize;
use serde_json::Value;
use simdepot_carrier_http::Request;
use simdepot_domain::carrier::Refusal;

use crate::paths::{PathName, Paths};

/// What a request is for; labels metrics and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Activation,
    LineCommand,
    DeviceChange,
    DeviceBlock,
    Transaction,
    Device,
    DeviceModel,
    BlockList,
}

impl From<Call> for &'static str {
    /// The metric label.
    fn from(call: Call) -> Self {
        match call {
            Call::Activation => "activation",
            Call::LineCommand => "line_command",
            Call::DeviceChange => "device_change",
            Call::DeviceBlock => "device_block",
            Call::Transaction => "transaction",
            Call::Device => "device",
            Call::DeviceModel => "device_model",
            Call::BlockList => "block_list",
        }
    }
}

impl Call {
    /// The path of a write.
    pub(crate) fn path(self) -> Option<PathName> {
        match self {
            Self::Activation => Some(PathName::Activate),
            Self::LineCommand => Some(PathName::Status),
            Self::DeviceChange => Some(PathName::Change),
            Self::DeviceBlock => Some(PathName::BlockList),
            Self::Transaction | Self::Device | Self::DeviceModel | Self::BlockList => None,
        }
    }
}

/// A write to where the account has it.
fn write(call: Call, name: PathName, paths: &Paths, body: &impl Serialize) -> Result<Request, Refusal> {
    let (method, path) = paths.of(name);
    let body: Value = serde_json::to_value(body).map_err(|_| problem::not_sendable("", "JSON"))?;
    Ok(Request::new(call, method, path).body(body))
}
