//! The SIM delivery file that comes with every order of stock (Transatel "SIM delivery file").

use simdepot_domain::activation_code::ActivationCode;

use crate::line::{LineSpec, wire_status};
use crate::state::Twin;

const HEADER: &str = "TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK";
/// The further column of orders that have eSIMs.
const CODE_COLUMN: &str = ";ActivationCode";
const TRANSATEL_ID: &str = "900100";
const RELEASE: &str = "TWIN01";

/// A delivery file of these lines: UTF-8 with a byte order mark, `;` between fields, CRLF after each row, the MSISDN
/// with `+`. It holds codes, PINs and PUKs; without any eSIM, the column of codes is missing.
pub fn delivery_file(lines: &[LineSpec]) -> String {
    let codes = lines.is_empty() || lines.iter().any(|line| line.activation_code.is_some());
    let mut file = format!("\u{feff}{HEADER}{}\r\n", if codes { CODE_COLUMN } else { "" });
    for line in lines {
        write_row(&mut file, line, codes);
    }
    file
}

fn write_row(file: &mut String, line: &LineSpec, codes: bool) {
    let msisdn = line.msisdn.as_ref().map(simdepot_domain::msisdn::Msisdn::e164).unwrap_or_default();
    let fields = [
        TRANSATEL_ID,
        &msisdn,
        RELEASE,
        line.iccid.as_str(),
        wire_status(line.sim_status),
        line.pin.expose(),
        line.puk.expose(),
    ];
    file.push_str(&fields.join(";"));
    if codes {
        file.push(';');
        file.push_str(line.activation_code.as_ref().map_or("", ActivationCode::code));
    }
    file.push_str("\r\n");
}

impl Twin {
    /// A delivery file of the first `count` lines, or of all.
    pub fn delivery_file(&self, count: Option<usize>) -> String {
        let lines: Vec<LineSpec> =
            self.lines().take(count.unwrap_or(usize::MAX)).map(|line| line.spec.clone()).collect();
        delivery_file(&lines)
    }
}

#[cfg(test)]
mod tests {
    use simdepot_domain::delivery::{Format, Reader, Row};
    use simdepot_domain::sim::SimStatus;

    use crate::line::Delivered;
    use crate::{Twin, TwinConfig};

    #[test]
    fn the_importers_reader_takes_every_row() {
        let mut twin = Twin::new(TwinConfig::sandbox());
        let lines = twin.add_lines(50);
        let file = twin.delivery_file(None);
        let rows: Vec<Row> =
            Reader::new(file.as_bytes(), Format::Delivery).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), lines.len());
        for (row, line) in rows.iter().zip(&lines) {
            assert_eq!(
                (&row.iccid, &row.msisdn, &row.activation_code),
                (&line.iccid, &line.msisdn, &line.activation_code)
            );
            assert_eq!((row.sim_status, row.warnings.len()), (Some(SimStatus::Preactivated), 0));
            assert_eq!((row.pin.as_ref(), row.puk.as_ref()), (Some(&line.pin), Some(&line.puk)));
        }
    }

    #[test]
    fn physical_sims_have_no_code_and_lines_their_status_at_delivery() {
        let mut twin = Twin::new(TwinConfig::iot());
        let physical = twin.add_lines_as(2, Delivered { physical: true, ..Delivered::available() });
        let now = twin.config().delivered_at;
        twin.set_line_status(&physical[0].iccid, SimStatus::Active, now).unwrap();
        let file = twin.delivery_file(None);
        assert!(!file.contains("ActivationCode") && file.matches(";Available;").count() == 2);
        let rows: Vec<Row> =
            Reader::new(file.as_bytes(), Format::Delivery).unwrap().map(Result::unwrap).collect();
        assert!(rows.iter().all(|row| row.activation_code.is_none() && row.msisdn.is_none()));
        assert_eq!(rows[0].sim_status, Some(SimStatus::Available));
        twin.add_lines(1);
        assert_eq!(twin.delivery_file(None).matches(";1$smdp.twin.example$").count(), 1);
    }

    #[test]
    fn has_mark_header_and_one_row_per_line() {
        let mut twin = Twin::new(TwinConfig::sandbox());
        let lines = twin.add_lines(2);
        let file = twin.delivery_file(None);
        let rows: Vec<&str> = file.split("\r\n").collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0], "\u{feff}TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode");
        let fields: Vec<&str> = rows[1].split(';').collect();
        assert_eq!(
            (fields[1], fields[3]),
            (format!("+{}", lines[0].msisdn()).as_str(), lines[0].iccid.as_str())
        );
        assert_eq!((fields[4], fields[5].len(), fields[6].len()), ("Pre-Activated", 4, 8));
        assert_eq!(fields[7], lines[0].activation_code.as_ref().unwrap().code());
        assert_eq!(twin.delivery_file(Some(1)).lines().count(), 2);
        assert_eq!(twin.delivery_file(Some(0)).lines().count(), 1);
    }
}
