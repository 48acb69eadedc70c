//! The desk: orders that come while others are being taken are taken together.
//!
//! Every order of a batch has its own result. What is wrong with one is found before anything is written, and if the
//! database refuses the batch, each is taken alone.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::place::PlaceOrder;
use super::take::{Ending, Taken, in_one, take};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::gathering::{Item, MOST};
use crate::idempotency::IdempotencyKey;

/// An order that was asked for.
pub struct Asked {
    pub(super) depot: Depot,
    pub(super) caller: Caller,
    pub(super) request: PlaceOrder,
    pub(super) key: Option<IdempotencyKey>,
}

impl Item for Asked {
    type Outcome = Result<Taken, AppError>;

    const NAME: &'static str = "orders";

    /// By profiles. An order out of a hold changes the hold before it is sure to be taken, so it is alone.
    fn weight(&self) -> usize {
        let profiles = self.request.lines.iter().map(|line| usize::try_from(line.quantity).unwrap_or(MOST));
        if self.request.hold.is_some() { MOST } else { profiles.fold(0, usize::saturating_add).max(1) }
    }

    fn run(batch: Vec<Self>) -> BoxFuture<'static, Vec<Self::Outcome>> {
        take_all(batch).boxed()
    }
}

/// Two orders of a channel with one reference or one key are no batch: the second one must see what became of the first.
async fn take_all(batch: Vec<Asked>) -> Vec<Result<Taken, AppError>> {
    let batch = Arc::new(batch);
    let mut taken: Vec<Option<Result<Taken, AppError>>> = batch.iter().map(|_| None).collect();
    let mut left: Vec<usize> = (0..batch.len()).collect();
    while !left.is_empty() {
        let (round, later) = without_repeats(&batch, left);
        for (place, outcome) in take_round(&batch, round).await {
            if let Some(slot) = taken.get_mut(place) {
                *slot = Some(outcome);
            }
        }
        left = later;
    }
    taken.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(no_result()))).collect()
}

fn without_repeats(batch: &[Asked], places: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
    let (mut references, mut keys) = (HashSet::new(), HashSet::new());
    places.into_iter().partition(|place| {
        batch.get(*place).is_none_or(|asked| {
            let channel = asked.caller.channel.as_str();
            let first = references.insert((channel, asked.request.reference.as_str()));
            let key = asked.key.as_ref();
            first && key.is_none_or(|key| keys.insert((channel, key.key.as_str())))
        })
    })
}

/// What became of the orders at these places.
type Outcomes = Vec<(usize, Result<Taken, AppError>)>;

/// Takes the orders at these places in one transaction. When the database refuses them together, each gets its own: one
/// that cannot be written must not keep the others from being taken.
async fn take_round(batch: &Arc<Vec<Asked>>, places: Vec<usize>) -> Outcomes {
    let refused = match take_together(batch, places.clone()).await {
        Ok(taken) => return places.into_iter().zip(taken).collect(),
        Err(refused) => refused,
    };
    if let [place] = places[..] {
        return vec![(place, Err(refused))];
    }
    // An outage concerns all of them, and trying each would only take longer.
    if refused.is_outage() {
        let same = || Err(refused.outage().unwrap_or_else(no_result));
        return places.into_iter().map(|place| (place, same())).collect();
    }
    tracing::warn!(error = %refused, orders = places.len(), "taken one by one");
    let mut outcomes = Vec::with_capacity(places.len());
    for place in places {
        let alone = take_together(batch, vec![place]).await;
        let outcome = alone.and_then(|taken| taken.into_iter().next().unwrap_or_else(|| Err(no_result())));
        outcomes.push((place, outcome));
    }
    outcomes
}

async fn take_together(
    batch: &Arc<Vec<Asked>>,
    places: Vec<usize>,
) -> Result<Vec<Result<Taken, AppError>>, AppError> {
    let Some(first) = places.first().and_then(|place| batch.get(*place)) else { return Ok(Vec::new()) };
    let batch = Arc::clone(batch);
    in_one(&first.depot.clone(), Ending::Commit, move |conn, manner| {
        let orders: Vec<&Asked> = places.iter().filter_map(|place| batch.get(*place)).collect();
        take(conn, &orders, manner)
    })
    .await
}

fn no_result() -> AppError {
    AppError::Internal("an order of a batch has no result".to_owned())
}
