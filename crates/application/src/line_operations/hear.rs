//! What a carrier's event tells of a command: it is done, it failed, or it is worth a look.

use serde_json::json;
use simdepot_domain::carrier::{Concern, Refusal};
use simdepot_domain::carrier_event::{LineChange, LineNews};
use simdepot_domain::channel::AccountName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::line::LineAction;
use simdepot_domain::operation::{Lane, OperationStatus};
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::{Conn, profiles};

use super::outcome::Done;
use super::recording::{Recording, action_of};
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::Sightings;

/// What is kept of events that prove nothing: no ids, so they have a space.
pub(super) const TOLD_DONE: &str = "told: done";
const TOLD_FAILED: &str = "told: failed: ";
const TOLD_MOVED: &str = "told: on SIM ";

/// Weighs news of a line for the command that is open on it, in the caller's transaction. The status that the event tells
/// is learned by whoever calls this. `false` when no command is open that it concerns.
///
/// # Errors
/// When the store refuses; a race when the operation changed in between.
pub(crate) fn hear(
    conn: &mut Conn<'_>,
    depot: &Depot,
    account: &AccountName,
    profile_id: i64,
    (news, iccid): (&LineNews, Option<&Iccid>),
) -> Result<bool, AppError> {
    let Some(operation) = concerned(conn, account, profile_id, news)? else {
        return Ok(false);
    };
    if news.hearsay {
        hear_say(conn, &operation, news, iccid)?;
    } else {
        hear_proof(conn, depot, &operation, news)?;
    }
    Ok(true)
}

/// What proves itself ends the command, where it tells enough.
fn hear_proof(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    news: &LineNews,
) -> Result<(), AppError> {
    let Some(action) = action_of(operation) else {
        return Ok(());
    };
    let known = operation.carrier_reference.as_ref();
    let is_its_own = known.is_some() && known == news.transaction.as_ref();
    let now = conn.now()?;
    match operation.status {
        OperationStatus::Accepted | OperationStatus::NeedsAttention if is_its_own => {
            let recording = Recording { depot, operation, token: None, now };
            if let Some(words) = &news.failed {
                return recording.refuse(conn, &failed(words), None);
            }
            // What moved to another SIM or number must be read: the event does not tell enough of it.
            if announces(news.change, action)
                && !matches!(action, LineAction::SwapSim | LineAction::SwapMsisdn)
            {
                let evidence = json!({ "source": "event", "transaction": news.transaction });
                return recording.done(conn, &Done::by("told_by_carrier", evidence, Sightings::default()));
            }
            Ok(operations::follow_now(conn, operation, now)?)
        }
        // The answer is still on its way, or was lost: the transaction's id is worth keeping.
        OperationStatus::Sent | OperationStatus::Unknown if announces(news.change, action) => {
            if let Some(transaction) = &news.transaction {
                operations::add_hint(conn, operation.id, transaction)?;
            }
            Ok(operations::follow_now(conn, operation, now)?)
        }
        OperationStatus::Accepted if announces(news.change, action) => {
            Ok(operations::follow_now(conn, operation, now)?)
        }
        OperationStatus::Pending
        | OperationStatus::Sent
        | OperationStatus::Accepted
        | OperationStatus::Done
        | OperationStatus::Refused
        | OperationStatus::Unknown
        | OperationStatus::NeedsAttention
        | OperationStatus::Cancelled => Ok(()),
    }
}

/// What proves nothing by itself is worth a look, and is weighed beside what the carrier then shows.
fn hear_say(
    conn: &mut Conn<'_>,
    operation: &Operation,
    news: &LineNews,
    iccid: Option<&Iccid>,
) -> Result<(), AppError> {
    if news.failed.is_none()
        && let Some(iccid) = iccid
        && iccid.key() != profiles::get(conn, operation.profile_id)?.iccid.key()
    {
        operations::add_hint(conn, operation.id, &format!("{TOLD_MOVED}{iccid}"))?;
    }
    let told = match (&news.failed, news.change) {
        (Some(words), _) => Some(format!("{TOLD_FAILED}{}", cut(words))),
        (None, LineChange::CommandEnded) => Some(TOLD_DONE.to_owned()),
        (None, _) => None,
    };
    if let Some(told) = told {
        operations::add_hint(conn, operation.id, &told)?;
    }
    let now = conn.now()?;
    Ok(operations::follow_now(conn, operation, now)?)
}

/// The carrier's word, in an event that proves nothing, that a command failed.
pub(super) fn told_failed(operation: &Operation) -> Option<&str> {
    operation.hints.iter().rev().find_map(|hint| hint.strip_prefix(TOLD_FAILED))
}

/// The SIM that a line is on since, in the words of an event that proves nothing.
pub(super) fn told_to_have_moved(operation: &Operation) -> Option<Iccid> {
    let told = operation.hints.iter().rev().find_map(|hint| hint.strip_prefix(TOLD_MOVED))?;
    Iccid::parse(told).ok()
}

/// The command that the event names, else the one that is open on the line.
fn concerned(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile_id: i64,
    news: &LineNews,
) -> Result<Option<Operation>, AppError> {
    if let Some(transaction) = &news.transaction
        && let Some(named) = named(conn, account, transaction)?
    {
        profiles::lock(conn, named.profile_id)?;
        let named = operations::find(conn, named.id)?;
        if let Some(refused) = named.as_ref().filter(|named| named.status == OperationStatus::Refused)
            && news.failed.is_none()
            && news.change == LineChange::CommandEnded
        {
            metrics::counter!("simdepot_late_receipts_total").increment(1);
            tracing::error!(operation = %refused.id, "the carrier tells of the end of a command that was taken for refused");
        }
        return Ok(named.filter(|operation| operation.status.is_open()));
    }
    Ok(operations::open_of(conn, profile_id)?.filter(|operation| operation.request.lane() == Lane::Line))
}

/// The operation that an event names, by the carrier's number of it or by ours.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn named(
    conn: &mut Conn<'_>,
    account: &AccountName,
    transaction: &str,
) -> Result<Option<Operation>, AppError> {
    if let Ok(ours) = transaction.parse::<OperationId>() {
        let found = operations::find(conn, ours)?;
        return Ok(found.filter(|operation| {
            operation.carrier_account == *account && operation.request.lane() == Lane::Line
        }));
    }
    Ok(operations::of_transaction(conn, account, transaction)?)
}

/// Whether an event of this kind announces the end of such a command.
fn announces(change: LineChange, action: LineAction) -> bool {
    match action {
        _ if change == LineChange::CommandEnded => true,
        LineAction::Activate | LineAction::LeaveTestMode | LineAction::LeaveTariffHoliday => {
            matches!(change, LineChange::Activated | LineChange::Reactivated)
        }
        LineAction::Reactivate => matches!(change, LineChange::Reactivated | LineChange::Activated),
        LineAction::Modify | LineAction::SetContact => change == LineChange::Modified,
        LineAction::Suspend => change == LineChange::Suspended,
        LineAction::Terminate => change == LineChange::Terminated,
        LineAction::SwapSim => change == LineChange::SimSwapped,
        LineAction::SwapMsisdn => change == LineChange::MsisdnSwapped,
        LineAction::TariffHoliday => change == LineChange::TariffHoliday,
        LineAction::TestMode => change == LineChange::TestMode,
    }
}

/// A command that failed in the carrier's words.
pub(super) fn failed(words: &str) -> Refusal {
    Refusal { code: "transaction_failed".to_owned(), detail: Some(cut(words)), concerns: Concern::Request }
}

fn cut(words: &str) -> String {
    words.chars().take(500).collect()
}
