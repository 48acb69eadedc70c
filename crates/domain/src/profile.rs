//! A profile: one unit of stock, identified by its ICCID.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::esim::EsimStatus;
use crate::sim::SimStatus;

/// eSIM or plastic.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
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
pub enum FormFactor {
    /// A profile to download.
    Esim,
    /// A physical SIM.
    Psim,
}

/// Why a profile is set aside.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
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
pub enum QuarantineReason {
    /// Delivered without an activation code: the carrier's record is asked for it.
    CodeMissing,
    /// Delivered in a status that the pool does not sell.
    StatusNotSellable,
    /// The line is not in a sellable status.
    LineNotSellable,
    /// The eSIM is not released at the SM-DP+.
    ProfileNotReleased,
    /// A device's EID is already bound to it.
    DeviceBound,
    /// The carrier does not know it.
    UnknownToCarrier,
    /// The carrier refused to sell on it.
    RefusedByCarrier,
    /// Seen in use without having been sold.
    SeenInUse,
    /// Came back from an order without the proof that it was never used.
    ReturnedUnproven,
    /// Taken into use by a command to its line.
    InService,
    /// Set aside by a person.
    Manual,
}

/// Whether the customer can use it: line active and, for an eSIM, profile enabled on the device.
pub fn usable(form_factor: FormFactor, sim: Option<SimStatus>, esim: Option<EsimStatus>) -> bool {
    let line = sim == Some(SimStatus::Active);
    match form_factor {
        FormFactor::Esim => line && esim == Some(EsimStatus::Enabled),
        FormFactor::Psim => line,
    }
}

/// What speaks for a profile being in somebody's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces<'a> {
    /// The line, as last seen.
    pub sim: Option<SimStatus>,
    /// The eSIM, as last seen.
    pub esim: Option<EsimStatus>,
    /// A device's EID is bound to it.
    pub device_bound: bool,
    /// The carrier has, or had, a bundle on it.
    pub has_bundle: bool,
    /// The line statuses that its pool sells.
    pub sellable: &'a [SimStatus],
}

/// How a profile that nobody has bought is seen to be in use, if it is: then it must not be sold.
pub fn seen_in_use(traces: &Traces<'_>) -> Option<String> {
    if let Some(status) = traces.esim.filter(|status| status.was_downloaded()) {
        return Some(format!("esim_status {status}"));
    }
    if traces.device_bound {
        return Some("device".to_owned());
    }
    if traces.has_bundle {
        return Some("bundle".to_owned());
    }
    let status = traces.sim.filter(|status| !traces.sellable.contains(status))?;
    let used = match status {
        SimStatus::Active
        | SimStatus::Suspended
        | SimStatus::TestMode
        | SimStatus::TariffHoliday
        | SimStatus::Terminated
        | SimStatus::Ceased => true,
        SimStatus::Available | SimStatus::Loaded | SimStatus::Preactivated => false,
    };
    used.then(|| format!("sim_status {status}"))
}

/// `sell_by` of a profile without one: far enough to sort after every real date.
pub fn no_sell_by() -> DateTime<Utc> {
    DateTime::from_timestamp(NO_SELL_BY_SECONDS, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// 9999-01-01T00:00:00Z: representable in both databases and in RFC 3339.
const NO_SELL_BY_SECONDS: i64 = 253_370_764_800;

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Datelike;

    #[test]
    fn usable_needs_both_lives() {
        for sim in SimStatus::VARIANTS {
            for esim in EsimStatus::VARIANTS {
                let both = *sim == SimStatus::Active && *esim == EsimStatus::Enabled;
                assert_eq!(usable(FormFactor::Esim, Some(*sim), Some(*esim)), both);
                assert_eq!(usable(FormFactor::Psim, Some(*sim), Some(*esim)), *sim == SimStatus::Active);
            }
        }
        assert!(!usable(FormFactor::Esim, Some(SimStatus::Active), None));
        assert!(!usable(FormFactor::Psim, None, None));
    }

    #[test]
    fn use_leaves_traces() {
        let fresh = Traces {
            sim: Some(SimStatus::Preactivated),
            esim: Some(EsimStatus::Released),
            device_bound: false,
            has_bundle: false,
            sellable: &[SimStatus::Preactivated],
        };
        assert_eq!(seen_in_use(&fresh), None);
        assert_eq!(seen_in_use(&Traces { sim: None, esim: None, ..fresh }), None);
        for status in EsimStatus::VARIANTS {
            let seen = seen_in_use(&Traces { esim: Some(*status), ..fresh });
            assert_eq!(seen.is_some(), status.was_downloaded(), "{status}");
        }
        let in_use = SimStatus::VARIANTS
            .iter()
            .filter(|status| seen_in_use(&Traces { sim: Some(**status), ..fresh }).is_some());
        assert_eq!(
            in_use.map(ToString::to_string).collect::<Vec<_>>().join(" "),
            "active suspended test_mode tariff_holiday terminated ceased"
        );
        let sells_active = Traces { sim: Some(SimStatus::Active), sellable: &[SimStatus::Active], ..fresh };
        assert_eq!(seen_in_use(&sells_active), None, "a pool may sell active lines");
        assert_eq!(seen_in_use(&Traces { device_bound: true, ..sells_active }).as_deref(), Some("device"));
        assert_eq!(seen_in_use(&Traces { has_bundle: true, ..fresh }).as_deref(), Some("bundle"));
    }

    #[test]
    fn far_future_is_representable() {
        assert_eq!(no_sell_by().year(), 9999);
    }
}
