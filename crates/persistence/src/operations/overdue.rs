//! Operations whose answer is overdue, by their ids alone: one that cannot be read must not hide those behind it.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::Lane;

use crate::error::Result;
use crate::schema::operations;
use crate::sql_types::{At, Uid};
use crate::store::Conn;

/// Up to `limit` sent operations of a lane past their time, the longest overdue first, behind the first `passed` of them: their
/// worker died between the send and the outcome.
///
/// # Errors
/// When they cannot be read.
pub fn overdue(
    conn: &mut Conn<'_>,
    lane: Lane,
    now: DateTime<Utc>,
    passed: i64,
    limit: i64,
) -> Result<Vec<OperationId>> {
    let found: Vec<Uid> = operations::table
        // Spelled as the index of what is in flight has it.
        .filter(sql::<Bool>("status IN ('sent', 'accepted', 'unknown') AND status = 'sent'"))
        .filter(operations::lane.eq(lane.as_ref()))
        .filter(operations::resolve_after.le(At(now)))
        .order((operations::resolve_after, operations::id))
        .limit(limit)
        .offset(passed)
        .select(operations::id)
        .load(conn.db)?;
    Ok(found.into_iter().map(|id| OperationId(id.0)).collect())
}
