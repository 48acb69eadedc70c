//! Swaps: a subscriber gets another SIM, or another number. Plans follow the subscriber.

use chrono::{DateTime, Utc};
use serde_json::json;
use simdepot_domain::sim::SimStatus;

use crate::line_changes::Order;
use crate::state::Twin;
use crate::transactions::Failure;

impl Twin {
    /// Moves the subscriber of a SIM to an available one; the old SIM is terminated and keeps no number.
    pub(crate) fn swap_sim(&mut self, at: DateTime<Utc>, order: &Order) -> Result<(), Failure> {
        let new = order.body.new_sim_serial.clone().unwrap_or_default();
        let taken = |status: Option<SimStatus>| status != Some(SimStatus::Available);
        if taken(self.lines.get(&new).map(|line| line.sim_status)) {
            return Err(Failure::new("BAD_REQUEST", &format!("newSimSerial {new} is no longer Available")));
        }
        let Some(old) = self.lines.get_mut(&order.iccid) else { return Ok(()) };
        let (status, activated_at, subscriber) = (old.sim_status, old.activated_at, old.subscriber.clone());
        let msisdn = old.msisdn.take();
        old.set_status(SimStatus::Terminated, at);
        old.modified_at = at;
        old.keep_view(at);
        let Some(line) = self.lines.get_mut(&new) else { return Ok(()) };
        if let Some(msisdn) = msisdn {
            // A number that the new SIM was delivered with is free again.
            if let Some(own) = line.msisdn.replace(msisdn.clone()) {
                self.msisdns.remove(own.as_str());
            }
            self.msisdns.insert(msisdn.as_str().to_owned(), new.clone());
        }
        line.sim_status = status;
        line.activated_at = activated_at;
        line.subscriber = subscriber;
        line.modified_at = at;
        line.keep_view(at);
        self.move_plans(&order.iccid, &new);
        self.tell(at, order, &new, Some(("oldSimSerial", json!(order.iccid))));
        Ok(())
    }

    /// Gives the subscriber the first free number.
    pub(crate) fn swap_msisdn(&mut self, at: DateTime<Utc>, order: &Order) -> Result<(), Failure> {
        let former = self.lines.get(&order.iccid).and_then(|line| line.msisdn.clone());
        let number = self.attribute_number(&order.iccid)?;
        let places = self.subscriptions_by_iccid.get(&order.iccid).map_or(&[][..], Vec::as_slice);
        for &place in places {
            if let Some(plan) = self.subscriptions.get_mut(place) {
                plan.msisdn = number.as_str().to_owned();
            }
        }
        if let Some(line) = self.lines.get_mut(&order.iccid) {
            line.modified_at = at;
            line.keep_view(at);
        }
        self.tell(at, order, &order.iccid, Some(("oldMsisdn", json!(former))));
        Ok(())
    }

    fn move_plans(&mut self, old: &str, new: &str) {
        let places = self.subscriptions_by_iccid.remove(old).unwrap_or_default();
        for &place in &places {
            if let Some(plan) = self.subscriptions.get_mut(place) {
                plan.iccid = new.to_owned();
            }
        }
        self.subscriptions_by_iccid.entry(new.to_owned()).or_default().extend(places);
    }
}

#[cfg(test)]
mod tests;
