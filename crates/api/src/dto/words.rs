//! The closed vocabularies of the API, mirrored from the domain: adding a word there does not compile until it is
//! added here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $module:ident::$domain:ident { $($variant:ident),+ $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "the words are documented where they are decided, in the domain")]
        pub enum $name { $($variant),+ }

        impl From<simdepot_domain::$module::$domain> for $name {
            fn from(word: simdepot_domain::$module::$domain) -> Self {
                match word { $(simdepot_domain::$module::$domain::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for simdepot_domain::$module::$domain {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant),+ }
            }
        }
    )*};
}

words! {
    /// Where a profile stands in the stock. Moved by simdepot alone.
    StockStatus = stock::StockStatus { Available, Held, Allocated, Quarantined, Retired }

    /// Status of the line at the carrier, as last observed.
    SimStatus = sim::SimStatus {
        Available, Loaded, Preactivated, Active, Suspended, TestMode, TariffHoliday, Terminated, Ceased
    }

    /// Status of the eSIM profile at the SM-DP+ or on the device, as last observed.
    EsimStatus = esim::EsimStatus {
        Available, Allocated, Released, Downloaded, Installed, Enabled, Disabled, Deleted
    }

    /// Where an observation came from: the delivery file, a carrier event, a read of the carrier's records, a search
    /// index of the carrier that lags behind, the answer to a write, or the carrier's daily report of the fleet.
    Source = observation::Source { Import, Event, Read, Search, Answer, Report }

    /// Who stopped a line: its owner, a usage threshold, or the carrier, which alone lifts that.
    SuspendedBy = line::SuspendedBy { Customer, Automatic, Operator }

    /// By which interval usage is counted.
    UsageInterval = carrier::UsageInterval { Hour, Day, Month }

    /// What a carrier has, beside the lines that every carrier has: products and bundles, subscriptions that are activated
    /// with the sale, commands to lines, the status of eSIMs, a list of all lines, data of the SIM card, usage by interval,
    /// the device of a line, device models, changes of a line's device, and the list of blocked devices.
    Capability = carrier::Capability {
        Products, Activation, LineCommands, EsimStatus, Fleet, SimCard, Usage, Device, DeviceCompatibility, DeviceChange,
        DeviceBlocklist
    }

    /// What of a line changes with its device.
    ChangeType = device::ChangeType { DeviceOnly, PsimOnly, DeviceAndPsim, DeviceAndEsim }

    /// How a new eSIM gets to its device.
    EsimDelivery = device::EsimDelivery { Qr }

    /// eSIM or plastic.
    FormFactor = profile::FormFactor { Esim, Psim }

    /// Why a profile is set aside.
    QuarantineReason = profile::QuarantineReason {
        CodeMissing, StatusNotSellable, LineNotSellable, ProfileNotReleased, DeviceBound, UnknownToCarrier,
        RefusedByCarrier, SeenInUse, ReturnedUnproven, InService, Manual
    }

    /// Status of an order: `failed` means that nothing was delivered, `fulfilled` that all was; `needs_attention`
    /// that some profiles failed, or one that replaced a sold one, or that an outcome could not be decided.
    OrderStatus = order::OrderStatus { InProgress, Fulfilled, NeedsAttention, Failed, Cancelled }

    /// What a profile's standing comes down to.
    DiagnosisCode = timeline::Diagnosis {
        NotSold, OnHold, SetAside, Retired, NeedsPerson, OutcomeOpen, OrderInProgress, OrderFailed, LineTerminated,
        LineSuspended, LinePaused, ProfileDeleted, CodeNeverShown, NeverDownloaded, NeverInstalled, NeverSwitchedOn,
        SwitchedOff, LineNotActive, LineInTestMode, NoPlan, PlanWaitsForUse, PlanScheduled, PlanRunning, DataUsedUp,
        PlanExpired, PlanEnded
    }

    /// What became of one profile of an order.
    ProfileOutcome = order::ProfileOutcome {
        Pending, Fulfilled, Failed, Unknown, NeedsAttention, Substituted, Cancelled
    }

    /// Status of a hold: `active` until it becomes an order (`converted`), is given back (`released`), or its deadline
    /// passes (`expired`).
    HoldStatus = hold::HoldStatus { Active, Converted, Released, Expired }

    /// Status of a bundle. `ordering`, `refused` and `unknown` are simdepot's, the others the carrier's.
    BundleStatus = bundle::BundleStatus {
        Ordering, Preloaded, Ready, Scheduled, Active, Exhausted, Expired, Terminated, Refused, Unknown
    }

    /// How a product is put on a line: `preload` waits on a pre-activated line for its first use, `subscribe` goes
    /// to an active one.
    OrderType = bundle::OrderType { Preload, Subscribe }

    /// Unit of a balance. Data is always in bytes.
    BalanceUnit = bundle::BalanceUnit { Bytes, Seconds, Messages, Cents, Other }

    /// Unit of a running time. Days have 24 hours, months are calendar months.
    ValidityUnit = product::ValidityUnit { Hours, Days, Months }

    /// Status of an operation. `unknown`: the carrier's answer was lost and is being found out; `needs_attention`:
    /// a person must decide.
    OperationStatus = operation::OperationStatus {
        Pending, Sent, Accepted, Done, Refused, Unknown, NeedsAttention, Cancelled
    }

    /// What a carrier's refusal is about.
    Concern = carrier::Concern { LineStatus, Profile, Product, Account, Request }

    /// What stands against paying an order back: `outcome_open` for as long as the carrier's answer is not known,
    /// `not_verified` while nothing else does but the carrier could not be asked for all of it, `code_was_shown` not at
    /// all, but the profile cannot be sold again.
    RefundReasonCode = refund::RefundReason {
        OutcomeOpen, ProfileDownloaded, DeviceBound, BundleStarted, LineActive, NotVerified, CodeWasShown
    }

    /// Status of an import. `failed`: nothing was imported; `undone`: was completed and taken back whole.
    ImportStatus = import::ImportStatus { Queued, Running, Completed, Failed, Undone }

    /// What a refused row does to the others: `all` imports nothing, `skip` imports the others.
    OnError = import::OnError { All, Skip }

    /// Kind of a stock file: `delivery` names its columns in a header line, `park` is the fleet report.
    FileFormat = delivery::Format { Delivery, Park }

    /// Status of a reconciliation. `failed`: it could not go on, and what was not read is not known.
    ReconciliationStatus = reconciliation::ReconciliationStatus { Running, Completed, Failed }

    /// How our books and a carrier's differ: a bundle that nobody ordered here; one of ours that the carrier's complete
    /// list leaves out; a SIM that the carrier does not know; a move that the carrier's documents do not know; a profile
    /// in the stock that is in use.
    DriftKind = drift::DriftKind { UnexpectedBundle, MissingBundle, UnknownToCarrier, ImpossibleMove, InUseUnsold }

    /// What a pool's stock was last alerted as: enough, below the low or below the critical threshold.
    AlertLevel = pool::AlertLevel { Ok, Low, Critical }

    /// Status of a webhook endpoint: a disabled one gets nothing until it is enabled again.
    EndpointStatus = webhook::EndpointStatus { Enabled, Disabled }

    /// Status of a delivery: `failed` was given up after its last try.
    DeliveryStatus = webhook::DeliveryStatus { Pending, Delivered, Failed }

    /// Status of a line job: a paused one tells no further line, a completed one has a result for each.
    LineJobStatus = line_job::LineJobStatus { Running, Paused, Completed }

    /// What a key may do.
    Scope = channel::Scope { Storefront, Stock, Lines, Secrets, Devices, Events, Admin }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn words_are_spelled_as_in_the_domain() {
        for status in simdepot_domain::order::OrderStatus::VARIANTS {
            let word = serde_json::to_value(OrderStatus::from(*status)).unwrap();
            assert_eq!(word, serde_json::to_value(status).unwrap());
        }
        for status in simdepot_domain::sim::SimStatus::VARIANTS {
            assert_eq!(simdepot_domain::sim::SimStatus::from(SimStatus::from(*status)), *status);
            let word = serde_json::to_value(SimStatus::from(*status)).unwrap();
            assert_eq!(word, serde_json::to_value(status).unwrap());
        }
        for capability in simdepot_domain::carrier::Capability::VARIANTS {
            let word = serde_json::to_value(Capability::from(*capability)).unwrap();
            assert_eq!(word, serde_json::to_value(capability).unwrap());
        }
        for reason in simdepot_domain::profile::QuarantineReason::VARIANTS {
            let word = serde_json::to_value(QuarantineReason::from(*reason)).unwrap();
            assert_eq!(word, serde_json::to_value(reason).unwrap());
        }
    }
}
