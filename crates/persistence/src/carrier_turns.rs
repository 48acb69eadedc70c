//! Turns at carriers, shared by every process on the database: per account the moment of the next free one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use simdepot_domain::channel::AccountName;
use simdepot_domain::rate::Rate;

use crate::dialect;
use crate::error::Result;
use crate::sql_types::{At, Moment};
use crate::store::Conn;

/// A next free turn later than this from now was not given out by the rules, because nobody waits that long for one:
/// the clock was set back since. It must not stop the account until the clock has caught up.
const LONGEST_QUEUE: TimeDelta = TimeDelta::minutes(10);

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Moment)]
    next_at: At,
}

/// Takes `turns` of an account at `rate` and returns the time until the first of them; the others follow at the rate.
/// After a pause a [`Rate::burst`] of them is due at once.
///
/// # Errors
/// When the database cannot be asked.
pub fn take(conn: &mut Conn<'_>, account: &AccountName, turns: u32, rate: Rate) -> Result<Duration> {
    let now = conn.now()?;
    let delta = |time: Duration| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
    let earliest = before(now, delta(rate.tolerance()));
    let span = delta(rate.span(turns));
    // One statement, so that two processes cannot be given the same turn: whoever comes second waits for the row and
    // counts from what the first one left. (SQLite numbers parameters by where they first appear.)
    let sql = format!(
        "INSERT INTO carrier_turns (carrier_account, next_at) VALUES ($1, {first}) \
         ON CONFLICT (carrier_account) DO UPDATE SET next_at = {next} RETURNING next_at",
        first = dialect::put_off(conn.db, "$2", "$3"),
        next = dialect::put_off(
            conn.db,
            "CASE WHEN carrier_turns.next_at BETWEEN $2 AND $4 THEN carrier_turns.next_at ELSE $2 END",
            "$3"
        ),
    );
    let row: Row = diesel::sql_query(sql)
        .bind::<Text, _>(account.as_str())
        .bind::<Moment, _>(At(earliest))
        .bind::<BigInt, _>(span.num_microseconds().unwrap_or(i64::MAX))
        .bind::<Moment, _>(At(now + LONGEST_QUEUE))
        .get_result(conn.db)?;
    let first = before(row.next_at.0, span);
    Ok((first - now).to_std().unwrap_or_default())
}

fn before(moment: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    moment.checked_sub_signed(by).unwrap_or(moment)
}
