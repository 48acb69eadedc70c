//! What must be known before a command is sent: how the line stands, and whether an earlier sending was taken.

use simdepot_domain::carrier::{
    BundleChangeOrder, BundleReading, Carrier, Concern, LineOrder, LineReading, ReadError, Refusal,
    Unavailable,
};
use simdepot_domain::line::{Contact, Judgement, LineCommand, LineDetails, LineStanding, SuspendedBy, judge};
use simdepot_domain::observation::Source;
use simdepot_domain::operation::{BundleCommand, OperationRequest};
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::StoreError;
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::Profile;

use super::{Known, Order, standing};
use crate::depot::{Account, Depot};
use crate::error::AppError;
use crate::observations::Sightings;

/// What follows from what was read.
#[derive(Debug, Clone)]
pub(super) enum Decision {
    /// Send, with how the line stood before.
    Send(Box<(Order, LineStanding)>),
    /// It is so already, by an earlier sending: nothing is to be sent.
    Reached,
    /// Try again later; nothing was sent.
    Defer(Unavailable),
    /// It cannot be done; nothing was sent.
    Refuse(Refusal),
    /// What it needs cannot be read from our own tables.
    Unpreparable,
}

/// An operation with what was read for it.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub(super) operation: Operation,
    pub(super) seen: Sightings,
    pub(super) decision: Decision,
}

/// Reads what must be known and decides. `suspended_by` is what was known of the line before.
pub(super) async fn gather(
    depot: &Depot,
    account: &Account,
    operation: &Operation,
    profile: &Profile,
    suspended_by: Option<SuspendedBy>,
) -> Result<Gathered, AppError> {
    let carrier = account.carrier.as_ref();
    let gathered = |seen, decision| Gathered { operation: operation.clone(), seen, decision };
    match &operation.request {
        OperationRequest::Line { command } => {
            let (seen, line) = match read_line(carrier, profile, suspended_by).await {
                Ok(read) => read,
                Err(decision) => return Ok(gathered(Sightings::default(), decision)),
            };
            let contact = unseal(depot, operation)?;
            let decision = decide(account, operation, profile, (command, contact), line.as_ref());
            Ok(gathered(seen, decision))
        }
        OperationRequest::ChangeBundle { subscription_id, product, change } => {
            let wanted = Wanted { subscription_id, product, change: *change };
            let (seen, decision) = wanted.gather(carrier, operation, profile).await;
            Ok(gathered(seen, decision))
        }
        OperationRequest::PlaceBundle { .. }
        | OperationRequest::ActivateSubscription { .. }
        | OperationRequest::ChangeDevice { .. }
        | OperationRequest::BlockDevice { .. } => {
            Err(AppError::Internal(format!("operation {} is a sale", operation.id)))
        }
    }
}

