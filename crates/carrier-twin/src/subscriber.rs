//! Subscriber reads of connectivity management, which accounts of Service Provider Connect normally lack
//! (assumption A11).

use serde_json::json;

use crate::line::{Line, wire_status};
use crate::reply::{Answer, Outcome, Problem, date};
use crate::state::Twin;

/// What a subscriber is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubscriberKey {
    SimSerial(String),
    Msisdn(String),
}

impl Twin {
    /// `GET /connectivity-management/subscribers/api/subscribers/{sim-serial|msisdn}/{key}`. The names of the date
    /// fields are inferred.
    pub(crate) fn subscriber(&self, key: &SubscriberKey) -> Outcome {
        let line: Option<&Line> = match key {
            SubscriberKey::SimSerial(iccid) => self.lines.get(iccid),
            SubscriberKey::Msisdn(msisdn) => self.line_of_msisdn(msisdn),
        };
        let line = line.ok_or_else(|| {
            Problem::bad_request("Invalid SIM serial / SIM card doesn't belong to customer")
        })?;
        Ok(Answer::json(
            200,
            json!({
                "simSerial": line.spec.iccid,
                "msisdn": line.spec.msisdn,
                "status": wire_status(line.sim_status),
                "ratePlan": self.config.rate_plan,
                "options": [],
                "activationDate": line.activated_at.map(date),
                "lastModificationDate": date(line.modified_at),
            }),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TwinRequest;
    use crate::testing::{Bench, at};
    use simdepot_domain::sim::SimStatus;

    const BASE: &str = "/connectivity-management/subscribers/api";

    #[test]
    fn a11_the_domain_is_closed_by_default() {
        let mut bench = Bench::new();
        let line = bench.line();
        for path in
            [format!("{BASE}/subscribers/sim-serial/{}", line.iccid), format!("{BASE}/transactions/1")]
        {
            assert_eq!(bench.options(&path), "OPTIONS");
            bench.get_refused(&path, 403, "INSUFFICIENT_PERMISSION");
            assert_eq!(bench.call(TwinRequest::new("POST", &format!("{path}/activate"))).status(), Some(403));
        }
    }

    #[test]
    fn a11_switched_open_it_reads_the_present_status() {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.twin.assumptions_mut().connectivity_open = true;
        let url = format!("{BASE}/subscribers/sim-serial/{}", line.iccid);
        assert_eq!(bench.options(&url), "GET,OPTIONS");
        assert_eq!(bench.get_ok(&url)["status"], "Pre-Activated");
        bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(3)).unwrap();
        let active = bench.get_ok(&format!("{BASE}/subscribers/msisdn/{}", line.msisdn()));
        assert_eq!(
            (&active["status"], &active["activationDate"]),
            (&json!("Active"), &json!("2026-03-01T12:03:00.000Z"))
        );
        assert_eq!(active["msisdn"], line.msisdn());
        bench.get_refused(&format!("{BASE}/subscribers/sim-serial/8988247000000000000"), 400, "BAD_REQUEST");
        bench.get_refused(&format!("{BASE}/transactions/1"), 404, "NOT_FOUND");
        assert_eq!(bench.call(TwinRequest::new("POST", &format!("{url}/activate"))).status(), Some(404));
    }
}
