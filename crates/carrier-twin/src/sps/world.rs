//! The world around the account: what the operator and the customers do without being asked over the API.

use chrono::{DateTime, Utc};

use super::devices::{DeviceModel, tac_of};
use super::fields::Shape;
use super::state::SpsTwin;
use super::subscriptions::{SpsSubscription, SubscriptionStatus};

/// Why something cannot happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No SIM has the ICCID.
    #[error("no SIM has ICCID {0}")]
    UnknownSim(String),
    /// The SIM has no subscription.
    #[error("the SIM {0} has no subscription")]
    NoSubscription(String),
    /// The subscription's status does not allow it.
    #[error("the subscription is {0:?}")]
    Status(SubscriptionStatus),
    /// The ICCID, the number or the reservation is another's.
    #[error("{0} is taken; choose another or reset the twin")]
    Taken(String),
    /// A text that is not what it should be.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The range of numbers is used up.
    #[error("no number is left")]
    NoNumberLeft,
}

impl SpsTwin {
    /// The operator suspends an active subscription.
    ///
    /// # Errors
    /// The SIM has no subscription, or one that is not active.
    pub fn operator_suspend(&mut self, iccid: &str, now: DateTime<Utc>) -> Result<(), WorldError> {
        self.operator_sets(iccid, now, &[SubscriptionStatus::Active], |found| {
            found.status = SubscriptionStatus::Suspended;
            found.suspended_by_operator = true;
        })
    }

    /// The operator ends a suspension, whoever asked for it.
    ///
    /// # Errors
    /// The SIM has no subscription, or one that is not suspended.
    pub fn operator_resume(&mut self, iccid: &str, now: DateTime<Utc>) -> Result<(), WorldError> {
        self.operator_sets(iccid, now, &[SubscriptionStatus::Suspended], |found| {
            found.status = SubscriptionStatus::Active;
            found.suspended_by_operator = false;
        })
    }

    /// The operator ends a subscription.
    ///
    /// # Errors
    /// The SIM has no subscription, or one that has ended.
    pub fn operator_cease(&mut self, iccid: &str, now: DateTime<Utc>) -> Result<(), WorldError> {
        let from = [SubscriptionStatus::Active, SubscriptionStatus::Suspended];
        self.operator_sets(iccid, now, &from, |found| {
            found.status = SubscriptionStatus::Ceased;
            found.suspended_by_operator = false;
        })
    }

    /// The customer puts the SIM into another device; `None` leaves the network without a device to see.
    ///
    /// # Errors
    /// The SIM has no subscription, or the PEI is malformed.
    pub fn set_device(
        &mut self,
        iccid: &str,
        pei: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), WorldError> {
        if pei.is_some_and(|pei| !Shape::PEI.fits(pei)) {
            return Err(WorldError::Malformed("pei"));
        }
        let now = self.settle(now);
        self.with_subscription(iccid)?;
        self.subscriptions.change(iccid, |found| {
            found.pei = pei.map(str::to_owned);
            found.changed_at = now;
        });
        self.tell_of_operator(now, iccid);
        Ok(())
    }

    /// Reserves a number for an activation, the next of the range unless one is given.
    ///
    /// # Errors
    /// The id, or the number, is taken; one of them is malformed; no number is left.
    pub fn reserve(&mut self, id: &str, gpsi: Option<&str>) -> Result<String, WorldError> {
        if !Shape::RESERVATION_ID.fits(id) {
            return Err(WorldError::Malformed("id"));
        }
        if gpsi.is_some_and(|gpsi| !Shape::GPSI.fits(gpsi)) {
            return Err(WorldError::Malformed("gpsi"));
        }
        if self.reservations.contains_key(id) {
            return Err(WorldError::Taken(id.to_owned()));
        }
        let gpsi = match gpsi {
            Some(gpsi) => gpsi.to_owned(),
            None => self.assign_gpsi().ok_or(WorldError::NoNumberLeft)?,
        };
        if self.subscription_of_gpsi(&gpsi).is_some() || self.reservations.values().any(|held| *held == gpsi)
        {
            return Err(WorldError::Taken(gpsi));
        }
        self.reservations.insert(id.to_owned(), gpsi.clone());
        Ok(gpsi)
    }

    /// What is known of a device model from now on.
    ///
    /// # Errors
    /// The type allocation code is malformed.
    pub fn set_device_model(&mut self, tac: &str, model: DeviceModel) -> Result<(), WorldError> {
        if !Shape::TAC.fits(tac) {
            return Err(WorldError::Malformed("tac"));
        }
        self.devices.insert(tac_of(tac).to_owned(), model);
        Ok(())
    }

