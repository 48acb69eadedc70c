//! The eSIM record: `GET /sim-management/sims/api/esims/sim-serial/{simSerial}` (Transatel SIM management).

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::carrier::{EsimReading, ReadError};
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::matching_id::MatchingId;
use simdepot_domain::secret::Secret;
use simdepot_domain::smdp_address::SmdpAddress;

use super::problem::{self, Problem};
use super::{Answer, Call, Request, lenient, unreadable};

/// Path of one record.
pub(crate) fn path(sim_serial: &str) -> String {
    format!("/sim-management/sims/api/esims/sim-serial/{sim_serial}")
}

/// Asks for one record.
pub(crate) fn request(iccid: &Iccid) -> Request {
    Request::get(Call::Esim, path(iccid.as_str()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default, deserialize_with = "lenient::text")]
    sim_serial: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::moment")]
    status_date: Option<DateTime<Utc>>,
    #[serde(default)]
    eid: Value,
    #[serde(default, deserialize_with = "lenient::or_none")]
    activation_code: Option<Secret>,
    #[serde(default, deserialize_with = "lenient::or_none")]
    matching_id: Option<Secret>,
    #[serde(default, deserialize_with = "lenient::text")]
    smdp_address: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_none")]
    qr_code: Option<QrCode>,
}

#[derive(Deserialize)]
struct QrCode {
    #[serde(default, deserialize_with = "lenient::or_none")]
    value: Option<Secret>,
}

/// Reads the record; `None` when the SIM is no eSIM, or not one of this account.
pub(crate) fn parse(
    answer: &Answer,
    iccid: &Iccid,
    now: DateTime<Utc>,
) -> Result<Option<EsimReading>, ReadError> {
    if answer.status != 200 {
        let problem = Problem::of(answer);
        let absent =
            matches!(answer.status, 400 | 404) && (problem.is("ESIM_NOT_FOUND") || problem.is_foreign_sim());
        return if absent { Ok(None) } else { Err(problem::read_error(answer)) };
    }
    let body: Body = answer.json("an eSIM record")?;
    check_sim_serial(body.sim_serial.as_deref(), iccid)?;
    let text = body.status.as_deref().ok_or_else(|| unreadable("status in the eSIM record"))?;
    let status = EsimStatus::from_carrier_text(text);
    Ok(Some(EsimReading {
        status,
        status_date: body.status_date,
        eid: eid_of(&body.eid)?,
        activation_code: code_of(&body, status)?,
        observed_at: now,
    }))
}

/// An answer about another SIM must not be taken for this one.
pub(crate) fn check_sim_serial(found: Option<&str>, wanted: &Iccid) -> Result<(), ReadError> {
    let same = |found: &str| Iccid::parse(found).is_ok_and(|found| found.key() == wanted.key());
    match found {
        Some(found) if !same(found) => Err(unreadable("the SIM that was asked for")),
        Some(_) | None => Ok(()),
    }
}

/// An EID that cannot be read still says that a device holds the profile, so it must not pass for "no device".
fn eid_of(value: &Value) -> Result<Option<Eid>, ReadError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => {
            Eid::parse(text).map(Some).map_err(|_| unreadable("eid with 32 digits, or none"))
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(unreadable("eid as a text of 32 digits"))
        }
    }
}

