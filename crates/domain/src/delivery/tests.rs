//! Whole files through [`Reader`].

use std::io::{self, Read};
use std::str::FromStr;

use chrono::NaiveDate;
use proptest::prelude::*;

use super::{Format, HeaderError, Reader, Row, RowError, RowIssue};
use crate::check_digits::luhn_ok;
use crate::sim::SimStatus;

const ICCID: &str = "8965880812100011146";
const EID: &str = "89034011560010000000000000000121";
const CODE: &str = "1$Smdp.example.com$SESAME-1";

/// The rows of a file, read one by one; read in pieces they are the same.
fn rows(format: Format, file: impl AsRef<[u8]>) -> Vec<Result<Row, RowError>> {
    let rows: Vec<_> = Reader::new(file.as_ref(), format).unwrap().collect();
    let mut pieces = Reader::new(file.as_ref(), format).unwrap();
    let reader = pieces.row_reader();
    let mut read = Vec::new();
    loop {
        let raw = pieces.raw_rows(2, 1_000);
        if raw.is_empty() {
            break;
        }
        read.extend(reader.read(raw));
    }
    assert!(read == rows, "read in pieces the rows are others");
    rows
}

fn delivery(file: impl AsRef<[u8]>) -> Vec<Result<Row, RowError>> {
    rows(Format::Delivery, file)
}

