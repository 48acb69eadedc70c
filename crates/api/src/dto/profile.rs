//! Profiles.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::profiles::{EditProfile, ProfileView, SearchProfiles};
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::profile::{no_sell_by, usable};
use simdepot_domain::{channel, id};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::words::{EsimStatus, FormFactor, QuarantineReason, SimStatus, Source, StockStatus, SuspendedBy};
use super::{identifiers, text, time};
use crate::pagination::Limit;

/// A profile: one unit of stock. Never shows its activation code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "iccid": "8988247000000210014", "pool": "travel-world", "batch": "imp_01kamdz6m4e9vt6hjgq3b5n2ya",
    "form_factor": "esim", "stock_status": "allocated", "quarantine_reason": null,
    "sim_status": "active", "sim_observed_at": "2026-11-21T18:04:05Z", "sim_source": "read",
    "esim_status": "enabled", "esim_observed_at": "2026-11-21T18:04:01Z", "esim_source": "read", "usable": true,
    "msisdn": "337550000210", "suspended_by": null, "rate_plan": "M2MA_WW_TSL_SPC", "group": "fleet-a",
    "external_reference": null, "eid": "89049032123451234512345678901235", "sell_by": null,
    "revealed_at": "2026-11-21T18:00:01Z", "tags": [], "note": null,
    "created_at": "2026-11-02T09:12:00Z", "updated_at": "2026-11-21T18:04:06Z"
}))]
pub struct Profile {
    /// Its ICCID.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// Its pool.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// The import that brought it.
    #[schema(value_type = identifiers::ImportId)]
    pub batch: id::ImportId,
    /// eSIM or plastic.
    pub form_factor: FormFactor,
    /// Where it stands in the stock.
    pub stock_status: StockStatus,
    /// Why it is set aside, if it is.
    pub quarantine_reason: Option<QuarantineReason>,
    /// Status of its line.
    pub sim_status: Option<SimStatus>,
    /// The carrier's date of that, else when it answered.
    pub sim_observed_at: Option<DateTime<Utc>>,
    /// Who said so.
    pub sim_source: Option<Source>,
    /// Status of the eSIM.
    pub esim_status: Option<EsimStatus>,
    /// The carrier's date of that, else when it answered.
    pub esim_observed_at: Option<DateTime<Utc>>,
    /// Who said so.
    pub esim_source: Option<Source>,
    /// Whether the customer can use it now: line active and, for an eSIM, profile enabled on the device.
    pub usable: bool,
    /// Its number, once known.
    #[schema(value_type = Option<identifiers::Msisdn>)]
    pub msisdn: Option<Msisdn>,
    /// Who stopped the line, while it is suspended and the carrier says so.
    pub suspended_by: Option<SuspendedBy>,
    /// The line's rate plan, once known.
    pub rate_plan: Option<String>,
    /// The line's group, once known.
    pub group: Option<String>,
    /// Your reference of the line at the carrier, once known; not unique.
    pub external_reference: Option<String>,
    /// The device's eUICC that holds it, once known.
    #[schema(value_type = Option<identifiers::Eid>)]
    pub eid: Option<Eid>,
    /// From this moment it is not sold; null when it keeps.
    pub sell_by: Option<DateTime<Utc>>,
    /// When its code was first shown.
    pub revealed_at: Option<DateTime<Utc>>,
    /// Your tags; null for keys without the scope `stock`.
    pub tags: Option<Vec<String>>,
    /// Your note; null for keys without the scope `stock`.
    pub note: Option<String>,
    /// When it came in.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Profile {
    /// The answer for a profile. Tags and note are the stock keeper's own: `internals` tells whether they are shown.
    pub fn new(view: ProfileView, internals: bool) -> Self {
        let ProfileView { profile, pool, line } = view;
        let (sim, esim) = (profile.sim, profile.esim);
        Self {
            iccid: profile.iccid,
            pool,
            batch: profile.import_id,
            form_factor: profile.form_factor.into(),
            stock_status: profile.stock_status.into(),
            quarantine_reason: profile.quarantine_reason.map(Into::into),
            sim_status: sim.map(|seen| seen.status.into()),
            sim_observed_at: sim.map(|seen| seen.observed_at),
            sim_source: sim.map(|seen| seen.source.into()),
            esim_status: esim.map(|seen| seen.status.into()),
            esim_observed_at: esim.map(|seen| seen.observed_at),
            esim_source: esim.map(|seen| seen.source.into()),
            usable: usable(profile.form_factor, sim.map(|seen| seen.status), esim.map(|seen| seen.status)),
            msisdn: profile.msisdn,
            suspended_by: line.suspended_by.map(Into::into),
            rate_plan: line.rate_plan,
            group: line.group,
            external_reference: line.external_reference,
            eid: profile.eid,
            sell_by: (profile.sell_by < no_sell_by()).then_some(profile.sell_by),
            revealed_at: profile.revealed_at,
            tags: internals.then_some(profile.tags),
            note: profile.note.filter(|_| internals),
            created_at: profile.created_at,
            updated_at: profile.updated_at,
        }
    }
}

