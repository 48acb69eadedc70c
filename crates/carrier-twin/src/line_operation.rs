//! The writes of connectivity management: their names, and which status of a line each of them takes (Transatel
//! "Subscriber management"; §10.2 A10).

use serde::{Deserialize, Serialize};
use simdepot_domain::sim::SimStatus;

/// One write below `…/subscribers/sim-serial/{simSerial}/`.
///
/// The paths of the number swap, of the tariff holiday and of the test mode are inferred: the operations exist, but
/// their URLs are not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineOperation {
    /// Puts a line in service.
    Activate,
    /// Changes options, group or reference.
    Modify,
    /// Stops the traffic.
    Suspend,
    /// Ends a suspension.
    Reactivate,
    /// Ends the line for ever.
    Terminate,
    /// Moves the subscriber to another SIM.
    SimSwap,
    /// Gives the subscriber another number.
    MsisdnSwap,
    /// Stores who uses the line.
    ContactInfo,
    /// Pauses the line from the next bill cycle on.
    TariffHoliday,
    /// Ends the pause.
    LeaveTariffHoliday,
    /// Opens a free test period.
    TestMode,
    /// Ends the test period by a full activation.
    LeaveTestMode,
}

/// What the account has bought, which decides what may be done to its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// Service Provider Connect.
    Spc,
    /// IoT Connect with capped bundles.
    IotConnectCapped,
    /// MVNO France light: has `Loaded`, changes nothing while suspended, swaps no numbers.
    MvnoFranceLight,
    /// MVNO UK: swaps no numbers.
    MvnoUk,
}

/// When the event of a write comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEvent {
    /// With the change, when the transaction ends.
    After,
    /// Within the write, together with the change: a webhook may be faster than the answer. The transaction still
    /// reads `PENDING` until its time.
    BeforeAnswer,
    /// Not at all; the change comes when the transaction ends.
    Never,
}

/// Who suspended a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspendedBy {
    /// The account's owner.
    Customer,
    /// A rule of the account, such as a usage threshold.
    Automatic,
    /// The carrier, who alone can lift it.
    Operator,
}

impl LineOperation {
    /// Every operation.
    pub const ALL: [Self; 12] = [
        Self::Activate,
        Self::Modify,
        Self::Suspend,
        Self::Reactivate,
        Self::Terminate,
        Self::SimSwap,
        Self::MsisdnSwap,
        Self::ContactInfo,
        Self::TariffHoliday,
        Self::LeaveTariffHoliday,
        Self::TestMode,
        Self::LeaveTestMode,
    ];

    /// The last segment of its URL.
    pub fn path(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Modify => "modify",
            Self::Suspend => "suspend",
            Self::Reactivate => "reactivate",
            Self::Terminate => "terminate",
            Self::SimSwap => "sim-swap",
            Self::MsisdnSwap => "msisdn-swap",
            Self::ContactInfo => "contact-info",
            Self::TariffHoliday => "tariff-holiday",
            Self::LeaveTariffHoliday => "leave-tariff-holiday",
            Self::TestMode => "test-mode",
            Self::LeaveTestMode => "leave-test-mode",
        }
    }

    pub(crate) fn of_path(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.path() == text)
    }

    /// Its method.
    pub fn method(self) -> &'static str {
        if self == Self::ContactInfo { "PUT" } else { "POST" }
    }

    /// Whether an offer has it and a line of this status takes it. What ends a line is an assumption of its own.
    pub(crate) fn fits(self, offer: Offer, status: SimStatus, terminable: &[SimStatus]) -> bool {
        use SimStatus::{Active, Available, Loaded, Preactivated, Suspended, TariffHoliday, TestMode};
        let mvno = matches!(offer, Offer::MvnoFranceLight | Offer::MvnoUk);
        let light = offer == Offer::MvnoFranceLight;
        match self {
            Self::Activate => matches!(status, Available | Preactivated) || (light && status == Loaded),
            Self::Modify => matches!(status, Active | TestMode) || (status == Suspended && !light),
            Self::Suspend => matches!(status, Active | TestMode),
            Self::Reactivate => status == Suspended,
            Self::Terminate => terminable.contains(&status),
            Self::MsisdnSwap if mvno => false,
            Self::SimSwap | Self::MsisdnSwap => {
                matches!(status, Active | TestMode | Suspended | TariffHoliday)
            }
            Self::ContactInfo => {
                matches!(status, Preactivated | Active | Suspended | TestMode | TariffHoliday)
            }
            Self::TariffHoliday => !mvno && status == Active,
            Self::LeaveTariffHoliday => !mvno && status == TariffHoliday,
            Self::TestMode => !mvno && status == Available,
            Self::LeaveTestMode => !mvno && status == TestMode,
        }
    }

    /// The status that it brings; `None` when the status stays.
    pub(crate) fn target(self) -> Option<SimStatus> {
        match self {
            Self::Activate | Self::Reactivate | Self::LeaveTariffHoliday | Self::LeaveTestMode => {
                Some(SimStatus::Active)
            }
            Self::Suspend => Some(SimStatus::Suspended),
            Self::Terminate => Some(SimStatus::Terminated),
            Self::TariffHoliday => Some(SimStatus::TariffHoliday),
            Self::TestMode => Some(SimStatus::TestMode),
            Self::Modify | Self::SimSwap | Self::MsisdnSwap | Self::ContactInfo => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_path() {
        for operation in LineOperation::ALL {
            assert_eq!(LineOperation::of_path(operation.path()), Some(operation));
        }
        assert_eq!(LineOperation::of_path("preactivate"), None);
    }

    #[test]
    fn offers_differ() {
        use LineOperation::{Activate, Modify, MsisdnSwap, Terminate, TestMode};
        let fits = |operation: LineOperation, offer, status| operation.fits(offer, status, &[]);
        assert!(fits(Modify, Offer::Spc, SimStatus::Suspended));
        assert!(!fits(Modify, Offer::MvnoFranceLight, SimStatus::Suspended));
        assert!(fits(Modify, Offer::MvnoFranceLight, SimStatus::Active));
        assert!(fits(Activate, Offer::MvnoFranceLight, SimStatus::Loaded));
        assert!(!fits(Activate, Offer::MvnoUk, SimStatus::Loaded));
        assert!(!fits(MsisdnSwap, Offer::MvnoUk, SimStatus::Active));
        assert!(!fits(TestMode, Offer::MvnoUk, SimStatus::Available));
        assert!(fits(TestMode, Offer::IotConnectCapped, SimStatus::Available));
        assert!(!Terminate.fits(Offer::Spc, SimStatus::Active, &[]));
        assert!(Terminate.fits(Offer::Spc, SimStatus::Active, &[SimStatus::Active]));
        for operation in LineOperation::ALL {
            assert!(!fits(operation, Offer::IotConnectCapped, SimStatus::Terminated));
        }
    }
}
