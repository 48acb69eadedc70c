//! The header line of a delivery file: which column is where.

use std::borrow::Cow;

use super::lines::{MAX_LINE_BYTES, split_fields};
use super::park;

/// What simdepot reads from a stock file. Other columns (TransatelId, Release, IMSI, PIN2, PUK2, …) are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Iccid,
    Msisdn,
    Status,
    Eid,
    ActivationCode,
    SmdpAddress,
    MatchingId,
    Pin,
    Puk,
    SellBy,
}

impl Column {
    const ALL: [Self; 10] = [
        Self::Iccid,
        Self::Msisdn,
        Self::Status,
        Self::Eid,
        Self::ActivationCode,
        Self::SmdpAddress,
        Self::MatchingId,
        Self::Pin,
        Self::Puk,
        Self::SellBy,
    ];

    /// The accepted names, the usual one first. Case, spaces, `_`, `-` and `+` do not matter.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Iccid => &["ICCID", "sim_serial", "serial"],
            Self::Msisdn => &["MSISDN"],
            Self::Status => &["Status", "HLRStatus", "sim_status"],
            Self::Eid => &["EID"],
            Self::ActivationCode => &["ActivationCode", "LPA", "QR", "QR code"],
            Self::SmdpAddress => &["SM-DP+", "smdp_address", "SMDP plus"],
            Self::MatchingId => &["matching_id"],
            Self::Pin => &["PIN", "Pin1"],
            Self::Puk => &["PUK", "Puk1"],
            Self::SellBy => &["sell_by", "expiry_date"],
        }
    }

    fn of(header: &str) -> Option<Self> {
        let wanted = fold(header);
        Self::ALL.into_iter().find(|column| column.names().iter().any(|name| fold(name) == wanted))
    }
}

/// A name without case, spaces and punctuation, so that `simSerial`, `SIM serial` and `sim_serial` are one.
fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-' | '+' | '.') && !c.is_control())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Why a file cannot be read at all. Cells are never quoted: the first line of a file without header is data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// There is no line with anything on it.
    #[error("the file is empty; expected {expected}")]
    Empty {
        /// What the file should begin with.
        expected: Cow<'static, str>,
    },
    /// No column is the ICCID.
    #[error("line {line} has no ICCID column; expected {expected}")]
    MissingIccid {
        /// Line of the header in the file, from 1.
        line: u64,
        /// What a header looks like, with the accepted names.
        expected: Cow<'static, str>,
    },
    /// Two columns mean the same.
    #[error("columns {first} and {second} are both {column}; keep one of them (accepted names: {accepted})")]
    DuplicateColumn {
        /// The usual name of what both mean.
        column: &'static str,
        /// Every name that means it.
        accepted: String,
        /// Position of the first one, from 1.
        first: usize,
        /// Position of the second one, from 1.
        second: usize,
    },
    /// A fleet report has fewer columns than its layout needs.
    #[error(
        "line {line} has {found} columns; a fleet report has at least {expected}, separated by semicolons"
    )]
    TooFewColumns {
        /// Line in the file, from 1.
        line: u64,
        /// Columns found.
        found: usize,
        /// Columns needed.
        expected: usize,
    },
    /// A quote in the header is not closed.
    #[error("line {line} has a quote that is not closed; quote names as \"name\", or not at all")]
    Quotes {
        /// Line of the header in the file, from 1.
        line: u64,
    },
    /// The header is not UTF-8.
    #[error("line {line} is not UTF-8; save the file as CSV UTF-8")]
    NotUtf8 {
        /// Line of the header in the file, from 1.
        line: u64,
    },
    /// The header is longer than any real one.
    #[error("line {line} is longer than {MAX_LINE_BYTES} bytes; is this a stock file with line ends?")]
    TooLong {
        /// Line of the header in the file, from 1.
        line: u64,
    },
    /// The file could not be read.
    #[error("the file could not be read")]
    Read(#[source] std::io::Error),
}

