//! A depot whose carrier activates subscriptions with the sale, under our own numbers.

use std::time::Duration;

use serde_json::Value as Json;
use simdepot_application::orders::PlaceOrder;
use simdepot_application::{AppError, line_operations};
use simdepot_carrier_sps::{Sps, SpsAccount};
use simdepot_carrier_twin::TwinRequest;
use simdepot_carrier_twin::sps::{Effect, SpsConfig, SpsEvent, SpsTwin};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{OperationId, OrderId};
use simdepot_domain::operation::OperationRequest;

use crate::carrier::{WORKING_MS, wholesale_account};
use crate::database::TestDatabase;
use crate::depot::{TestDepot, order_of, stock_keeper};

/// How long one call to the twin may take.
const TIMEOUT: Duration = Duration::from_secs(2);

impl TestDepot<SpsTwin> {
    /// A depot with the pool [`crate::depot::POOL`], without stock, beside the second carrier.
    ///
    /// # Panics
    /// When any part cannot be started.
    pub async fn start_wholesale(db: TestDatabase) -> Self {
        let mut test = Self::start_at(db, SpsTwin::new(SpsConfig::sandbox()), TIMEOUT).await;
        test.pace(|pace| pace.resolve_margin = chrono::TimeDelta::milliseconds(400));
        test
    }

    /// Gives the carrier account other settings.
    ///
    /// # Panics
    /// When they cannot work.
    pub fn reconfigure_wholesale(&mut self, change: impl FnOnce(&mut SpsAccount)) {
        let mut account = wholesale_account(&self.twin.twin(), &self.twin.base_url, TIMEOUT);
        change(&mut account);
        let turns =
            std::sync::Arc::new(simdepot_application::turns::SharedTurns::new(self.depot.store.clone()));
        let carrier = Sps::new(account, self.clock.clone(), turns).expect("the adapter");
        self.wrap_carrier(|_| std::sync::Arc::new(carrier));
    }

    /// Orders one profile with parameters of its own; does not wait for the carrier.
    ///
    /// # Errors
    /// Those of the order.
    pub async fn sell_with(&self, reference: &str, parameters: Json) -> Result<OrderId, AppError> {
        let mut order: PlaceOrder = order_of(reference, 1, None);
        for line in &mut order.lines {
            line.carrier_parameters = Some(parameters.clone());
        }
        Ok(self.place(order).await?.order.order.id)
    }

    /// Asks for something to be done with a line or its device.
    ///
    /// # Errors
    /// Those of [`line_operations::request`].
    pub async fn request(&self, iccid: &Iccid, request: OperationRequest) -> Result<OperationId, AppError> {
        let caller = stock_keeper("default");
        let taken = line_operations::request(&self.depot, &caller, iccid.clone(), request, None).await?;
        Ok(taken.0.operation.id)
    }

    /// How often the carrier has put the line of a SIM in service.
    pub fn activations(&self, iccid: &Iccid) -> u64 {
        self.twin.twin().effects(iccid.as_str(), Effect::Activate)
    }

    /// The SIMs that the carrier has put in service, and how often.
    pub fn activated(&self) -> Vec<(String, u64)> {
        let twin = self.twin.twin();
        let count = |counts: &std::collections::BTreeMap<Effect, u64>| counts.get(&Effect::Activate).copied();
        twin.all_effects()
            .iter()
            .filter_map(|(iccid, counts)| Some((iccid.clone(), count(counts)?)))
            .collect()
    }

    /// Waits until the carrier has done what it works on.
    pub async fn carrier_time(&self) {
        tokio::time::sleep(Duration::from_millis(WORKING_MS + 50)).await;
        // What is due happens with the next request.
        let now = SystemClock.now();
        drop(self.twin.twin().handle(now, &TwinRequest::new("GET", "/_twin/state")));
    }

    /// What the carrier has to tell, in the order in which it happened.
    pub fn notifications(&self) -> Vec<SpsEvent> {
        self.twin.twin().events().to_vec()
    }

    /// Brings notifications, and applies them.
    ///
    /// # Panics
    /// When one is not accepted.
    pub async fn notify(&self, events: &[SpsEvent]) {
        let bodies: Vec<Json> = events.iter().map(|event| event.body.clone()).collect();
        self.hear(&bodies).await;
    }
}
