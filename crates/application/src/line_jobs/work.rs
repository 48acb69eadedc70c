//! The worker of line jobs: finishes the rows whose operation has ended, and makes operations of the next ones.
//!
//! A leased job has a window of open rows, so that a large job does not fill the queue of the operations before those of
//! others. Every transaction reads the job anew under the lease: what a pause changed counts at once.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use simdepot_domain::channel::AccountName;
use simdepot_domain::id::{LineJobId, OperationId};
use simdepot_domain::line_job::{LineJobCounts, LineJobRowStatus, LineJobStatus};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_persistence::line_jobs::{self, LineJob, QueuedRow};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, operations, pools};
use uuid::Uuid;

use super::move_to;
use crate::depot::Depot;
use crate::error::AppError;
use crate::line_operations::{Placing, may_place, place};

/// Most rows of a job whose operations are open.
const WINDOW: u64 = 512;
/// Rows taken from the queue in one transaction.
const CHUNK: u64 = 128;
/// Such transactions in one step.
const CHUNKS: usize = 8;
/// Jobs looked at for one that has work.
const LOOKED_AT: i64 = 64;
/// Before a job is looked at again whose lines are all under way, or busy otherwise.
const PAUSE: TimeDelta = TimeDelta::milliseconds(500);
/// Before a job is looked at again of which people decide the rest.
const LONG_PAUSE: TimeDelta = TimeDelta::seconds(10);

/// Goes on with a job. `false` when none has anything to do.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    // Looked for without a write transaction first: idle workers must not queue for SQLite's only writer.
    let Some(id) = depot.store.read(next).await? else {
        return Ok(false);
    };
    let (token, length) = (depot.ids.uuid(), depot.work.lease);
    let leased = depot.store.write(move |conn| {
        let now = conn.now()?;
        line_jobs::lease(conn, id, token, now, now + length)
    });
    if !leased.await? {
        return Ok(false);
    }
    match work(depot, id, token).await {
        // Another worker has it since, or somebody changed it again and again.
        Err(error) if error.is_race() => {
            tracing::info!(job = %id, %error, "a line job met a concurrent change");
            Ok(true)
        }
        worked => worked,
    }
}

/// The first job that is due and has something to do. One whose window is full and of which nothing has ended is
/// looked at by a read alone.
fn next(conn: &mut Conn<'_>) -> Result<Option<LineJobId>, AppError> {
    let now = conn.now()?;
    for job in line_jobs::due(conn, now, LOOKED_AT)? {
        let tells =
            job.status == LineJobStatus::Running && job.counts.queued() > 0 && job.counts.running < WINDOW;
        // Of a job without open rows people decide the rest: it is looked at seldom, so the pause is written down.
        let waits = job.counts.running == 0;
        if tells || waits || !line_jobs::ended(conn, job.id, corrects(&job), 1)?.is_empty() {
            return Ok(Some(job.id));
        }
    }
    Ok(None)
}

/// Whether decisions of people are looked for: with every step when they are few, else when nothing else is left to do.
fn corrects(job: &LineJob) -> bool {
    job.counts.running == 0 || job.counts.needs_attention <= WINDOW
}

async fn work(depot: &Depot, id: LineJobId, token: Uuid) -> Result<bool, AppError> {
    let mut changed = finish(depot, id, token).await?;
    for _ in 0..CHUNKS {
        let told = tell(depot, id, token).await?;
        changed += told.changed;
        if told.looked_at == 0 {
            break;
        }
    }
    let write = depot.store.write(move |conn| {
        let (job, now) = (line_jobs::leased(conn, id, token)?, conn.now()?);
        let under_way = job.status == LineJobStatus::Running || job.counts.running > 0;
        let pause = match (changed, under_way) {
            (0, true) => PAUSE,
            (0, false) => LONG_PAUSE,
            _ => TimeDelta::zero(),
        };
        line_jobs::release(conn, &job, token, now, now + pause)
    });
    write.await?;
    Ok(changed > 0)
}

fn count(outcome: LineJobRowStatus, rows: usize) {
    let rows = u64::try_from(rows).unwrap_or_default();
    metrics::counter!("simdepot_line_job_rows_total", "outcome" => outcome.to_string()).increment(rows);
}

