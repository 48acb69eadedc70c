//! Taking a job: checked as a whole, then written down in one transaction. Nothing is made of a job with a wrong line.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value as Json;
use simdepot_domain::channel::{AccountName, Scope};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::LineJobId;
use simdepot_domain::line::{LineCommand, LineRules};
use simdepot_domain::line_job::{LineJobOperation, MAX_ROWS};
use simdepot_domain::operation::OperationRequest;
use simdepot_persistence::line_jobs::{self, LineJob, NewLineJob, NewLineJobRow};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, lines, pools};

use super::get;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};
use crate::line_operations::{LineRequest, complete, may_place};

/// Errors told of one request, and refusals of one preview.
const SHOWN: usize = 100;
/// Lines looked up at a time.
const CHUNK: usize = 500;

/// How a request names its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By their place in `iccids`, from 0.
    List,
    /// By their line in a file, from 1.
    File,
}

impl Origin {
    /// Where something is wrong with a line.
    pub fn pointer(self, at: u64, column: &str) -> String {
        match self {
            Self::List if column == "iccid" => format!("/iccids/{at}"),
            Self::List => format!("/body/{column}"),
            Self::File => format!("/lines/{at}/{column}"),
        }
    }
}

/// One line that is asked for.
#[derive(Debug, Clone)]
pub struct AskedRow {
    /// Where the request names it, as [`Origin`] says.
    pub at: u64,
    /// Its SIM.
    pub iccid: Iccid,
    /// Which of the job's requests it is told.
    pub request: usize,
}

/// What is asked of many lines.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// What they are told; every request is of this operation.
    pub operation: LineJobOperation,
    /// How the lines are named.
    pub origin: Origin,
    /// What lines are told, each once: most are told the same.
    pub requests: Vec<LineRequest>,
    /// The lines.
    pub rows: Vec<AskedRow>,
    /// Whether what cannot be undone was confirmed.
    pub confirmed: bool,
}

/// What a job would do, by what is known of the lines.
#[derive(Debug, Clone)]
pub struct JobPreview {
    /// What the lines would be told.
    pub operation: LineJobOperation,
    /// How many lines.
    pub total: u64,
    /// How many would take it.
    pub would_do: u64,
    /// How many would not.
    pub would_refuse: u64,
    /// Some of those, in the order of the request.
    pub refusals: Vec<WouldRefuse>,
}

/// A line that would not take a command.
#[derive(Debug, Clone)]
pub struct WouldRefuse {
    /// Where the request names it.
    pub pointer: String,
    /// Its SIM.
    pub iccid: Iccid,
    /// Stable code.
    pub code: String,
    /// Why.
    pub detail: String,
}

/// Takes a job. The second value tells whether an earlier request with the key made it.
///
/// # Errors
/// [`AppError::ConfirmationRequired`]; [`AppError::Invalid`] with at most 100 errors; the idempotency errors.
pub async fn create(
    depot: &Depot,
    caller: &Caller,
    asked: JobRequest,
    key: Option<&IdempotencyKey>,
) -> Result<(LineJob, bool), AppError> {
    if asked.operation == LineJobOperation::Terminate && !asked.confirmed {
        return Err(AppError::ConfirmationRequired { what: "the termination of lines" });
    }
    // Another SIM leaves the stock: not for who sees only what was sold to its own channel.
    if asked.operation == LineJobOperation::SwapSim && !caller.works_all_lines() {
        return Err(AppError::Forbidden { scope: Scope::Stock });
    }
    let made = idempotency::once(depot, caller, key, || async {
        let (work, by) = (depot.clone(), caller.clone());
        let operation = asked.operation;
        let rows = depot.store.read(move |conn| Check::of(&work, &by, &asked).rows(conn)).await?;
        write(depot, caller, operation, rows, key).await
    });
    let (id, replayed) = match made.await? {
        Once::Made(id) => (id, false),
        Once::Replayed(id) => (id.parse().map_err(|_| unreadable_record())?, true),
    };
    if !replayed {
        depot.signals.line_jobs.notify_one();
    }
    Ok((get(depot, caller, id).await?, replayed))
}

async fn write(
    depot: &Depot,
    caller: &Caller,
    operation: LineJobOperation,
    rows: Vec<NewLineJobRow>,
    key: Option<&IdempotencyKey>,
) -> Result<LineJobId, AppError> {
    let (work, caller, key, rows) = (depot.clone(), caller.clone(), key.cloned(), Arc::new(rows));
    let count = rows.len();
    let write = depot.write_again(move |conn| {
        let id = LineJobId::generate(work.ids.as_ref());
        let (channel, all_stock) = (caller.channel.clone(), caller.works_all_lines());
        let now = conn.now()?;
        line_jobs::insert(conn, &NewLineJob { id, channel, all_stock, operation }, &rows, now)?;
        let rows = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let fact = Fact::LineJobCreated { operation: operation.to_string(), rows };
        events::append(conn, &[work.event(now, Subject::LineJob(id), 1, fact)])?;
        idempotency::record(conn, &work, &caller, key.as_ref(), 202, &id.to_string())?;
        Ok(id)
    });
    let id = write.await?;
    tracing::info!(job = %id, %operation, rows = count, "line job taken");
    Ok(id)
}

