//! Wakes those who wait in this process. A signal is only a hint: whoever waits looks at the store, and looks again
//! now and then by himself, because another process may have done the work. Those who follow the feed do not: one loop
//! of each process looks for all of them how far it has got, whoever numbered it, so that a thousand of them cost what
//! one costs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// How often a waiter looks without having been woken.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What those wait for who follow the feed; no id is nil.
const FEED: Uuid = Uuid::nil();

/// Signals of one process.
#[derive(Debug, Default)]
pub struct Signals {
    /// There may be an operation to carry out.
    pub work: Notify,
    /// There may be a command to a line to carry out or to follow.
    pub lines: Notify,
    /// There may be a line job to go on with.
    pub line_jobs: Notify,
    /// The last number of the feed that this process has heard of.
    feed: AtomicI64,
    /// There may be a carrier's event to apply.
    pub inbound: Notify,
    /// There may be a webhook to deliver.
    pub webhooks: Notify,
    /// The process is about to end: nobody waits any more.
    stopping: AtomicBool,
    waiting: Mutex<HashMap<Uuid, Arc<Notify>>>,
}

impl Signals {
    /// Something was sold: whichever way it is carried out, a worker may begin.
    pub fn sold(&self) {
        self.work.notify_one();
        self.lines.notify_one();
    }

    /// Something changed about `id`.
    pub fn changed(&self, id: Uuid) {
        if let Some(notify) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            notify.notify_waiters();
        }
    }

    /// The feed has reached `seq`: wakes those who follow it if that is news.
    pub fn feed_reached(&self, seq: i64) {
        if self.feed.fetch_max(seq, Ordering::SeqCst) < seq {
            self.changed(FEED);
        }
    }

    /// The process is about to end: all that wait, now or later, look once more and go on with what they have; those
    /// who follow the feed, as far as there is news.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for notify in self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values() {
            notify.notify_waiters();
        }
    }

    fn listen(&self, id: Uuid) -> Listener<'_> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        Listener { signals: self, id, notify: Arc::clone(waiting.entry(id).or_default()) }
    }

    /// Looks until `look` returns something, `wait` is over or the process is about to end; always looks at least
    /// once.
    ///
    /// # Errors
    /// Those of `look`.
    pub async fn wait_for<T, E, F>(
        &self,
        id: Uuid,
        wait: Duration,
        look: impl Fn() -> F,
    ) -> Result<Option<T>, E>
    where
        F: Future<Output = Result<Option<T>, E>>,
    {
        let deadline = Instant::now() + wait;
        let listener = self.listen(id);
        loop {
            // Registered before looking: a change between the look and the wait is not missed.
            let notified = listener.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let found = look().await;
            let left = deadline.saturating_duration_since(Instant::now());
            // After registering: a stop is either seen here or wakes this waiter.
            let stopping = self.stopping.load(Ordering::SeqCst);
            if !matches!(found, Ok(None)) || left.is_zero() || stopping {
                return found;
            }
            // Whether woken or not, the next thing is to look.
            let _ = tokio::time::timeout(left.min(LOOK_AGAIN), notified).await;
        }
    }

    /// Looks for what comes in the feed after a number, until `look` returns something, `wait` is over or the process
    /// is about to end: once at first, and again only when the feed has got beyond that number. What comes at the very
    /// end of the wait is left to the next request, which looks at first.
    ///
    /// # Errors
    /// Those of `look`.
    pub async fn wait_for_feed<T, E, F>(
        &self,
        after: i64,
        wait: Duration,
        look: impl Fn() -> F,
    ) -> Result<Option<T>, E>
    where
        F: Future<Output = Result<Option<T>, E>>,
    {
        let deadline = Instant::now() + wait;
        let first = look().await;
        if !matches!(first, Ok(None)) || wait.is_zero() {
            return first;
        }
        let listener = self.listen(FEED);
        loop {
            // Registered before the number is read: what comes after that wakes.
            let notified = listener.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let has_news = self.feed.load(Ordering::SeqCst) > after;
            let found = if has_news { look().await } else { Ok(None) };
            let left = deadline.saturating_duration_since(Instant::now());
            if !matches!(found, Ok(None)) || left.is_zero() || self.stopping.load(Ordering::SeqCst) {
                return found;
            }
            // With news there should have been something: the database was restored under this process, or lags.
            let longest = if has_news { LOOK_AGAIN } else { left };
            let _ = tokio::time::timeout(left.min(longest), notified).await;
        }
    }
}

