//! Our books against the carrier's: where money is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bundle, CarrierPlan, EndState, Verdict, people};
use crate::history::{History, What};

/// Plans that came to be long after they were asked for.
pub(super) fn late_plans(history: &History) -> BTreeSet<&str> {
    let late = history.entries().iter().filter_map(|entry| match &entry.what {
        What::Applied { subscription, late: true, .. } => Some(subscription.as_str()),
        _ => None,
    });
    late.collect()
}

/// A fulfilled order has, on each of its profiles, exactly one plan of the line's product that was ordered for it.
pub(super) fn fulfilled_is_fulfilled(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "fulfilled is fulfilled";
    let (late, unnamed) = (late_plans(history), people::done_unnamed(history));
    for allocation in end.allocations.iter().filter(|a| a.ended.is_none() && a.outcome == "fulfilled") {
        let line = end.lines.iter().find(|l| l.order == allocation.order && l.line == allocation.line);
        let Some(product) = line.and_then(|line| line.product.as_ref()) else { continue };
        let (order, iccid) = (&allocation.order, &allocation.iccid);
        let bundles: Vec<_> = end
            .bundles
            .iter()
            .filter(|b| b.iccid == *iccid && b.order.as_ref() == Some(order) && b.status != "refused")
            .collect();
        let [bundle] = bundles.as_slice() else {
            verdict.find(RULE, format!("{iccid} of {order} has {} bundles", bundles.len()));
            continue;
        };
        let operations: BTreeSet<&str> = end
            .operations
            .iter()
            .filter(|x| x.bundle.as_ref() == Some(&bundle.id))
            .map(|x| x.id.as_str())
            .collect();
        let plans: Vec<_> = end
            .carrier_line(iccid)
            .map(|line| line.plans.iter().filter(|plan| operations.contains(plan.reference.as_str())))
            .into_iter()
            .flatten()
            .collect();
        let in_time = plans.iter().filter(|plan| !late.contains(plan.subscription.as_str())).count();
        let right = plans.iter().filter(|plan| plan.product == *product).count();
        if plans.is_empty() || in_time > 1 || right != plans.len() {
            let what = format!("{iccid} of {order} should have one {product}, the carrier has {plans:?}");
            verdict.find(RULE, what);
        }
        let named = bundle.subscription.as_ref();
        if named.is_none() && operations.iter().any(|id| unnamed.contains(id)) {
            continue;
        }
        if !plans.iter().any(|plan| Some(&plan.subscription) == named) {
            verdict.find(RULE, format!("{iccid} of {order} names {named:?}, the carrier has {plans:?}"));
        }
    }
    for order in end.orders.iter().filter(|order| order.status == "fulfilled") {
        let open = end.allocations.iter().any(|a| {
            a.order == order.id && a.ended.is_none() && a.outcome != "fulfilled"
                || a.order == order.id && a.outcome == "failed"
        });
        if open {
            verdict.find(RULE, format!("{} is fulfilled, but not all of it", order.id));
        }
    }
}

/// Of one operation at most one plan comes to be, except what a carrier did long after it was asked.
pub(super) fn nothing_is_sent_twice(history: &History, end: &EndState, verdict: &mut Verdict) {
    let mut in_time: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut all, mut late_ones) = (0, 0);
    for entry in history.entries() {
        if let What::Applied { reference, late, .. } = &entry.what {
            all += 1;
            if *late {
                late_ones += 1;
            } else {
                *in_time.entry(reference).or_default() += 1;
            }
        }
    }
    verdict.see("plans made", all);
    verdict.see("plans made late", late_ones);
    for (reference, times) in in_time {
        if times > 1 {
            verdict.find("nothing is sent twice", format!("{reference} took effect {times} times"));
        }
        if !end.operations.iter().any(|operation| operation.id == reference) {
            verdict.find("nothing is sent twice", format!("{reference} took effect, but nobody knows of it"));
        }
    }
}

/// What was refused or cancelled is not at the carrier, except what it did long after it was asked.
pub(super) fn refused_is_not_done(history: &History, end: &EndState, verdict: &mut Verdict) {
    let mut late = late_plans(history);
    late.extend(people::after_refusal(history, end));
    let plans: Vec<_> = end.carrier.iter().flat_map(|line| &line.plans).collect();
    for operation in end.operations.iter().filter(|operation| operation.kind == "place_bundle") {
        let mut made = plans.iter().filter(|plan| plan.reference == operation.id);
        let done = operation.status == "done";
        let not_done = matches!(operation.status.as_str(), "refused" | "cancelled");
        if done && made.next().is_none() {
            let what = format!("{} is done, but the carrier has nothing of it", operation.id);
            verdict.find("done is done", what);
        } else if not_done && made.any(|plan| !late.contains(plan.subscription.as_str())) {
            let what = format!("{} is {}, but took effect", operation.id, operation.status);
            verdict.find("refused is not done", what);
        }
    }
}

