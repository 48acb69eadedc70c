//! The telecom line's status, as carriers report it.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::observation::Lifecycle;

/// Status of the line (Transatel Subscriber Management names; `ceased` comes from wholesale 5G).
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
pub enum SimStatus {
    /// Delivered, without a network profile.
    Available,
    /// Loaded in the network, MVNO France light only.
    Loaded,
    /// Attached at the first use: how Service Provider Connect delivers.
    Preactivated,
    /// In service.
    Active,
    /// Traffic stopped, billing goes on.
    Suspended,
    /// In a free test period.
    TestMode,
    /// Paused, without traffic and billing.
    TariffHoliday,
    /// Ended for ever.
    Terminated,
    /// Ended, but may be reactivated (wholesale 5G).
    Ceased,
}

/// What a status of a line means for its owner (Transatel, Subscriber Management and IoT statuses pages).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// Whether the network serves it.
    pub network: &'static str,
    /// Whether it is billed.
    pub billing: &'static str,
}

impl SimStatus {
    /// What it means.
    pub fn meaning(self) -> Meaning {
        let (network, billing) = match self {
            Self::Available | Self::Loaded | Self::TariffHoliday | Self::Ceased => ("off", "off"),
            Self::Preactivated => ("on, limited: the first use activates the line", "off"),
            Self::Active => ("on", "on"),
            Self::Suspended => ("off", "on"),
            Self::TestMode => ("on, up to a quota", "off"),
            Self::Terminated => ("off, for ever", "off"),
        };
        Meaning { network, billing }
    }

    /// Reads a carrier's spelling: case, punctuation and French accents do not matter.
    ///
    /// `None` for a text that no carrier document names; callers keep the text and go on.
    pub fn from_carrier_text(text: &str) -> Option<Self> {
        match fold(text).as_str() {
            "available" | "disponible" => Some(Self::Available),
            "loaded" | "charge" | "chargee" => Some(Self::Loaded),
            "preactivated" | "preactive" | "preactivee" => Some(Self::Preactivated),
            "active" | "activated" | "actif" => Some(Self::Active),
            "suspended" | "suspendu" | "suspendue" | "suspendedbytheprovider" => Some(Self::Suspended),
            "testmode" => Some(Self::TestMode),
            "tariffholiday" | "sleepmode" => Some(Self::TariffHoliday),
            "terminated" | "resilie" | "resiliee" | "scraped" => Some(Self::Terminated),
            "ceased" => Some(Self::Ceased),
            _ => None,
        }
    }
}

/// Lower-cases, drops what is not a letter and takes the accents off French ones.
fn fold(text: &str) -> String {
    text.chars()
        .flat_map(char::to_lowercase)
        .filter_map(|letter| match letter {
            'é' | 'è' | 'ê' | 'ë' => Some('e'),
            'à' | 'â' => Some('a'),
            letter if letter.is_ascii_lowercase() => Some(letter),
            _ => None,
        })
        .collect()
}

impl Lifecycle for SimStatus {
    fn rank(self) -> u8 {
        match self {
            Self::Available => 0,
            Self::Loaded => 1,
            Self::Preactivated => 2,
            Self::TestMode => 3,
            Self::Active => 4,
            Self::TariffHoliday => 5,
            Self::Suspended => 6,
            Self::Ceased => 7,
            Self::Terminated => 8,
        }
    }

    fn allows(self, to: Self) -> bool {
        use SimStatus::*;
        match self {
            Available => matches!(to, Loaded | Preactivated | TestMode | Active),
            Loaded => matches!(to, Active | Terminated),
            Preactivated => matches!(to, Active | TestMode | Terminated),
            TestMode => matches!(to, Active | TariffHoliday | Suspended | Terminated),
            Active => matches!(to, Suspended | TariffHoliday | Terminated | Ceased),
            TariffHoliday => matches!(to, Active | Suspended | Terminated),
            Suspended => matches!(to, Active | TestMode | Terminated | Ceased),
            Ceased => matches!(to, Active | Terminated),
            Terminated => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carrier_spellings() {
        for (text, status) in [
            ("Pre-Activated", SimStatus::Preactivated),
            ("preActivated", SimStatus::Preactivated),
            ("Pré-activée", SimStatus::Preactivated),
            ("ACTIVE", SimStatus::Active),
            ("Suspendue", SimStatus::Suspended),
            ("Résiliée", SimStatus::Terminated),
            ("Tariff_Holiday", SimStatus::TariffHoliday),
            ("TestMode", SimStatus::TestMode),
        ] {
            assert_eq!(SimStatus::from_carrier_text(text), Some(status), "{text}");
        }
        assert_eq!(SimStatus::from_carrier_text("Gone"), None);
        assert_eq!(SimStatus::from_carrier_text(""), None);
    }

    #[test]
    fn terminated_absorbs() {
        for to in SimStatus::VARIANTS {
            assert!(!SimStatus::Terminated.allows(*to));
        }
    }
}