/// How many fields a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Exactly(usize),
    AtLeast(usize),
}

impl Width {
    pub(super) fn accepts(self, found: usize) -> bool {
        match self {
            Self::Exactly(width) => found == width,
            Self::AtLeast(width) => found >= width,
        }
    }
}

/// Where the columns of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) delimiter: char,
    pub(super) width: Width,
    /// Column, index of its field, name for people.
    pub(super) columns: Vec<(Column, usize, Cow<'static, str>)>,
}

impl Layout {
    /// Reads a header line, separated by whichever of `;` and `,` makes more known columns of it.
    pub(super) fn of_header(line: &str, number: u64) -> Result<Self, HeaderError> {
        let semicolons = Candidate::new(line, ';');
        let commas = Candidate::new(line, ',');
        let best = match (semicolons, commas) {
            (Some(semicolons), Some(commas)) if commas.score() > semicolons.score() => commas,
            (Some(one), _) | (None, Some(one)) => one,
            (None, None) => return Err(HeaderError::Quotes { line: number }),
        };
        best.into_layout(number)
    }

    /// The index of a column's field.
    pub(super) fn index(&self, column: Column) -> Option<usize> {
        self.columns.iter().find(|placed| placed.0 == column).map(|placed| placed.1)
    }

    /// The name of a column as the file has it.
    pub(super) fn name(&self, column: Column) -> String {
        let placed = self.columns.iter().find(|placed| placed.0 == column);
        placed.map(|placed| placed.2.to_string()).unwrap_or_default()
    }
}

/// What a file of the format begins with.
pub(super) fn expected_beginning(format: super::Format) -> Cow<'static, str> {
    match format {
        super::Format::Delivery => Cow::Owned(format!(
            "a header line, separated by ; or , with an ICCID column (accepted names: {})",
            Column::Iccid.names().join(", ")
        )),
        super::Format::Park => Cow::Borrowed(park::EXPECTED),
    }
}

/// A header line read with one of the delimiters.
struct Candidate {
    delimiter: char,
    width: usize,
    columns: Vec<(Column, usize, Cow<'static, str>)>,
}

impl Candidate {
    fn new(line: &str, delimiter: char) -> Option<Self> {
        let names = split_fields(line, delimiter)?;
        let columns = names
            .iter()
            .enumerate()
            .filter_map(|(index, name)| Some((Column::of(name)?, index, Cow::Owned(name.trim().to_owned()))))
            .collect();
        Some(Self { delimiter, width: names.len(), columns })
    }

    fn score(&self) -> (usize, usize) {
        (self.columns.len(), self.width)
    }

