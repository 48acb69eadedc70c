//! eSIM details: `GET /sim-management/sims/api/esims/sim-serial/{iccid}` (assumption A7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::observation::Lifecycle;
use simdepot_domain::qr;

use crate::line::Profile;
use crate::reply::{Answer, Outcome, Problem, date};
use crate::request::TwinRequest;
use crate::state::Twin;

/// Side of one module of the QR code, in pixels.
const QR_MODULE: u32 = 4;

impl Twin {
    /// The details of a profile.
    pub(crate) fn esim_details(&self, request: &TwinRequest, iccid: &str) -> Outcome {
        let line = self.lines.get(iccid);
        let found = line.and_then(|line| line.profile.as_ref().map(|profile| (line, profile)));
        let (line, profile) = found.ok_or_else(|| Problem::new(404, "ESIM_NOT_FOUND", "Unknown eSIM"))?;
        let mut fields = Map::new();
        fields.insert("simSerial".to_owned(), json!(iccid));
        fields.insert("status".to_owned(), json!(profile.status));
        fields.insert("statusDate".to_owned(), json!(date(profile.since)));
        if let Some(code) = &line.spec.activation_code {
            fields.insert("smdpAddress".to_owned(), json!(code.smdp_address()));
            if profile.status.rank() >= self.assumptions.esim_code_from.rank() {
                add_code(&mut fields, code);
            }
        }
        if let Some(eid) =
            profile.eid.as_ref().filter(|_| profile.status.rank() >= self.assumptions.esim_eid_from.rank())
        {
            fields.insert("eid".to_owned(), json!(eid));
        }
        if self.assumptions.esim_history && request.query_value("history").as_deref() == Some("true") {
            fields.insert("history".to_owned(), history(profile));
        }
        Ok(Answer::json(200, Value::Object(fields)))
    }

    /// Release of a profile, which Service Provider Connect accounts may not do; body and reply are not public.
    pub(crate) fn release_esim(&mut self, now: DateTime<Utc>, request: &TwinRequest, iccid: &str) -> Outcome {
        let unknown = || Problem::new(404, "ESIM_NOT_FOUND", "Unknown eSIM");
        let line = self.lines.get(iccid).filter(|line| line.profile.is_some()).ok_or_else(unknown)?;
        let number = line.spec.iccid.clone();
        self.release(&number, now).map_err(|error| Problem::bad_request(error.to_string()))?;
        self.esim_details(request, iccid)
    }
}

fn add_code(fields: &mut Map<String, Value>, code: &ActivationCode) {
    fields.insert("activationCode".to_owned(), json!(code.code()));
    fields.insert("matchingId".to_owned(), json!(code.matching_id().expose()));
    let picture = qr::png(&code.lpa(), QR_MODULE).map(|png| STANDARD.encode(png)).unwrap_or_default();
    fields.insert(
        "qrCode".to_owned(),
        json!({ "value": code.lpa(), "dataUrl": format!("data:image/png;base64,{picture}") }),
    );
}

/// The field names in here are inferred, not contractual.
fn history(profile: &Profile) -> Value {
    let entry = |(status, at): &(EsimStatus, DateTime<Utc>)| json!({ "status": status, "date": date(*at) });
    profile.history.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TwinRequest;
    use crate::testing::{Bench, at};

    const PATH: &str = "/sim-management/sims/api/esims/sim-serial";

    #[test]
    fn a7_the_code_shows_from_released_and_the_eid_from_downloaded() {
        let mut bench = Bench::new();
        let line = bench.line();
        let url = format!("{PATH}/{}", line.iccid);
        let code = line.activation_code.as_ref().unwrap();
        let released = bench.get_ok(&url);
        assert_eq!(
            (&released["status"], &released["activationCode"]),
            (&json!("released"), &json!(code.code()))
        );
        assert_eq!(
            (&released["matchingId"], &released["qrCode"]["value"]),
            (&json!(code.matching_id().expose()), &json!(code.lpa()))
        );
        assert!(released["qrCode"]["dataUrl"].as_str().unwrap().starts_with("data:image/png;base64,iVBOR"));
        assert!(released.get("eid").is_none() && released.get("history").is_none());

        bench.install(&line.iccid);
        let enabled = bench.get_ok(&format!("{url}?history=true"));
        assert_eq!((&enabled["status"], enabled["eid"].as_str().unwrap().len()), (&json!("enabled"), 32));
        assert_eq!(
            (enabled["history"].as_array().unwrap().len(), &enabled["history"][0]["status"]),
            (4, &json!("released"))
        );

        bench.twin.set_esim_status(&line.iccid, EsimStatus::Allocated, at(9)).unwrap();
        let allocated = bench.get_ok(&url);
        assert!(
            ["activationCode", "matchingId", "qrCode", "eid"]
                .iter()
                .all(|name| allocated.get(name).is_none())
        );
        assert_eq!(allocated["smdpAddress"], "smdp.twin.example");
    }

    #[test]
    fn a7_can_be_turned_over() {
        let mut bench = Bench::new();
        let line = bench.line();
        let url = format!("{PATH}/{}", line.iccid);
        bench.twin.assumptions_mut().esim_code_from = EsimStatus::Installed;
        bench.twin.assumptions_mut().esim_history = false;
        let released = bench.get_ok(&format!("{url}?history=true"));
        assert!(released.get("activationCode").is_none() && released.get("history").is_none());
        bench.twin.assumptions_mut().esim_eid_from = EsimStatus::Deleted;
        bench.install(&line.iccid);
        assert!(bench.get_ok(&url).get("eid").is_none());
    }

    #[test]
    fn a7_release_is_closed_unless_switched() {
        let mut bench = Bench::new();
        let line = bench.line();
        let url = format!("{PATH}/{}", line.iccid);
        bench.twin.set_esim_status(&line.iccid, EsimStatus::Allocated, at(0)).unwrap();
        assert_eq!(bench.options(&url), "GET,OPTIONS");
        let patch = || TwinRequest::new("PATCH", &url).with_json(&json!({}));
        let refused = bench.call(patch());
        assert_eq!(
            (refused.status(), &refused.json().unwrap()["title"]),
            (Some(403), &json!("INSUFFICIENT_PERMISSION"))
        );
        bench.twin.assumptions_mut().esim_patch_open = true;
        assert_eq!(bench.options(&url), "GET,PATCH,OPTIONS");
        assert_eq!(bench.call(patch()).json().unwrap()["status"], "released");
        assert_eq!(bench.twin.events().last().unwrap().event_type, "SIM-MANAGEMENT/ESIM/RELEASED");
        assert_eq!(bench.call(patch()).status(), Some(400));
    }

    #[test]
    fn unknown_and_physical_sims_are_no_esims() {
        let mut bench = Bench::new();
        let new = json!({"iccid": "8988247000000000000", "physical": true});
        bench.twin.add_line(serde_json::from_value(new).unwrap()).unwrap();
        bench.get_refused(&format!("{PATH}/8988247000000000000"), 404, "ESIM_NOT_FOUND");
        bench.get_refused(&format!("{PATH}/8988247000000000001"), 404, "ESIM_NOT_FOUND");
        bench.get_refused(&format!("{PATH}/12AB"), 400, "BAD_REQUEST");
    }
}
