//! What carriers tell of lines beside their status and number.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::query_dsl::methods::FilterDsl;
use simdepot_domain::line::LineDetails;
use simdepot_domain::observation::Source;

use crate::dialect::{Both, INSERT_CHUNK, insert_rows};
use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::lines;
use crate::sql_types::{At, Doc};
use crate::store::Conn;

/// What is known of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub details: LineDetails,
    /// Who said the newest of it.
    pub source: Source,
    /// When: the carrier's date, or the time of its reply.
    pub observed_at: DateTime<Utc>,
}

#[derive(Insertable, AsChangeset, Queryable)]
#[diesel(
    table_name = lines,
    primary_key(profile_id),
    treat_none_as_default_value = false,
    treat_none_as_null = true
)]
struct Row {
    profile_id: i64,
    suspended_by: Option<String>,
    rate_plan: Option<String>,
    options: Option<Doc>,
    line_group: Option<String>,
    external_reference: Option<String>,
    activated_at: Option<At>,
    modified_at: Option<At>,
    contract_ends_at: Option<At>,
    source: String,
    observed_at: At,
}

impl TryFrom<Row> for Line {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let (id, by) = (row.profile_id, row.suspended_by);
        Ok(Self {
            details: LineDetails {
                suspended_by: by.map(|by| parse_column("lines", "suspended_by", id, &by)).transpose()?,
                rate_plan: row.rate_plan,
                options: row
                    .options
                    .map(|options| parse_document("lines", "options", id, &options.0))
                    .transpose()?,
                group: row.line_group,
                external_reference: row.external_reference,
                activated_at: row.activated_at.map(|at| at.0),
                modified_at: row.modified_at.map(|at| at.0),
                contract_ends_at: row.contract_ends_at.map(|at| at.0),
            },
            source: parse_column("lines", "source", id, &row.source)?,
            observed_at: row.observed_at.0,
        })
    }
}

/// What is known of a profile's line.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, profile_id: i64) -> Result<Option<Line>> {
    let row: Option<Row> = lines::table.find(profile_id).first(conn.db).optional()?;
    row.map(Line::try_from).transpose()
}

/// What is known of the lines of several profiles, by profile; of some it may be nothing.
///
/// # Errors
/// When one cannot be read.
pub fn of_profiles(conn: &mut Conn<'_>, profile_ids: &[i64]) -> Result<BTreeMap<i64, Line>> {
    let rows: Vec<Row> =
        QueryDsl::filter(lines::table, lines::profile_id.eq_any(profile_ids)).load(conn.db)?;
    rows.into_iter().map(|row| Ok((row.profile_id, Line::try_from(row)?))).collect()
}

/// Records what is known of a line.
///
/// # Errors
/// [`StoreError::RowsAffected`] when something newer was recorded in between.
pub fn keep(
    conn: &mut Conn<'_>,
    profile_id: i64,
    details: &LineDetails,
    source: Source,
    observed_at: DateTime<Utc>,
) -> Result<()> {
    let row = row(profile_id, details, source, observed_at)?;
    let upsert = diesel::insert_into(lines::table)
        .values(&row)
        .on_conflict(lines::profile_id)
        .do_update()
        .set(&row)
        .filter(lines::observed_at.le(At(observed_at)));
    ensure_affected("keep line", 1, Both(upsert).execute(conn.db)?)
}

/// Records what is known of the lines of profiles that are new.
///
/// # Errors
/// When the database refuses one.
pub fn insert_many(conn: &mut Conn<'_>, new: &[(i64, Line)]) -> Result<()> {
    for chunk in new.chunks(INSERT_CHUNK) {
        let rows = chunk
            .iter()
            .map(|(profile_id, line)| row(*profile_id, &line.details, line.source, line.observed_at))
            .collect::<Result<Vec<_>>>()?;
        let written = insert_rows!(&mut *conn.db, lines::table, &rows)?;
        ensure_affected("insert lines", rows.len(), written)?;
    }
    Ok(())
}

fn row(profile_id: i64, details: &LineDetails, source: Source, observed_at: DateTime<Utc>) -> Result<Row> {
    Ok(Row {
        profile_id,
        suspended_by: details.suspended_by.map(|by| by.to_string()),
        rate_plan: details.rate_plan.clone(),
        options: details.options.as_ref().map(|options| document(options).map(Doc)).transpose()?,
        line_group: details.group.clone(),
        external_reference: details.external_reference.clone(),
        activated_at: details.activated_at.map(At),
        modified_at: details.modified_at.map(At),
        contract_ends_at: details.contract_ends_at.map(At),
        source: source.to_string(),
        observed_at: At(observed_at),
    })
}
