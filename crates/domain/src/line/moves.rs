//! Every documented move of a line and what triggers it (Transatel, Subscriber Management, IoT statuses and SIM lifecycle
//! pages; wholesale 5G operator, subscription status).

use super::Offer;
use crate::sim::SimStatus;

/// One move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineMove {
    /// From this status.
    pub from: SimStatus,
    /// To this one.
    pub to: SimStatus,
    /// By what.
    pub trigger: &'static str,
    /// In which offers.
    pub offers: &'static [Offer],
}

const IOT: &[Offer] = &[Offer::Spc, Offer::IotConnectCapped];
const WHOLESALE: &[Offer] = &[Offer::Wholesale];
/// Every offer of Transatel.
pub(crate) const TRANSATEL: &[Offer] =
    &[Offer::Spc, Offer::IotConnectCapped, Offer::MvnoFranceLight, Offer::MvnoUk];
const LIGHT: &[Offer] = &[Offer::MvnoFranceLight];

const fn of(from: SimStatus, to: SimStatus, trigger: &'static str, offers: &'static [Offer]) -> LineMove {
    LineMove { from, to, trigger, offers }
}

/// The moves, along a line's life.
pub const MOVES: &[LineMove] = {
    use SimStatus::{
        Active, Available, Ceased, Loaded, Preactivated, Suspended, TariffHoliday, Terminated, TestMode,
    };
    &[
        of(Available, Preactivated, "the carrier alone; Service Provider Connect: at delivery", TRANSATEL),
        of(Available, Loaded, "the carrier alone", LIGHT),
        of(Available, Active, "`activate`", TRANSATEL),
        of(Available, TestMode, "`test-mode`, where the contract has it; once in a line's life", IOT),
        of(Preactivated, Active, "the first use (voice, SMS or data), by itself; `activate`", TRANSATEL),
        of(Loaded, Active, "`activate`", LIGHT),
        of(TestMode, Active, "quota used up or period over, by itself; `test-mode` with `leave`", IOT),
        of(TestMode, TariffHoliday, "end of the test, where so configured, by itself", IOT),
        of(TestMode, Suspended, "`suspend`", IOT),
        of(TestMode, Terminated, "`terminate`", IOT),
        of(
            Active,
            Suspended,
            "`suspend` (customer); a usage threshold (automatic); the carrier, for a malfunction or fraud (operator)",
            TRANSATEL,
        ),
        of(Active, TariffHoliday, "`tariff-holiday`, on the first day of the next bill cycle", IOT),
        of(Active, Terminated, "`terminate`; the dormancy period, where configured, by itself", TRANSATEL),
        of(Suspended, Active, "`reactivate`; after an operator's suspension the carrier alone", TRANSATEL),
        of(Suspended, Terminated, "`terminate`", TRANSATEL),
        of(TariffHoliday, Active, "longest stay over, by itself; `tariff-holiday` with `leave`", IOT),
        of(
            TariffHoliday,
            Terminated,
            "no document says; `terminate` where the account sets `also_terminate`",
            IOT,
        ),
        of(
            Preactivated,
            Terminated,
            "no document says; `terminate` where the account sets `also_terminate`",
            TRANSATEL,
        ),
        of(Available, Active, "the activation that goes with an order", WHOLESALE),
        of(Preactivated, Active, "the activation that goes with an order", WHOLESALE),
        of(Active, Suspended, "`suspend`; the carrier", WHOLESALE),
        of(Suspended, Active, "`reactivate`", WHOLESALE),
        of(Active, Ceased, "`terminate`", WHOLESALE),
        of(Ceased, Active, "`reactivate`", WHOLESALE),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{LineAction, LineRules};
    use crate::observation::Lifecycle;
    use strum::VariantArray;

    #[test]
    fn every_move_is_one_that_observations_may_make() {
        for step in MOVES {
            assert!(step.from.allows(step.to), "{step:?}");
        }
    }

    /// What a command does is in the table, for the offers in which it may be given.
    #[test]
    fn every_command_s_move_is_listed() {
        for offer in Offer::VARIANTS {
            for action in LineAction::VARIANTS {
                for from in SimStatus::VARIANTS {
                    let Ok(Some(to)) = LineRules::of(*offer).check(*action, *from, None) else { continue };
                    let listed = MOVES
                        .iter()
                        .any(|step| (step.from, step.to) == (*from, to) && step.offers.contains(offer));
                    // An MVNO line in test mode is nothing that its offer has; the rule is the same for all.
                    assert!(listed || *from == SimStatus::TestMode, "{offer} {action} {from}");
                }
            }
        }
    }
}
