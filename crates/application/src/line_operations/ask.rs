//! Asking for a command: checked against the line as it is now, then written down for the workers.

use simdepot_domain::carrier::ReadError;
use simdepot_domain::channel::{AccountName, Scope};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::line::{Contact, LineAction, LineCommand, LineRules, LineSetup, RuleBroken};
use simdepot_domain::operation::OperationRequest;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::operations::{self};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, StoreError, lines};

use super::books;
use super::place::{Placing, busy, open_operation, place, taken};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey};
use crate::lines::operable;
use crate::observations::{self, Sightings};
use crate::operations::OperationView;
use crate::{rate_plans, service_profiles};

/// What is asked of a line.
#[derive(Debug, Clone)]
pub struct LineRequest {
    /// The command.
    pub command: LineCommand,
    /// With [`LineCommand::SetContact`].
    pub contact: Option<Contact>,
    /// The service profile that the setup is laid over.
    pub service_profile: Option<String>,
}

/// What a command would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// To which line.
    pub iccid: Iccid,
    /// The command in full.
    pub command: LineCommand,
    /// How the line stands.
    pub from: Option<SimStatus>,
    /// How it will stand; as it does when the command does not change that.
    pub to: Option<SimStatus>,
}

/// Whom a command is for.
#[derive(Clone)]
struct Target {
    profile: Profile,
    account: AccountName,
    rules: LineRules,
}

/// Tells a line something: written down at once, carried out soon. The second value tells whether an earlier request with
/// the key did it.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Unsupported`]; [`AppError::InvalidTransition`] with the rule, or while
/// another operation of the profile is open; [`AppError::Invalid`].
pub async fn command(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    asked: LineRequest,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    let action = asked.command.action();
    allow(caller, &asked.command)?;
    let made = idempotency::once(depot, caller, key, || async {
        let target = target(depot, caller, &iccid, action).await?;
        let seen = look(depot, &target).await;
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        let write = depot.write_again(move |conn| {
            let profile = profiles::lock(conn, target.profile.id)?;
            let profile = observations::learn(conn, &work, profile, &seen, work.now())?;
            let command = complete(conn, &target.rules, &asked)?;
            check(conn, &target.rules, &profile, &command)?;
            let id = OperationId::generate(work.ids.as_ref());
            // Before the operation: a parallel request with the key shall find the key taken, and not the profile busy.
            idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
            let sealed = seal(&work, &target.account, id, asked.contact.as_ref())?;
            let request = OperationRequest::Line { command };
            place(conn, &work, &profile, Placing { id, account: &target.account, request, sealed })?;
            Ok(id)
        });
        write.await.map_err(|error| open_operation(error, action.as_ref()))
    });
    let view = taken(depot, caller, made.await?).await?;
    if !view.1 {
        metrics::counter!("simdepot_line_commands_total", "action" => action.to_string()).increment(1);
    }
    Ok(view)
}

/// Tells what a command would do, and does nothing.
///
/// # Errors
/// As [`command`].
pub async fn preview(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    asked: LineRequest,
) -> Result<Preview, AppError> {
    allow(caller, &asked.command)?;
    let target = target(depot, caller, &iccid, asked.command.action()).await?;
    let seen = look(depot, &target).await;
    let work = depot.clone();
    let write = depot.write_again(move |conn| {
        let profile = profiles::lock(conn, target.profile.id)?;
        let profile = observations::learn(conn, &work, profile, &seen, work.now())?;
        let command = complete(conn, &target.rules, &asked)?;
        let to = check(conn, &target.rules, &profile, &command)?;
        let request = OperationRequest::Line { command: command.clone() };
        books::check(conn, &target.account, &profile, &request)?;
        if operations::open_of(conn, profile.id)?.is_some() {
            return Err(busy(command.action().as_ref()));
        }
        let from = profile.sim.as_ref().map(|seen| seen.status);
        Ok(Preview { iccid: profile.iccid, command, from, to: to.or(from) })
    });
    write.await
}

