//! What a profile's standing comes down to.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::bundle::BundleStatus;
use crate::esim::EsimStatus;
use crate::operation::OperationStatus;
use crate::order::OrderStatus;
use crate::profile::FormFactor;
use crate::sim::SimStatus;
use crate::stock::StockStatus;

/// What is known of a profile: its four axes, and what is going on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// eSIM or plastic.
    pub form_factor: FormFactor,
    /// Where it stands in the stock.
    pub stock: StockStatus,
    /// Whether its code ever left simdepot.
    pub revealed: bool,
    /// The line, as last observed.
    pub sim: Option<SimStatus>,
    /// The eSIM, as last observed.
    pub esim: Option<EsimStatus>,
    /// The order that it belongs to.
    pub order: Option<OrderStatus>,
    /// Its bundles.
    pub bundles: Vec<BundleStatus>,
    /// It was activated with a plan of its own.
    pub subscribed: bool,
    /// Its open operation.
    pub operation: Option<OperationStatus>,
}

/// The one thing to know of a profile.
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
pub enum Diagnosis {
    /// In the stock.
    NotSold,
    /// Reserved by a hold.
    OnHold,
    /// Set aside.
    SetAside,
    /// Out of the stock for good.
    Retired,
    /// A person must decide.
    NeedsPerson,
    /// The carrier's answer was lost.
    OutcomeOpen,
    /// The carrier is at work.
    OrderInProgress,
    /// The order failed.
    OrderFailed,
    /// The line has ended.
    LineTerminated,
    /// The line is suspended.
    LineSuspended,
    /// The line is paused.
    LinePaused,
    /// Removed from the device.
    ProfileDeleted,
    /// Sold, the code never left.
    CodeNeverShown,
    /// The code was shown, nobody downloaded.
    NeverDownloaded,
    /// Downloaded, not installed.
    NeverInstalled,
    /// Installed, never switched on.
    NeverSwitchedOn,
    /// Switched off by the user.
    SwitchedOff,
    /// On the device, the line not in service.
    LineNotActive,
    /// In a test period.
    LineInTestMode,
    /// Usable, without a plan.
    NoPlan,
    /// Usable, the plan waits.
    PlanWaitsForUse,
    /// Usable, the plan begins later.
    PlanScheduled,
    /// Running.
    PlanRunning,
    /// Nothing left.
    DataUsedUp,
    /// Its time is over.
    PlanExpired,
    /// Ended before its time.
    PlanEnded,
}

impl Diagnosis {
    /// What it means, and whose turn it is.
    pub fn text(self) -> &'static str {
        match self {
            Self::NotSold => "In the stock: not sold yet.",
            Self::OnHold => "Reserved by a hold: not sold yet.",
            Self::SetAside => "Set aside from the stock: a stock keeper releases or retires it.",
            Self::Retired => "Out of the stock for good.",
            Self::NeedsPerson => "What became of the carrier's order cannot be decided without a person.",
            Self::OutcomeOpen => {
                "The carrier's answer was lost: what became of the order is being found out."
            }
            Self::OrderInProgress => "The order is on its way at the carrier.",
            Self::OrderFailed => "The order failed: the carrier put nothing on this profile.",
            Self::LineTerminated => "The line is terminated: the customer needs another profile.",
            Self::LineSuspended => "The line is suspended: no traffic until it is reactivated.",
            Self::LinePaused => "The line is paused: no traffic until the pause ends.",
            Self::ProfileDeleted => {
                "The profile was deleted from the device and cannot be downloaded again: the customer needs another."
            }
            Self::CodeNeverShown => "Sold, but the activation code was never shown to anybody.",
            Self::NeverDownloaded => "The code was shown, but no device downloaded the profile.",
            Self::NeverInstalled => "Downloaded but never installed: the device stopped half-way.",
            Self::NeverSwitchedOn => "Installed but never switched on in the device's settings.",
            Self::SwitchedOff => "Switched off in the device's settings.",
            Self::LineNotActive => {
                "Ready on the customer's side, but the line is not active: it becomes so when it first finds a network."
            }
            Self::LineInTestMode => "The line is in a test period.",
            Self::NoPlan => "Usable, but there is no plan on it.",
            Self::PlanWaitsForUse => "Usable: the plan waits for the first use in a covered country.",
            Self::PlanScheduled => "Usable: the plan begins at a fixed later moment.",
            Self::PlanRunning => "The plan is running.",
            Self::DataUsedUp => "The plan's data is used up.",
            Self::PlanExpired => "The plan has expired.",
            Self::PlanEnded => "The plan was ended before its time.",
        }
    }
}

