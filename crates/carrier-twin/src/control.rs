//! The control API under `/_twin/`: everything that a test can do to a twin in process, over HTTP.
//!
//! | call | does |
//! |---|---|
//! | `GET /_twin/state` | counts, and the twin's time |
//! | `POST /_twin/lines` `{"count": 5}` or `{"lines": [{"iccid": …, "msisdn": …, "sim_status": …}]}` | adds lines |
//! | `GET /_twin/lines?limit=&after=` · `GET /_twin/lines/{iccid}` | lines, without their codes |
//! | `POST /_twin/lines/{iccid}/download` `{"eid"}` · `/install` `/enable` `/disable` `/delete` | the device |
//! | `POST /_twin/lines/{iccid}/attach` `{"country"}` · `/consume` `{"bytes"}` | the network |
//! | `POST /_twin/lines/{iccid}/status` `{"sim_status", "esim_status"}` | sets a status whatever it was |
//! | `GET /_twin/subscriptions?msisdn=` · `GET /_twin/orders` | what the twin took on |
//! | `GET /_twin/requests?after=` · `GET /_twin/events?after=` | what arrived, what is told |
//! | `PUT /_twin/webhook` `{"url", "secret"}` · `GET` · `DELETE` | where events go from now on, and how it went |
//! | `GET` `POST` `DELETE /_twin/scripts` | failures on purpose: one script or a list |
//! | `GET` `PATCH /_twin/assumptions` | the switches |
//! | `POST /_twin/clock` `{"advance_seconds", "freeze", "real"}` | the test clock |
//! | `DELETE /_twin/tokens` | revokes all access tokens |
//! | `GET /_twin/delivery.csv?count=` | a delivery file of the lines, **with** codes, PINs and PUKs |
//! | `POST /_twin/reset` | back to the start |
//!
//! Errors are `{"error": …}`. There is no authentication: keep the twin on loopback.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use crate::device::DeviceError;
use crate::line::NewLine;
use crate::reply::{Answer, TwinReply};
use crate::request::TwinRequest;
use crate::scripts::{Fault, Script};
use crate::state::Twin;
use crate::webhook::Webhook;

const MAX_LINES: u32 = 100_000;

