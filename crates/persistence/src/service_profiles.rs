//! Service profiles: a rate plan with options under a name.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::line::ServiceProfile;

use crate::error::{Result, StoreError, document, ensure_affected, parse_document};
use crate::schema::service_profiles;
use crate::sql_types::{At, Doc};
use crate::store::Conn;

/// A service profile as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedProfile {
    /// Its name.
    pub name: String,
    /// What it sets.
    pub profile: ServiceProfile,
    /// How many events it has had.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = service_profiles, treat_none_as_default_value = false)]
struct Row {
    name: String,
    rate_plan: Option<String>,
    options: Doc,
    description: Option<String>,
    version: i64,
    created_at: At,
    updated_at: At,
}

impl TryFrom<Row> for NamedProfile {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let options = parse_document("service_profiles", "options", &row.name, &row.options.0)?;
        Ok(Self {
            name: row.name,
            profile: ServiceProfile { rate_plan: row.rate_plan, options, description: row.description },
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

/// Writes a new service profile.
///
/// # Errors
/// [`StoreError::Unique`] when the name is taken.
pub fn insert(conn: &mut Conn<'_>, name: &str, profile: &ServiceProfile, now: DateTime<Utc>) -> Result<()> {
    let row = Row {
        name: name.to_owned(),
        rate_plan: profile.rate_plan.clone(),
        options: Doc(document(&profile.options)?),
        description: profile.description.clone(),
        version: 1,
        created_at: At(now),
        updated_at: At(now),
    };
    let written = diesel::insert_into(service_profiles::table).values(row).execute(conn.db)?;
    ensure_affected("insert service profile", 1, written)
}

/// Replaces a service profile that is still at its version. Returns the new one.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn update(
    conn: &mut Conn<'_>,
    known: &NamedProfile,
    profile: &ServiceProfile,
    now: DateTime<Utc>,
) -> Result<i64> {
    let version = known.version + 1;
    let guard = service_profiles::table
        .filter(service_profiles::name.eq(&known.name))
        .filter(service_profiles::version.eq(known.version));
    let touched = diesel::update(guard)
        .set((
            service_profiles::rate_plan.eq(&profile.rate_plan),
            service_profiles::options.eq(Doc(document(&profile.options)?)),
            service_profiles::description.eq(&profile.description),
            service_profiles::version.eq(version),
            service_profiles::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("update service profile", 1, touched)?;
    Ok(version)
}

/// One service profile.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, name: &str) -> Result<Option<NamedProfile>> {
    let row: Option<Row> = service_profiles::table.find(name).first(conn.db).optional()?;
    row.map(NamedProfile::try_from).transpose()
}

/// The next service profiles after one, by name, at most `limit`.
///
/// # Errors
/// When one cannot be read.
pub fn list(conn: &mut Conn<'_>, after: Option<&str>, limit: i64) -> Result<Vec<NamedProfile>> {
    let mut query = service_profiles::table.order(service_profiles::name).limit(limit).into_boxed();
    if let Some(after) = after {
        query = query.filter(service_profiles::name.gt(after.to_owned()));
    }
    query.load::<Row>(conn.db)?.into_iter().map(NamedProfile::try_from).collect()
}
