//! The desk: orders that come while others are being taken are taken together.
//!
//! Every order of a batch has its own result. What stands in the way of one stands in the way of no other: it is left out
//! and taken aside, alone, where it may look, wait and fail by itself.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use simdepot_persistence::Conn;

use super::place::PlaceOrder;
use super::take::{Again, Apart, Ending, Manner, Taken, no_result, take, take_alone};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::gathering::{Item, MOST};
use crate::idempotency::IdempotencyKey;

/// An order that was asked for.
pub(super) struct Asked {
    pub(super) depot: Depot,
    pub(super) caller: Caller,
    pub(super) request: PlaceOrder,
    pub(super) key: Option<IdempotencyKey>,
}

/// An order on its way to be taken with others.
pub struct Together(Arc<Asked>);

/// An order on its way to be taken alone.
pub struct Aside(Arc<Asked>);

/// What became of an order that was to be taken with others, or why it must be taken alone.
type Verdict = Result<Result<Taken, AppError>, &'static str>;

/// Takes an order, with others if nothing speaks against it.
///
/// # Errors
/// Those of the order.
pub(super) async fn take_order(asked: &Arc<Asked>) -> Result<Taken, AppError> {
    let depot = &asked.depot;
    // One out of a hold changes the hold before it is sure to be taken.
    let why = if asked.request.hold.is_some() {
        "hold"
    } else {
        match depot.desk.submit(Together(Arc::clone(asked))).await? {
            Ok(taken) => return taken,
            Err(why) => why,
        }
    };
    metrics::counter!("simdepot_orders_aside_total", "why" => why).increment(1);
    depot.aside.submit(Aside(Arc::clone(asked))).await?
}

impl Item for Together {
    type Outcome = Verdict;

    const NAME: &'static str = "orders";

    /// By profiles.
    fn weight(&self) -> usize {
        let profiles = self.0.request.lines.iter().map(|line| usize::try_from(line.quantity).unwrap_or(MOST));
        profiles.fold(0, usize::saturating_add).max(1)
    }

    fn run(batch: Vec<Self>) -> BoxFuture<'static, Vec<Verdict>> {
        take_all(batch.into_iter().map(|order| order.0).collect()).boxed()
    }
}

impl Item for Aside {
    type Outcome = Result<Taken, AppError>;

    const NAME: &'static str = "orders aside";

    fn weight(&self) -> usize {
        MOST
    }

    fn run(batch: Vec<Self>) -> BoxFuture<'static, Vec<Self::Outcome>> {
        async move {
            let mut taken = Vec::with_capacity(batch.len());
            for Aside(asked) in batch {
                taken.push(take_alone(&asked, Ending::Commit, |_, taken| Ok(taken)).await);
            }
            taken
        }
        .boxed()
    }
}

/// Takes a batch in one transaction. When the database refuses it, whichever of the orders is to blame, each is taken
/// alone: an outage concerns all of them, and trying each would only take longer.
async fn take_all(batch: Vec<Arc<Asked>>) -> Vec<Verdict> {
    let Some(store) = batch.first().map(|asked| asked.depot.store.clone()) else { return Vec::new() };
    let (count, first) = (batch.len(), without_repeats(&batch));
    let work = move |conn: &mut Conn<'_>| {
        let chosen = batch.iter().zip(&first).filter(|(_, first)| **first);
        let orders: Vec<&Asked> = chosen.map(|(asked, _)| asked.as_ref()).collect();
        let mut taken = take(conn, &orders, Manner::TOGETHER)?.into_iter();
        let verdict = |first: &bool| if *first { taken.next() } else { Some(Err(Apart::LookFirst)) };
        let verdicts = first.iter().map_while(verdict).map(|outcome| outcome.map_err(Into::into));
        Ok::<Vec<Verdict>, Again>(verdicts.collect())
    };
    match store.write_batch(work).await {
        Ok(verdicts) => verdicts,
        Err(Again::Apart(why)) => (0..count).map(|_| Err(why.into())).collect(),
        Err(Again::Failed(refused)) if refused.is_outage() => {
            let same = || Ok(Err(refused.outage().unwrap_or_else(no_result)));
            (0..count).map(|_| same()).collect()
        }
        Err(Again::Failed(refused)) => {
            tracing::warn!(error = %refused, orders = count, "a batch of orders is taken one by one");
            (0..count).map(|_| Err("refused")).collect()
        }
    }
}

/// Which of the orders are the first of their channel with their reference and their key: another one must see what
/// became of that.
fn without_repeats(batch: &[Arc<Asked>]) -> Vec<bool> {
    let (mut references, mut keys) = (HashSet::new(), HashSet::new());
    let is_first = |asked: &Arc<Asked>| {
        let channel = asked.caller.channel.as_str();
        let first = references.insert((channel.to_owned(), asked.request.reference.clone()));
        let key = asked.key.as_ref();
        key.is_none_or(|key| keys.insert((channel.to_owned(), key.key.clone()))) && first
    };
    batch.iter().map(is_first).collect()
}
