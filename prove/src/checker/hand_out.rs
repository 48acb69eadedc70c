//! Who got which profile, and who should have.

use std::collections::{BTreeMap, BTreeSet};

use super::{Allocation, EndState, Verdict};
use crate::history::{Answer, Ask, Entry, History, Micros, What};

/// A profile belongs to one order at a time.
pub(super) fn one_order_at_a_time(end: &EndState, verdict: &mut Verdict) {
    let mut last: BTreeMap<&str, &Allocation> = BTreeMap::new();
    for next in &end.allocations {
        if let Some(before) = last.insert(&next.iccid, next)
            && before.ended.is_none_or(|ended| ended > next.begun)
        {
            let what = format!("{} was handed to {} and to {}", next.iccid, before.order, next.order);
            verdict.find("one order at a time", what);
        }
    }
    for profile in &end.profiles {
        let live = end.allocations.iter().filter(|a| a.iccid == profile.iccid && a.ended.is_none()).count();
        let expected = usize::from(profile.stock_status == "allocated");
        if live != expected {
            let what = format!("{} is {} and in {live} orders", profile.iccid, profile.stock_status);
            verdict.find("one order at a time", what);
        }
    }
}

/// Codes that were shown: by profile, to which requests, when.
fn shown(history: &History) -> Vec<(&str, u32, bool, Micros)> {
    let mut shown = Vec::new();
    for entry in history.entries() {
        match &entry.what {
            What::Answered { request, answer: Answer::Order { profiles, .. } } => {
                for profile in profiles {
                    if let Some(right) = profile.code {
                        shown.push((profile.iccid.as_str(), *request, right, entry.at));
                    }
                }
            }
            What::Answered { request, answer: Answer::Code { iccid, right } } => {
                shown.push((iccid.as_str(), *request, *right, entry.at));
            }
            _ => {}
        }
    }
    shown
}

/// A code that was shown once belongs to that channel and order for ever, is the profile's own, and is known as shown.
pub(super) fn codes_for_one_order(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "codes for one order";
    let mut orders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut of_request: BTreeMap<u32, &str> = BTreeMap::new();
    let mut channels: BTreeMap<u32, &str> = BTreeMap::new();
    for entry in history.entries() {
        if let What::Asked { request, channel, .. } = &entry.what {
            channels.insert(*request, channel);
        }
        if let What::Answered { request, answer: Answer::Order { id, .. } } = &entry.what {
            of_request.insert(*request, id);
        }
    }
    let shown = shown(history);
    verdict.see("codes shown", shown.len());
    for (iccid, request, right, at) in shown {
        if !right {
            verdict.find(RULE, format!("request {request} got a code of another profile for {iccid}"));
        }
        let by_answer = of_request.get(&request).copied();
        let of_channel = |order: &&str| {
            end.order(order).map(|order| order.channel.as_str()) == channels.get(&request).copied()
        };
        // The machine's clock, by which allocations are dated, may be two seconds wrong.
        let begun = |a: &&Allocation| a.iccid == iccid && a.begun <= at + 2_000_000;
        let had: Vec<&str> = end.allocations.iter().filter(begun).map(|a| a.order.as_str()).collect();
        match by_answer.or_else(|| had.last().copied()) {
            Some(order) if had.contains(&order) && of_channel(&order) => {
                orders.entry(iccid).or_default().insert(order);
            }
            _ => verdict.find(RULE, format!("request {request} got the code of {iccid}, which it never had")),
        }
        if end.profiles.iter().any(|profile| profile.iccid == iccid && !profile.revealed) {
            verdict.find(RULE, format!("the code of {iccid} was shown and nobody wrote it down"));
        }
    }
    for (iccid, orders) in orders {
        if orders.len() > 1 {
            verdict.find(RULE, format!("the code of {iccid} was shown for {orders:?}"));
        }
    }
}

