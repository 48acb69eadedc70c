//! Pools: interchangeable profiles of one carrier account, and the rules for selling from them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::carrier::{EsimReading, LineReading};
use crate::channel::{AccountName, PoolName};
use crate::esim::EsimStatus;
use crate::profile::{FormFactor, QuarantineReason, no_sell_by};
use crate::sim::SimStatus;
use crate::stock::StockStatus;

/// A pool's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSettings {
    /// Its name in paths and orders.
    pub pool: PoolName,
    /// The carrier account whose profiles it holds.
    pub carrier_account: AccountName,
    /// Its title for people.
    pub name: String,
    /// With this many profiles for sale, or fewer, the stock is low.
    pub low_threshold: Option<u32>,
    /// With this many profiles for sale, or fewer, the stock is critical.
    pub critical_threshold: Option<u32>,
    /// Orders leave at least this many profiles.
    pub safety_buffer: u32,
    /// Days between an order at the carrier and the delivery.
    pub lead_time_days: Option<u32>,
    /// Days after the import until a profile is no longer sold, when neither file nor import says.
    pub shelf_life_days: Option<u32>,
    /// With this share of a plan's data left, or less, its customer is running low; in percent.
    pub balance_low_percent: Option<u32>,
    /// A plan that ends within so many days ends soon.
    pub expiry_warning_days: Option<u32>,
    /// Line statuses in which a first sale is made.
    pub sellable_statuses: Vec<SimStatus>,
    /// What the carrier needs to activate a subscription at the sale; opaque here, checked by the adapter.
    pub activation: Option<serde_json::Value>,
}

/// Service Provider Connect delivers pre-activated lines.
pub const DEFAULT_SELLABLE: [SimStatus; 1] = [SimStatus::Preactivated];

/// A pool whose subscriptions are activated with the sale delivers SIMs that have none yet.
pub const DEFAULT_ACTIVATED: [SimStatus; 3] =
    [SimStatus::Available, SimStatus::Loaded, SimStatus::Preactivated];

/// How many substitutes one allocation gets before the profile of the order fails.
pub const MAX_SUBSTITUTIONS: u32 = 3;

/// What a pool's stock was last alerted as.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AlertLevel {
    /// Enough.
    Ok,
    /// At the low threshold or below.
    Low,
    /// At the critical threshold or below.
    Critical,
}

/// Where an imported profile starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialStock {
    /// On sale at once.
    Available,
    /// Set aside.
    Quarantined(QuarantineReason),
}

impl InitialStock {
    /// Its stock status.
    pub fn status(self) -> StockStatus {
        match self {
            Self::Available => StockStatus::Available,
            Self::Quarantined(_) => StockStatus::Quarantined,
        }
    }

    /// Why it is set aside.
    pub fn reason(self) -> Option<QuarantineReason> {
        match self {
            Self::Available => None,
            Self::Quarantined(reason) => Some(reason),
        }
    }
}

impl PoolSettings {
    /// Where a delivered profile starts: without a code it waits for one, unless the code comes with the activation; in a
    /// status that is not sold it is set aside. A file that says nothing about the line is believed; the first sale reads
    /// the line anyway.
    pub fn initial_stock(&self, has_code: bool, sim_status: Option<SimStatus>) -> InitialStock {
        if sim_status.is_some_and(|status| !self.sellable_statuses.contains(&status)) {
            InitialStock::Quarantined(QuarantineReason::StatusNotSellable)
        } else if has_code || self.activation.is_some() {
            InitialStock::Available
        } else {
            InitialStock::Quarantined(QuarantineReason::CodeMissing)
        }
    }

    /// Where a line starts that the carrier's own list of the fleet shows: one that works is in somebody's hands, whatever
    /// the pool sells.
    pub fn adopted_stock(&self, sim_status: Option<SimStatus>) -> InitialStock {
        match sim_status {
            Some(
                SimStatus::Active | SimStatus::Suspended | SimStatus::TestMode | SimStatus::TariffHoliday,
            ) => InitialStock::Quarantined(QuarantineReason::InService),
            Some(
                SimStatus::Available
                | SimStatus::Loaded
                | SimStatus::Preactivated
                | SimStatus::Terminated
                | SimStatus::Ceased,
            )
            | None => self.initial_stock(false, sim_status),
        }
    }