/// What the standing comes down to: what blocks the customer earliest on the way from the stock to a running plan.
pub fn diagnose(standing: &Standing) -> Diagnosis {
    stock(standing)
        .or_else(|| carrier_write(standing))
        .or_else(|| ended_line(standing.sim))
        .or_else(|| device(standing))
        .or_else(|| line(standing.sim))
        .unwrap_or_else(|| plan(standing))
}

/// Not with a customer.
fn stock(standing: &Standing) -> Option<Diagnosis> {
    match standing.stock {
        StockStatus::Available => Some(Diagnosis::NotSold),
        StockStatus::Held => Some(Diagnosis::OnHold),
        StockStatus::Quarantined => Some(Diagnosis::SetAside),
        StockStatus::Retired => Some(Diagnosis::Retired),
        StockStatus::Allocated => None,
    }
}

/// Something is open at the carrier, or failed there. A top-up on its way does not hide how the plan is doing.
fn carrier_write(standing: &Standing) -> Option<Diagnosis> {
    match standing.operation {
        Some(OperationStatus::NeedsAttention) => return Some(Diagnosis::NeedsPerson),
        Some(OperationStatus::Unknown) => return Some(Diagnosis::OutcomeOpen),
        Some(OperationStatus::Pending | OperationStatus::Sent | OperationStatus::Accepted) => {
            if !standing.bundles.iter().any(|status| was_placed(*status)) {
                return Some(Diagnosis::OrderInProgress);
            }
        }
        Some(OperationStatus::Done | OperationStatus::Refused | OperationStatus::Cancelled) | None => {}
    }
    match standing.order {
        Some(OrderStatus::Failed) if !standing.bundles.iter().any(|status| was_placed(*status)) => {
            Some(Diagnosis::OrderFailed)
        }
        Some(
            OrderStatus::Failed
            | OrderStatus::InProgress
            | OrderStatus::Fulfilled
            | OrderStatus::NeedsAttention
            | OrderStatus::Cancelled,
        )
        | None => None,
    }
}

fn was_placed(status: BundleStatus) -> bool {
    match status {
        BundleStatus::Preloaded
        | BundleStatus::Ready
        | BundleStatus::Scheduled
        | BundleStatus::Active
        | BundleStatus::Exhausted
        | BundleStatus::Expired
        | BundleStatus::Terminated => true,
        BundleStatus::Ordering | BundleStatus::Refused | BundleStatus::Unknown => false,
    }
}

/// A line that has no traffic whatever the device does.
fn ended_line(sim: Option<SimStatus>) -> Option<Diagnosis> {
    match sim {
        Some(SimStatus::Terminated | SimStatus::Ceased) => Some(Diagnosis::LineTerminated),
        Some(SimStatus::Suspended) => Some(Diagnosis::LineSuspended),
        Some(SimStatus::TariffHoliday) => Some(Diagnosis::LinePaused),
        Some(
            SimStatus::Available
            | SimStatus::Loaded
            | SimStatus::Preactivated
            | SimStatus::Active
            | SimStatus::TestMode,
        )
        | None => None,
    }
}