    fn into_layout(self, line: u64) -> Result<Layout, HeaderError> {
        for (place, (column, first, _)) in self.columns.iter().enumerate() {
            let again = self.columns.iter().skip(place.saturating_add(1)).find(|other| other.0 == *column);
            if let Some((_, second, _)) = again {
                return Err(HeaderError::DuplicateColumn {
                    column: column.names().first().copied().unwrap_or_default(),
                    accepted: column.names().join(", "),
                    first: first.saturating_add(1),
                    second: second.saturating_add(1),
                });
            }
        }
        if !self.columns.iter().any(|placed| placed.0 == Column::Iccid) {
            let expected = expected_beginning(super::Format::Delivery);
            return Err(HeaderError::MissingIccid { line, expected });
        }
        Ok(Layout { delimiter: self.delimiter, width: Width::Exactly(self.width), columns: self.columns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(line: &str) -> Vec<(Column, usize)> {
        let layout = Layout::of_header(line, 1).unwrap_or_else(|e| panic!("{line}: {e}"));
        layout.columns.iter().map(|placed| (placed.0, placed.1)).collect()
    }

    #[test]
    fn headers_of_real_files() {
        use Column::{ActivationCode, Iccid, Msisdn, Pin, Puk, Status};
        assert_eq!(
            columns("TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode"),
            [(Msisdn, 1), (Iccid, 3), (Status, 4), (Pin, 5), (Puk, 6), (ActivationCode, 7)]
        );
        assert_eq!(
            columns("TransatelId;Msisdn;Release;IccId;HLRStatus;Pin1;Puk1"),
            [(Msisdn, 1), (Iccid, 3), (Status, 4), (Pin, 5), (Puk, 6)]
        );
    }

    #[test]
    fn every_name_in_any_spelling() {
        let spellings: &[(Column, &[&str])] = &[
            (Column::Iccid, &["ICCID", "IccId", "iccid", "simSerial", "sim_serial", "SIM Serial", "serial"]),
            (Column::Msisdn, &["MSISDN", "Msisdn"]),
            (Column::Status, &["Status", "HLRStatus", "sim_status", "simStatus"]),
            (Column::Eid, &["EID", "eid"]),
            (
                Column::ActivationCode,
                &["ActivationCode", "activation_code", "Activation Code", "LPA", "qr", "qr_code"],
            ),
            (Column::SmdpAddress, &["SMDP", "smdp_address", "smdpAddress", "sm-dp+", "SM-DP+ address"]),
            (Column::MatchingId, &["matchingId", "matching_id", "MatchingID", "Matching-Id"]),
            (Column::Pin, &["PIN", "Pin1", "pin 1"]),
            (Column::Puk, &["PUK", "Puk1"]),
            (Column::SellBy, &["sell_by", "sellBy", "expiry_date", "Expiry Date"]),
        ];
        for (column, names) in spellings {
            for name in *names {
                assert_eq!(Column::of(&format!(" {name}\t")), Some(*column), "{name}");
            }
        }
        for name in ["", "TransatelId", "Release", "IMSI", "PIN2", "PUK2", "iccid2", "Statut"] {
            assert_eq!(Column::of(name), None, "{name}");
        }
        for column in Column::ALL {
            assert!(column.names().iter().all(|name| Column::of(name) == Some(column)));
        }
    }

    #[test]
    fn the_delimiter_is_the_one_that_makes_columns() {
        let delimiter = |line| Layout::of_header(line, 1).unwrap().delimiter;
        assert_eq!(delimiter("iccid,msisdn"), ',');
        assert_eq!(delimiter("iccid;msisdn"), ';');
        assert_eq!(delimiter("iccid"), ';');
        assert_eq!(delimiter("ICCID;PIN;Note (free text, one line, optional)"), ';');
        assert_eq!(delimiter("iccid,\"a;b;c\",x"), ',');
        assert_eq!(delimiter("\"iccid\",\"msisdn\""), ',');
        assert_eq!(delimiter("iccid,x;y"), ',');
    }

    #[test]
    fn refuses_missing_and_doubled_columns_naming_what_is_accepted() {
        let message = |line| Layout::of_header(line, 1).unwrap_err().to_string();
        let missing = message("MSISDN;PIN");
        assert!(missing.contains("ICCID, sim_serial, serial") && missing.contains("; or ,"), "{missing}");
        let doubled = message("serial;x;simSerial");
        assert_eq!(
            doubled,
            "columns 1 and 3 are both ICCID; keep one of them (accepted names: ICCID, sim_serial, serial)"
        );
        assert!(message("ICCID;PIN;Pin1").contains("columns 2 and 3 are both PIN"));
        assert!(Layout::of_header("ICCID;x;x;;", 1).is_ok(), "only columns that are read must be distinct");
        assert!(matches!(Layout::of_header("\"iccid;x", 7), Err(HeaderError::Quotes { line: 7 })));
    }

    #[test]
    fn a_file_without_header_does_not_leak_its_first_row() {
        let message =
            Layout::of_header("8965880812100011146;1$smdp.io$SESAME;4711", 1).unwrap_err().to_string();
        assert!(!message.contains("SESAME") && !message.contains("4711"), "{message}");
    }
}