    /// The last moment of sale: the file's date, else the import's, else the shelf life, else never.
    pub fn sell_by(
        &self,
        in_file: Option<DateTime<Utc>>,
        of_import: Option<DateTime<Utc>>,
        imported_at: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let shelf_life = || self.shelf_life_days.map(|days| imported_at + TimeDelta::days(i64::from(days)));
        in_file.or(of_import).or_else(shelf_life).unwrap_or_else(no_sell_by)
    }

    /// Whether a profile may be sold for the first time, by what the carrier says of it now.
    ///
    /// A physical SIM has no eSIM reading. A reading without a line status leaves the decision to the carrier's
    /// answer to the order.
    ///
    /// # Errors
    /// The reason to set the profile aside; another takes its place.
    pub fn check_first_sale(
        &self,
        form_factor: FormFactor,
        line: &LineReading,
        esim: Option<&EsimReading>,
    ) -> Result<(), QuarantineReason> {
        if line.sim_status.is_some_and(|status| !self.sellable_statuses.contains(&status)) {
            return Err(QuarantineReason::LineNotSellable);
        }
        match (form_factor, esim) {
            (FormFactor::Esim, None) => Err(QuarantineReason::UnknownToCarrier),
            (FormFactor::Esim, Some(esim)) if esim.eid.is_some() => Err(QuarantineReason::DeviceBound),
            (FormFactor::Esim, Some(esim)) if esim.status != Some(EsimStatus::Released) => {
                Err(QuarantineReason::ProfileNotReleased)
            }
            (FormFactor::Psim, _) | (FormFactor::Esim, Some(_)) => Ok(()),
        }
    }

