//! The line in the system of record: `GET …/subscribers/sim-serial/{simSerial}` (connectivity management).
//!
//! Service Provider Connect accounts may read it only when Transatel has opened it for them.

use serde::Deserialize;
use simdepot_domain::carrier::ReadError;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;

use super::problem::{self, Problem};
use super::{Answer, Call, Request, esim, lenient, unreadable};

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
}

/// How the read ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subscriber {
    /// Here it is.
    Found(Line),
    /// Not known here; SIM Search may know it.
    Absent,
    /// The account may not use this call.
    Closed,
    /// Turned away without a word of the service: closed, or out of order.
    Unclear(ReadError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default, deserialize_with = "lenient::text")]
    sim_serial: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    msisdn: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
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
    let body: Body = answer.json("a subscriber")?;
    esim::check_sim_serial(body.sim_serial.as_deref(), iccid)?;
    line_of(body.msisdn.as_deref(), body.status.as_deref()).map(Subscriber::Found)
}

/// A number that cannot be read is not "no number"; a status in an unknown spelling is no status.
pub(crate) fn line_of(msisdn: Option<&str>, status: Option<&str>) -> Result<Line, ReadError> {
    if msisdn.is_none() && status.is_none() {
        return Err(unreadable("status or msisdn of the line"));
    }
    let msisdn =
        msisdn.map(Msisdn::parse).transpose().map_err(|_| unreadable("msisdn with 6 to 15 digits"))?;
    Ok(Line { msisdn, sim_status: status.and_then(SimStatus::from_carrier_text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Subscriber, ReadError> {
        parse(&Answer::of(status, body), &Iccid::parse("8988247000000000017").unwrap())
    }

    #[test]
    fn reads_the_line() {
        let found = read(200, include_str!("../../fixtures/subscriber.json")).unwrap();
        let msisdn = Msisdn::parse("33700000001").ok();
        assert_eq!(found, Subscriber::Found(Line { msisdn, sim_status: Some(SimStatus::Preactivated) }));
        let line = |body| match read(200, body) {
            Ok(Subscriber::Found(line)) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            line(r#"{"status":"Tariff_Holiday"}"#),
            Line { msisdn: None, sim_status: Some(SimStatus::TariffHoliday) }
        );
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
