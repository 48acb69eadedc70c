//! What storefronts were told.

use std::collections::{BTreeMap, BTreeSet};

use super::hand_out::asks;
use super::{EndState, Verdict};
use crate::history::{Answer, Ask, Entry, History, What};

/// An order that somebody was told of exists, is that storefront's, and has every profile of every line.
pub(super) fn acknowledged_orders_exist(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "acknowledged orders exist";
    let asks = asks(history);
    let mut acknowledged = 0;
    for entry in history.entries() {
        let What::Answered { request, answer: Answer::Order { id, reference, .. } } = &entry.what else {
            continue;
        };
        acknowledged += 1;
        let channel = asks.get(request).map(|(channel, ..)| *channel).unwrap_or_default();
        match end.order(id) {
            None => verdict.find(RULE, format!("request {request} was told of {id}, which does not exist")),
            Some(order) if order.channel != channel || order.reference != *reference => {
                verdict.find(RULE, format!("{id} was told of as {channel}/{reference}, but is another's"));
            }
            Some(_) => {}
        }
    }
    verdict.see("orders told of", acknowledged);
    for line in &end.lines {
        let Some(order) = end.order(&line.order) else { continue };
        let in_place = end.allocations.iter().filter(|a| {
            a.order == line.order
                && a.line == line.line
                && (a.ended.is_none() || a.outcome == "failed" || a.outcome == "cancelled")
        });
        let found = i64::try_from(in_place.count()).unwrap_or(i64::MAX);
        if found != line.quantity && order.status != "cancelled" {
            let what =
                format!("line {} of {} has {found} profiles, not {}", line.line, order.id, line.quantity);
            verdict.find(RULE, what);
        }
    }
}

/// The same reference is the same order, for ever; the same key answers the same thing; a top-up too.
pub(super) fn repeats_answer_the_same(history: &History, verdict: &mut Verdict) {
    let asks = asks(history);
    let mut first: BTreeMap<(&str, &str, &str), &str> = BTreeMap::new();
    for entry in history.entries() {
        let What::Answered { request, answer } = &entry.what else { continue };
        let Some((channel, ask, _)) = asks.get(request) else { continue };
        let mut same = |kind, name, id| {
            let before = *first.entry((channel, kind, name)).or_insert(id);
            if before != id {
                let what = format!("{kind} {channel}/{name} was answered with {before} and with {id}");
                verdict.find("repeats answer the same", what);
            }
        };
        match (ask, answer) {
            (Ask::Order { reference, key, .. }, Answer::Order { id, .. })
            | (Ask::Order { reference, key, .. }, Answer::Refused { order: Some(id), .. }) => {
                same("order", reference.as_str(), id.as_str());
                if let Some(key) = key {
                    same("key", key.as_str(), id.as_str());
                }
            }
            (Ask::TopUp { reference, .. }, Answer::Bundle { id, .. })
            | (Ask::TopUp { reference, .. }, Answer::Refused { bundle: Some(id), .. }) => {
                same("top-up", reference.as_str(), id.as_str());
            }
            (Ask::Hold { key, .. }, Answer::Hold { id, .. }) => same("key", key.as_str(), id.as_str()),
            _ => {}
        }
    }
}

/// An answer that says fulfilled tells the truth at that moment: every product is at the carrier. And it stays true.
pub(super) fn what_is_told_is_true(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "what is told is true";
    let asks = asks(history);
    let mut applied: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut activated: BTreeSet<&str> = BTreeSet::new();
    for Entry { what, .. } in history.entries() {
        match what {
            What::Applied { iccid, product, .. } => {
                *applied.entry((iccid.as_str(), product.as_str())).or_default() += 1;
            }
            What::Ended { iccid, kind: "activate_subscription", done: true, .. } => {
                activated.insert(iccid);
            }
            What::Answered { request, answer: Answer::Order { http, id, status, profiles, .. } } => {
                let fulfilled = status == "fulfilled";
                let placed = asks.get(request).is_some_and(|(_, ask, _)| matches!(ask, Ask::Order { .. }));
                if placed && (*http == 201 && status == "in_progress" || *http == 202 && fulfilled) {
                    verdict.find(RULE, format!("request {request} was answered {http} with {status}"));
                }
                let shown = profiles.iter().any(|profile| profile.code.is_some());
                if shown && !fulfilled {
                    verdict.find(RULE, format!("request {request} got codes of {id}, which is {status}"));
                }
                let wanted = end.lines.iter().filter(|line| line.order == *id).map(|line| line.quantity);
                let found = i64::try_from(profiles.len()).unwrap_or(i64::MAX);
                if fulfilled && wanted.sum::<i64>() != found {
                    verdict.find(RULE, format!("request {request} was told of {found} profiles of {id}"));
                }
                for profile in profiles.iter().filter(|_| fulfilled) {
                    let iccid = profile.iccid.as_str();
                    if end.subscriptions.iter().any(|sim| sim.iccid == iccid) && !activated.contains(iccid) {
                        verdict.find(
                            RULE,
                            format!("{id} was told to be fulfilled before {iccid} was activated"),
                        );
                    }
                    let Some(product) = &profile.product else { continue };
                    if !applied.contains_key(&(profile.iccid.as_str(), product.as_str())) {
                        let what =
                            format!("{id} was told to be fulfilled before {} had {product}", profile.iccid);
                        verdict.find(RULE, what);
                    }
                }
                let now = end.order(id).map(|order| order.status.as_str()).unwrap_or_default();
                let replaced = end.replacements.iter().any(|replaced| replaced.order == *id);
                let may_become = match status.as_str() {
                    // The place of a replaced profile is filled anew; that it was sold once is never taken back.
                    "fulfilled" if replaced && now == "in_progress" => true,
                    "fulfilled" => matches!(now, "fulfilled" | "cancelled" | "needs_attention"),
                    "failed" => matches!(now, "failed" | "cancelled"),
                    "cancelled" => now == "cancelled",
                    _ => true,
                };
                if !may_become {
                    verdict.find(RULE, format!("{id} was told to be {status}, and is {now}"));
                }
            }
            _ => {}
        }
    }
}

/// No answer and no background step says that something impossible happened.
pub(super) fn no_internal_errors(history: &History, verdict: &mut Verdict) {
    const RULE: &str = "no internal errors";
    for entry in history.entries() {
        match &entry.what {
            What::Answered { request, answer: Answer::Problem { code, detail, .. } }
                if code == "internal" =>
            {
                verdict.find(RULE, format!("request {request}: {detail}"));
            }
            What::StepFailed { job, error, expected: false, .. } => {
                verdict.find(RULE, format!("{job}: {error}"));
            }
            _ => {}
        }
    }
}
