//! What the harness needs of a carrier's twin: its adapter, a pool for its SIMs, and a delivery of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use simdepot_carrier_sps::{Sps, SpsAccount, SpsSettings, TokenCredentials};
use simdepot_carrier_transatel::Transatel;
use simdepot_carrier_twin::machine::Machine;
use simdepot_carrier_twin::sps::{SpsTwin, sps_delivery_file};
use simdepot_carrier_twin::{Twin, delivery};
use simdepot_domain::carrier::{Carrier, Turns};
use simdepot_domain::clock::Clock;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::pool::{DEFAULT_ACTIVATED, PoolSettings};
use simdepot_domain::secret::Secret;

use crate::depot::{ACCOUNT, WEBHOOK_SECRET, account_of, pool_settings};

/// How long the second carrier works on a write.
pub(crate) const WORKING_MS: u64 = 150;

/// A carrier that a depot is tested with.
pub trait TestCarrier: Machine + Sized {
    /// Makes it answer as tests want it to, unless they say otherwise.
    fn prepare(&mut self);

    /// The adapter of its account.
    fn adapter(
        &self,
        base_url: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
    ) -> Arc<dyn Carrier>;

    /// The pool of every test depot, with its SIMs.
    fn pool() -> PoolSettings;

    /// Makes SIMs, and the delivery file that comes with them.
    fn make_stock(&mut self, count: u32) -> (Vec<Iccid>, String);
}

impl TestCarrier for Twin {
    fn prepare(&mut self) {
        self.assumptions_mut().sim_search_lag_seconds = 0;
    }

    fn adapter(
        &self,
        base_url: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
    ) -> Arc<dyn Carrier> {
        let account = account_of(self.config(), base_url, timeout);
        Arc::new(Transatel::new(account, clock, turns).expect("the adapter"))
    }

    fn pool() -> PoolSettings {
        pool_settings()
    }

    fn make_stock(&mut self, count: u32) -> (Vec<Iccid>, String) {
        let lines = self.add_lines(count);
        (lines.iter().map(|line| line.iccid.clone()).collect(), delivery::delivery_file(&lines))
    }
}

/// The account of a twin of the second carrier.
pub fn wholesale_account(twin: &SpsTwin, base_url: &str, timeout: Duration) -> SpsAccount {
    let config = twin.config().clone();
    SpsAccount {
        account: ACCOUNT.to_owned(),
        base_url: base_url.to_owned(),
        token_url: None,
        token_credentials: TokenCredentials::default(),
        scope: None,
        client_id: config.client_id,
        client_secret: config.client_secret,
        wholesale_customer_id: config.wholesale_customer_id,
        webhook_secret: Some(Secret::new(WEBHOOK_SECRET)),
        timeout,
        max_requests_per_second: 2_000,
        settings: SpsSettings::default(),
    }
}

impl TestCarrier for SpsTwin {
    fn prepare(&mut self) {
        let assumptions = self.assumptions_mut();
        assumptions.pickup_delay_ms = WORKING_MS / 3;
        assumptions.completion_delay_ms = WORKING_MS;
    }

    fn adapter(
        &self,
        base_url: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
    ) -> Arc<dyn Carrier> {
        Arc::new(Sps::new(wholesale_account(self, base_url, timeout), clock, turns).expect("the adapter"))
    }

    fn pool() -> PoolSettings {
        let activation = json!({
            "wholesale_plan_id": "Plan001", "bucket_ref_ids": ["Bucket001"], "location": { "zip": "80120" },
        });
        PoolSettings {
            sellable_statuses: DEFAULT_ACTIVATED.to_vec(),
            activation: Some(activation),
            ..pool_settings()
        }
    }

    fn make_stock(&mut self, count: u32) -> (Vec<Iccid>, String) {
        let sims = self.add_sims(count);
        (sims.iter().map(|sim| sim.iccid.clone()).collect(), sps_delivery_file(&sims))
    }
}
