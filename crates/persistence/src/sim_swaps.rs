//! Which SIM took a line over from which.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::id::OperationId;

use crate::dialect::both;
use crate::error::{Result, ensure_affected};
use crate::schema::{sim_reservations, sim_swaps};
use crate::sql_types::{At, Uid};
use crate::store::Conn;

/// Longest chain of swaps that is followed: a line that moved more often than this is told of from there on.
const LONGEST: usize = 100;

/// Records that a line moved from the first profile to the second.
///
/// # Errors
/// [`crate::StoreError::Unique`] when the old one gave a line away before, or the new one took one over.
pub fn insert(
    conn: &mut Conn<'_>,
    (old, new): (i64, i64),
    operation: OperationId,
    now: DateTime<Utc>,
) -> Result<()> {
    let row = (
        sim_swaps::old_profile_id.eq(old),
        sim_swaps::new_profile_id.eq(new),
        sim_swaps::operation_id.eq(Uid(operation.0)),
        sim_swaps::swapped_at.eq(At(now)),
    );
    let written = both!(conn.db, c => diesel::insert_into(sim_swaps::table).values(row).execute(c))?;
    ensure_affected("insert SIM swap", 1, written)
}

/// Keeps a SIM for an operation that moves a line to it.
///
/// # Errors
/// [`crate::StoreError::Unique`] when another one keeps it.
pub fn reserve(conn: &mut Conn<'_>, profile_id: i64, operation: OperationId) -> Result<()> {
    let row =
        (sim_reservations::profile_id.eq(profile_id), sim_reservations::operation_id.eq(Uid(operation.0)));
    let written = both!(conn.db, c => diesel::insert_into(sim_reservations::table).values(row).execute(c))?;
    ensure_affected("reserve SIM", 1, written)
}

/// The operation that keeps a SIM, if one does.
///
/// # Errors
/// When it cannot be read.
pub fn reserved_by(conn: &mut Conn<'_>, profile_id: i64) -> Result<Option<OperationId>> {
    let found: Option<Uid> = sim_reservations::table
        .find(profile_id)
        .select(sim_reservations::operation_id)
        .first(conn.db)
        .optional()?;
    Ok(found.map(|id| OperationId(id.0)))
}

/// Lets go of the SIM that an operation keeps, if it keeps one.
///
/// # Errors
/// When the store refuses.
pub fn let_go(conn: &mut Conn<'_>, operation: OperationId) -> Result<()> {
    let kept = sim_reservations::table.filter(sim_reservations::operation_id.eq(Uid(operation.0)));
    diesel::delete(kept).execute(conn.db)?;
    Ok(())
}

/// The profiles of an operation's swap, old and new, if it is recorded.
///
/// # Errors
/// When it cannot be read.
pub fn of_operation(conn: &mut Conn<'_>, operation: OperationId) -> Result<Option<(i64, i64)>> {
    Ok(sim_swaps::table
        .filter(sim_swaps::operation_id.eq(Uid(operation.0)))
        .select((sim_swaps::old_profile_id, sim_swaps::new_profile_id))
        .first(conn.db)
        .optional()?)
}

/// Every SIM that has had a profile's line, the first one first, the profile itself among them.
///
/// # Errors
/// When they cannot be read.
pub fn line_of(conn: &mut Conn<'_>, profile_id: i64) -> Result<Vec<i64>> {
    let mut line = vec![profile_id];
    let mut first = profile_id;
    while let Some(before) = neighbour(conn, first, Way::Back)?.filter(|id| !line.contains(id)) {
        line.insert(0, before);
        first = before;
        if line.len() > LONGEST {
            break;
        }
    }
    let mut last = profile_id;
    while let Some(after) = neighbour(conn, last, Way::On)?.filter(|id| !line.contains(id)) {
        line.push(after);
        last = after;
        if line.len() > LONGEST {
            break;
        }
    }
    Ok(line)
}

/// The SIM that took a profile's line over, if one did.
///
/// # Errors
/// When it cannot be read.
pub fn moved_to(conn: &mut Conn<'_>, profile_id: i64) -> Result<Option<i64>> {
    neighbour(conn, profile_id, Way::On)
}

#[derive(Clone, Copy)]
enum Way {
    Back,
    On,
}

fn neighbour(conn: &mut Conn<'_>, profile_id: i64, way: Way) -> Result<Option<i64>> {
    let found: Option<i64> = match way {
        Way::Back => sim_swaps::table
            .filter(sim_swaps::new_profile_id.eq(profile_id))
            .select(sim_swaps::old_profile_id)
            .first(conn.db)
            .optional()?,
        Way::On => {
            sim_swaps::table.find(profile_id).select(sim_swaps::new_profile_id).first(conn.db).optional()?
        }
    };
    Ok(found)
}
