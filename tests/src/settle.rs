//! Every worker that an operation may need, for any carrier: sales, lost answers, lines, their followers, events.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value as Json;
use simdepot_application::orders::OrderView;
use simdepot_application::{Depot, housekeeping, inbound, line_operations, operations};
use simdepot_carrier_twin::{CallName, Fault, Script, Webhook};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{OperationId, OrderId};
use simdepot_domain::line::LineAction;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::secret::Secret;
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::Profile;
use tokio::time::Instant;

use crate::carrier::TestCarrier;
use crate::database::TestDatabase;
use crate::depot::{TestDepot, WEBHOOK_SECRET, order_of, pool_settings, stock_keeper, work_until_idle};

/// How long one call may take; the twin is near, so a short one loses nothing.
pub const CALL: Duration = Duration::from_millis(800);
/// How long a test waits for an end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends what is due, and finds nothing out.
///
/// # Panics
/// When the store fails.
pub async fn send(depot: &Depot) {
    work_until_idle(depot).await;
    while line_operations::step(depot).await.expect("the store answers") {}
}

/// Every worker, until nothing is due.
///
/// # Panics
/// When the store fails.
pub async fn work_round(depot: &Depot) {
    housekeeping::step(depot).await.expect("the store answers");
    send(depot).await;
    while operations::resolve_step(depot).await.expect("the store answers") {}
    while line_operations::follow_step(depot).await.expect("the store answers") {}
    while inbound::step(depot).await.expect("the store answers") {}
}

impl<M: TestCarrier> TestDepot<M> {
    /// A depot without stock, at a pace that a test can wait for, whose account may manage its lines.
    ///
    /// # Panics
    /// When any part cannot be started.
    pub async fn start_paced(db: TestDatabase) -> Self {
        let mut test = Self::start_at(db, M::sandbox(), CALL).await;
        test.twin.twin().open_lines();
        test.pace(|pace| {
            pace.resolve_margin = TimeDelta::milliseconds(400);
            pace.absence_gap = TimeDelta::milliseconds(200);
            pace.backoff_cap = TimeDelta::milliseconds(100);
            pace.line_settle = TimeDelta::milliseconds(300);
        });
        test
    }

    /// Orders `quantity` profiles as the carrier sells them; does not wait for it.
    ///
    /// # Panics
    /// When the order is not taken.
    pub async fn sell(&self, reference: &str, quantity: u32) -> OrderId {
        self.place(order_of(reference, quantity, M::PRODUCT)).await.expect("it is taken").order.order.id
    }

    /// The next call of a kind fails like this.
    pub fn fail_once(&self, call: CallName, fault: Fault) {
        self.twin.twin().script(Script::once(call, fault));
    }

    /// Every worker of this depot, until nothing is due.
    pub async fn work_round(&self) {
        work_round(&self.depot).await;
    }

    /// Works until no operation is open but those that a person must decide.
    pub async fn settle(&self) {
        self.settle_by(&self.depot).await;
    }

    /// The same by another process.
    ///
    /// # Panics
    /// When some are still open after a while.
    pub async fn settle_by(&self, depot: &Depot) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            work_round(depot).await;
            let mut open = self.operations(None).await;
            open.retain(|one| one.status.is_open() && one.status != OperationStatus::NeedsAttention);
            if open.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "still open: {open:#?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Works until an order stands as wanted.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn settle_order(&self, id: OrderId, wanted: OrderStatus) -> OrderView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.work_round().await;
            let order = self.read_order(id).await;
            if order.order.status == wanted {
                return order;
            }
            assert!(Instant::now() < deadline, "still {}: {order:#?}", order.order.status);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// A profile by its key.
    ///
    /// # Panics
    /// When there is none.
    pub async fn profile_by_id(&self, id: i64) -> Profile {
        let read = self.depot.store.read(move |conn| simdepot_persistence::profiles::get(conn, id)).await;
        read.expect("the profile")
    }

    /// An operation as it stands.
    ///
    /// # Panics
    /// When there is none.
    pub async fn operation(&self, id: OperationId) -> Operation {
        operations::get(&self.depot, &stock_keeper("default"), id).await.expect("the operation").operation
    }

    /// Brings an event that was signed with a secret. Whether it was new; `None` when it is not the carrier's.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn bring(&self, event: &Json, secret: &str) -> Option<bool> {
        let body = event.to_string().into_bytes();
        let webhook = Webhook::new("http://nowhere", Secret::new(secret)).expect("a webhook");
        self.bring_signed(&body, &webhook.signature(&body)).await
    }

    /// Brings a body with a signature. Whether it was new; `None` when it is not the carrier's.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn bring_signed(&self, body: &[u8], signature: &str) -> Option<bool> {
        let account = pool_settings().carrier_account;
        let header = |name: &str| (name == M::SIGNATURE).then(|| signature.to_owned());
        match inbound::admit(&self.depot, &account, &header, body).expect("an account") {
            inbound::Admission::Authentic(event) => {
                Some(inbound::keep(&self.depot, event).await.expect("the store answers"))
            }
            inbound::Admission::Refused(_) => None,
        }
    }

    /// Brings events of the carrier's, and applies them.
    ///
    /// # Panics
    /// When one is not accepted.
    pub async fn hear(&self, events: &[Json]) {
        for event in events {
            assert!(self.bring(event, WEBHOOK_SECRET).await.is_some(), "refused");
        }
        while inbound::step(&self.depot).await.expect("the store answers") {}
    }

    /// How often the carrier has sold on a SIM.
    pub fn sold(&self, iccid: &Iccid) -> u64 {
        self.twin.twin().sold(iccid)
    }

    /// How often it has sold at all.
    pub fn sold_in_all(&self) -> u64 {
        self.twin.twin().sold_in_all()
    }

    /// How many requests of a call it got.
    pub fn calls(&self, call: CallName) -> u64 {
        self.twin.twin().calls(call)
    }

    /// How often it has done something to the line of a SIM.
    pub fn carried_out(&self, iccid: &Iccid, action: LineAction) -> u64 {
        self.twin.twin().done(iccid, action)
    }

    /// Everything that the carrier has told so far.
    pub fn told(&self) -> Vec<Json> {
        self.twin.twin().told()
    }
}
