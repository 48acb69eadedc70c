//! What the end of a command teaches of its line: what was read since, and where that says nothing, what was asked for.

use simdepot_domain::carrier::{ActivationTerms, LineReading};
use simdepot_domain::line::{LineAction, LineCommand, LineDetails, SuspendedBy};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::{Conn, profiles};

use super::Known;
use super::recording::Recording;
use crate::error::AppError;
use crate::observations::{self, Sightings};
use crate::stock_watch;

impl Recording<'_> {
    /// What was read of the line since, and what was asked for where that says nothing: it is true now.
    pub(super) fn with_what_was_asked(
        &self,
        conn: &mut Conn<'_>,
        command: &LineCommand,
        seen: &Sightings,
    ) -> Result<Sightings, AppError> {
        let setup = command.setup();
        let group = match command {
            LineCommand::SetContact { group } => group.clone(),
            _ => setup.and_then(|setup| setup.group.clone()),
        };
        let asked = LineDetails {
            suspended_by: (*command == LineCommand::Suspend).then_some(SuspendedBy::Customer),
            rate_plan: setup.and_then(|setup| setup.rate_plan.clone()),
            group,
            external_reference: setup.and_then(|setup| setup.external_reference.clone()),
            ..LineDetails::default()
        };
        let line = match seen.line.clone() {
            Some(mut line) => {
                let details = &mut line.details;
                let suspended = line.sim_status == Some(SimStatus::Suspended);
                details.suspended_by = details.suspended_by.or(asked.suspended_by.filter(|_| suspended));
                details.rate_plan = details.rate_plan.take().or(asked.rate_plan);
                details.group = details.group.take().or(asked.group);
                details.external_reference = details.external_reference.take().or(asked.external_reference);
                line
            }
            None => self.unread(self.status_reached(conn, command)?, None, asked),
        };
        Ok(Sightings { line: Some(line), ..seen.clone() })
    }

    /// Where the line stands after the command by the rules, when nothing newer is known of it.
    fn status_reached(
        &self,
        conn: &mut Conn<'_>,
        command: &LineCommand,
    ) -> Result<Option<SimStatus>, AppError> {
        // It begins with the next bill cycle.
        if command.action() == LineAction::TariffHoliday {
            return Ok(None);
        }
        let account = self.depot.account(&self.operation.carrier_account).ok();
        let rules = account.and_then(|account| account.carrier.line_rules());
        let before = Known::of(self.operation).before.sim_status;
        let reached = rules
            .zip(before)
            .and_then(|(rules, before)| rules.check(command.action(), before, None).ok().flatten());
        Ok(if self.is_as_before(conn)? { reached } else { None })
    }

    /// A subscription is active once it is there, when nothing newer is known of the line.
    pub(super) fn with_subscription(
        &self,
        conn: &mut Conn<'_>,
        terms: &ActivationTerms,
        seen: &Sightings,
    ) -> Result<Sightings, AppError> {
        if seen.line.as_ref().is_some_and(|line| line.sim_status.is_some()) {
            return Ok(seen.clone());
        }
        let status = self.is_as_before(conn)?.then_some(SimStatus::Active);
        let line = seen.line.clone();
        let line = LineReading {
            msisdn: line.and_then(|line| line.msisdn).or_else(|| terms.msisdn.clone()),
            ..self.unread(status, None, LineDetails::default())
        };
        Ok(Sightings { line: Some(line), ..seen.clone() })
    }

    /// Whether no other status was learned since the command was sent.
    fn is_as_before(&self, conn: &mut Conn<'_>) -> Result<bool, AppError> {
        let known = profiles::get(conn, self.operation.profile_id)?.sim.map(|seen| seen.status);
        Ok(known == Known::of(self.operation).before.sim_status)
    }

    /// What follows from the end of a command, where the line itself could not be read.
    fn unread(
        &self,
        sim_status: Option<SimStatus>,
        msisdn: Option<Msisdn>,
        details: LineDetails,
    ) -> LineReading {
        let (observed_at, source) = (self.depot.now(), Source::Answer);
        LineReading { msisdn, sim_status, observed_at, dated_by_carrier: false, source, details }
    }

    pub(super) fn learn(&self, conn: &mut Conn<'_>, seen: &Sightings) -> Result<(), AppError> {
        let profile = profiles::lock(conn, self.operation.profile_id)?;
        let now = self.depot.now();
        let mut profile = observations::learn(conn, self.depot, profile, seen, now)?;
        stock_watch::watch(conn, self.depot, &mut profile, false, now).map(drop)
    }
}
