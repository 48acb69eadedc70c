//! Rows of an import on their way into the stock.
//!
//! They lie in temporary tables of a [`Session`](crate::store::Session): nobody else sees them, nobody waits for them,
//! and they go with their connection. On SQLite they do not take the database's writer. Their secrets are sealed under a
//! key that is stored only with the profiles.

mod copy;
mod land;
mod late;
mod settle;
mod tables;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::import::RowResult;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::pool::InitialStock;
use simdepot_domain::sim::SimStatus;

use crate::connection::AnyConnection;
use crate::error::{Result, StoreError};
use crate::secrets::Sealed;
use crate::sql_types::At;
use crate::store::{Backend, Conn};

use tables::{staged_issues, staged_rows};

pub use land::{Landing, land};
pub use late::mark_latecomers;
pub use settle::{Accepted, Duplicate, News, Reported, Settled, accepted, compose, news, report, settle};

/// `duplicate` is found out when all rows are there, or when they become stock: then it is `late`. `told` says of a fleet report's row whose SIM the stock has whether
/// it is news.
const POSTGRES: &str = "\
    CREATE TEMP TABLE staged_rows (line bigint NOT NULL, iccid text NOT NULL, quarantine_reason text, \
        sell_by timestamptz NOT NULL, msisdn text, eid text, sim_status text, told boolean, activation_code bytea, \
        code_index bytea, pin bytea, puk bytea, duplicate bigint, late boolean); \
    CREATE TEMP TABLE staged_issues (line bigint NOT NULL, place bigint NOT NULL, rejected boolean NOT NULL, \
        column_name text NOT NULL, code text NOT NULL, reason text NOT NULL, iccid text); \
    CREATE TEMP TABLE staged_report (position bigint PRIMARY KEY, line bigint NOT NULL, result text NOT NULL, \
        column_name text NOT NULL, code text NOT NULL, reason text NOT NULL, iccid text)";
const SQLITE: &str = "\
    CREATE TEMP TABLE staged_rows (line INTEGER PRIMARY KEY, iccid TEXT NOT NULL, quarantine_reason TEXT, \
        sell_by INTEGER NOT NULL, msisdn TEXT, eid TEXT, sim_status TEXT, told INTEGER, activation_code BLOB, \
        code_index BLOB, pin BLOB, puk BLOB, duplicate INTEGER, late INTEGER) STRICT; \
    CREATE TEMP TABLE staged_issues (line INTEGER NOT NULL, place INTEGER NOT NULL, rejected INTEGER NOT NULL, \
        column_name TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, iccid TEXT, PRIMARY KEY (line, place)) \
        STRICT, WITHOUT ROWID; \
    CREATE TEMP TABLE staged_report (position INTEGER PRIMARY KEY, line INTEGER NOT NULL, result TEXT NOT NULL, \
        column_name TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, iccid TEXT) STRICT";

/// A row that can be used, unless it is a duplicate.
#[derive(Debug, Clone)]
pub struct StagedRow {
    /// Its line in the file.
    pub line: u64,
    /// Its SIM.
    pub iccid: Iccid,
    /// Where it starts.
    pub stock: InitialStock,
    /// Last moment of sale.
    pub sell_by: DateTime<Utc>,
    /// The line's number.
    pub msisdn: Option<Msisdn>,
    /// The device that holds it.
    pub eid: Option<Eid>,
    /// The line's status in the file.
    pub sim_status: Option<SimStatus>,
    /// Its secrets.
    pub sealed: Sealed,
    /// Where the row only tells of a SIM that the stock has: whether it is news.
    pub told: Option<bool>,
}

/// Something to say of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedIssue {
    /// Its line in the file.
    pub line: u64,
    /// What happened to it.
    pub result: RowResult,
    /// Which column; empty when the whole row is meant.
    pub column: String,
    /// Stable code.
    pub code: &'static str,
    /// Why, without a secret's value.
    pub reason: String,
    /// The ICCID, where it could be read.
    pub iccid: Option<String>,
}

#[derive(Insertable)]
#[diesel(table_name = staged_rows, treat_none_as_default_value = false)]
struct NewRow {
    line: i64,
    iccid: String,
    quarantine_reason: Option<&'static str>,
    sell_by: At,
    msisdn: Option<String>,
    eid: Option<String>,
    sim_status: Option<&'static str>,
    told: Option<bool>,
    activation_code: Option<Vec<u8>>,
    code_index: Option<Vec<u8>>,
    pin: Option<Vec<u8>>,
    puk: Option<Vec<u8>>,
}

