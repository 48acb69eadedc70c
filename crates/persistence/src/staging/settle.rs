//! What becomes of the staged rows: found out for all of them at once.

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ImportId;
use simdepot_domain::import::ImportCounts;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;

use crate::error::{Result, parse_column};
use crate::sql_types::{At, Id, Moment, Uid};
use crate::store::{Backend, Conn};

/// Why a row is a duplicate, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    /// Its SIM is in the stock.
    SimInStock = 1,
    /// Its SIM came earlier in the file.
    SimRepeated = 2,
    /// Its activation code is in the stock.
    CodeInStock = 3,
    /// Its activation code came with a row of the file that is taken.
    CodeRepeated = 4,
}

impl Duplicate {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::SimInStock, Self::SimRepeated, Self::CodeInStock, Self::CodeRepeated];
}

/// A staged row's SIM: two ICCIDs that share their first 19 digits are the same.
macro_rules! sim {
    ($table:literal) => {
        concat!("substr(", $table, ".iccid, 1, 19)")
    };
}
pub(super) use sim;

/// Each step asks only about rows that the steps before left. A row that tells of a SIM in the stock is a duplicate only
/// when the file has told of the SIM before.
const MARK: [&str; 4] = [
    concat!(
        "UPDATE staged_rows SET duplicate = 1 WHERE told IS NULL \
         AND EXISTS (SELECT 1 FROM profiles p WHERE p.sim_key = ",
        sim!("staged_rows"),
        ")"
    ),
    concat!(
        "UPDATE staged_rows SET duplicate = 2 FROM (SELECT s.line, ROW_NUMBER() OVER (PARTITION BY ",
        sim!("s"),
        " ORDER BY s.line) AS nth FROM staged_rows s WHERE s.duplicate IS NULL) r \
         WHERE r.nth > 1 AND r.line = staged_rows.line"
    ),
    "UPDATE staged_rows SET duplicate = 3 WHERE told IS NULL AND duplicate IS NULL AND code_index IS NOT NULL \
     AND EXISTS (SELECT 1 FROM profile_secrets c WHERE c.code_index = staged_rows.code_index)",
    "UPDATE staged_rows SET duplicate = 4 FROM (SELECT s.line, \
         ROW_NUMBER() OVER (PARTITION BY s.code_index ORDER BY s.line) AS nth FROM staged_rows s \
         WHERE s.told IS NULL AND s.duplicate IS NULL AND s.code_index IS NOT NULL) r \
     WHERE r.nth > 1 AND r.line = staged_rows.line",
];

/// What was found out.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    /// Rows by result; `rows` and `rejected` are left to the caller.
    pub counts: ImportCounts,
    /// The last profile that the duplicates were sought among.
    pub(super) last_profile: i64,
    /// The last line.
    pub(super) last_line: i64,
}

/// Finds the duplicates, and counts.
///
/// # Errors
/// When the database cannot be asked.
pub fn settle(conn: &mut Conn<'_>) -> Result<Settled> {
    #[derive(QueryableByName)]
    struct Counted {
        #[diesel(sql_type = BigInt)]
        duplicates: i64,
        #[diesel(sql_type = BigInt)]
        accepted: i64,
        #[diesel(sql_type = BigInt)]
        updated: i64,
        #[diesel(sql_type = BigInt)]
        unchanged: i64,
        #[diesel(sql_type = BigInt)]
        last_line: i64,
    }
    if conn.backend() == Backend::Postgres {
        conn.db.batch_execute(
            "CREATE UNIQUE INDEX staged_rows_line ON staged_rows (line); ANALYZE staged_rows; ANALYZE staged_issues",
        )?;
    }
    let last_profile = number(conn, "SELECT COALESCE(MAX(id), 0) AS value FROM profiles")?;
    for statement in MARK {
        diesel::sql_query(statement).execute(conn.db)?;
    }
    let counted: Counted = diesel::sql_query(
        "SELECT COUNT(*) FILTER (WHERE duplicate IS NOT NULL) AS duplicates, \
            COUNT(*) FILTER (WHERE duplicate IS NULL AND told IS NULL) AS accepted, \
            COUNT(*) FILTER (WHERE duplicate IS NULL AND told) AS updated, \
            COUNT(*) FILTER (WHERE duplicate IS NULL AND NOT told) AS unchanged, \
            COALESCE(MAX(line), 0) AS last_line FROM staged_rows",
    )
    .get_result(conn.db)?;
    let warnings = number(
        conn,
        "SELECT COUNT(DISTINCT i.line) AS value FROM staged_issues i LEFT JOIN staged_rows s ON s.line = i.line \
         WHERE NOT i.rejected AND s.duplicate IS NULL",
    )?;
    let count = |value: i64| u64::try_from(value).unwrap_or_default();
    let counts = ImportCounts {
        accepted: count(counted.accepted),
        duplicates: count(counted.duplicates),
        warnings: count(warnings),
        updated: count(counted.updated),
        unchanged: count(counted.unchanged),
        ..ImportCounts::default()
    };
    Ok(Settled { counts, last_profile, last_line: counted.last_line })
}

pub(super) fn number(conn: &mut Conn<'_>, query: &str) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        value: i64,
    }
    Ok(diesel::sql_query(query).get_result::<Number>(conn.db)?.value)
}

