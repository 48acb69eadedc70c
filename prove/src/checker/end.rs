//! What must be so when everything has calmed down.

use super::{EndState, Verdict};
use crate::history::History;

/// Every order and every operation came to an end by itself, or waits for a person.
pub(super) fn everything_is_decided(end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "everything is decided";
    for operation in &end.operations {
        if matches!(operation.status.as_str(), "pending" | "sent" | "accepted" | "unknown") {
            verdict.find(RULE, format!("{} is still {}", operation.id, operation.status));
        }
    }
    for order in end.orders.iter().filter(|order| order.status == "in_progress") {
        // What is taken back waits for whatever its profiles do at the carrier, also for what no order asked for.
        let holds = |iccid: &str| {
            order.cancelling
                && end
                    .allocations
                    .iter()
                    .any(|x| x.order == order.id && x.ended.is_none() && x.iccid == iccid)
        };
        let waits = end.operations.iter().any(|x| {
            x.status == "needs_attention" && (x.order.as_ref() == Some(&order.id) || holds(&x.iccid))
        });
        if !waits {
            verdict.find(RULE, format!("{} is still in progress, and nothing is under way", order.id));
        }
    }
}

/// A hold ends, and takes no profile with it.
pub(super) fn no_hold_leaks(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "no hold leaks";
    let over = history.entries().last().map_or(0, |entry| entry.at);
    // Some seconds for the machine's clock and for the job that ends holds.
    let long_before = over - 30_000_000;
    for hold in end.holds.iter().filter(|hold| hold.status == "active" && hold.expires_at < long_before) {
        verdict.find(RULE, format!("{} is over but active", hold.id));
    }
    for profile in &end.profiles {
        let active = profile
            .hold
            .as_ref()
            .is_some_and(|id| end.holds.iter().any(|hold| hold.id == *id && hold.status == "active"));
        if (profile.stock_status == "held") != active {
            let what = format!("{} is {} for {:?}", profile.iccid, profile.stock_status, profile.hold);
            verdict.find(RULE, what);
        }
    }
    verdict.see("holds", end.holds.len());
}

/// The feed counts from 1 without a gap, and every event is in it.
pub(super) fn feed_is_dense(end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "the feed is dense";
    if let Some((expected, found)) = (1..).zip(&end.feed).find(|(expected, found)| expected != *found) {
        verdict.find(RULE, format!("number {expected} is missing: {found} follows"));
    }
    let numbered = i64::try_from(end.feed.len()).unwrap_or(i64::MAX);
    if numbered != end.events {
        verdict.find(RULE, format!("{} events, {numbered} numbers", end.events));
    }
}

/// What is not the carrier's is not kept.
pub(super) fn events_are_authentic(end: &EndState, verdict: &mut Verdict) {
    if end.forged_events > 0 {
        verdict.find("events are authentic", format!("{} forged events were kept", end.forged_events));
    }
}

/// `simdepot verify` finds nothing.
pub(super) fn ledger_agrees(end: &EndState, verdict: &mut Verdict) {
    for finding in &end.verify {
        verdict.find("the ledger agrees", finding.clone());
    }
}