    fn operator_sets(
        &mut self,
        iccid: &str,
        now: DateTime<Utc>,
        from: &[SubscriptionStatus],
        set: impl FnOnce(&mut SpsSubscription),
    ) -> Result<(), WorldError> {
        let now = self.settle(now);
        let status = self.with_subscription(iccid)?.status;
        if !from.contains(&status) {
            return Err(WorldError::Status(status));
        }
        self.subscriptions.change(iccid, |found| {
            set(found);
            found.changed_at = now;
        });
        self.tell_of_operator(now, iccid);
        Ok(())
    }

    fn with_subscription(&self, iccid: &str) -> Result<&SpsSubscription, WorldError> {
        if self.sim(iccid).is_none() {
            return Err(WorldError::UnknownSim(iccid.to_owned()));
        }
        self.subscription_of_iccid(iccid).ok_or_else(|| WorldError::NoSubscription(iccid.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sps::testing::{Bench, PHONE, at};

    #[test]
    fn the_operator_suspends_resumes_and_ceases() {
        let mut bench = Bench::new();
        bench.twin.assumptions_mut().operator_event = "SubscriptionChanged".to_owned();
        let line = bench.active();
        let told = bench.twin.events().len();
        bench.twin.operator_suspend(&line.iccid, at(1)).unwrap();
        assert!(bench.subscription(&line).suspended_by_operator);
        let suspended = WorldError::Status(SubscriptionStatus::Suspended);
        assert_eq!(bench.twin.operator_suspend(&line.iccid, at(1)), Err(suspended));
        let resume = json!({"gpsi": line.gpsi, "action": "Resume"});
        bench.refused("/status", &resume, 409, "SUSPENDED_BY_OPERATOR");
        bench.twin.operator_resume(&line.iccid, at(1)).unwrap();
        bench.twin.operator_cease(&line.iccid, at(1)).unwrap();
        assert_eq!(bench.subscription(&line).status, SubscriptionStatus::Ceased);
        let events = bench.twin.events().get(told..).unwrap();
        let words: Vec<_> = events.iter().map(|event| event.body["subscription"]["status"].clone()).collect();
        assert_eq!(words, ["Suspended", "Active", "Ceased"]);
        assert!(events.iter().all(|event| event.transaction_id.is_none()));
    }

    #[test]
    fn a_resume_may_end_the_operators_suspension_when_the_switch_says_so() {
        let mut bench = Bench::new();
        bench.twin.assumptions_mut().operator_suspension_holds = false;
        let line = bench.active();
        bench.twin.operator_suspend(&line.iccid, at(1)).unwrap();
        bench.done("/status", &json!({"gpsi": line.gpsi, "action": "Resume"}));
        let after = bench.subscription(&line);
        assert_eq!((after.status, after.suspended_by_operator), (SubscriptionStatus::Active, false));
    }

    #[test]
    fn a_sim_moves_to_another_device_and_unknown_ones_do_not() {
        let mut bench = Bench::new();
        let line = bench.active();
        bench.twin.set_device(&line.iccid, Some(PHONE), at(1)).unwrap();
        let details = bench.get_ok(&format!("/deviceDetails?pei={PHONE}"));
        assert_eq!(details["iccid"], line.iccid);
        bench.twin.set_device(&line.iccid, None, at(1)).unwrap();
        assert_eq!(bench.get(&format!("/deviceDetails?pei={PHONE}")).status(), Some(404));
        assert_eq!(bench.twin.set_device(&line.iccid, Some("1"), at(1)), Err(WorldError::Malformed("pei")));
        assert_eq!(bench.twin.operator_cease("1", at(1)), Err(WorldError::UnknownSim("1".to_owned())));
        let spare = bench.esim();
        assert_eq!(bench.twin.operator_cease(&spare, at(1)), Err(WorldError::NoSubscription(spare)));
    }

    #[test]
    fn a_number_is_reserved_once() {
        let mut bench = Bench::new();
        let gpsi = bench.twin.reserve("R1", None).unwrap();
        assert_eq!(bench.twin.reserve("R1", None), Err(WorldError::Taken("R1".to_owned())));
        assert_eq!(bench.twin.reserve("R2", Some(&gpsi)), Err(WorldError::Taken(gpsi.clone())));
        assert_eq!(bench.twin.reserve("R2", Some("1")), Err(WorldError::Malformed("gpsi")));
        assert_ne!(bench.twin.reserve("R2", None).unwrap(), gpsi);
        bench.twin.config.gpsi_count = 2;
        assert_eq!(bench.twin.reserve("R3", None), Err(WorldError::NoNumberLeft));
    }
}
