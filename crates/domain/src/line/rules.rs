//! Which command a line takes in which status, by offer (Transatel, Subscriber Management and SIM lifecycle pages).

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

use super::{LineAction, SuspendedBy};
use crate::sim::SimStatus;

/// A carrier's offer: it decides which statuses a line may have and which commands exist.
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
pub enum Offer {
    /// Transatel Service Provider Connect.
    Spc,
    /// Transatel IoT Connect Capped Plans.
    IotConnectCapped,
    /// Transatel MVNO France on the light network architecture.
    MvnoFranceLight,
    /// Transatel MVNO United Kingdom.
    MvnoUk,
    /// Subscriptions of a wholesale 5G operator, which are activated with the order.
    Wholesale,
}

impl Offer {
    /// Its name in the carrier's documents.
    pub fn title(self) -> &'static str {
        match self {
            Self::Spc => "Transatel Service Provider Connect",
            Self::IotConnectCapped => "Transatel IoT Connect Capped Plans",
            Self::MvnoFranceLight => "Transatel MVNO France light",
            Self::MvnoUk => "Transatel MVNO UK",
            Self::Wholesale => "Wholesale 5G subscriptions",
        }
    }

    /// Whether every command goes with a rate plan.
    pub fn has_rate_plans(self) -> bool {
        self != Self::Wholesale
    }

    /// Whether the carrier has such a command at all, whatever the line's status and the contract's details.
    pub fn has_command(self, action: LineAction) -> bool {
        let known = matches!(action, LineAction::Suspend | LineAction::Reactivate | LineAction::Terminate);
        self != Self::Wholesale || known
    }

    /// Whether lines may be in test mode or on tariff holiday, when the contract has them.
    fn is_iot(self) -> bool {
        matches!(self, Self::Spc | Self::IotConnectCapped)
    }
}

/// What an account's lines may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRules {
    /// The offer.
    pub offer: Offer,
    /// The account's rate plan, sent where a command names none.
    pub rate_plan: Option<String>,
    /// Statuses from which lines may be terminated although no document says so.
    pub also_terminate: Vec<SimStatus>,
}

/// Why a command is forbidden. The name is stable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{rule}: {detail}")]
pub struct RuleBroken {
    /// What was asked.
    pub action: LineAction,
    /// How the line stands.
    pub from: SimStatus,
    /// The rule's name.
    pub rule: &'static str,
    /// The rule in a sentence.
    pub detail: String,
}

/// One line of the table: from which statuses, to which, under which name.
struct Row {
    rule: &'static str,
    from: &'static [SimStatus],
    to: Option<SimStatus>,
}

fn row(action: LineAction) -> Row {
    use SimStatus::{Active, Available, Preactivated, Suspended, TariffHoliday, Terminated, TestMode};
    let (rule, from, to): (_, &'static [SimStatus], _) = match action {
        LineAction::Activate => ("activate-before-service", &[Available, Preactivated], Some(Active)),
        LineAction::Modify => ("modify-in-service", &[Active, Suspended, TestMode], None),
        LineAction::Suspend => ("suspend-while-working", &[Active, TestMode], Some(Suspended)),
        LineAction::Reactivate => ("reactivate-suspended", &[Suspended], Some(Active)),
        LineAction::Terminate => ("terminate-in-service", &[Active, Suspended, TestMode], Some(Terminated)),
        LineAction::SwapSim => ("swap-sim-in-service", &[Active, TestMode, Suspended, TariffHoliday], None),
        LineAction::SwapMsisdn => {
            ("swap-msisdn-in-service", &[Active, TestMode, Suspended, TariffHoliday], None)
        }
        LineAction::TariffHoliday => ("tariff-holiday-from-active", &[Active], Some(TariffHoliday)),
        LineAction::LeaveTariffHoliday => ("leave-tariff-holiday", &[TariffHoliday], Some(Active)),
        LineAction::TestMode => ("test-mode-once-from-available", &[Available], Some(TestMode)),
        LineAction::LeaveTestMode => ("leave-test-mode", &[TestMode], Some(Active)),
        LineAction::SetContact => {
            ("contact-of-a-subscriber", &[Preactivated, TestMode, Active, Suspended, TariffHoliday], None)
        }
    };
    Row { rule, from, to }
}

/// A subscription that was ended may be taken up again; one that is suspended must work again before it is ended.
fn wholesale_row(action: LineAction) -> Row {
    use SimStatus::{Active, Ceased, Suspended};
    match action {
        LineAction::Reactivate => {
            Row { rule: "reactivate-stopped", from: &[Suspended, Ceased], to: Some(Active) }
        }
        LineAction::Suspend => Row { rule: "suspend-while-working", from: &[Active], to: Some(Suspended) },
        LineAction::Terminate => Row { rule: "cease-while-working", from: &[Active], to: Some(Ceased) },
        _ => row(action),
    }
}

