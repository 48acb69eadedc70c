//! Physical lines and their fields.
//!
//! Stock files are read line by line, not by a general CSV reader: there a single stray quote swallows all that
//! follows, in memory and from the count of rows. Here it costs one row.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

/// Longest line that is read, in bytes, without its end. An ordinary one has 200.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What [`Lines::advance`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A line, to be had from [`Lines::bytes`].
    Line,
    /// A line of more than [`MAX_LINE_BYTES`], passed over.
    TooLong,
    /// The end of the file.
    End,
}

/// The lines of a file, one at a time, without byte order mark and line ends (LF or CRLF).
pub(super) struct Lines<R> {
    input: BufReader<R>,
    current: Vec<u8>,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(MAX_LINE_BYTES, input), current: Vec::new(), number: 0 }
    }

    /// The number of the current line in the file, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The current line.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.current
    }

    /// Goes to the next line.
    pub(super) fn advance(&mut self) -> io::Result<Step> {
        self.current.clear();
        let (mut too_long, mut found) = (false, false);
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() && !found {
                return Ok(Step::End);
            }
            found = true;
            let end = available.iter().position(|&byte| byte == b'\n');
            let piece = available.get(..end.unwrap_or(available.len())).unwrap_or(available);
            // Two bytes more than a line may have, for the CR and to see that it is too long.
            if !too_long && self.current.len().saturating_add(piece.len()) <= MAX_LINE_BYTES.saturating_add(2)
            {
                self.current.extend_from_slice(piece);
            } else {
                too_long = true;
            }
            let finished = end.is_some() || available.is_empty();
            let used = piece.len().saturating_add(usize::from(end.is_some()));
            self.input.consume(used);
            if finished {
                break;
            }
        }
        self.number = self.number.saturating_add(1);
        if self.current.last() == Some(&b'\r') {
            self.current.pop();
        }
        if self.number == 1 && self.current.starts_with(BYTE_ORDER_MARK) {
            self.current.drain(..BYTE_ORDER_MARK.len());
        }
        if too_long || self.current.len() > MAX_LINE_BYTES {
            self.current.clear();
            return Ok(Step::TooLong);
        }
        Ok(Step::Line)
    }
}

/// The fields of a line (RFC 4180 quoting). `None` when a quote is not closed on the line, or is followed by
/// anything but a delimiter.
pub(super) fn split_fields(line: &str, delimiter: char) -> Option<Vec<Cow<'_, str>>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => split_quoted(quoted)?,
            None => {
                let (field, after) = rest.split_at(rest.find(delimiter).unwrap_or(rest.len()));
                (Cow::Borrowed(field), after)
            }
        };
        fields.push(field);
        if after.is_empty() {
            return Some(fields);
        }
        rest = after.strip_prefix(delimiter)?;
    }
}

/// Splits behind the closing quote; a doubled quote stands for one.
fn split_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut field = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let (piece, after) = rest.split_once('"')?;
        field += piece;
        match after.strip_prefix('"') {
            Some(behind) => {
                field += "\"";
                rest = behind;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes in pieces of `step`, with an interruption before each.
    struct Dripping<'a>(&'a [u8], usize, bool);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.2 = !self.2;
            if self.2 {
                return Err(ErrorKind::Interrupted.into());
            }
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn all(input: impl Read) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(input);
        let mut found = Vec::new();
        loop {
            match lines.advance().unwrap() {
                Step::Line => found.push((lines.number(), Some(lines.bytes().to_vec()))),
                Step::TooLong => found.push((lines.number(), None)),
                Step::End => return found,
            }
        }
    }

    fn texts(input: &[u8]) -> Vec<String> {
        all(input).into_iter().map(|(_, line)| String::from_utf8(line.unwrap()).unwrap()).collect()
    }

    #[test]
    fn line_ends_and_byte_order_mark() {
        assert_eq!(texts(b""), Vec::<String>::new());
        assert_eq!(texts(b"a\nb"), ["a", "b"]);
        assert_eq!(texts(b"a\r\n\r\nb\n"), ["a", "", "b"]);
        assert_eq!(texts("\u{feff}a\n\u{feff}b".as_bytes()), ["a", "\u{feff}b"]);
        assert_eq!(texts("\u{feff}".as_bytes()), [""]);
        assert_eq!(texts(b"\xEF\xBB\xBFa\rb\r"), ["a\rb"]);
    }

    #[test]
    fn the_limit_is_exact_and_the_next_line_is_found() {
        for end in ["\n", "\r\n"] {
            for (length, fits) in
                [(MAX_LINE_BYTES, true), (MAX_LINE_BYTES + 1, false), (MAX_LINE_BYTES * 3, false)]
            {
                let long = "x".repeat(length);
                let file = format!("a{end}{long}{end}b");
                let expected = if fits { Some(long.into_bytes()) } else { None };
                let lines = all(file.as_bytes());
                assert_eq!(lines[0], (1, Some(b"a".to_vec())));
                assert!(lines[1] == (2, expected), "{length} {end:?}");
                assert_eq!(lines[2..], [(3, Some(b"b".to_vec()))]);
            }
        }
        assert_eq!(all("x".repeat(MAX_LINE_BYTES + 1).as_bytes()), [(1, None)]);
    }

    #[test]
    fn fields_and_quotes() {
        let split = |line: &'static str| split_fields(line, ';');
        assert_eq!(split("").unwrap(), [""]);
        assert_eq!(split("a;b,c;").unwrap(), ["a", "b,c", ""]);
        assert_eq!(split(r#""a;b";"say ""x"""#), None);
        assert_eq!(split(r#""a;b";"say ""x""";"";5" disk"#).unwrap(), ["a;b", "say \"x\"", "", "5\" disk"]);
        for broken in [r#"a;"b"#, r#"a;"b" ;c"#, r#"""#, r#""a"b"#] {
            assert_eq!(split(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn however_the_bytes_arrive_the_lines_are_the_same(file in "[a\r\n\u{feff};]{0,40}", step in 1usize..5) {
            prop_assert_eq!(all(Dripping(file.as_bytes(), step, false)), all(file.as_bytes()));
        }

        #[test]
        fn quoting_round_trips(fields in prop::collection::vec("[a;\",é ]{0,6}", 1..6)) {
            let line = fields.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect::<Vec<_>>().join(";");
            prop_assert_eq!(split_fields(&line, ';').unwrap(), fields);
        }

        #[test]
        fn without_quotes_it_is_a_plain_split(line in "[^\"]{0,40}") {
            prop_assert_eq!(split_fields(&line, ',').unwrap(), line.split(',').collect::<Vec<_>>());
        }
    }
}
