//! Following commands that the carrier works on, or whose answer was lost, until what became of them is known.
//!
//! The carrier is asked for the transaction; where it has none, or its answer was lost, the line itself tells. A line
//! that stays as it was for long enough proves that a lost command was not taken: it is sent again, unless that could
//! do it twice.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;
use simdepot_domain::carrier::{Concern, Numbering, ReadError, Refusal, TransactionReading};
use simdepot_domain::line::{Judgement, LineAction};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_domain::profile::FormFactor;
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::secrets;

use super::Known;
use super::hear::{TOLD_DONE, failed, told_failed};
use super::outcome::{self, Done, Ended};
use super::recording::action_of;
use super::shown::{Shown, shown};
use super::work::batch;
use crate::depot::{Account, Depot};
use crate::error::AppError;

/// Left of a lease for writing down what was read.
const WRITING: TimeDelta = TimeDelta::seconds(2);
/// Shortest pause between two looks.
const SHORTEST: TimeDelta = TimeDelta::seconds(1);
/// Longest pause while the answer is lost, and while the carrier says that it works on it.
const LONGEST_LOST: TimeDelta = TimeDelta::seconds(15);
const LONGEST_ACCEPTED: TimeDelta = TimeDelta::minutes(5);
/// How long the code of an eSIM is waited for behind its activation: where one must come, and where one may.
const CODE_EXPECTED: TimeDelta = TimeDelta::seconds(60);
const CODE_POSSIBLE: TimeDelta = TimeDelta::seconds(5);
/// A pause begins with the bill cycle after next at the latest.
const LONGEST_SCHEDULE: TimeDelta = TimeDelta::days(62);

