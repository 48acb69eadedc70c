//! Events of a line: `CONNECTIVITY-MANAGEMENT/SUBSCRIBER/…`. Some names are documented, those of preactivation, test mode
//! and tariff holiday are not: so their letters count, however they are divided.

use simdepot_domain::carrier_event::{LineChange, LineNews};
use simdepot_domain::sim::SimStatus;

use super::super::{details, lenient, transaction};
use crate::settings::{LineSettings, Verdict};
use simdepot_carrier_http::Fields;

/// What follows the name of a state that was entered.
const ENTERED: [&str; 10] =
    ["", "activated", "active", "applied", "begun", "enabled", "entered", "on", "start", "started"];
/// What follows it when the entry is only planned.
const PLANNED: [&str; 4] = ["planned", "programmed", "requested", "scheduled"];

/// What an event tells; `None` when that is nothing for us, or has not ended.
pub(super) fn news_of(suffix: &[&str], fields: &Fields, settings: &LineSettings) -> Option<LineNews> {
    let (change, by_type) = change_of(&lenient::fold(&suffix.concat()))?;
    let said: Vec<String> =
        ["status", "transactionStatus"].into_iter().filter_map(|name| fields.text(&[name])).collect();
    let transaction = transaction::id_of(fields);
    let failed = said.iter().find(|word| says_failed(word, settings));
    if failed.is_none() && said.iter().any(|word| says_pending(word)) {
        return None;
    }
    if let Some(word) = failed {
        let refusal = transaction::failure(fields, word);
        let failed = Some(refusal.detail.unwrap_or(refusal.code));
        return Some(LineNews { transaction, failed, ..LineNews::of(change, None) });
    }
    let by_body = || said.iter().find_map(|word| SimStatus::from_carrier_text(word));
    let sim_status = match by_type {
        Told::Now(status) => Some(status),
        Told::Unless(status) => by_body().or(Some(status)),
        Told::ByBody => by_body(),
        Told::No => None,
    };
    let status = said.first().map(String::as_str);
    let suspended_by =
        (change == LineChange::Suspended).then(|| details::suspended_by(fields, status)).flatten();
    Some(LineNews { suspended_by, transaction, ..LineNews::of(change, sim_status) })
}

/// What an event's type tells of the status.
#[derive(Clone, Copy)]
enum Told {
    /// It is this.
    Now(SimStatus),
    /// It is this unless the body names another: a holiday may be planned by then, not begun.
    Unless(SimStatus),
    /// Only the body can tell.
    ByBody,
    /// It stays as it is.
    No,
}

fn change_of(word: &str) -> Option<(LineChange, Told)> {
    let told = match word {
        "activated" => (LineChange::Activated, Told::Now(SimStatus::Active)),
        "reactivated" => (LineChange::Reactivated, Told::Now(SimStatus::Active)),
        "suspended" => (LineChange::Suspended, Told::Now(SimStatus::Suspended)),
        "terminated" => (LineChange::Terminated, Told::Now(SimStatus::Terminated)),
        "preactivated" => (LineChange::Preactivated, Told::Now(SimStatus::Preactivated)),
        "modified" => (LineChange::Modified, Told::No),
        "msisdnswapped" | "msisdnswap" => (LineChange::MsisdnSwapped, Told::No),
        "simcardswapped" | "simcardswap" | "simswapped" | "simswap" => (LineChange::SimSwapped, Told::No),
        _ => return pause_of(word),
    };
    Some(told)
}

/// Test mode and tariff holiday. Their end brings a status that the type does not name.
fn pause_of(word: &str) -> Option<(LineChange, Told)> {
    let paused = |rest: &str, entered, left, status| match rest {
        rest if ENTERED.contains(&rest) => (entered, Told::Unless(status)),
        rest if PLANNED.contains(&rest) => (entered, Told::No),
        _ => (left, Told::ByBody),
    };
    match (word.strip_prefix("testmode"), word.strip_prefix("tariffholiday")) {
        (Some(rest), _) => {
            Some(paused(rest, LineChange::TestMode, LineChange::Activated, SimStatus::TestMode))
        }
        (None, Some(rest)) => {
            Some(paused(rest, LineChange::TariffHoliday, LineChange::Reactivated, SimStatus::TariffHoliday))
        }
        (None, None) => None,
    }
}

/// Whether a status tells of a transaction that failed: in a word of the settings, or in one that can mean nothing else.
fn says_failed(status: &str, settings: &LineSettings) -> bool {
    const BEGINNINGS: [&str; 11] =
        ["fail", "err", "reject", "refus", "den", "cancel", "abort", "timeout", "ko", "nok", "unsuccess"];
    let word = lenient::fold(status);
    match settings.verdict(status) {
        Verdict::Failed => true,
        Verdict::Done | Verdict::Pending => false,
        Verdict::Unrecognised => BEGINNINGS.iter().any(|beginning| word.starts_with(beginning)),
    }
}

fn says_pending(status: &str) -> bool {
    let word = lenient::fold(status);
    word.starts_with("pend") || word.starts_with("inprogress")
}
