//! Imports.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use simdepot_application::imports::{ImportView, StartImport};
use simdepot_domain::{channel, id};
use simdepot_persistence::imports::ReportedRow;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::words::{FileFormat, ImportStatus, OnError};
use super::{identifiers, time};
use crate::pagination::Limit;

/// How to import a file.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The pool to import into.
    #[param(value_type = identifiers::PoolName, inline)]
    pub pool: channel::PoolName,
    /// Whether only to check the file and count.
    #[serde(default)]
    #[param(required = false, default = false)]
    pub dry_run: bool,
    /// What a refused row does to the others. Default `all`: nothing is imported.
    #[param(inline)]
    pub on_error: Option<OnError>,
    /// Last day of sale (`2027-01-31`) or the moment from which the profiles are not sold, for rows that do not say.
    #[serde(default, deserialize_with = "time::optional_sell_by")]
    #[param(value_type = Option<String>, pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt].+)?$", example = "2027-01-31")]
    pub sell_by: Option<DateTime<Utc>>,
    /// Kind of the file. Default `delivery`. `park` is the carrier's daily report of the fleet: of SIMs that the stock has
    /// it tells the line's status and number, others are adopted into the pool.
    #[param(inline)]
    pub format: Option<FileFormat>,
}

impl ImportQuery {
    /// The request to import a file of this name.
    pub fn into_start(self, file_name: Option<String>) -> StartImport {
        StartImport {
            pool: self.pool,
            format: self.format.map(Into::into).unwrap_or_default(),
            dry_run: self.dry_run,
            on_error: self.on_error.map(Into::into).unwrap_or_default(),
            sell_by: self.sell_by,
            file_name,
        }
    }
}

/// Which imports to list.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportsQuery {
    /// Into this pool.
    #[param(value_type = Option<identifiers::PoolName>, inline)]
    pub pool: Option<channel::PoolName>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// Where the page begins: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A file as one part of a form.
#[derive(Debug, ToSchema)]
pub struct ImportForm {
    /// The file, the only part.
    #[schema(value_type = String, format = Binary)]
    pub file: Vec<u8>,
}

/// Nothing needs to be said with an undo: an empty object, or no body at all.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {}

/// An import: one delivery file into one pool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "imp_01kamdz6m4e9vt6hjgq3b5n2ya", "pool": "travel-world", "status": "completed", "format": "delivery",
    "dry_run": false, "on_error": "all", "file_name": "delivery-2026-11-02.csv",
    "file_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "rows": 5000, "accepted": 5000, "rejected": 0, "duplicates": 0, "warnings": 0, "updated": 0, "unchanged": 0,
    "errors": [],
    "created_at": "2026-11-02T09:12:00Z", "finished_at": "2026-11-02T09:12:03Z"
}))]
pub struct Import {
    /// Its id; profiles name it as their batch.
    #[schema(value_type = identifiers::ImportId)]
    pub id: id::ImportId,
    /// The pool.
    #[schema(value_type = identifiers::PoolName)]
    pub pool: channel::PoolName,
    /// Where it stands.
    pub status: ImportStatus,
    /// Kind of the file.
    pub format: FileFormat,
    /// Whether it only checked.
    pub dry_run: bool,
    /// What a refused row does to the others.
    pub on_error: OnError,
    /// Name of the file, when it came with one.
    pub file_name: Option<String>,
    /// SHA-256 of the file, in hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub file_sha256: String,
    /// Rows with content.
    pub rows: u64,
    /// Rows that became profiles (or would have, in a dry run); none of a failed import.
    pub accepted: u64,
    /// Rows refused.
    pub rejected: u64,
    /// Rows whose SIM or code is in the stock already, or came earlier in the file.
    pub duplicates: u64,
    /// Rows that were not refused and deserve a look.
    pub warnings: u64,
    /// Rows of a fleet report (`park`) whose SIM the stock has, and of which it learned something.
    pub updated: u64,
    /// Rows of a fleet report whose SIM the stock has, and which said nothing new.
    pub unchanged: u64,
    /// The first refused rows; lists leave them out, and `rows.csv` has all reported rows.
    #[schema(max_items = 100)]
    pub errors: Vec<ImportError>,
    /// Why nothing could be imported at all. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
    /// When it was handed in.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A refused row.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "line": 17, "column": "iccid", "code": "wrong-length",
    "reason": "ICCID has 4 characters; expected 19 or 20 digits", "iccid": null
}))]
pub struct ImportError {
    /// Its line in the file, from 1, the header included.
    pub line: u64,
    /// The column at fault.
    pub column: String,
    /// Stable code.
    pub code: String,
    /// What is wrong and what is expected, without the value.
    pub reason: String,
    /// The row's ICCID, when it could be read.
    pub iccid: Option<String>,
}

impl From<ReportedRow> for ImportError {
    fn from(row: ReportedRow) -> Self {
        Self { line: row.line, column: row.column, code: row.code, reason: row.reason, iccid: row.iccid }
    }
}

impl From<ImportView> for Import {
    fn from(view: ImportView) -> Self {
        let ImportView { import, pool, errors } = view;
        Self {
            id: import.id,
            pool,
            status: import.status.into(),
            format: import.format.into(),
            dry_run: import.dry_run,
            on_error: import.on_error.into(),
            file_name: import.file_name,
            file_sha256: import.file_sha256,
            rows: import.counts.rows,
            accepted: import.counts.accepted,
            rejected: import.counts.rejected,
            duplicates: import.counts.duplicates,
            warnings: import.counts.warnings,
            updated: import.counts.updated,
            unchanged: import.counts.unchanged,
            errors: errors.into_iter().map(Into::into).collect(),
            problem: import.problem,
            created_at: import.created_at,
            finished_at: import.finished_at,
        }
    }
}