/// The one row of a file with these columns.
fn row_of(header: &str, row: &str) -> Result<Row, RowError> {
    let mut rows = delivery(format!("{header}\n{row}\n"));
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// Column and code of the refusal of a cell beside a good ICCID.
fn refusal(column: &str, cell: &str) -> RowIssue {
    let error = row_of(&format!("ICCID;{column}"), &format!("{ICCID};{cell}")).unwrap_err();
    assert_eq!(error.iccid.as_deref(), Some(ICCID));
    assert!(!error.is_fatal());
    error.issue
}

fn header_error(file: impl AsRef<[u8]>, format: Format) -> HeaderError {
    Reader::new(file.as_ref(), format).map(|_| ()).unwrap_err()
}

#[test]
fn format_names() {
    assert_eq!(Format::from_str("delivery"), Ok(Format::Delivery));
    assert_eq!(Format::from_str("park"), Ok(Format::Park));
    assert!(Format::from_str("Delivery").is_err());
    assert_eq!(Format::Park.to_string(), "park");
    assert_eq!(serde_json::to_string(&Format::Delivery).unwrap(), "\"delivery\"");
    assert_eq!(Format::default(), Format::Delivery);
}

#[test]
fn a_delivery_file_of_esims() {
    let file = format!(
        "\u{feff}TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode\r\n\
         1;+33612345678;R1;{ICCID};Pre-Activated;0000;87654321;{CODE}\r\n\
         \r\n\
         2;;R1;89148000007829999354;Available;;;LPA:{CODE}$$1\r\n"
    );
    let rows: Vec<Row> = delivery(file).into_iter().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    let [first, second] = &rows[..] else { panic!() };
    assert_eq!((first.line, first.iccid.as_str()), (2, ICCID));
    assert_eq!(first.msisdn.as_ref().unwrap().as_str(), "33612345678");
    assert_eq!(first.status.as_deref(), Some("Pre-Activated"));
    assert_eq!(first.sim_status, Some(SimStatus::Preactivated));
    assert_eq!(first.pin.as_ref().unwrap().expose(), "0000");
    assert_eq!(first.puk.as_ref().unwrap().expose(), "87654321");
    assert_eq!(first.activation_code.as_ref().unwrap().code(), CODE);
    assert_eq!((second.line, &second.msisdn, &second.pin, &second.puk), (4, &None, &None, &None));
    assert_eq!(second.activation_code.as_ref().unwrap().lpa(), format!("LPA:{CODE}$$1"));
    assert!(rows.iter().all(|row| row.warnings.is_empty() && row.eid.is_none() && row.sell_by.is_none()));
    let printed = format!("{rows:?}");
    assert!(!printed.contains("SESAME") && !printed.contains("87654321"), "{printed}");
}

#[test]
fn any_order_commas_quotes_and_unknown_columns() {
    let header = "Matching-Id,note,\"sell_by\",eid,SMDP,serial,PIN2";
    let row = row_of(
        header,
        &format!("\"SESAME-1\",\"a, b; \"\"c\"\"\",2027-01-31,{EID},Smdp.example.com, {ICCID} ,x"),
    );
    let row = row.unwrap();
    assert_eq!(row.iccid.as_str(), ICCID);
    assert_eq!(row.eid.unwrap().as_str(), EID);
    assert_eq!(row.sell_by, NaiveDate::from_ymd_opt(2027, 1, 31));
    assert_eq!(row.activation_code.unwrap().code(), CODE);
    assert_eq!((row.warnings, row.status, row.sim_status), (vec![], None, None));
}

#[test]
fn odd_rows_are_taken_with_a_warning() {
    let row =
        row_of("IccId;EID;HLRStatus", "8999924230456701650;12345000000000000000000000000133;Perdue").unwrap();
    let warnings: Vec<_> = row.warnings.iter().map(|w| (w.line, w.column.as_str(), w.code)).collect();
    let expected =
        [(2, "IccId", "luhn-failed"), (2, "EID", "eid-check-failed"), (2, "HLRStatus", "unknown-status")];
    assert_eq!(warnings, expected);
    assert_eq!((row.status.as_deref(), row.sim_status), (Some("Perdue"), None));

    for (column, cell) in [("smdp_address", "smdp.io"), ("matching_id", "SESAME")] {
        let row = row_of(&format!("ICCID;{column}"), &format!("{ICCID};{cell}")).unwrap();
        assert_eq!(row.activation_code, None);
        assert_eq!((row.warnings[0].code, row.warnings.len()), ("activation-code-incomplete", 1));
        assert_eq!(row.warnings[0].column, column);
    }
}

#[test]
fn wrong_cells_are_refused_by_column_and_reason() {
    let cases = [
        ("MSISDN", "12345", "wrong-length"),
        ("MSISDN", "abcdefgh", "invalid-character"),
        ("EID", "8903401156001000000000000000012", "wrong-length"),
        ("EID", "8903401156001000000000000000012F", "invalid-character"),
        ("Pin1", "123", "wrong-length"),
        ("Pin1", "123456789", "wrong-length"),
        ("PIN", "12a4", "invalid-character"),
        ("PUK", "1234567", "wrong-length"),
        ("PUK", "123456789", "wrong-length"),
        ("PUK", "1234 678", "invalid-character"),
        ("LPA", "2$smdp.io$SESAME", "malformed"),
        ("LPA", "1$localhost$SESAME", "malformed"),
        ("smdp", "https://smdp.io", "invalid-character"),
        ("matchingId", "SES AME", "invalid-character"),
        ("expiry_date", "31/01/2027", "malformed"),
        ("expiry_date", "2027-02-29", "malformed"),
        ("sell_by", "2027-1-31", "malformed"),
    ];
    for (column, cell, code) in cases {
        let issue = refusal(column, cell);
        assert_eq!((issue.line, issue.column.as_str(), issue.code), (2, column, code), "{cell}");
        assert!(!issue.reason.contains(cell), "{}", issue.reason);
    }
    for pin in ["1234", "12345678"] {
        assert_eq!(row_of("ICCID;PIN", &format!("{ICCID};{pin}")).unwrap().pin.unwrap().expose(), pin);
    }
}

#[test]
fn a_row_without_a_right_iccid_is_refused() {
    for (cell, code) in [
        ("", "empty"),
        ("896588081210001114", "wrong-length"),
        ("896588081210001114612", "wrong-length"),
        ("8965880812100011146F", "invalid-character"),
    ] {
        let error = row_of("ICCID;PIN", &format!("{cell};1234")).unwrap_err();
        assert_eq!(
            (error.issue.column.as_str(), error.issue.code, error.iccid.as_deref()),
            ("ICCID", code, None)
        );
        assert!(error.to_string().starts_with("line 2: ICCID "), "{error}");
    }
    for rounded in ["8.96588E+18", "\"8,96588E+18\""] {
        let error = row_of("ICCID", rounded).unwrap_err();
        assert!(error.issue.reason.contains("spreadsheet"), "{error}");
    }
}

#[test]
fn a_code_and_its_parts_must_agree() {
    let read = |code: &str, address: &str, id: &str| {
        row_of("ICCID;QR;SM-DP+;matching_id", &format!("{ICCID};{code};{address};{id}"))
    };
    for (address, id) in
        [("smdp.EXAMPLE.com", "SESAME-1"), ("", "SESAME-1"), ("smdp.example.com", ""), ("", "")]
    {
        assert_eq!(read(CODE, address, id).unwrap().activation_code.unwrap().code(), CODE);
    }
    for (address, id, column) in
        [("smdp.example.org", "SESAME-1", "SM-DP+"), ("smdp.example.com", "sesame-1", "matching_id")]
    {
        let error = read(CODE, address, id).unwrap_err();
        assert_eq!((error.issue.code, error.issue.column.as_str()), ("activation-code-conflict", column));
        assert!(!error.to_string().to_lowercase().contains("sesame"), "{error}");
    }
    let too_long = read("", "smdp.example.com", &"A".repeat(250)).unwrap_err();
    assert_eq!(too_long.issue.code, "wrong-length");
}

#[test]
fn lines_that_are_no_rows_are_refused_and_reading_goes_on() {
    let mut file = b"ICCID;MSISDN\n".to_vec();
    for line in [
        format!("{ICCID};33612345678;x").as_bytes(),
        ICCID.as_bytes(),
        b"\xFF\xFE;1",
        b"\"8965880812100011146;33612345678",
        format!("{ICCID};{}", "1".repeat(70_000)).as_bytes(),
        b";",
        b"  ",
        format!("{ICCID};33612345678").as_bytes(),
    ] {
        file.extend_from_slice(line);
        file.push(b'\n');
    }
    let rows = delivery(file);
    let errors: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    let found: Vec<_> = errors.iter().map(|e| (e.issue.line, e.issue.code, e.iccid.is_some())).collect();
    assert_eq!(
        found,
        [
            (2, "wrong-field-count", true),
            (3, "wrong-field-count", true),
            (4, "not-utf8", false),
            (5, "unclosed-quote", false),
            (6, "row-too-long", false),
        ]
    );
    assert!(errors.iter().all(|e| e.issue.column.is_empty() && !e.is_fatal()));
    assert_eq!(errors[0].issue.reason, "the row has 3 fields, the header 2");
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[5].as_ref().unwrap().line, 9);
}

