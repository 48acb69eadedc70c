//! Before a change of a line's device, and before a device is put on the block list or taken off it.

use simdepot_domain::carrier::{Concern, DeviceBlockOrder, DeviceChangeOrder, LineKey, Refusal};
use simdepot_domain::device::DeviceChange;
use simdepot_domain::imei::Imei;
use simdepot_domain::sim::SimStatus;

use super::{Decision, Preparing, not_in_status};
use crate::line_operations::{Order, standing};
use crate::observations::Sightings;

impl Preparing<'_> {
    /// Only a line in service moves.
    pub(super) async fn device_change(&self, change: &DeviceChange) -> (Sightings, Decision) {
        let (seen, line) = match self.read_line().await {
            Ok(read) => read,
            Err(decision) => return (Sightings::default(), decision),
        };
        let now = standing(self.profile, line.as_ref());
        if let Some(status) = now.sim_status
            && status != SimStatus::Active
        {
            return (
                seen,
                not_in_status(format!("the line is {status}; one that is active changes its device")),
            );
        }
        let line = LineKey { msisdn: now.msisdn.clone(), ..self.profile.line_key() };
        let reference = self.operation.id.to_string();
        let order = DeviceChangeOrder { reference, line, change: change.clone() };
        let known = self.known_of_device(now).await;
        (seen, Decision::Send(Box::new((Order::DeviceChange(Box::new(order)), known))))
    }

    /// The carrier wants to know whose device it is.
    pub(super) async fn device_block(&self, imei: &Imei, block: bool) -> (Sightings, Decision) {
        let mut seen = Sightings::default();
        let mut now = standing(self.profile, None);
        if now.msisdn.is_none() {
            match self.read_line().await {
                Ok((read, line)) => (seen, now) = (read, standing(self.profile, line.as_ref())),
                Err(decision) => return (seen, decision),
            }
        }
        let Some(msisdn) = now.msisdn.clone() else {
            let refusal = Refusal {
                code: "number_missing".to_owned(),
                detail: Some("the line has no number yet, and the carrier asks for it".to_owned()),
                concerns: Concern::Profile,
            };
            return (seen, Decision::Refuse(refusal));
        };
        let line = LineKey { msisdn: Some(msisdn), ..self.profile.line_key() };
        let reference = self.operation.id.to_string();
        let order = DeviceBlockOrder { reference, line, imei: imei.clone(), block };
        let known = self.known_of_device(now).await;
        (seen, Decision::Send(Box::new((Order::DeviceBlock(Box::new(order)), known))))
    }
}
