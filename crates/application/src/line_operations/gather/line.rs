//! Before a command to a line.

use simdepot_domain::carrier::{Concern, LineOrder, LineReading, ReadError, Refusal};
use simdepot_domain::line::{Contact, LineCommand, LineDetails, SuspendedBy};
use simdepot_domain::observation::Source;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::StoreError;
use simdepot_persistence::profiles::Profile;

use super::{Decision, Preparing, later, not_in_status};
use crate::error::AppError;
use crate::line_operations::{Order, standing};
use crate::observations::Sightings;

impl Preparing<'_> {
    pub(super) async fn line(&self, command: &LineCommand) -> Result<(Sightings, Decision), AppError> {
        Ok(match self.read_line().await {
            Ok((seen, line)) => (seen, self.command(command, self.unseal()?, line.as_ref())),
            Err(decision) => (Sightings::default(), decision),
        })
    }

    /// The line, and what is to be learned of it. An account that may not read it goes by what we last knew.
    pub(super) async fn read_line(&self) -> Result<(Sightings, Option<LineReading>), Decision> {
        let profile = self.profile;
        match self.carrier().line(&profile.line_key()).await {
            Ok(Some(line)) => {
                Ok((Sightings { line: Some(line.clone()), ..Sightings::default() }, Some(line)))
            }
            Ok(None) => Err(Decision::Refuse(Refusal {
                code: "unknown_to_carrier".to_owned(),
                detail: Some("the carrier does not know this SIM".to_owned()),
                concerns: Concern::Profile,
            })),
            Err(ReadError::Denied { code }) => {
                tracing::debug!(iccid = %profile.iccid, code, "line cannot be read; going by the last known state");
                Ok((Sightings::default(), last_known(profile, self.suspended_by)))
            }
            Err(ReadError::Unavailable(unavailable)) => Err(Decision::Defer(unavailable)),
            Err(ReadError::Unreadable { what }) => Err(later(what)),
        }
    }

    fn command(
        &self,
        command: &LineCommand,
        contact: Option<Contact>,
        line: Option<&LineReading>,
    ) -> Decision {
        let Some(rules) = self.carrier().line_rules() else {
            return Decision::Refuse(Refusal {
                code: simdepot_domain::carrier::UNSUPPORTED.to_owned(),
                detail: Some("this carrier has no line operations".to_owned()),
                concerns: Concern::Account,
            });
        };
        let now = standing(self.profile, line);
        let known = self.known(now.clone());
        let status: Option<SimStatus> = line.and_then(|line| line.sim_status).or(now.sim_status);
        if let Some(status) = status
            && let Err(broken) = rules.check(command.action(), status, now.details.suspended_by)
        {
            return not_in_status(format!("the line is {status}; {broken}"));
        }
        let named = command.setup().and_then(|setup| setup.rate_plan.clone());
        let rate_plan = named.or(rules.rate_plan.clone()).or_else(|| now.details.rate_plan.clone());
        if rate_plan.is_none() && rules.offer.has_rate_plans() {
            return Decision::Refuse(Refusal {
                code: "rate_plan_missing".to_owned(),
                detail: Some(
                    "the account has no rate_plan, and the carrier wants one with every command".to_owned(),
                ),
                concerns: Concern::Account,
            });
        }
        let order = LineOrder {
            reference: self.operation.id.to_string(),
            iccid: self.profile.iccid.clone(),
            // Another sending under the same number says the same.
            msisdn: known.before.msisdn.clone().or_else(|| now.msisdn.clone()),
            from: if self.operation.answer_lost { known.before.sim_status.or(status) } else { status },
            rate_plan,
            command: command.clone(),
            contact,
        };
        Decision::Send(Box::new((Order::Line(Box::new(order)), known)))
    }

    /// Contact data are sealed for the one operation that takes them to the carrier.
    fn unseal(&self) -> Result<Option<Contact>, AppError> {
        let (depot, operation) = (self.depot, self.operation);
        let Some(sealed) = &operation.sealed else {
            return Ok(None);
        };
        let key = depot.store.vault().journal_key().map_err(StoreError::from)?;
        let account = operation.carrier_account.as_str();
        let text = key.open(account, &operation.id.to_string(), sealed).map_err(StoreError::from)?;
        // The error of the format could quote what it does not understand.
        serde_json::from_slice(&text).map(Some).map_err(|_| {
            AppError::Internal(format!("operation {} has contact data that cannot be read", operation.id))
        })
    }
}

fn last_known(profile: &Profile, suspended_by: Option<SuspendedBy>) -> Option<LineReading> {
    let known = profile.sim.as_ref()?;
    Some(LineReading {
        msisdn: profile.msisdn.clone(),
        sim_status: Some(known.status),
        observed_at: known.observed_at,
        dated_by_carrier: known.dated_by_carrier,
        source: Source::Import,
        details: LineDetails { suspended_by, ..LineDetails::default() },
    })
}
