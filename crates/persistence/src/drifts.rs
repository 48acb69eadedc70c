//! Drift: where our books and the carriers' differ; and suspicions, which are not drift yet.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use serde_json::Value as Json;
use simdepot_domain::channel::AccountName;
use simdepot_domain::drift::{DriftKind, DriftStatus};
use simdepot_domain::iccid::Iccid;

use crate::dialect::Both;
use crate::error::{Result, StoreError, ensure_affected, parse_column};
use crate::schema::{drifts, profiles, suspicions};
use crate::sql_types::{At, Doc};
use crate::store::Conn;

/// A difference as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Its row.
    pub id: i64,
    /// How it differs.
    pub kind: DriftKind,
    /// What it is about: a subscription, a status.
    pub subject: String,
    /// Whether it still differs.
    pub status: DriftStatus,
    /// When it was found.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last found.
    pub last_seen_at: DateTime<Utc>,
}

/// A difference that was found.
#[derive(Debug, Clone)]
pub struct NewDrift {
    /// At which account.
    pub account: AccountName,
    /// On which profile.
    pub profile_id: i64,
    /// How it differs.
    pub kind: DriftKind,
    /// What it is about.
    pub subject: String,
    /// What was seen, for people. No secrets.
    pub details: Json,
    /// Open, or over already when it was found.
    pub status: DriftStatus,
}

type Columns = (i64, String, String, String, At, At);

fn drift((id, kind, subject, status, first, last): Columns) -> Result<Drift> {
    Ok(Drift {
        id,
        kind: parse_column("drifts", "kind", id, &kind)?,
        subject,
        status: parse_column("drifts", "status", id, &status)?,
        first_seen_at: first.0,
        last_seen_at: last.0,
    })
}

/// Records a difference; `false` when it was open already, and has only been seen again.
///
/// # Errors
/// When the database refuses it.
pub fn see(conn: &mut Conn<'_>, new: &NewDrift, now: DateTime<Utc>) -> Result<bool> {
    let known = drifts::table
        .filter(drifts::profile_id.eq(new.profile_id))
        .filter(drifts::kind.eq(new.kind.as_ref()))
        .filter(drifts::subject.eq(new.subject.as_str()))
        .filter(drifts::status.eq(DriftStatus::Open.as_ref()));
    if diesel::update(known).set(drifts::last_seen_at.eq(At(now))).execute(conn.db)? > 0 {
        return Ok(false);
    }
    let insert = diesel::insert_into(drifts::table)
        .values((
            drifts::carrier_account.eq(new.account.as_str()),
            drifts::profile_id.eq(new.profile_id),
            drifts::kind.eq(new.kind.as_ref()),
            drifts::subject.eq(new.subject.as_str()),
            drifts::details.eq(Doc(new.details.clone())),
            drifts::status.eq(new.status.as_ref()),
            drifts::first_seen_at.eq(At(now)),
            drifts::last_seen_at.eq(At(now)),
        ))
        .on_conflict_do_nothing();
    Ok(Both(insert).execute(conn.db)? == 1)
}

/// Closes an open difference.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it is not open any more.
pub fn close(conn: &mut Conn<'_>, drift: &Drift, status: DriftStatus, now: DateTime<Utc>) -> Result<()> {
    let open =
        drifts::table.filter(drifts::id.eq(drift.id)).filter(drifts::status.eq(DriftStatus::Open.as_ref()));
    let touched = diesel::update(open)
        .set((drifts::status.eq(status.as_ref()), drifts::last_seen_at.eq(At(now))))
        .execute(conn.db)?;
    ensure_affected("close drift", 1, touched)
}

/// Every difference that a profile has, or had, oldest first.
///
/// # Errors
/// When they cannot be read.
pub fn of_profile(conn: &mut Conn<'_>, profile_id: i64) -> Result<Vec<Drift>> {
    let columns = (
        drifts::id,
        drifts::kind,
        drifts::subject,
        drifts::status,
        drifts::first_seen_at,
        drifts::last_seen_at,
    );
    let rows: Vec<Columns> = drifts::table
        .filter(drifts::profile_id.eq(profile_id))
        .order(drifts::id)
        .select(columns)
        .load(conn.db)?;
    rows.into_iter().map(drift).collect()
}

