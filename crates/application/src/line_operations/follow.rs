//! Following commands that the carrier works on, or whose answer was lost, until what became of them is known.
//!
//! The carrier is asked for the transaction; where it has none, or its answer was lost, the line itself tells. A line
//! that stays as it was for long enough proves that a lost command was not taken: it is sent again, unless that could
//! do it twice.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;
use simdepot_domain::carrier::{Concern, LineKey, LineReading, ReadError, Refusal, TransactionReading};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::{Judgement, LineAction, LineCommand, judge};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::profiles::{self, Profile};

use super::gather::Wanted;
use super::outcome::{self, Done, Ended};
use super::recording::action_of;
use super::work::batch;
use super::{Known, standing};
use crate::depot::{Account, Depot};
use crate::error::AppError;
use crate::observations::Sightings;

/// Left of a lease for writing down what was read.
const WRITING: TimeDelta = TimeDelta::seconds(2);
/// Shortest pause between two looks.
const SHORTEST: TimeDelta = TimeDelta::seconds(1);
/// Longest pause while the answer is lost, and while the carrier says that it works on it.
const LONGEST_LOST: TimeDelta = TimeDelta::seconds(15);
const LONGEST_ACCEPTED: TimeDelta = TimeDelta::minutes(5);
/// A pause begins with the bill cycle after next at the latest.
const LONGEST_SCHEDULE: TimeDelta = TimeDelta::days(62);

/// Looks into some open commands that are due. `false` when there were none.
///
/// # Errors
/// When the store cannot be asked. What goes wrong at the carrier is seen again later.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let due = depot.store.read(|conn| {
        let now = conn.now()?;
        operations::any_to_follow(conn, now)
    });
    if !due.await? {
        return Ok(false);
    }
    // Whose commands these will be is not known yet.
    let lengths = depot.accounts.values().map(|account| depot.lease_of(account));
    let (token, length) = (depot.ids.uuid(), lengths.max().unwrap_or(depot.work.lease));
    let most = depot.accounts.values().map(batch).min().unwrap_or(1);
    let leased = depot.store.write(move |conn| {
        let now = conn.now()?;
        operations::lease_to_follow(conn, (token, now + length), now, most)
    });
    let lease = leased.await?;
    if lease.operations.is_empty() {
        return Ok(false);
    }
    let ids: Vec<i64> = lease.operations.iter().map(|operation| operation.profile_id).collect();
    let (profiles, now) = depot
        .store
        .read(move |conn| Ok::<_, AppError>((profiles::get_many(conn, &ids)?, conn.now()?)))
        .await?;
    let looks = lease.operations.iter().filter_map(|operation| {
        let profile = profiles.iter().find(|profile| profile.id == operation.profile_id)?;
        Some(async move { (operation.clone(), Look { depot, operation, profile, now }.look().await) })
    });
    let looked = Box::pin(join_all(looks)).await;
    outcome::record(depot, token, looked).await?;
    depot.signals.lines.notify_one();
    Ok(true)
}

/// One look at one command.
struct Look<'a> {
    depot: &'a Depot,
    operation: &'a Operation,
    profile: &'a Profile,
    now: DateTime<Utc>,
}

/// What the carrier says of a transaction.
enum Word {
    Done,
    Failed(Refusal),
    /// It works on it.
    Pending(String),
    /// It cannot tell of transactions, or does not know this one.
    Silent,
    /// It cannot be asked now.
    Unreachable(String),
}