/// Tells what a job would do by what is known of the lines, and does nothing.
///
/// # Errors
/// As [`create`], but for the confirmation.
pub async fn preview(depot: &Depot, caller: &Caller, asked: JobRequest) -> Result<JobPreview, AppError> {
    let (work, by) = (depot.clone(), caller.clone());
    depot.store.read(move |conn| Check::of(&work, &by, &asked).preview(conn)).await
}

/// What a line of an account is told, or what is wrong with it.
type Completed = Result<(LineCommand, Arc<Json>), FieldError>;

/// A line whose profile was found.
struct Found<'a> {
    row: &'a AskedRow,
    profile: Profile,
    account: AccountName,
}

/// A job being checked.
struct Check<'a> {
    depot: &'a Depot,
    caller: &'a Caller,
    asked: &'a JobRequest,
    errors: Vec<FieldError>,
    accounts: HashMap<i64, AccountName>,
    rules: BTreeMap<AccountName, Option<LineRules>>,
    commands: HashMap<(AccountName, usize), Completed>,
}

impl<'a> Check<'a> {
    fn of(depot: &'a Depot, caller: &'a Caller, asked: &'a JobRequest) -> Self {
        Self {
            depot,
            caller,
            asked,
            errors: Vec::new(),
            accounts: HashMap::new(),
            rules: BTreeMap::new(),
            commands: HashMap::new(),
        }
    }

    /// The rows to write down.
    fn rows(mut self, conn: &mut Conn<'_>) -> Result<Vec<NewLineJobRow>, AppError> {
        let mut rows = Vec::with_capacity(self.asked.rows.len());
        self.each_chunk(conn, |check, conn, found| {
            for Found { row, profile, account } in found {
                if let Some((_, command)) = check.command(conn, row, &account)? {
                    rows.push(NewLineJobRow { iccid: profile.iccid, command });
                }
            }
            Ok(())
        })?;
        Ok(rows)
    }

    fn preview(mut self, conn: &mut Conn<'_>) -> Result<JobPreview, AppError> {
        let operation = self.asked.operation;
        let total = u64::try_from(self.asked.rows.len()).unwrap_or(u64::MAX);
        let (mut would_refuse, mut refusals) = (0, Vec::new());
        self.each_chunk(conn, |check, conn, found| {
            let ids: Vec<i64> = found.iter().map(|found| found.profile.id).collect();
            let known = lines::of_profiles(conn, &ids)?;
            for Found { row, profile, account } in found {
                let suspended_by = known.get(&profile.id).and_then(|line| line.details.suspended_by);
                let Some((command, _)) = check.command(conn, row, &account)? else { continue };
                let broken = match (&profile.sim, check.rules.get(&account)) {
                    (Some(seen), Some(Some(rules))) => {
                        rules.check(command.action(), seen.status, suspended_by).err()
                    }
                    _ => None,
                };
                let request = OperationRequest::Line { command };
                let (code, detail) = match broken {
                    Some(broken) => ("invalid-transition".to_owned(), broken.to_string()),
                    None => match may_place(conn, &account, &profile, &request) {
                        Ok(()) => continue,
                        Err(error) => super::work::reason(error)?,
                    },
                };
                would_refuse += 1;
                if refusals.len() < SHOWN {
                    let pointer = check.asked.origin.pointer(row.at, "iccid");
                    refusals.push(WouldRefuse { pointer, iccid: profile.iccid, code, detail });
                }
            }
            Ok(())
        })?;
        Ok(JobPreview { operation, total, would_do: total - would_refuse, would_refuse, refusals })
    }

