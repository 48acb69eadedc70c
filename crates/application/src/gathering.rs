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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// The weight of a visit whose batch panics.
    const PANICS: usize = 7;

    /// Waits for the door and says with how many it was.
    struct Visit {
        door: Arc<Semaphore>,
        begun: Arc<AtomicUsize>,
        weight: usize,
    }

    impl Item for Visit {
        type Outcome = usize;

        const NAME: &'static str = "visits";

        fn weight(&self) -> usize {
            self.weight
        }

        fn run(batch: Vec<Self>) -> BoxFuture<'static, Vec<usize>> {
            async move {
                if let Some(first) = batch.first() {
                    first.begun.fetch_add(1, Ordering::SeqCst);
                    first.door.acquire().await.unwrap().forget();
                    assert!(batch.iter().all(|visit| visit.weight != PANICS), "as the test wants");
                }
                vec![batch.len(); batch.len()]
            }
            .boxed()
        }
    }

    struct House {
        gathering: Arc<Gathering<Visit>>,
        door: Arc<Semaphore>,
        begun: Arc<AtomicUsize>,
    }

    impl House {
        fn new(at_once: usize) -> Self {
            let (door, begun) = (Arc::new(Semaphore::new(0)), Arc::default());
            Self { gathering: Gathering::new(at_once), door, begun }
        }

        fn visit(&self, weight: usize) -> tokio::task::JoinHandle<Option<usize>> {
            let gathering = Arc::clone(&self.gathering);
            let visit = Visit { door: Arc::clone(&self.door), begun: Arc::clone(&self.begun), weight };
            tokio::spawn(async move { gathering.submit(visit).await.ok() })
        }

        async fn settle(&self) {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn what_comes_meanwhile_goes_together() {
        let house = House::new(1);
        let first = house.visit(1);
        house.settle().await;
        let others: Vec<_> = (0..5).map(|_| house.visit(1)).collect();
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 1);
        house.door.add_permits(1);
        assert_eq!(first.await.unwrap(), Some(1));
        house.door.add_permits(1);
        for other in others {
            assert_eq!(other.await.unwrap(), Some(5));
        }
    }

    #[tokio::test]
    async fn nothing_lingers_while_there_is_room() {
        let house = House::new(2);
        let (first, second) = (house.visit(1), house.visit(1));
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 2);
        house.door.add_permits(2);
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Some(1), Some(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_begins_beside_another_when_as_many_wait() {
        let house = House::new(2);
        let mut visits = vec![house.visit(1), house.visit(1)];
        house.settle().await;
        visits.extend((0..3).map(|_| house.visit(1)));
        house.settle().await;
        house.door.add_permits(2);
        house.settle().await;
        // The three are under way; two do not begin beside them, and three do.
        assert_eq!(house.begun.load(Ordering::SeqCst), 3);
        visits.extend((0..2).map(|_| house.visit(1)));
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 3);
        visits.push(house.visit(1));
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 4);
        house.door.add_permits(2);
        let mut together = Vec::new();
        for visit in visits {
            together.push(visit.await.unwrap());
        }
        assert_eq!(together, [1, 1, 3, 3, 3, 3, 3, 3].map(Some));
    }

    #[tokio::test(start_paused = true)]
    async fn few_do_not_wait_for_what_is_slow() {
        let house = House::new(2);
        let first = house.visit(1);
        house.settle().await;
        let second = house.visit(1);
        house.settle().await;
        let slow: Vec<_> = (0..3).map(|_| house.visit(1)).collect();
        house.settle().await;
        house.door.add_permits(2);
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Some(1), Some(1)));
        let late = house.visit(1);
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 3);
        tokio::time::sleep(LINGER).await;
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 4);
        house.door.add_permits(2);
        assert_eq!(late.await.unwrap(), Some(1));
        for visit in slow {
            assert_eq!(visit.await.unwrap(), Some(3));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beside_what_is_held_up() {
        let house = House::new(2);
        let held_up: Vec<_> = (0..2).map(|_| house.visit(3)).collect();
        house.settle().await;
        tokio::time::sleep(SLOW).await;
        house.door.add_permits(1);
        house.settle().await;
        let next = house.visit(1);
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 3);
        house.door.add_permits(2);
        assert_eq!(next.await.unwrap(), Some(1));
        for visit in held_up {
            assert_eq!(visit.await.unwrap(), Some(1));
        }
    }

    /// Its time passes while there is no room.
    #[tokio::test(start_paused = true)]
    async fn who_has_waited_long_begins_as_soon_as_there_is_room() {
        let house = House::new(2);
        let mut visits = vec![house.visit(1), house.visit(4)];
        house.settle().await;
        visits.push(house.visit(1));
        house.settle().await;
        tokio::time::sleep(LINGER).await;
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 2);
        house.door.add_permits(1);
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 3);
        house.door.add_permits(2);
        for visit in visits {
            assert_eq!(visit.await.unwrap(), Some(1));
        }
    }

    #[tokio::test]
    async fn a_heavy_one_goes_alone_and_in_its_turn() {
        let house = House::new(1);
        let visits = [house.visit(1), house.visit(1), house.visit(10 * MOST), house.visit(1)];
        house.settle().await;
        house.door.add_permits(4);
        let mut together = Vec::new();
        for visit in visits {
            together.push(visit.await.unwrap());
        }
        assert_eq!(together, [Some(1); 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn whose_turn_does_not_come_is_told_so() {
        let house = House::new(1);
        let first = house.visit(1);
        house.settle().await;
        let late = house.visit(1);
        assert_eq!(late.await.unwrap(), None);
        let next = house.visit(1);
        house.settle().await;
        house.door.add_permits(2);
        assert_eq!((first.await.unwrap(), next.await.unwrap()), (Some(1), Some(1)));
    }

    #[tokio::test]
    async fn a_batch_that_panics_is_told_to_all_and_makes_room() {
        let house = House::new(1);
        let first = house.visit(1);
        house.settle().await;
        let (bad, other) = (house.visit(PANICS), house.visit(1));
        house.settle().await;
        house.door.add_permits(3);
        assert_eq!(first.await.unwrap(), Some(1));
        assert_eq!((bad.await.unwrap(), other.await.unwrap()), (None, None));
        assert_eq!(house.visit(1).await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn many_that_went_away_are_passed_over() {
        let house = House::new(1);
        let first = house.visit(1);
        house.settle().await;
        let gone: Vec<_> = (0..20_000).map(|_| house.visit(MOST)).collect();
        let stays = house.visit(1);
        house.settle().await;
        gone.iter().for_each(tokio::task::JoinHandle::abort);
        house.settle().await;
        house.door.add_permits(2);
        assert_eq!((first.await.unwrap(), stays.await.unwrap()), (Some(1), Some(1)));
    }

    #[tokio::test]
    async fn who_goes_away_keeps_nobody_waiting() {
        let house = House::new(1);
        let first = house.visit(1);
        house.settle().await;
        let (gone, stays) = (house.visit(1), house.visit(1));
        house.settle().await;
        // The one that drives the batch, and one that waits for the next.
        first.abort();
        gone.abort();
        house.settle().await;
        house.door.add_permits(2);
        assert_eq!(stays.await.unwrap(), Some(2));
        let last = house.visit(1);
        house.door.add_permits(1);
        assert_eq!(last.await.unwrap(), Some(1));
    }
}
