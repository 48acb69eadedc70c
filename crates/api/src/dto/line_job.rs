//! Line jobs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use simdepot_application::line_jobs;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::{id, line_job};
use simdepot_persistence::line_jobs::LineJob as StoredJob;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::identifiers;
use super::words::LineJobStatus;
use crate::pagination::Limit;

/// What a job tells its lines, under the names of the paths that tell one line; underscores are as good in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words are documented where they are decided, in the domain")]
pub enum LineJobOperation {
    Activate,
    Modify,
    Suspend,
    Reactivate,
    Terminate,
    SwapSim,
    SwapMsisdn,
    TariffHoliday,
    LeaveTariffHoliday,
    TestMode,
    LeaveTestMode,
}

/// For what is said about a name that is none.
const NAMES: &[&str] = &[
    "activate",
    "modify",
    "suspend",
    "reactivate",
    "terminate",
    "swap-sim",
    "swap-msisdn",
    "tariff-holiday",
    "leave-tariff-holiday",
    "test-mode",
    "leave-test-mode",
];

macro_rules! same {
    ($($variant:ident),+) => {
        impl From<line_job::LineJobOperation> for LineJobOperation {
            fn from(operation: line_job::LineJobOperation) -> Self {
                match operation { $(line_job::LineJobOperation::$variant => Self::$variant),+ }
            }
        }

        impl From<LineJobOperation> for line_job::LineJobOperation {
            fn from(operation: LineJobOperation) -> Self {
                match operation { $(LineJobOperation::$variant => Self::$variant),+ }
            }
        }
    };
}

same! {
    Activate, Modify, Suspend, Reactivate, Terminate, SwapSim, SwapMsisdn, TariffHoliday, LeaveTariffHoliday, TestMode,
    LeaveTestMode
}

impl<'de> Deserialize<'de> for LineJobOperation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let named = line_job::LineJobOperation::named(&text);
        named.map(Self::from).ok_or_else(|| serde::de::Error::unknown_variant(&text, NAMES))
    }
}

/// One command for many lines.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "operation": "modify", "iccids": ["8988247000000210014", "8988247000000210022"], "body": {"group": "fleet-a"}
}))]
pub struct LineJobRequest {
    /// What the lines are told.
    pub operation: LineJobOperation,
    /// The lines, each once.
    #[schema(value_type = Vec<identifiers::Iccid>, min_items = 1, max_items = 100_000)]
    pub iccids: Vec<String>,
    /// The body of the operation's own path, the same for every line.
    #[schema(value_type = Option<Object>)]
    pub body: Option<Json>,
    /// Must be true for `terminate`.
    #[serde(default)]
    pub confirm: bool,
    /// Only tell what would be done, by what is known of the lines.
    #[serde(default)]
    pub dry_run: bool,
}

/// What the lines of a file are told. A column of the same name says it for its line, and counts for more.
#[derive(Debug, Default, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LineJobQuery {
    /// With a file, unless it has a column `operation`: what the lines are told.
    #[param(inline)]
    pub operation: Option<LineJobOperation>,
    /// With a file: must be true for `terminate`.
    #[serde(default)]
    #[param(required = false, default = false)]
    pub confirm: bool,
    /// With a file: only tell what would be done.
    #[serde(default)]
    #[param(required = false, default = false)]
    pub dry_run: bool,
    /// The rate plan.
    #[param(min_length = 1, max_length = 50)]
    pub rate_plan: Option<String>,
    /// The service profile.
    #[param(min_length = 1, max_length = 100)]
    pub service_profile: Option<String>,
    /// The options to set, as `NAME=value|NAME=value`.
    #[param(min_length = 1)]
    pub options: Option<String>,
    /// The group.
    #[param(min_length = 1, max_length = 100)]
    pub group: Option<String>,
    /// The owner's reference.
    #[param(min_length = 1, max_length = 255)]
    pub external_reference: Option<String>,
    /// Where the subscriber lives, two letters of ISO 3166-1.
    #[param(value_type = Option<identifiers::Country>, inline)]
    pub country_of_residence: Option<String>,
    /// The SIM that takes the line over: mostly a column.
    #[param(value_type = Option<identifiers::Iccid>, inline)]
    pub new_iccid: Option<String>,
}