#[test]
fn files_without_a_usable_header() {
    for file in ["", "\u{feff}", "\n\r\n  \n"] {
        let error = header_error(file, Format::Delivery);
        assert!(matches!(error, HeaderError::Empty { .. }));
        assert!(error.to_string().contains("ICCID, sim_serial, serial"), "{error}");
        let error = header_error(file, Format::Park);
        assert!(error.to_string().contains("at least 9 columns"), "{error}");
    }
    let error = header_error("\n\nMSISDN;PIN\n", Format::Delivery);
    assert!(matches!(error, HeaderError::MissingIccid { line: 3, .. }), "{error}");
    let error = header_error("ICCID;PIN;pin1\n", Format::Delivery);
    assert!(
        matches!(error, HeaderError::DuplicateColumn { column: "PIN", first: 2, second: 3, .. }),
        "{error}"
    );
    let utf16 = b"\xFF\xFEI\0C\0C\0I\0D\0\n\0";
    assert!(matches!(header_error(utf16, Format::Delivery), HeaderError::NotUtf8 { line: 1 }));
    let long = "x".repeat(70_000);
    assert!(matches!(header_error(long, Format::Delivery), HeaderError::TooLong { line: 1 }));
    assert!(delivery("ICCID\n").is_empty());
}

#[test]
fn a_header_may_follow_blank_lines_and_lines_are_counted_in_the_file() {
    assert_eq!(delivery(format!("\n\nICCID\n\n{ICCID}"))[0].as_ref().unwrap().line, 5);
}

