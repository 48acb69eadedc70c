//! Operations as leased work, and their outcomes.

mod change;
mod hints;
mod lease;
mod line;
mod list;
mod overdue;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::Value as Json;
use simdepot_domain::bundle::OrderType;
use simdepot_domain::channel::AccountName;
use simdepot_domain::id::{BundleId, OperationId, OrderId};
use simdepot_domain::operation::{Lane, OperationRequest, OperationStatus};
use uuid::Uuid;

use crate::dialect::{INSERT_CHUNK, insert_rows};
use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::operations;
use crate::sql_types::{At, Doc, Uid};
use crate::store::Conn;

pub use change::{OperationChange, change};
pub use hints::add_hint;
pub use lease::{
    Lease, any_unknown_due, due_accounts, lease_next, lease_unknown, look_again, nudge, put_off,
};
pub use line::{BatchLease, accounts_to_follow, follow_now, lease_pending, lease_to_follow, of_transaction};
pub use list::{Listed, list};
pub use overdue::overdue;

/// An operation as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// At which carrier account.
    pub carrier_account: AccountName,
    /// What it asks of the carrier.
    pub request: OperationRequest,
    /// On which profile.
    pub profile_id: i64,
    /// For which place of an order.
    pub allocation_id: Option<i64>,
    /// For which order.
    pub order: Option<OrderId>,
    /// For which bundle.
    pub bundle: Option<BundleId>,
    /// Where it stands.
    pub status: OperationStatus,
    /// How often it was sent.
    pub attempts: u32,
    /// How often it was put off before or after being sent.
    pub deferrals: u32,
    /// An answer of it was lost, or its acknowledgement led nowhere: whatever was decided since, the carrier may still carry
    /// that sending out.
    pub answer_lost: bool,
    /// Since when the carrier does not take it; a decided outcome begins anew.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Not before.
    pub run_at: DateTime<Utc>,
    /// How it was last placed.
    pub order_type: Option<OrderType>,
    /// The type that the carrier found not to fit the line.
    pub refused_type: Option<OrderType>,
    /// When it was last sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was first sent: what the carrier has since then may be ours.
    pub first_sent_at: Option<DateTime<Utc>>,
    /// Nobody decides an open outcome before this moment.
    pub resolve_after: Option<DateTime<Utc>>,
    /// Subscriptions known on the line before the send.
    pub before_set: Option<Vec<String>>,
    /// What speaks for its having been taken, whatever a list shows: subscriptions that others saw, success answers that
    /// could not be read. While there is any, it is not sent again by itself.
    pub hints: Vec<String>,
    /// Personal data that the carrier needs, encrypted.
    pub sealed: Option<Vec<u8>>,
    /// How often the carrier was asked for the outcome.
    pub reads: u32,
    /// What was seen of the open outcome so far.
    pub resolution: Option<Json>,
    /// What the outcome was decided on.
    pub evidence: Option<Json>,
    /// The carrier's id of it.
    pub carrier_reference: Option<String>,
    /// Why it was refused or needs attention.
    pub problem: Option<Json>,
    /// How many events it has had.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Operation {
    /// Whether it has activated a subscription.
    pub fn has_subscribed(&self) -> bool {
        let activates = matches!(self.request, OperationRequest::ActivateSubscription { .. });
        activates && self.status == OperationStatus::Done
    }
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = operations, treat_none_as_default_value = false)]
struct Row {
    id: Uid,
    carrier_account: String,
    request: Doc,
    lane: String,
    profile_id: i64,
    allocation_id: Option<i64>,
    order_id: Option<Uid>,
    bundle_id: Option<Uid>,
    status: String,
    attempts: i32,
    deferrals: i32,
    answer_lost: bool,
    waiting_since: Option<At>,
    run_at: At,
    lease_token: Option<Uid>,
    lease_until: Option<At>,
    order_type: Option<String>,
    refused_type: Option<String>,
    sent_at: Option<At>,
    first_sent_at: Option<At>,
    resolve_after: Option<At>,
    before_set: Option<Doc>,
    hints: Option<Doc>,
    sealed: Option<Vec<u8>>,
    reads: i32,
    resolution: Option<Doc>,
    evidence: Option<Doc>,
    carrier_reference: Option<String>,
    problem: Option<Doc>,
    version: i64,
    created_at: At,
    updated_at: At,
}

