//! The checker: from what everybody saw and what is left at the end, whether the promises were kept.
//!
//! It is pure and knows nothing of how simdepot works. Each rule is a function with hand-made bad histories of its own.

mod answers;
mod end;
mod hand_out;
mod lines;
mod people;
mod state;
mod truth;
mod webhooks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use state::{
    Allocation, Bundle, CarrierCommand, CarrierLine, CarrierPlan, Drift, EndState, Endpoint, Hold, Line,
    Move, Operation, Order, Pool, Profile, Replacement, Subscription, Told,
};

use crate::history::History;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// What, and where.
    pub what: String,
}

/// What the checker says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Promises that were not kept.
    pub violations: Vec<Violation>,
    /// What was seen, by name: how much a run has tried.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Verdict {
    fn find(&mut self, rule: &'static str, what: String) {
        self.violations.push(Violation { rule, what });
    }

    fn see(&mut self, name: &'static str, count: usize) {
        if count > 0 {
            *self.seen.entry(name).or_default() += u64::try_from(count).unwrap_or_default();
        }
    }
}

/// Checks a run.
pub fn check(history: &History, end: &EndState) -> Verdict {
    let mut verdict = Verdict::default();
    hand_out::one_order_at_a_time(end, &mut verdict);
    hand_out::codes_for_one_order(history, end, &mut verdict);
    hand_out::no_false_out_of_stock(history, end, &mut verdict);
    hand_out::on_sale_only_with_proof(history, end, &mut verdict);
    hand_out::buffer_is_left(end, &mut verdict);
    answers::acknowledged_orders_exist(history, end, &mut verdict);
    answers::repeats_answer_the_same(history, &mut verdict);
    answers::what_is_told_is_true(history, end, &mut verdict);
    answers::no_internal_errors(history, &mut verdict);
    truth::fulfilled_is_fulfilled(history, end, &mut verdict);
    truth::nothing_is_sent_twice(history, end, &mut verdict);
    truth::refused_is_not_done(history, end, &mut verdict);
    truth::every_plan_is_accounted_for(history, end, &mut verdict);
    truth::attention_is_needed(end, &mut verdict);
    lines::activated_as_ordered(history, end, &mut verdict);
    lines::numbered_commands(history, end, &mut verdict);
    lines::commands_are_counted(history, end, &mut verdict);
    lines::asked_after_before_a_repeat(history, &mut verdict);
    lines::cancelled_sends_nothing(history, end, &mut verdict);
    lines::keys_are_one_command(history, &mut verdict);
    people::replaced_is_replaced(history, end, &mut verdict);
    people::decided_is_decided(history, end, &mut verdict);
    webhooks::arrive(history, end, &mut verdict);
    webhooks::are_genuine(history, &mut verdict);
    webhooks::are_the_same_each_time(history, &mut verdict);
    webhooks::keep_order(history, &mut verdict);
    end::everything_is_decided(end, &mut verdict);
    end::no_hold_leaks(history, end, &mut verdict);
    end::feed_is_dense(end, &mut verdict);
    end::events_are_authentic(end, &mut verdict);
    end::ledger_agrees(end, &mut verdict);
    count(history, end, &mut verdict);
    verdict
}

fn count(history: &History, end: &EndState, verdict: &mut Verdict) {
    for order in &end.orders {
        let name = match order.status.as_str() {
            "fulfilled" => "orders fulfilled",
            "failed" => "orders failed",
            "cancelled" => "orders cancelled",
            "needs_attention" => "orders that need attention",
            _ => "orders in progress",
        };
        verdict.see(name, 1);
    }
    let operations = |status: &str| end.operations.iter().filter(|x| x.status == status).count();
    verdict.see("operations done", operations("done"));
    verdict.see("operations refused", operations("refused"));
    verdict.see("operations unknown", operations("unknown"));
    verdict.see("operations that need attention", operations("needs_attention"));
    verdict.see("drifts", end.drifts.len());
    let out = |entry: &&crate::history::Entry| {
        use crate::history::{Answer, What};
        matches!(entry.what, What::Answered { answer: Answer::OutOfStock { .. }, .. })
    };
    verdict.see("answers out-of-stock", history.entries().iter().filter(out).count());
}