/// Gives the rows their result whose operation has one; returns how many.
async fn finish(depot: &Depot, id: LineJobId, token: Uuid) -> Result<usize, AppError> {
    let work = depot.clone();
    let write = depot.write_again(move |conn| {
        let job = line_jobs::leased(conn, id, token)?;
        let limit = i64::try_from(WINDOW).unwrap_or(i64::MAX);
        let ended = line_jobs::ended(conn, id, corrects(&job), limit)?;
        let (mut counts, mut moved) = (job.counts, Vec::with_capacity(ended.len()));
        let mut done: BTreeMap<&str, (LineJobRowStatus, Vec<i64>)> = BTreeMap::new();
        for row in ended {
            let to = match row.outcome {
                OperationStatus::Done => LineJobRowStatus::Done,
                OperationStatus::Refused | OperationStatus::Cancelled => LineJobRowStatus::Refused,
                OperationStatus::NeedsAttention => LineJobRowStatus::NeedsAttention,
                OperationStatus::Pending
                | OperationStatus::Sent
                | OperationStatus::Accepted
                | OperationStatus::Unknown => continue,
            };
            counts = counts.after(row.status, to);
            moved.push(to);
            if to == LineJobRowStatus::Done {
                let group = done.entry(row.status.into()).or_insert((row.status, Vec::new()));
                group.1.push(row.position);
            } else {
                let cancelled = json!({ "code": "cancelled", "detail": "the operation was cancelled" });
                let problem = row.problem.unwrap_or(cancelled);
                line_jobs::end_rows(conn, id, &[row.position], (row.status, to), Some(&problem))?;
            }
        }
        for (from, positions) in done.values() {
            line_jobs::end_rows(conn, id, positions, (*from, LineJobRowStatus::Done), None)?;
        }
        if !moved.is_empty() {
            settle(conn, &work, &job, token, counts, job.passed)?;
        }
        Ok(moved)
    });
    let moved = write.await?;
    for to in [LineJobRowStatus::Done, LineJobRowStatus::Refused, LineJobRowStatus::NeedsAttention] {
        let rows = moved.iter().filter(|moved| **moved == to).count();
        if rows > 0 {
            count(to, rows);
        }
    }
    Ok(moved.len())
}

/// Records the counts, and completes a job that has nothing left to do.
fn settle(
    conn: &mut Conn<'_>,
    depot: &Depot,
    job: &LineJob,
    token: Uuid,
    counts: LineJobCounts,
    passed: i64,
) -> Result<(), AppError> {
    let now = conn.now()?;
    line_jobs::progress(conn, job, token, &counts, passed, now)?;
    if counts.all_ended() && job.status != LineJobStatus::Completed {
        move_to(conn, depot, job, LineJobStatus::Completed)?;
    }
    Ok(())
}

/// What became of some rows of the queue.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// How many were looked at.
    looked_at: usize,
    /// How many have an operation now, or were refused.
    changed: usize,
}

/// What becomes of one row.
enum Turn {
    Placed(OperationId),
    /// Another operation of the profile is open: its turn comes in the next round.
    Busy,
    Refused(Json),
}

/// Makes operations of the next rows. When that fails for a reason that would not pass, each row is tried by itself: one
/// of them must not keep the others from their turn.
async fn tell(depot: &Depot, id: LineJobId, token: Uuid) -> Result<Told, AppError> {
    match tell_some(depot, id, token, CHUNK, None).await {
        Err(error) if !error.is_race() && !error.may_pass() => {
            tracing::warn!(job = %id, %error, "rows of a line job are tried one by one");
        }
        told => return told,
    }
    let mut all = Told::default();
    for _ in 0..CHUNK {
        let told = match tell_some(depot, id, token, 1, None).await {
            Err(error) if !error.is_race() && !error.may_pass() => {
                tracing::error!(job = %id, %error, "a row of a line job cannot be told");
                let detail = "it could not be written down; the log has the cause".to_owned();
                let problem = json!({ "code": "internal", "detail": detail });
                tell_some(depot, id, token, 1, Some(problem)).await?
            }
            told => told?,
        };
        if told.looked_at == 0 {
            break;
        }
        all = Told { looked_at: all.looked_at + 1, changed: all.changed + told.changed };
    }
    Ok(all)
}

/// At most `limit` rows, in one transaction. With `refusal` they are refused unseen.
async fn tell_some(
    depot: &Depot,
    id: LineJobId,
    token: Uuid,
    limit: u64,
    refusal: Option<Json>,
) -> Result<Told, AppError> {
    let work = depot.clone();
    let write = depot.write_again(move |conn| {
        let job = line_jobs::leased(conn, id, token)?;
        let limit = limit.min(WINDOW.saturating_sub(job.counts.running));
        if job.status != LineJobStatus::Running || limit == 0 {
            return Ok((Told::default(), 0, 0));
        }
        let queued = line_jobs::queued_after(conn, id, job.passed, i64::try_from(limit).unwrap_or(i64::MAX))?;
        let Some(last) = queued.last().map(|row| row.position) else {
            // The round is over; those that were passed over are next.
            if job.passed > 0 {
                settle(conn, &work, &job, token, job.counts, 0)?;
            }
            return Ok((Told::default(), 0, 0));
        };
        let looked_at = queued.len();
        let (mut counts, mut placed, mut refused) = (job.counts, 0, 0);
        let mut telling = Telling::of(conn, &work, &job, &queued)?;
        for (row, profile) in telling.in_order(queued) {
            let turn = match &refusal {
                Some(problem) => Turn::Refused(problem.clone()),
                None => telling.turn(conn, &row, profile)?,
            };
            let queued = LineJobRowStatus::Queued;
            match turn {
                Turn::Busy => {}
                Turn::Placed(operation) => {
                    line_jobs::start_row(conn, id, row.position, operation)?;
                    counts = counts.after(queued, LineJobRowStatus::Running);
                    placed += 1;
                }
                Turn::Refused(problem) => {
                    let to = LineJobRowStatus::Refused;
                    line_jobs::end_rows(conn, id, &[row.position], (queued, to), Some(&problem))?;
                    counts = counts.after(queued, to);
                    refused += 1;
                }
            }
        }
        settle(conn, &work, &job, token, counts, last)?;
        Ok((Told { looked_at, changed: placed + refused }, placed, refused))
    });
    let (told, placed, refused) = write.await?;
    if placed > 0 {
        depot.signals.lines.notify_one();
    }
    if refused > 0 {
        count(LineJobRowStatus::Refused, refused);
    }
    Ok(told)
}

