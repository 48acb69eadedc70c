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
