//! Subscriber reads of connectivity management, which accounts of Service Provider Connect normally lack
//! (assumption A11).

use serde_json::{Value, json};

use crate::line::{Line, wire_status};
use crate::line_operation::SuspendedBy;
use crate::options::{self, Options};
use crate::reply::{Answer, Outcome, Problem, date};
use crate::state::Twin;

/// What connectivity management keeps of a line beside its status.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subscriber {
    /// Rate plan; `None` before preactivation or activation.
    pub rate_plan: Option<String>,
    /// Options by name.
    pub options: Options,
    /// Group of lines that it belongs to.
    pub group: Option<String>,
    /// The caller's reference.
    pub external_reference: Option<String>,
    /// Where the user lives, ISO 3166 alpha-2.
    pub country_of_residence: Option<String>,
    /// Who suspended the line; `None` when it is not suspended.
    pub suspended_by: Option<SuspendedBy>,
    /// `subscriberInfo` of the contact information, as sent.
    pub contact: Option<Value>,
    /// Data used in test mode, in KB.
    pub test_used_kb: u64,
}

/// What a subscriber is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubscriberKey {
    SimSerial(String),
    Msisdn(String),
}

/// How connectivity management answers for a SIM that the account does not have.
pub(crate) fn unknown_sim() -> Problem {
    Problem::bad_request("Invalid SIM serial / SIM card doesn't belong to customer")
}

impl Twin {
    /// `GET /connectivity-management/subscribers/api/subscribers/{sim-serial|msisdn}/{key}`. The names of the date
    /// fields and of `suspendedBy` are inferred.
    pub(crate) fn subscriber(&self, key: &SubscriberKey) -> Outcome {
        let line: Option<&Line> = match key {
            SubscriberKey::SimSerial(iccid) => self.lines.get(iccid),
            SubscriberKey::Msisdn(msisdn) => self.line_of_msisdn(msisdn),
        };
        let line = line.ok_or_else(unknown_sim)?;
        let subscriber = &line.subscriber;
        let mut body = json!({
            "simSerial": line.spec.iccid,
            "msisdn": line.msisdn,
            "status": wire_status(line.sim_status),
            "ratePlan": subscriber.rate_plan,
            "options": options::wire(&subscriber.options),
            "group": subscriber.group,
            "externalReference": subscriber.external_reference,
            "activationDate": line.activated_at.map(date),
            "lastModificationDate": date(line.modified_at),
            "endOfContractDate": null,
        });
        if let (Some(fields), Some(by)) = (body.as_object_mut(), subscriber.suspended_by) {
            fields.insert("suspendedBy".to_owned(), json!(by));
        }
        Ok(Answer::json(200, body))
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
        for path in [
            format!("{BASE}/subscribers/sim-serial/{}", line.iccid),
            format!("{BASE}/subscribers/sim-serial/{}/suspend", line.iccid),
            format!("{BASE}/transactions/1"),
            format!("{BASE}/sim-cards/sim-serial/{}", line.iccid),
        ] {
            assert_eq!(bench.options(&path), "OPTIONS");
            bench.get_refused(&path, 403, "INSUFFICIENT_PERMISSION");
            let write = TwinRequest::new("POST", &format!("{path}/activate"));
            assert_eq!(bench.call(write).status(), Some(403));
        }
    }

    #[test]
    fn a11_switched_open_it_reads_the_present_status() {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.twin.assumptions_mut().connectivity_open = true;
        let url = format!("{BASE}/subscribers/sim-serial/{}", line.iccid);
        assert_eq!(bench.options(&url), "GET,OPTIONS");
        assert_eq!(bench.options(&format!("{url}/suspend")), "POST,OPTIONS");
        assert_eq!(bench.options(&format!("{url}/contact-info")), "PUT,OPTIONS");
        let delivered = bench.get_ok(&url);
        assert_eq!(
            (&delivered["status"], &delivered["endOfContractDate"]),
            (&json!("Pre-Activated"), &Value::Null)
        );
        bench.twin.set_line_status(&line.iccid, SimStatus::Active, at(3)).unwrap();
        let active = bench.get_ok(&format!("{BASE}/subscribers/msisdn/{}", line.msisdn()));
        assert_eq!(
            (&active["status"], &active["activationDate"]),
            (&json!("Active"), &json!("2026-03-01T12:03:00.000Z"))
        );
        assert_eq!((&active["msisdn"], active.get("suspendedBy")), (&json!(line.msisdn()), None));
        bench.get_refused(&format!("{BASE}/subscribers/sim-serial/8988247000000000000"), 400, "BAD_REQUEST");
        bench.get_refused(&format!("{BASE}/transactions/1"), 404, "TRANSACTION_NOT_FOUND");
        bench.get_refused(&format!("{BASE}/nothing"), 404, "NOT_FOUND");
        let preactivate = TwinRequest::new("POST", &format!("{url}/preactivate")).with_json(&json!({}));
        assert_eq!(bench.call(preactivate).status(), Some(404));
    }
}
