//! The reader of stock files: lines in, rows out.

use std::io::Read;
use std::iter::FusedIterator;
use std::sync::Arc;

use super::header::{HeaderError, Layout, Width, expected_beginning};
use super::lines::{Lines, MAX_LINE_BYTES, Step, split_fields};
use super::row::{Cells, Row, RowError};
use super::{Format, park};

/// Reads a stock file row by row, in flat memory.
///
/// Lines end with LF or CRLF; a UTF-8 byte order mark is skipped; lines without any content are passed over. Where one
/// thread is not enough, it hands out its lines unread ([`raw_rows`](Self::raw_rows)), and [`RowReader`]s read them.
pub struct Reader<R> {
    lines: Lines<R>,
    rows: RowReader,
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
        Ok(Self { lines, rows: RowReader { layout: Arc::new(layout) }, pending, done: false })
    }

    /// What reads the lines of this file as rows.
    pub fn row_reader(&self) -> RowReader {
        self.rows.clone()
    }

    /// The next lines, unread: at most `limit`, and no more once they have `bytes` bytes. Empty at the end of the file.
    pub fn raw_rows(&mut self, limit: usize, bytes: usize) -> RawRows {
        let mut raw = RawRows::default();
        while raw.lines.len() < limit && (raw.lines.is_empty() || raw.bytes.len() < bytes) {
            let Some(found) = self.advance() else { break };
            if let Ok(Step::Line) = found {
                raw.bytes.extend_from_slice(self.lines.bytes());
            }
            raw.lines.push((raw.bytes.len(), found.map(|_| self.lines.number()).map_err(Box::new)));
        }
        raw
    }

    /// The next line; `None` at the end. A line that is too long and a failed read are rows that were refused.
    fn advance(&mut self) -> Option<Result<Step, RowError>> {
        if self.done {
            return None;
        }
        let step = if std::mem::take(&mut self.pending) { Ok(Step::Line) } else { self.lines.advance() };
        match step {
            Ok(Step::Line) => Some(Ok(Step::Line)),
            Ok(Step::TooLong) => {
                let reason = format!("the row is longer than {MAX_LINE_BYTES} bytes");
                Some(Err(RowError::of_line(self.lines.number(), "row-too-long", reason)))
            }
            Ok(Step::End) => {
                self.done = true;
                None
            }
            Err(error) => {
                self.done = true;
                Some(Err(RowError::read_failed(self.lines.number().saturating_add(1), &error)))
            }
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance()? {
                Ok(_) => {
                    if let Some(row) = self.rows.read_line(self.lines.number(), self.lines.bytes()) {
                        return Some(row);
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Lines of a stock file that nobody has read as rows yet.
#[derive(Default)]
pub struct RawRows {
    bytes: Vec<u8>,
    /// Where each ends in `bytes`, and its number in the file or why there is none.
    lines: Vec<(usize, Result<u64, Box<RowError>>)>,
}

impl RawRows {
    /// Whether the file is at its end.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl std::fmt::Debug for RawRows {
    /// Without the lines, which hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawRows").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}

/// Reads the lines of one file as rows, on any thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RowReader {
    layout: Arc<Layout>,
}

impl RowReader {
    /// The rows of the lines, in order.
    pub fn read(&self, raw: RawRows) -> Vec<Result<Row, RowError>> {
        let mut rows = Vec::with_capacity(raw.lines.len());
        let mut begin = 0;
        for (end, line) in raw.lines {
            let bytes = raw.bytes.get(begin..end).unwrap_or_default();
            begin = end;
            match line {
                Ok(number) => rows.extend(self.read_line(number, bytes)),
                Err(error) => rows.push(Err(*error)),
            }
        }
        rows
    }

    /// Reads a line; `None` when there is nothing on it.
    fn read_line(&self, line: u64, bytes: &[u8]) -> Option<Result<Row, RowError>> {
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

impl<R: Read> FusedIterator for Reader<R> {}

impl<R> std::fmt::Debug for Reader<R> {
    /// Without the lines, which hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("rows", &self.rows).field("done", &self.done).finish_non_exhaustive()
    }
}
