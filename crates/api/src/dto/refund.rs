//! Whether an order may be paid back.

use chrono::{DateTime, Utc};
use serde::Serialize;
use simdepot_application::refunds::{self, Eligibility};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id;
use utoipa::ToSchema;

use super::identifiers;
use super::words::{BundleStatus, EsimStatus, RefundReasonCode, SimStatus};

/// Whether an order may be paid back, and what says so.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "order_id": "ord_01kamf2r8ye4ja3v6m1tbk7q5c", "eligible": true,
    "reasons": [{
        "code": "code_was_shown", "iccid": "8988247000000210014",
        "text": "its activation code was shown: that is no use, but the profile cannot be sold again"
    }],
    "evidence": {"profiles": [{
        "iccid": "8988247000000210014", "revealed_at": "2026-11-21T18:00:01Z", "sim_status": "preactivated",
        "esim_status": "released", "eid_bound": false,
        "bundles": [{
            "id": "bdl_01kamf2r8zfq0sh2v2w4r3t9xd", "product": "WW_901O_STACK_ONEOFF_FRANCE_1GB_7D",
            "status": "preloaded", "activated_at": null, "used": false
        }],
        "observed_at": "2026-11-22T09:30:00Z", "fresh": true
    }]}
}))]
pub struct RefundEligibility {
    /// The order.
    #[schema(value_type = identifiers::OrderId)]
    pub order_id: id::OrderId,
    /// Whether nothing of it was used, and the outcome of nothing is open, by what the carrier said for this answer.
    pub eligible: bool,
    /// Why not, and what else must be known before it is paid back: `code_was_shown` alone does not stand against it.
    /// `not_verified`: nothing is known that does, but the carrier could not be asked for all of it now; ask again later.
    pub reasons: Vec<RefundReason>,
    /// What is known.
    pub evidence: RefundEvidence,
}

/// What stands against paying back, or must be known before.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundReason {
    /// What.
    pub code: RefundReasonCode,
    /// Of which profile.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// The same in words.
    pub text: String,
}

/// What is known of an order's profiles.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundEvidence {
    /// Every profile that a customer got with the order, those that were taken back or replaced included.
    pub profiles: Vec<RefundProfile>,
}

/// What is known of one profile.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundProfile {
    /// Its ICCID.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// When its code was first shown.
    pub revealed_at: Option<DateTime<Utc>>,
    /// Status of its line.
    pub sim_status: Option<SimStatus>,
    /// Status of the eSIM.
    pub esim_status: Option<EsimStatus>,
    /// Whether a device's EID is bound to it.
    pub eid_bound: bool,
    /// What is on it.
    pub bundles: Vec<RefundBundle>,
    /// When the carrier said so: the oldest of it. Null when it never did.
    pub observed_at: Option<DateTime<Utc>>,
    /// Whether the carrier was asked for this answer and said all of it; else this is the last known.
    pub fresh: bool,
}

/// What is known of one bundle.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundBundle {
    /// Its id; null for one that the carrier lists and simdepot did not place.
    #[schema(value_type = Option<identifiers::BundleId>)]
    pub id: Option<id::BundleId>,
    /// The carrier's product id.
    pub product: String,
    /// Where it stands.
    pub status: BundleStatus,
    /// When it started.
    pub activated_at: Option<DateTime<Utc>>,
    /// Whether it has started, or some of it is used up.
    pub used: bool,
}

impl From<Eligibility> for RefundEligibility {
    fn from(found: Eligibility) -> Self {
        let Eligibility { order, eligible, reasons, evidence } = found;
        let reason = |reason: refunds::Reason| RefundReason {
            code: reason.code.into(),
            iccid: reason.iccid,
            text: reason.code.explain().to_owned(),
        };
        Self {
            order_id: order,
            eligible,
            reasons: reasons.into_iter().map(reason).collect(),
            evidence: RefundEvidence { profiles: evidence.into_iter().map(Into::into).collect() },
        }
    }
}

impl From<refunds::ProfileRecord> for RefundProfile {
    fn from(record: refunds::ProfileRecord) -> Self {
        Self {
            iccid: record.iccid,
            revealed_at: record.revealed_at,
            sim_status: record.sim.map(Into::into),
            esim_status: record.esim.map(Into::into),
            eid_bound: record.eid_bound,
            bundles: record.bundles.into_iter().map(Into::into).collect(),
            observed_at: record.observed_at,
            fresh: record.fresh,
        }
    }
}

impl From<refunds::BundleRecord> for RefundBundle {
    fn from(record: refunds::BundleRecord) -> Self {
        Self {
            id: record.id,
            product: record.product,
            status: record.status.into(),
            activated_at: record.activated_at,
            used: record.used,
        }
    }
}
