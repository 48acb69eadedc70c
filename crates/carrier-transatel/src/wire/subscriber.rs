//! The line in the system of record: `GET …/subscribers/sim-serial/{simSerial}` (connectivity management).
//!
//! Service Provider Connect accounts may read it only when Transatel has opened it for them.

use simdepot_domain::carrier::ReadError;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineDetails;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;

use super::problem::{self, Problem};
use super::{Answer, Call, Request, details, esim, unreadable};
use simdepot_carrier_http::Fields;

/// Path of one line.
pub(crate) fn path(sim_serial: &str) -> String {
    format!("/connectivity-management/subscribers/api/subscribers/sim-serial/{sim_serial}")
}

/// Asks for one line.
pub(crate) fn request(iccid: &Iccid) -> Request {
    Request::get(Call::Subscriber, path(iccid.as_str()))
}

/// What either source tells of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) msisdn: Option<Msisdn>,
    pub(crate) sim_status: Option<SimStatus>,
    pub(crate) details: LineDetails,
}

/// How the read ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subscriber {
    /// Here it is.
    Found(Box<Line>),
    /// Not known here; SIM Search may know it.
    Absent,
    /// The account may not use this call.
    Closed,
    /// Turned away without a word of the service: closed, or out of order.
    Unclear(ReadError),
}

/// Reads the line.
pub(crate) fn parse(answer: &Answer, iccid: &Iccid) -> Result<Subscriber, ReadError> {
    if answer.status != 200 {
        let problem = Problem::of(answer);
        return match answer.status {
            _ if problem.is_closed() => Ok(Subscriber::Closed),
            401 | 408 | 429 => Err(problem::read_error(answer)),
            403 | 501 => Ok(Subscriber::Unclear(problem::read_error(answer))),
            _ if problem.is_gateways_word() => Ok(Subscriber::Unclear(problem::read_error(answer))),
            400 | 404 => Ok(Subscriber::Absent),
            _ => Err(problem::read_error(answer)),
        };
    }
    let fields = Fields::read(answer, "a subscriber")?;
    esim::check_sim_serial(fields.words(&["simSerial"]).as_deref(), iccid)?;
    line_of(&fields).map(Box::new).map(Subscriber::Found)
}

/// A number that cannot be read is not "no number"; a status in an unknown spelling is no status.
pub(crate) fn line_of(fields: &Fields) -> Result<Line, ReadError> {
    let (msisdn, status) = (fields.words(&["msisdn"]), fields.words(&["status"]));
    if msisdn.is_none() && status.is_none() {
        return Err(unreadable("status or msisdn of the line"));
    }
    let msisdn = msisdn
        .as_deref()
        .map(Msisdn::parse)
        .transpose()
        .map_err(|_| unreadable("msisdn with 6 to 15 digits"))?;
    let sim_status = status.as_deref().and_then(SimStatus::from_carrier_text);
    let details = details::of(fields, sim_status, status.as_deref());
    Ok(Line { msisdn, sim_status, details })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Subscriber, ReadError> {
        parse(&Answer::of(status, body), &Iccid::parse("8988247000000000017").unwrap())
    }

    #[test]
    fn reads_the_line() {
        let line = |body| match read(200, body) {
            Ok(Subscriber::Found(line)) => *line,
            other => panic!("{other:?}"),
        };
        let whole = line(include_str!("../../fixtures/subscriber.json"));
        assert_eq!(whole.msisdn, Msisdn::parse("33700000001").ok());
        assert_eq!(whole.sim_status, Some(SimStatus::Suspended));
        insta::assert_json_snapshot!(whole.details, @r#"
        {
          "suspended_by": "automatic",
          "rate_plan": "M2MA_WW_TSL_TEST",
          "options": [
            {
              "name": "M2M_TSL_BAR_DATA",
              "value": "off"
            }
          ],
          "group": "fleet-a",
          "external_reference": "car 7",
          "activated_at": "2026-01-05T10:00:00Z",
          "modified_at": "2026-02-05T09:00:00Z",
          "contract_ends_at": null
        }
        "#);
        let bare = line(r#"{"status":"Tariff_Holiday"}"#);
        let sim_status = Some(SimStatus::TariffHoliday);
        assert_eq!(bare, Line { msisdn: None, sim_status, details: LineDetails::default() });
        assert_eq!(line(r#"{"status":"Melted"}"#).sim_status, None);
    }

    #[test]
    fn closed_absent_or_failed() {
        for (status, title) in [
            (403, "INSUFFICIENT_PERMISSION"),
            (401, "INSUFFICIENT_PERMISSION"),
            (501, "Missing configuration"),
        ] {
            assert_eq!(
                read(status, &format!(r#"{{"title":"{title}"}}"#)),
                Ok(Subscriber::Closed),
                "{status} {title}"
            );
        }
        for (status, title) in
            [(403, ""), (404, "NOT_FOUND"), (404, ""), (400, ""), (405, "METHOD_NOT_ALLOWED"), (501, "")]
        {
            let found = read(status, &format!(r#"{{"title":"{title}"}}"#));
            let unclear = matches!(found, Ok(Subscriber::Unclear(ReadError::Unavailable(_))));
            assert!(unclear, "{status} {title}: {found:?}");
        }
        assert_eq!(read(400, r#"{"detail":"Invalid SIM serial"}"#), Ok(Subscriber::Absent));
        assert_eq!(read(404, r#"{"title":"SUBSCRIBER_NOT_FOUND"}"#), Ok(Subscriber::Absent));
        assert!(matches!(read(401, r#"{"title":"UNAUTHORIZED"}"#), Err(ReadError::Unavailable(_))));
        assert!(matches!(read(503, ""), Err(ReadError::Unavailable(_))));
        for body in [
            "{}",
            "",
            r#"{"msisdn":"12","status":"Active"}"#,
            r#"{"status":"Active","simSerial":"8988247000000000025"}"#,
        ] {
            assert!(matches!(read(200, body), Err(ReadError::Unreadable { .. })), "{body}");
        }
    }
}