/// Rows of a job about to be told.
struct Telling<'a> {
    depot: &'a Depot,
    job: &'a LineJob,
    profiles: HashMap<String, Profile>,
    accounts: HashMap<i64, AccountName>,
}

impl<'a> Telling<'a> {
    fn of(
        conn: &mut Conn<'_>,
        depot: &'a Depot,
        job: &'a LineJob,
        queued: &[QueuedRow],
    ) -> Result<Self, AppError> {
        let keys: Vec<&str> = queued.iter().map(|row| row.iccid.key()).collect();
        let found = profiles::of_sims(conn, &keys)?.into_iter();
        let profiles = found.map(|profile| (profile.iccid.key().to_owned(), profile)).collect();
        Ok(Self { depot, job, profiles, accounts: HashMap::new() })
    }

    /// The rows with the rows of their profiles, in the order of those: whoever locks several does so in one order.
    fn in_order(&self, queued: Vec<QueuedRow>) -> Vec<(QueuedRow, Option<i64>)> {
        let mut rows: Vec<_> = queued
            .into_iter()
            .map(|row| {
                let profile = self.profiles.get(row.iccid.key()).map(|profile| profile.id);
                (row, profile)
            })
            .collect();
        rows.sort_by_key(|(row, profile)| (*profile, row.position));
        rows
    }

    /// Whether the line may take the command in its status is the operations' worker's to see: it reads the line.
    fn turn(&mut self, conn: &mut Conn<'_>, row: &QueuedRow, profile: Option<i64>) -> Result<Turn, AppError> {
        let gone = || Turn::Refused(problem("not-found", "there is no such profile any more"));
        let Some(profile) = profile else {
            return Ok(gone());
        };
        let profile = profiles::lock(conn, profile)?;
        // It may have been taken back from the channel since.
        if !self.job.all_stock && !profiles::belongs_to(conn, profile.id, &self.job.channel)? {
            return Ok(gone());
        }
        if operations::open_of(conn, profile.id)?.is_some() {
            return Ok(Turn::Busy);
        }
        let account = self.account(conn, profile.pool_id)?;
        let request = OperationRequest::Line { command: row.command.clone() };
        if let Err(error) = may_place(conn, &account, &profile, &request) {
            let (code, detail) = reason(error)?;
            return Ok(Turn::Refused(problem(&code, &detail)));
        }
        let id = OperationId::generate(self.depot.ids.as_ref());
        let placing = Placing { id, account: &account, request, sealed: None };
        place(conn, self.depot, &profile, placing)?;
        Ok(Turn::Placed(id))
    }

    fn account(&mut self, conn: &mut Conn<'_>, pool_id: i64) -> Result<AccountName, AppError> {
        if let Some(account) = self.accounts.get(&pool_id) {
            return Ok(account.clone());
        }
        let account = pools::get(conn, pool_id)?.settings.carrier_account;
        self.accounts.insert(pool_id, account.clone());
        Ok(account)
    }
}

fn problem(code: &str, detail: &str) -> Json {
    json!({ "code": code, "detail": detail })
}

/// Code and words of what keeps one line from being told.
///
/// # Errors
/// What is not about the line.
pub(super) fn reason(error: AppError) -> Result<(String, String), AppError> {
    match error {
        AppError::InvalidTransition { detail, .. } => Ok(("invalid-transition".to_owned(), detail)),
        AppError::Invalid(errors) => match errors.into_iter().next() {
            Some(error) => Ok((error.code.to_owned(), error.message)),
            None => Err(AppError::Invalid(Vec::new())),
        },
        AppError::NotFound { what } => Ok(("not-found".to_owned(), format!("there is no such {what}"))),
        other => Err(other),
    }
}
