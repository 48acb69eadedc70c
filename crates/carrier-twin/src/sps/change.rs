//! Changing device, SIM or both of an active subscription (S16).

use chrono::{DateTime, Utc};

use super::records::Effect;
use super::sims::SimState;
use super::state::SpsTwin;
use super::subscriptions::SubscriptionStatus;
use super::transactions::Done;
use super::writes::{Change, ChangeType};
use crate::reply::Problem;

impl SpsTwin {
    pub(super) fn check_change(&self, change: &Change) -> Result<(), Problem> {
        if self.line(&change.line)?.status != SubscriptionStatus::Active {
            return Err(self.conflict("INVALID_STATE", "The subscription is not active"));
        }
        if let Some(pei) = change.new_pei.as_deref().filter(|_| change.kind.changes_device()) {
            self.check_device(pei)?;
        }
        if !change.kind.changes_sim() {
            return Ok(());
        }
        let sim = self.sim_for(change.new_iccid.as_deref())?;
        let esim = change.kind == ChangeType::DeviceAndEsim;
        if !esim && !sim.spec.physical {
            return Err(self.conflict("SIM_NOT_PHYSICAL", "SIM is an eSIM profile"));
        }
        self.check_eid(sim, change.new_pei.as_deref(), change.new_eid.as_deref().filter(|_| esim), esim)
    }

    /// Carries out a checked change.
    pub(super) fn change_line(&mut self, at: DateTime<Utc>, change: &Change) -> Result<Done, Problem> {
        let named = self.line(&change.line)?.iccid.clone();
        let device = change.new_pei.clone().filter(|_| change.kind.changes_device());
        let esim = change.kind == ChangeType::DeviceAndEsim;
        let sim = if change.kind.changes_sim() {
            let sim = self.sim_for(change.new_iccid.as_deref())?;
            let eid = change.new_eid.clone().filter(|_| esim).or_else(|| sim.eid.clone());
            Some((sim.spec.iccid.as_str().to_owned(), eid))
        } else {
            None
        };
        if let Some((iccid, eid)) = &sim {
            self.move_sim(&named, SimState::Retired);
            self.move_sim(iccid, SimState::InUse);
            if let Some(sim) = self.sims.get_mut(iccid) {
                sim.eid.clone_from(eid);
            }
        }
        let iccid = sim.as_ref().map_or_else(|| named.clone(), |(iccid, _)| iccid.clone());
        self.subscriptions.change(&named, |subscription| {
            if let Some(pei) = device {
                subscription.pei = Some(pei);
            }
            if let Some((iccid, eid)) = sim {
                subscription.iccid = iccid;
                subscription.eid = eid;
            }
            subscription.changed_at = at;
        });
        Ok(Done { named, iccid, effect: Effect::Change, code: esim })
    }
}

#[cfg(test)]
mod tests;
