//! Lines over the control API: adding them, playing the device, setting a status, groups.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::sim::SimStatus;

use crate::control::{Control, read};
use crate::device::DeviceError;
use crate::line::{Delivered, NewLine};
use crate::line_operation::SuspendedBy;
use crate::reply::Answer;
use crate::request::TwinRequest;
use crate::state::Twin;

const MAX_LINES: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddLines {
    #[serde(default)]
    count: u32,
    #[serde(default)]
    sim_status: Option<SimStatus>,
    #[serde(default)]
    physical: Option<bool>,
    #[serde(default)]
    numbered: Option<bool>,
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

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Statuses {
    sim_status: Option<SimStatus>,
    suspended_by: Option<SuspendedBy>,
    esim_status: Option<EsimStatus>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    name: String,
}

impl Twin {
    /// Adds a group that lines can belong to; `false` when the account has it.
    pub fn add_group(&mut self, name: &str) -> bool {
        self.groups.insert(name.to_owned())
    }

    pub(crate) fn control_group(&mut self, request: &TwinRequest) -> Control {
        let body: NewGroup = read(request)?;
        if body.name.is_empty() {
            return Err((400, "name must not be empty".to_owned()));
        }
        self.add_group(&body.name);
        Ok(Answer::json(201, json!({ "groups": self.groups })))
    }

    pub(crate) fn control_add(&mut self, request: &TwinRequest) -> Control {
        let body: AddLines = read(request)?;
        if body.count > MAX_LINES || (body.count == 0 && body.lines.is_empty()) {
            return Err((400, format!("give a count of 1 to {MAX_LINES}, or lines")));
        }
        let usual = self.config.delivered;
        let delivered = Delivered {
            sim_status: body.sim_status.unwrap_or(usual.sim_status),
            physical: body.physical.unwrap_or(usual.physical),
            numbered: body.numbered.unwrap_or(usual.numbered),
        };
        let mut added = Vec::new();
        for line in &body.lines {
            added.push(self.add_line(line.clone()).map_err(|error| (409, error.to_string()))?);
        }
        added.extend(self.add_lines_as(body.count, delivered));
        let lines: Vec<Value> = added
            .iter()
            .filter_map(|spec| self.line(spec.iccid.as_str()))
            .map(|line| self.line_view(line))
            .collect();
        Ok(Answer::json(201, json!({ "lines": lines })))
    }

    pub(crate) fn control_line(
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
        let line = match (body.sim_status, body.suspended_by) {
            (Some(SimStatus::Suspended), Some(by)) => self.suspend_line(iccid, by, now),
            (_, Some(_)) => return Err((400, "suspended_by goes with sim_status suspended".to_owned())),
            (Some(status), None) => self.set_line_status(iccid, status, now),
            (None, None) => Ok(()),
        };
        Ok(line.and_then(|()| {
            body.esim_status.map_or(Ok(()), |status| self.set_esim_status(iccid, status, now))
        }))
    }
}

fn refused(error: &DeviceError) -> (u16, String) {
    let status = if matches!(error, DeviceError::UnknownLine(_)) { 404 } else { 409 };
    (status, error.to_string())
}