#[test]
fn a_fleet_report_with_and_without_header() {
    let first = format!("{ICCID};b;c;d;e;f;g;+33612345678;Pré-activée;j");
    let second = "89148000007829999354;;;;;;;;Résiliée".to_owned();
    let header = "N° de série;Nom;c;d;e;f;g;MSISDN;Statut";
    for (file, line) in [
        (format!("\u{feff}{header}\r\n{first}\r\n{second}\r\n"), 2),
        (format!("\u{feff}{first}\n{second}"), 1),
    ] {
        let rows: Vec<Row> = rows(Format::Park, file).into_iter().map(Result::unwrap).collect();
        assert_eq!((rows.len(), rows[0].line, rows[1].line), (2, line, line + 1));
        assert_eq!(rows[0].iccid.as_str(), ICCID);
        assert_eq!(rows[0].msisdn.as_ref().unwrap().e164(), "+33612345678");
        assert_eq!(rows[0].status.as_deref(), Some("Pré-activée"));
        assert_eq!(rows[0].sim_status, Some(SimStatus::Preactivated));
        assert_eq!((&rows[1].msisdn, rows[1].sim_status), (&None, Some(SimStatus::Terminated)));
        assert!(rows.iter().all(|row| row.activation_code.is_none() && row.pin.is_none()));
    }
}

#[test]
fn a_fleet_report_names_its_columns_by_position() {
    let file = format!(
        "ICCID;;;;;;;;\n{ICCID};;;;;;;12;Active\n{ICCID};x;Active\n{ICCID};;;;;;;;Lost\nx;;;;;;;;Active\n"
    );
    let rows = rows(Format::Park, file);
    let errors: Vec<_> = rows
        .iter()
        .filter_map(|row| row.as_ref().err())
        .map(|e| (e.issue.line, &*e.issue.column, e.issue.code))
        .collect();
    assert_eq!(
        errors,
        [
            (2, "column 8 (MSISDN)", "wrong-length"),
            (3, "", "wrong-field-count"),
            (5, "column 1 (ICCID)", "invalid-character"),
        ]
    );
    let warning = &rows[2].as_ref().unwrap().warnings[0];
    assert_eq!((warning.column.as_str(), warning.code), ("column 9 (status)", "unknown-status"));
    let error = header_error("ICCID,MSISDN\n", Format::Park);
    assert!(matches!(error, HeaderError::TooFewColumns { line: 1, found: 1, expected: 9 }), "{error}");
    let error = header_error("\"x;y", Format::Park);
    assert!(matches!(error, HeaderError::Quotes { line: 1 }), "{error}");
}

/// Gives its bytes, then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("connection reset")),
            length => Ok(length),
        }
    }
}

#[test]
fn a_file_that_breaks_off_is_not_taken_for_a_whole_one() {
    let file = format!("ICCID\n{ICCID}\n8914800");
    let mut reader = Reader::new(Failing(file.as_bytes()), Format::Delivery).unwrap();
    assert!(reader.next().unwrap().is_ok());
    let error = reader.next().unwrap().unwrap_err();
    assert!(error.is_fatal() && error.issue.reason.contains("connection reset"), "{error}");
    assert_eq!(error.issue.line, 3);
    assert!(reader.next().is_none() && reader.next().is_none());
    let error = Reader::new(Failing(b"ICC"), Format::Delivery).map(|_| ()).unwrap_err();
    assert!(matches!(error, HeaderError::Read(_)), "{error}");
}

#[test]
fn debug_of_the_reader_shows_no_cells() {
    let mut reader =
        Reader::new("ICCID;LPA\n8965880812100011146;1$a.b$SESAME\n".as_bytes(), Format::Delivery).unwrap();
    assert!(reader.next().unwrap().is_ok());
    assert!(!format!("{reader:?}").contains("SESAME"));
}

#[derive(Debug, Clone)]
struct Sample {
    iccid: String,
    msisdn: String,
    pin: String,
    matching_id: String,
}

prop_compose! {
    fn sample()(
        iccid in "[0-9]{19,20}",
        msisdn in "(\\+[0-9]{6,15})?",
        pin in "([0-9]{4,8})?",
        matching_id in "[0-9A-Za-z-]{1,30}",
    ) -> Sample {
        Sample { iccid, msisdn, pin, matching_id }
    }
}

