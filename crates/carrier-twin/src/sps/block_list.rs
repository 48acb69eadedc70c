//! The blocklist of devices.

use serde_json::json;

use super::devices::device_of;
use super::fields::Shape;
use super::records::Effect;
use super::state::SpsTwin;
use super::transactions::Done;
use super::writes::LineKey;
use crate::reply::{Answer, Outcome, Problem};
use crate::request::TwinRequest;

impl SpsTwin {
    pub(super) fn check_block_list(&self, gpsi: &str) -> Result<(), Problem> {
        self.line(&LineKey::Gpsi(gpsi.to_owned())).map(|_| ())
    }

    /// Carries out a checked addition or removal. What is so already stays so.
    pub(super) fn change_block_list(&mut self, gpsi: &str, pei: &str, add: bool) -> Result<Done, Problem> {
        let iccid = self.line(&LineKey::Gpsi(gpsi.to_owned()))?.iccid.clone();
        self.block_device(pei, add);
        let effect = if add { Effect::Block } else { Effect::Unblock };
        Ok(Done { named: iccid.clone(), iccid, effect, code: false })
    }

    /// Puts a device on the blocklist, or takes it off, as the operator can by itself.
    pub fn block_device(&mut self, pei: &str, blocked: bool) {
        if blocked {
            self.block_list.insert(device_of(pei).to_owned());
        } else {
            self.block_list.remove(device_of(pei));
        }
    }

    /// Whether a device is on the blocklist, in whatever form its PEI is written.
    pub fn is_blocked(&self, pei: &str) -> bool {
        self.block_list.contains(device_of(pei))
    }

    /// `GET /blockListIndicator?pei=`; leniently also with an ICCID, as its example has it (S1).
    pub(super) fn block_list_indicator(&self, request: &TwinRequest) -> Outcome {
        let pei = request.query_value("pei").ok_or_else(|| Problem::bad_request("pei is required"))?;
        let pei = if !self.assumptions.strict() && Shape::ICCID.fits(&pei) {
            let found = self.subscription_of_iccid(&pei);
            let device = found.and_then(|found| found.pei.clone());
            device.ok_or_else(|| self.unknown("DEVICE_NOT_FOUND", "The SIM is in no known device"))?
        } else {
            Shape::PEI.take("pei", pei)?
        };
        Ok(Answer::json(200, json!({ "blockListIndicator": self.is_blocked(&pei) })))
    }
}
