//! Commands to lines, and subscriptions that are activated with the sale: what carriers did against what we say.

use std::collections::{BTreeMap, BTreeSet};

use super::{EndState, Operation, Verdict, people};
use crate::history::{Answer, Ask, Entry, History, Judged, Micros, What};

/// The kind of an activation.
const ACTIVATION: &str = "activate_subscription";
/// The kind of a sold product, which has rules of its own.
const BUNDLE: &str = "place_bundle";
/// What surely was not taken may be sent again at once.
const SURELY_NOT_TAKEN: [&str; 4] = ["no connection", "401", "429", "refused"];
/// What leaves the answer "nobody knows that number" as it is: only a success is spoilt.
const MAY_BE_ANSWERED: [&str; 3] = ["slow answer", "answer is garbage", "answer of a wrong shape"];
/// What came to an end although nothing was lost on the way: carriers may work for ever.
const WITHOUT_LOSS: [&str; 1] = ["never_finished"];

/// Commands whose effect nobody can be blamed for: they arrived after every patience, or after a person had looked, seen
/// nothing and said that this is the end of it.
fn excused<'a>(history: &'a History, end: &'a EndState) -> BTreeSet<&'a str> {
    let judgements = people::judgements(history);
    let refused = |number: &str, at: Micros| {
        let judged = judgements.get(number).into_iter().flatten();
        judged.into_iter().any(|(looked, judged)| **judged == Judged::Refused && *looked <= at)
    };
    let ended = history.entries().iter().filter_map(|Entry { at, what }| match what {
        What::Ended { number, done: true, .. } if refused(number, *at) => Some(number.as_str()),
        _ => None,
    });
    end.late.iter().map(String::as_str).chain(ended).collect()
}

fn find<'a>(end: &'a EndState, number: &str) -> Option<&'a Operation> {
    end.operations.iter().find(|operation| operation.id == number)
}

fn is_refused(operation: &Operation) -> bool {
    matches!(operation.status.as_str(), "refused" | "cancelled")
}

/// A SIM is activated as often as orders say: once for the one that it was fulfilled in, else never.
pub(super) fn activated_as_ordered(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "activated as ordered";
    let excused = excused(history, end);
    let mut all = 0;
    for sim in &end.subscriptions {
        all += usize::try_from(sim.activated).unwrap_or_default();
        if sim.activated > 1 {
            verdict.find(RULE, format!("{} was activated {} times", sim.iccid, sim.activated));
        }
        let commands =
            || end.commands.iter().filter(|x| x.kind == ACTIVATION && x.iccid == sim.iccid && x.done);
        let late = commands().any(|x| x.number.as_deref().is_some_and(|number| excused.contains(number)));
        let profile = end.profiles.iter().find(|profile| profile.iccid == sim.iccid);
        let on_sale = profile.filter(|x| matches!(x.stock_status.as_str(), "available" | "held"));
        // What came late is seen by whoever knows its number.
        let hidden = late && !(end.watched && on_sale.is_some_and(|profile| profile.numbered));
        if sim.activated > 0 && on_sale.is_some() && !hidden {
            verdict.find(RULE, format!("{} is on sale, and has a subscription", sim.iccid));
        }
        if sim.activated > 0 && on_sale.is_some() {
            verdict.see("on sale, activated by a late carrier that tells nobody", 1);
        }
        let places = end.allocations.iter().filter(|a| {
            a.iccid == sim.iccid && (a.outcome == "fulfilled" || a.outcome == "pending") && a.ended.is_none()
        });
        for place in places {
            let ours = commands()
                .filter_map(|x| find(end, x.number.as_deref()?))
                .filter(|x| x.order.as_ref() == Some(&place.order) && x.status == "done");
            let count = ours.count();
            if (place.outcome == "fulfilled") != (count == 1) {
                let what =
                    format!("{} of {} is {}, activated {count} times", sim.iccid, place.order, place.outcome);
                verdict.find(RULE, what);
            }
        }
    }
    verdict.see("subscriptions activated", all);
}

/// What is done under our number was ours and is known as done; what was refused or taken back was not done.
pub(super) fn numbered_commands(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "a command is what its number says";
    let excused = excused(history, end);
    let numbered = || end.commands.iter().filter_map(|x| Some((x.number.as_deref()?, x)));
    let mut late = 0;
    for (number, command) in numbered() {
        let Some(operation) = find(end, number) else {
            verdict.find(RULE, format!("{number} was taken up, and nobody knows of it"));
            continue;
        };
        if operation.kind != command.kind || operation.iccid != command.iccid {
            let what = format!(
                "{number} is {} of {}, the carrier has {} of {}",
                operation.kind, operation.iccid, command.kind, command.iccid
            );
            verdict.find(RULE, what);
        }
        if command.done && is_refused(operation) {
            if excused.contains(number) {
                late += 1;
            } else {
                verdict.find(RULE, format!("{number} is {}, but was carried out", operation.status));
            }
        }
    }
    let done: BTreeSet<&str> = numbered().filter(|(_, x)| x.done).map(|(number, _)| number).collect();
    let takes_numbers = |operation: &&Operation| end.subscriptions.iter().any(|x| x.iccid == operation.iccid);
    for operation in end.operations.iter().filter(takes_numbers).filter(|x| x.status == "done") {
        if !done.contains(operation.id.as_str()) {
            let what =
                format!("{} ({}) is done, but the carrier has not done it", operation.id, operation.kind);
            verdict.find(RULE, what);
        }
    }
    for (number, texts) in &end.numbers {
        if texts.len() > 1 {
            verdict.find(RULE, format!("{number} was sent as {texts:?}"));
        }
        if find(end, number).is_none() {
            verdict.find(RULE, format!("{number} was sent, and nobody knows of it"));
        }
    }
    verdict.see("refused, but carried out by a late carrier", late);
}