/// The code from wherever it is given. One that is there and cannot be read makes the read fail while the profile
/// may still be sold; once a device has it, the code is history.
fn code_of(body: &Body, status: Option<EsimStatus>) -> Result<Option<ActivationCode>, ReadError> {
    let said = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.expose().trim().is_empty());
    let whole = [said(&body.activation_code), said(&body.qr_code.as_ref().and_then(|qr| qr.value.clone()))];
    let (matching_id, address) = (said(&body.matching_id), body.smdp_address.as_deref());
    let given = whole.iter().any(Option::is_some) || matching_id.is_some();
    let read =
        whole.iter().flatten().find_map(|code| ActivationCode::parse(code.expose()).ok()).or_else(|| {
            let address = SmdpAddress::parse(address?).ok()?;
            let matching_id = MatchingId::parse(matching_id?.expose()).ok()?;
            ActivationCode::from_parts(&address, &matching_id).ok()
        });
    if read.is_none() && given && !status.is_some_and(EsimStatus::was_downloaded) {
        return Err(unreadable("an activation code of the form 1$<SM-DP+ address>$<matching id>"));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ICCID: &str = "8988247000000000017";

    fn now() -> DateTime<Utc> {
        "2026-03-10T00:00:00Z".parse().unwrap()
    }

    fn read(body: &Value) -> Result<Option<EsimReading>, ReadError> {
        parse(&Answer::of(200, &body.to_string()), &Iccid::parse(ICCID).unwrap(), now())
    }

    fn code(body: &Value) -> Option<String> {
        read(body).unwrap().unwrap().activation_code.map(|code| code.code().to_owned())
    }

    #[test]
    fn reads_the_record() {
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/esim.json")).unwrap();
        let reading = read(&fixture).unwrap().unwrap();
        assert_eq!(reading.status, Some(EsimStatus::Released));
        assert_eq!(reading.status_date.unwrap().to_rfc3339(), "2026-02-01T08:30:00+00:00");
        assert_eq!((reading.eid.as_ref(), reading.observed_at), (None, now()));
        let shown = format!("{reading:?}");
        assert!(!shown.contains("TESTMATCHING"), "{shown}");
        assert_eq!(reading.activation_code.unwrap().code(), "1$smdp.example.com$TESTMATCHING01");
        assert_eq!(
            request(&Iccid::parse(ICCID).unwrap()).path,
            format!("/sim-management/sims/api/esims/sim-serial/{ICCID}")
        );
    }

    #[test]
    fn the_code_from_wherever_it_is_given() {
        let expected = Some("1$a.example$T1".to_owned());
        assert_eq!(
            code(&json!({ "status": "released", "qrCode": { "value": "LPA:1$a.example$T1" } })),
            expected
        );
        assert_eq!(
            code(&json!({ "status": "released", "smdpAddress": "a.example", "matchingId": "T1" })),
            expected
        );
        assert_eq!(
            code(
                &json!({ "status": "released", "activationCode": "", "matchingId": "T1", "smdpAddress": "a.example" })
            ),
            expected
        );
        assert_eq!(code(&json!({ "status": "allocated", "smdpAddress": "a.example" })), None);
        assert_eq!(code(&json!({ "status": "deleted", "activationCode": "gone" })), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_nothing() {
        for body in [
            json!({ "status": "released", "activationCode": "SESAME" }),
            json!({ "status": "released", "matchingId": "SESAME" }),
            json!({ "status": "released", "eid": "8904" }),
            json!({ "status": "released", "eid": 89 }),
            json!({ "simSerial": ICCID }),
            json!({ "status": "released", "simSerial": "8988247000000000025" }),
            json!([]),
        ] {
            let error = read(&body).unwrap_err();
            assert!(matches!(error, ReadError::Unreadable { .. }), "{body}");
            assert!(!error.to_string().contains("SESAME"), "{error}");
        }
    }

    #[test]
    fn a_device_and_an_unknown_status() {
        let eid = "89001012012341234012345678901224";
        let reading = read(&json!({ "status": "ENABLED", "eid": eid, "simSerial": format!("{ICCID}0") }))
            .unwrap()
            .unwrap();
        assert_eq!((reading.status, reading.eid.unwrap().as_str()), (Some(EsimStatus::Enabled), eid));
        assert_eq!(read(&json!({ "status": "melted" })).unwrap().unwrap().status, None);
    }

    #[test]
    fn absent_or_failed() {
        let read =
            |status, body: &str| parse(&Answer::of(status, body), &Iccid::parse(ICCID).unwrap(), now());
        assert_eq!(read(404, r#"{"title":"ESIM_NOT_FOUND","detail":"Unknown eSIM"}"#), Ok(None));
        assert_eq!(
            read(400, r#"{"detail":"Invalid SIM serial / SIM card doesn't belong to customer"}"#),
            Ok(None)
        );
        for (status, body) in [(404, r#"{"title":"NOT_FOUND"}"#), (404, ""), (403, ""), (405, "<html>")] {
            assert!(matches!(read(status, body), Err(ReadError::Unavailable(_))), "{status} {body}");
        }
        let denied = read(403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#);
        assert!(matches!(denied, Err(ReadError::Denied { .. })));
        assert!(matches!(read(500, r#"{"title":"ESIM_NOT_FOUND"}"#), Err(ReadError::Unavailable(_))));
    }
}
