//! Group commit: what comes while a transaction is under way gathers, and the next transaction takes all of it.
//!
//! Nobody lingers: when nothing is under way, an item begins at once and alone, so that a lone caller waits for nothing.
//! There is no task of its own that could die or be forgotten: a batch is driven by whoever waits for one of its items,
//! and when that one goes away, by another. When all of them are gone before it began, it is dropped and nothing of it
//! happened; a unit of work that has begun runs to its commit, as everywhere.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

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
    begun: oneshot::Sender<(Batch<T::Outcome>, usize)>,
}

struct State<T: Item> {
    waiting: VecDeque<Waiting<T>>,
    /// Batches, and the weight of all that is in them.
    under_way: usize,
    weight: usize,
}

/// How many batches are under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce {
    /// However much they weigh: one is written while another is committed.
    pub always: usize,
    /// As long as all of them together weigh no more than this many items, which go straight through, each by itself: a
    /// database commits several at a time for the price of one, and so few are no batch.
    pub light: usize,
}

impl AtOnce {
    /// One after the other.
    pub const ONE: Self = Self { always: 1, light: 0 };
}

/// Where items of one kind gather.
pub struct Gathering<T: Item> {
    state: Mutex<State<T>>,
    at_once: AtOnce,
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
    /// With so many batches under way at a time.
    pub fn new(at_once: AtOnce) -> Arc<Self> {
        let state = Mutex::new(State { waiting: VecDeque::new(), under_way: 0, weight: 0 });
        Arc::new(Self { state, at_once })
    }

    /// Hands an item in and waits for its outcome; `None` when its batch panicked.
    pub async fn submit(self: &Arc<Self>, item: T) -> Option<T::Outcome> {
        let (begun, begins) = oneshot::channel();
        self.state().waiting.push_back(Waiting { item, begun });
        self.begin();
        let (batch, place) = begins.await.ok()?;
        let outcomes = batch.await;
        outcomes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place)?.take()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins batches as long as something waits and there is room. What is dropped on the way may begin the next one,
    /// so nothing is dropped under the lock.
    fn begin(self: &Arc<Self>) {
        while let Some((taken, weight)) = self.take() {
            let (items, waiters): (Vec<T>, Vec<_>) =
                taken.into_iter().map(|waiting| (waiting.item, waiting.begun)).unzip();
            metrics::histogram!("simdepot_gathered", "of" => T::NAME).record(count(items.len()));
            let room = Room { gathering: Arc::clone(self), weight };
            let batch = async move {
                let outcomes = T::run(items).await;
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

    fn take(&self) -> Option<(Vec<Waiting<T>>, usize)> {
        let mut state = self.state();
        let is_light = state.weight < self.at_once.light;
        if state.under_way >= self.at_once.always.max(1) && !is_light {
            return None;
        }
        let first = state.waiting.pop_front()?;
        let mut weight = first.item.weight();
        let mut taken = vec![first];
        while state.waiting.front().is_some_and(|next| weight + next.item.weight() <= MOST) {
            let Some(next) = state.waiting.pop_front() else { break };
            weight += next.item.weight();
            taken.push(next);
        }
        state.under_way += 1;
        state.weight += weight;
        Some((taken, weight))
    }
}

/// A place among the batches under way; given back however the batch ends.
struct Room<T: Item> {
    gathering: Arc<Gathering<T>>,
    weight: usize,
}

impl<T: Item> Drop for Room<T> {
    fn drop(&mut self) {
        {
            let mut state = self.gathering.state();
            state.under_way -= 1;
            state.weight -= self.weight;
        }
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
        fn new(at_once: AtOnce) -> Self {
            let (door, begun) = (Arc::new(Semaphore::new(0)), Arc::default());
            Self { gathering: Gathering::new(at_once), door, begun }
        }

        fn visit(&self, weight: usize) -> tokio::task::JoinHandle<Option<usize>> {
            let gathering = Arc::clone(&self.gathering);
            let visit = Visit { door: Arc::clone(&self.door), begun: Arc::clone(&self.begun), weight };
            tokio::spawn(async move { gathering.submit(visit).await })
        }

        async fn settle(&self) {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn what_comes_meanwhile_goes_together() {
        let house = House::new(AtOnce::ONE);
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
        let house = House::new(AtOnce { always: 2, light: 0 });
        let (first, second) = (house.visit(1), house.visit(1));
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 2);
        house.door.add_permits(2);
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Some(1), Some(1)));
    }

    #[tokio::test]
    async fn a_few_go_straight_through() {
        let house = House::new(AtOnce { always: 1, light: 3 });
        let few = [house.visit(1), house.visit(1), house.visit(1)];
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 3);
        let more = [house.visit(1), house.visit(1)];
        house.settle().await;
        assert_eq!(house.begun.load(Ordering::SeqCst), 3);
        house.door.add_permits(1);
        house.settle().await;
        // One of the three has made room; both go together.
        assert_eq!(house.begun.load(Ordering::SeqCst), 4);
        house.door.add_permits(3);
        for (visit, together) in few.into_iter().chain(more).zip([1, 1, 1, 2, 2]) {
            assert_eq!(visit.await.unwrap(), Some(together));
        }
    }

    #[tokio::test]
    async fn a_heavy_one_goes_alone_and_in_its_turn() {
        let house = House::new(AtOnce::ONE);
        let visits = [house.visit(1), house.visit(1), house.visit(10 * MOST), house.visit(1)];
        house.settle().await;
        house.door.add_permits(4);
        let mut together = Vec::new();
        for visit in visits {
            together.push(visit.await.unwrap());
        }
        assert_eq!(together, [Some(1); 4]);
    }

    #[tokio::test]
    async fn who_goes_away_keeps_nobody_waiting() {
        let house = House::new(AtOnce::ONE);
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
