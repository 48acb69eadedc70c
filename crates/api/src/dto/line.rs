//! Lines: how one stands, its SIM card, its security codes, its groups.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::groups;
use simdepot_application::lines::LineView;
use simdepot_application::security_codes::{CodesFrom, RevealedCodes};
use simdepot_domain::carrier;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;
use simdepot_domain::{channel, observation, sim};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::identifiers;
use super::service_profile::LineOption;
use super::words::{SimStatus, Source, SuspendedBy};
use crate::pagination::Limit;

/// How a line stands. Null is what the carrier has not told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "iccid": "8988247000000210014", "msisdn": "337550000210", "sim_status": "active", "suspended_by": null,
    "rate_plan": "M2MA_WW_TSL_SPC", "options": [{"name": "M2M_TSL_BAR_DATA", "value": "off"}], "group": "fleet-a",
    "external_reference": "truck 7", "activated_at": "2026-11-02T09:12:00Z", "modified_at": "2026-11-20T11:00:00Z",
    "contract_ends_at": null, "observed_at": "2026-11-21T18:04:05Z", "source": "read"
}))]
pub struct Line {
    /// Its SIM.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// Its number.
    #[schema(value_type = Option<identifiers::Msisdn>)]
    pub msisdn: Option<Msisdn>,
    /// Its status.
    pub sim_status: Option<SimStatus>,
    /// Who stopped it, while it is suspended.
    pub suspended_by: Option<SuspendedBy>,
    /// Its rate plan.
    pub rate_plan: Option<String>,
    /// Its options, by name.
    pub options: Option<Vec<LineOption>>,
    /// Its group.
    pub group: Option<String>,
    /// Your reference; not unique.
    pub external_reference: Option<String>,
    /// When it was activated.
    pub activated_at: Option<DateTime<Utc>>,
    /// When it was last modified.
    pub modified_at: Option<DateTime<Utc>>,
    /// When its contract ends.
    pub contract_ends_at: Option<DateTime<Utc>>,
    /// When that was so: the carrier's date, or the time of its reply.
    pub observed_at: Option<DateTime<Utc>>,
    /// Who said so. Anything but `read` and `search` is what was last known.
    pub source: Option<Source>,
}

impl From<LineView> for Line {
    fn from(view: LineView) -> Self {
        let LineView { profile, details, observed_at, source } = view;
        Self {
            iccid: profile.iccid,
            msisdn: profile.msisdn,
            sim_status: profile.sim.map(|seen| seen.status.into()),
            suspended_by: details.suspended_by.map(Into::into),
            rate_plan: details.rate_plan,
            options: details.options.map(|options| options.into_iter().map(Into::into).collect()),
            group: details.group,
            external_reference: details.external_reference,
            activated_at: details.activated_at,
            modified_at: details.modified_at,
            contract_ends_at: details.contract_ends_at,
            observed_at,
            source: source.map(Into::into),
        }
    }
}

/// What a SIM card is, as the carrier has it on record. Null is what it does not tell.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "iccid": "8988247000000210014", "msisdn": "337550000210", "manufacturer": "Idemia",
    "electrical_profile": "TSL_V4", "application_compatibility": "3G/4G", "applet_release": "7.2",
    "type": "esim", "source": "read"
}))]
pub struct SimCard {
    /// The SIM.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// The line's number, if it has one.
    #[schema(value_type = Option<identifiers::Msisdn>)]
    pub msisdn: Option<Msisdn>,
    /// Who made the card.
    pub manufacturer: Option<String>,
    /// Reference of the electrical profile.
    pub electrical_profile: Option<String>,
    /// Which SIM applications it takes.
    pub application_compatibility: Option<String>,
    /// Release of the carrier's applet.
    pub applet_release: Option<String>,
    /// Type of the card, in the carrier's words.
    pub r#type: Option<String>,
    /// Who said so.
    pub source: Source,
}

