//! Commands to lines, to the bundles on them and to the devices that they are used in, and the activations that orders
//! wait for: asked for here, carried out by leased workers in batches.
//!
//! Carriers take such a command and work on it for minutes, so an operation has a way of its own: `pending`, `sent`
//! (committed before the call), `accepted` with the carrier's transaction, and then `done` or `refused`, by the
//! carrier's event or by asking for the transaction. What an event or a transaction cannot tell, the line itself does.
//!
//! As with sold products nothing is sent twice: from `sent` only an outcome leads on, and a lost answer is looked into
//! before anything is repeated. Other than a product, most commands leave a line in a certain state, so that the line
//! shows whether they were taken, and repeating one by mistake changes nothing. The swap of a number is the exception:
//! it is never repeated by itself. A carrier that takes our own number of a command can be asked for it whatever became
//! of the answer: what it does not know is sent again under the same number.

mod ask;
mod books;
mod by_hand;
mod follow;
mod gather;
mod hear;
mod learned;
mod outcome;
mod place;
mod recording;
mod refusal;
mod request;
mod sale;
mod shown;
mod successor;
mod swap;
mod work;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use simdepot_domain::carrier::{
    ActivationOrder, BundleChangeOrder, DeviceBlockOrder, DeviceChangeOrder, LineOrder, LineReading,
};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineStanding;
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::Profile;

pub(crate) use ask::complete;
pub use ask::{LineRequest, Preview, command, preview};
pub(crate) use by_hand::decide;
pub use follow::step as follow_step;
pub(crate) use hear::{hear, named};
pub(crate) use place::{Placing, may_place, place};
pub(crate) use recording::mark_unknown;
pub(crate) use request::may_request;
pub use request::{change_bundle, request};
pub use work::step;

use crate::error::AppError;

/// What the carrier is told.
#[derive(Debug, Clone)]
enum Order {
    Line(Box<LineOrder>),
    Bundle(BundleChangeOrder),
    Activation(Box<ActivationOrder>),
    DeviceChange(Box<DeviceChangeOrder>),
    DeviceBlock(Box<DeviceBlockOrder>),
}

/// What is known of a command that was sent, kept with it as long as its outcome is open.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    /// How the line stood before the first sending.
    before: LineStanding,
    /// The carrier showed the end of it before it was sent: that proves nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shown_before: bool,
    /// The SIM that the carrier chose for the line, when the command named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_to: Option<Iccid>,
    /// Since when it is done but for the code of the eSIM, which the carrier tells apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done_since: Option<DateTime<Utc>>,
    /// Since when complete reads show nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nothing_since: Option<DateTime<Utc>>,
    /// The carrier's last word, or why it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_word: Option<String>,
}

impl Known {
    fn of(operation: &Operation) -> Self {
        operation.resolution.clone().and_then(|known| serde_json::from_value(known).ok()).unwrap_or_default()
    }

    /// What still counts when it is sent again.
    fn for_another_sending(self) -> Self {
        Self { before: self.before, shown_before: self.shown_before, ..Self::default() }
    }

    fn document(&self) -> Result<Json, AppError> {
        serde_json::to_value(self).map_err(|error| AppError::Internal(error.to_string()))
    }
}

/// How a line stands by a reading, and where that says nothing, by what is known of the profile.
fn standing(profile: &Profile, reading: Option<&LineReading>) -> LineStanding {
    LineStanding {
        sim_status: reading
            .and_then(|line| line.sim_status)
            .or_else(|| profile.sim.as_ref().map(|seen| seen.status)),
        msisdn: reading.and_then(|line| line.msisdn.clone()).or_else(|| profile.msisdn.clone()),
        details: reading.map(|line| line.details.clone()).unwrap_or_default(),
    }
}
