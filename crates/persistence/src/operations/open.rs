//! The one operation of a profile that is still open, for those who hear of its outcome from elsewhere.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::operation::OperationStatus;

use super::{Operation, Row};
use crate::error::Result;
use crate::schema::operations;
use crate::sql_types::{At, Uid};
use crate::store::Conn;

/// The statuses of the index `operations_one_open`.
const OPEN: [OperationStatus; 5] = [
    OperationStatus::Pending,
    OperationStatus::Sent,
    OperationStatus::Accepted,
    OperationStatus::Unknown,
    OperationStatus::NeedsAttention,
];

/// The open operation of a profile; it has at most one.
///
/// # Errors
/// When it cannot be read.
pub fn open_of_profile(conn: &mut Conn<'_>, profile_id: i64) -> Result<Option<Operation>> {
    operations::table
        .filter(operations::profile_id.eq(profile_id))
        .filter(operations::status.eq_any(OPEN.map(|status| status.to_string())))
        .first::<Row>(conn.db)
        .optional()?
        .map(Operation::try_from)
        .transpose()
}

/// Lets the outcome of an operation whose answer was lost be decided now: there is news of it. Nothing happened to the
/// operation, so this is no event; one that was decided meanwhile is left alone.
///
/// # Errors
/// When the database cannot be asked.
pub fn nudge(conn: &mut Conn<'_>, operation: &Operation, now: DateTime<Utc>) -> Result<()> {
    let waiting = operations::table
        .filter(operations::id.eq(Uid(operation.id.0)))
        .filter(operations::status.eq(OperationStatus::Unknown.as_ref()))
        .filter(operations::resolve_after.gt(At(now)));
    diesel::update(waiting).set(operations::resolve_after.eq(At(now))).execute(conn.db)?;
    Ok(())
}
