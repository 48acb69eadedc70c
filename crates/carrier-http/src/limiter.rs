//! The account's rate: every request, read or write, waits for its turn.
//!
//! Turns come from [`Turns`], which every process that uses the account shares, and are taken a quarter of a second's
//! worth at a time: one call there serves many requests, and an account that is idle asks for nothing.

use std::sync::Arc;
use std::time::Duration;

use simdepot_domain::carrier::{Turns, Unavailable};
use simdepot_domain::channel::AccountName;
use simdepot_domain::rate::Rate;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Timers are no finer: a turn that is due within it is due now.
const GRAIN: Duration = Duration::from_millis(1);
/// Stands for a moment beyond what the clock can name.
const NEVER: Duration = Duration::from_secs(86_400);

/// Hands out turns.
pub(crate) struct Limiter {
    account: AccountName,
    rate: Rate,
    turns: Arc<dyn Turns>,
    taken: Mutex<Option<Taken>>,
}

/// Turns that are ours and not used yet.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// When the first of them is due; the others follow at the rate.
    first: Instant,
    left: u32,
}

impl Limiter {
    pub(crate) fn new(account: AccountName, per_second: u32, turns: Arc<dyn Turns>) -> Self {
        Self { account, rate: Rate::new(per_second), turns, taken: Mutex::default() }
    }

    /// Waits for a turn until `deadline`; a turn that comes later is left to others.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<(), Unavailable> {
        if self.rate.is_unlimited() {
            return Ok(());
        }
        let due = timeout_at(deadline, self.reserve(deadline)).await.unwrap_or_else(|_| Err(too_busy()))?;
        if due > Instant::now() + GRAIN {
            sleep_until(due).await;
        }
        Ok(())
    }

    /// Takes the next turn and says when it is due. Whoever has to fetch turns does so while the others wait.
    async fn reserve(&self, deadline: Instant) -> Result<Instant, Unavailable> {
        let mut taken = self.taken.lock().await;
        let ours = match taken.and_then(|taken| taken.without_lapsed(self.rate)) {
            Some(ours) => ours,
            None => self.fetch(*taken).await?,
        };
        if ours.first > deadline {
            *taken = Some(ours);
            return Err(too_busy());
        }
        *taken = Some(Taken { first: ours.first + self.rate.interval(), left: ours.left.saturating_sub(1) });
        Ok(ours.first)
    }

    /// Takes more turns; they begin where the ones before ended, at the earliest.
    async fn fetch(&self, before: Option<Taken>) -> Result<Taken, Unavailable> {
        let left = self.rate.burst();
        let wait = self.turns.take(&self.account, left, self.rate.per_second()).await?;
        let now = Instant::now();
        let granted = now.checked_add(wait).unwrap_or(now + NEVER);
        let first = before.map_or(granted, |before| granted.max(before.first));
        Ok(Taken { first, left })
    }
}

impl Taken {
    /// A turn lapses a quarter of a second after it was due: many unused ones must not become a burst later, when
    /// other processes have had theirs.
    fn without_lapsed(self, rate: Rate) -> Option<Self> {
        let late = Instant::now().saturating_duration_since(self.first + rate.span(rate.burst()));
        let lapsed = late.as_nanos().checked_div(rate.interval().as_nanos()).unwrap_or(0);
        let lapsed = u32::try_from(lapsed).unwrap_or(u32::MAX);
        let left = self.left.checked_sub(lapsed).filter(|left| *left > 0)?;
        Some(Self { first: self.first + rate.span(lapsed), left })
    }
}

fn too_busy() -> Unavailable {
    Unavailable {
        reason: "no turn within the time-out: more requests wait than max_requests_per_second lets through"
            .into(),
        retry_after_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::LocalTurns;
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Counts how often turns are taken.
    #[derive(Default)]
    struct Counted {
        inner: LocalTurns,
        takes: AtomicU32,
        down: bool,
    }

    #[async_trait]
    impl Turns for Counted {
        async fn take(&self, account: &AccountName, turns: u32, rate: u32) -> Result<Duration, Unavailable> {
            self.takes.fetch_add(1, Ordering::SeqCst);
            if self.down {
                return Err(Unavailable { reason: "no database".into(), retry_after_ms: None });
            }
            self.inner.take(account, turns, rate).await
        }
    }

    fn limiter(per_second: u32, turns: &Arc<Counted>) -> Limiter {
        Limiter::new(AccountName::parse("spc").unwrap(), per_second, turns.clone())
    }

    fn within(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_rate_and_takes_turns_by_the_chunk() {
        let turns = Arc::new(Counted::default());
        let limiter = limiter(100, &turns);
        assert_eq!(turns.takes.load(Ordering::SeqCst), 0, "an idle account asks for nothing");
        let started = Instant::now();
        for _ in 0..=100 {
            limiter.turn(within(5_000)).await.unwrap();
        }
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(990) && took < Duration::from_millis(1_100), "{took:?}");
        assert_eq!(turns.takes.load(Ordering::SeqCst), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn two_processes_together_keep_the_rate() {
        let turns = Arc::new(Counted::default());
        let started = Instant::now();
        let count = |limiter: Limiter| async move {
            let mut done = 0;
            while limiter.turn(started + Duration::from_secs(10)).await.is_ok() {
                done += 1;
            }
            done
        };
        let (one, two) = tokio::join!(count(limiter(40, &turns)), count(limiter(40, &turns)));
        assert!((395..=411).contains(&(one + two)), "{one} and {two} in ten seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn unused_turns_lapse() {
        let turns = Arc::new(Counted::default());
        let limiter = limiter(100, &turns);
        limiter.turn(within(100)).await.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        let resumed = Instant::now();
        for _ in 0..10 {
            limiter.turn(within(1_000)).await.unwrap();
        }
        assert!(resumed.elapsed() >= Duration::from_millis(89), "{:?}", resumed.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_comes_too_late_is_left_to_others() {
        let turns = Arc::new(Counted::default());
        let limiter = limiter(1, &turns);
        limiter.turn(within(50)).await.unwrap();
        for _ in 0..5 {
            let refused = limiter.turn(within(50)).await.unwrap_err();
            assert!(refused.reason.contains("max_requests_per_second"));
        }
        assert_eq!(turns.takes.load(Ordering::SeqCst), 2, "those who gave up took no turns with them");
        limiter.turn(within(1_000)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn without_turns_nothing_is_sent() {
        let turns = Arc::new(Counted { down: true, ..Counted::default() });
        assert_eq!(limiter(10, &turns).turn(within(50)).await.unwrap_err().reason, "no database");
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_never_waits() {
        let turns = Arc::new(Counted::default());
        let limiter = limiter(u32::MAX, &turns);
        let started = Instant::now();
        for _ in 0..10_000 {
            limiter.turn(within(50)).await.unwrap();
        }
        assert_eq!((started.elapsed(), turns.takes.load(Ordering::SeqCst)), (Duration::ZERO, 0));
    }
}