/// Every plan at the carrier is a bundle that we ordered, or was told to be none, and that only if the carrier did it
/// late. One that nobody ordered on a sold profile is in the books all the same, found at the carrier; that does not
/// make the difference right.
pub(super) fn every_plan_is_accounted_for(history: &History, end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "every plan is accounted for";
    let mut late = late_plans(history);
    late.extend(people::after_refusal(history, end));
    let unnamed = people::done_unnamed(history);
    let placed: BTreeSet<&str> = end.operations.iter().filter_map(|x| x.bundle.as_deref()).collect();
    let (ordered, found): (Vec<_>, Vec<_>) =
        end.bundles.iter().partition(|bundle| placed.contains(bundle.id.as_str()));
    let subscriptions = |bundles: &[&Bundle]| -> BTreeSet<String> {
        bundles.iter().filter_map(|bundle| bundle.subscription.clone()).collect()
    };
    let (known, adopted) = (subscriptions(&ordered), subscriptions(&found));
    let open: BTreeSet<&str> = end
        .operations
        .iter()
        .filter(|x| {
            matches!(x.status.as_str(), "unknown" | "needs_attention")
                || x.status == "done" && unnamed.contains(x.id.as_str())
        })
        .map(|x| x.id.as_str())
        .collect();
    let mut extra = 0;
    for line in &end.carrier {
        let strange = |plan: &&CarrierPlan| !known.contains(&plan.subscription);
        // Which of several a person meant who named none is not guessed.
        let guess = |plan: &CarrierPlan| {
            let same = |other: &&CarrierPlan| strange(other) && other.product == plan.product;
            let nameless = |x: &&Bundle| x.iccid == line.iccid && x.product == plan.product && is_nameless(x);
            ordered.iter().any(nameless) && line.plans.iter().filter(same).count() > 1
        };
        let sold = end.profiles.iter().any(|x| x.iccid == line.iccid && x.stock_status == "allocated");
        let at_work = end
            .operations
            .iter()
            .any(|x| x.iccid == line.iccid && open.contains(x.id.as_str()) && x.status != "done");
        for plan in line.plans.iter().filter(strange) {
            // An operation that waits for a person says so itself; one that a person called done takes the plan that it
            // made, once somebody looks and there is only one.
            let waits = open.contains(plan.reference.as_str());
            let named_late =
                unnamed.contains(plan.reference.as_str()) && end.watched && !guess(plan) && !at_work;
            if waits && !named_late {
                continue;
            }
            extra += 1;
            if end.watched
                && sold
                && !at_work
                && !guess(plan)
                && !plan.over
                && !adopted.contains(&plan.subscription)
            {
                verdict.find(RULE, format!("{} on {} is in no book", plan.subscription, line.iccid));
            }
            let told = end.drifts.iter().any(|d| {
                let about_it = d.about == plan.subscription && d.status != "healed";
                d.iccid == line.iccid && (about_it || d.kind == "in_use_unsold")
            });
            // Some operation of the line must have met a late carrier: the books take the earliest plan for the one
            // that was ordered, so the extra one may be the one that was in time.
            let excused = late.contains(plan.subscription.as_str())
                || line
                    .plans
                    .iter()
                    .any(|p| p.reference == plan.reference && late.contains(p.subscription.as_str()));
            if !excused {
                let what = format!("{} on {} is nobody's, and was not late", plan.subscription, line.iccid);
                verdict.find(RULE, what);
            } else if !told && (end.watched || adopted.contains(&plan.subscription)) {
                let what = format!("{} on {} came late, and nobody was told", plan.subscription, line.iccid);
                verdict.find(RULE, what);
            }
        }
    }
    verdict.see("extra plans by a late carrier", extra);
}

/// Whether the carrier has a bundle under an id that nobody told.
fn is_nameless(bundle: &Bundle) -> bool {
    bundle.subscription.is_none() && !matches!(bundle.status.as_str(), "ordering" | "refused" | "unknown")
}

/// A person is asked only about what a lost answer left open, and is told why.
pub(super) fn attention_is_needed(end: &EndState, verdict: &mut Verdict) {
    const RULE: &str = "attention is needed";
    for operation in end.operations.iter().filter(|x| x.status == "needs_attention") {
        // A command to a line has no number of ours everywhere: there it is known by the line's SIM.
        let by_sim = (operation.kind != "place_bundle").then_some(&operation.iccid);
        let lost = std::iter::once(&operation.id).chain(by_sim).any(|name| {
            let troubles = end.troubles.get(name).into_iter().flatten();
            troubles.into_iter().any(|(_, lost)| *lost) || end.interrupted.contains(name)
        });
        if !lost && !super::lines::needs_no_loss(operation) {
            verdict.find(RULE, format!("{} needs attention, but no answer was lost", operation.id));
        }
        if !operation.explained {
            verdict.find(RULE, format!("{} needs attention and does not say why", operation.id));
        }
    }
    for order in end.orders.iter().filter(|order| order.status == "needs_attention") {
        let outcomes: BTreeSet<&str> = end
            .allocations
            .iter()
            .filter(|a| a.order == order.id && a.outcome != "substituted")
            .map(|a| a.outcome.as_str())
            .collect();
        // What replaced a sold profile may fail alone.
        let replaced = end.replacements.iter().any(|replaced| replaced.order == order.id);
        let failed = replaced && outcomes.contains("failed");
        if !outcomes.contains("needs_attention") && outcomes.len() < 2 && !failed {
            verdict.find(RULE, format!("{} needs attention, but all of it is {outcomes:?}", order.id));
        }
    }
}
