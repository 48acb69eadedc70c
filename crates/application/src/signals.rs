//! Wakes those who wait in this process. A signal is only a hint: whoever waits looks at the store, and looks again
//! now and then by himself, because another process may have done the work.

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
pub const FEED: Uuid = Uuid::nil();

/// Signals of one process.
#[derive(Debug, Default)]
pub struct Signals {
    /// There may be an operation to carry out.
    pub work: Notify,
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
    /// Something changed about `id`.
    pub fn changed(&self, id: Uuid) {
        if let Some(notify) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            notify.notify_waiters();
        }
    }

    /// The feed has reached `seq`: wakes those who wait for [`FEED`] if that is news.
    pub fn feed_reached(&self, seq: i64) {
        if self.feed.fetch_max(seq, Ordering::Relaxed) < seq {
            self.changed(FEED);
        }
    }

    /// The process is about to end: all that wait, now or later, look once more and go on with what they have.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for notify in self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values() {
            notify.notify_waiters();
        }
    }

    fn listen(&self, id: Uuid) -> Arc<Notify> {
        Arc::clone(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default())
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
        // Declared before what it cleans up after, so that it is dropped behind it.
        let _forget = Forget { signals: self, id };
        let notify = self.listen(id);
        loop {
            // Registered before looking: a change between the look and the wait is not missed.
            let notified = notify.notified();
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
}

/// Removes what nobody waits for any more, also when a waiter is dropped because its client went away.
struct Forget<'a> {
    signals: &'a Signals,
    id: Uuid,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let mut waiting = self.signals.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&self.id).is_some_and(|rest| Arc::strong_count(rest) == 1) {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

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
        assert!(signals.waiting.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_is_given_up_leaves_nothing_behind() {
        let signals = Signals::default();
        let one = Uuid::from_u128(1);
        let short = Duration::from_millis(10);
        {
            let other = wait(&signals, one);
            tokio::pin!(other);
            assert!(tokio::time::timeout(short, &mut other).await.is_err());
            assert!(tokio::time::timeout(short, wait(&signals, one)).await.is_err());
            assert_eq!(signals.waiting.lock().unwrap().len(), 1, "another one still waits");
        }
        assert!(signals.waiting.lock().unwrap().is_empty());
    }
}
