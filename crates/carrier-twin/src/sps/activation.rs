//! Activating a subscription (S16).

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::devices::{device_of, tac_of};
use super::records::Effect;
use super::sims::{SEEDS, Sim, SimState};
use super::state::SpsTwin;
use super::subscriptions::{SpsSubscription, SubscriptionStatus};
use super::transactions::Done;
use super::writes::Activation;
use crate::reply::Problem;

/// Mobile network code of the twin's IMSIs; 313 is in the United States.
const NETWORK: &str = "313340";

impl SpsTwin {
    pub(super) fn check_activation(&self, activation: &Activation) -> Result<(), Problem> {
        let sim = self.sim_for(activation.iccid.as_deref())?;
        if let Some(pei) = &activation.pei {
            self.check_device(pei)?;
        }
        let with_device_and_esim = activation.pei.is_some() && (activation.qr || !sim.spec.physical);
        self.check_eid(sim, activation.pei.as_deref(), activation.eid.as_deref(), with_device_and_esim)?;
        self.check_number(activation)?;
        let mut others = self.subscriptions_of(&activation.subscriber_id);
        if self.assumptions.one_subscription_per_subscriber
            && others.any(|other| other.status != SubscriptionStatus::Ceased)
        {
            return Err(self.conflict("SUBSCRIBER_HAS_SUBSCRIPTION", "The subscriber has a subscription"));
        }
        Ok(())
    }

    /// The SIM that is named, or else a free eSIM.
    pub(super) fn sim_for(&self, iccid: Option<&str>) -> Result<&Sim, Problem> {
        let none = || self.conflict("NO_SIM_AVAILABLE", "The stock has no eSIM");
        let Some(iccid) = iccid else {
            return self.free_esim().and_then(|iccid| self.sim(iccid)).ok_or_else(none);
        };
        let sim = self.sim(iccid).ok_or_else(|| self.unknown("SIM_NOT_FOUND", "SIM is unknown"))?;
        if sim.state != SimState::Available {
            return Err(self.conflict("SIM_NOT_AVAILABLE", "SIM is in use or was replaced"));
        }
        Ok(sim)
    }

    /// Whether the network takes a device. One that nobody knows is taken: the customer brings it.
    pub(super) fn check_device(&self, pei: &str) -> Result<(), Problem> {
        if !self.assumptions.devices_checked {
            return Ok(());
        }
        if self.block_list.contains(device_of(pei)) {
            return Err(self.conflict("DEVICE_BLOCKED", "Device is on the blocklist"));
        }
        if self.devices.get(tac_of(pei)).is_some_and(|model| model.networks.is_empty()) {
            return Err(self.conflict("DEVICE_NOT_COMPATIBLE", "Device fits no network"));
        }
        Ok(())
    }

    /// Whether an eSIM can go to where the request says.
    pub(super) fn check_eid(
        &self,
        sim: &Sim,
        pei: Option<&str>,
        eid: Option<&str>,
        esim_for_device: bool,
    ) -> Result<(), Problem> {
        if sim.spec.physical && (eid.is_some() || esim_for_device) {
            return Err(self.conflict("SIM_NOT_ESIM", "SIM is a card"));
        }
        if let (Some(eid), Some(bound)) = (eid, &sim.eid)
            && eid != bound
        {
            return Err(self.conflict("EID_MISMATCH", "The eSIM is bound to another EID"));
        }
        let sold =
            pei.and_then(|pei| self.devices.get(tac_of(pei))).is_some_and(|model| model.sold_by_operator);
        if self.assumptions.byod_needs_eid && esim_for_device && !sold && eid.is_none() {
            return Err(Problem::new(
                400,
                "EID_REQUIRED",
                "EID is required for a device of the customer's own",
            ));
        }
        Ok(())
    }