/// How the report names a duplicate: column, code, reason.
pub type Reported = (&'static str, &'static str, &'static str);

/// Puts the report together, by line: refused rows, duplicates, and the warnings of the others. `name` names a duplicate.
/// Returns how many rows it has.
///
/// # Errors
/// When the database refuses.
pub fn compose(conn: &mut Conn<'_>, name: impl Fn(Duplicate) -> Reported) -> Result<i64> {
    let [first, second, third, fourth] = Duplicate::ALL.map(name);
    let written = diesel::sql_query(
        "WITH kinds (duplicate, column_name, code, reason) AS \
             (VALUES (1, $1, $2, $3), (2, $4, $5, $6), (3, $7, $8, $9), (4, $10, $11, $12)) \
         INSERT INTO staged_report (position, line, result, column_name, code, reason, iccid) \
         SELECT ROW_NUMBER() OVER (ORDER BY r.line, r.place), r.line, r.result, r.column_name, r.code, r.reason, r.iccid \
         FROM (SELECT i.line, i.place, CASE WHEN i.rejected THEN 'rejected' ELSE 'warning' END AS result, \
                   i.column_name, i.code, i.reason, i.iccid \
               FROM staged_issues i LEFT JOIN staged_rows s ON s.line = i.line WHERE s.duplicate IS NULL \
               UNION ALL \
               SELECT s.line, 0, 'duplicate', k.column_name, k.code, k.reason, s.iccid \
               FROM staged_rows s JOIN kinds k ON k.duplicate = s.duplicate) r",
    )
    .bind::<Text, _>(first.0)
    .bind::<Text, _>(first.1)
    .bind::<Text, _>(first.2)
    .bind::<Text, _>(second.0)
    .bind::<Text, _>(second.1)
    .bind::<Text, _>(second.2)
    .bind::<Text, _>(third.0)
    .bind::<Text, _>(third.1)
    .bind::<Text, _>(third.2)
    .bind::<Text, _>(fourth.0)
    .bind::<Text, _>(fourth.1)
    .bind::<Text, _>(fourth.2)
    .execute(conn.db)?;
    Ok(i64::try_from(written).unwrap_or(i64::MAX))
}

/// Copies the part of the report after `position` into the database, at most `limit` rows.
///
/// # Errors
/// When the database refuses.
pub fn report(conn: &mut Conn<'_>, import: ImportId, position: i64, limit: i64) -> Result<()> {
    diesel::sql_query(
        "INSERT INTO import_rows (import_id, position, line, result, column_name, code, reason, iccid) \
         SELECT $1, position, line, result, column_name, code, reason, iccid FROM staged_report \
         WHERE position > $2 AND position <= $3",
    )
    .bind::<Id, _>(Uid(import.0))
    .bind::<BigInt, _>(position)
    .bind::<BigInt, _>(position.saturating_add(limit))
    .execute(conn.db)?;
    Ok(())
}

/// A row that becomes stock.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its line in the file.
    pub line: i64,
    /// Its SIM.
    pub iccid: String,
    /// Where it starts.
    pub status: StockStatus,
    /// Last moment of sale.
    pub sell_by: DateTime<Utc>,
}

/// The rows after a line that become stock, in order, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn accepted(conn: &mut Conn<'_>, after: i64, limit: i64) -> Result<Vec<Accepted>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        line: i64,
        #[diesel(sql_type = Text)]
        iccid: String,
        #[diesel(sql_type = Bool)]
        available: bool,
        #[diesel(sql_type = Moment)]
        sell_by: At,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT line, iccid, quarantine_reason IS NULL AS available, sell_by FROM staged_rows \
         WHERE line > $1 AND duplicate IS NULL AND told IS NULL ORDER BY line LIMIT $2",
    )
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    let status = |available| if available { StockStatus::Available } else { StockStatus::Quarantined };
    let accepted = rows.into_iter().map(|row| Accepted {
        line: row.line,
        iccid: row.iccid,
        status: status(row.available),
        sell_by: row.sell_by.0,
    });
    Ok(accepted.collect())
}

/// What a row of a fleet report tells of a SIM that the stock has.
#[derive(Debug, Clone)]
pub struct News {
    /// Its line in the file.
    pub line: i64,
    /// The SIM.
    pub iccid: Iccid,
    /// The line's number.
    pub msisdn: Option<Msisdn>,
    /// The line's status.
    pub sim_status: Option<SimStatus>,
}

/// The rows after a line that tell something new of a SIM that the stock has, in order, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub fn news(conn: &mut Conn<'_>, after: i64, limit: i64) -> Result<Vec<News>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        line: i64,
        #[diesel(sql_type = Text)]
        iccid: String,
        #[diesel(sql_type = Nullable<Text>)]
        msisdn: Option<String>,
        #[diesel(sql_type = Nullable<Text>)]
        sim_status: Option<String>,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT line, iccid, msisdn, sim_status FROM staged_rows \
         WHERE line > $1 AND duplicate IS NULL AND told ORDER BY line LIMIT $2",
    )
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    let table = "staged_rows";
    rows.into_iter()
        .map(|row| {
            let (msisdn, status) = (row.msisdn.as_deref(), row.sim_status.as_deref());
            Ok(News {
                iccid: parse_column(table, "iccid", row.line, &row.iccid)?,
                msisdn: msisdn.map(|text| parse_column(table, "msisdn", row.line, text)).transpose()?,
                sim_status: status
                    .map(|text| parse_column(table, "sim_status", row.line, text))
                    .transpose()?,
                line: row.line,
            })
        })
        .collect()
}
