//! The operator's stock of SIMs.

use serde::{Deserialize, Serialize};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::check_digits::luhn_ok;
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;

use super::state::SpsTwin;
use super::world::WorldError;

/// Each seed modulo this has ICCIDs and GPSIs of its own.
pub(super) const SEEDS: u64 = 80;

/// Where a SIM is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimState {
    /// In the stock.
    Available,
    /// Of a subscription, a ceased one included.
    InUse,
    /// Replaced by another SIM.
    Retired,
}

/// A SIM as it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimSpec {
    /// ICCID of 19 digits with a Luhn digit.
    pub iccid: Iccid,
    /// Whether it is a card; otherwise it is an eSIM profile.
    pub physical: bool,
    /// Activation code of an eSIM profile.
    pub activation_code: Option<ActivationCode>,
}

/// A SIM to add.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSim {
    /// ICCID.
    pub iccid: Iccid,
    /// Whether it is a card.
    #[serde(default)]
    pub physical: bool,
    /// EID that the profile is bound to.
    #[serde(default)]
    pub eid: Option<Eid>,
    /// Activation code; made when it is missing from an eSIM.
    #[serde(default)]
    pub activation_code: Option<ActivationCode>,
}

/// A SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sim {
    /// As delivered.
    pub spec: SimSpec,
    /// EID that the profile is bound to.
    pub eid: Option<String>,
    /// Where it is in its life.
    pub state: SimState,
}

impl SpsTwin {
    /// Adds SIMs as the account's are delivered.
    pub fn add_sims(&mut self, count: u32) -> Vec<SimSpec> {
        self.add_sims_as(count, self.config.physical)
    }

    /// Adds physical SIMs or eSIM profiles.
    pub fn add_sims_as(&mut self, count: u32, physical: bool) -> Vec<SimSpec> {
        let mut added = Vec::new();
        for _ in 0..count {
            while let Some(iccid) = self.next_iccid() {
                // A number that a test has added by hand is passed over.
                if let Ok(spec) = self.add_sim(NewSim { iccid, physical, eid: None, activation_code: None }) {
                    added.push(spec);
                    break;
                }
            }
        }
        added
    }

    /// Adds one SIM as described.
    ///
    /// # Errors
    /// The ICCID is another SIM's.
    pub fn add_sim(&mut self, new: NewSim) -> Result<SimSpec, WorldError> {
        let key = new.iccid.as_str().to_owned();
        if self.sims.contains_key(&key) {
            return Err(WorldError::Taken(key));
        }
        let activation_code =
            if new.physical { None } else { new.activation_code.or_else(|| self.make_code()) };
        let spec = SimSpec { iccid: new.iccid, physical: new.physical, activation_code };
        let eid = new.eid.map(|eid| eid.as_str().to_owned());
        if !spec.physical {
            self.esims_in_stock.insert(key.clone());
        }
        self.sims.insert(key, Sim { spec: spec.clone(), eid, state: SimState::Available });
        Ok(spec)
    }

    /// A SIM by its ICCID.
    pub fn sim(&self, iccid: &str) -> Option<&Sim> {
        self.sims.get(iccid)
    }

    /// All SIMs in the order of their ICCIDs.
    pub fn sims(&self) -> impl Iterator<Item = &Sim> {
        self.sims.values()
    }

    /// The SIM that an activation or a change without ICCID gets: the first free eSIM.
    pub(super) fn free_esim(&self) -> Option<&str> {
        self.esims_in_stock.first().map(String::as_str)
    }

    pub(super) fn move_sim(&mut self, iccid: &str, state: SimState) {
        if let Some(sim) = self.sims.get_mut(iccid) {
            sim.state = state;
            if state != SimState::Available {
                self.esims_in_stock.remove(iccid);
            }
        }
    }

    fn make_code(&mut self) -> Option<ActivationCode> {
        ActivationCode::parse(&format!("1${}${}", self.config.smdp_address, self.ids.hex32())).ok()
    }

    /// `None` when the thousand million of a seed are used up.
    fn next_iccid(&mut self) -> Option<Iccid> {
        let (block, number) = (self.config.seed % SEEDS, self.sims_made);
        if number > 999_999_999 {
            return None;
        }
        self.sims_made += 1;
        // 01 is North America; the issuer is nobody's.
        let body = format!("8901999{block:02}{number:09}");
        let digits = (0..10).map(|check| format!("{body}{check}")).find(|digits| luhn_ok(digits))?;
        Iccid::parse(&digits).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sps::{SpsConfig, SpsTwin};

    #[test]
    fn stock_repeats_with_its_seed_and_differs_by_it() {
        let stock = |seed| SpsTwin::new(SpsConfig { seed, ..SpsConfig::sandbox() }).add_sims(3);
        assert_eq!(stock(1), stock(1));
        assert_ne!(stock(1)[0].iccid, stock(2)[0].iccid);
        for sim in stock(79) {
            assert!(sim.iccid.luhn_ok() && sim.iccid.as_str().len() == 19 && !sim.physical);
            assert_eq!(sim.activation_code.unwrap().smdp_address().as_str(), "smdp.twin.example");
        }
    }

    #[test]
    fn sims_are_added_by_hand_and_cards_have_no_code() {
        let mut twin = SpsTwin::new(SpsConfig { physical: true, ..SpsConfig::sandbox() });
        let first = twin.add_sims(1).remove(0);
        assert!(first.physical && first.activation_code.is_none() && twin.free_esim().is_none());
        let again = NewSim { iccid: first.iccid.clone(), physical: false, eid: None, activation_code: None };
        assert_eq!(twin.add_sim(again), Err(WorldError::Taken(first.iccid.as_str().to_owned())));
        let esim = twin.add_sims_as(1, false).remove(0);
        assert_eq!(twin.free_esim(), Some(esim.iccid.as_str()));
        assert_eq!((twin.sims().count(), twin.sim("1").is_none()), (2, true));
    }
}
