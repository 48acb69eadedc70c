//! One row of a stock file, and what can be wrong with it.

use std::borrow::Cow;

use chrono::NaiveDate;
use serde::Serialize;

use super::header::{Column, Layout};
use crate::activation_code::ActivationCode;
use crate::eid::Eid;
use crate::iccid::Iccid;
use crate::identifier_error::{IdentifierError, check_digit_string};
use crate::matching_id::MatchingId;
use crate::msisdn::Msisdn;
use crate::secret::Secret;
use crate::sim::SimStatus;
use crate::smdp_address::SmdpAddress;

/// A usable row: one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Line in the file, from 1; the header is a line too.
    pub line: u64,
    /// The profile.
    pub iccid: Iccid,
    /// Its phone number, where it has one already.
    pub msisdn: Option<Msisdn>,
    /// The status as written.
    pub status: Option<String>,
    /// The status as understood; `None` without a status, and for one that is not known.
    pub sim_status: Option<SimStatus>,
    /// The chip it is bound to.
    pub eid: Option<Eid>,
    /// The activation code as delivered, or made of its delivered parts.
    pub activation_code: Option<ActivationCode>,
    /// PIN, 4 to 8 digits.
    pub pin: Option<Secret>,
    /// PUK, 8 digits.
    pub puk: Option<Secret>,
    /// Last day it may be sold.
    pub sell_by: Option<NaiveDate>,
    /// What is odd about it.
    pub warnings: Vec<RowIssue>,
}

/// One thing that is wrong with one row.
///
/// | code | |
/// |---|---|
/// | `empty` `wrong-length` `invalid-character` `malformed` | the cell is not what its column holds; refused |
/// | `activation-code-conflict` | the activation code and its separate parts disagree; refused |
/// | `wrong-field-count` `unclosed-quote` `not-utf8` `row-too-long` | the line is not a row of this file; refused |
/// | `read-failed` | the file could not be read further; see [`RowError::is_fatal`] |
/// | `luhn-failed` `eid-check-failed` | a check digit does not fit; warning |
/// | `unknown-status` | the status is kept as written and not understood; warning |
/// | `activation-code-incomplete` | SM-DP+ address or matching id alone make no code; warning |
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowIssue {
    /// Line in the file, from 1.
    pub line: u64,
    /// The column as the file names it; empty when the row as a whole is meant.
    pub column: String,
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people. Never quotes the cell, which may hold a secret.
    pub reason: String,
}

/// Why a row was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}: {}", issue.line, issue.reason)]
pub struct RowError {
    /// What is wrong.
    pub issue: RowIssue,
    /// The ICCID of the row, when that much could be read.
    pub iccid: Option<String>,
}

const READ_FAILED: &str = "read-failed";

impl RowError {
    /// Whether the file could not be read further, so that rows behind this one are missing. Such a file must not
    /// be imported, not even in part.
    pub fn is_fatal(&self) -> bool {
        self.issue.code == READ_FAILED
    }

    pub(super) fn of_line(line: u64, code: &'static str, reason: impl Into<String>) -> Self {
        let issue = RowIssue { line, column: String::new(), code, reason: reason.into() };
        Self { issue, iccid: None }
    }

    pub(super) fn read_failed(line: u64, error: &std::io::Error) -> Self {
        Self::of_line(line, READ_FAILED, format!("the file could not be read further: {error}"))
    }
}

/// The fields of a row, by column.
pub(super) struct Cells<'a> {
    pub(super) layout: &'a Layout,
    pub(super) line: u64,
    pub(super) fields: &'a [Cow<'a, str>],
}

