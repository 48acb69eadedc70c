//! Actors and their turns. An actor is a future that is polled by hand, and only when it is told to go on: what runs
//! between two of its waits is one step, and nothing else runs meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use simdepot_persistence::store::Turnstile;

use crate::history::Answer;

/// What an actor does. A background loop never ends.
pub(super) type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Set by whatever the actor waits for: the scheduler decides when it goes on.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One thing that goes on in a process.
pub(super) struct Actor {
    /// Its number.
    pub(super) id: u64,
    /// The process that it is part of.
    pub(super) process: usize,
    /// The request that it answers; none for a background loop.
    pub(super) request: Option<u32>,
    work: Work,
    flag: Arc<Flag>,
    waker: Waker,
}

/// All actors.
#[derive(Default)]
pub(super) struct Executor {
    actors: Vec<Actor>,
    made: u64,
}

impl Executor {
    /// Adds an actor; it has not begun yet.
    pub(super) fn add(&mut self, process: usize, request: Option<u32>, work: Work) {
        self.made += 1;
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        // Tokio would make an actor wait for no reason after a number of polls within one of its own tasks.
        let work: Work = Box::pin(tokio::task::unconstrained(work));
        self.actors.push(Actor { id: self.made, process, request, work, flag, waker });
    }

    /// Places of the actors that can go on, but for those of processes that stand still.
    pub(super) fn ready(&self, stands_still: impl Fn(usize) -> bool) -> Vec<usize> {
        let can = |actor: &Actor| actor.flag.0.load(Ordering::Relaxed) && !stands_still(actor.process);
        self.actors.iter().enumerate().filter(|(_, actor)| can(actor)).map(|(place, _)| place).collect()
    }

    /// The number of the actor at a place.
    pub(super) fn id_at(&self, place: usize) -> u64 {
        self.actors.get(place).map_or(0, |actor| actor.id)
    }

    /// The process of the actor at a place.
    pub(super) fn process_at(&self, place: usize) -> usize {
        self.actors.get(place).map_or(0, |actor| actor.process)
    }

    /// Lets the actor at a place go on to its next wait. Returns its request and answer when it ended.
    pub(super) fn go_on(&mut self, place: usize) -> Option<(u32, Answer)> {
        let actor = self.actors.get_mut(place)?;
        actor.flag.0.store(false, Ordering::Relaxed);
        let waker = actor.waker.clone();
        match actor.work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(answer) => {
                let request = self.actors.remove(place).request;
                request.map(|request| (request, answer))
            }
        }
    }

    /// Ends every actor of a process where it stands. Returns the requests that will not be answered.
    pub(super) fn kill(&mut self, process: usize) -> Vec<u32> {
        let (dead, alive) = self.actors.drain(..).partition(|actor| actor.process == process);
        self.actors = alive;
        let dead: Vec<Actor> = dead;
        dead.iter().filter_map(|actor| actor.request).collect()
    }

    /// Ends the actor of one request, as when its client goes away.
    pub(super) fn drop_request(&mut self, request: u32) -> bool {
        let before = self.actors.len();
        self.actors.retain(|actor| actor.request != Some(request));
        self.actors.len() < before
    }

    /// The requests under way.
    pub(super) fn requests(&self) -> Vec<u32> {
        self.actors.iter().filter_map(|actor| actor.request).collect()
    }
}

/// Gives way once: whoever polls decides when it goes on.
pub(super) async fn give_way() {
    let mut given = false;
    std::future::poll_fn(move |context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Stops an actor before and after each unit of work.
pub(super) struct Gate;

#[async_trait]
impl Turnstile for Gate {
    async fn pass(&self) {
        give_way().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(detail: &str) -> Answer {
        Answer::Problem { code: String::new(), detail: detail.to_owned(), again: false }
    }

    fn worker(word: &'static str) -> Work {
        Box::pin(async move {
            Gate.pass().await;
            answer(word)
        })
    }

    #[test]
    fn actors_stop_at_the_gate_and_go_on_when_told() {
        let mut executor = Executor::default();
        executor.add(0, Some(1), worker("a"));
        executor.add(1, Some(2), worker("b"));
        assert_eq!(executor.ready(|_| false), [0, 1]);
        assert_eq!(executor.ready(|process| process == 0), [1]);
        assert_eq!(executor.go_on(1), None);
        assert_eq!(executor.go_on(1), Some((2, answer("b"))));
        assert_eq!((executor.ready(|_| false), executor.requests()), (vec![0], vec![1]));
    }

    #[test]
    fn a_killed_process_answers_nothing() {
        let mut executor = Executor::default();
        executor.add(0, Some(1), worker("a"));
        executor.add(0, None, worker("loop"));
        executor.add(1, Some(2), worker("b"));
        assert_eq!(executor.kill(0), [1]);
        assert_eq!(executor.requests(), [2]);
        assert!(executor.drop_request(2) && !executor.drop_request(2));
    }

    #[test]
    fn who_waits_for_nothing_is_not_ready() {
        let mut executor = Executor::default();
        executor.add(0, None, Box::pin(std::future::pending()));
        assert_eq!(executor.go_on(0), None);
        assert!(executor.ready(|_| false).is_empty());
    }
}
