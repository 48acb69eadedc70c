//! Rate plans and their options, as an admin wrote them down.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::line::OptionCatalogue;

use crate::error::{Result, StoreError, document, ensure_affected, parse_document};
use crate::schema::rate_plans;
use crate::sql_types::{At, Doc};
use crate::store::Conn;

/// A rate plan as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatePlan {
    /// The carrier's name of it.
    pub rate_plan: String,
    /// What it allows.
    pub catalogue: OptionCatalogue,
    /// How many events it has had.
    pub version: i64,
    /// When it was first written down.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = rate_plans)]
struct Row {
    rate_plan: String,
    options: Doc,
    version: i64,
    created_at: At,
    updated_at: At,
}

impl TryFrom<Row> for RatePlan {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let options = parse_document("rate_plans", "options", &row.rate_plan, &row.options.0)?;
        Ok(Self {
            catalogue: OptionCatalogue { options },
            rate_plan: row.rate_plan,
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

/// Writes a new rate plan.
///
/// # Errors
/// [`StoreError::Unique`] when it is written down already.
pub fn insert(
    conn: &mut Conn<'_>,
    rate_plan: &str,
    catalogue: &OptionCatalogue,
    now: DateTime<Utc>,
) -> Result<()> {
    let row = Row {
        rate_plan: rate_plan.to_owned(),
        options: Doc(document(&catalogue.options)?),
        version: 1,
        created_at: At(now),
        updated_at: At(now),
    };
    let written = diesel::insert_into(rate_plans::table).values(row).execute(conn.db)?;
    ensure_affected("insert rate plan", 1, written)
}

/// Replaces the options of a rate plan that is still at its version. Returns the new one.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn update(
    conn: &mut Conn<'_>,
    plan: &RatePlan,
    catalogue: &OptionCatalogue,
    now: DateTime<Utc>,
) -> Result<i64> {
    let version = plan.version + 1;
    let guard = rate_plans::table
        .filter(rate_plans::rate_plan.eq(&plan.rate_plan))
        .filter(rate_plans::version.eq(plan.version));
    let touched = diesel::update(guard)
        .set((
            rate_plans::options.eq(Doc(document(&catalogue.options)?)),
            rate_plans::version.eq(version),
            rate_plans::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("update rate plan", 1, touched)?;
    Ok(version)
}

/// One rate plan.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, rate_plan: &str) -> Result<Option<RatePlan>> {
    let row: Option<Row> = rate_plans::table.find(rate_plan).first(conn.db).optional()?;
    row.map(RatePlan::try_from).transpose()
}

/// The next rate plans after one, by name, at most `limit`.
///
/// # Errors
/// When one cannot be read.
pub fn list(conn: &mut Conn<'_>, after: Option<&str>, limit: i64) -> Result<Vec<RatePlan>> {
    let mut query = rate_plans::table.order(rate_plans::rate_plan).limit(limit).into_boxed();
    if let Some(after) = after {
        query = query.filter(rate_plans::rate_plan.gt(after.to_owned()));
    }
    query.load::<Row>(conn.db)?.into_iter().map(RatePlan::try_from).collect()
}