    fn check_number(&self, activation: &Activation) -> Result<(), Problem> {
        let reserved = match &activation.gpsi_reservation_id {
            Some(id) => self.reservations.get(id),
            None => None,
        };
        if self.assumptions.reservations_checked
            && activation.gpsi_reservation_id.is_some()
            && (reserved.is_none() || activation.gpsi.as_ref().is_some_and(|gpsi| reserved != Some(gpsi)))
        {
            return Err(self.unknown("RESERVATION_NOT_FOUND", "The number is not reserved under this id"));
        }
        match activation.gpsi.as_ref().or(reserved) {
            Some(gpsi) if self.subscription_of_gpsi(gpsi).is_some() => {
                Err(self.conflict("NUMBER_IN_USE", "The number is of another subscription"))
            }
            None if self.free_gpsi().is_none() => Err(self.conflict("NO_NUMBER_LEFT", "No number is left")),
            _ => Ok(()),
        }
    }

    /// The number that is assigned next, and its place in the range.
    fn free_gpsi(&self) -> Option<(String, u64)> {
        let config = &self.config;
        let start = config.first_gpsi + config.seed % SEEDS * 100_000;
        (self.numbers_made..config.gpsi_count).map(|place| ((start + place).to_string(), place)).find(
            |(gpsi, _)| {
                self.subscription_of_gpsi(gpsi).is_none()
                    && !self.reservations.values().any(|held| held == gpsi)
            },
        )
    }

    /// Assigns a number from the range.
    pub(super) fn assign_gpsi(&mut self) -> Option<String> {
        let (gpsi, place) = self.free_gpsi()?;
        self.numbers_made = place + 1;
        Some(gpsi)
    }

    /// Carries out a checked activation.
    pub(super) fn activate(&mut self, at: DateTime<Utc>, activation: &Activation) -> Result<Done, Problem> {
        let sim = self.sim_for(activation.iccid.as_deref())?;
        let (iccid, esim, bound) = (sim.spec.iccid.as_str().to_owned(), !sim.spec.physical, sim.eid.clone());
        let reserved = activation.gpsi_reservation_id.as_ref().and_then(|id| self.reservations.remove(id));
        let gpsi = activation.gpsi.clone().or(reserved).or_else(|| self.assign_gpsi());
        let gpsi = gpsi.ok_or_else(|| self.conflict("NO_NUMBER_LEFT", "No number is left"))?;
        let supi =
            format!("{NETWORK}{:02}{:07}", self.config.seed % SEEDS, self.subscriptions.len() % 10_000_000);
        let eid = activation.eid.clone().or(bound);
        if let Some(sim) = self.sims.get_mut(&iccid) {
            sim.eid.clone_from(&eid);
        }
        self.move_sim(&iccid, SimState::InUse);
        let default_day = self.default_bill_day(at);
        self.subscriptions.add(SpsSubscription {
            subscriber_id: activation.subscriber_id.clone(),
            gpsi,
            supi,
            iccid: iccid.clone(),
            pei: activation.pei.clone(),
            eid,
            wholesale_plan_id: activation.wholesale_plan_id.clone(),
            bucket_ref_ids: activation.bucket_ref_ids.clone(),
            location: activation.location.clone(),
            bill_cycle_start_day: activation.bill_cycle_start_day.unwrap_or(default_day),
            products: activation.products.clone(),
            status: SubscriptionStatus::Active,
            suspended_by_operator: false,
            activated_at: at,
            changed_at: at,
        });
        Ok(Done { named: iccid.clone(), iccid, effect: Effect::Activate, code: esim })
    }

    /// The day of the month when it is 1 to 28, else 1; in which time zone is not published (S18).
    fn default_bill_day(&self, at: DateTime<Utc>) -> u8 {
        let offset = TimeDelta::minutes(i64::from(self.assumptions.bill_day_offset_minutes));
        let day = at.checked_add_signed(offset).unwrap_or(at).day();
        u8::try_from(day).ok().filter(|day| *day <= 28).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests;
