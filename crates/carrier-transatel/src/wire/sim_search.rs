//! The search index: `GET /sim-search/api/sim/search` (Transatel SIM Search). It lags behind and is open to all.

use serde::Deserialize;
use serde_json::Value;
use simdepot_domain::carrier::ReadError;
use simdepot_domain::iccid::Iccid;

use super::subscriber::{self, Line};
use super::{Answer, Call, Request, lenient, problem, unreadable};

/// Where the search is.
pub(crate) const PATH: &str = "/sim-search/api/sim/search";

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
    sims: Vec<Item>,
    #[serde(default)]
    total_pages: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default, deserialize_with = "lenient::text")]
    sim_serial: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    msisdn: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
}

/// Picks the SIM from the hits; `None` when the index does not know it.
pub(crate) fn parse(answer: &Answer, iccid: &Iccid) -> Result<Option<Line>, ReadError> {
    if answer.status != 200 {
        return Err(problem::read_error(answer));
    }
    let body: Body = answer.json("search results with sims")?;
    let exact = |item: &&Item| item.sim_serial.as_deref() == Some(iccid.as_str());
    let same = |item: &&Item| {
        let found = item.sim_serial.as_deref().map(Iccid::parse);
        found.is_some_and(|found| found.is_ok_and(|found| found.key() == iccid.key()))
    };
    match body.sims.iter().find(exact).or_else(|| body.sims.iter().find(same)) {
        Some(item) => subscriber::line_of(item.msisdn.as_deref(), item.status.as_deref()).map(Some),
        // Pages of other SIMs: the filter was not applied, and ours may be on any of them.
        None if lenient::integer(&body.total_pages).is_some_and(|pages| pages > 1) => {
            Err(unreadable("search results for the SIM that was asked for"))
        }
        None => Ok(None),
    }
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
            call: SimSearch,
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
        }
        "#);
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
            (404, r#"{"title":"NOT_FOUND"}"#),
            (400, ""),
            (200, r#"{"sims":[{"simSerial":"8988247000000000017"}]}"#),
        ] {
            assert!(matches!(read(status, body), Err(ReadError::Unreadable { .. })), "{status} {body}");
        }
        assert!(matches!(read(403, ""), Err(ReadError::Denied { .. })));
    }
}
