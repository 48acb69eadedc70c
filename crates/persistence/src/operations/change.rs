//! Changes of an operation, each under the version it was read at and, where there is one, its lease.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value as Json;
use simdepot_domain::bundle::OrderType;
use simdepot_domain::operation::OperationStatus;
use uuid::Uuid;

use super::Operation;
use crate::error::{Result, document, ensure_affected};
use crate::schema::operations;
use crate::sql_types::{At, Doc, Uid};
use crate::store::Conn;

/// What a step changes. The status and the version always move.
#[derive(Debug, Clone)]
pub struct OperationChange {
    /// The new status.
    pub status: OperationStatus,
    /// One more sending.
    pub sent: bool,
    /// One more deferral, not before this moment.
    pub deferred_to: Option<DateTime<Utc>>,
    /// How it is placed.
    pub order_type: Option<OrderType>,
    /// The type that the carrier found not to fit.
    pub refused_type: Option<OrderType>,
    /// When it is sent, and when its outcome may be decided. The first moment is kept.
    pub sent_at: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// When its outcome may be decided, other than by the sending.
    pub resolve_after: Option<DateTime<Utc>>,
    /// Subscriptions known on the line before the send. Those known before an earlier send stay in it.
    pub before_set: Option<Vec<String>>,
    /// What spoke for its having been taken counts no more: a person has looked.
    pub forget_hints: bool,
    /// What is known of an outcome that is open.
    pub resolution: Option<Json>,
    /// What the outcome was decided on.
    pub evidence: Option<Json>,
    /// The carrier's id of it.
    pub carrier_reference: Option<String>,
    /// Why it was refused or needs attention.
    pub problem: Option<Json>,
    /// A person's reason; told in the event, not kept in the row.
    pub reason: Option<String>,
    /// Whether the lease goes on: only while the same worker is about to call the carrier.
    pub keep_lease: bool,
}

impl OperationChange {
    /// A change to `status` and nothing else; the lease ends.
    pub fn to(status: OperationStatus) -> Self {
        Self {
            status,
            sent: false,
            deferred_to: None,
            order_type: None,
            refused_type: None,
            sent_at: None,
            resolve_after: None,
            before_set: None,
            forget_hints: false,
            resolution: None,
            evidence: None,
            carrier_reference: None,
            problem: None,
            reason: None,
            keep_lease: false,
        }
    }
}

#[derive(AsChangeset)]
#[diesel(table_name = operations)]
struct Changes {
    status: String,
    attempts: i32,
    deferrals: i32,
    answer_lost: Option<bool>,
    waiting_since: Option<Option<At>>,
    run_at: Option<At>,
    lease_token: Option<Option<Uid>>,
    lease_until: Option<Option<At>>,
    order_type: Option<String>,
    refused_type: Option<String>,
    sent_at: Option<At>,
    first_sent_at: Option<At>,
    resolution: Option<Option<Doc>>,
    sealed: Option<Option<Vec<u8>>>,
    resolve_after: Option<At>,
    before_set: Option<Doc>,
    hints: Option<Option<Doc>>,
    evidence: Option<Doc>,
    carrier_reference: Option<Option<String>>,
    problem: Option<Option<Doc>>,
    version: i64,
    updated_at: At,
}

/// What went wrong is forgotten once it is done, or is to be tried again.
fn problem(change: &OperationChange) -> Option<Option<Doc>> {
    match (&change.problem, change.status) {
        (Some(problem), _) => Some(Some(Doc(problem.clone()))),
        (None, OperationStatus::Done | OperationStatus::Pending) => Some(None),
        (None, _) => None,
    }
}

fn known_before(operation: &Operation, now: &[String]) -> Result<Doc> {
    let mut known = operation.before_set.clone().unwrap_or_default();
    known.extend(now.iter().filter(|id| !known.contains(id)).cloned().collect::<Vec<_>>());
    Ok(Doc(document(&known)?))
}