/// Nobody is told that a pool is empty while enough profiles of it were free all along.
pub(super) fn no_false_out_of_stock(history: &History, end: &EndState, verdict: &mut Verdict) {
    let mut asked: BTreeMap<u32, Micros> = BTreeMap::new();
    for Entry { at, what } in history.entries() {
        match what {
            // Moves are dated by the machine's clock: once it was wrong, they cannot be compared any more.
            What::ClockSet { .. } => return,
            What::Asked { request, .. } => drop(asked.insert(*request, *at)),
            What::Answered { request, answer: Answer::OutOfStock { pool, requested, .. } } => {
                let Some(begun) = asked.get(request) else { continue };
                let free = free_throughout(end, pool, *begun, *at);
                let buffer = end.pools.iter().find(|known| known.pool == *pool);
                let needed = i64::from(*requested) + buffer.map_or(0, |pool| pool.safety_buffer);
                if free >= needed {
                    let what = format!(
                        "request {request} was told that {pool} has not {requested}, but {free} were free"
                    );
                    verdict.find("no false out-of-stock", what);
                }
            }
            _ => {}
        }
    }
}

fn free_throughout(end: &EndState, pool: &str, begun: Micros, ended: Micros) -> i64 {
    let free = end.profiles.iter().filter(|profile| profile.pool == pool).filter(|profile| {
        let mut status = profile.imported_as.as_str();
        for step in end.moves.iter().filter(|step| step.iccid == profile.iccid) {
            if step.at > ended {
                break;
            }
            if step.at >= begun {
                return false;
            }
            status = &step.to;
        }
        status == "available"
    });
    i64::try_from(free.count()).unwrap_or(i64::MAX)
}

/// What is on sale was never shown, is on no device, and carries nothing, except what a carrier did long after it was
/// asked.
pub(super) fn on_sale_only_with_proof(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "on sale only with proof";
    let shown: BTreeSet<&str> = shown(history).into_iter().map(|(iccid, ..)| iccid).collect();
    let late = super::truth::late_plans(history);
    for profile in end.profiles.iter().filter(|p| matches!(p.stock_status.as_str(), "available" | "held")) {
        let iccid = profile.iccid.as_str();
        let was_sold = end.allocations.iter().any(|a| a.iccid == iccid);
        if shown.contains(iccid) {
            verdict.find(RULE, format!("{iccid} is {}, but its code was shown", profile.stock_status));
        }
        let Some(line) = end.carrier_line(iccid) else { continue };
        // What a delivery brought is looked at when it is sold for the first time.
        if was_sold && line.downloaded {
            verdict.find(RULE, format!("{iccid} is {}, but on a device", profile.stock_status));
        }
        let excused = |subscription: &str| !end.watched && late.contains(subscription);
        for plan in line.plans.iter().filter(|plan| !excused(&plan.subscription)) {
            let what = format!("{iccid} is {}, but carries {}", profile.stock_status, plan.subscription);
            verdict.find(RULE, what);
        }
    }
}

/// Orders leave the safety buffer.
pub(super) fn buffer_is_left(end: &EndState, verdict: &mut Verdict) {
    for pool in &end.pools {
        let mut free: i64 = 0;
        let mut moves: Vec<_> = Vec::new();
        for profile in end.profiles.iter().filter(|profile| profile.pool == pool.pool) {
            free += i64::from(profile.imported_as == "available");
            moves.extend(end.moves.iter().filter(|step| step.iccid == profile.iccid));
        }
        moves.sort_by_key(|step| step.at);
        for step in moves {
            free += i64::from(step.to == "available") - i64::from(step.from == "available");
            let taken = step.from == "available" && matches!(step.to.as_str(), "allocated" | "held");
            if taken && free < pool.safety_buffer {
                let what = format!("{} was taken and left {free} in {}", step.iccid, pool.pool);
                verdict.find("the safety buffer is left", what);
            }
        }
    }
}

/// Which request asked for what.
pub(super) fn asks(history: &History) -> BTreeMap<u32, (&str, &Ask, Micros)> {
    let mut asks = BTreeMap::new();
    for Entry { at, what } in history.entries() {
        if let What::Asked { request, channel, ask, .. } = what {
            asks.insert(*request, (channel.as_str(), ask, *at));
        }
    }
    asks
}
