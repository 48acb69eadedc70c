//! Turns at carriers for every process on the store: however many run, together they keep an account's rate.

use std::time::Duration;

use async_trait::async_trait;
use simdepot_domain::carrier::{Turns, Unavailable};
use simdepot_domain::channel::AccountName;
use simdepot_domain::rate::Rate;
use simdepot_persistence::{Store, carrier_turns};

/// Hands out the turns of the database.
#[derive(Debug, Clone)]
pub struct SharedTurns {
    store: Store,
}

impl SharedTurns {
    /// The turns of this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Turns for SharedTurns {
    /// A failed statement may have taken turns all the same; then they are lost, which harms nobody.
    async fn take(
        &self,
        account: &AccountName,
        turns: u32,
        per_second: u32,
    ) -> Result<Duration, Unavailable> {
        let (name, rate) = (account.clone(), Rate::new(per_second));
        let taken = self.store.write(move |conn| carrier_turns::take(conn, &name, turns, rate)).await;
        let wait = taken.map_err(|error| {
            tracing::warn!(%account, %error, "no turn at the carrier could be taken");
            metrics::counter!("simdepot_carrier_turns_failed_total", "account" => account.to_string())
                .increment(1);
            Unavailable {
                reason: "no turn at the carrier could be taken from the database".to_owned(),
                retry_after_ms: None,
            }
        })?;
        metrics::histogram!("simdepot_carrier_turn_wait_seconds", "account" => account.to_string())
            .record(wait.as_secs_f64());
        Ok(wait)
    }
}