/// Which profiles to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProfilesQuery {
    /// In this pool.
    #[param(value_type = Option<identifiers::PoolName>, inline)]
    pub pool: Option<channel::PoolName>,
    /// Standing there in the stock.
    #[param(inline)]
    pub stock_status: Option<StockStatus>,
    /// With a line in this status.
    #[param(inline)]
    pub sim_status: Option<SimStatus>,
    /// With an eSIM in this status.
    #[param(inline)]
    pub esim_status: Option<EsimStatus>,
    /// Brought by this import.
    #[param(value_type = Option<identifiers::ImportId>, inline)]
    pub batch: Option<id::ImportId>,
    /// With a line in this group.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[param(min_length = 1, max_length = 255)]
    pub group: Option<String>,
    /// With a line under this reference of yours at the carrier; several lines may have it.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[param(min_length = 1, max_length = 255)]
    pub external_reference: Option<String>,
    /// An ICCID, MSISDN, EID or the reference of an order, in full.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[param(min_length = 1, max_length = 255)]
    pub q: Option<String>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl ProfilesQuery {
    /// The search behind it, from `after` on.
    pub fn into_search(self, after: Option<i64>) -> SearchProfiles {
        SearchProfiles {
            pool: self.pool,
            stock_status: self.stock_status.map(Into::into),
            sim_status: self.sim_status.map(Into::into),
            esim_status: self.esim_status.map(Into::into),
            batch: self.batch,
            group: self.group,
            external_reference: self.external_reference,
            q: self.q,
            after,
        }
    }
}

/// What to change about a profile. Absent fields stay as they are.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tags": ["airport-kiosk"], "note": "returned by the shop, unopened", "sell_by": "2027-01-31"}))]
pub struct ProfilePatch {
    /// Another pool of the same carrier account.
    #[schema(value_type = Option<identifiers::PoolName>)]
    pub pool: Option<channel::PoolName>,
    /// Other tags: at most 20 of 1 to 50 characters.
    #[validate(custom(function = "text::tags"))]
    #[schema(max_items = 20)]
    pub tags: Option<Vec<String>>,
    /// Another note; null takes it away.
    #[serde(default, deserialize_with = "time::or_null")]
    #[validate(length(max = 2000), custom(function = "text::lines"))]
    #[schema(value_type = Option<String>, max_length = 2000)]
    pub note: Option<Option<String>>,
    /// Last day of sale (`2027-01-31`), or the moment from which it is not sold; null when it keeps.
    #[serde(default, deserialize_with = "time::sell_by_or_null")]
    #[schema(value_type = Option<String>, pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt].+)?$")]
    pub sell_by: Option<Option<DateTime<Utc>>>,
}

impl From<ProfilePatch> for EditProfile {
    fn from(patch: ProfilePatch) -> Self {
        Self {
            pool: patch.pool,
            tags: patch.tags,
            note: patch.note,
            sell_by: patch.sell_by.map(|moment| moment.unwrap_or_else(no_sell_by)),
        }
    }
}

/// Why a person moves a profile.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "customer reports that the code was already used"}))]
pub struct MoveRequest {
    /// Kept with the event.
    #[validate(length(min = 1, max = 500), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_takes_away_with_null() {
        let patch: ProfilePatch = serde_json::from_str(r#"{"note": null, "sell_by": null}"#).unwrap();
        let edit = EditProfile::from(patch);
        assert_eq!((edit.note, edit.sell_by), (Some(None), Some(no_sell_by())));
        let patch: ProfilePatch = serde_json::from_str("{}").unwrap();
        let edit = EditProfile::from(patch);
        assert!(edit.note.is_none() && edit.sell_by.is_none() && edit.tags.is_none() && edit.pool.is_none());
    }

    #[test]
    fn a_patch_is_checked() {
        for body in [r#"{"tags": [""]}"#, r#"{"note": "a\u0000b"}"#] {
            let patch: ProfilePatch = serde_json::from_str(body).unwrap();
            assert!(patch.validate().is_err(), "{body}");
        }
        for body in [r#"{"sell_by": "tomorrow"}"#, r#"{"iccid": "1"}"#, r#"{"pool": "A B"}"#] {
            assert!(serde_json::from_str::<ProfilePatch>(body).is_err(), "{body}");
        }
    }
}
