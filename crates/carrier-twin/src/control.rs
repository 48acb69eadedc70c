//! The control API under `/_twin/`: everything that a test can do to a twin in process, over HTTP.
//!
//! | call | does |
//! |---|---|
//! | `GET /_twin/state` | counts, and the twin's time |
//! | `POST /_twin/lines` `{"count": 5, "sim_status", "physical", "numbered"}` or `{"lines": [{"iccid": …}]}` | adds lines |
//! | `GET /_twin/lines?limit=&after=` · `GET /_twin/lines/{iccid}` | lines, without their codes |
//! | `POST /_twin/lines/{iccid}/download` `{"eid"}` · `/install` `/enable` `/disable` `/delete` | the device |
//! | `POST /_twin/lines/{iccid}/attach` `{"country"}` · `/consume` `{"bytes"}` | the network |
//! | `POST /_twin/lines/{iccid}/status` `{"sim_status", "suspended_by", "esim_status"}` | sets a status whatever it was |
//! | `GET /_twin/transactions?iccid=` | line writes that were accepted, and what became of them |
//! | `GET /_twin/writes?iccid=&operation=` | how often each operation was asked of each line |
//! | `GET` `POST /_twin/groups` `{"name"}` | groups that lines can belong to |
//! | `GET /_twin/subscriptions?msisdn=` · `GET /_twin/orders` | what the twin took on |
//! | `GET /_twin/requests?after=&call=&path_contains=` · `GET /_twin/events?after=` | what arrived, what is told |
//! | `PUT /_twin/webhook` `{"url", "secret"}` · `GET` · `DELETE` | where events go from now on, and how it went |
//! | `GET` `POST` `DELETE /_twin/scripts` | failures on purpose: one script or a list |
//! | `GET` `PATCH /_twin/assumptions` | the switches |
//! | `POST /_twin/clock` `{"advance_seconds", "freeze", "real"}` | the test clock |
//! | `DELETE /_twin/tokens` | revokes all access tokens |
//! | `GET /_twin/delivery.csv?count=` | a delivery file of the lines, **with** codes, PINs and PUKs |
//! | `GET /_twin/park.csv?language=fr` | the fleet report of the day, in French or English |
//! | `POST /_twin/reset` | back to the start |
//!
//! Errors are `{"error": …}`. There is no authentication: keep the twin on loopback.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simdepot_domain::secret::Secret;

use crate::clock::TwinClock;
use crate::reply::{Answer, TwinReply};
use crate::request::TwinRequest;
use crate::scripts::{Fault, Script};
use crate::state::Twin;
use crate::webhook::Webhook;

/// What a control call comes to; the error is a status and a text.
pub(crate) type Control = Result<Answer, (u16, String)>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClockChange {
    real: bool,
    freeze: bool,
    advance_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetWebhook {
    url: String,
    secret: Secret,
}

impl SetWebhook {
    pub(crate) fn webhook(self) -> Result<Webhook, (u16, String)> {
        Webhook::new(&self.url, self.secret).map_err(|error| (400, error))
    }
}

impl ClockChange {
    /// Turns a twin's clock.
    pub(crate) fn apply(&self, clock: &mut TwinClock, now: DateTime<Utc>) -> Result<(), (u16, String)> {
        let by = i64::try_from(self.advance_seconds).ok().and_then(TimeDelta::try_seconds);
        let by = by.ok_or_else(|| (400, "advance_seconds is too large".to_owned()))?;
        if self.real {
            clock.real();
        }
        if self.freeze {
            clock.freeze(now);
        }
        clock.advance(by);
        Ok(())
    }
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
        if request.method == "GET" {
            self.show(now, request, &segments)
        } else {
            self.change(now, request, &segments)
        }
    }

    fn show(&self, now: DateTime<Utc>, request: &TwinRequest, segments: &[&str]) -> Control {
        match segments {
            ["state"] => Ok(Answer::json(200, self.state_view(now))),
            ["lines"] => self.line_list(request),
            ["lines", iccid] => {
                let line = self.line(iccid).ok_or_else(|| (404, format!("no line has ICCID {iccid}")))?;
                Ok(Answer::json(200, self.line_view(line)))
            }
            ["subscriptions"] => Ok(self.subscription_list(request)),
            ["orders"] => Ok(Answer::json(200, json!({ "orders": self.orders() }))),
            ["transactions"] => Ok(self.transaction_list(request)),
            ["writes"] => Ok(self.write_list(request)),
            ["groups"] => Ok(Answer::json(200, json!({ "groups": self.groups }))),
            ["requests"] => self.request_list(request),
            ["events"] => self.event_list(request),
            ["webhook"] => Ok(Answer::json(200, self.stream_view())),
            ["scripts"] => Ok(Answer::json(200, json!({ "scripts": self.scripts() }))),
            ["assumptions"] => Ok(Answer::json(200, json!(self.assumptions))),
            ["delivery.csv"] => self.delivery(request),
            ["park.csv"] => self.park(request),
            _ => Err(no_such_call(request)),
        }
    }

    fn change(&mut self, now: DateTime<Utc>, request: &TwinRequest, segments: &[&str]) -> Control {
        match (request.method.as_str(), segments) {
            ("POST", ["lines"]) => return self.control_add(request),
            ("POST", ["lines", iccid, action]) => return self.control_line(now, request, iccid, action),
            ("POST", ["groups"]) => return self.control_group(request),
            ("PUT", ["webhook"]) => return self.control_webhook(read(request)?),
            ("POST", ["scripts"]) => return self.control_scripts(read(request)?),
            ("PATCH", ["assumptions"]) => {
                let patch: Value = read(request)?;
                self.assumptions = self.assumptions.patched(&patch).map_err(|error| (400, error))?;
                return Ok(Answer::json(200, json!(self.assumptions)));
            }
            ("POST", ["clock"]) => return self.control_clock(now, &read(request)?),
            ("DELETE", ["webhook"]) => self.set_webhook(None),
            ("DELETE", ["scripts"]) => self.clear_scripts(),
            ("DELETE", ["tokens"]) => self.revoke_tokens(),
            ("POST", ["reset"]) => self.reset(),
            _ => return Err(no_such_call(request)),
        }
        Ok(Answer::no_content())
    }

    fn control_scripts(&mut self, body: Value) -> Control {
        checked_scripts(body)?.into_iter().for_each(|script| self.add_script(script));
        Ok(Answer::json(201, json!({ "scripts": self.scripts() })))
    }

    fn control_webhook(&mut self, body: SetWebhook) -> Control {
        self.set_webhook(Some(body.webhook()?));
        Ok(Answer::json(200, self.stream_view()))
    }

    fn control_clock(&mut self, now: DateTime<Utc>, body: &ClockChange) -> Control {
        body.apply(self.clock_mut(), now)?;
        // What is due by the new time happens now, not at the next request.
        self.begin(now);
        Ok(Answer::json(200, self.clock_view(now)))
    }
}

/// Reads one script or a list of them.
pub(crate) fn checked_scripts(body: Value) -> Result<Vec<Script>, (u16, String)> {
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
    Ok(scripts)
}

pub(crate) fn no_such_call(request: &TwinRequest) -> (u16, String) {
    (404, format!("the control API has no {} {}", request.method, request.path))
}

/// Reads a JSON body; an empty one is `{}`.
pub(crate) fn read<T: DeserializeOwned>(request: &TwinRequest) -> Result<T, (u16, String)> {
    let body = if request.body.is_empty() { b"{}".as_slice() } else { &request.body };
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

#[cfg(test)]
mod tests;
