//! Duplicates that came up since they were sought: another import brought the SIM or the code into the stock meanwhile.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use simdepot_domain::id::ImportId;

use super::settle::{Duplicate, Reported, Settled, number, sim};
use crate::dialect::{self, Passing};
use crate::error::{Result, ensure_affected};
use crate::sql_types::{Id, Uid};
use crate::store::Conn;

const MARK: [&str; 2] = [
    concat!(
        "UPDATE staged_rows SET duplicate = 1, late = TRUE WHERE told IS NULL AND duplicate IS NULL AND ",
        sim!("staged_rows"),
        " IN (SELECT p.sim_key FROM profiles p WHERE p.id > $1)"
    ),
    "UPDATE staged_rows SET duplicate = 3, late = TRUE WHERE told IS NULL AND duplicate IS NULL AND code_index IN \
     (SELECT c.code_index FROM profile_secrets c WHERE c.profile_id > $1 AND c.code_index IS NOT NULL)",
];

/// Marks the rows whose SIM or code came into the stock since the duplicates were sought, and adds them to the report,
/// behind what is there: that was written when the others were found. Returns how many.
///
/// What brings profiles into the stock passes one by one, so that none comes in afterwards, and that whatever came in since
/// has a higher row than all that was there.
///
/// # Errors
/// When the database cannot be asked.
pub fn mark_latecomers(
    conn: &mut Conn<'_>,
    import: ImportId,
    settled: &Settled,
    name: impl Fn(Duplicate) -> Reported,
) -> Result<u64> {
    dialect::one_by_one(conn.db, Passing::Imports, "")?;
    if number(conn, "SELECT COALESCE(MAX(id), 0) AS value FROM profiles")? == settled.last_profile {
        return Ok(0);
    }
    let mut marked = 0;
    for statement in MARK {
        marked += diesel::sql_query(statement).bind::<BigInt, _>(settled.last_profile).execute(conn.db)?;
    }
    if marked > 0 {
        let reported = report(conn, import, name(Duplicate::SimInStock), name(Duplicate::CodeInStock))?;
        ensure_affected("report late duplicates", marked, reported)?;
    }
    Ok(u64::try_from(marked).unwrap_or(u64::MAX))
}

fn report(conn: &mut Conn<'_>, import: ImportId, sim: Reported, code: Reported) -> Result<usize> {
    let reported = diesel::sql_query(
        "WITH kinds (duplicate, column_name, code, reason) AS (VALUES (1, $1, $2, $3), (3, $4, $5, $6)) \
         INSERT INTO import_rows (import_id, position, line, result, column_name, code, reason, iccid) \
         SELECT $7, (SELECT COALESCE(MAX(position), 0) FROM staged_report) + ROW_NUMBER() OVER (ORDER BY s.line), \
             s.line, 'duplicate', k.column_name, k.code, k.reason, s.iccid \
         FROM staged_rows s JOIN kinds k ON k.duplicate = s.duplicate WHERE s.late",
    )
    .bind::<Text, _>(sim.0)
    .bind::<Text, _>(sim.1)
    .bind::<Text, _>(sim.2)
    .bind::<Text, _>(code.0)
    .bind::<Text, _>(code.1)
    .bind::<Text, _>(code.2)
    .bind::<Id, _>(Uid(import.0))
    .execute(conn.db)?;
    Ok(reported)
}
