//! The eSIM profile's status on its way from the SM-DP+ to a device.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::observation::Lifecycle;

/// Status of the profile (Transatel SIM management names; the SGP.22 states in retailers' words).
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
pub enum EsimStatus {
    /// In the SM-DP+, not reserved.
    Available,
    /// Reserved for a device or an order.
    Allocated,
    /// May be downloaded: what can be sold.
    Released,
    /// Downloaded by a device.
    Downloaded,
    /// Installed on a device.
    Installed,
    /// Switched on.
    Enabled,
    /// Switched off by the user.
    Disabled,
    /// Removed from the device; a removed profile cannot be downloaded again.
    Deleted,
}

impl EsimStatus {
    /// Reads a carrier's spelling: case and punctuation do not matter.
    pub fn from_carrier_text(text: &str) -> Option<Self> {
        let folded: String = text.chars().filter(char::is_ascii_alphabetic).collect();
        folded.to_ascii_lowercase().parse().ok()
    }

    /// Whether a device has, or had, the profile.
    pub fn was_downloaded(self) -> bool {
        self.rank() >= Self::Downloaded.rank()
    }
}

impl Lifecycle for EsimStatus {
    fn rank(self) -> u8 {
        match self {
            Self::Available => 0,
            Self::Allocated => 1,
            Self::Released => 2,
            Self::Downloaded => 3,
            Self::Installed => 4,
            // A user toggles between these two for months: neither is later than the other.
            Self::Enabled | Self::Disabled => 5,
            Self::Deleted => 6,
        }
    }

    /// A notification on the way may be lost, so a jump forward is allowed; a step back is not.
    fn allows(self, to: Self) -> bool {
        match (self, to) {
            (Self::Enabled, Self::Disabled) | (Self::Disabled, Self::Enabled) => true,
            (from, to) => to.rank() > from.rank(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_and_order() {
        assert_eq!(EsimStatus::from_carrier_text("RELEASED"), Some(EsimStatus::Released));
        assert_eq!(EsimStatus::from_carrier_text("?"), None);
        assert!(EsimStatus::Released.allows(EsimStatus::Enabled));
        assert!(!EsimStatus::Enabled.allows(EsimStatus::Released));
        assert!(EsimStatus::Disabled.allows(EsimStatus::Enabled));
        assert!(EsimStatus::Deleted.was_downloaded() && !EsimStatus::Released.was_downloaded());
    }
}