/// Looks into some open commands that are due. `false` when there were none.
///
/// # Errors
/// When the store cannot be asked. What goes wrong at the carrier is seen again later.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let due = depot.store.read(|conn| {
        let now = conn.now()?;
        operations::accounts_to_follow(conn, now)
    });
    // A carrier that hangs must not keep those of another waiting.
    let Some(place) = depot.followed.enter(&due.await?, 1) else {
        return Ok(false);
    };
    let account = depot.account(&place.account).ok();
    let length = account.map_or(depot.work.lease, |account| depot.lease_of(account));
    let (token, most) = (depot.ids.uuid(), account.map_or(1, batch));
    let name = place.account.clone();
    let leased = depot.store.write(move |conn| {
        let now = conn.now()?;
        operations::lease_to_follow(conn, &name, (token, now + length), now, most)
    });
    let lease = leased.await?;
    if lease.operations.is_empty() {
        return Ok(false);
    }
    let ids: Vec<i64> = lease.operations.iter().map(|operation| operation.profile_id).collect();
    let (profiles, with_code, now) = depot
        .store
        .read(move |conn| {
            let (profiles, with_code) = (profiles::get_many(conn, &ids)?, secrets::with_code(conn, &ids)?);
            Ok::<_, AppError>((profiles, with_code, conn.now()?))
        })
        .await?;
    let looks = lease.operations.iter().filter_map(|operation| {
        let profile = profiles.iter().find(|profile| profile.id == operation.profile_id)?;
        let lacks_code = profile.form_factor == FormFactor::Esim && !with_code.contains(&profile.id);
        let look = Look { depot, operation, profile, lacks_code, now };
        Some(async move { (operation.clone(), look.look().await) })
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
    /// It may be an eSIM, and has no activation code.
    lacks_code: bool,
    now: DateTime<Utc>,
}

/// What the carrier says of a transaction.
enum Word {
    Done,
    Failed(Refusal),
    /// It works on it.
    Working,
    /// A word that nobody knows.
    Strange(String),
    /// It does not know a number that we gave.
    NotThere,
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
            Ok(Ended::Done(done)) => self.with_code(done),
            Ok(ended) => ended,
            Err(_) => self.open("the carrier did not answer in time".to_owned()),
        }
    }

    async fn ask(&self, account: &Account) -> Ended {
        let ours = account.carrier.numbering() == Numbering::Ours;
        // What an event named while the answer was lost may be somebody else's transaction; what the carrier's own answer
        // named, or we ourselves, is not.
        let certain = ours || self.operation.carrier_reference.is_some();
        let word = match self.transaction(ours) {
            Some(id) => transaction(account, &id, ours).await,
            None => Word::Silent,
        };
        let shown = shown(account.carrier.as_ref(), self.operation, self.profile).await;
        match (word, shown) {
            (Word::Done, shown) if certain => self.done(shown.unwrap_or_else(|_| Shown::nothing()), ours),
            (Word::Failed(refusal), shown) if certain => {
                self.failed(refusal, shown.unwrap_or_else(|_| Shown::nothing()))
            }
            // A carrier that cannot tell of transactions may tell of lines: the line decides.
            (word, Ok(shown)) => self.judge(shown, word, ours),
            (_, Err(error)) => self.open(error.to_string()),
        }
    }

    /// The end of an activation, once the code is there that the carrier tells apart: a customer who is told of the order
    /// without it has nothing to scan. It is not waited for in vain, because plastic has none.
    fn with_code(&self, done: Box<Done>) -> Ended {
        let OperationRequest::ActivateSubscription { terms } = &self.operation.request else {
            return Ended::Done(done);
        };
        let patience = if terms.expects_code { CODE_EXPECTED } else { CODE_POSSIBLE };
        let known = Known::of(self.operation);
        let since = known.done_since.unwrap_or(self.now);
        if !self.lacks_code || self.now - since >= patience {
            if self.lacks_code && terms.expects_code {
                tracing::error!(operation = %self.operation.id, "activated, and no activation code came");
            }
            return Ended::Done(done);
        }
        let known = Known { done_since: Some(since), ..known };
        Ended::LookAgain(Box::new(known), self.now + SHORTEST)
    }

    /// The number of its transaction: ours, the one of the carrier's answer, or one from an event that came although the
    /// answer was lost.
    fn transaction(&self, ours: bool) -> Option<String> {
        if ours {
            return Some(self.operation.id.to_string());
        }
        if matches!(self.operation.request, OperationRequest::ChangeBundle { .. }) {
            return None;
        }
        let known = self.operation.carrier_reference.clone();
        // What an answer that could not be read was kept as is no id.
        let told = || self.operation.hints.iter().rev().find(|hint| !hint.contains(' ')).cloned();
        known.or_else(told)
    }

    fn done(&self, shown: Shown, ours: bool) -> Ended {
        let evidence = json!({ "source": "transaction", "transaction": self.transaction(ours) });
        Ended::Done(Box::new(shown.proven("transaction_done", evidence)))
    }

    fn failed(&self, refusal: Refusal, shown: Shown) -> Ended {
        let told = told_failed(self.operation).map(str::to_owned);
        let refusal = Refusal { detail: refusal.detail.or(told), ..refusal };
        // Of a command that was sent twice the second may have failed because the first was done.
        let repeated = self.operation.answer_lost && self.operation.attempts > 1;
        if repeated && shown.judgement == Judgement::Reached {
            return Ended::Done(Box::new(shown.found()));
        }
        // An activation that failed leaves no line in service: another profile in its place may be one too many.
        if matches!(self.operation.request, OperationRequest::ActivateSubscription { .. })
            && shown.judgement == Judgement::Reached
        {
            let detail = format!(
                "the transaction failed ({refusal}), and the line is in service all the same; decide with POST \
                 /v1/operations/{{id}}/resolve"
            );
            return Ended::GiveUp {
                code: "contradicted",
                detail,
                known: Box::new(Known::of(self.operation)),
            };
        }
        Ended::Failed(refusal, Box::new(shown.seen))
    }

    /// An event that proves nothing says that it failed. While the carrier works on it, it shows nothing either, so only a
    /// line that shows nothing for long enough bears the event out.
    fn told_to_have_failed(&self, words: &str, shown: Shown) -> Ended {
        let known = Known::of(self.operation);
        let since = known.nothing_since.unwrap_or(self.now);
        let known = Known { nothing_since: Some(since), last_word: Some(words.to_owned()), ..known };
        let request = &self.operation.request;
        let takes_a_sim = request.is_first_sale() || request.successor().is_some();
        match (self.now - since >= self.depot.work.line_settle, takes_a_sim) {
            // What is sold or used in its stead would be one too many if it is carried out after all.
            (true, true) => {
                let detail = format!(
                    "an event tells that it failed ({words}), and nothing of it shows; decide with POST \
                     /v1/operations/{{id}}/resolve"
                );
                return Ended::GiveUp { code: "told_to_have_failed", detail, known: Box::new(known) };
            }
            (true, false) if shown.seen.line.is_some() => {
                return Ended::Failed(failed(words), Box::new(shown.seen));
            }
            _ => {}
        }
        Ended::LookAgain(Box::new(known), self.now + self.pause(LONGEST_LOST))
    }

    fn judge(&self, shown: Shown, word: Word, ours: bool) -> Ended {
        let (judgement, told) = (shown.judgement, told_failed(self.operation));
        match (judgement, word) {
            (Judgement::Reached, _) => Ended::Done(Box::new(shown.found())),
            (_, Word::Unreachable(why)) => self.open(why),
            (_, Word::Working) => self.pending("pending"),
            (Judgement::NotReached, Word::Strange(_) | Word::Silent | Word::NotThere)
                if told.is_some() && self.operation.status == OperationStatus::Accepted =>
            {
                self.told_to_have_failed(told.unwrap_or_default(), shown)
            }
            (_, Word::Strange(status)) => self.pending(&status),
            (_, Word::NotThere) => self.not_there(),
            // Done, by the word of a transaction that may be ours, where the line cannot show it.
            (Judgement::Unclear, Word::Done) => self.done(shown, ours),
            (_, Word::Failed(_)) => self.nothing_there(judgement, true),
            (_, Word::Done | Word::Silent) => self.nothing_there(judgement, false),
        }
    }

    /// The carrier does not know the number under which it was sent: it never arrived. Under the same number it is sent
    /// again as long as orders wait for the carrier.
    fn not_there(&self) -> Ended {
        let (operation, work) = (self.operation, &self.depot.work);
        if operation.status != OperationStatus::Unknown
            || operation.hints.iter().any(|hint| hint == TOLD_DONE)
        {
            return self.open("the carrier does not know the transaction".to_owned());
        }
        let since = operation.first_sent_at.unwrap_or(operation.created_at);
        if operation.attempts >= work.sends && self.now - since > work.give_up {
            return self.never_answered(Known::of(operation), "never_answered");
        }
        tracing::info!(operation = %operation.id, "the carrier does not know a command whose answer was lost");
        Ended::SendAgain
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
    fn nothing_there(&self, judgement: Judgement, failed: bool) -> Ended {
        let (operation, work) = (self.operation, &self.depot.work);
        let idempotent = operation.request.is_idempotent();
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
            return self.never_answered(known, if idempotent { "never_answered" } else { "not_repeatable" });
        }
        tracing::info!(operation = %operation.id, ?judgement, "nothing is seen of a command whose answer was lost");
        Ended::SendAgain
    }

    fn never_answered(&self, known: Known, code: &'static str) -> Ended {
        let detail = "the answer was lost, and the carrier shows nothing of it; sending it again could do it twice, or \
                      got no answer too often: decide with POST /v1/operations/{id}/resolve";
        Ended::GiveUp { code, detail: detail.to_owned(), known: Box::new(known) }
    }

    /// A tenth of the time since it was sent.
    fn pause(&self, longest: TimeDelta) -> TimeDelta {
        let since = self.operation.sent_at.unwrap_or(self.operation.created_at);
        ((self.now - since) / 10).clamp(SHORTEST, longest)
    }
}

async fn transaction(account: &Account, id: &str, ours: bool) -> Word {
    match account.carrier.transaction(id).await {
        Ok(Some(TransactionReading::Done)) => Word::Done,
        Ok(Some(TransactionReading::Failed(refusal))) => Word::Failed(refusal),
        Ok(Some(TransactionReading::Pending)) => Word::Working,
        Ok(Some(TransactionReading::Unrecognised { status })) => Word::Strange(status),
        Ok(None) if ours => Word::NotThere,
        Ok(None) | Err(ReadError::Denied { .. }) => Word::Silent,
        Err(error) => Word::Unreachable(error.to_string()),
    }
}

/// A refusal by a person.
pub(super) fn by_hand() -> Refusal {
    Refusal {
        code: "by_hand".to_owned(),
        detail: Some("decided by hand: the carrier has nothing of it".to_owned()),
        concerns: Concern::Request,
    }
}