impl From<StagedRow> for NewRow {
    fn from(row: StagedRow) -> Self {
        let Sealed { activation_code, code_index, pin, puk } = row.sealed;
        Self {
            line: number(row.line),
            iccid: row.iccid.to_string(),
            quarantine_reason: row.stock.reason().map(Into::into),
            sell_by: At(row.sell_by),
            msisdn: row.msisdn.map(|msisdn| msisdn.to_string()),
            eid: row.eid.map(|eid| eid.to_string()),
            sim_status: row.sim_status.map(Into::into),
            told: row.told,
            activation_code,
            code_index,
            pin,
            puk,
        }
    }
}

#[derive(Insertable)]
#[diesel(table_name = staged_issues, treat_none_as_default_value = false)]
struct NewIssue {
    line: i64,
    place: i64,
    rejected: bool,
    column_name: String,
    code: &'static str,
    reason: String,
    iccid: Option<String>,
}

/// The issues with their places in their lines.
fn placed(issues: Vec<StagedIssue>) -> Vec<NewIssue> {
    let (mut line, mut place) = (0, 0);
    let place_of = |issue: StagedIssue| {
        place = if issue.line == line { place + 1 } else { 1 };
        line = issue.line;
        NewIssue {
            line: number(issue.line),
            place,
            rejected: issue.result == RowResult::Rejected,
            column_name: issue.column,
            code: issue.code,
            reason: issue.reason,
            iccid: issue.iccid,
        }
    };
    issues.into_iter().map(place_of).collect()
}

fn number(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}

/// Rows in the form in which their database takes them. Making it costs time, so it is done before, on any thread.
pub struct Pack(Form);

enum Form {
    Copies { rows: Vec<u8>, issues: Vec<u8>, counts: (usize, usize) },
    Values { rows: Vec<NewRow>, issues: Vec<NewIssue> },
}

impl std::fmt::Debug for Pack {
    /// Without the rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pack")
    }
}

impl Pack {
    /// Packs rows, and issues in the order of their lines, for a database.
    pub fn new(backend: Backend, rows: Vec<StagedRow>, issues: Vec<StagedIssue>) -> Self {
        let counts = (rows.len(), issues.len());
        let issues = placed(issues);
        let rows = rows.into_iter().map(NewRow::from);
        Self(match backend {
            Backend::Postgres => {
                Form::Copies { rows: copy::rows(rows), issues: copy::issues(&issues), counts }
            }
            Backend::Sqlite => Form::Values { rows: rows.collect(), issues },
        })
    }
}

/// Makes the tables.
///
/// # Errors
/// When the database refuses: PostgreSQL's user needs the right to make temporary tables.
pub fn create(conn: &mut Conn<'_>) -> Result<()> {
    let tables = match conn.backend() {
        Backend::Postgres => POSTGRES,
        Backend::Sqlite => SQLITE,
    };
    Ok(conn.db.batch_execute(tables)?)
}

/// Adds rows.
///
/// # Errors
/// When the database refuses them.
pub fn add(conn: &mut Conn<'_>, pack: Pack) -> Result<()> {
    match (&mut *conn.db, pack.0) {
        (AnyConnection::Pg(pg), Form::Copies { rows, issues, counts }) => {
            copy::send(pg, (&rows, counts.0), (&issues, counts.1))
        }
        (AnyConnection::Sqlite(sqlite), Form::Values { rows, issues }) => {
            // Touches the temporary tables alone: no writer of the database waits for it.
            sqlite.batch_execute("BEGIN")?;
            let added = insert(sqlite, &rows, &issues);
            sqlite.batch_execute(if added.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
            added
        }
        _ => Err(StoreError::Aborted("rows were packed for another database".to_owned())),
    }
}

/// One by one: the statement is prepared once, where that of many rows would be prepared each time.
fn insert(sqlite: &mut SqliteConnection, rows: &[NewRow], issues: &[NewIssue]) -> Result<()> {
    for row in rows {
        diesel::insert_into(staged_rows::table).values(row).execute(sqlite)?;
    }
    for issue in issues {
        diesel::insert_into(staged_issues::table).values(issue).execute(sqlite)?;
    }
    Ok(())
}
