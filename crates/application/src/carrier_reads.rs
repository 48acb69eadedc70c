//! What is read of a carrier for somebody's convenience, and not for a sale. All calls of an account share its rate: these
//! must not keep the sales waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

/// Balances read at a time.
const BALANCES: usize = 4;
/// Lines, SIM cards and usages read at a time.
const LINES: usize = 4;
/// How long one waits for its turn; then the balances that are known must do.
const PATIENCE: Duration = Duration::from_secs(2);

/// The turns of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CarrierReads {
    catalogue: Arc<Mutex<()>>,
    balances: Arc<Semaphore>,
    lines: Arc<Semaphore>,
}

impl Default for CarrierReads {
    fn default() -> Self {
        Self {
            catalogue: Arc::default(),
            balances: Arc::new(Semaphore::new(BALANCES)),
            lines: Arc::new(Semaphore::new(LINES)),
        }
    }
}

impl CarrierReads {
    /// The only one that reads a catalogue. Whoever has none waits; `None` for whoever has an old one while another
    /// reads a new one.
    pub(crate) async fn catalogue(&self, has_one: bool) -> Option<MutexGuard<'_, ()>> {
        if has_one { self.catalogue.try_lock().ok() } else { Some(self.catalogue.lock().await) }
    }

    /// A turn to read balances; `None` when too many others do.
    pub(crate) async fn balances(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(PATIENCE, self.balances.acquire()).await.ok()?.ok()
    }

    /// A turn to read something of a line for a person; `None` when too many others do.
    pub(crate) async fn lines(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(PATIENCE, self.lines.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_what_he_can_do_without() {
        let reads = CarrierReads::default();
        let first = reads.catalogue(false).await;
        assert!(first.is_some() && reads.catalogue(true).await.is_none());
        assert!(tokio::time::timeout(PATIENCE, reads.catalogue(false)).await.is_err(), "it waits");
        drop(first);
        assert!(reads.catalogue(true).await.is_some());

        let mut turns = Vec::new();
        for _ in 0..BALANCES {
            turns.push(reads.balances().await.unwrap());
        }
        assert!(reads.balances().await.is_none());
        turns.pop();
        assert!(reads.balances().await.is_some());
    }
}