impl Cells<'_> {
    /// Reads the row.
    pub(super) fn read(&self) -> Result<Row, RowError> {
        self.read_cells().map_err(|issue| self.refuse(issue))
    }

    /// A refusal with the ICCID, where it can be read.
    pub(super) fn refuse(&self, issue: RowIssue) -> RowError {
        let iccid = self.cell(Column::Iccid).and_then(|text| Iccid::parse(text).ok());
        RowError { issue, iccid: iccid.map(|iccid| iccid.to_string()) }
    }

    /// An issue of the row as a whole.
    pub(super) fn row_issue(&self, code: &'static str, reason: impl Into<String>) -> RowIssue {
        RowIssue { line: self.line, column: String::new(), code, reason: reason.into() }
    }

    fn read_cells(&self) -> Result<Row, RowIssue> {
        let mut warnings = Vec::new();
        let Some(iccid) = self.parsed(Column::Iccid, Iccid::parse)? else {
            return Err(self.issue(Column::Iccid, "empty", "ICCID is empty; expected 19 or 20 digits"));
        };
        if !iccid.luhn_ok() {
            warnings.push(self.issue(
                Column::Iccid,
                "luhn-failed",
                "the ICCID's check digit (Luhn) does not fit",
            ));
        }
        let eid = self.parsed(Column::Eid, Eid::parse)?;
        if eid.as_ref().is_some_and(|eid| !eid.check_ok()) {
            let reason = "the EID's check digits (mod 97) do not fit";
            warnings.push(self.issue(Column::Eid, "eid-check-failed", reason));
        }
        let msisdn = self.parsed(Column::Msisdn, Msisdn::parse)?;
        let status = self.cell(Column::Status).map(str::to_owned);
        let sim_status = status.as_deref().and_then(SimStatus::from_carrier_text);
        if status.is_some() && sim_status.is_none() {
            warnings.push(self.issue(
                Column::Status,
                "unknown-status",
                "the status is not one that is known",
            ));
        }
        let activation_code = self.activation_code(&mut warnings)?;
        let pin = self.secret_digits(Column::Pin, "PIN", "4 to 8 digits", 4..=8)?;
        let puk = self.secret_digits(Column::Puk, "PUK", "8 digits", 8..=8)?;
        let sell_by = self.sell_by()?;
        let line = self.line;
        Ok(Row { line, iccid, msisdn, status, sim_status, eid, activation_code, pin, puk, sell_by, warnings })
    }

    /// The activation code, whole or in parts. Both must agree; parts alone must be complete.
    fn activation_code(&self, warnings: &mut Vec<RowIssue>) -> Result<Option<ActivationCode>, RowIssue> {
        let code = self.parsed(Column::ActivationCode, ActivationCode::parse)?;
        let address = self.parsed(Column::SmdpAddress, SmdpAddress::parse)?;
        let matching_id = self.parsed(Column::MatchingId, MatchingId::parse)?;
        let conflict = |column, what| {
            let reason = format!("the {what} differs from the one in the activation code");
            self.issue(column, "activation-code-conflict", reason)
        };
        let incomplete = |column, there, missing| {
            let reason = format!("there is a {there} without {missing}, which makes no activation code");
            self.issue(column, "activation-code-incomplete", reason)
        };
        match (code, address, matching_id) {
            (Some(code), address, matching_id) => {
                if address.is_some_and(|address| address.host_key() != code.smdp_address().host_key()) {
                    return Err(conflict(Column::SmdpAddress, "SM-DP+ address"));
                }
                if matching_id.is_some_and(|matching_id| matching_id != *code.matching_id()) {
                    return Err(conflict(Column::MatchingId, "matching id"));
                }
                Ok(Some(code))
            }
            (None, Some(address), Some(matching_id)) => ActivationCode::from_parts(&address, &matching_id)
                .map(Some)
                .map_err(|error| self.issue(Column::MatchingId, error.code(), error.to_string())),
            (None, Some(_), None) => {
                warnings.push(incomplete(Column::SmdpAddress, "SM-DP+ address", "matching id"));
                Ok(None)
            }
            (None, None, Some(_)) => {
                warnings.push(incomplete(Column::MatchingId, "matching id", "SM-DP+ address"));
                Ok(None)
            }
            (None, None, None) => Ok(None),
        }
    }

    fn secret_digits(
        &self,
        column: Column,
        what: &'static str,
        expected: &'static str,
        lengths: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<Secret>, RowIssue> {
        self.parsed(column, |text| {
            check_digit_string(what, expected, text, lengths).map(|()| Secret::new(text))
        })
    }

    fn sell_by(&self) -> Result<Option<NaiveDate>, RowIssue> {
        let Some(text) = self.cell(Column::SellBy) else { return Ok(None) };
        // chrono reads shorter and longer years and months as well.
        let date = if text.len() == 10 { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None };
        match date {
            Some(date) => Ok(Some(date)),
            None => {
                Err(self.issue(Column::SellBy, "malformed", "not a date; expected one such as 2027-01-31"))
            }
        }
    }

    /// The text of a cell without outer white space; `None` for an empty one and for a column the file lacks.
    fn cell(&self, column: Column) -> Option<&str> {
        let text = self.fields.get(self.layout.index(column)?)?.trim();
        (!text.is_empty()).then_some(text)
    }

    fn parsed<T>(
        &self,
        column: Column,
        parse: impl FnOnce(&str) -> Result<T, IdentifierError>,
    ) -> Result<Option<T>, RowIssue> {
        let Some(text) = self.cell(column) else { return Ok(None) };
        parse(text).map(Some).map_err(|error| {
            let hint = if is_rounded(column, text) {
                "; a spreadsheet rounded the number: format the column as text and export again"
            } else {
                ""
            };
            self.issue(column, error.code(), format!("{error}{hint}"))
        })
    }

    fn issue(&self, column: Column, code: &'static str, reason: impl Into<String>) -> RowIssue {
        RowIssue { line: self.line, column: self.layout.name(column), code, reason: reason.into() }
    }
}

/// Whether a long number was written as `8.96588E+18` (or `8,96588E+18`): its digits are lost.
fn is_rounded(column: Column, text: &str) -> bool {
    matches!(column, Column::Iccid | Column::Eid | Column::Msisdn)
        && text.contains(['E', 'e'])
        && text.replace(',', ".").parse::<f64>().is_ok()
}