impl TryFrom<Row> for Operation {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let key = row.id.0;
        let kind = |column, text: Option<&str>| {
            text.map(|text| parse_column("operations", column, key, text)).transpose()
        };
        Ok(Self {
            id: OperationId(key),
            carrier_account: parse_column("operations", "carrier_account", key, &row.carrier_account)?,
            request: parse_document("operations", "request", key, &row.request.0)?,
            profile_id: row.profile_id,
            allocation_id: row.allocation_id,
            order: row.order_id.map(|id| OrderId(id.0)),
            bundle: row.bundle_id.map(|id| BundleId(id.0)),
            status: parse_column("operations", "status", key, &row.status)?,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            deferrals: u32::try_from(row.deferrals).unwrap_or_default(),
            answer_lost: row.answer_lost,
            waiting_since: row.waiting_since.map(|at| at.0),
            run_at: row.run_at.0,
            order_type: kind("order_type", row.order_type.as_deref())?,
            refused_type: kind("refused_type", row.refused_type.as_deref())?,
            sent_at: row.sent_at.map(|at| at.0),
            first_sent_at: row.first_sent_at.map(|at| at.0),
            resolve_after: row.resolve_after.map(|at| at.0),
            before_set: row
                .before_set
                .map(|document| parse_document("operations", "before_set", key, &document.0))
                .transpose()?,
            hints: parse_hints(key, row.hints)?,
            sealed: row.sealed,
            reads: u32::try_from(row.reads).unwrap_or_default(),
            resolution: row.resolution.map(|document| document.0),
            evidence: row.evidence.map(|document| document.0),
            carrier_reference: row.carrier_reference,
            problem: row.problem.map(|document| document.0),
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

fn parse_hints(key: Uuid, hints: Option<Doc>) -> Result<Vec<String>> {
    let hints = hints.map(|document| parse_document("operations", "hints", key, &document.0)).transpose()?;
    Ok(hints.unwrap_or_default())
}

/// A new operation, waiting for a worker.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// Its id.
    pub id: OperationId,
    /// At which carrier account.
    pub carrier_account: AccountName,
    /// What it asks of the carrier.
    pub request: OperationRequest,
    /// On which profile.
    pub profile_id: i64,
    /// For which place of an order.
    pub allocation_id: Option<i64>,
    /// For which order.
    pub order: Option<OrderId>,
    /// For which bundle.
    pub bundle: Option<BundleId>,
    /// Personal data that the carrier needs, encrypted.
    pub sealed: Option<Vec<u8>>,
}

/// Writes new operations.
///
/// # Errors
/// [`StoreError::Unique`] when a profile has an open operation already.
pub fn insert_many(conn: &mut Conn<'_>, new: &[NewOperation], now: DateTime<Utc>) -> Result<()> {
    for chunk in new.chunks(INSERT_CHUNK) {
        let rows = chunk.iter().map(|operation| new_row(operation, now)).collect::<Result<Vec<_>>>()?;
        let written = insert_rows!(&mut *conn.db, operations::table, &rows)?;
        ensure_affected("insert operations", rows.len(), written)?;
    }
    Ok(())
}

fn new_row(new: &NewOperation, now: DateTime<Utc>) -> Result<Row> {
    Ok(Row {
        id: Uid(new.id.0),
        carrier_account: new.carrier_account.to_string(),
        request: Doc(document(&new.request)?),
        lane: new.request.lane().to_string(),
        profile_id: new.profile_id,
        allocation_id: new.allocation_id,
        order_id: new.order.map(|id| Uid(id.0)),
        bundle_id: new.bundle.map(|id| Uid(id.0)),
        status: OperationStatus::Pending.to_string(),
        attempts: 0,
        deferrals: 0,
        answer_lost: false,
        waiting_since: None,
        run_at: At(now),
        lease_token: None,
        lease_until: None,
        order_type: None,
        refused_type: None,
        sent_at: None,
        first_sent_at: None,
        resolve_after: None,
        before_set: None,
        hints: None,
        sealed: new.sealed.clone(),
        reads: 0,
        resolution: None,
        evidence: None,
        carrier_reference: None,
        problem: None,
        version: 1,
        created_at: At(now),
        updated_at: At(now),
    })
}

/// An operation by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: OperationId) -> Result<Option<Operation>> {
    let row: Option<Row> = operations::table.find(Uid(id.0)).first(conn.db).optional()?;
    row.map(Operation::try_from).transpose()
}

/// The newest operation of a bundle.
///
/// # Errors
/// When it cannot be read.
pub fn of_bundle(conn: &mut Conn<'_>, bundle: BundleId) -> Result<Option<Operation>> {
    operations::table
        .filter(operations::bundle_id.eq(Uid(bundle.0)))
        .order(operations::id.desc())
        .first::<Row>(conn.db)
        .optional()?
        .map(Operation::try_from)
        .transpose()
}

/// The operations of an order, oldest first.
///
/// # Errors
/// When they cannot be read.
pub fn of_order(conn: &mut Conn<'_>, order: OrderId) -> Result<Vec<Operation>> {
    let rows: Vec<Row> = operations::table
        .filter(operations::order_id.eq(Uid(order.0)))
        .order(operations::id)
        .load(conn.db)?;
    rows.into_iter().map(Operation::try_from).collect()
}

/// The operation of a profile that may still change, if there is one: there is at most one.
///
/// # Errors
/// When it cannot be read.
pub fn open_of(conn: &mut Conn<'_>, profile_id: i64) -> Result<Option<Operation>> {
    // Spelled as the index of open operations has it: with bound values no plan can use that.
    const OPEN: &str = "status IN ('pending', 'sent', 'accepted', 'unknown', 'needs_attention')";
    operations::table
        .filter(operations::profile_id.eq(profile_id))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(OPEN))
        .first::<Row>(conn.db)
        .optional()?
        .map(Operation::try_from)
        .transpose()
}

