//! SIM card information: `GET /connectivity-management/subscribers/api/sim-cards/sim-serial/{simSerial}`. The path and
//! the names of the fields are inferred; that the operation exists and what it tells is documented.

use serde_json::json;

use crate::random::Random;
use crate::reply::{Answer, Outcome};
use crate::state::Twin;
use crate::subscriber::unknown_sim;

/// Keeps the second pair of codes apart from everything else that is counted from numbers.
const SECOND_PAIR: u64 = 0x51C0_DE02;

impl Twin {
    /// The codes and the make of a SIM.
    pub(crate) fn sim_card(&self, iccid: &str) -> Outcome {
        let line = self.lines.get(iccid).ok_or_else(unknown_sim)?;
        // Counted from the ICCID: the delivery file has no second pair, so none is kept.
        let mut second = Random::new(iccid.parse::<u64>().unwrap_or_default() ^ SECOND_PAIR);
        let physical = line.profile.is_none();
        let body = json!({
            "simSerial": line.spec.iccid,
            "msisdn": line.msisdn,
            "pin1": line.spec.pin.expose(),
            "puk1": line.spec.puk.expose(),
            "pin2": format!("{:04}", second.below(10_000)),
            "puk2": format!("{:08}", second.below(100_000_000)),
            "manufacturer": "Twin Cards",
            "electricalProfile": "TWIN-EP-01",
            "simApplicationCompatibility": "3GPP R15",
            "appletRelease": "1.0",
            "type": if physical { "UICC" } else { "eUICC" },
        });
        Ok(Answer::json(200, body))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::Bench;

    const BASE: &str = "/connectivity-management/subscribers/api/sim-cards/sim-serial";

    #[test]
    fn shows_the_codes_that_were_delivered() {
        let mut bench = Bench::new();
        let line = bench.line();
        let url = format!("{BASE}/{}", line.iccid);
        bench.get_refused(&url, 403, "INSUFFICIENT_PERMISSION");
        bench.twin.assumptions_mut().connectivity_open = true;
        let card = bench.get_ok(&url);
        assert_eq!((&card["pin1"], &card["puk1"]), (&json!(line.pin.expose()), &json!(line.puk.expose())));
        assert_eq!((card["pin2"].as_str().unwrap().len(), card["puk2"].as_str().unwrap().len()), (4, 8));
        assert_eq!((&card["type"], &card["msisdn"]), (&json!("eUICC"), &json!(line.msisdn())));
        assert_eq!(bench.get_ok(&url)["puk2"], card["puk2"]);
        bench.get_refused(&format!("{BASE}/8988247000000000000"), 400, "BAD_REQUEST");
        bench.get_refused(&format!("{BASE}/12"), 400, "BAD_REQUEST");
    }
}