/// Which jobs to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LineJobsQuery {
    /// That stand there.
    #[param(inline)]
    pub status: Option<LineJobStatus>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Nothing needs to be said to pause or resume a job: an empty object, or no body at all.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineJobChangeRequest {}

/// One command for many lines, under way or completed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "job_01kamf2r8zfq0sh2v2z6p1d9sf", "operation": "suspend", "status": "running", "total": 5000, "queued": 4300,
    "running": 512, "done": 186, "refused": 2, "needs_attention": 0, "created_at": "2026-11-22T08:00:00Z",
    "updated_at": "2026-11-22T08:01:10Z", "finished_at": null
}))]
pub struct LineJob {
    /// Its id.
    #[schema(value_type = identifiers::LineJobId)]
    pub id: id::LineJobId,
    /// What the lines are told.
    pub operation: LineJobOperation,
    /// Where it stands.
    pub status: LineJobStatus,
    /// How many lines.
    pub total: u64,
    /// Lines that wait for their turn.
    pub queued: u64,
    /// Lines whose operation is open.
    pub running: u64,
    /// Lines of which the carrier did it.
    pub done: u64,
    /// Lines of which it was not done.
    pub refused: u64,
    /// Lines whose operation a person must decide; a decision is counted here even in a completed job.
    pub needs_attention: u64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When every line had its result.
    pub finished_at: Option<DateTime<Utc>>,
}

impl From<StoredJob> for LineJob {
    fn from(job: StoredJob) -> Self {
        let counts = job.counts;
        Self {
            id: job.id,
            operation: job.operation.into(),
            status: job.status.into(),
            total: counts.total,
            queued: counts.queued(),
            running: counts.running,
            done: counts.done,
            refused: counts.refused,
            needs_attention: counts.needs_attention,
            created_at: job.created_at,
            updated_at: job.updated_at,
            finished_at: job.finished_at,
        }
    }
}

/// What a job would do, by what is known of the lines.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "dry_run": true, "operation": "suspend", "total": 2, "would_do": 1, "would_refuse": 1,
    "refusals": [{"pointer": "/iccids/1", "iccid": "8988247000000210022", "code": "invalid-transition",
        "detail": "suspend-while-working: a line is suspended while it works; it is suspended"}]
}))]
pub struct LineJobPreview {
    /// Always true.
    pub dry_run: bool,
    /// What the lines would be told.
    pub operation: LineJobOperation,
    /// How many lines.
    pub total: u64,
    /// Lines that would take it. One of which nothing is known counts here.
    pub would_do: u64,
    /// Lines that would not.
    pub would_refuse: u64,
    /// The first of those.
    #[schema(max_items = 100)]
    pub refusals: Vec<LineJobRefusal>,
}

/// A line that would not take a command.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "pointer": "/lines/17/iccid", "iccid": "8988247000000210022", "code": "invalid-transition",
    "detail": "suspend-while-working: a line is suspended while it works; it is suspended"
}))]
pub struct LineJobRefusal {
    /// Where the request names it: `/iccids/0` of a list, `/lines/17/iccid` of a file.
    pub pointer: String,
    /// The line.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// Stable code.
    pub code: String,
    /// Why.
    pub detail: String,
}

impl From<line_jobs::JobPreview> for LineJobPreview {
    fn from(preview: line_jobs::JobPreview) -> Self {
        let refusals = preview.refusals.into_iter().map(|refusal| LineJobRefusal {
            pointer: refusal.pointer,
            iccid: refusal.iccid,
            code: refusal.code,
            detail: refusal.detail,
        });
        Self {
            dry_run: true,
            operation: preview.operation.into(),
            total: preview.total,
            would_do: preview.would_do,
            would_refuse: preview.would_refuse,
            refusals: refusals.collect(),
        }
    }
}