/// The open sale on a profile, if there is one: while it is open, a new subscription may be its.
///
/// # Errors
/// When it cannot be read.
pub fn open_sale_of(conn: &mut Conn<'_>, profile_id: i64) -> Result<Option<Operation>> {
    Ok(open_of(conn, profile_id)?.filter(|operation| operation.request.lane() == Lane::Sale))
}

/// The operations on a profile, oldest first.
///
/// # Errors
/// When they cannot be read.
pub fn of_profile(conn: &mut Conn<'_>, profile_id: i64) -> Result<Vec<Operation>> {
    let rows: Vec<Row> = operations::table
        .filter(operations::profile_id.eq(profile_id))
        .order(operations::id)
        .load(conn.db)?;
    rows.into_iter().map(Operation::try_from).collect()
}

/// Operations by id, newest first as [`list`] goes.
fn get_many(conn: &mut Conn<'_>, ids: &[Uid], by_age: bool) -> Result<Vec<Operation>> {
    let found = operations::table.filter(operations::id.eq_any(ids));
    let rows: Vec<Row> = if by_age {
        found.order((operations::created_at.desc(), operations::id.desc())).load(conn.db)?
    } else {
        found.order(operations::id.desc()).load(conn.db)?
    };
    rows.into_iter().map(Operation::try_from).collect()
}

/// How many open operations stand where, for the metrics.
///
/// # Errors
/// When they cannot be counted.
pub fn open_counts(conn: &mut Conn<'_>) -> Result<Vec<(OperationStatus, i64)>> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::Text)]
        status: String,
        #[diesel(sql_type = BigInt)]
        operations: i64,
    }
    let rows: Vec<Count> = diesel::sql_query(
        "SELECT status, COUNT(*) AS operations FROM operations \
         WHERE status IN ('pending', 'sent', 'accepted', 'unknown', 'needs_attention') GROUP BY status",
    )
    .load(conn.db)?;
    rows.into_iter()
        .map(|row| Ok((parse_column("operations", "status", &row.status, &row.status)?, row.operations)))
        .collect()
}
