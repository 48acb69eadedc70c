//! How far a job has come, shared by every process.

use diesel::prelude::*;

use crate::dialect::Both;
use crate::error::Result;
use crate::schema::watermarks;
use crate::store::Conn;

/// A mark; 0 when it was never set.
///
/// # Errors
/// When it cannot be read.
pub fn get(conn: &mut Conn<'_>, name: &str) -> Result<i64> {
    let value: Option<i64> =
        watermarks::table.find(name).select(watermarks::value).first(conn.db).optional()?;
    Ok(value.unwrap_or_default())
}

/// Moves a mark from where it was read; `false` when another process has moved it meanwhile.
///
/// # Errors
/// When the database refuses it.
pub fn advance(conn: &mut Conn<'_>, name: &str, from: i64, to: i64) -> Result<bool> {
    let first = diesel::insert_into(watermarks::table)
        .values((watermarks::name.eq(name), watermarks::value.eq(0)))
        .on_conflict_do_nothing();
    Both(first).execute(conn.db)?;
    let guard = watermarks::table.filter(watermarks::name.eq(name)).filter(watermarks::value.eq(from));
    Ok(diesel::update(guard).set(watermarks::value.eq(to)).execute(conn.db)? == 1)
}
