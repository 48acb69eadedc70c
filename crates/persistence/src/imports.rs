//! Imports and the rows of theirs that were not simply accepted.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use simdepot_domain::delivery::Format;
use simdepot_domain::id::ImportId;
use simdepot_domain::import::{ImportCounts, ImportStatus, OnError, RowResult};

use crate::error::{Result, StoreError, ensure_affected, parse_column};
use crate::schema::{import_rows, import_signs, imports};
use crate::sql_types::{At, Uid};
use crate::store::Conn;

/// An import as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its id.
    pub id: ImportId,
    /// Its number: deliveries are sold in this order.
    pub batch_no: i64,
    /// Into which pool.
    pub pool_id: i64,
    /// How the file is written.
    pub format: Format,
    /// What a refused row does.
    pub on_error: OnError,
    /// Whether nothing is written to the stock.
    pub dry_run: bool,
    /// Last moment of sale for rows without their own.
    pub sell_by: Option<DateTime<Utc>>,
    /// The file's name, where it was given.
    pub file_name: Option<String>,
    /// SHA-256 of the file, in hex.
    pub file_sha256: String,
    /// Where it stands.
    pub status: ImportStatus,
    /// What was found so far.
    pub counts: ImportCounts,
    /// Why it failed.
    pub problem: Option<String>,
    /// How many events it has had.
    pub version: i64,
    /// When it was taken.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Queryable)]
struct Row {
    id: Uid,
    batch_no: i64,
    pool_id: i64,
    format: String,
    on_error: String,
    dry_run: bool,
    sell_by: Option<At>,
    file_name: Option<String>,
    file_sha256: String,
    status: String,
    rows: i64,
    accepted: i64,
    rejected: i64,
    duplicates: i64,
    warnings: i64,
    updated: i64,
    unchanged: i64,
    problem: Option<String>,
    version: i64,
    created_at: At,
    finished_at: Option<At>,
}

/// Counts as they are stored: rows, accepted, rejected, duplicates, warnings, updated, unchanged.
type Counted = (i64, i64, i64, i64, i64, i64, i64);
/// Of an import under way: what it shows of itself.
type Signs = Option<Counted>;

fn read_counts(
    (rows, accepted, rejected, duplicates, warnings, updated, unchanged): Counted,
) -> ImportCounts {
    let count = |value: i64| u64::try_from(value).unwrap_or_default();
    ImportCounts {
        rows: count(rows),
        accepted: count(accepted),
        rejected: count(rejected),
        duplicates: count(duplicates),
        warnings: count(warnings),
        updated: count(updated),
        unchanged: count(unchanged),
    }
}

impl TryFrom<(Row, Signs)> for Import {
    type Error = StoreError;

    fn try_from((row, signs): (Row, Signs)) -> Result<Self> {
        let key = row.id.0;
        let ended =
            (row.rows, row.accepted, row.rejected, row.duplicates, row.warnings, row.updated, row.unchanged);
        let signs = signs.filter(|_| row.finished_at.is_none());
        Ok(Self {
            id: ImportId(key),
            batch_no: row.batch_no,
            pool_id: row.pool_id,
            format: parse_column("imports", "format", key, &row.format)?,
            on_error: parse_column("imports", "on_error", key, &row.on_error)?,
            dry_run: row.dry_run,
            sell_by: row.sell_by.map(|at| at.0),
            file_name: row.file_name,
            file_sha256: row.file_sha256,
            status: parse_column("imports", "status", key, &row.status)?,
            counts: read_counts(signs.unwrap_or(ended)),
            problem: row.problem,
            version: row.version,
            created_at: row.created_at.0,
            finished_at: row.finished_at.map(|at| at.0),
        })
    }
}

/// The counts of a sign.
macro_rules! counted {
    () => {
        (
            import_signs::rows,
            import_signs::accepted,
            import_signs::rejected,
            import_signs::duplicates,
            import_signs::warnings,
            import_signs::updated,
            import_signs::unchanged,
        )
    };
}

/// Imports with what those under way show of themselves.
macro_rules! shown {
    () => {
        imports::table
            .left_join(import_signs::table.on(import_signs::import_id.eq(imports::id)))
            .select((imports::all_columns, counted!().nullable()))
    };
}

/// An import about to begin.
#[derive(Debug, Clone)]
pub struct NewImport {
    /// Its id.
    pub id: ImportId,
    /// Into which pool.
    pub pool_id: i64,
    /// How the file is written.
    pub format: Format,
    /// What a refused row does.
    pub on_error: OnError,
    /// Whether nothing is written to the stock.
    pub dry_run: bool,
    /// Last moment of sale for rows without their own.
    pub sell_by: Option<DateTime<Utc>>,
    /// The file's name, where it was given.
    pub file_name: Option<String>,
    /// SHA-256 of the file, in hex.
    pub file_sha256: String,
}

