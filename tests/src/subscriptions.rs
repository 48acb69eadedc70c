//! A depot whose carrier activates subscriptions with the sale, under our own numbers.

use std::time::Duration;

use serde_json::Value as Json;
use simdepot_application::line_operations;
use simdepot_application::orders::{OrderView, PlaceOrder};
use simdepot_application::{AppError, housekeeping, inbound, operations};
use simdepot_carrier_sps::{Sps, SpsAccount};
use simdepot_carrier_twin::sps::{Effect, SpsConfig, SpsEvent, SpsTwin};
use simdepot_carrier_twin::{CallName, Fault, Script, TwinRequest, Webhook};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{OperationId, OrderId};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_domain::order::OrderStatus;
use simdepot_domain::secret::Secret;
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::Profile;
use tokio::time::Instant;

use crate::carrier::{WORKING_MS, wholesale_account};
use crate::database::TestDatabase;
use crate::depot::{TestDepot, WEBHOOK_SECRET, order_of, pool_settings, stock_keeper};

/// How long a test waits for an end.
const PATIENCE: Duration = Duration::from_secs(20);
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

    /// Orders `quantity` profiles; does not wait for the carrier.
    ///
    /// # Panics
    /// When the order is not taken.
    pub async fn sell(&self, reference: &str, quantity: u32) -> OrderId {
        self.place(order_of(reference, quantity, None)).await.expect("it is taken").order.order.id
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

    /// Every worker that a line's operation needs, once, until nothing is due.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn step_lines(&self) {
        housekeeping::step(&self.depot).await.expect("the store answers");
        while line_operations::step(&self.depot).await.expect("the store answers") {}
        while line_operations::follow_step(&self.depot).await.expect("the store answers") {}
    }

    /// Works until an order stands as wanted.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn settle_order(&self, id: OrderId, wanted: OrderStatus) -> OrderView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.step_lines().await;
            let order = self.read_order(id).await;
            if order.order.status == wanted {
                return order;
            }
            assert!(Instant::now() < deadline, "still {}: {order:#?}", order.order.status);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Works until no operation is open but those that a person must decide.
    ///
    /// # Panics
    /// When some are still open after a while.
    pub async fn settle_lines(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.step_lines().await;
            let listed = self.operations(None).await;
            let is_open = |operation: &Operation| {
                operation.status.is_open() && operation.status != OperationStatus::NeedsAttention
            };
            let open: Vec<_> = listed.into_iter().filter(is_open).collect();
            if open.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "still open: {open:#?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
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

    /// An operation as it stands.
    ///
    /// # Panics
    /// When there is none.
    pub async fn operation(&self, id: OperationId) -> Operation {
        operations::get(&self.depot, &stock_keeper("default"), id).await.expect("the operation").operation
    }

    /// A profile by its key.
    ///
    /// # Panics
    /// When there is none.
    pub async fn profile_by_id(&self, id: i64) -> Profile {
        let read = self.depot.store.read(move |conn| simdepot_persistence::profiles::get(conn, id)).await;
        read.expect("the profile")
    }

    /// The next call of a kind fails like this.
    pub fn fail_once(&self, call: CallName, fault: Fault) {
        self.twin.twin().add_script(Script::once(call, fault));
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
        let account = pool_settings().carrier_account;
        let webhook = Webhook::new("http://nowhere", Secret::new(WEBHOOK_SECRET)).expect("a webhook");
        for event in events {
            let body = event.body.to_string().into_bytes();
            let signature = webhook.signature(&body);
            let header = |name: &str| (name == "x-signature-256").then(|| signature.clone());
            match inbound::admit(&self.depot, &account, &header, &body).expect("an account") {
                inbound::Admission::Authentic(event) => {
                    inbound::keep(&self.depot, event).await.expect("the store answers");
                }
                inbound::Admission::Refused(why) => panic!("{why}"),
            }
        }
        while inbound::step(&self.depot).await.expect("the store answers") {}
    }
}
