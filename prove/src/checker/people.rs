//! What people did: profiles replaced, outcomes decided by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::{EndState, Verdict};
use crate::history::{Answer, Ask, Entry, History, Judged, Micros, What};

/// How people judged operations, and when they looked; whether or not anybody answered them.
pub(super) fn judgements(history: &History) -> BTreeMap<&str, Vec<(Micros, &Judged)>> {
    let mut judgements: BTreeMap<&str, Vec<(Micros, &Judged)>> = BTreeMap::new();
    for Entry { what, .. } in history.entries() {
        if let What::Asked { ask: Ask::Resolve { operation, judged, looked, .. }, .. } = what {
            judgements.entry(operation).or_default().push((*looked, judged));
        }
    }
    judgements
}

/// Plans that came to be after somebody had looked, seen nothing and said that this is the end of it: nobody could
/// know, but somebody must be told.
pub(super) fn after_refusal<'a>(history: &'a History, end: &EndState) -> BTreeSet<&'a str> {
    let judgements = judgements(history);
    let refused: BTreeSet<&str> =
        end.operations.iter().filter(|x| x.status == "refused").map(|x| x.id.as_str()).collect();
    let looked = |reference: &str| {
        let judged = judgements.get(reference).into_iter().flatten();
        judged.filter(|(_, judged)| **judged == Judged::Refused).map(|(at, _)| *at).min()
    };
    let plans = history.entries().iter().filter_map(|Entry { at, what }| match what {
        What::Applied { reference, subscription, .. } if refused.contains(reference.as_str()) => {
            looked(reference).is_some_and(|looked| looked <= *at).then_some(subscription.as_str())
        }
        _ => None,
    });
    plans.collect()
}

/// Operations that a person called done without naming a subscription.
pub(super) fn done_unnamed(history: &History) -> BTreeSet<&str> {
    let unnamed = |judged: &Judged| matches!(judged, Judged::Done { subscription: None });
    let found = judgements(history).into_iter();
    found.filter(|(_, judged)| judged.iter().any(|(_, judged)| unnamed(judged))).map(|(id, _)| id).collect()
}

/// A replaced profile has left its order for good, and the other is in the place of the same order. What was told of it
/// is so.
pub(super) fn replaced_is_replaced(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "replaced is replaced";
    let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
    let asks = super::hand_out::asks(history);
    for entry in history.entries() {
        let What::Answered { request, answer: Answer::Replaced { out, by, order } } = &entry.what else {
            continue;
        };
        if !end.replacements.iter().any(|x| x.out == *out && x.by == *by && x.order == *order) {
            verdict.find(RULE, format!("request {request} was told that {by} replaces {out} in {order}"));
        }
        if let Some((_, Ask::Replace { iccid, key }, _)) = asks.get(request) {
            let first = *keys.entry(key).or_insert(by);
            if first != by || iccid != out {
                verdict.find(RULE, format!("{key} for {iccid} replaced {out} by {by}, and by {first}"));
            }
        }
    }
    verdict.see("profiles replaced", end.replacements.len());
    for replaced in &end.replacements {
        let place = |iccid: &str, was: &dyn Fn(&super::Allocation) -> bool| {
            let of_order = end.allocations.iter().filter(|a| a.order == replaced.order && a.iccid == iccid);
            of_order.filter(|a| was(a)).map(|a| a.line).next()
        };
        let left = place(&replaced.out, &|a| a.ended.is_some() && a.outcome == "substituted");
        let taken = place(&replaced.by, &|_| true);
        if left.is_none() || left != taken {
            verdict.find(RULE, format!("{replaced:?}: left line {left:?}, took line {taken:?}"));
        }
        let out = end.profiles.iter().find(|profile| profile.iccid == replaced.out);
        let status = out.map(|profile| profile.stock_status.as_str()).unwrap_or_default();
        if !matches!(status, "quarantined" | "retired") {
            verdict.find(RULE, format!("{} was replaced and is {status}", replaced.out));
        }
        let deleted = end.carrier_line(&replaced.out).is_some_and(|line| line.deleted);
        if status == "retired" && !deleted {
            verdict.find(RULE, format!("{} was retired, but was not deleted", replaced.out));
        }
        let sold = end.moves.iter().rposition(|step| step.iccid == replaced.out && step.to == "allocated");
        let since = sold.map_or(0, |sold| sold + 1);
        let again =
            end.moves.iter().skip(since).find(|step| step.iccid == replaced.out && step.to == "available");
        if let Some(again) = again {
            verdict.find(RULE, format!("{} was replaced and went on sale at {}", replaced.out, again.at));
        }
    }
}

/// What a person decided stays so, and says what the person said.
pub(super) fn decided_is_decided(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "decided is decided";
    let asks = super::hand_out::asks(history);
    let mut decided = 0;
    for entry in history.entries() {
        let What::Answered { request, answer: Answer::Resolved { operation, status } } = &entry.what else {
            continue;
        };
        let Some((_, Ask::Resolve { judged, .. }, _)) = asks.get(request) else { continue };
        decided += 1;
        let Some(now) = end.operations.iter().find(|x| x.id == *operation) else {
            verdict.find(RULE, format!("{operation} was decided, but does not exist"));
            continue;
        };
        let ends = match judged {
            Judged::Done { .. } => Some("done"),
            Judged::Refused => Some("refused"),
            Judged::Retry => None,
        };
        if ends.is_some_and(|ends| status != ends || now.status != ends) {
            let what = format!("{operation} was judged {judged:?}, told as {status}, and is {}", now.status);
            verdict.find(RULE, what);
        }
        if let Judged::Done { subscription: Some(named) } = judged {
            let bundle = end.bundles.iter().find(|bundle| Some(&bundle.id) == now.bundle.as_ref());
            let found = bundle.and_then(|bundle| bundle.subscription.as_ref());
            if found != Some(named) {
                verdict.find(RULE, format!("{operation} was said to be {named}, and is {found:?}"));
            }
        }
    }
    verdict.see("operations decided by hand", decided);
}
