//! The first pass: every row is checked and the report is written.

use std::collections::{HashMap, HashSet};

use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::delivery::{Row, RowError, RowIssue};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::import::{ImportCounts, RowResult};
use simdepot_persistence::imports::ReportedRow;
use simdepot_persistence::vault::Vault;
use simdepot_persistence::{Conn, StoreError, profiles, secrets};

use super::report::FleetReport;
use crate::error::AppError;

/// A SIM that comes twice: column, code and reason.
const REPEATED: (&str, &str, &str) = ("ICCID", "repeated", "this SIM came earlier in the file");

/// What the first pass knows so far.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Counts.
    pub(super) counts: ImportCounts,
    /// Lines that are not imported.
    pub(super) skipped: HashSet<u64>,
    /// Those of them that tell something new of a SIM that the stock has.
    pub(super) news: HashSet<u64>,
    /// Rows of the report, not yet written.
    pub(super) report: Vec<ReportedRow>,
    reported: i64,
    sims: HashSet<u64>,
    codes: HashSet<u128>,
}

/// What identifies a row against the stock and the rest of the file.
struct Candidate {
    row: Row,
    code_index: Option<Vec<u8>>,
}

impl Checked {
    /// Checks the next rows against the file so far and the stock.
    ///
    /// # Errors
    /// [`AppError::Invalid`] when the file cannot be read to its end: half a file is not taken for a whole one.
    pub(super) fn add(
        &mut self,
        conn: &mut Conn<'_>,
        vault: &Vault,
        report: Option<&FleetReport>,
        chunk: Vec<Result<Row, RowError>>,
    ) -> Result<(), AppError> {
        let mut candidates = Vec::with_capacity(chunk.len());
        for item in chunk {
            self.counts.rows += 1;
            match item {
                Ok(row) => {
                    let input = row.activation_code.as_ref().and_then(ActivationCode::index_input);
                    candidates
                        .push(Candidate { code_index: input.map(|input| vault.blind_index(&input)), row });
                }
                Err(error) if error.is_fatal() => {
                    return Err(AppError::invalid("", "read-failed", error.issue.reason.clone()));
                }
                Err(error) => self.reject(error),
            }
        }
        let (known_sims, known_codes) = known(conn, &candidates)?;
        let told = match report {
            Some(report) => {
                report.tells(conn, candidates.iter().map(|candidate| &candidate.row).collect())?
            }
            None => HashMap::new(),
        };
        for candidate in candidates {
            match told.get(candidate.row.iccid.key()) {
                Some(is_news) => self.compare(candidate.row, *is_news),
                None => self.admit(candidate, &known_sims, &known_codes),
            }
        }
        Ok(())
    }

    /// A row of a fleet report about a SIM that the stock has.
    fn compare(&mut self, row: Row, is_news: bool) {
        if !self.sims.insert(sim_number(&row.iccid)) {
            let (column, code, reason) = REPEATED;
            return self.leave_out(&row, column, code, reason);
        }
        self.skipped.insert(row.line);
        if is_news {
            self.counts.updated += 1;
            self.news.insert(row.line);
        } else {
            self.counts.unchanged += 1;
        }
        self.warn(row);
    }

    fn reject(&mut self, error: RowError) {
        self.counts.rejected += 1;
        self.skipped.insert(error.issue.line);
        self.note(RowResult::Rejected, error.issue, error.iccid);
    }

    fn admit(&mut self, candidate: Candidate, known_sims: &HashSet<String>, known_codes: &HashSet<Vec<u8>>) {
        let Candidate { row, code_index } = candidate;
        let duplicate = if known_sims.contains(row.iccid.key()) {
            Some(("ICCID", "in-stock", "this SIM is already in the stock"))
        } else if !self.sims.insert(sim_number(&row.iccid)) {
            Some(REPEATED)
        } else if code_index.as_ref().is_some_and(|index| known_codes.contains(index)) {
            Some(("ActivationCode", "in-stock", "this activation code is already in the stock"))
        } else if code_index.as_ref().is_some_and(|index| !self.codes.insert(short(index))) {
            Some(("ActivationCode", "repeated", "this activation code came earlier in the file"))
        } else {
            None
        };
        if let Some((column, code, reason)) = duplicate {
            return self.leave_out(&row, column, code, reason);
        }
        self.counts.accepted += 1;
        self.warn(row);
    }

    fn leave_out(&mut self, row: &Row, column: &str, code: &'static str, reason: &str) {
        self.counts.duplicates += 1;
        self.skipped.insert(row.line);
        let issue = RowIssue { line: row.line, column: column.to_owned(), code, reason: reason.to_owned() };
        self.note(RowResult::Duplicate, issue, Some(row.iccid.to_string()));
    }

    fn warn(&mut self, row: Row) {
        if !row.warnings.is_empty() {
            self.counts.warnings += 1;
        }
        for issue in row.warnings {
            self.note(RowResult::Warning, issue, Some(row.iccid.to_string()));
        }
    }

    fn note(&mut self, result: RowResult, issue: RowIssue, iccid: Option<String>) {
        self.reported += 1;
        self.report.push(ReportedRow {
            position: self.reported,
            line: issue.line,
            result,
            column: issue.column,
            code: issue.code.to_owned(),
            reason: issue.reason,
            iccid,
        });
    }
}

/// Which of the candidates are in the stock already.
fn known(
    conn: &mut Conn<'_>,
    candidates: &[Candidate],
) -> Result<(HashSet<String>, HashSet<Vec<u8>>), StoreError> {
    let keys: Vec<&str> = candidates.iter().map(|candidate| candidate.row.iccid.key()).collect();
    let indexes: Vec<Vec<u8>> =
        candidates.iter().filter_map(|candidate| candidate.code_index.clone()).collect();
    let sims = profiles::existing_keys(conn, &keys)?.into_iter().collect();
    let codes = secrets::existing_indexes(conn, &indexes)?.into_iter().collect();
    Ok((sims, codes))
}

/// The first 19 digits as a number: eight bytes per row. Nineteen digits always fit.
fn sim_number(iccid: &Iccid) -> u64 {
    iccid.key().parse().unwrap_or(u64::MAX)
}

/// Half of a keyed hash: sixteen bytes per row, and no two codes of any real file share them.
fn short(index: &[u8]) -> u128 {
    index.first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}
