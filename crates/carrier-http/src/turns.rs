//! Turns of one process, where no other uses the account: tests, and commands that have no store.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use simdepot_domain::carrier::{Turns, Unavailable};
use simdepot_domain::channel::AccountName;
use simdepot_domain::rate::Rate;
use tokio::time::Instant;

/// Keeps each account's rate within this process. Another process knows nothing of it.
#[derive(Debug, Default)]
pub struct LocalTurns {
    /// The next free turn of each account.
    next: Mutex<BTreeMap<AccountName, Instant>>,
}

#[async_trait]
impl Turns for LocalTurns {
    async fn take(
        &self,
        account: &AccountName,
        turns: u32,
        per_second: u32,
    ) -> Result<Duration, Unavailable> {
        let rate = Rate::new(per_second);
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(rate.tolerance()).unwrap_or(now);
        let first = next.get(account).copied().map_or(earliest, |free| free.max(earliest));
        next.insert(account.clone(), first + rate.span(turns));
        Ok(first.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_at_once_then_the_rate_per_account() {
        let turns = LocalTurns::default();
        let account = |name| AccountName::parse(name).unwrap();
        let mut waits = Vec::new();
        for _ in 0..4 {
            waits.push(turns.take(&account("a"), 1, 10).await.unwrap().as_millis());
        }
        assert_eq!(waits, [0, 0, 100, 200]);
        assert_eq!(turns.take(&account("b"), 2, 10).await.unwrap(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(turns.take(&account("a"), 2, 10).await.unwrap(), Duration::ZERO);
        assert_eq!(turns.take(&account("a"), 2, 10).await.unwrap(), Duration::from_millis(100));
        assert_eq!(turns.take(&account("a"), 1, 10).await.unwrap(), Duration::from_millis(300));
    }
}
