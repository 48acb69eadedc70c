//! What is done with rows on all cores: they are read, checked, sealed and packed for their database.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveTime, Utc};
use simdepot_domain::delivery::{Format, RawRows, Row, RowError, RowIssue, RowReader};
use simdepot_domain::import::{ImportCounts, RowResult};
use simdepot_domain::pool::PoolSettings;
use simdepot_persistence::imports::Import;
use simdepot_persistence::secrets::Sealed;
use simdepot_persistence::staging::{Pack, StagedIssue, StagedRow};
use simdepot_persistence::vault::DataKey;
use simdepot_persistence::{Store, StoreError};

use super::report::FleetReport;
use super::run::blocking;
use crate::error::AppError;

/// What every row of an import is prepared with.
pub(super) struct Workshop {
    pub(super) store: Store,
    pub(super) import: Import,
    pub(super) pool: PoolSettings,
    pub(super) report: Option<FleetReport>,
    pub(super) reader: RowReader,
    /// Absent in a dry run, which keeps no secrets.
    pub(super) key: Option<DataKey>,
    pub(super) now: DateTime<Utc>,
}

/// Rows that are ready to be staged.
pub(super) struct Prepared {
    /// The rows.
    pub(super) pack: Pack,
    /// How many, before duplicates are sought.
    pub(super) counts: ImportCounts,
    /// Bytes of the file up to here.
    pub(super) read: u64,
}

impl Workshop {
    /// Prepares the lines of a chunk.
    ///
    /// # Errors
    /// [`AppError::Invalid`] when the file cannot be read to its end: half a file is not taken for a whole one.
    pub(super) async fn prepare(self: Arc<Self>, raw: RawRows, read: u64) -> Result<Prepared, AppError> {
        let Some(report) = self.report.clone() else {
            return blocking(move || self.pack(self.reader.read(raw), &HashMap::new(), read)).await?;
        };
        let reader = self.reader.clone();
        let rows = blocking(move || reader.read(raw)).await?;
        let (rows, told) = self
            .store
            .read(move |conn| {
                let told = report.tells(conn, rows.iter().filter_map(|row| row.as_ref().ok()).collect())?;
                Ok::<_, AppError>((rows, told))
            })
            .await?;
        blocking(move || self.pack(rows, &told, read)).await?
    }

    fn pack(
        &self,
        read_rows: Vec<Result<Row, RowError>>,
        told: &HashMap<String, bool>,
        read: u64,
    ) -> Result<Prepared, AppError> {
        let mut counts = ImportCounts::default();
        let (mut rows, mut issues) = (Vec::with_capacity(read_rows.len()), Vec::new());
        for row in read_rows {
            counts.rows += 1;
            match row {
                Ok(mut row) => {
                    counts.warnings += u64::from(!row.warnings.is_empty());
                    for issue in std::mem::take(&mut row.warnings) {
                        issues.push(staged(RowResult::Warning, issue, Some(row.iccid.to_string())));
                    }
                    let told = told.get(row.iccid.key()).copied();
                    match told {
                        None => counts.accepted += 1,
                        Some(true) => counts.updated += 1,
                        Some(false) => counts.unchanged += 1,
                    }
                    rows.push(self.stage(row, told)?);
                }
                Err(error) if error.is_fatal() => {
                    return Err(AppError::invalid("", "read-failed", error.issue.reason));
                }
                Err(error) => {
                    counts.rejected += 1;
                    issues.push(staged(RowResult::Rejected, error.issue, error.iccid));
                }
            }
        }
        Ok(Prepared { pack: Pack::new(self.store.backend(), rows, issues), counts, read })
    }

    fn stage(&self, row: Row, told: Option<bool>) -> Result<StagedRow, StoreError> {
        let (vault, code) = (self.store.vault(), row.activation_code.as_ref());
        let sealed = match &self.key {
            Some(key) if told.is_none() => {
                Sealed::seal(vault, key, &row.iccid, code, row.pin.as_ref(), row.puk.as_ref())?
            }
            _ => Sealed::index_only(vault, code),
        };
        // A day means through that day: sold until the next one begins.
        let in_file = row.sell_by.map(|day| (day + Days::new(1)).and_time(NaiveTime::MIN).and_utc());
        Ok(StagedRow {
            line: row.line,
            stock: match self.import.format {
                Format::Delivery => self.pool.initial_stock(code.is_some(), row.sim_status),
                Format::Park => self.pool.adopted_stock(row.sim_status),
            },
            sell_by: self.pool.sell_by(in_file, self.import.sell_by, self.now),
            iccid: row.iccid,
            msisdn: row.msisdn,
            eid: row.eid,
            sim_status: row.sim_status,
            sealed,
            told,
        })
    }
}

fn staged(result: RowResult, issue: RowIssue, iccid: Option<String>) -> StagedIssue {
    let RowIssue { line, column, code, reason } = issue;
    StagedIssue { line, result, column, code, reason, iccid }
}
