//! What speaks for an operation's having been taken although no list shows it.

use diesel::prelude::*;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::OperationStatus;

use super::find;
use crate::dialect::Lock;
use crate::error::{Result, document, ensure_affected};
use crate::schema::operations;
use crate::sql_types::{At, Doc, Id, Uid};
use crate::store::Conn;

/// Keeps a hint with an open operation; `false` when it has it already, or is decided. Whoever has the operation for
/// itself and is not waiting for its answer would decide without this: that lease ends.
///
/// # Errors
/// When the database cannot be asked.
pub fn add_hint(conn: &mut Conn<'_>, id: OperationId, hint: &str) -> Result<bool> {
    // Of two that have seen something at once the second adds to what the first has written.
    let locked = format!("SELECT id FROM operations WHERE id = $1{}", Lock::Wait.clause(conn.db));
    diesel::sql_query(locked).bind::<Id, _>(Uid(id.0)).execute(conn.db)?;
    let Some(operation) = find(conn, id)?.filter(|operation| operation.status.is_open()) else {
        return Ok(false);
    };
    if operation.hints.iter().any(|known| known == hint) {
        return Ok(false);
    }
    let mut hints = operation.hints;
    hints.push(hint.to_owned());
    let touched = diesel::update(operations::table.find(Uid(id.0)))
        .set(operations::hints.eq(Doc(document(&hints)?)))
        .execute(conn.db)?;
    ensure_affected("add hint to operation", 1, touched)?;
    if matches!(operation.status, OperationStatus::Pending | OperationStatus::Unknown) {
        diesel::update(operations::table.find(Uid(id.0)))
            .set((operations::lease_token.eq(None::<Uid>), operations::lease_until.eq(None::<At>)))
            .execute(conn.db)?;
    }
    Ok(true)
}
