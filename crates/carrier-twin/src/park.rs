//! The fleet report that arrives by SFTP once a day (Transatel subscription report, `*_park.csv`).
//!
//! Only the columns of the ICCID, the MSISDN and the status are known, by their place; the others are made up.

use chrono::{DateTime, Utc};
use simdepot_domain::sim::SimStatus;

use crate::line::{Line, wire_status};
use crate::reply::date;
use crate::state::Twin;

/// The language of an account, in which its reports are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportLanguage {
    /// French.
    French,
    /// English.
    English,
}

impl ReportLanguage {
    /// Reads `fr` or `en`.
    pub fn of_code(code: &str) -> Option<Self> {
        match code {
            "fr" => Some(Self::French),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    fn header(self) -> &'static str {
        match self {
            Self::French => "ICCID;Compte;Offre;Groupe;Référence;Activation;Modification;MSISDN;Statut",
            Self::English => "ICCID;Account;Rate plan;Group;Reference;Activation;Modification;MSISDN;Status",
        }
    }

    fn status(self, status: SimStatus) -> &'static str {
        match (self, status) {
            (Self::English, status) => wire_status(status),
            (Self::French, SimStatus::Available) => "Disponible",
            (Self::French, SimStatus::Loaded) => "Chargée",
            (Self::French, SimStatus::Preactivated) => "Pré-activée",
            (Self::French, SimStatus::Active) => "Active",
            (Self::French, SimStatus::Suspended) => "Suspendue",
            (Self::French, SimStatus::TestMode | SimStatus::TariffHoliday) => wire_status(status),
            (Self::French, SimStatus::Terminated | SimStatus::Ceased) => "Résiliée",
        }
    }
}

impl Twin {
    /// The report of all lines as they are: UTF-8 with a byte order mark, a header, `;` between fields, CRLF after
    /// each row, the MSISDN with `+`. It holds no codes.
    pub fn fleet_report(&self, language: ReportLanguage) -> String {
        let mut file = format!("\u{feff}{}\r\n", language.header());
        for line in self.lines() {
            file.push_str(&self.report_row(line, language).join(";"));
            file.push_str("\r\n");
        }
        file
    }

    fn report_row(&self, line: &Line, language: ReportLanguage) -> [String; 9] {
        let text = |field: &Option<String>| field.as_ref().map(|text| unseparated(text)).unwrap_or_default();
        let moment = |at: Option<DateTime<Utc>>| at.map(date).unwrap_or_default();
        [
            line.spec.iccid.as_str().to_owned(),
            self.config.mvno_ref.clone(),
            text(&line.subscriber.rate_plan),
            text(&line.subscriber.group),
            text(&line.subscriber.external_reference),
            moment(line.activated_at),
            moment(Some(line.modified_at)),
            line.msisdn.as_ref().map(simdepot_domain::msisdn::Msisdn::e164).unwrap_or_default(),
            language.status(line.sim_status).to_owned(),
        ]
    }
}

/// A caller's text without what would break the row.
fn unseparated(text: &str) -> String {
    text.replace([';', '"', '\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use simdepot_domain::delivery::{Format, Reader, Row};

    use super::*;
    use crate::testing::{Bench, at};

    #[test]
    fn the_importers_reader_takes_every_row_in_both_languages() {
        let mut bench = Bench::new();
        let lines = bench.twin.add_lines(8);
        let statuses = [
            SimStatus::Available,
            SimStatus::Loaded,
            SimStatus::Preactivated,
            SimStatus::Active,
            SimStatus::Suspended,
            SimStatus::TestMode,
            SimStatus::TariffHoliday,
            SimStatus::Terminated,
        ];
        for (line, status) in lines.iter().zip(statuses) {
            bench.twin.set_line_status(&line.iccid, status, at(0)).unwrap();
        }
        for code in ["fr", "en"] {
            let file = bench.twin.fleet_report(ReportLanguage::of_code(code).unwrap());
            assert!(file.starts_with('\u{feff}') && file.lines().all(|row| row.split(';').count() == 9));
            let rows: Vec<Row> =
                Reader::new(file.as_bytes(), Format::Park).unwrap().map(Result::unwrap).collect();
            let read: Vec<_> = rows.iter().map(|row| row.sim_status).collect();
            assert_eq!(read, statuses.map(Some), "{code}");
            assert!(rows.iter().zip(&lines).all(|(row, line)| row.msisdn == line.msisdn));
        }
        assert!(bench.twin.fleet_report(ReportLanguage::French).contains(";Pré-activée\r\n"));
        assert_eq!(ReportLanguage::of_code("de"), None);
    }
}
