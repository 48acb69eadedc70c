//! A delivery file of the stock. The operator's format is not published; this is one that `simdepot import` reads.

use simdepot_domain::activation_code::ActivationCode;

use super::sims::SimSpec;
use super::state::SpsTwin;

const HEADER: &str = "ICCID;Status";
/// The further column of orders that have eSIMs.
const CODE_COLUMN: &str = ";ActivationCode";
/// Status of every SIM at its delivery.
const STATUS: &str = "Available";

/// A delivery file of these SIMs: UTF-8 with a byte order mark, `;` between fields, CRLF after each row. It holds
/// activation codes; without any eSIM, their column is missing.
pub fn sps_delivery_file(sims: &[SimSpec]) -> String {
    let codes = sims.is_empty() || sims.iter().any(|sim| sim.activation_code.is_some());
    let mut file = format!("\u{feff}{HEADER}{}\r\n", if codes { CODE_COLUMN } else { "" });
    for sim in sims {
        file.push_str(&[sim.iccid.as_str(), STATUS].join(";"));
        if codes {
            file.push(';');
            file.push_str(sim.activation_code.as_ref().map_or("", ActivationCode::code));
        }
        file.push_str("\r\n");
    }
    file
}

impl SpsTwin {
    /// A delivery file of the first `count` SIMs, or of all.
    pub fn delivery_file(&self, count: Option<usize>) -> String {
        let sims: Vec<SimSpec> =
            self.sims().take(count.unwrap_or(usize::MAX)).map(|sim| sim.spec.clone()).collect();
        sps_delivery_file(&sims)
    }
}

#[cfg(test)]
mod tests {
    use simdepot_domain::delivery::{Format, Reader, Row};
    use simdepot_domain::sim::SimStatus;

    use crate::sps::{SpsConfig, SpsTwin};

    #[test]
    fn the_importers_reader_takes_every_row() {
        let mut twin = SpsTwin::new(SpsConfig::sandbox());
        let mut sims = twin.add_sims(20);
        sims.extend(twin.add_sims_as(2, true));
        let file = twin.delivery_file(None);
        let rows: Vec<Row> =
            Reader::new(file.as_bytes(), Format::Delivery).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), sims.len());
        for (row, sim) in rows.iter().zip(&sims) {
            assert_eq!((&row.iccid, &row.activation_code), (&sim.iccid, &sim.activation_code));
            assert_eq!((row.sim_status, row.warnings.len()), (Some(SimStatus::Available), 0));
        }
        assert_eq!(twin.delivery_file(Some(3)).lines().count(), 4);
    }

    #[test]
    fn cards_alone_have_no_column_of_codes() {
        let mut twin = SpsTwin::new(SpsConfig { physical: true, ..SpsConfig::sandbox() });
        twin.add_sims(1);
        assert!(twin.delivery_file(None).starts_with("\u{feff}ICCID;Status\r\n"));
    }
}
