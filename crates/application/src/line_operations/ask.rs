//! Asking for a command: checked against the line as it is now, then written down for the workers.

use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::{Capability, ReadError};
use simdepot_domain::channel::{AccountName, Scope};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{BundleId, OperationId};
use simdepot_domain::line::{Contact, LineAction, LineCommand, LineRules, LineSetup, RuleBroken};
use simdepot_domain::operation::{BundleCommand, OperationRequest, OperationStatus};
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::operations::{self, NewOperation};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, StoreError, bundles, events, lines};

use super::books;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once};
use crate::lines::operable;
use crate::observations::{self, Sightings};
use crate::operations::{OperationView, get};
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

/// A command about to be written down.
pub(crate) struct Placing<'a> {
    /// Its id.
    pub(crate) id: OperationId,
    /// At which account.
    pub(crate) account: &'a AccountName,
    /// The command in full.
    pub(crate) request: OperationRequest,
    /// Contact data, sealed.
    pub(crate) sealed: Option<Vec<u8>>,
}

/// Whether the stock lets a command be placed, apart from open operations.
///
/// # Errors
/// [`AppError::InvalidTransition`] for a profile that the command may not take into use; [`AppError::Invalid`] for a SIM
/// that cannot take a line over.
pub(crate) fn may_place(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile: &Profile,
    request: &OperationRequest,
) -> Result<(), AppError> {
    books::check(conn, account, profile, request)
}

/// Writes a command to a locked profile's line down, in the caller's transaction: what it takes into use leaves the stock
/// with it.
///
/// # Errors
/// [`AppError::InvalidTransition`] for a profile that the command may not take into use; `Unique` while another operation
/// of the profile is open.
pub(crate) fn place(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    placing: Placing<'_>,
) -> Result<(), AppError> {
    let Placing { id, account, request, sealed } = placing;
    let iccid = profile.iccid.clone();
    write_down(
        conn,
        depot,
        NewOperation {
            id,
            carrier_account: account.clone(),
            request: request.clone(),
            profile_id: profile.id,
            allocation_id: None,
            order: None,
            bundle: None,
            sealed,
        },
        &iccid,
    )?;
    books::take_into_use(conn, depot, account, profile, (id, &request))
}

fn write_down(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: NewOperation,
    iccid: &Iccid,
) -> Result<(), AppError> {
    let (id, now) = (operation.id, conn.now()?);
    let pending = Fact::OperationStatusChanged {
        iccid: iccid.clone(),
        kind: Some(operation.request.kind().to_owned()),
        from: None,
        to: OperationStatus::Pending,
        order_type: None,
        code: None,
        reason: None,
    };
    operations::insert_many(conn, &[operation], now)?;
    events::append(conn, &[depot.event(now, Subject::Operation(id), 1, pending)])?;
    Ok(())
}

/// Asks for something to be done with the device that a line is used in: written down at once, carried out soon. The second
/// value tells whether an earlier request with the key did it.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] for a line that is not in service, for a profile that is
/// reserved or out of the stock, or while another operation of the profile is open; [`AppError::Invalid`] for a SIM that
/// cannot take the line over.
pub async fn request(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    request: OperationRequest,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    if request.successor().is_some() && !caller.works_all_lines() {
        return Err(AppError::Forbidden { scope: Scope::Stock });
    }
    let kind = request.kind();
    let made = idempotency::once(depot, caller, key, || async {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        let write = depot.write_again(move |conn| {
            let (profile, account) = operable(conn, &caller, &iccid)?;
            let profile = profiles::lock(conn, profile.id)?;
            in_service(&profile, &request)?;
            let id = OperationId::generate(work.ids.as_ref());
            // Before the operation: a parallel request with the key shall find the key taken, and not the profile busy.
            idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
            let placing = Placing { id, account: &account, request: request.clone(), sealed: None };
            place(conn, &work, &profile, placing)?;
            Ok(id)
        });
        write.await.map_err(|error| open_operation(error, kind))
    });
    taken(depot, caller, made.await?).await
}

