//! Operations: writes to carriers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use simdepot_application::AppError;
use simdepot_application::operations::{OperationView, Verdict};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::carrier_problem::CarrierProblem;
use super::identifiers;
use super::text;
use super::words::OperationStatus;
use crate::pagination::Limit;

/// Which operations to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OperationsQuery {
    /// Standing there.
    #[param(inline)]
    pub status: Option<OperationStatus>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// What a person found out about an operation that the carrier could not tell.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"outcome": "done", "reason": "the carrier's portal shows the plan", "subscription_id": "880017"}))]
pub struct ResolveRequest {
    /// What became of it.
    pub outcome: ResolvedOutcome,
    /// Kept with the event.
    #[validate(length(min = 1, max = 500), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub reason: String,
    /// With `done`: the carrier's id of the subscription, when it is known.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub subscription_id: Option<String>,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedOutcome {
    /// The carrier did it.
    Done,
    /// The carrier did not do it, and it is not to be tried again.
    Refused,
    /// The carrier did not do it: it is sent again.
    Retry,
}

impl ResolveRequest {
    /// The verdict, and its reason.
    ///
    /// # Errors
    /// A subscription with an outcome that has none.
    pub fn verdict(self) -> Result<(Verdict, String), AppError> {
        let Self { outcome, reason, subscription_id } = self;
        let verdict = match (outcome, subscription_id) {
            (ResolvedOutcome::Done, subscription_id) => Verdict::Done { subscription_id },
            (ResolvedOutcome::Refused, None) => Verdict::Refused,
            (ResolvedOutcome::Retry, None) => Verdict::Retry,
            (ResolvedOutcome::Refused | ResolvedOutcome::Retry, Some(_)) => {
                let message = "goes with the outcome done alone";
                return Err(AppError::invalid("/subscription_id", "unexpected", message));
            }
        };
        Ok((verdict, reason))
    }
}

/// An operation: one write to a carrier, with its outcome and the evidence for it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "op_01kamf2r8zfq0sh2v2x7mwh3qe", "kind": "place_bundle", "profile": "8988247000000210014",
    "order": "ord_01kamf2r8ye4ja3v6m1tbk7q5c", "bundle": "bdl_01kamf2r8zfq0sh2v2w4r3t9xd", "status": "done",
    "attempts": 1, "carrier_reference": "5f0a7d",
    "evidence": {"receipt": {"order_id": "5f0a7d", "subscription_id": "880017", "order_type": "preload"}},
    "created_at": "2026-11-21T18:00:00Z", "updated_at": "2026-11-21T18:00:01Z"
}))]
pub struct Operation {
    /// Its id.
    #[schema(value_type = identifiers::OperationId)]
    pub id: id::OperationId,
    /// What is asked of the carrier: `place_bundle`.
    pub kind: String,
    /// The profile it is about.
    #[schema(value_type = identifiers::Iccid)]
    pub profile: Iccid,
    /// The order it belongs to.
    #[schema(value_type = Option<identifiers::OrderId>)]
    pub order: Option<id::OrderId>,
    /// The bundle it places.
    #[schema(value_type = Option<identifiers::BundleId>)]
    pub bundle: Option<id::BundleId>,
    /// Where it stands.
    pub status: OperationStatus,
    /// How often it was sent.
    pub attempts: u32,
    /// The carrier's own id of it.
    pub carrier_reference: Option<String>,
    /// What proves the outcome, or what was seen of an open one so far; its form depends on how it was found out.
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<Json>,
    /// What went wrong. Absent when nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<CarrierProblem>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl From<OperationView> for Operation {
    fn from(view: OperationView) -> Self {
        let OperationView { operation, iccid } = view;
        Self {
            id: operation.id,
            kind: operation.request.kind().to_owned(),
            profile: iccid,
            order: operation.order,
            bundle: operation.bundle,
            status: operation.status.into(),
            attempts: operation.attempts,
            carrier_reference: operation.carrier_reference,
            evidence: operation.evidence.or(operation.resolution),
            problem: CarrierProblem::read(operation.problem),
            created_at: operation.created_at,
            updated_at: operation.updated_at,
        }
    }
}