/// What a control call comes to; the error is a status and a text.
type Control = Result<Answer, (u16, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddLines {
    #[serde(default)]
    count: u32,
    #[serde(default)]
    lines: Vec<NewLine>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Download {
    eid: Option<Eid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attach {
    country: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Consume {
    bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Statuses {
    sim_status: Option<SimStatus>,
    esim_status: Option<EsimStatus>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ClockChange {
    real: bool,
    freeze: bool,
    advance_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetWebhook {
    url: String,
    secret: Secret,
}

/// Whether a request is for the control API.
pub(crate) fn is_control(request: &TwinRequest) -> bool {
    request.path == "/_twin" || request.path.starts_with("/_twin/")
}

impl Twin {
    pub(crate) fn control(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> TwinReply {
        let outcome = self.control_outcome(now, request);
        let answer = outcome.unwrap_or_else(|(status, text)| Answer::json(status, json!({ "error": text })));
        answer.render(std::time::Duration::ZERO)
    }

    fn control_outcome(&mut self, now: DateTime<Utc>, request: &TwinRequest) -> Control {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["state"]) => Ok(Answer::json(200, self.state_view(now))),
            ("POST", ["lines"]) => self.control_add(&read(request)?),
            ("GET", ["lines"]) => self.line_list(request),
            ("GET", ["lines", iccid]) => {
                let line = self.line(iccid).ok_or_else(|| (404, format!("no line has ICCID {iccid}")))?;
                Ok(Answer::json(200, self.line_view(line)))
            }
            ("POST", ["lines", iccid, action]) => self.control_line(now, request, iccid, action),
            ("GET", ["subscriptions"]) => Ok(self.subscription_list(request)),
            ("GET", ["orders"]) => Ok(Answer::json(200, json!({ "orders": self.orders() }))),
            ("GET", ["requests"]) => self.request_list(request),
            ("GET", ["events"]) => self.event_list(request),
            ("GET", ["webhook"]) => Ok(Answer::json(200, self.stream_view())),
            ("PUT", ["webhook"]) => self.control_webhook(read(request)?),
            ("DELETE", ["webhook"]) => {
                self.set_webhook(None);
                Ok(Answer::no_content())
            }
            ("GET", ["scripts"]) => Ok(Answer::json(200, json!({ "scripts": self.scripts() }))),
            ("POST", ["scripts"]) => self.control_scripts(read(request)?),
            ("DELETE", ["scripts"]) => {
                self.clear_scripts();
                Ok(Answer::no_content())
            }
            ("GET", ["assumptions"]) => Ok(Answer::json(200, json!(self.assumptions))),
            ("PATCH", ["assumptions"]) => {
                let patch: Value = read(request)?;
                self.assumptions = self.assumptions.patched(&patch).map_err(|error| (400, error))?;
                Ok(Answer::json(200, json!(self.assumptions)))
            }
            ("POST", ["clock"]) => self.control_clock(now, &read(request)?),
            ("DELETE", ["tokens"]) => {
                self.revoke_tokens();
                Ok(Answer::no_content())
            }
            ("GET", ["delivery.csv"]) => self.delivery(request),
            ("POST", ["reset"]) => {
                self.reset();
                Ok(Answer::no_content())
            }
            (method, _) => Err((404, format!("the control API has no {method} {}", request.path))),
        }
    }

    fn control_add(&mut self, body: &AddLines) -> Control {
        if body.count > MAX_LINES || (body.count == 0 && body.lines.is_empty()) {
            return Err((400, format!("give a count of 1 to {MAX_LINES}, or lines")));
        }
        let mut added = Vec::new();
        for line in &body.lines {
            added.push(self.add_line(line.clone()).map_err(|error| (409, error.to_string()))?);
        }
        added.extend(self.add_lines(body.count));
        let lines: Vec<Value> = added
            .iter()
            .filter_map(|spec| self.line(spec.iccid.as_str()))
            .map(|line| self.line_view(line))
            .collect();
        Ok(Answer::json(201, json!({ "lines": lines })))
    }

    fn control_line(
        &mut self,
        now: DateTime<Utc>,
        request: &TwinRequest,
        iccid: &str,
        action: &str,
    ) -> Control {
        let iccid = Iccid::parse(iccid).map_err(|error| (404, error.to_string()))?;
        let mut result = json!({});
        match action {
            "download" => {
                let body: Download = read(request)?;
                self.simulate_download(&iccid, body.eid, now)
            }
            "install" => self.simulate_install(&iccid, now),
            "enable" => self.simulate_enable(&iccid, now),
            "disable" => self.simulate_disable(&iccid, now),
            "delete" => self.simulate_delete(&iccid, now),
            "attach" => {
                let body: Attach = read(request)?;
                self.attach(&iccid, &body.country, now).map(|attached| result = json!(attached))
            }
            "consume" => {
                let body: Consume = read(request)?;
                self.consume(&iccid, body.bytes, now).map(|consumed| result = json!(consumed))
            }
            "status" => self.control_status(now, &iccid, &read(request)?)?,
            _ => return Err((404, format!("a line has no action {action}"))),
        }
        .map_err(|error| refused(&error))?;
        let line = self.line(iccid.as_str()).map(|line| self.line_view(line));
        Ok(Answer::json(200, json!({ "result": result, "line": line })))
    }

    fn control_status(
        &mut self,
        now: DateTime<Utc>,
        iccid: &Iccid,
        body: &Statuses,
    ) -> Result<Result<(), DeviceError>, (u16, String)> {
        if body.sim_status.is_none() && body.esim_status.is_none() {
            return Err((400, "give sim_status, esim_status or both".to_owned()));
        }
        let line = body.sim_status.map_or(Ok(()), |status| self.set_line_status(iccid, status, now));
        Ok(line.and_then(|()| {
            body.esim_status.map_or(Ok(()), |status| self.set_esim_status(iccid, status, now))
        }))
    }

    fn control_scripts(&mut self, body: Value) -> Control {
        // Not an untagged enum: its errors would not name the field.
        let list = if body.is_array() { body } else { json!([body]) };
        let scripts: Vec<Script> = serde_json::from_value(list).map_err(|error| (400, error.to_string()))?;
        for script in &scripts {
            if let Fault::RefuseTitle { status, .. } | Fault::TurnedAway { status } = &script.fault
                && !(400..=599).contains(status)
            {
                return Err((400, "the status of a fault must be 400 to 599".to_owned()));
            }
            if script.probability_per_mille.is_some_and(|chance| chance > 1000) {
                return Err((400, "probability_per_mille must be 0 to 1000".to_owned()));
            }
        }
        scripts.into_iter().for_each(|script| self.add_script(script));
        Ok(Answer::json(201, json!({ "scripts": self.scripts() })))
    }

    fn control_webhook(&mut self, body: SetWebhook) -> Control {
        let webhook = Webhook::new(&body.url, body.secret).map_err(|error| (400, error))?;
        self.set_webhook(Some(webhook));
        Ok(Answer::json(200, self.stream_view()))
    }

    fn control_clock(&mut self, now: DateTime<Utc>, body: &ClockChange) -> Control {
        let by = i64::try_from(body.advance_seconds).ok().and_then(TimeDelta::try_seconds);
        let by = by.ok_or_else(|| (400, "advance_seconds is too large".to_owned()))?;
        if body.real {
            self.clock_mut().real();
        }
        if body.freeze {
            self.clock_mut().freeze(now);
        }
        self.clock_mut().advance(by);
        // What is due by the new time happens now, not at the next request.
        self.begin(now);
        Ok(Answer::json(200, self.clock_view(now)))
    }
}

fn refused(error: &DeviceError) -> (u16, String) {
    let status = if matches!(error, DeviceError::UnknownLine(_)) { 404 } else { 409 };
    (status, error.to_string())
}

/// Reads a JSON body; an empty one is `{}`.
fn read<T: DeserializeOwned>(request: &TwinRequest) -> Result<T, (u16, String)> {
    let body = if request.body.is_empty() { b"{}".as_slice() } else { &request.body };
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

#[cfg(test)]
mod tests;