/// The line, and what is to be learned of it. An account that may not read it goes by what we last knew.
async fn read_line(
    carrier: &dyn Carrier,
    profile: &Profile,
    suspended_by: Option<SuspendedBy>,
) -> Result<(Sightings, Option<LineReading>), Decision> {
    match carrier.line(&profile.line_key()).await {
        Ok(Some(line)) => Ok((Sightings { line: Some(line.clone()), ..Sightings::default() }, Some(line))),
        Ok(None) => Err(Decision::Refuse(Refusal {
            code: "unknown_to_carrier".to_owned(),
            detail: Some("the carrier does not know this SIM".to_owned()),
            concerns: Concern::Profile,
        })),
        Err(ReadError::Denied { code }) => {
            tracing::debug!(iccid = %profile.iccid, code, "line cannot be read; going by the last known state");
            Ok((Sightings::default(), last_known(profile, suspended_by)))
        }
        Err(ReadError::Unavailable(unavailable)) => Err(Decision::Defer(unavailable)),
        Err(ReadError::Unreadable { what }) => {
            Err(Decision::Defer(Unavailable { reason: what, retry_after_ms: None }))
        }
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

fn decide(
    account: &Account,
    operation: &Operation,
    profile: &Profile,
    (command, contact): (&LineCommand, Option<Contact>),
    line: Option<&LineReading>,
) -> Decision {
    let Some(rules) = account.carrier.line_rules() else {
        return Decision::Refuse(Refusal {
            code: simdepot_domain::carrier::UNSUPPORTED.to_owned(),
            detail: Some("this carrier has no line operations".to_owned()),
            concerns: Concern::Account,
        });
    };
    let now = standing(profile, line);
    let before = if operation.answer_lost { Known::of(operation).before } else { now.clone() };
    if operation.answer_lost && judge(command, &before, &now) == Judgement::Reached {
        return Decision::Reached;
    }
    let status: Option<SimStatus> = line.and_then(|line| line.sim_status).or(now.sim_status);
    if let Some(status) = status
        && let Err(broken) = rules.check(command.action(), status, now.details.suspended_by)
    {
        return Decision::Refuse(Refusal {
            code: "invalid-transition".to_owned(),
            detail: Some(format!("the line is {status}; {broken}")),
            concerns: Concern::LineStatus,
        });
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
        reference: operation.id.to_string(),
        iccid: profile.iccid.clone(),
        msisdn: now.msisdn.clone(),
        from: status,
        rate_plan,
        command: command.clone(),
        contact,
    };
    Decision::Send(Box::new((Order::Line(Box::new(order)), before)))
}

fn unseal(depot: &Depot, operation: &Operation) -> Result<Option<Contact>, AppError> {
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

/// A change of a bundle.
pub(super) struct Wanted<'a> {
    pub(super) subscription_id: &'a str,
    pub(super) product: &'a str,
    pub(super) change: BundleCommand,
}

impl Wanted<'_> {
    async fn gather(
        &self,
        carrier: &dyn Carrier,
        operation: &Operation,
        profile: &Profile,
    ) -> (Sightings, Decision) {
        let (msisdn, listed) = match self.read(carrier, profile).await {
            Ok(read) => read,
            Err(ReadError::Unavailable(why)) => return (Sightings::default(), Decision::Defer(why)),
            Err(ReadError::Unreadable { what: reason }) => {
                let why = Unavailable { reason, retry_after_ms: None };
                return (Sightings::default(), Decision::Defer(why));
            }
            Err(ReadError::Denied { code }) => {
                let detail = Some("the account may not read what must be known before a change".to_owned());
                let refusal = Refusal { code, detail, concerns: Concern::Account };
                return (Sightings::default(), Decision::Refuse(refusal));
            }
        };
        if operation.answer_lost && self.judge(&listed) == Judgement::Reached {
            return (Sightings::default(), Decision::Reached);
        }
        let order = BundleChangeOrder {
            msisdn: msisdn.clone(),
            product: self.product.to_owned(),
            subscription_id: self.subscription_id.to_owned(),
            change: self.change,
            reference: operation.id.to_string(),
        };
        let before = LineStanding { msisdn: Some(msisdn), ..standing(profile, None) };
        (Sightings::default(), Decision::Send(Box::new((Order::Bundle(order), before))))
    }

    /// The line's number, and everything on it.
    pub(super) async fn read(
        &self,
        carrier: &dyn Carrier,
        profile: &Profile,
    ) -> Result<(simdepot_domain::msisdn::Msisdn, Vec<BundleReading>), ReadError> {
        let msisdn = match &profile.msisdn {
            Some(msisdn) => Some(msisdn.clone()),
            None => carrier.line(&profile.line_key()).await?.and_then(|line| line.msisdn),
        };
        let msisdn =
            msisdn.ok_or_else(|| ReadError::Unreadable { what: "the line has no number yet".to_owned() })?;
        let listed = carrier.bundles(&msisdn).await?.unwrap_or_default();
        Ok((msisdn, listed))
    }

    /// What the list shows of the change. A renewal that was cancelled does not show.
    pub(super) fn judge(&self, listed: &[BundleReading]) -> Judgement {
        let bundle = listed.iter().find(|bundle| bundle.subscription_id == self.subscription_id);
        match (self.change, bundle) {
            (_, Some(bundle)) if bundle.status.is_final() => Judgement::Reached,
            (BundleCommand::Terminate, Some(_)) => Judgement::NotReached,
            (BundleCommand::CancelRenewal, _) | (BundleCommand::Terminate, None) => Judgement::Unclear,
        }
    }
}
