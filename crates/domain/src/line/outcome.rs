//! Whether a line shows that a command was carried out, for when its answer was lost or its transaction cannot be read.

use super::options::ON;
use super::{LineCommand, LineSetup, LineStanding};
use crate::sim::SimStatus;

/// What a line shows of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It stands as the command wanted it.
    Reached,
    /// It stands as it did before.
    NotReached,
    /// A line does not show this.
    Unclear,
}

/// Weighs how a line stands now against how it stood before the first sending. For a swapped SIM `now` is the old SIM's
/// line.
pub fn judge(command: &LineCommand, before: &LineStanding, now: &LineStanding) -> Judgement {
    match command {
        LineCommand::Activate(setup) => all([is(now, SimStatus::Active), shows(setup, now, true)]),
        LineCommand::TestMode(setup) => all([is(now, SimStatus::TestMode), shows(setup, now, true)]),
        LineCommand::Modify(setup) => shows(setup, now, false),
        LineCommand::Suspend => is(now, SimStatus::Suspended),
        LineCommand::Reactivate | LineCommand::LeaveTariffHoliday | LineCommand::LeaveTestMode => {
            is(now, SimStatus::Active)
        }
        LineCommand::Terminate if now.sim_status == Some(SimStatus::Ceased) => Judgement::Reached,
        LineCommand::Terminate => is(now, SimStatus::Terminated),
        LineCommand::SwapMsisdn => match (&before.msisdn, &now.msisdn) {
            (Some(before), Some(now)) if before != now => Judgement::Reached,
            (Some(_), Some(_)) => Judgement::NotReached,
            _ => Judgement::Unclear,
        },
        // It begins with the next bill cycle: until then the line looks as before.
        LineCommand::TariffHoliday => match is(now, SimStatus::TariffHoliday) {
            Judgement::Reached => Judgement::Reached,
            Judgement::NotReached | Judgement::Unclear => Judgement::Unclear,
        },
        // The old SIM's line may have ended for another reason: the new SIM shows it.
        LineCommand::SetContact { .. } | LineCommand::SwapSim { .. } => Judgement::Unclear,
    }
}

fn is(now: &LineStanding, wanted: SimStatus) -> Judgement {
    match now.sim_status {
        Some(status) if status == wanted => Judgement::Reached,
        Some(_) => Judgement::NotReached,
        None => Judgement::Unclear,
    }
}

/// Whether everything that was asked for, and that the line shows, is so. A source that tells nothing of it contradicts
/// nothing: with another sign (`status_told`) that is enough.
fn shows(setup: &LineSetup, now: &LineStanding, status_told: bool) -> Judgement {
    let details = &now.details;
    let option = |asked: &super::LineOption| {
        let listed = details.options.as_ref().filter(|listed| !listed.is_empty())?;
        let value = listed.iter().find(|option| option.name == asked.name).map(|option| &option.value);
        // An option that is off may simply not be listed.
        Some(value.map_or(asked.value != ON, |value| *value == asked.value))
    };
    let text = |asked: &Option<String>, told: &Option<String>| {
        let (asked, told) = (asked.as_ref()?, told.as_ref()?);
        Some(asked == told)
    };
    let asked = usize::from(setup.rate_plan.is_some())
        + usize::from(setup.group.is_some())
        + usize::from(setup.external_reference.is_some())
        + setup.options.len();
    let told: Vec<bool> = [
        text(&setup.rate_plan, &details.rate_plan),
        text(&setup.group, &details.group),
        text(&setup.external_reference, &details.external_reference),
    ]
    .into_iter()
    .chain(setup.options.iter().map(option))
    .flatten()
    .collect();
    if told.contains(&false) {
        Judgement::NotReached
    } else if status_told || told.len() == asked {
        Judgement::Reached
    } else {
        Judgement::Unclear
    }
}

fn all<const N: usize>(signs: [Judgement; N]) -> Judgement {
    if signs.contains(&Judgement::NotReached) {
        Judgement::NotReached
    } else if signs.contains(&Judgement::Unclear) {
        Judgement::Unclear
    } else {
        Judgement::Reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{LineDetails, LineOption};
    use crate::msisdn::Msisdn;

    fn line(status: SimStatus) -> LineStanding {
        LineStanding { sim_status: Some(status), ..LineStanding::default() }
    }

    fn option(name: &str, value: &str) -> LineOption {
        LineOption { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_status_is_reached_or_not() {
        let before = line(SimStatus::Active);
        assert_eq!(judge(&LineCommand::Suspend, &before, &line(SimStatus::Suspended)), Judgement::Reached);
        assert_eq!(judge(&LineCommand::Suspend, &before, &before), Judgement::NotReached);
        assert_eq!(judge(&LineCommand::Suspend, &before, &LineStanding::default()), Judgement::Unclear);
        assert_eq!(judge(&LineCommand::TariffHoliday, &before, &before), Judgement::Unclear);
        let contact = LineCommand::SetContact { group: None };
        assert_eq!(judge(&contact, &before, &before), Judgement::Unclear);
    }

    #[test]
    fn an_activation_by_first_use_is_not_ours() {
        let setup = LineSetup { group: Some("fleet".to_owned()), ..LineSetup::default() };
        let command = LineCommand::Activate(setup);
        let mut now = line(SimStatus::Active);
        assert_eq!(judge(&command, &line(SimStatus::Preactivated), &now), Judgement::Reached, "nothing told");
        now.details.group = Some("other".to_owned());
        assert_eq!(judge(&command, &line(SimStatus::Preactivated), &now), Judgement::NotReached);
    }

    #[test]
    fn a_modification_shows_in_what_it_sets() {
        let command = LineCommand::Modify(LineSetup {
            options: vec![option("A", "on"), option("B", "off")],
            ..LineSetup::default()
        });
        let now = |options| LineStanding {
            details: LineDetails { options, ..LineDetails::default() },
            ..line(SimStatus::Active)
        };
        let before = now(None);
        assert_eq!(judge(&command, &before, &now(Some(vec![option("A", "on")]))), Judgement::Reached);
        assert_eq!(judge(&command, &before, &now(Some(vec![option("A", "off")]))), Judgement::NotReached);
        assert_eq!(judge(&command, &before, &now(None)), Judgement::Unclear);
    }

    #[test]
    fn another_number_is_a_swapped_one() {
        let with = |number: &str| LineStanding {
            msisdn: Some(Msisdn::parse(number).unwrap()),
            ..line(SimStatus::Active)
        };
        let judge = |now| judge(&LineCommand::SwapMsisdn, &with("33700000001"), &now);
        assert_eq!(judge(with("33700000002")), Judgement::Reached);
        assert_eq!(judge(with("33700000001")), Judgement::NotReached);
        assert_eq!(judge(line(SimStatus::Active)), Judgement::Unclear);
    }
}
