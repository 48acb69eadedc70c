//! The fleet report (Transatel subscription report, `*_park.csv`): semicolons, at least nine columns by position, a
//! header line in any language or none.

use std::borrow::Cow;

use super::header::{Column, HeaderError, Layout, Width};
use super::lines::split_fields;

const MIN_COLUMNS: usize = 9;

/// What a fleet report begins with.
pub(super) const EXPECTED: &str = "a fleet report: at least 9 columns separated by semicolons, of which \
                                   the first is the ICCID, the eighth the MSISDN and the ninth the status";

/// The layout of every fleet report.
pub(super) fn layout() -> Layout {
    Layout {
        delimiter: ';',
        width: Width::AtLeast(MIN_COLUMNS),
        columns: vec![
            (Column::Iccid, 0, Cow::Borrowed("column 1 (ICCID)")),
            (Column::Msisdn, 7, Cow::Borrowed("column 8 (MSISDN)")),
            (Column::Status, 8, Cow::Borrowed("column 9 (status)")),
        ],
    }
}

/// Whether the first line is a header, which is one that does not begin with digits.
///
/// A first line too narrow for a fleet report means that the whole file is something else.
pub(super) fn is_header(line: &str, number: u64) -> Result<bool, HeaderError> {
    let fields = split_fields(line, ';').ok_or(HeaderError::Quotes { line: number })?;
    if fields.len() < MIN_COLUMNS {
        return Err(HeaderError::TooFewColumns { line: number, found: fields.len(), expected: MIN_COLUMNS });
    }
    let first = fields.first().map_or("", |field| field.trim());
    Ok(first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_digit()))
}
