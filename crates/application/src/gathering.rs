//! Group commit: what comes while a transaction is under way gathers, and the next transaction takes all of it.
//!
//! When nothing is under way, an item begins at once and alone: a lone caller waits for nothing. A batch begins beside
//! another one when as much waits as that has, or when it has waited for a moment (`LINGER`): small ones beside each other
//! would cost more than they gain.
//!
//! There is no task of its own that could die or be forgotten: a batch is driven by whoever waits for one of its items,
//! and when that one goes away, by another. When all of them are gone before it began, it is dropped and nothing of it
//! happened; a unit of work that has begun runs to its commit, as everywhere.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use simdepot_persistence::StoreError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::AppError;

/// How long an item waits for its turn before the answer is "busy": as long as a unit of work waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long few wait at most for what is under way before they begin beside it.
const LINGER: Duration = Duration::from_millis(10);

/// A batch that takes longer is held up by something, and nobody waits to begin beside it.
const SLOW: Duration = Duration::from_millis(200);

/// What gathers.
pub trait Item: Send + Sized + 'static {
    /// What becomes of one.
    type Outcome: Send + 'static;

    /// How metrics name it.
    const NAME: &'static str;

    /// How much of a batch it takes up.
    fn weight(&self) -> usize {
        1
    }

    /// Does all of them, one outcome for each, in order.
    fn run(batch: Vec<Self>) -> BoxFuture<'static, Vec<Self::Outcome>>;
}

/// Weight that a batch has at most, unless one item alone weighs more.
pub const MOST: usize = 256;

type Outcomes<R> = Arc<Mutex<Vec<Option<R>>>>;
type Batch<R> = Shared<BoxFuture<'static, Outcomes<R>>>;

struct Waiting<T: Item> {
    item: T,
    weight: usize,
    since: Instant,
    begun: oneshot::Sender<(Batch<T::Outcome>, usize)>,
}

type Taken<T> = Vec<Waiting<T>>;

/// A batch under way.
#[derive(Clone, Copy, PartialEq)]
struct UnderWay {
    since: Instant,
    weight: usize,
}

struct State<T: Item> {
    waiting: VecDeque<Waiting<T>>,
    /// What waits.
    weight: usize,
    under_way: Vec<UnderWay>,
}

impl<T: Item> State<T> {
    /// Whether the next batch may begin, as one of so many at once.
    fn may_begin(&self, at_once: usize) -> bool {
        let Some(first) = self.waiting.front() else { return false };
        let count = self.under_way.len();
        if count >= at_once {
            return false;
        }
        // As much as the batches under way have in the mean, which is nothing when there are none; or a full one.
        let mean = self.under_way.iter().map(|batch| batch.weight).sum::<usize>() / count.max(1);
        self.weight >= mean.min(MOST)
            || first.since.elapsed() >= LINGER
            || self.under_way.iter().any(|batch| batch.since.elapsed() >= SLOW)
    }
}

/// Where items of one kind gather.
pub struct Gathering<T: Item> {
    state: Mutex<State<T>>,
    at_once: usize,
}

impl<T: Item> fmt::Debug for Gathering<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering")
            .field("of", &T::NAME)
            .field("at_once", &self.at_once)
            .finish_non_exhaustive()
    }
}

impl<T: Item> Gathering<T> {
    /// With so many batches under way at a time: one is written while another is committed.
    pub fn new(at_once: usize) -> Arc<Self> {
        let state = Mutex::new(State { waiting: VecDeque::new(), weight: 0, under_way: Vec::new() });
        Arc::new(Self { state, at_once: at_once.max(1) })
    }

    /// Hands an item in and waits for its outcome.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when its turn did not come in time: nothing of it happened. [`StoreError::Aborted`] when its
    /// batch panicked.
    pub async fn submit(self: &Arc<Self>, item: T) -> Result<T::Outcome, AppError> {
        let aborted = || AppError::Store(StoreError::Aborted(format!("a batch of {} was aborted", T::NAME)));
        let (begun, mut begins) = oneshot::channel();
        let (weight, since) = (item.weight(), Instant::now());
        {
            let mut state = self.state();
            state.weight += weight;
            state.waiting.push_back(Waiting { item, weight, since, begun });
        }
        self.begin();
        // Beside others it may begin by the time alone.
        let soon = if self.at_once > 1 { tokio::time::timeout(LINGER, &mut begins).await.ok() } else { None };
        let begins = match soon {
            Some(begins) => begins,
            None => {
                self.begin();
                let patience = tokio::time::timeout_at(since + PATIENCE, begins);
                patience.await.map_err(|_| StoreError::Busy)?
            }
        };
        let (batch, place) = begins.map_err(|_| aborted())?;
        let outcomes = batch.await;
        let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.get_mut(place).and_then(Option::take).ok_or_else(aborted)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins batches as long as something waits and there is room. What is dropped on the way may begin the next one,
    /// so nothing is dropped under the lock.
    fn begin(self: &Arc<Self>) {
        while let Some((taken, _gone, under_way)) = self.take() {
            if taken.is_empty() {
                continue;
            }
            let (items, waiters): (Vec<T>, Vec<_>) =
                taken.into_iter().map(|waiting| (waiting.item, waiting.begun)).unzip();
            metrics::histogram!("simdepot_gathered", "of" => T::NAME).record(count(items.len()));
            let room = Room { gathering: Arc::clone(self), under_way };
            let batch = async move {
                // One that panicked has no outcomes; the others must hear of it.
                let outcomes = AssertUnwindSafe(T::run(items)).catch_unwind().await.unwrap_or_default();
                // Whoever waits may begin while these are handed out.
                drop(room);
                Arc::new(Mutex::new(outcomes.into_iter().map(Some).collect()))
            };
            let batch: Batch<T::Outcome> = batch.boxed().shared();
            for (place, waiter) in waiters.into_iter().enumerate() {
                // Who has gone away is done without.
                let _ = waiter.send((batch.clone(), place));
            }
        }
    }

    /// The next batch, and those that nobody waits for any more.
    fn take(&self) -> Option<(Taken<T>, Taken<T>, UnderWay)> {
        let mut state = self.state();
        if !state.may_begin(self.at_once) {
            return None;
        }
        let (mut taken, mut gone, mut weight) = (Vec::new(), Vec::new(), 0);
        while let Some(next) = state.waiting.front() {
            let with_it = weight + next.weight;
            if with_it > MOST && !taken.is_empty() {
                break;
            }
            let Some(next) = state.waiting.pop_front() else { break };
            state.weight -= next.weight;
            if next.begun.is_closed() {
                gone.push(next);
                continue;
            }
            weight = with_it;
            taken.push(next);
        }
        let under_way = UnderWay { since: Instant::now(), weight };
        if !taken.is_empty() {
            state.under_way.push(under_way);
        }
        Some((taken, gone, under_way))
    }
}

/// A place among the batches under way; given back however the batch ends.
struct Room<T: Item> {
    gathering: Arc<Gathering<T>>,
    under_way: UnderWay,
}

impl<T: Item> Drop for Room<T> {
    fn drop(&mut self) {
        let mut state = self.gathering.state();
        if let Some(place) = state.under_way.iter().position(|batch| *batch == self.under_way) {
            state.under_way.swap_remove(place);
        }
        drop(state);
        self.gathering.begin();
    }
}

fn count(items: usize) -> f64 {
    u32::try_from(items).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests;
