//! SIM Search: `GET /sim-search/api/sim/search` (assumption A13). It lags in everything that a write can change but the
//! number, by which lines are found.

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
        let filter = Filter::read(request)?;
        let lag = TimeDelta::seconds(i64::from(self.assumptions.sim_search_lag_seconds));
        let moment = now.checked_sub_signed(lag).unwrap_or(now);

        // Only the page is written out: a fleet of many thousand lines is asked for page by page.
        let skipped = (page - 1).saturating_mul(size);
        let entry = |(line, view): (&Line, &LineView)| self.search_entry(line, view);
        let (sims, total) = if filter.is_empty() {
            let page = self.lines.values().skip(skipped).take(size);
            let sims: Vec<Value> =
                page.filter_map(|line| Some(entry((line, line.view_at(moment)?)))).collect();
            (sims, self.lines.len())
        } else {
            let mut total = 0;
            let mut sims = Vec::new();
            for line in self.candidates(&filter) {
                let Some(view) = line.view_at(moment).filter(|view| filter.fits(view)) else { continue };
                if total >= skipped && sims.len() < size {
                    sims.push(entry((line, view)));
                }
                total += 1;
            }
            (sims, total)
        };
        let body = json!({ "sims": sims, "page": page, "size": size, "totalPages": total.div_ceil(size) });
        Ok(Answer::json(200, body))
    }

    /// The lines that a filter can fit: one of a SIM or a number, otherwise all.
    fn candidates<'a>(&'a self, filter: &'a Filter) -> Box<dyn Iterator<Item = &'a Line> + 'a> {
        match (&filter.serial, &filter.msisdn) {
            (Some(serial), msisdn) => {
                let line = self.lines.get(serial);
                Box::new(
                    line.filter(|line| msisdn.as_ref().is_none_or(|msisdn| line.msisdn() == msisdn))
                        .into_iter(),
                )
            }
            (None, Some(msisdn)) => Box::new(self.line_of_msisdn(msisdn).into_iter()),
            (None, None) => Box::new(self.lines.values()),
        }
    }

    fn search_entry(&self, line: &Line, view: &LineView) -> Value {
        let number = |msisdn: &Msisdn| {
            if self.assumptions.sim_search_plus { msisdn.e164() } else { msisdn.as_str().to_owned() }
        };
        json!({
            "simSerial": line.spec.iccid,
            "msisdn": line.msisdn.as_ref().map(number),
            "status": wire_status(view.sim_status),
            "mvnoRef": self.config.mvno_ref,
            "ratePlan": view.subscriber.rate_plan,
            "group": view.subscriber.group,
            "externalReference": view.subscriber.external_reference,
            "activationDate": view.activated_at.map(date),
            "lastEsimProfileStatus": view.profile.map(|(status, _)| status),
            "lastEsimProfileDate": view.profile.map(|(_, since)| date(since)),
            "lastSeenDate": view.last_seen.as_ref().map(|(at, _)| date(*at)),
            "lastOriginCountry": view.last_seen.as_ref().map(|(_, country)| country),
        })
    }
}

/// What a search asks for.
struct Filter {
    serial: Option<String>,
    msisdn: Option<String>,
    status: Option<String>,
    group: Option<String>,
}

impl Filter {
    fn read(request: &TwinRequest) -> Result<Self, Problem> {
        // A plus that was not encoded arrives as a space.
        let digits = |text: String| text.trim_start_matches(['+', ' ']).to_owned();
        Ok(Self {
            serial: equals(request, "simSerial")?,
            msisdn: equals(request, "msisdn")?.map(digits),
            status: equals(request, "status")?,
            group: equals(request, "group")?,
        })
    }

    fn is_empty(&self) -> bool {
        self.serial.is_none() && self.msisdn.is_none() && self.status.is_none() && self.group.is_none()
    }

    fn fits(&self, view: &LineView) -> bool {
        self.status.as_ref().is_none_or(|status| wire_status(view.sim_status) == status)
            && self.group.as_ref().is_none_or(|group| view.subscriber.group.as_ref() == Some(group))
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
    use crate::LineOperation;
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
    fn a13_group_and_reference_lag_like_the_status_and_filters_find_them() {
        let mut bench = Bench::iot();
        let iccid = bench.line().iccid;
        bench.twin.add_lines(3);
        let body = json!({"group": "fleet-a", "externalReference": "car-1"});
        bench.done(&iccid, LineOperation::Activate, &body);
        let msisdn = bench.twin.line(iccid.as_str()).unwrap().msisdn().to_owned();
        let count = |bench: &mut Bench, filter: &str| {
            bench.get_ok(&format!("{URL}?{filter}"))["sims"].as_array().unwrap().len()
        };
        assert_eq!(count(&mut bench, "group=eq:fleet-a"), 0);
        assert_eq!(count(&mut bench, "status=eq:Available"), 4);
        bench.pass(60);
        for filter in ["group=eq:fleet-a", "status=eq:Active", "status=eq:Active&group=eq:fleet-a"] {
            let sims = bench.get_ok(&format!("{URL}?{filter}"))["sims"].clone();
            assert_eq!(
                (sims.as_array().unwrap().len(), &sims[0]["simSerial"]),
                (1, &json!(iccid)),
                "{filter}"
            );
            assert_eq!(
                (&sims[0]["group"], &sims[0]["externalReference"]),
                (&json!("fleet-a"), &json!("car-1"))
            );
            assert_eq!(sims[0]["ratePlan"], "M2MA_WW_TSL_IOTCONNECT_CAPPED");
        }
        for (filter, found) in [
            (format!("msisdn=eq:{msisdn}"), 1),
            (format!("msisdn=eq:%2B{msisdn}"), 1),
            (format!("msisdn=eq:+{msisdn}&group=eq:fleet-b"), 0),
            (format!("msisdn=eq:{msisdn}&simSerial=eq:{iccid}"), 1),
            (format!("msisdn=eq:33612345678&simSerial=eq:{iccid}"), 0),
            ("status=eq:Available".to_owned(), 3),
        ] {
            assert_eq!(count(&mut bench, &filter), found, "{filter}");
        }
    }

    #[test]
    fn a_large_fleet_is_read_page_by_page() {
        let mut bench = Bench::iot();
        bench.twin.add_lines(25_000);
        let mut seen = 0;
        for page in 1..=3 {
            let filter = if page == 2 { "&status=eq:Available" } else { "" };
            let body = bench.get_ok(&format!("{URL}?page={page}&size=10000{filter}"));
            assert_eq!(body["totalPages"], 3);
            seen += body["sims"].as_array().unwrap().len();
        }
        assert_eq!(seen, 25_000);
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
