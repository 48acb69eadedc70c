//! Reconciliations: our books compared with the carriers'.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::reconciliation::ReconciliationView;
use simdepot_domain::channel::PoolName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id;
use simdepot_persistence::drifts::Drift;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::identifiers;
use super::words::{DriftKind, ReconciliationStatus};
use crate::pagination::Limit;

/// Nothing needs to be said to begin: an empty object, or no body at all.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"adopt_into": "fleet"}))]
pub struct ReconciliationRequest {
    /// The pool that takes in the lines of its carrier account which the stock lacks. One that works is set aside there
    /// (`in_service`): managed, and never for sale.
    #[schema(value_type = Option<identifiers::PoolName>)]
    pub adopt_into: Option<PoolName>,
}

/// Which reconciliations to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReconciliationsQuery {
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A reconciliation: every profile compared with its carrier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "rec_01kamf2r8zfq0sh2v2y5n0c8rd", "status": "completed", "total": 5000, "compared": 4999, "unread": 1,
    "drifts": 2, "healed": 1, "unknown_lines": 0, "adopted": 0,
    "open_drifts": [{"iccid": "8988247000000210014", "kind": "unexpected_bundle", "about": "880017",
        "first_seen_at": "2026-11-21T18:00:00Z"}],
    "created_at": "2026-11-21T17:00:00Z", "finished_at": "2026-11-21T18:10:00Z"
}))]
pub struct Reconciliation {
    /// Its id.
    #[schema(value_type = identifiers::ReconciliationId)]
    pub id: id::ReconciliationId,
    /// Where it stands.
    pub status: ReconciliationStatus,
    /// Profiles to compare, when it began.
    pub total: u64,
    /// Profiles compared.
    pub compared: u64,
    /// Profiles that could not be read: what the carrier has of them is not known.
    pub unread: u64,
    /// Differences that it found.
    pub drifts: u64,
    /// Those of them that a rule has made right.
    pub healed: u64,
    /// Lines of the accounts that are not in the stock.
    pub unknown_lines: u64,
    /// Lines that were not in the stock and were taken into it (`adopt_into`).
    pub adopted: u64,
    /// What differs now, whoever found it, the oldest first; lists leave it out.
    #[schema(max_items = 100)]
    pub open_drifts: Vec<OpenDrift>,
    /// Why it failed. Absent when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Something that differs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "iccid": "8988247000000210014", "kind": "unexpected_bundle", "about": "880017",
    "first_seen_at": "2026-11-21T18:00:00Z"
}))]
pub struct OpenDrift {
    /// On which profile.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// How.
    pub kind: DriftKind,
    /// About what: the carrier's id of a subscription, or a status.
    pub about: String,
    /// When it was found.
    pub first_seen_at: DateTime<Utc>,
}

impl From<(Iccid, Drift)> for OpenDrift {
    fn from((iccid, drift): (Iccid, Drift)) -> Self {
        Self { iccid, kind: drift.kind.into(), about: drift.subject, first_seen_at: drift.first_seen_at }
    }
}

impl From<ReconciliationView> for Reconciliation {
    fn from(view: ReconciliationView) -> Self {
        let ReconciliationView { reconciliation, open_drifts } = view;
        let counts = reconciliation.counts;
        Self {
            id: reconciliation.id,
            status: reconciliation.status.into(),
            total: reconciliation.total,
            compared: counts.compared,
            unread: counts.unread,
            drifts: counts.drifts,
            healed: counts.healed,
            unknown_lines: counts.unknown_lines,
            adopted: counts.adopted,
            open_drifts: open_drifts.into_iter().map(Into::into).collect(),
            problem: reconciliation.problem,
            created_at: reconciliation.created_at,
            finished_at: reconciliation.finished_at,
        }
    }
}