/// How far the profile came on its way to the device. Without any word of the eSIM an active line speaks for it.
fn device(standing: &Standing) -> Option<Diagnosis> {
    let waiting = if standing.revealed { Diagnosis::NeverDownloaded } else { Diagnosis::CodeNeverShown };
    match (standing.form_factor, standing.esim) {
        (FormFactor::Psim, _) | (FormFactor::Esim, Some(EsimStatus::Enabled)) => None,
        (FormFactor::Esim, None) => (standing.sim != Some(SimStatus::Active)).then_some(waiting),
        (FormFactor::Esim, Some(EsimStatus::Available | EsimStatus::Allocated | EsimStatus::Released)) => {
            Some(waiting)
        }
        (FormFactor::Esim, Some(EsimStatus::Downloaded)) => Some(Diagnosis::NeverInstalled),
        (FormFactor::Esim, Some(EsimStatus::Installed)) => Some(Diagnosis::NeverSwitchedOn),
        (FormFactor::Esim, Some(EsimStatus::Disabled)) => Some(Diagnosis::SwitchedOff),
        (FormFactor::Esim, Some(EsimStatus::Deleted)) => Some(Diagnosis::ProfileDeleted),
    }
}

/// The line under a profile that is on the device.
fn line(sim: Option<SimStatus>) -> Option<Diagnosis> {
    match sim {
        Some(SimStatus::Available | SimStatus::Loaded | SimStatus::Preactivated) | None => {
            Some(Diagnosis::LineNotActive)
        }
        Some(SimStatus::TestMode) => Some(Diagnosis::LineInTestMode),
        Some(
            SimStatus::Active
            | SimStatus::Suspended
            | SimStatus::TariffHoliday
            | SimStatus::Terminated
            | SimStatus::Ceased,
        ) => None,
    }
}

/// The best that the bundles of a usable profile say: one that runs, else one that will, else why there is none.
fn plan(standing: &Standing) -> Diagnosis {
    let said = standing.bundles.iter().map(|status| of_bundle(*status));
    let without = if standing.subscribed { Diagnosis::PlanRunning } else { Diagnosis::NoPlan };
    said.min_by_key(|(rank, _)| *rank).map_or(without, |(_, diagnosis)| diagnosis)
}

/// What a bundle says, behind its rank: the lowest counts.
fn of_bundle(status: BundleStatus) -> (u8, Diagnosis) {
    match status {
        BundleStatus::Active => (0, Diagnosis::PlanRunning),
        BundleStatus::Preloaded | BundleStatus::Ready => (1, Diagnosis::PlanWaitsForUse),
        BundleStatus::Scheduled => (2, Diagnosis::PlanScheduled),
        BundleStatus::Unknown => (3, Diagnosis::OutcomeOpen),
        BundleStatus::Ordering => (4, Diagnosis::OrderInProgress),
        BundleStatus::Exhausted => (5, Diagnosis::DataUsedUp),
        BundleStatus::Expired => (6, Diagnosis::PlanExpired),
        BundleStatus::Terminated => (7, Diagnosis::PlanEnded),
        BundleStatus::Refused => (8, Diagnosis::NoPlan),
    }
}

#[cfg(test)]
mod tests {
    use super::BundleStatus as B;
    use super::Diagnosis as D;
    use super::EsimStatus as E;
    use super::OperationStatus as O;
    use super::SimStatus as S;
    use super::*;

    /// Sold and fulfilled, code shown, in use, with these bundles.
    fn in_use(bundles: &[B]) -> Standing {
        Standing {
            form_factor: FormFactor::Esim,
            stock: StockStatus::Allocated,
            revealed: true,
            sim: Some(S::Active),
            esim: Some(E::Enabled),
            order: Some(OrderStatus::Fulfilled),
            bundles: bundles.to_vec(),
            subscribed: false,
            operation: None,
        }
    }

    fn fresh(revealed: bool, esim: Option<E>) -> Standing {
        Standing { revealed, esim, sim: Some(S::Preactivated), ..in_use(&[B::Preloaded]) }
    }

