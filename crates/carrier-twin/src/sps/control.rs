//! The control API under `/_twin/`, as far as the SPS twin has what the Transatel twin's has ([`crate::control`]).
//!
//! | call | does |
//! |---|---|
//! | `GET /_twin/state` | counts, and the twin's time |
//! | `POST /_twin/lines` `{"count": 5, "physical"}` or `{"lines": [{"iccid", "physical", "eid"}]}` | adds SIMs |
//! | `GET /_twin/lines?limit=&after=` · `GET /_twin/lines/{iccid}` | SIMs with their subscriptions, without codes |
//! | `POST /_twin/lines/{iccid}/suspend` · `/resume` · `/cease` · `/device` `{"pei"}` | the operator, the customer |
//! | `GET /_twin/subscriptions?subscriber_id=` | subscriptions |
//! | `GET /_twin/transactions?iccid=` · `GET /_twin/transactions/{id}` | writes that were acknowledged |
//! | `GET /_twin/writes?id=` · `GET /_twin/effects` | writes that arrived, and how often each effect happened |
//! | `GET` `POST /_twin/reservations` `{"id", "gpsi"}` | numbers kept for activations |
//! | `PUT /_twin/devices/{tac}` `{"manufacturer", "model", "equipment_type", "networks", "sold_by_operator"}` · `GET /_twin/devices` | device models |
//! | `GET /_twin/blocklist` · `PUT` `DELETE /_twin/blocklist/{pei}` | the blocklist |
//! | `GET /_twin/requests?after=&call=&path_contains=` · `GET /_twin/events?after=` | what arrived, what is told |
//! | `PUT /_twin/webhook` `{"url", "secret", "auth": "bearer", "header"}` · `GET` · `DELETE` | where notifications go, and how it went; `auth` and `header` if the configuration's do not do |
//! | `GET` `POST` `DELETE /_twin/scripts` · `GET` `PATCH /_twin/assumptions` | failures on purpose, the switches |
//! | `POST /_twin/clock` `{"advance_seconds", "freeze", "real"}` · `DELETE /_twin/tokens` · `POST /_twin/reset` | |
//! | `GET /_twin/delivery.csv?count=` | a delivery file of the SIMs, **with** activation codes |
//!
//! Errors are `{"error": …}`. There is no authentication: keep the twin on loopback.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use simdepot_domain::secret::Secret;

use super::config::{SIGNATURE_HEADER, WebhookAuth};
use super::devices::DeviceModel;
use super::fields::Shape;
use super::sims::NewSim;
use super::state::SpsTwin;
use super::world::WorldError;
use crate::control::{ClockChange, Control, checked_scripts, no_such_call, read};
use crate::control_view::clock_view;
use crate::reply::{Answer, TwinReply};
use crate::request::TwinRequest;
use crate::webhook::Webhook;