impl LineRules {
    /// The rules of an offer, without a rate plan.
    pub fn of(offer: Offer) -> Self {
        Self { offer, rate_plan: None, also_terminate: Vec::new() }
    }

    /// Decides a command. Where the line will stand when it is done; `None` when it stays where it is.
    ///
    /// # Errors
    /// [`RuleBroken`] names the rule.
    pub fn check(
        &self,
        action: LineAction,
        from: SimStatus,
        suspended_by: Option<SuspendedBy>,
    ) -> Result<Option<SimStatus>, RuleBroken> {
        let row = if self.offer == Offer::Wholesale { wholesale_row(action) } else { row(action) };
        let broken = |rule, detail| Err(RuleBroken { action, from, rule, detail });
        if let Some(rule) = self.lacks(action) {
            return broken(rule, format!("{} has no {}", self.offer.title(), Words(action.as_ref())));
        }
        let light = self.offer == Offer::MvnoFranceLight;
        let fits = row.from.contains(&from)
            || (action == LineAction::Activate && light && from == SimStatus::Loaded)
            || (action == LineAction::Terminate && self.also_terminate.contains(&from));
        if !fits {
            let from: Vec<&str> = row.from.iter().map(AsRef::as_ref).collect();
            let detail = format!("{} takes a line that is {}", Words(action.as_ref()), from.join(", "));
            return broken(row.rule, detail);
        }
        if action == LineAction::Modify && light && from == SimStatus::Suspended {
            let detail = "a suspended line is not modified on the light architecture".to_owned();
            return broken("no-modify-while-suspended", detail);
        }
        if action == LineAction::Reactivate && suspended_by == Some(SuspendedBy::Operator) {
            let detail = "the carrier stopped this line, and only the carrier lifts that".to_owned();
            return broken("operator-suspension", detail);
        }
        Ok(row.to)
    }

    /// Why the offer lacks a command.
    fn lacks(&self, action: LineAction) -> Option<&'static str> {
        match action {
            _ if !self.offer.has_command(action) => Some("not-offered"),
            LineAction::SwapMsisdn if matches!(self.offer, Offer::MvnoFranceLight | Offer::MvnoUk) => {
                Some("no-msisdn-swap")
            }
            LineAction::TariffHoliday | LineAction::LeaveTariffHoliday if !self.offer.is_iot() => {
                Some("no-tariff-holiday")
            }
            LineAction::TestMode | LineAction::LeaveTestMode if !self.offer.is_iot() => Some("no-test-mode"),
            _ => None,
        }
    }
}

/// Words of a name.
struct Words<'a>(&'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace('_', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_matrix() {
        insta::assert_snapshot!(crate::lifecycle_doc::line_matrices());
    }

    #[test]
    fn nothing_is_possible_with_a_terminated_line() {
        for offer in Offer::VARIANTS {
            for action in LineAction::VARIANTS {
                let decided = LineRules::of(*offer).check(*action, SimStatus::Terminated, None);
                assert!(decided.is_err(), "{offer} {action}");
            }
        }
    }

    #[test]
    fn a_target_is_a_move_that_the_line_makes() {
        use crate::observation::Lifecycle;
        for offer in Offer::VARIANTS {
            for action in LineAction::VARIANTS {
                for from in SimStatus::VARIANTS {
                    if let Ok(Some(to)) = LineRules::of(*offer).check(*action, *from, None) {
                        assert!(from.allows(to), "{offer} {action}: {from} to {to}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_carrier_lifts_its_own_suspension() {
        let rules = LineRules::of(Offer::Spc);
        let check = |by| rules.check(LineAction::Reactivate, SimStatus::Suspended, by);
        assert_eq!(check(Some(SuspendedBy::Operator)).unwrap_err().rule, "operator-suspension");
        assert_eq!(check(Some(SuspendedBy::Automatic)), Ok(Some(SimStatus::Active)));
        assert_eq!(check(None), Ok(Some(SimStatus::Active)));
    }

    #[test]
    fn what_no_document_says_is_a_setting() {
        let mut rules = LineRules::of(Offer::Spc);
        let check = |rules: &LineRules| rules.check(LineAction::Terminate, SimStatus::Preactivated, None);
        assert_eq!(check(&rules).unwrap_err().rule, "terminate-in-service");
        rules.also_terminate.push(SimStatus::Preactivated);
        assert_eq!(check(&rules), Ok(Some(SimStatus::Terminated)));
    }
}