proptest! {
    #[test]
    fn every_row_comes_back_in_any_column_order(
        samples in prop::collection::vec(sample(), 0..8),
        order in Just([0usize, 1, 2, 3]).prop_shuffle(),
        (delimiter, quote, end) in (prop::sample::select(vec![";", ","]), any::<bool>(),
            prop::sample::select(vec!["\n", "\r\n", "\n\n"])),
    ) {
        let quoted = |text: String| if quote { format!("\"{text}\"") } else { text };
        let line = |cells: [String; 4]| order.map(|i| quoted(cells[i].clone())).join(delimiter) + end;
        let mut file = line(["ICCID", "Msisdn", "Pin1", "ActivationCode"].map(String::from));
        for s in &samples {
            file += &line([s.iccid.clone(), s.msisdn.clone(), s.pin.clone(), format!("LPA:1$a.io${}", s.matching_id)]);
        }
        let rows = delivery(file);
        prop_assert_eq!(rows.len(), samples.len());
        for (index, (row, sample)) in rows.into_iter().zip(samples).enumerate() {
            let row = row.unwrap();
            prop_assert_eq!(row.line, 1 + (u64::try_from(index).unwrap() + 1) * if end == "\n\n" { 2 } else { 1 });
            prop_assert_eq!(row.iccid.as_str(), &sample.iccid);
            prop_assert_eq!(row.msisdn.map(|m| m.e164()).unwrap_or_default(), sample.msisdn);
            prop_assert_eq!(row.pin.map(|pin| pin.expose().to_owned()).unwrap_or_default(), sample.pin);
            let code = row.activation_code.unwrap();
            prop_assert_eq!(code.matching_id().expose(), sample.matching_id);
            prop_assert_eq!(row.warnings.is_empty(), luhn_ok(&sample.iccid));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic_and_lines_ascend(
        file in prop::collection::vec(prop::sample::select(b"ICCID;,\"\n\r 89$1a\xFF\xEF\xBB\xBF".to_vec()), 0..200),
        headed in any::<bool>(),
        park in any::<bool>(),
    ) {
        let header: &[u8] = match (headed, park) {
            (false, _) => b"",
            (true, false) => b"ICCID;PIN\n",
            (true, true) => b"ICCID;;;;;;;;\n",
        };
        let file = [header, &file].concat();
        let lines = u64::try_from(file.split(|&byte| byte == b'\n').count()).unwrap();
        match Reader::new(&file[..], if park { Format::Park } else { Format::Delivery }) {
            Ok(reader) => {
                let found: Vec<u64> =
                    reader.map(|row| row.map_or_else(|error| error.issue.line, |row| row.line)).collect();
                prop_assert!(found.is_sorted_by(|a, b| a < b));
                prop_assert!(found.last().is_none_or(|&last| last <= lines));
            }
            Err(_) => prop_assert!(!headed),
        }
    }

    #[test]
    fn no_refusal_quotes_a_secret(pin in "[0-9]{4,8}", secret in "[A-Z]{12}", bad in "[ !/_§]") {
        let header = "ICCID;PIN;PUK;LPA;matching_id;SMDP";
        let shifted = [
            format!("1$a.io${secret};{ICCID};;;;"),
            format!("{ICCID};{secret};;;;"),
            format!("{ICCID};{pin};;1$a.io${secret}{bad}x;;"),
            format!("{ICCID};{pin};;1$a.io${secret};{secret}{bad}x;"),
            format!("{ICCID};{pin};;1$a.io${secret};;{secret}"),
            format!("{ICCID};{pin};{secret};;;"),
            format!("{ICCID};{pin};;1$a.io${secret};;;"),
        ];
        for row in shifted {
            let error = row_of(header, &row).unwrap_err();
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }
    }
}

/// What is read at a time is bounded by its bytes as well: long lines come one by one.
#[test]
fn pieces_have_few_bytes() {
    let long = "x".repeat(900);
    let file = format!("ICCID\n{long}\n1\n2\n3\n{long}\n{long}\n");
    let mut reader = Reader::new(file.as_bytes(), Format::Delivery).unwrap();
    let rows = reader.row_reader();
    let mut pieces = Vec::new();
    loop {
        let raw = reader.raw_rows(3, 500);
        if raw.is_empty() {
            break;
        }
        pieces.push(rows.read(raw).len());
    }
    assert_eq!(pieces, [1, 3, 1, 1]);
}