/// Somebody who waits. Clients go away in the middle, so what is kept for him goes with him, however he ends.
struct Listener<'a> {
    signals: &'a Signals,
    id: Uuid,
    notify: Arc<Notify>,
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let mut waiting = self.signals.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // The one in the map and this one.
        if waiting.get(&self.id).is_some_and(|notify| Arc::strong_count(notify) == 2) {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A store with so many entries, and how often it was looked at.
    #[derive(Default)]
    struct Looked {
        entries: AtomicI64,
        looks: AtomicUsize,
    }

    impl Looked {
        fn after(&self, seq: i64) -> std::future::Ready<Result<Option<i64>, Infallible>> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            let entries = self.entries.load(Ordering::SeqCst);
            std::future::ready(Ok((entries > seq).then_some(entries)))
        }

        fn looks(&self) -> usize {
            self.looks.load(Ordering::SeqCst)
        }
    }

    async fn follow(signals: &Signals, store: &Looked, after: i64, wait: Duration) -> Option<i64> {
        signals.wait_for_feed(after, wait, || store.after(after)).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_follows_the_feed_looks_when_there_is_news() {
        let (signals, store) = (Signals::default(), Looked::default());
        store.entries.store(5, Ordering::SeqCst);
        assert_eq!(follow(&signals, &store, 4, LONG).await, Some(5), "before the process has heard of it");
        assert_eq!(store.looks(), 1);
        signals.feed_reached(5);
        assert_eq!(follow(&signals, &store, 5, Duration::ZERO).await, None);
        let begun = Instant::now();
        assert_eq!(follow(&signals, &store, 5, LONG).await, None);
        assert_eq!((store.looks(), begun.elapsed()), (3, LONG), "one look for the whole wait");
        // Who is further on is not bothered with what he has.
        let (news, none, ()) =
            tokio::join!(follow(&signals, &store, 5, LONG), follow(&signals, &store, 9, LONG), async {
                tokio::time::sleep(LONG / 2).await;
                store.entries.store(6, Ordering::SeqCst);
                signals.feed_reached(6);
                signals.feed_reached(6);
            });
        assert_eq!((news, none, store.looks()), (Some(6), None, 6));
        let stopped = Instant::now();
        let (none, ()) = tokio::join!(follow(&signals, &store, 6, LONG), async { signals.stop() });
        assert_eq!((none, stopped.elapsed(), store.looks()), (None, Duration::ZERO, 7));
        assert!(signals.waiting.lock().unwrap().is_empty());
    }

    /// A database that was restored under the process: less is there than the process has heard of.
    #[tokio::test(start_paused = true)]
    async fn what_should_be_there_is_looked_for_now_and_then() {
        let (signals, store) = (Signals::default(), Looked::default());
        signals.feed_reached(10);
        assert_eq!(follow(&signals, &store, 5, LOOK_AGAIN * 3).await, None);
        assert!((4..=6).contains(&store.looks()), "{}", store.looks());
    }

    /// Waits for nothing; returns how often it looked.
    async fn wait(signals: &Signals, id: Uuid) -> usize {
        let looks = AtomicI64::new(0);
        let look = || async {
            looks.fetch_add(1, Ordering::SeqCst);
            Ok::<Option<()>, ()>(None)
        };
        assert_eq!(signals.wait_for(id, LONG, look).await, Ok(None));
        usize::try_from(looks.load(Ordering::SeqCst)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_nothing() {
        let signals = Signals::default();
        let id = Uuid::from_u128(1);
        let gone = tokio::time::timeout(LOOK_AGAIN, wait(&signals, id));
        let (left, ()) = tokio::join!(wait(&signals, id), async { assert!(gone.await.is_err()) });
        assert!(left > 1 && signals.waiting.lock().unwrap().is_empty());
        let feed = signals.wait_for_feed(7, LONG, || async { Ok::<Option<()>, ()>(None) });
        assert!(tokio::time::timeout(LOOK_AGAIN, feed).await.is_err());
        assert!(signals.waiting.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_wakes_those_who_wait_and_lets_nobody_wait_again() {
        let signals = Arc::new(Signals::default());
        let ids = [FEED, Uuid::from_u128(1), Uuid::from_u128(1), Uuid::from_u128(2)];
        let waiting: Vec<_> = ids
            .into_iter()
            .map(|id| {
                let signals = Arc::clone(&signals);
                tokio::spawn(async move { wait(&signals, id).await })
            })
            .collect();
        tokio::time::sleep(LOOK_AGAIN / 2).await;
        let stopped = Instant::now();
        signals.stop();
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap(), 2, "before the stop and after it");
        }
        assert_eq!(wait(&signals, FEED).await, 1, "who comes later looks all the same");
        assert_eq!(stopped.elapsed(), Duration::ZERO);
        let feed = signals.wait_for_feed(7, LONG, || async { Ok::<Option<()>, ()>(None) });
        assert_eq!((feed.await, stopped.elapsed()), (Ok(None), Duration::ZERO));
        assert!(signals.waiting.lock().unwrap().is_empty());
    }
}
