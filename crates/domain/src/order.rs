//! Orders: what a storefront asks for, and how the fates of its profiles roll up.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::channel::PoolName;

/// Most profiles in one order, over all lines.
pub const MAX_PROFILES: u32 = 1_000;
/// Most lines in one order.
pub const MAX_LINES: usize = 50;

/// Status of an order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OrderStatus {
    /// Waits for the carrier.
    InProgress,
    /// Every profile carries what was ordered.
    Fulfilled,
    /// A person must look: some profiles failed, or an outcome could not be decided.
    NeedsAttention,
    /// No profile could be fulfilled.
    Failed,
    /// Taken back.
    Cancelled,
}

/// What became of one profile of an order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ProfileOutcome {
    /// Its operation is under way.
    Pending,
    /// It carries what was ordered.
    Fulfilled,
    /// The carrier refused, or no substitute was left.
    Failed,
    /// The carrier's answer was lost; being found out.
    Unknown,
    /// Cannot be decided without a person.
    NeedsAttention,
    /// Another profile took its place.
    Substituted,
    /// Taken back.
    Cancelled,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The pool to take from.
    pub pool: PoolName,
    /// The product to put on each profile, if any.
    pub product: Option<String>,
    /// How many profiles.
    pub quantity: u32,
    /// What the carrier needs for this line; opaque here, checked by the adapter.
    pub carrier_parameters: Option<serde_json::Value>,
}

/// Status of an order from the outcomes of its live profiles (substituted ones do not count). `sold_before`: a profile of
/// it was sold and replaced later.
///
/// A refund decision hangs on this: `failed` is said only when nothing was delivered, ever, `fulfilled` only when all was.
/// What failed on its way and what was taken back are both not delivered: together they are `cancelled`.
pub fn roll_up(outcomes: impl IntoIterator<Item = ProfileOutcome>, sold_before: bool) -> OrderStatus {
    use ProfileOutcome as P;
    let (mut open, mut attention, mut fulfilled, mut failed, mut cancelled) = (0, 0, 0, 0, 0);
    for outcome in outcomes {
        match outcome {
            P::Pending | P::Unknown => open += 1,
            P::NeedsAttention => attention += 1,
            P::Fulfilled => fulfilled += 1,
            P::Failed => failed += 1,
            P::Cancelled => cancelled += 1,
            P::Substituted => {}
        }
    }
    match (open, attention, fulfilled, failed, cancelled) {
        (open, ..) if open > 0 => OrderStatus::InProgress,
        (_, 0, _, 0, 0) => OrderStatus::Fulfilled,
        (_, 0, 0, _, cancelled) if cancelled > 0 => OrderStatus::Cancelled,
        (_, 0, 0, ..) if !sold_before => OrderStatus::Failed,
        _ => OrderStatus::NeedsAttention,
    }
}

#[cfg(test)]
mod tests {
    use super::ProfileOutcome::*;
    use super::*;

    #[test]
    fn outcomes_roll_up() {
        for (outcomes, status) in [
            (vec![Fulfilled, Fulfilled], OrderStatus::Fulfilled),
            (vec![Fulfilled, Substituted], OrderStatus::Fulfilled),
            (vec![Fulfilled, Pending], OrderStatus::InProgress),
            (vec![Failed, Unknown], OrderStatus::InProgress),
            (vec![Failed, Failed], OrderStatus::Failed),
            (vec![Failed, Fulfilled], OrderStatus::NeedsAttention),
            (vec![NeedsAttention, Fulfilled], OrderStatus::NeedsAttention),
            (vec![NeedsAttention, Pending], OrderStatus::InProgress),
            (vec![Cancelled, Cancelled], OrderStatus::Cancelled),
            (vec![Cancelled, Failed], OrderStatus::Cancelled),
            (vec![Cancelled, Substituted], OrderStatus::Cancelled),
            (vec![Cancelled, Fulfilled], OrderStatus::NeedsAttention),
        ] {
            assert_eq!(roll_up(outcomes.clone(), false), status, "{outcomes:?}");
        }
    }

    /// Every set of outcomes, by what it has of each.
    fn every_set() -> impl Iterator<Item = Vec<ProfileOutcome>> {
        let all = ProfileOutcome::VARIANTS;
        (0..1u32 << all.len()).map(move |set| {
            let chosen = all.iter().enumerate().filter(move |(bit, _)| set & (1 << bit) != 0);
            chosen.map(|(_, outcome)| *outcome).collect()
        })
    }

    #[test]
    fn what_was_sold_before_is_never_failed() {
        let mut saved = Vec::new();
        for outcomes in every_set() {
            let (new, sold) = (roll_up(outcomes.clone(), false), roll_up(outcomes.clone(), true));
            assert_ne!(sold, OrderStatus::Failed, "{outcomes:?}");
            if new == OrderStatus::Failed {
                assert_eq!(sold, OrderStatus::NeedsAttention, "{outcomes:?}");
                saved.push(outcomes);
            } else {
                assert_eq!(sold, new, "{outcomes:?}");
            }
        }
        // That it was said to have failed means that nothing else was there.
        assert_eq!(saved, [vec![Failed], vec![Failed, Substituted]]);
    }

    #[test]
    fn what_is_open_is_in_progress_and_only_what_is_whole_is_fulfilled() {
        for outcomes in every_set() {
            for sold_before in [false, true] {
                let status = roll_up(outcomes.clone(), sold_before);
                let open = outcomes.iter().any(|outcome| matches!(outcome, Pending | Unknown));
                assert_eq!(status == OrderStatus::InProgress, open, "{outcomes:?}");
                let whole = outcomes.iter().all(|outcome| matches!(outcome, Fulfilled | Substituted));
                assert_eq!(status == OrderStatus::Fulfilled, whole, "{outcomes:?}");
            }
        }
    }
}
