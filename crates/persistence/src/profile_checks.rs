//! When the continuous sweep looks at a profile again.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

use crate::error::Result;
use crate::schema::{allocations, profile_checks};
use crate::sql_types::{At, Moment};
use crate::store::Conn;

/// The sales after a row of the allocations, in order: row, profile, moment. Ended ones are left out.
///
/// # Errors
/// When they cannot be read.
pub fn sales_after(
    conn: &mut Conn<'_>,
    after: i64,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(i64, i64, DateTime<Utc>)>> {
    let rows: Vec<(i64, i64, At)> = allocations::table
        .filter(allocations::id.gt(after))
        .filter(allocations::created_at.le(At(before)))
        .filter(allocations::ended_at.is_null())
        .order(allocations::id)
        .limit(limit)
        .select((allocations::id, allocations::profile_id, allocations::created_at))
        .load(conn.db)?;
    Ok(rows.into_iter().map(|(id, profile_id, at)| (id, profile_id, at.0)).collect())
}

/// Begins to watch a profile that was sold, first at `check_at`, or sooner if it is due sooner: there may be news of it.
///
/// # Errors
/// When the database refuses it.
pub fn watch(conn: &mut Conn<'_>, profile_id: i64, check_at: DateTime<Utc>) -> Result<()> {
    diesel::sql_query(
        "INSERT INTO profile_checks (profile_id, check_at, checks) VALUES ($1, $2, 0) \
         ON CONFLICT (profile_id) DO UPDATE SET checks = 0, check_at = CASE \
         WHEN profile_checks.check_at < excluded.check_at THEN profile_checks.check_at ELSE excluded.check_at END",
    )
    .bind::<BigInt, _>(profile_id)
    .bind::<Moment, _>(At(check_at))
    .execute(conn.db)?;
    Ok(())
}

/// Has a profile looked at by `check_at`, sooner if it is due sooner. `checks` counts for one that is not watched.
///
/// # Errors
/// When the database refuses it.
pub fn look_by(conn: &mut Conn<'_>, profile_id: i64, check_at: DateTime<Utc>, checks: u32) -> Result<()> {
    diesel::sql_query(
        "INSERT INTO profile_checks (profile_id, check_at, checks) VALUES ($1, $2, $3) \
         ON CONFLICT (profile_id) DO UPDATE SET check_at = excluded.check_at \
         WHERE profile_checks.check_at > excluded.check_at",
    )
    .bind::<BigInt, _>(profile_id)
    .bind::<Moment, _>(At(check_at))
    .bind::<Integer, _>(i32::try_from(checks).unwrap_or(i32::MAX))
    .execute(conn.db)?;
    Ok(())
}

/// Takes the profile that is due first, and postpones its next turn to `next`: a worker that dies leaves it to others.
/// Returns its row and how often it was looked at before.
///
/// # Errors
/// When it cannot be read.
pub fn take_due(conn: &mut Conn<'_>, now: DateTime<Utc>, next: DateTime<Utc>) -> Result<Option<(i64, u32)>> {
    let due: Option<i64> = profile_checks::table
        .filter(profile_checks::check_at.le(At(now)))
        .order(profile_checks::check_at)
        .select(profile_checks::profile_id)
        .first(conn.db)
        .optional()?;
    let Some(profile_id) = due else {
        return Ok(None);
    };
    let guard = profile_checks::table
        .filter(profile_checks::profile_id.eq(profile_id))
        .filter(profile_checks::check_at.le(At(now)));
    let taken: Vec<i32> = diesel::update(guard)
        .set(profile_checks::check_at.eq(At(next)))
        .returning(profile_checks::checks)
        .get_results(conn.db)?;
    let checks = taken.into_iter().next();
    Ok(checks.map(|checks| (profile_id, u32::try_from(checks).unwrap_or_default())))
}

/// Records a look: the next one is at `next`, or never.
///
/// # Errors
/// When the database refuses it.
pub fn looked(conn: &mut Conn<'_>, profile_id: i64, checks: u32, next: Option<DateTime<Utc>>) -> Result<()> {
    let row = profile_checks::table.filter(profile_checks::profile_id.eq(profile_id));
    match next {
        Some(next) => {
            let checks = i32::try_from(checks).unwrap_or(i32::MAX);
            diesel::update(row)
                .set((profile_checks::check_at.eq(At(next)), profile_checks::checks.eq(checks)))
                .execute(conn.db)?;
        }
        None => {
            diesel::delete(row).execute(conn.db)?;
        }
    }
    Ok(())
}