    fn stocked(stock: StockStatus) -> Standing {
        // Whatever else is known of it does not matter to a customer.
        Standing { stock, ..in_use(&[B::Active]) }
    }

    fn line(sim: Option<S>) -> Standing {
        Standing { sim, ..in_use(&[B::Active]) }
    }

    fn writing(operation: O, bundles: &[B]) -> Standing {
        Standing { operation: Some(operation), revealed: false, ..in_use(bundles) }
    }

    #[test]
    fn every_standing_comes_down_to_one_thing() {
        let failed = Standing { order: Some(OrderStatus::Failed), ..in_use(&[B::Refused]) };
        let plastic = Standing { form_factor: FormFactor::Psim, esim: None, ..in_use(&[B::Active]) };
        let table = [
            (stocked(StockStatus::Available), D::NotSold),
            (stocked(StockStatus::Held), D::OnHold),
            (stocked(StockStatus::Quarantined), D::SetAside),
            (stocked(StockStatus::Retired), D::Retired),
            (writing(O::NeedsAttention, &[B::Active]), D::NeedsPerson),
            (writing(O::Unknown, &[B::Unknown]), D::OutcomeOpen),
            (writing(O::Sent, &[B::Ordering]), D::OrderInProgress),
            (writing(O::Pending, &[B::Ordering, B::Active]), D::PlanRunning),
            (failed, D::OrderFailed),
            (fresh(false, Some(E::Released)), D::CodeNeverShown),
            (fresh(false, None), D::CodeNeverShown),
            (fresh(true, Some(E::Released)), D::NeverDownloaded),
            (fresh(true, None), D::NeverDownloaded),
            (fresh(true, Some(E::Downloaded)), D::NeverInstalled),
            (fresh(true, Some(E::Installed)), D::NeverSwitchedOn),
            (fresh(true, Some(E::Disabled)), D::SwitchedOff),
            (fresh(true, Some(E::Deleted)), D::ProfileDeleted),
            (fresh(true, Some(E::Enabled)), D::LineNotActive),
            (line(None), D::LineNotActive),
            (line(Some(S::TestMode)), D::LineInTestMode),
            (line(Some(S::Suspended)), D::LineSuspended),
            (line(Some(S::TariffHoliday)), D::LinePaused),
            (line(Some(S::Terminated)), D::LineTerminated),
            (line(Some(S::Ceased)), D::LineTerminated),
            (Standing { esim: None, ..in_use(&[B::Active]) }, D::PlanRunning),
            (plastic.clone(), D::PlanRunning),
            (Standing { sim: Some(S::Preactivated), ..plastic }, D::LineNotActive),
            (in_use(&[]), D::NoPlan),
            (Standing { subscribed: true, ..in_use(&[]) }, D::PlanRunning),
            (in_use(&[B::Refused]), D::NoPlan),
            (in_use(&[B::Preloaded]), D::PlanWaitsForUse),
            (in_use(&[B::Expired, B::Ready]), D::PlanWaitsForUse),
            (in_use(&[B::Exhausted, B::Scheduled]), D::PlanScheduled),
            (in_use(&[B::Exhausted, B::Active]), D::PlanRunning),
            (in_use(&[B::Expired, B::Exhausted]), D::DataUsedUp),
            (in_use(&[B::Expired, B::Terminated]), D::PlanExpired),
            (in_use(&[B::Terminated]), D::PlanEnded),
        ];
        for (standing, expected) in &table {
            assert_eq!(diagnose(standing), *expected, "{standing:?}");
        }
        for diagnosis in D::VARIANTS {
            assert!(
                table.iter().any(|(_, expected)| expected == diagnosis),
                "{diagnosis} is not in the table"
            );
            let text = diagnosis.text();
            assert!(text.ends_with('.') && text.len() < 120, "{text}");
        }
    }
}
