//! Who got which profile, and who should have.

use std::collections::{BTreeMap, BTreeSet};

use super::{Allocation, EndState, Profile, Verdict};
use crate::history::{Answer, Ask, Entry, History, Micros, What};

/// A profile belongs to one order at a time: the ledger hands it to one after the other, each allocation is such a
/// hand-out, and only the last may still be open. All of this goes by the order of writing, never by a clock.
pub(super) fn one_order_at_a_time(end: &EndState, verdict: &mut Verdict) {
    for profile in &end.profiles {
        if let Some(what) = more_than_one_order(end, profile) {
            verdict.find("one order at a time", format!("{} {what}", profile.iccid));
        }
    }
}

fn more_than_one_order(end: &EndState, profile: &Profile) -> Option<String> {
    let mut status = profile.imported_as.as_str();
    let mut handed_to: Vec<&str> = Vec::new();
    for step in end.moves.iter().filter(|step| step.iccid == profile.iccid) {
        if step.from != status {
            return Some(format!("was {status} and moved from {} to {}", step.from, step.to));
        }
        status = &step.to;
        if status == "allocated" {
            handed_to.push(step.order.as_deref().unwrap_or("nobody"));
        }
    }
    let allocations: Vec<&Allocation> =
        end.allocations.iter().filter(|allocation| allocation.iccid == profile.iccid).collect();
    let orders: Vec<&str> = allocations.iter().map(|allocation| allocation.order.as_str()).collect();
    if orders != handed_to {
        return Some(format!("was handed to {handed_to:?} and is in {orders:?}"));
    }
    let before = allocations.len().saturating_sub(1);
    if let Some(open) = allocations.iter().take(before).find(|allocation| allocation.ended.is_none()) {
        return Some(format!("was handed to another and is still in {}", open.order));
    }
    let in_order = allocations.last().is_some_and(|last| last.ended.is_none());
    (in_order != (profile.stock_status == "allocated")).then(|| {
        format!("is {} and {} order", profile.stock_status, if in_order { "in an" } else { "in no" })
    })
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
        let mut of_pool: BTreeSet<&str> = BTreeSet::new();
        for profile in end.profiles.iter().filter(|profile| profile.pool == pool.pool) {
            free += i64::from(profile.imported_as == "available");
            of_pool.insert(&profile.iccid);
        }
        for step in end.moves.iter().filter(|step| of_pool.contains(step.iccid.as_str())) {
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