const MAX_SIMS: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddSims {
    #[serde(default)]
    count: u32,
    #[serde(default)]
    physical: Option<bool>,
    #[serde(default)]
    lines: Vec<NewSim>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Device {
    pei: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reservation {
    id: String,
    #[serde(default)]
    gpsi: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Auth {
    Signature,
    Bearer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetWebhook {
    url: String,
    secret: Secret,
    #[serde(default)]
    auth: Option<Auth>,
    #[serde(default)]
    header: Option<String>,
}

impl SpsTwin {
    pub(super) fn control(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> TwinReply {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
        let outcome = if request.method == "GET" {
            self.show(now, request, &segments)
        } else {
            self.alter(now, request, &segments)
        };
        let answer = outcome.unwrap_or_else(|(status, text)| Answer::json(status, json!({ "error": text })));
        answer.render(Duration::ZERO)
    }

    fn alter(&mut self, now: DateTime<Utc>, request: &TwinRequest, segments: &[&str]) -> Control {
        match (request.method.as_str(), segments) {
            ("POST", ["lines"]) => return self.control_add(read(request)?),
            ("POST", ["lines", iccid, action]) => return self.control_line(now, request, iccid, action),
            ("POST", ["reservations"]) => {
                let body: Reservation = read(request)?;
                let gpsi = self.reserve(&body.id, body.gpsi.as_deref()).map_err(|error| refused(&error))?;
                return Ok(Answer::json(201, json!({ "id": body.id, "gpsi": gpsi })));
            }
            ("PUT", ["devices", tac]) => {
                let model: DeviceModel = read(request)?;
                self.set_device_model(tac, model).map_err(|error| refused(&error))?;
            }
            ("PUT" | "DELETE", ["blocklist", pei]) => {
                if !Shape::PEI.fits(pei) {
                    return Err(refused(&WorldError::Malformed("pei")));
                }
                self.block_device(pei, request.method == "PUT");
            }
            ("PUT", ["webhook"]) => {
                return self.control_webhook(read(request)?);
            }
            ("POST", ["scripts"]) => {
                let scripts = checked_scripts(read(request)?)?;
                scripts.into_iter().for_each(|script| self.add_script(script));
                return Ok(Answer::json(201, json!({ "scripts": self.scripts() })));
            }
            ("PATCH", ["assumptions"]) => {
                let patch: Value = read(request)?;
                self.assumptions = self.assumptions.patched(&patch).map_err(|error| (400, error))?;
                return Ok(Answer::json(200, json!(self.assumptions)));
            }
            ("POST", ["clock"]) => {
                let change: ClockChange = read(request)?;
                change.apply(&mut self.clock, now)?;
                // What is due by the new time happens now, not at the next request.
                self.settle(now);
                return Ok(Answer::json(200, clock_view(self.clock, now)));
            }
            ("DELETE", ["webhook"]) => self.set_webhook(None),
            ("DELETE", ["scripts"]) => self.clear_scripts(),
            ("DELETE", ["tokens"]) => self.revoke_tokens(),
            ("POST", ["reset"]) => self.reset(),
            _ => return Err(no_such_call(request)),
        }
        Ok(Answer::no_content())
    }

    fn control_webhook(&mut self, body: SetWebhook) -> Control {
        let webhook = Webhook::new(&body.url, body.secret).map_err(|error| (400, error))?;
        match (body.auth, body.header) {
            (Some(Auth::Bearer), Some(_)) => {
                return Err((400, "header goes with a signature".to_owned()));
            }
            (Some(Auth::Bearer), None) => self.set_webhook_auth(WebhookAuth::Bearer),
            (Some(Auth::Signature) | None, Some(header)) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                if header.is_empty() || !header.bytes().all(plain) {
                    return Err((400, "header must be the name of a header".to_owned()));
                }
                self.set_webhook_auth(WebhookAuth::Signature { header });
            }
            (Some(Auth::Signature), None) => {
                self.set_webhook_auth(WebhookAuth::Signature { header: SIGNATURE_HEADER.to_owned() });
            }
            (None, None) => {}
        }
        self.set_webhook(Some(webhook));
        Ok(Answer::json(200, self.stream.view()))
    }

    fn control_add(&mut self, body: AddSims) -> Control {
        if body.count > MAX_SIMS || (body.count == 0 && body.lines.is_empty()) {
            return Err((400, format!("give a count of 1 to {MAX_SIMS}, or lines")));
        }
        let mut added = Vec::new();
        for sim in body.lines {
            added.push(self.add_sim(sim).map_err(|error| refused(&error))?);
        }
        added.extend(self.add_sims_as(body.count, body.physical.unwrap_or(self.config.physical)));
        let sims = added.iter().filter_map(|spec| self.sim(spec.iccid.as_str()));
        let lines: Vec<Value> = sims.map(|sim| self.sim_view(sim)).collect();
        Ok(Answer::json(201, json!({ "lines": lines })))
    }

    fn control_line(
        &mut self,
        now: DateTime<Utc>,
        request: &TwinRequest,
        iccid: &str,
        action: &str,
    ) -> Control {
        match action {
            "suspend" => self.operator_suspend(iccid, now),
            "resume" => self.operator_resume(iccid, now),
            "cease" => self.operator_cease(iccid, now),
            "device" => {
                let body: Device = read(request)?;
                self.set_device(iccid, body.pei.as_deref(), now)
            }
            _ => return Err((404, format!("a line has no action {action}"))),
        }
        .map_err(|error| refused(&error))?;
        Ok(Answer::json(200, json!({ "line": self.sim(iccid).map(|sim| self.sim_view(sim)) })))
    }
}

fn refused(error: &WorldError) -> (u16, String) {
    let status = match error {
        WorldError::UnknownSim(_) => 404,
        WorldError::Malformed(_) => 400,
        WorldError::NoSubscription(_)
        | WorldError::Status(_)
        | WorldError::Taken(_)
        | WorldError::NoNumberLeft => 409,
    };
    (status, error.to_string())
}

#[cfg(test)]
mod tests;