impl SimCard {
    /// The answer for a profile's card, without its codes.
    pub fn new(iccid: Iccid, known: Option<Msisdn>, card: carrier::SimCard) -> Self {
        Self {
            iccid,
            msisdn: card.msisdn.or(known),
            manufacturer: card.manufacturer,
            electrical_profile: card.electrical_profile,
            application_compatibility: card.application_compatibility,
            applet_release: card.applet_release,
            r#type: card.card_type,
            source: observation::Source::Read.into(),
        }
    }
}

/// Where security codes come from.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodesSource {
    /// The delivery file.
    Delivery,
    /// The carrier's record, asked now.
    Carrier,
}

/// The security codes of a SIM card. All of it is secret. Null is what is not known.
// No `Debug`, so that it cannot be logged.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "iccid": "8988247000000210014", "pin1": "0000", "puk1": "12345678", "pin2": null, "puk2": null,
    "source": "delivery"
}))]
pub struct SecurityCodes {
    /// The SIM.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// PIN 1.
    pub pin1: Option<String>,
    /// PUK 1.
    pub puk1: Option<String>,
    /// PIN 2.
    pub pin2: Option<String>,
    /// PUK 2.
    pub puk2: Option<String>,
    /// Where they come from.
    pub source: CodesSource,
}

impl From<RevealedCodes> for SecurityCodes {
    fn from(revealed: RevealedCodes) -> Self {
        let text = |code: Option<Secret>| code.map(|code| code.expose().to_owned());
        let codes = revealed.codes;
        Self {
            iccid: revealed.iccid,
            pin1: text(codes.pin1),
            puk1: text(codes.puk1),
            pin2: text(codes.pin2),
            puk2: text(codes.puk2),
            source: match revealed.from {
                CodesFrom::Delivery => CodesSource::Delivery,
                CodesFrom::Carrier => CodesSource::Carrier,
            },
        }
    }
}

/// Which groups to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GroupsQuery {
    /// Of this carrier account.
    #[param(value_type = Option<identifiers::AccountName>, inline)]
    pub carrier_account: Option<channel::AccountName>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A group of lines, and how they stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "group": "fleet-a", "lines": 1200, "available": 0, "loaded": 0, "preactivated": 150, "active": 1000,
    "suspended": 40, "test_mode": 0, "tariff_holiday": 0, "terminated": 10, "ceased": 0, "unseen": 0
}))]
pub struct Group {
    /// Its name; null of the lines without a group.
    pub group: Option<String>,
    /// How many lines it has.
    pub lines: u64,
    /// Those that are available.
    pub available: u64,
    /// Those that are loaded.
    pub loaded: u64,
    /// Those that are preactivated.
    pub preactivated: u64,
    /// Those that are active.
    pub active: u64,
    /// Those that are suspended.
    pub suspended: u64,
    /// Those in test mode.
    pub test_mode: u64,
    /// Those on tariff holiday.
    pub tariff_holiday: u64,
    /// Those that are terminated.
    pub terminated: u64,
    /// Those that have ceased.
    pub ceased: u64,
    /// Those whose status was never seen.
    pub unseen: u64,
}

impl From<groups::Group> for Group {
    fn from(group: groups::Group) -> Self {
        let count = |status| group.by_status.get(&status).copied().unwrap_or_default();
        Self {
            lines: group.lines(),
            available: count(sim::SimStatus::Available),
            loaded: count(sim::SimStatus::Loaded),
            preactivated: count(sim::SimStatus::Preactivated),
            active: count(sim::SimStatus::Active),
            suspended: count(sim::SimStatus::Suspended),
            test_mode: count(sim::SimStatus::TestMode),
            tariff_holiday: count(sim::SimStatus::TariffHoliday),
            terminated: count(sim::SimStatus::Terminated),
            ceased: count(sim::SimStatus::Ceased),
            unseen: group.unseen,
            group: group.name,
        }
    }
}
