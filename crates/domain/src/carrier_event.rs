//! Events from carriers: stored as they came, applied as observations.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::activation_code::ActivationCode;
use crate::bundle::BundleStatus;
use crate::eid::Eid;
use crate::esim::EsimStatus;
use crate::iccid::Iccid;
use crate::line::SuspendedBy;
use crate::msisdn::Msisdn;
use crate::sim::SimStatus;

/// What became of a carrier's event.
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
pub enum CarrierEventStatus {
    /// Waits to be applied.
    Pending,
    /// Applied: what it said is part of our record, unless something newer was.
    Applied,
    /// Of a type, or about a thing, that says nothing for us.
    Ignored,
    /// About a SIM that is not in the stock.
    Unmatched,
    /// Not what the carrier's documents describe.
    Unreadable,
}

/// When an event that could not be applied is tried again after `tries`: over an hour in all, because the delivery file
/// of a SIM may come after its first event. `None` when it is given up.
pub fn try_again_after(tries: u32) -> Option<TimeDelta> {
    const MINUTES: [i64; 7] = [1, 2, 4, 8, 15, 15, 15];
    let pause = usize::try_from(tries.checked_sub(1)?).ok().and_then(|index| MINUTES.get(index))?;
    Some(TimeDelta::minutes(*pause))
}

/// A carrier's event in our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierEvent {
    /// The carrier's id; the same event may come several times.
    pub id: String,
    /// The carrier's type, as it came.
    pub event_type: String,
    /// When it happened, by the carrier's clock.
    pub at: Option<DateTime<Utc>>,
    /// The SIM, when the event names it.
    pub iccid: Option<Iccid>,
    /// The line, when the event names it.
    pub msisdn: Option<Msisdn>,
    /// The code of the line's eSIM, from carriers that give it with the activation.
    pub activation_code: Option<ActivationCode>,
    /// What it says.
    pub news: News,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something happened to the line.
    Line(LineNews),
    /// The eSIM is in this status; at which device, when it says so.
    Esim(EsimStatus, Option<Eid>),
    /// Something happened to a bundle.
    Bundle(BundleNews),
    /// A type that says nothing for us.
    Nothing,
}

/// What an event says of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineNews {
    /// What happened.
    pub change: LineChange,
    /// The line's status now; `None` when the event does not tell.
    pub sim_status: Option<SimStatus>,
    /// Who stopped it, when it was stopped and the event tells.
    pub suspended_by: Option<SuspendedBy>,
    /// The carrier's id of the transaction that did it.
    pub transaction: Option<String>,
    /// The carrier's words when the transaction failed: then nothing happened.
    pub failed: Option<String>,
    /// It proves nothing by itself: a read must confirm it.
    pub hearsay: bool,
}

impl LineNews {
    /// A line that came to a status by itself.
    pub fn of(change: LineChange, sim_status: Option<SimStatus>) -> Self {
        Self { change, sim_status, suspended_by: None, transaction: None, failed: None, hearsay: false }
    }
}

/// What happened to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsRefStr, Display, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LineChange {
    /// It was attached to the network for the first use.
    Preactivated,
    /// It came into service.
    Activated,
    /// Options, rate plan, references or contact data changed.
    Modified,
    /// It was stopped.
    Suspended,
    /// It works again.
    Reactivated,
    /// It ended.
    Terminated,
    /// It has another SIM.
    SimSwapped,
    /// It has another number.
    MsisdnSwapped,
    /// It entered its test period.
    TestMode,
    /// It was paused.
    TariffHoliday,
    /// A command came to its end; the event does not tell which.
    CommandEnded,
}

/// What an event says of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleNews {
    /// The carrier's id of the subscription.
    pub subscription_id: String,
    /// The carrier's product id.
    pub product: Option<String>,
    /// Its status now; `None` when the event does not tell.
    pub status: Option<BundleStatus>,
    /// When it was ordered.
    pub ordered_at: Option<DateTime<Utc>>,
    /// When it started.
    pub activated_at: Option<DateTime<Utc>>,
    /// Before the start the last day to start, then the end.
    pub expires_at: Option<DateTime<Utc>>,
    /// Our reference, where the carrier echoes it.
    pub reference: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_tried_for_an_hour() {
        let total: TimeDelta = (1..).map_while(try_again_after).sum();
        assert_eq!(total, TimeDelta::hours(1));
        assert_eq!((try_again_after(0), try_again_after(8)), (None, None));
    }
}
