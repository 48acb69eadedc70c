//! Before an activation: the SIM must have no subscription yet.

use simdepot_domain::carrier::{ActivationOrder, ActivationTerms, Concern, LineReading, ReadError, Refusal};
use simdepot_domain::sim::SimStatus;

use super::{Decision, Preparing, later};
use crate::line_operations::shown::line_key;
use crate::line_operations::{Order, standing};
use crate::observations::Sightings;

impl Preparing<'_> {
    /// A line that the carrier does not know, or that the account may not ask for, is as it was delivered.
    pub(super) async fn activation(&self, terms: &ActivationTerms) -> (Sightings, Decision) {
        let line = match self.carrier().line(&line_key(self.operation, self.profile)).await {
            Ok(line) => line,
            Err(ReadError::Denied { .. }) => None,
            Err(ReadError::Unavailable(why)) => return (Sightings::default(), Decision::Defer(why)),
            Err(ReadError::Unreadable { what }) => return (Sightings::default(), later(what)),
        };
        let decision = self.activate(terms, line.as_ref());
        (Sightings { line, ..Sightings::default() }, decision)
    }

    fn activate(&self, terms: &ActivationTerms, line: Option<&LineReading>) -> Decision {
        let now = standing(self.profile, line);
        if let Some(status) = now.sim_status.filter(|status| is_in_service(*status)) {
            return Decision::Refuse(Refusal {
                code: "in_service".to_owned(),
                detail: Some(format!(
                    "the SIM has a line that is {status}; one without takes a subscription"
                )),
                concerns: Concern::Profile,
            });
        }
        let order = ActivationOrder {
            reference: self.operation.id.to_string(),
            iccid: self.profile.iccid.clone(),
            terms: terms.clone(),
        };
        Decision::Send(Box::new((Order::Activation(Box::new(order)), self.known(now))))
    }
}

fn is_in_service(status: SimStatus) -> bool {
    match status {
        SimStatus::Active
        | SimStatus::Suspended
        | SimStatus::TestMode
        | SimStatus::TariffHoliday
        | SimStatus::Terminated
        | SimStatus::Ceased => true,
        SimStatus::Available | SimStatus::Loaded | SimStatus::Preactivated => false,
    }
}