/// A carrier without our numbers has done each command as often as we say.
pub(super) fn commands_are_counted(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "a command is done once";
    let mut asked: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for operation in end.operations.iter().filter(|x| x.kind != BUNDLE && x.kind != ACTIVATION) {
        let (done, open) = asked.entry((&operation.iccid, &operation.kind)).or_default();
        *done += usize::from(operation.status == "done");
        *open += usize::from(!is_refused(operation) && operation.status != "done");
    }
    let mut made: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for command in end.commands.iter().filter(|x| x.kind != ACTIVATION && x.done) {
        *made.entry((&command.iccid, &command.kind)).or_default() += 1;
    }
    verdict.see("commands carried out", made.values().sum());
    verdict.see("commands asked for", asked.values().map(|(done, open)| done + open).sum());
    let excused = excused(history, end);
    let judged_refused = people::judgements(history);
    let pairs: BTreeSet<_> = asked.keys().chain(made.keys()).copied().collect();
    for (iccid, kind) in pairs {
        let (done, open) = asked.get(&(iccid, kind)).copied().unwrap_or_default();
        let made = made.get(&(iccid, kind)).copied().unwrap_or_default();
        let of_these = || end.operations.iter().filter(|x| x.iccid == iccid && x.kind == kind);
        let late = excused.contains(iccid)
            || of_these().any(|x| {
                let by_person = judged_refused.get(x.id.as_str()).into_iter().flatten();
                excused.contains(x.id.as_str())
                    || by_person.into_iter().any(|(_, judged)| **judged == Judged::Refused)
            });
        if made < done {
            verdict.find(RULE, format!("{done} {kind} of {iccid} are done, the carrier did {made}"));
        } else if made > done + open && !late {
            let what = format!("{done} {kind} of {iccid} are done and {open} open, the carrier did {made}");
            verdict.find(RULE, what);
        }
    }
}

/// What may have been taken is asked after before it is sent again under its number.
pub(super) fn asked_after_before_a_repeat(history: &History, verdict: &mut Verdict) {
    const WRITES: [&str; 4] = ["activate", "status", "change", "block list"];
    let mut open: BTreeSet<&str> = BTreeSet::new();
    let (mut repeats, mut asked) = (0, 0);
    for entry in history.entries() {
        let What::Sent { call, reference: Some(number), fault } = &entry.what else { continue };
        if *call == "transaction" {
            asked += 1;
            if fault.is_none_or(|fault| MAY_BE_ANSWERED.contains(&fault)) {
                open.remove(number.as_str());
            }
        } else if WRITES.contains(call) {
            if open.contains(number.as_str()) {
                let what = format!("{number} was sent again, and nobody had asked what became of it");
                verdict.find("asked after before a repeat", what);
            }
            let again = !open.insert(number);
            repeats += usize::from(again);
            if fault.is_some_and(|fault| SURELY_NOT_TAKEN.contains(&fault)) {
                open.remove(number.as_str());
            }
        }
    }
    verdict.see("transactions asked after", asked);
    verdict.see("commands sent again unasked", repeats);
}

/// Of an order that is cancelled nothing is sent any more.
pub(super) fn cancelled_sends_nothing(history: &History, end: &EndState, verdict: &mut Verdict) {
    let mut cancelled: BTreeSet<&str> = BTreeSet::new();
    for entry in history.entries() {
        match &entry.what {
            What::Answered { answer: Answer::Order { id, status, .. }, .. } if status == "cancelled" => {
                cancelled.insert(id);
            }
            What::Sent { call, reference: Some(number), .. } if *call != "transaction" => {
                let order = find(end, number).and_then(|operation| operation.order.as_deref());
                if let Some(order) = order.filter(|order| cancelled.contains(order)) {
                    let what = format!("{number} was sent although {order} was cancelled");
                    verdict.find("a cancelled order sends nothing", what);
                }
            }
            _ => {}
        }
    }
}

/// The same key is the same command.
pub(super) fn keys_are_one_command(history: &History, verdict: &mut Verdict) {
    let asks = super::hand_out::asks(history);
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in history.entries() {
        let What::Answered { request, answer: Answer::Commanded { operation, .. } } = &entry.what else {
            continue;
        };
        let Some((_, Ask::Command { key, .. }, _)) = asks.get(request) else { continue };
        let before = *first.entry(key).or_insert(operation);
        if before != operation {
            let what = format!("key {key} was answered with {before} and with {operation}");
            verdict.find("repeats answer the same", what);
        }
    }
}

/// Whether a person may be asked about an operation although nothing of its own was lost.
pub(super) fn needs_no_loss(operation: &Operation) -> bool {
    WITHOUT_LOSS.contains(&operation.code.as_str())
}
