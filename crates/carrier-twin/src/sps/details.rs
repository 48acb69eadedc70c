//! What is read of devices: compatibility, and the details of a subscription's device (S1, S17).

use serde_json::{Map, Value, json};

use super::assumptions::GpsiForm;
use super::devices::tac_of;
use super::fields::{Shape, whole_gpsi};
use super::state::SpsTwin;
use super::subscriptions::{SpsSubscription, SubscriptionStatus};
use crate::reply::{Answer, Outcome, Problem};
use crate::request::TwinRequest;

impl SpsTwin {
    /// `GET /compatibility?pei=` or `?tac=`.
    pub(super) fn compatibility(&self, request: &TwinRequest) -> Outcome {
        let code = match (request.query_value("pei"), request.query_value("tac")) {
            (Some(_), Some(_)) if self.assumptions.strict() => {
                return Err(Problem::bad_request("Give pei or tac, not both"));
            }
            (Some(pei), _) => Shape::PEI.take("pei", pei)?,
            (None, Some(tac)) => Shape::TAC.take("tac", tac)?,
            (None, None) => return Err(Problem::bad_request("pei or tac is required")),
        };
        let unknown = || self.unknown("DEVICE_NOT_FOUND", "Device model is unknown");
        let model = self.devices.get(tac_of(&code)).ok_or_else(unknown)?;
        Ok(Answer::json(200, model.view(self.is_blocked(&code))))
    }

    /// `GET /deviceDetails?gpsi=` or `?pei=`; leniently also with an ICCID, as its example has it.
    pub(super) fn device_details(&self, request: &TwinRequest) -> Outcome {
        let unknown = || self.unknown("SUBSCRIPTION_NOT_FOUND", "Subscription is unknown");
        let found = self.asked_for(request)?.ok_or_else(unknown)?;
        let mut fields = self.identifiers(found);
        let status = self.status_word(found.status);
        let blocked = found.pei.as_deref().is_some_and(|pei| self.is_blocked(pei));
        fields.insert("deviceStatus".to_owned(), json!(status));
        fields.insert("isBlocked".to_owned(), json!(blocked));
        Ok(Answer::json(200, Value::Object(fields)))
    }

    fn asked_for(&self, request: &TwinRequest) -> Result<Option<&SpsSubscription>, Problem> {
        let strict = self.assumptions.strict();
        let (gpsi, pei) = (request.query_value("gpsi"), request.query_value("pei"));
        if let Some(iccid) = request.query_value("iccid").filter(|_| !strict) {
            let iccid = Shape::ICCID.take("iccid", iccid)?;
            return Ok(self.subscription_of_iccid(&iccid));
        }
        match (gpsi, pei) {
            (Some(_), Some(_)) if strict => Err(Problem::bad_request("Give gpsi or pei, not both")),
            (Some(gpsi), _) => {
                let gpsi = Shape::GPSI.take("gpsi", if strict { gpsi } else { whole_gpsi(gpsi) })?;
                Ok(self.subscription_of_gpsi(&gpsi))
            }
            (None, Some(pei)) if !strict && Shape::ICCID.fits(&pei) => Ok(self.subscription_of_iccid(&pei)),
            (None, Some(pei)) => Ok(self.subscription_of_pei(&Shape::PEI.take("pei", pei)?)),
            (None, None) => Err(Problem::bad_request("gpsi or pei is required")),
        }
    }

    /// The word for a subscription's status.
    pub(super) fn status_word(&self, status: SubscriptionStatus) -> &str {
        match status {
            SubscriptionStatus::Active => &self.assumptions.active_word,
            SubscriptionStatus::Suspended => &self.assumptions.suspended_word,
            SubscriptionStatus::Ceased => &self.assumptions.ceased_word,
        }
    }

    /// A subscription's identifiers as answers and notifications write them; what it has not is left out.
    pub(super) fn identifiers(&self, subscription: &SpsSubscription) -> Map<String, Value> {
        let prefixed = |prefix: &str, digits: &str| {
            if self.assumptions.prefixed_identifiers {
                format!("{prefix}-{digits}")
            } else {
                digits.to_owned()
            }
        };
        let mut fields = Map::new();
        let mut add = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        add("subscriberId", json!(subscription.subscriber_id));
        add("gpsi", self.gpsi_value(&subscription.gpsi));
        add("supi", json!(prefixed("imsi", &subscription.supi)));
        add("iccid", json!(subscription.iccid));
        if let Some(pei) = &subscription.pei {
            add("pei", json!(prefixed(if pei.len() == 16 { "imeisv" } else { "imei" }, pei)));
        }
        if let Some(eid) = &subscription.eid {
            add("eid", json!(eid));
        }
        fields
    }

    fn gpsi_value(&self, gpsi: &str) -> Value {
        if self.assumptions.prefixed_identifiers {
            return json!(format!("msisdn-{gpsi}"));
        }
        match self.assumptions.gpsi_form {
            GpsiForm::E164 => json!(gpsi),
            GpsiForm::TenDigits => {
                json!(gpsi.strip_prefix('1').filter(|rest| rest.len() == 10).unwrap_or(gpsi))
            }
            GpsiForm::Number => gpsi.parse::<u64>().map_or_else(|_| json!(gpsi), |number| json!(number)),
        }
    }
}

#[cfg(test)]
mod tests;