/// Writes a new import, queued.
///
/// # Errors
/// When the database refuses it.
pub fn insert(conn: &mut Conn<'_>, new: &NewImport, now: DateTime<Utc>) -> Result<()> {
    let written = diesel::insert_into(imports::table)
        .values((
            imports::id.eq(Uid(new.id.0)),
            imports::pool_id.eq(new.pool_id),
            imports::format.eq(new.format.to_string()),
            imports::on_error.eq(new.on_error.to_string()),
            imports::dry_run.eq(new.dry_run),
            imports::sell_by.eq(new.sell_by.map(At)),
            imports::file_name.eq(new.file_name.clone()),
            imports::file_sha256.eq(new.file_sha256.clone()),
            imports::status.eq(ImportStatus::Queued.to_string()),
            imports::created_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("insert import", 1, written)?;
    let sign = (import_signs::import_id.eq(Uid(new.id.0)), import_signs::shown_at.eq(At(now)));
    let written = diesel::insert_into(import_signs::table).values(sign).execute(conn.db)?;
    ensure_affected("insert import's sign", 1, written)
}

/// An import by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: ImportId) -> Result<Option<Import>> {
    let found = shown!().filter(imports::id.eq(Uid(id.0)));
    found.first::<(Row, Signs)>(conn.db).optional()?.map(Import::try_from).transpose()
}

/// The completed import of a file into a pool.
///
/// # Errors
/// When it cannot be read.
pub fn find_completed(conn: &mut Conn<'_>, pool_id: i64, file_sha256: &str) -> Result<Option<Import>> {
    shown!()
        .filter(imports::pool_id.eq(pool_id))
        .filter(imports::file_sha256.eq(file_sha256))
        .filter(imports::status.eq(ImportStatus::Completed.as_ref()))
        .filter(imports::dry_run.eq(false))
        .first::<(Row, Signs)>(conn.db)
        .optional()?
        .map(Import::try_from)
        .transpose()
}

/// A page of imports, newest first.
///
/// # Errors
/// When they cannot be read.
pub fn list(
    conn: &mut Conn<'_>,
    pool_id: Option<i64>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Import>> {
    let mut query = shown!().order(imports::batch_no.desc()).limit(limit).into_boxed();
    if let Some(pool_id) = pool_id {
        query = query.filter(imports::pool_id.eq(pool_id));
    }
    if let Some(before) = before {
        query = query.filter(imports::batch_no.lt(before));
    }
    query.load::<(Row, Signs)>(conn.db)?.into_iter().map(Import::try_from).collect()
}

/// Counts as they are stored, in the rows of imports that have ended and in the signs of those under way.
macro_rules! stored_counts {
    ($table:ident, $counts:expr) => {{
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let counts: &ImportCounts = $counts;
        (
            $table::rows.eq(count(counts.rows)),
            $table::accepted.eq(count(counts.accepted)),
            $table::rejected.eq(count(counts.rejected)),
            $table::duplicates.eq(count(counts.duplicates)),
            $table::warnings.eq(count(counts.warnings)),
            $table::updated.eq(count(counts.updated)),
            $table::unchanged.eq(count(counts.unchanged)),
        )
    }};
}

/// Shows how far a running import is.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it is not open any more: its process was taken for dead.
pub fn progress(conn: &mut Conn<'_>, id: ImportId, counts: &ImportCounts, now: DateTime<Utc>) -> Result<()> {
    let queued = imports::table
        .filter(imports::id.eq(Uid(id.0)))
        .filter(imports::status.eq(ImportStatus::Queued.as_ref()));
    // At its first sign alone.
    diesel::update(queued).set(imports::status.eq(ImportStatus::Running.as_ref())).execute(conn.db)?;
    let touched = diesel::update(import_signs::table.find(Uid(id.0)))
        .set((stored_counts!(import_signs, counts), import_signs::shown_at.eq(At(now))))
        .execute(conn.db)?;
    ensure_affected("import progress", 1, touched)
}

/// Shows that an import whose turn has not come yet is not forgotten.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it is not queued any more: its process was taken for dead.
pub fn waits(conn: &mut Conn<'_>, id: ImportId, now: DateTime<Utc>) -> Result<()> {
    let queued = imports::table
        .filter(imports::id.eq(Uid(id.0)))
        .filter(imports::status.eq(ImportStatus::Queued.as_ref()))
        .select(imports::id);
    let sign = import_signs::table.filter(import_signs::import_id.eq_any(queued));
    let touched = diesel::update(sign).set(import_signs::shown_at.eq(At(now))).execute(conn.db)?;
    ensure_affected("import waits", 1, touched)
}

/// Ends an import that is still in one of the statuses `from`. With an event its version moves by one.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it is not; [`StoreError::Unique`] when the same file was completed meanwhile.
pub fn finish(
    conn: &mut Conn<'_>,
    id: ImportId,
    from: &[ImportStatus],
    to: ImportStatus,
    end: &ImportEnd,
    now: DateTime<Utc>,
) -> Result<()> {
    let from: Vec<&str> = from.iter().map(AsRef::as_ref).collect();
    let open = imports::table.filter(imports::id.eq(Uid(id.0))).filter(imports::status.eq_any(from));
    let touched = diesel::update(open)
        .set((
            imports::status.eq(to.as_ref()),
            stored_counts!(imports, &end.counts),
            imports::problem.eq(end.problem.clone()),
            imports::finished_at.eq(At(now)),
            imports::version.eq(imports::version + i64::from(end.event)),
        ))
        .execute(conn.db)?;
    ensure_affected("finish import", 1, touched)?;
    // One that is undone has none any more.
    diesel::delete(import_signs::table.find(Uid(id.0))).execute(conn.db)?;
    Ok(())
}

/// How an import ended.
#[derive(Debug, Clone, Default)]
pub struct ImportEnd {
    /// What was found.
    pub counts: ImportCounts,
    /// Why it failed.
    pub problem: Option<String>,
    /// Whether the end is an event.
    pub event: bool,
}

/// Fails the imports whose process has not shown progress since `since`, but for those that are known to be at work. Returns
/// how many.
///
/// # Errors
/// When they cannot be changed.
pub fn fail_abandoned(
    conn: &mut Conn<'_>,
    since: DateTime<Utc>,
    at_work: &[ImportId],
    problem: &str,
    now: DateTime<Utc>,
) -> Result<usize> {
    let silent: Vec<(Uid, Counted)> = import_signs::table
        .filter(import_signs::shown_at.lt(At(since)))
        .filter(import_signs::import_id.ne_all(at_work.iter().map(|id| Uid(id.0))))
        .order(import_signs::import_id)
        .select((import_signs::import_id, counted!()))
        .load(conn.db)?;
    let mut failed = 0;
    for (id, counted) in silent {
        // One that has shown itself meanwhile is not abandoned.
        let still = import_signs::table
            .filter(import_signs::import_id.eq(id))
            .filter(import_signs::shown_at.lt(At(since)))
            .select(import_signs::import_id);
        let open = [ImportStatus::Queued.as_ref(), ImportStatus::Running.as_ref()];
        let abandoned = imports::table.filter(imports::id.eq_any(still)).filter(imports::status.eq_any(open));
        // Nothing of it became stock.
        let counts = ImportCounts { accepted: 0, ..read_counts(counted) };
        let touched = diesel::update(abandoned)
            .set((
                imports::status.eq(ImportStatus::Failed.as_ref()),
                stored_counts!(imports, &counts),
                imports::problem.eq(problem),
                imports::finished_at.eq(At(now)),
            ))
            .execute(conn.db)?;
        if touched == 1 {
            diesel::delete(import_signs::table.find(id)).execute(conn.db)?;
        }
        failed += touched;
    }
    Ok(failed)
}

/// A row that was refused, left out or warned about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRow {
    /// Its place in the report, from 1.
    pub position: i64,
    /// Its line in the file.
    pub line: u64,
    /// What happened to it.
    pub result: RowResult,
    /// Which column; empty when the whole row is meant.
    pub column: String,
    /// Stable code.
    pub code: String,
    /// Why, without a secret's value.
    pub reason: String,
    /// The ICCID, where it could be read.
    pub iccid: Option<String>,
}

#[derive(Queryable)]
struct ReportRow {
    _import_id: Uid,
    position: i64,
    line: i64,
    result: String,
    column_name: String,
    code: String,
    reason: String,
    iccid: Option<String>,
}

/// Spelled as the index of the refused rows has it: a report of nothing but duplicates is not walked for them.
const IS_REJECTED: &str = "import_rows.result = 'rejected'";

/// The report after `position`, in order, at most `limit` rows; with `rejected_only` the refused ones alone.
///
/// # Errors
/// When it cannot be read.
pub fn reported(
    conn: &mut Conn<'_>,
    id: ImportId,
    rejected_only: bool,
    position: i64,
    limit: i64,
) -> Result<Vec<ReportedRow>> {
    let mut query = import_rows::table
        .filter(import_rows::import_id.eq(Uid(id.0)))
        .filter(import_rows::position.gt(position))
        .order(import_rows::position)
        .limit(limit)
        .into_boxed();
    if rejected_only {
        query = query.filter(sql::<Bool>(IS_REJECTED));
    }
    query
        .load::<ReportRow>(conn.db)?
        .into_iter()
        .map(|row| {
            Ok(ReportedRow {
                result: parse_column("import_rows", "result", row.position, &row.result)?,
                position: row.position,
                line: u64::try_from(row.line).unwrap_or_default(),
                column: row.column_name,
                code: row.code,
                reason: row.reason,
                iccid: row.iccid,
            })
        })
        .collect()
}