impl Look<'_> {
    async fn look(&self) -> Ended {
        let account = match self.depot.account(&self.operation.carrier_account) {
            Ok(account) => account,
            Err(error) => return self.open(error.to_string()),
        };
        let limit = (self.depot.lease_of(account) - WRITING).to_std().unwrap_or_default();
        let limit = limit.min(account.timeout * 3).max(Duration::from_secs(1));
        match tokio::time::timeout(limit, Box::pin(self.ask(account))).await {
            Ok(ended) => ended,
            Err(_) => self.open("the carrier did not answer in time".to_owned()),
        }
    }

    async fn ask(&self, account: &Account) -> Ended {
        let word = match self.transaction() {
            Some(id) => transaction(account, &id).await,
            None => Word::Silent,
        };
        match &self.operation.request {
            OperationRequest::Line { command } => self.by_line(account, command, word).await,
            OperationRequest::ChangeBundle { subscription_id, product, change } => {
                let wanted = Wanted { subscription_id, product, change: *change };
                self.by_list(account, &wanted).await
            }
            OperationRequest::PlaceBundle { .. }
            | OperationRequest::ActivateSubscription { .. }
            | OperationRequest::ChangeDevice { .. }
            | OperationRequest::BlockDevice { .. } => self.open("this is a sale".to_owned()),
        }
    }

    /// The carrier's id of it: from its answer, or from an event that came although the answer was lost.
    fn transaction(&self) -> Option<String> {
        let known = self.operation.carrier_reference.clone();
        // What an answer that could not be read was kept as is no id.
        let told = || self.operation.hints.iter().rev().find(|hint| !hint.contains(' ')).cloned();
        known.or_else(told)
    }

    async fn by_line(&self, account: &Account, command: &LineCommand, word: Word) -> Ended {
        match word {
            Word::Done if self.is_acknowledged() => {
                let evidence = json!({ "source": "transaction", "transaction": self.transaction() });
                let seen = self.read(account, self.profile).await.ok().flatten();
                self.done(account, command, "transaction_done", evidence, seen).await
            }
            Word::Failed(refusal) if self.is_acknowledged() => {
                // Of a command that was sent twice the second may have failed because the first was done.
                let seen = self.read(account, self.profile).await.ok().flatten();
                let repeated = self.operation.answer_lost && self.operation.attempts > 1;
                let now = standing(self.profile, seen.as_ref());
                let before = Known::of(self.operation).before;
                if repeated && judge(command, &before, &now) == Judgement::Reached {
                    let evidence = json!({ "source": "line", "before": before, "now": now });
                    return self.done(account, command, "found_at_carrier", evidence, seen).await;
                }
                Ended::Failed(refusal, Box::new(sightings(seen)))
            }
            // What an event named while the answer was lost may be somebody else's transaction, and a carrier that
            // cannot tell of transactions may tell of lines: the line decides.
            word => match self.read(account, self.profile).await {
                Ok(seen) => self.judge(account, command, seen, &word).await,
                Err(why) => self.open(why),
            },
        }
    }

    /// The SIM that takes the line over, as it may be asked for: the number moves with the line.
    fn successor(&self, new_iccid: &Iccid) -> LineKey {
        LineKey { msisdn: self.profile.msisdn.clone(), ..LineKey::of(new_iccid) }
    }

    /// The carrier's own answer named the transaction.
    fn is_acknowledged(&self) -> bool {
        self.operation.carrier_reference.is_some()
    }

    async fn judge(
        &self,
        account: &Account,
        command: &LineCommand,
        seen: Option<LineReading>,
        word: &Word,
    ) -> Ended {
        let before = Known::of(self.operation).before;
        let now = standing(self.profile, seen.as_ref());
        let judgement = match command {
            LineCommand::SwapSim { new_iccid } => self.judge_swap(account, new_iccid).await,
            _ => judge(command, &before, &now),
        };
        match judgement {
            Judgement::Reached => {
                let evidence = json!({ "source": "line", "before": before, "now": now });
                self.done(account, command, "found_at_carrier", evidence, seen).await
            }
            Judgement::NotReached | Judgement::Unclear => match word {
                Word::Pending(status) => self.pending(status),
                Word::Unreachable(why) => self.open(why.clone()),
                // Done, by the word of a transaction that may be ours, where the line cannot show it.
                Word::Done if judgement == Judgement::Unclear => {
                    let evidence = json!({ "source": "transaction", "transaction": self.transaction() });
                    self.done(account, command, "transaction_done", evidence, seen).await
                }
                Word::Failed(_) => self.nothing_there(judgement, command.action().is_idempotent(), true),
                Word::Done | Word::Silent => {
                    self.nothing_there(judgement, command.action().is_idempotent(), false)
                }
            },
        }
    }

    /// The number on the new SIM shows a swap.
    async fn judge_swap(&self, account: &Account, new_iccid: &Iccid) -> Judgement {
        let before = Known::of(self.operation).before.msisdn;
        let line = account.carrier.line(&self.successor(new_iccid)).await.ok().flatten();
        match (line.and_then(|line| line.msisdn), before) {
            (Some(now), Some(before)) if now == before => Judgement::Reached,
            (Some(_), Some(_)) => Judgement::NotReached,
            _ => Judgement::Unclear,
        }
    }

    async fn by_list(&self, account: &Account, wanted: &Wanted<'_>) -> Ended {
        let (_, listed) = match wanted.read(account.carrier.as_ref(), self.profile).await {
            Ok(read) => read,
            Err(error) => return self.open(error.to_string()),
        };
        match wanted.judge(&listed) {
            Judgement::Reached => {
                let evidence = json!({ "source": "inventory", "subscription_id": wanted.subscription_id });
                Ended::Done(Box::new(Done::by("found_at_carrier", evidence, Sightings::default())))
            }
            judgement => self.nothing_there(judgement, true, false),
        }
    }

    async fn done(
        &self,
        account: &Account,
        command: &LineCommand,
        code: &'static str,
        evidence: serde_json::Value,
        seen: Option<LineReading>,
    ) -> Ended {
        let mut done = Done::by(code, evidence, sightings(seen));
        if let LineCommand::SwapSim { new_iccid } = command {
            done.successor = sightings(account.carrier.line(&self.successor(new_iccid)).await.ok().flatten());
        }
        Ended::Done(Box::new(done))
    }

    /// The line; an account that may not read it learns nothing.
    async fn read(&self, account: &Account, profile: &Profile) -> Result<Option<LineReading>, String> {
        match account.carrier.line(&profile.line_key()).await {
            Ok(line) => Ok(line),
            Err(ReadError::Denied { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The carrier works on it: asked for less and less often, and left to a person after a day.
    fn pending(&self, status: &str) -> Ended {
        let since = self.operation.sent_at.unwrap_or(self.operation.created_at);
        let longest = self.longest_pending();
        let known =
            Known { last_word: Some(status.to_owned()), nothing_since: None, ..Known::of(self.operation) };
        if self.now - since > longest {
            let detail = format!(
                "the carrier has worked on it since {since} and says {status}; decide with POST \
                 /v1/operations/{{id}}/resolve"
            );
            return Ended::GiveUp { code: "never_finished", detail, known: Box::new(known) };
        }
        Ended::LookAgain(Box::new(known), self.now + self.pause(LONGEST_ACCEPTED))
    }

    /// How long the carrier may work on it.
    fn longest_pending(&self) -> TimeDelta {
        let scheduled = action_of(self.operation) == Some(LineAction::TariffHoliday);
        if scheduled { LONGEST_SCHEDULE } else { self.depot.work.transaction_give_up }
    }

    /// Nothing was learned.
    fn open(&self, why: String) -> Ended {
        let known = Known { last_word: Some(why), ..Known::of(self.operation) };
        self.undecided(known)
    }

    fn undecided(&self, known: Known) -> Ended {
        let work = &self.depot.work;
        let since = self.operation.sent_at.unwrap_or(self.operation.created_at);
        if self.now - since > work.give_up.max(work.line_settle * 2)
            && self.operation.reads >= work.resolve_reads
        {
            let detail = "the carrier could not tell whether it carried the command out; decide with POST \
                          /v1/operations/{id}/resolve";
            return Ended::GiveUp { code: "undecided", detail: detail.to_owned(), known: Box::new(known) };
        }
        let pause = match self.operation.status {
            OperationStatus::Accepted => self.pause(LONGEST_ACCEPTED),
            _ => self.pause(LONGEST_LOST),
        };
        Ended::LookAgain(Box::new(known), self.now + pause)
    }

    /// A complete read shows nothing of it. A command takes the carrier minutes, so only a line that shows nothing for
    /// that long proves that it was not taken.
    fn nothing_there(&self, judgement: Judgement, idempotent: bool, failed: bool) -> Ended {
        let (operation, work) = (self.operation, &self.depot.work);
        let known = Known::of(operation);
        let since = known.nothing_since.unwrap_or(self.now);
        let known = Known { nothing_since: Some(since), last_word: None, ..known };
        // What the carrier has acknowledged is never sent again, and what cannot be seen proves nothing by not being seen.
        let unhinted = failed || operation.hints.is_empty();
        let lost = operation.status == OperationStatus::Unknown && unhinted;
        let settled = self.now - since >= work.line_settle;
        if !(lost && settled) {
            return self.undecided(known);
        }
        if !idempotent || operation.attempts >= work.sends {
            let code = if idempotent { "never_answered" } else { "not_repeatable" };
            let detail = "the answer was lost, and the line shows nothing of it; sending it again could do it twice, \
                          or got no answer too often: decide with POST /v1/operations/{id}/resolve";
            return Ended::GiveUp { code, detail: detail.to_owned(), known: Box::new(known) };
        }
        tracing::info!(operation = %operation.id, ?judgement, "nothing is seen of a command whose answer was lost");
        Ended::SendAgain
    }

    /// A tenth of the time since it was sent.
    fn pause(&self, longest: TimeDelta) -> TimeDelta {
        let since = self.operation.sent_at.unwrap_or(self.operation.created_at);
        ((self.now - since) / 10).clamp(SHORTEST, longest)
    }
}

async fn transaction(account: &Account, id: &str) -> Word {
    match account.carrier.transaction(id).await {
        Ok(Some(TransactionReading::Done)) => Word::Done,
        Ok(Some(TransactionReading::Failed(refusal))) => Word::Failed(refusal),
        Ok(Some(TransactionReading::Pending)) => Word::Pending("pending".to_owned()),
        Ok(Some(TransactionReading::Unrecognised { status })) => Word::Pending(status),
        Ok(None) | Err(ReadError::Denied { .. }) => Word::Silent,
        Err(error) => Word::Unreachable(error.to_string()),
    }
}

fn sightings(line: Option<LineReading>) -> Sightings {
    Sightings { line, ..Sightings::default() }
}

/// A refusal by a person.
pub(super) fn by_hand() -> Refusal {
    Refusal {
        code: "by_hand".to_owned(),
        detail: Some("decided by hand: the carrier has nothing of it".to_owned()),
        concerns: Concern::Request,
    }
}