/// How often it was put off, and since when it waits. An open outcome that was decided begins to wait anew: a carrier
/// that was down for long meanwhile must not end it at its first hiccup.
fn waiting(operation: &Operation, change: &OperationChange, now: DateTime<Utc>) -> (i32, Option<Option<At>>) {
    let before = i32::try_from(operation.deferrals).unwrap_or(i32::MAX);
    match (change.deferred_to, operation.status) {
        (None, _) => (before, None),
        (Some(_), OperationStatus::Unknown | OperationStatus::NeedsAttention) => (0, Some(None)),
        (Some(_), _) => (before.saturating_add(1), Some(Some(At(operation.waiting_since.unwrap_or(now))))),
    }
}

/// Whether the carrier may still carry a sending out, whatever is decided from here on: its answer was lost, or it
/// acknowledged it and never said how it went.
fn leaves_open(operation: &Operation, change: &OperationChange) -> bool {
    let was_sent = matches!(operation.status, OperationStatus::Sent | OperationStatus::Accepted);
    change.status == OperationStatus::Unknown
        || (change.status == OperationStatus::NeedsAttention && was_sent)
}

/// Changes an operation that is still at its version and, with `token`, still under that lease. Returns its new
/// version; the change is one event.
///
/// # Errors
/// [`crate::StoreError::RowsAffected`] when the lease ran out to somebody else, or the operation changed.
pub fn change(
    conn: &mut Conn<'_>,
    operation: &Operation,
    token: Option<Uuid>,
    change: &OperationChange,
    now: DateTime<Utc>,
) -> Result<i64> {
    let release = !change.keep_lease;
    let (deferrals, waiting_since) = waiting(operation, change, now);
    let changes = Changes {
        status: change.status.to_string(),
        attempts: i32::try_from(operation.attempts).unwrap_or(i32::MAX) + i32::from(change.sent),
        deferrals,
        answer_lost: leaves_open(operation, change).then_some(true),
        waiting_since,
        run_at: change.deferred_to.map(At),
        lease_token: release.then_some(None),
        lease_until: release.then_some(None),
        order_type: change.order_type.map(|kind| kind.to_string()),
        refused_type: change.refused_type.map(|kind| kind.to_string()),
        sent_at: change.sent_at.map(|(sent, _)| At(sent)),
        first_sent_at: operation.first_sent_at.or(change.sent_at.map(|(sent, _)| sent)).map(At),
        // What was seen of an open outcome counts until it is sent again.
        resolution: match &change.resolution {
            Some(known) => Some(Some(Doc(known.clone()))),
            None => (change.sent || change.status == OperationStatus::Unknown).then_some(None),
        },
        // What the carrier needed of somebody's personal data is not kept longer than that.
        sealed: (!change.status.is_open()).then_some(None),
        resolve_after: change.resolve_after.or(change.sent_at.map(|(_, resolve)| resolve)).map(At),
        before_set: change.before_set.as_ref().map(|set| known_before(operation, set)).transpose()?,
        hints: change.forget_hints.then_some(None),
        evidence: change.evidence.clone().map(Doc),
        // A receipt does not count for the next sending.
        carrier_reference: match (&change.carrier_reference, change.status) {
            (Some(reference), _) => Some(Some(reference.clone())),
            (None, OperationStatus::Pending) => Some(None),
            (None, _) => None,
        },
        problem: problem(change),
        version: operation.version + 1,
        updated_at: At(now),
    };
    let guard = operations::table
        .filter(operations::id.eq(Uid(operation.id.0)))
        .filter(operations::status.eq(operation.status.to_string()))
        .filter(operations::version.eq(operation.version));
    let touched = match token {
        Some(token) => diesel::update(guard.filter(operations::lease_token.eq(Uid(token))))
            .set(&changes)
            .execute(conn.db)?,
        None => diesel::update(guard).set(&changes).execute(conn.db)?,
    };
    ensure_affected("change operation", 1, touched)?;
    Ok(changes.version)
}