    /// Goes through the lines in their order; what is wrong with some of them comes back at the end.
    fn each_chunk(
        &mut self,
        conn: &mut Conn<'_>,
        mut each: impl FnMut(&mut Self, &mut Conn<'_>, Vec<Found<'a>>) -> Result<(), AppError>,
    ) -> Result<(), AppError> {
        let asked = self.asked;
        if asked.rows.is_empty() || asked.rows.len() > MAX_ROWS {
            let message = format!("must name 1 to {MAX_ROWS} lines");
            let pointer = if asked.origin == Origin::List { "/iccids" } else { "" };
            return Err(AppError::invalid(pointer, "length", message));
        }
        self.refuse_repeated();
        for chunk in asked.rows.chunks(CHUNK) {
            let found = self.find(conn, chunk)?;
            each(self, conn, found)?;
            if self.errors.len() >= SHOWN {
                break;
            }
        }
        self.errors.truncate(SHOWN);
        if self.errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(std::mem::take(&mut self.errors))) }
    }

    fn wrong(&mut self, at: u64, column: &str, code: &'static str, message: impl Into<String>) {
        if self.errors.len() < SHOWN {
            self.errors.push(FieldError::new(self.asked.origin.pointer(at, column), code, message));
        }
    }

    /// A SIM twice, and a SIM that should take over two lines.
    fn refuse_repeated(&mut self) {
        let asked = self.asked;
        let (mut seen, mut successors) = (HashSet::new(), HashSet::new());
        for row in &asked.rows {
            if !seen.insert(row.iccid.key()) {
                self.wrong(row.at, "iccid", "duplicate", "this SIM is in the job already");
            }
            if let Some(LineRequest { command: LineCommand::SwapSim { new_iccid }, .. }) =
                asked.requests.get(row.request)
                && !successors.insert(new_iccid.key())
            {
                self.wrong(row.at, "new_iccid", "duplicate", "this SIM takes another line of the job over");
            }
        }
    }

    /// The lines whose profile the caller may know of.
    fn find(&mut self, conn: &mut Conn<'_>, rows: &'a [AskedRow]) -> Result<Vec<Found<'a>>, AppError> {
        let keys: Vec<&str> = rows.iter().map(|row| row.iccid.key()).collect();
        let mut known: HashMap<String, Profile> = profiles::of_sims(conn, &keys)?
            .into_iter()
            .map(|profile| (profile.iccid.key().to_owned(), profile))
            .collect();
        if !self.caller.works_all_lines() {
            let ids: Vec<i64> = known.values().map(|profile| profile.id).collect();
            let own: HashSet<i64> =
                profiles::of_channel(conn, &ids, &self.caller.channel)?.into_iter().collect();
            known.retain(|_, profile| own.contains(&profile.id));
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            match known.remove(row.iccid.key()) {
                Some(profile) => {
                    let account = self.account(conn, profile.pool_id)?;
                    found.push(Found { row, profile, account });
                }
                None => self.wrong(row.at, "iccid", "unknown", "there is no such profile"),
            }
        }
        Ok(found)
    }

    fn account(&mut self, conn: &mut Conn<'_>, pool_id: i64) -> Result<AccountName, AppError> {
        if let Some(account) = self.accounts.get(&pool_id) {
            return Ok(account.clone());
        }
        let account = pools::get(conn, pool_id)?.settings.carrier_account;
        let rules = self.depot.account(&account)?.carrier.line_rules();
        self.rules.insert(account.clone(), rules);
        self.accounts.insert(pool_id, account.clone());
        Ok(account)
    }

    /// What the line is told; each request is completed once per account.
    fn command(
        &mut self,
        conn: &mut Conn<'_>,
        row: &AskedRow,
        account: &AccountName,
    ) -> Result<Option<(LineCommand, Arc<Json>)>, AppError> {
        let place = (account.clone(), row.request);
        if !self.commands.contains_key(&place) {
            let completed = self.complete(conn, row.request, account)?;
            self.commands.insert(place.clone(), completed);
        }
        match self.commands.get(&place) {
            Some(Ok(command)) => Ok(Some(command.clone())),
            Some(Err(error)) => {
                let FieldError { pointer, code, message } = error.clone();
                self.wrong(row.at, pointer.trim_start_matches('/'), code, message);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    fn complete(
        &self,
        conn: &mut Conn<'_>,
        request: usize,
        account: &AccountName,
    ) -> Result<Completed, AppError> {
        let Some(Some(rules)) = self.rules.get(account) else {
            let message = format!("the carrier of account {account} has no line operations");
            return Ok(Err(FieldError::new("/iccid", "unsupported-by-carrier", message)));
        };
        let asked = self.asked.requests.get(request);
        let asked = asked.ok_or_else(|| AppError::Internal("a line without its request".to_owned()))?;
        let action = asked.command.action();
        if !rules.offer.has_command(action) {
            let message = format!("the carrier of account {account} has no such operation: {action}");
            return Ok(Err(FieldError::new("/iccid", "unsupported-by-carrier", message)));
        }
        match complete(conn, rules, asked) {
            Ok(command) => {
                let document =
                    serde_json::to_value(&command).map_err(|error| AppError::Internal(error.to_string()))?;
                Ok(Ok((command, Arc::new(document))))
            }
            Err(AppError::Invalid(errors)) => match errors.into_iter().next() {
                Some(error) => Ok(Err(error)),
                None => Err(AppError::Invalid(Vec::new())),
            },
            Err(AppError::NotFound { what }) => {
                Ok(Err(FieldError::new("/service_profile", "unknown", format!("there is no such {what}"))))
            }
            Err(error) => Err(error),
        }
    }
}