/// Both spelled as the index of the open ones has them: no plan walks those that are over.
const IS_OPEN: &str = "drifts.status = 'open'";
const IN_ORDER: &str = "drifts.id + 0";

/// The differences that are open, oldest first, with their SIMs, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn open(conn: &mut Conn<'_>, limit: i64) -> Result<Vec<(Iccid, Drift)>> {
    let columns = (
        drifts::id,
        drifts::kind,
        drifts::subject,
        drifts::status,
        drifts::first_seen_at,
        drifts::last_seen_at,
    );
    let rows: Vec<(String, Columns)> = drifts::table
        .inner_join(profiles::table.on(profiles::id.eq(drifts::profile_id)))
        .filter(sql::<Bool>(IS_OPEN))
        .order(sql::<BigInt>(IN_ORDER))
        .limit(limit)
        .select((profiles::iccid, columns))
        .load(conn.db)?;
    rows.into_iter()
        .map(|(iccid, columns)| {
            let drift = drift(columns)?;
            Ok::<_, StoreError>((parse_column("profiles", "iccid", drift.id, &iccid)?, drift))
        })
        .collect()
}

/// How many differences are open, by kind; kinds without one are absent.
///
/// # Errors
/// When they cannot be counted.
pub fn open_counts(conn: &mut Conn<'_>) -> Result<Vec<(DriftKind, i64)>> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = Text)]
        kind: String,
        #[diesel(sql_type = BigInt)]
        drifts: i64,
    }
    let rows: Vec<Count> =
        diesel::sql_query("SELECT kind, COUNT(*) AS drifts FROM drifts WHERE status = 'open' GROUP BY kind")
            .load(conn.db)?;
    rows.into_iter()
        .map(|row| Ok((parse_column("drifts", "kind", &row.kind, &row.kind)?, row.drifts)))
        .collect()
}

/// Notes that something was not found; returns since when it has not been.
///
/// # Errors
/// When the database refuses it.
pub fn suspect(
    conn: &mut Conn<'_>,
    profile_id: i64,
    kind: DriftKind,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>> {
    let insert = diesel::insert_into(suspicions::table)
        .values((
            suspicions::profile_id.eq(profile_id),
            suspicions::kind.eq(kind.as_ref()),
            suspicions::subject.eq(subject),
            suspicions::since.eq(At(now)),
        ))
        .on_conflict_do_nothing();
    Both(insert).execute(conn.db)?;
    let since: At = suspicions::table
        .find((profile_id, kind.as_ref(), subject))
        .select(suspicions::since)
        .first(conn.db)?;
    Ok(since.0)
}

/// What a profile is suspected of.
///
/// # Errors
/// When it cannot be read.
pub fn suspicions_of(conn: &mut Conn<'_>, profile_id: i64) -> Result<Vec<(DriftKind, String)>> {
    let rows: Vec<(String, String)> = suspicions::table
        .filter(suspicions::profile_id.eq(profile_id))
        .order((suspicions::kind, suspicions::subject))
        .select((suspicions::kind, suspicions::subject))
        .load(conn.db)?;
    rows.into_iter()
        .map(|(kind, subject)| Ok((parse_column("suspicions", "kind", profile_id, &kind)?, subject)))
        .collect()
}

/// Drops a suspicion.
///
/// # Errors
/// When the database refuses it.
pub fn clear(conn: &mut Conn<'_>, profile_id: i64, kind: DriftKind, subject: &str) -> Result<()> {
    diesel::delete(suspicions::table.find((profile_id, kind.as_ref(), subject))).execute(conn.db)?;
    Ok(())
}

/// The next profile by row that is suspected of something, and since when at the latest.
///
/// # Errors
/// When it cannot be read.
pub fn next_suspect(conn: &mut Conn<'_>, after: i64) -> Result<Option<(i64, DateTime<Utc>)>> {
    let found: Option<i64> = suspicions::table
        .filter(suspicions::profile_id.gt(after))
        .order(suspicions::profile_id)
        .select(suspicions::profile_id)
        .first(conn.db)
        .optional()?;
    let Some(profile_id) = found else {
        return Ok(None);
    };
    let since: At = suspicions::table
        .filter(suspicions::profile_id.eq(profile_id))
        .order(suspicions::since.desc())
        .select(suspicions::since)
        .first(conn.db)?;
    Ok(Some((profile_id, since.0)))
}
