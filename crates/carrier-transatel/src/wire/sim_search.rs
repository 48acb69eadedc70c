//! The search index: `GET /sim-search/api/sim/search` (Transatel SIM Search). It lags behind and is open to all.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use simdepot_domain::carrier::{FleetPage, LineReading, ReadError};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::observation::Source;

use super::subscriber::{self, Line};
use super::{Answer, Call, Request, lenient, problem, unreadable};
use simdepot_carrier_http::Fields;

/// Where the search is.
pub(crate) const PATH: &str = "/sim-search/api/sim/search";

/// Lines on a page of the fleet. Up to 10 000 are said to be served; a page of those takes its time to make.
const FLEET_PAGE: u32 = 1000;

/// One page of all lines. Pages count from 1.
pub(crate) fn fleet_request(page: u32) -> Request {
    Request::get(Call::Fleet, PATH)
        .query("page", page.max(1).to_string())
        .query("size", FLEET_PAGE.to_string())
}

/// Looks for one SIM. Pages count from 1.
pub(crate) fn request(iccid: &Iccid) -> Request {
    Request::get(Call::SimSearch, PATH)
        .query("page", "1")
        .query("size", "10")
        .query("simSerial", format!("eq:{iccid}"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    sims: Vec<Map<String, Value>>,
    #[serde(default)]
    total_pages: Value,
}

/// Picks the SIM from the hits; `None` when the index does not know it.
pub(crate) fn parse(answer: &Answer, iccid: &Iccid) -> Result<Option<Line>, ReadError> {
    if answer.status != 200 {
        return Err(problem::read_error(answer));
    }
    let body: Body = answer.json("search results with sims")?;
    let sims: Vec<Fields> = body.sims.into_iter().map(Fields::from).collect();
    let exact = |sim: &&Fields| sim_serial(sim).as_deref() == Some(iccid.as_str());
    let same = |sim: &&Fields| {
        let found = sim_serial(sim).as_deref().map(Iccid::parse);
        found.is_some_and(|found| found.is_ok_and(|found| found.key() == iccid.key()))
    };
    match sims.iter().find(exact).or_else(|| sims.iter().find(same)) {
        Some(sim) => subscriber::line_of(sim).map(Some),
        // Pages of other SIMs: the filter was not applied, and ours may be on any of them.
        None if lenient::integer(&body.total_pages).is_some_and(|pages| pages > 1) => {
            Err(unreadable("search results for the SIM that was asked for"))
        }
        None => Ok(None),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FleetBody {
    sims: Vec<Value>,
    #[serde(default)]
    total_pages: Value,
}

/// Reads a page of the fleet. Rows that cannot be read are counted: they must not pass for lines that are gone.
pub(crate) fn parse_fleet(answer: &Answer, now: DateTime<Utc>) -> Result<FleetPage, ReadError> {
    if answer.status != 200 {
        return Err(problem::read_error(answer));
    }
    let body: FleetBody = answer.json("search results with sims")?;
    let pages = lenient::integer(&body.total_pages).and_then(|pages| u32::try_from(pages).ok());
    let pages = pages.ok_or_else(|| unreadable("totalPages of the search results"))?;
    let rows = body.sims.len();
    let lines: Vec<_> = body.sims.into_iter().filter_map(|row| row_of(row, now)).collect();
    let unreadable = u64::try_from(rows.saturating_sub(lines.len())).unwrap_or(u64::MAX);
    Ok(FleetPage { lines, unreadable, pages })
}

fn row_of(row: Value, now: DateTime<Utc>) -> Option<(Iccid, LineReading)> {
    let fields = Fields::of(row)?;
    let iccid = Iccid::parse(&sim_serial(&fields)?).ok()?;
    let Line { msisdn, sim_status, details } = subscriber::line_of(&fields).ok()?;
    let (observed_at, source) = (now, Source::Search);
    Some((iccid, LineReading { msisdn, sim_status, observed_at, dated_by_carrier: false, source, details }))
}

fn sim_serial(fields: &Fields) -> Option<String> {
    fields.words(&["simSerial"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use simdepot_domain::sim::SimStatus;

    fn iccid() -> Iccid {
        Iccid::parse("8988247000000000017").unwrap()
    }

    #[test]
    fn asks_for_one_sim() {
        insta::assert_debug_snapshot!(request(&iccid()), @r#"
        Request {
            call: "sim_search",
            method: Get,
            path: "/sim-search/api/sim/search",
            query: [
                (
                    "page",
                    "1",
                ),
                (
                    "size",
                    "10",
                ),
                (
                    "simSerial",
                    "eq:8988247000000000017",
                ),
            ],
            body: None,
            ..
        }
        "#);
    }

    fn fleet(status: u16, body: &str) -> Result<FleetPage, ReadError> {
        parse_fleet(&Answer::of(status, body), "2026-03-10T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn asks_for_pages_of_a_thousand_from_one() {
        let query =
            |page| fleet_request(page).query.into_iter().map(|(name, value)| format!("{name}={value}"));
        assert_eq!(query(3).collect::<Vec<_>>(), ["page=3", "size=1000"]);
        assert_eq!(query(100).collect::<Vec<_>>(), ["page=100", "size=1000"], "the last of 100,000 lines");
        assert_eq!(query(0).collect::<Vec<_>>(), ["page=1", "size=1000"]);
    }

    #[test]
    fn reads_a_page_of_the_fleet_and_counts_what_it_cannot() {
        let page = fleet(200, include_str!("../../fixtures/sim_search.json")).unwrap();
        assert_eq!((page.lines.len(), page.unreadable, page.pages), (2, 0, 1));
        let (iccid, line) = &page.lines[1];
        assert_eq!((iccid.as_str(), line.source), ("8988247000000000017", Source::Search));
        assert_eq!((line.sim_status, line.dated_by_carrier), (Some(SimStatus::Preactivated), false));
        assert_eq!(
            (line.details.group.as_deref(), line.details.rate_plan.as_deref()),
            (Some("fleet-a"), Some("PLAN"))
        );
        assert_eq!(line.details.external_reference.as_deref(), Some("car 7"));
        assert!(line.details.activated_at.is_some() && line.details.options.is_none());
        let page = fleet(
            200,
            r#"{"totalPages":"7","sims":[
                {"simSerial":"8988247000000000017","status":"Melted"},
                {"simSerial":"8988247000000000025"},
                {"simSerial":"x","status":"Active"},
                {"simSerial":"8988247000000000033","status":"Active","msisdn":"12"},
                {"status":"Active"}, null, 7, [] ]}"#,
        )
        .unwrap();
        assert_eq!((page.lines.len(), page.unreadable, page.pages), (1, 7, 7));
        assert_eq!(page.lines[0].1.sim_status, None);
    }

    #[test]
    fn a_page_that_failed_is_never_an_empty_one() {
        let empty = FleetPage { lines: Vec::new(), unreadable: 0, pages: 0 };
        assert_eq!(fleet(200, r#"{"sims":[],"totalPages":0}"#), Ok(empty));
        for (status, body) in [
            (200, "{}"),
            (200, ""),
            (200, "[]"),
            (200, r#"{"sims":null,"totalPages":1}"#),
            (200, r#"{"sims":[]}"#),
            (200, r#"{"sims":[],"totalPages":-1}"#),
            (204, ""),
        ] {
            assert!(matches!(fleet(status, body), Err(ReadError::Unreadable { .. })), "{status} {body}");
        }
        for (status, body) in [(503, ""), (403, ""), (404, r#"{"title":"NOT_FOUND"}"#)] {
            assert!(matches!(fleet(status, body), Err(ReadError::Unavailable(_))), "{status} {body}");
        }
        let denied = fleet(403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#);
        assert!(matches!(denied, Err(ReadError::Denied { .. })));
    }

    #[test]
    fn picks_the_one_that_was_asked_for() {
        let answer = Answer::of(200, include_str!("../../fixtures/sim_search.json"));
        let line = parse(&answer, &iccid()).unwrap().unwrap();
        assert_eq!(line.msisdn.unwrap().as_str(), "33700000001");
        assert_eq!(line.sim_status, Some(SimStatus::Preactivated));
    }

    #[test]
    fn not_there_is_not_the_same_as_not_found_on_this_page() {
        let read = |status, body: &str| parse(&Answer::of(status, body), &iccid());
        assert_eq!(read(200, r#"{"sims":[],"totalPages":0}"#), Ok(None));
        assert_eq!(
            read(200, r#"{"sims":[{"simSerial":"8988247000000000025","status":"Active"}],"totalPages":1}"#),
            Ok(None)
        );
        for (status, body) in [
            (200, r#"{"sims":[{"simSerial":"8988247000000000025","status":"Active"}],"totalPages":2}"#),
            (200, "{}"),
            (200, ""),
            (400, r#"{"title":"BAD_REQUEST"}"#),
            (200, r#"{"sims":[{"simSerial":"8988247000000000017"}]}"#),
        ] {
            assert!(matches!(read(status, body), Err(ReadError::Unreadable { .. })), "{status} {body}");
        }
        for (status, body) in [(404, r#"{"title":"NOT_FOUND"}"#), (400, ""), (403, "")] {
            assert!(matches!(read(status, body), Err(ReadError::Unavailable(_))), "{status} {body}");
        }
        let denied = read(403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#);
        assert!(matches!(denied, Err(ReadError::Denied { .. })));
    }
}