/// Whether a request could be written down now, by what is known of the line.
///
/// # Errors
/// As [`request`].
pub(crate) fn may_request(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile: &Profile,
    request: &OperationRequest,
) -> Result<(), AppError> {
    in_service(profile, request)?;
    books::check(conn, account, profile, request)?;
    if operations::open_of(conn, profile.id)?.is_some() { Err(busy(request.kind())) } else { Ok(()) }
}

/// Only a line in service moves to another device. A line of which nothing is known is the worker's to judge.
fn in_service(profile: &Profile, request: &OperationRequest) -> Result<(), AppError> {
    let status = profile.sim.as_ref().map(|seen| seen.status);
    match (request, status) {
        (OperationRequest::ChangeDevice { .. }, Some(status)) if status != SimStatus::Active => {
            Err(AppError::InvalidTransition {
                from: status.to_string(),
                command: request.kind().to_owned(),
                detail: "only a line that is active changes its device".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Changes a bundle that the carrier has: written down at once, carried out soon.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] for a bundle that is over or that the carrier has not
/// confirmed, or while another operation of the profile is open.
pub async fn change_bundle(
    depot: &Depot,
    caller: &Caller,
    (iccid, bundle): (Iccid, BundleId),
    change: BundleCommand,
    key: Option<&IdempotencyKey>,
) -> Result<(OperationView, bool), AppError> {
    let made = idempotency::once(depot, caller, key, || async {
        let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
        let write = depot.write_again(move |conn| {
            let (profile, _) = operable(conn, &caller, &iccid)?;
            let profile = profiles::lock(conn, profile.id)?;
            let bundle = bundles::find(conn, bundle)?.filter(|bundle| bundle.profile_id == profile.id);
            let bundle = bundle.ok_or(AppError::NotFound { what: "bundle" })?;
            if let Some(account) = work.accounts.get(&bundle.carrier_account) {
                account.require(Capability::Products)?;
            }
            let subscription_id = changeable(&bundle.status, bundle.subscription_id.clone(), change)?;
            let id = OperationId::generate(work.ids.as_ref());
            // Before the operation: a parallel request with the key shall find the key taken, and not the profile busy.
            idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
            let operation = NewOperation {
                id,
                carrier_account: bundle.carrier_account.clone(),
                request: OperationRequest::ChangeBundle { subscription_id, product: bundle.product, change },
                profile_id: profile.id,
                allocation_id: None,
                order: None,
                bundle: Some(bundle.id),
                sealed: None,
            };
            write_down(conn, &work, operation, &profile.iccid)?;
            Ok(id)
        });
        write.await.map_err(|error| open_operation(error, change.as_ref()))
    });
    taken(depot, caller, made.await?).await
}

fn changeable(
    status: &BundleStatus,
    subscription_id: Option<String>,
    change: BundleCommand,
) -> Result<String, AppError> {
    match subscription_id {
        Some(subscription_id) if status.is_usable() => Ok(subscription_id),
        _ => Err(AppError::InvalidTransition {
            from: status.to_string(),
            command: change.to_string(),
            detail: "only a bundle that the carrier has, and that is not over, is changed".to_owned(),
        }),
    }
}

/// The one-open-operation index: a second write must not start before the first is decided.
fn open_operation(error: AppError, command: &str) -> AppError {
    match error {
        AppError::Store(StoreError::Unique { .. }) => busy(command),
        other => other,
    }
}

fn busy(command: &str) -> AppError {
    AppError::InvalidTransition {
        from: "operation_open".to_owned(),
        command: command.to_owned(),
        detail: "another carrier operation of this profile is open; try again when it has ended".to_owned(),
    }
}

async fn taken(
    depot: &Depot,
    caller: &Caller,
    made: Once<OperationId>,
) -> Result<(OperationView, bool), AppError> {
    let (id, replayed) = match made {
        Once::Made(id) => (id, false),
        Once::Replayed(id) => (id.parse().map_err(|_| idempotency::unreadable_record())?, true),
    };
    depot.signals.lines.notify_one();
    Ok((get(depot, caller, id).await?, replayed))
}