/// A SIM swap takes another SIM out of the stock: not for who sees only what was sold to its own channel.
fn allow(caller: &Caller, command: &LineCommand) -> Result<(), AppError> {
    match command {
        LineCommand::SwapSim { .. } if !caller.works_all_lines() => {
            Err(AppError::Forbidden { scope: Scope::Stock })
        }
        _ => Ok(()),
    }
}

async fn target(
    depot: &Depot,
    caller: &Caller,
    iccid: &Iccid,
    action: LineAction,
) -> Result<Target, AppError> {
    let (caller, iccid) = (caller.clone(), iccid.clone());
    let read = depot.store.read(move |conn| operable(conn, &caller, &iccid));
    let (profile, account) = read.await?;
    let rules = depot.account(&account)?.carrier.line_rules();
    let rules = rules.filter(|rules| rules.offer.has_command(action)).ok_or_else(AppError::unsupported)?;
    Ok(Target { profile, account, rules })
}

/// The line as it is now. A carrier that cannot be read now is no reason to refuse: the worker reads it again.
async fn look(depot: &Depot, target: &Target) -> Sightings {
    let Ok(account) = depot.account(&target.account) else {
        return Sightings::default();
    };
    let (iccid, key) = (&target.profile.iccid, target.profile.line_key());
    let line = match tokio::time::timeout(account.timeout, account.carrier.line(&key)).await {
        Ok(Ok(line)) => line,
        Ok(Err(ReadError::Denied { .. })) | Err(_) => None,
        Ok(Err(error)) => {
            tracing::info!(%iccid, %error, "the line cannot be read; going by what is known of it");
            None
        }
    };
    Sightings { line, ..Sightings::default() }
}

/// The command with its service profile and rate plan, checked against what the rate plan allows.
///
/// # Errors
/// [`AppError::Invalid`]; [`AppError::NotFound`] for a service profile that does not exist.
pub(crate) fn complete(
    conn: &mut Conn<'_>,
    rules: &LineRules,
    asked: &LineRequest,
) -> Result<LineCommand, AppError> {
    let name = asked.service_profile.as_deref();
    let mut command = asked.command.clone();
    if let LineCommand::Activate(setup) | LineCommand::Modify(setup) | LineCommand::TestMode(setup) =
        &mut command
    {
        *setup = service_profiles::resolve(conn, name, std::mem::take(setup))?;
    }
    let named = command.setup().and_then(|setup| setup.rate_plan.clone());
    let Some(rate_plan) = named.or_else(|| rules.rate_plan.clone()) else {
        if !rules.offer.has_rate_plans() {
            return Ok(command);
        }
        let message = "the account has no rate_plan, and the carrier wants one with every command";
        return Err(AppError::invalid("/rate_plan", "required", message));
    };
    if let Some(LineSetup { options, .. }) = command.setup() {
        rate_plans::check(conn, &rate_plan, options)?;
    }
    Ok(command)
}

/// Whether the line takes the command in its status, as last seen. A line of which nothing is known is the worker's to
/// judge.
fn check(
    conn: &mut Conn<'_>,
    rules: &LineRules,
    profile: &Profile,
    command: &LineCommand,
) -> Result<Option<SimStatus>, AppError> {
    let Some(status) = profile.sim.as_ref().map(|seen| seen.status) else {
        return Ok(None);
    };
    let suspended_by = lines::find(conn, profile.id)?.and_then(|line| line.details.suspended_by);
    rules.check(command.action(), status, suspended_by).map_err(|broken| forbidden(&broken))
}

fn forbidden(broken: &RuleBroken) -> AppError {
    AppError::InvalidTransition {
        from: broken.from.to_string(),
        command: broken.action.to_string(),
        detail: broken.to_string(),
    }
}

/// Contact data are sealed for the one operation that takes them to the carrier.
fn seal(
    depot: &Depot,
    account: &AccountName,
    id: OperationId,
    contact: Option<&Contact>,
) -> Result<Option<Vec<u8>>, AppError> {
    let Some(contact) = contact else {
        return Ok(None);
    };
    let text = serde_json::to_vec(contact).map_err(|error| AppError::Internal(error.to_string()))?;
    let key = depot.store.vault().journal_key().map_err(StoreError::from)?;
    Ok(Some(key.seal(account.as_str(), &id.to_string(), &text).map_err(StoreError::from)?))
}
