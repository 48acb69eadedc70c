//! SIM Search: `GET /sim-search/api/sim/search` (assumption A13).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use simdepot_domain::msisdn::Msisdn;

use crate::line::{Line, LineView, wire_status};
use crate::reply::{Answer, Outcome, Problem, date};
use crate::request::TwinRequest;
use crate::state::Twin;

const DEFAULT_SIZE: usize = 20;
const MAX_SIZE: usize = 10_000;

impl Twin {
    /// One page of the account's lines as they were a while ago. Pages count from 1; a filter's value begins with
    /// `eq:`, the only operator known.
    pub(crate) fn sim_search(&self, now: DateTime<Utc>, request: &TwinRequest) -> Outcome {
        let page = number(request, "page", 1, 1..=usize::MAX)?;
        let size = number(request, "size", DEFAULT_SIZE, 1..=MAX_SIZE)?;
        let serial = equals(request, "simSerial")?;
        let status = equals(request, "status")?;
        let lag = TimeDelta::seconds(i64::from(self.assumptions.sim_search_lag_seconds));
        let moment = now.checked_sub_signed(lag).unwrap_or(now);

        let candidates: Box<dyn Iterator<Item = &Line>> = match &serial {
            Some(serial) => Box::new(self.lines.get(serial).into_iter()),
            None => Box::new(self.lines.values()),
        };
        // Only the page is written out: a fleet of many thousand lines is asked for page by page.
        let found: Vec<(&Line, &LineView)> = candidates
            .filter_map(|line| Some((line, line.view_at(moment)?)))
            .filter(|(_, view)| status.as_ref().is_none_or(|status| wire_status(view.sim_status) == status))
            .collect();
        let asked_for = found.iter().skip((page - 1).saturating_mul(size)).take(size);
        let sims: Vec<Value> = asked_for.map(|(line, view)| self.search_entry(line, view)).collect();
        let body =
            json!({ "sims": sims, "page": page, "size": size, "totalPages": found.len().div_ceil(size) });
        Ok(Answer::json(200, body))
    }

    fn search_entry(&self, line: &Line, view: &LineView) -> Value {
        let number = |msisdn: &Msisdn| {
            if self.assumptions.sim_search_plus { msisdn.e164() } else { msisdn.as_str().to_owned() }
        };
        json!({
            "simSerial": line.spec.iccid,
            "msisdn": line.spec.msisdn.as_ref().map(number),
            "status": wire_status(view.sim_status),
            "mvnoRef": self.config.mvno_ref,
            "ratePlan": self.config.rate_plan,
            "activationDate": view.activated_at.map(date),
            "lastEsimProfileStatus": view.profile.map(|(status, _)| status),
            "lastEsimProfileDate": view.profile.map(|(_, since)| date(since)),
            "lastSeenDate": view.last_seen.as_ref().map(|(at, _)| date(*at)),
            "lastOriginCountry": view.last_seen.as_ref().map(|(_, country)| country),
        })
    }
}

fn number(
    request: &TwinRequest,
    name: &str,
    default: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<usize, Problem> {
    let Some(text) = request.query_value(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| Problem::bad_request(format!("{name} must be a number from {}", range.start())))
}

fn equals(request: &TwinRequest, name: &str) -> Result<Option<String>, Problem> {
    let Some(text) = request.query_value(name) else { return Ok(None) };
    match text.strip_prefix("eq:") {
        Some(value) => Ok(Some(value.to_owned())),
        None => Err(Problem::bad_request(format!("{name} must begin with an operator such as eq:"))),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use simdepot_domain::sim::SimStatus;

    use super::*;
    use crate::testing::{Bench, at};

    const URL: &str = "/sim-search/api/sim/search";

    #[test]
    fn a13_shows_the_state_of_a_while_ago_and_a_plus() {
        let mut bench = Bench::new();
        let line = bench.line();
        let url = format!("{URL}?page=1&size=10&simSerial=eq:{}", line.iccid);
        bench.install(&line.iccid);
        bench.twin.attach(&line.iccid, "FR", at(0)).unwrap();
        let sim = |bench: &mut Bench| bench.get_ok(&url)["sims"][0].clone();
        let before = sim(&mut bench);
        assert_eq!((&before["status"], &before["lastSeenDate"]), (&json!("Pre-Activated"), &Value::Null));
        assert_eq!(before["msisdn"], format!("+{}", line.msisdn()));
        bench.twin.clock_mut().advance(TimeDelta::seconds(61));
        let after = sim(&mut bench);
        assert_eq!((&after["status"], &after["lastOriginCountry"]), (&json!("Active"), &json!("FR")));
        assert_eq!(after["lastEsimProfileStatus"], "enabled");
    }

    #[test]
    fn a13_can_be_turned_over() {
        let mut bench = Bench::new();
        let line = bench.line();
        bench.twin.assumptions_mut().sim_search_lag_seconds = 0;
        bench.twin.assumptions_mut().sim_search_plus = false;
        bench.twin.set_line_status(&line.iccid, SimStatus::Suspended, at(0)).unwrap();
        let sim = bench.get_ok(&format!("{URL}?simSerial=eq:{}", line.iccid))["sims"][0].clone();
        assert_eq!((&sim["status"], &sim["msisdn"]), (&json!("Suspended"), &json!(line.msisdn())));
    }

    #[test]
    fn pages_count_from_one_and_filters_combine() {
        let mut bench = Bench::new();
        bench.twin.add_lines(5);
        let body = bench.get_ok(&format!("{URL}?page=3&size=2"));
        assert_eq!((body["sims"].as_array().unwrap().len(), &body["totalPages"]), (1, &json!(3)));
        assert!(bench.get_ok(&format!("{URL}?page=4&size=2"))["sims"].as_array().unwrap().is_empty());
        assert!(bench.get_ok(&format!("{URL}?status=eq:Active"))["sims"].as_array().unwrap().is_empty());
        assert!(
            bench.get_ok(&format!("{URL}?simSerial=eq:8988247000000000000"))["sims"]
                .as_array()
                .unwrap()
                .is_empty()
        );
        for bad in ["page=0", "size=10001", "size=x", "simSerial=8988247000000000000"] {
            bench.get_refused(&format!("{URL}?{bad}"), 400, "BAD_REQUEST");
        }
    }
}
