//! Line writes: `POST` and `PUT /connectivity-management/subscribers/api/subscribers/sim-serial/{simSerial}/…`
//! (§10.2 A10). What is wrong at once is refused here; what the carrier only finds later fails the transaction.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use simdepot_domain::sim::SimStatus;

use crate::line::{Line, is_sim_serial, wire_status};
use crate::line_operation::{LineOperation, SuspendedBy};
use crate::options::OptionValue;
use crate::reply::{Outcome, Problem};
use crate::request::TwinRequest;
use crate::state::Twin;
use crate::subscriber::unknown_sim;

/// The fields of all writes together; each reads its own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WriteBody {
    pub(crate) rate_plan: Option<String>,
    pub(crate) options: Option<Vec<OptionValue>>,
    pub(crate) external_reference: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) subscriber_country_of_residence: Option<String>,
    pub(crate) new_sim_serial: Option<String>,
    pub(crate) subscriber_info: Option<Value>,
}

impl WriteBody {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("Body: {error}")))
    }

    /// The group, which contact information may carry inside `subscriberInfo`: the public documentation does not say
    /// where.
    pub(crate) fn group(&self) -> Option<&str> {
        let inside = || self.subscriber_info.as_ref()?.get("group")?.as_str();
        self.group.as_deref().or_else(inside)
    }

    fn check(&self, operation: LineOperation, rate_plan_required: bool) -> Result<(), Problem> {
        if rate_plan_required && self.rate_plan.as_deref().is_none_or(str::is_empty) {
            return Err(Problem::bad_request("ratePlan is mandatory"));
        }
        let country = self.subscriber_country_of_residence.as_deref();
        if country.is_some_and(|code| code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase())) {
            return Err(Problem::bad_request("subscriberCountryOfResidence must be an ISO alpha-2 code"));
        }
        if self.subscriber_info.as_ref().is_some_and(|info| !info.is_object()) {
            return Err(Problem::bad_request("subscriberInfo must be an object"));
        }
        if operation == LineOperation::ContactInfo && self.subscriber_info.is_none() && self.group.is_none() {
            return Err(Problem::bad_request("subscriberInfo is mandatory"));
        }
        Ok(())
    }
}

impl Twin {
    /// Takes a write on, or says at once why not.
    pub(crate) fn line_write(
        &mut self,
        now: DateTime<Utc>,
        request: &TwinRequest,
        iccid: &str,
        operation: LineOperation,
    ) -> Outcome {
        let body = WriteBody::read(&request.body)?;
        body.check(operation, self.assumptions.rate_plan_required.contains(&operation))?;
        let line = self.lines.get(iccid).ok_or_else(unknown_sim)?;
        self.check_status(operation, line)
            .map_err(|detail| Problem::new(400, "SUBSCRIBER_STATUS_NOT_ELIGIBLE", detail))?;
        if operation == LineOperation::SimSwap {
            self.check_new_sim(body.new_sim_serial.as_deref())?;
        }
        if self.assumptions.one_transaction_per_line && self.has_pending(iccid) {
            return Err(Problem::new(
                400,
                "TRANSACTION_PENDING",
                "Another transaction of the line is pending",
            ));
        }
        Ok(self.accept(now, iccid, operation, body))
    }

    /// Whether the line's present status takes an operation; the error says which status it has.
    pub(crate) fn check_status(&self, operation: LineOperation, line: &Line) -> Result<(), String> {
        let assumed = &self.assumptions;
        if !operation.fits(assumed.offer, line.sim_status, &assumed.terminate_statuses) {
            let status = wire_status(line.sim_status);
            return Err(format!("Subscriber status {status} does not allow {}", operation.path()));
        }
        let by_operator = line.subscriber.suspended_by == Some(SuspendedBy::Operator);
        if operation == LineOperation::Reactivate && by_operator {
            return Err("Subscriber is suspended by the provider, who alone can lift it".to_owned());
        }
        Ok(())
    }

    fn check_new_sim(&self, serial: Option<&str>) -> Result<(), Problem> {
        let serial = serial.filter(|serial| is_sim_serial(serial));
        let serial = serial.ok_or_else(|| Problem::bad_request("newSimSerial must be 13 to 20 digits"))?;
        match self.lines.get(serial).map(|line| line.sim_status) {
            Some(SimStatus::Available) => Ok(()),
            Some(status) => Err(Problem::bad_request(format!(
                "newSimSerial {serial} is {}; it must be Available",
                wire_status(status)
            ))),
            None => {
                Err(Problem::bad_request(format!("newSimSerial {serial} is not one of the account's SIMs")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
