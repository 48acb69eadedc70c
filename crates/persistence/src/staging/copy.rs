//! PostgreSQL's binary COPY (its documentation of COPY, "Binary Format").

use std::io::Write;

use diesel::pg::{CopyFormat, PgConnection};
use diesel::prelude::*;

use super::tables::{staged_issues, staged_rows};
use super::{NewIssue, NewRow};
use crate::error::{Result, StoreError, ensure_affected};
use crate::sql_types::At;

/// Signature, flags, and the length of an extension that is not there.
const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
const NULL: [u8; 4] = (-1i32).to_be_bytes();
/// Midnight of the first of January 2000, from which PostgreSQL counts, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

/// Rows in PostgreSQL's form.
struct Encoder(Vec<u8>);

impl Encoder {
    fn new() -> Self {
        Self(HEADER.to_vec())
    }

    fn row(&mut self, fields: i16) {
        self.0.extend_from_slice(&fields.to_be_bytes());
    }

    fn bytes(&mut self, field: Option<&[u8]>) {
        // No field comes near the 2 GiB that its length could not tell.
        match field.and_then(|bytes| Some((i32::try_from(bytes.len()).ok()?, bytes))) {
            Some((length, bytes)) => {
                self.0.extend_from_slice(&length.to_be_bytes());
                self.0.extend_from_slice(bytes);
            }
            None => self.0.extend_from_slice(&NULL),
        }
    }

    fn text(&mut self, field: Option<&str>) {
        self.bytes(field.map(str::as_bytes));
    }

    fn number(&mut self, field: i64) {
        self.bytes(Some(&field.to_be_bytes()));
    }

    fn moment(&mut self, field: At) {
        self.number(field.0.timestamp_micros() - EPOCH);
    }

    fn boolean(&mut self, field: Option<bool>) {
        self.bytes(field.map(|is_so| [u8::from(is_so)]).as_ref().map(<[u8; 1]>::as_slice));
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&TRAILER);
        self.0
    }
}

pub(super) fn rows(rows: impl Iterator<Item = NewRow>) -> Vec<u8> {
    let mut out = Encoder::new();
    for row in rows {
        out.row(12);
        out.number(row.line);
        out.text(Some(&row.iccid));
        out.text(row.quarantine_reason);
        out.moment(row.sell_by);
        out.text(row.msisdn.as_deref());
        out.text(row.eid.as_deref());
        out.text(row.sim_status);
        out.boolean(row.told);
        out.bytes(row.activation_code.as_deref());
        out.bytes(row.code_index.as_deref());
        out.bytes(row.pin.as_deref());
        out.bytes(row.puk.as_deref());
    }
    out.end()
}

pub(super) fn issues(issues: &[NewIssue]) -> Vec<u8> {
    let mut out = Encoder::new();
    for issue in issues {
        out.row(7);
        out.number(issue.line);
        out.number(issue.place);
        out.boolean(Some(issue.rejected));
        out.text(Some(&issue.column_name));
        out.text(Some(issue.code));
        out.text(Some(&issue.reason));
        out.text(issue.iccid.as_deref());
    }
    out.end()
}

/// Sends what [`rows`] and [`issues`] made.
pub(super) fn send(
    pg: &mut PgConnection,
    (rows, row_count): (&[u8], usize),
    (issues, issue_count): (&[u8], usize),
) -> Result<()> {
    if row_count > 0 {
        let sent = diesel::copy_from(staged_rows::table)
            .from_raw_data(staged_rows::table, |out| write(out, rows))
            .with_format(CopyFormat::Binary)
            .execute(pg)?;
        ensure_affected("stage rows", row_count, sent)?;
    }
    if issue_count > 0 {
        let sent = diesel::copy_from(staged_issues::table)
            .from_raw_data(staged_issues::table, |out| write(out, issues))
            .with_format(CopyFormat::Binary)
            .execute(pg)?;
        ensure_affected("stage issues", issue_count, sent)?;
    }
    Ok(())
}

fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|error| StoreError::Unreachable(error.to_string()))
}
