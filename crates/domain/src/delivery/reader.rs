//! The reader of stock files: lines in, rows out.

use std::io::Read;
use std::iter::FusedIterator;

use super::header::{HeaderError, Layout, Width, expected_beginning};
use super::lines::{Lines, MAX_LINE_BYTES, Step, split_fields};
use super::row::{Cells, Row, RowError};
use super::{Format, park};

/// Reads a stock file row by row, in flat memory.
///
/// Lines end with LF or CRLF; a UTF-8 byte order mark is skipped; lines without any content are passed over.
pub struct Reader<R> {
    lines: Lines<R>,
    layout: Layout,
    /// The current line of `lines` is a row that was not given out yet.
    pending: bool,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads up to the header and finds the columns.
    ///
    /// # Errors
    /// An empty file; a header without ICCID column or with two columns that mean the same; a first line that is
    /// not UTF-8, too long or too narrow; a failed read.
    pub fn new(read: R, format: Format) -> Result<Self, HeaderError> {
        let mut lines = Lines::new(read);
        loop {
            match lines.advance().map_err(HeaderError::Read)? {
                Step::End => return Err(HeaderError::Empty { expected: expected_beginning(format) }),
                Step::TooLong => return Err(HeaderError::TooLong { line: lines.number() }),
                Step::Line if lines.bytes().trim_ascii().is_empty() => {}
                Step::Line => break,
            }
        }
        let line = lines.number();
        let text = str::from_utf8(lines.bytes()).map_err(|_| HeaderError::NotUtf8 { line })?;
        let (layout, pending) = match format {
            Format::Delivery => (Layout::of_header(text, line)?, false),
            Format::Park => (park::layout(), !park::is_header(text, line)?),
        };
        Ok(Self { lines, layout, pending, done: false })
    }

    /// Reads the current line; `None` when there is nothing on it.
    fn current(&self) -> Option<Result<Row, RowError>> {
        let (line, bytes) = (self.lines.number(), self.lines.bytes());
        let Ok(text) = str::from_utf8(bytes) else {
            return Some(Err(RowError::of_line(
                line,
                "not-utf8",
                "the row is not UTF-8; save the file as CSV UTF-8",
            )));
        };
        let Some(fields) = split_fields(text, self.layout.delimiter) else {
            let reason = "a quote is not closed on its line, or is followed by more text";
            return Some(Err(RowError::of_line(line, "unclosed-quote", reason)));
        };
        // Spreadsheets leave rows of nothing but delimiters behind.
        if fields.iter().all(|field| field.trim().is_empty()) {
            return None;
        }
        let cells = Cells { layout: &self.layout, line, fields: &fields };
        if self.layout.width.accepts(fields.len()) {
            return Some(cells.read());
        }
        let found = fields.len();
        let reason = match self.layout.width {
            Width::Exactly(width) => format!("the row has {found} fields, the header {width}"),
            Width::AtLeast(width) => format!("the row has {found} fields; expected at least {width}"),
        };
        Some(Err(cells.refuse(cells.row_issue("wrong-field-count", reason))))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let step = if std::mem::take(&mut self.pending) { Ok(Step::Line) } else { self.lines.advance() };
            match step {
                Ok(Step::Line) => {
                    if let Some(row) = self.current() {
                        return Some(row);
                    }
                }
                Ok(Step::TooLong) => {
                    let reason = format!("the row is longer than {MAX_LINE_BYTES} bytes");
                    return Some(Err(RowError::of_line(self.lines.number(), "row-too-long", reason)));
                }
                Ok(Step::End) => self.done = true,
                Err(error) => {
                    self.done = true;
                    let line = self.lines.number().saturating_add(1);
                    return Some(Err(RowError::read_failed(line, &error)));
                }
            }
        }
        None
    }
}

impl<R: Read> FusedIterator for Reader<R> {}

impl<R> std::fmt::Debug for Reader<R> {
    /// Without the lines, which hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("layout", &self.layout)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