    /// Whether what the carrier says of a profile that comes back proves that nobody has used it. Unlike the check of
    /// a first sale, which the carrier's answer to the order completes, nothing is taken on trust: an eSIM must be
    /// released and on no device; a physical SIM has only its line to speak for it.
    pub fn proves_unused(
        &self,
        form_factor: FormFactor,
        line: Option<&LineReading>,
        esim: Option<&EsimReading>,
    ) -> bool {
        let status = line.and_then(|line| line.sim_status);
        match form_factor {
            FormFactor::Esim => {
                let on_no_device =
                    esim.is_some_and(|esim| esim.status == Some(EsimStatus::Released) && esim.eid.is_none());
                on_no_device && status.is_none_or(|status| self.sellable_statuses.contains(&status))
            }
            FormFactor::Psim => status.is_some_and(|status| self.sellable_statuses.contains(&status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iccid::Iccid;
    use crate::line::LineDetails;
    use crate::observation::Source;

    fn pool() -> PoolSettings {
        PoolSettings {
            pool: PoolName::parse("world").unwrap(),
            carrier_account: AccountName::parse("spc").unwrap(),
            name: "World".to_owned(),
            low_threshold: None,
            critical_threshold: None,
            safety_buffer: 0,
            lead_time_days: None,
            shelf_life_days: Some(30),
            balance_low_percent: None,
            expiry_warning_days: None,
            sellable_statuses: DEFAULT_SELLABLE.to_vec(),
            activation: None,
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn line(sim_status: Option<SimStatus>) -> LineReading {
        LineReading {
            msisdn: None,
            sim_status,
            observed_at: at(0),
            dated_by_carrier: false,
            source: Source::Read,
            details: LineDetails::default(),
        }
    }

    fn esim(status: Option<EsimStatus>) -> EsimReading {
        EsimReading { status, status_date: None, eid: None, activation_code: None, observed_at: at(0) }
    }

    #[test]
    fn initial_stock_needs_code_and_status() {
        let pool = pool();
        assert_eq!(pool.initial_stock(true, None), InitialStock::Available);
        assert_eq!(pool.initial_stock(true, Some(SimStatus::Preactivated)), InitialStock::Available);
        assert_eq!(pool.initial_stock(false, None).reason(), Some(QuarantineReason::CodeMissing));
        let active = pool.initial_stock(true, Some(SimStatus::Active));
        assert_eq!(active.reason(), Some(QuarantineReason::StatusNotSellable));
        assert_eq!(active.status(), StockStatus::Quarantined);
    }

    #[test]
    fn a_line_that_works_is_never_adopted_for_sale() {
        let pool = PoolSettings { sellable_statuses: SimStatus::VARIANTS.to_vec(), ..pool() };
        for status in SimStatus::VARIANTS {
            let reason = pool.adopted_stock(Some(*status)).reason();
            let works = matches!(
                status,
                SimStatus::Active | SimStatus::Suspended | SimStatus::TestMode | SimStatus::TariffHoliday
            );
            let expected = if works { QuarantineReason::InService } else { QuarantineReason::CodeMissing };
            assert_eq!(reason, Some(expected), "{status}");
        }
        let pool = PoolSettings { sellable_statuses: DEFAULT_SELLABLE.to_vec(), ..pool };
        let reason = |status| pool.adopted_stock(status).reason();
        assert_eq!(reason(Some(SimStatus::Terminated)), Some(QuarantineReason::StatusNotSellable));
        assert_eq!(reason(None), Some(QuarantineReason::CodeMissing), "the carrier is asked");
    }

    #[test]
    fn sell_by_takes_the_nearest_source() {
        let mut pool = pool();
        assert_eq!(pool.sell_by(Some(at(1)), Some(at(2)), at(0)), at(1));
        assert_eq!(pool.sell_by(None, Some(at(2)), at(0)), at(2));
        assert_eq!(pool.sell_by(None, None, at(0)), at(30 * 86_400));
        pool.shelf_life_days = None;
        assert_eq!(pool.sell_by(None, None, at(0)), no_sell_by());
    }

    #[test]
    fn first_sale_needs_a_fresh_profile() {
        let pool = pool();
        let fresh = line(Some(SimStatus::Preactivated));
        let released = esim(Some(EsimStatus::Released));
        let check = |line: &LineReading, esim: Option<&EsimReading>| {
            pool.check_first_sale(FormFactor::Esim, line, esim)
        };
        assert_eq!(check(&fresh, Some(&released)), Ok(()));
        assert_eq!(check(&line(None), Some(&released)), Ok(()));
        assert_eq!(
            check(&line(Some(SimStatus::Active)), Some(&released)),
            Err(QuarantineReason::LineNotSellable)
        );
        assert_eq!(check(&fresh, None), Err(QuarantineReason::UnknownToCarrier));
        assert_eq!(
            check(&fresh, Some(&esim(Some(EsimStatus::Enabled)))),
            Err(QuarantineReason::ProfileNotReleased)
        );
        assert_eq!(check(&fresh, Some(&esim(None))), Err(QuarantineReason::ProfileNotReleased));
        let bound =
            EsimReading { eid: Some("89034011560010000000000000000121".parse().unwrap()), ..released };
        assert_eq!(check(&fresh, Some(&bound)), Err(QuarantineReason::DeviceBound));
        assert_eq!(pool.check_first_sale(FormFactor::Psim, &fresh, None), Ok(()));
        assert!(Iccid::parse("8988247000000000012").is_ok());
    }

    #[test]
    fn what_comes_back_is_proven_unused_or_not() {
        let pool = pool();
        let fresh = line(Some(SimStatus::Preactivated));
        let active = line(Some(SimStatus::Active));
        let released = esim(Some(EsimStatus::Released));
        let proves = |line: Option<&LineReading>, esim: Option<EsimReading>| {
            pool.proves_unused(FormFactor::Esim, line, esim.as_ref())
        };
        assert!(proves(None, Some(released.clone())) && proves(Some(&fresh), Some(released.clone())));
        assert!(!proves(Some(&active), Some(released.clone())));
        assert!(!proves(Some(&fresh), None), "no record is no proof");
        for status in EsimStatus::VARIANTS {
            let proven = proves(Some(&fresh), Some(esim(Some(*status))));
            assert_eq!(proven, *status == EsimStatus::Released, "{status}");
        }
        assert!(!proves(Some(&fresh), Some(esim(None))));
        let eid = Some("89034011560010000000000000000121".parse().unwrap());
        assert!(!proves(Some(&fresh), Some(EsimReading { eid, ..released })));
        let plastic = |line: Option<LineReading>| pool.proves_unused(FormFactor::Psim, line.as_ref(), None);
        assert!(plastic(Some(fresh.clone())));
        assert!(!plastic(None) && !plastic(Some(line(None))) && !plastic(Some(active.clone())));
    }
}
