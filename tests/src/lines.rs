//! A depot whose carrier account may manage lines.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use simdepot_application::line_operations::{self, LineRequest};
use simdepot_application::{AppError, housekeeping, inbound, operations};
use simdepot_carrier_twin::events::TwinEvent;
use simdepot_carrier_twin::webhook::SIGNATURE_HEADER;
use simdepot_carrier_twin::{Delivered, LineSpec, TwinRequest, Webhook};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::line::{LineCommand, LineDetails};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::operations::Operation;
use tokio::time::Instant;

use crate::database::TestDatabase;
use crate::depot::{TestDepot, WEBHOOK_SECRET, pool_settings, stock_keeper};

/// How long a test waits for a command's end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the carrier works on a command.
const DELAY_MS: u64 = 150;

/// A depot at work on lines. It is a [`TestDepot`] in everything else.
#[derive(Debug)]
pub struct LineDepot {
    test: TestDepot,
    /// How many of the carrier's events were delivered.
    told: AtomicUsize,
}

impl Deref for LineDepot {
    type Target = TestDepot;

    fn deref(&self) -> &TestDepot {
        &self.test
    }
}

impl DerefMut for LineDepot {
    fn deref_mut(&mut self) -> &mut TestDepot {
        &mut self.test
    }
}

/// A command as a person asks for it.
pub fn setup(command: LineCommand) -> LineRequest {
    LineRequest { command, contact: None, service_profile: None }
}

impl LineDepot {
    /// A depot without stock, with a carrier that lets lines be managed and sends its events here.
    ///
    /// # Panics
    /// When any part cannot be started.
    pub async fn start(db: TestDatabase) -> Self {
        Self::of(TestDepot::start(db).await)
    }

    /// As [`LineDepot::start`], with another time-out of carrier calls and hardly any margin behind it.
    ///
    /// # Panics
    /// When any part cannot be started.
    pub async fn start_with(db: TestDatabase, timeout: Duration) -> Self {
        let mut test = Self::of(TestDepot::start_with(db, timeout).await);
        test.pace(|pace| pace.resolve_margin = chrono::TimeDelta::milliseconds(400));
        test
    }

    fn of(test: TestDepot) -> Self {
        {
            let mut twin = test.twin.twin();
            let assumptions = twin.assumptions_mut();
            assumptions.connectivity_open = true;
            assumptions.transaction_delay_ms = DELAY_MS;
        }
        Self { test, told: AtomicUsize::new(0) }
    }

    /// Ends the test: looks at what is left behind.
    ///
    /// # Panics
    /// When something is wrong with it.
    pub async fn finish(self) {
        self.test.finish().await;
    }

    /// Ends a test that leaves commands waiting, on purpose.
    ///
    /// # Panics
    /// When something else is wrong.
    pub async fn finish_unsettled(self) {
        self.test.finish_unsettled().await;
    }

    /// Tells a line something.
    ///
    /// # Errors
    /// Those of [`line_operations::command`].
    pub async fn command(&self, line: &LineSpec, command: LineCommand) -> Result<OperationId, AppError> {
        self.ask(&line.iccid, setup(command)).await
    }

    /// Asks for a command.
    ///
    /// # Errors
    /// Those of [`line_operations::command`].
    pub async fn ask(&self, iccid: &Iccid, asked: LineRequest) -> Result<OperationId, AppError> {
        let caller = stock_keeper("default");
        let taken = line_operations::command(&self.depot, &caller, iccid.clone(), asked, None).await?;
        Ok(taken.0.operation.id)
    }

    /// An operation as it stands.
    ///
    /// # Panics
    /// When there is none.
    pub async fn operation(&self, id: OperationId) -> Operation {
        operations::get(&self.depot, &stock_keeper("default"), id).await.expect("the operation").operation
    }

    /// Sends what is pending, and does not follow it.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn work(&self) {
        while line_operations::step(&self.depot).await.expect("the store answers") {}
    }

    /// Works until a command has ended.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn settle(&self, id: OperationId) -> Operation {
        self.settle_to(id, |operation| !operation.status.is_open()).await
    }

    /// Works until a command stands as wanted.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn settle_to(&self, id: OperationId, wanted: impl Fn(&Operation) -> bool) -> Operation {
        let deadline = Instant::now() + PATIENCE;
        loop {
            housekeeping::step(&self.depot).await.expect("the store answers");
            self.work().await;
            while line_operations::follow_step(&self.depot).await.expect("the store answers") {}
            let operation = self.operation(id).await;
            if wanted(&operation) {
                return operation;
            }
            assert!(Instant::now() < deadline, "still open: {operation:#?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until the carrier has done what it works on.
    pub async fn twin_time(&self) {
        tokio::time::sleep(Duration::from_millis(DELAY_MS + 50)).await;
        // What is due happens with the next request.
        let now = self.now();
        drop(self.twin.twin().handle(now, &TwinRequest::new("GET", "/_twin/state")));
    }

    /// Now, by the clock that the twin goes by.
    pub fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }

    /// Brings every event that the carrier has for us, and applies it.
    ///
    /// # Panics
    /// When one is not accepted.
    pub async fn deliver_events(&self) {
        let account = pool_settings().carrier_account;
        let webhook = Webhook::new("http://nowhere", Secret::new(WEBHOOK_SECRET)).expect("a webhook");
        let events = self.twin.twin().events().to_vec();
        let told = self.told.swap(events.len(), Ordering::SeqCst);
        for event in events.into_iter().skip(told) {
            let TwinEvent { event_id, event_type, event_date, body, .. } = event;
            let header = json!({ "eventId": event_id, "eventType": event_type, "eventDate": event_date });
            let body = json!({ "header": header, "body": body }).to_string().into_bytes();
            let signature = webhook.signature(&body);
            let header = |name: &str| (name == SIGNATURE_HEADER).then(|| signature.clone());
            match inbound::admit(&self.depot, &account, &header, &body).expect("an account") {
                inbound::Admission::Authentic(event) => {
                    inbound::keep(&self.depot, event).await.expect("the store answers");
                }
                inbound::Admission::Refused(why) => panic!("{why}"),
            }
        }
        while inbound::step(&self.depot).await.expect("the store answers") {}
    }

    /// A new line, delivered and in service.
    ///
    /// # Panics
    /// When it cannot be activated.
    pub async fn active(&self) -> LineSpec {
        let line = self.deliver(1).await.remove(0);
        let id = self.command(&line, LineCommand::Activate(Default::default())).await.expect("it is taken");
        let done = self.settle(id).await;
        assert_eq!(done.status, OperationStatus::Done, "{done:#?}");
        line
    }

    /// What is known of a line beside its status.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn line(&self, iccid: &Iccid) -> LineDetails {
        let id = self.profile(iccid).await.id;
        let known = self.depot.store.read(move |conn| simdepot_persistence::lines::find(conn, id)).await;
        known.expect("the store answers").map(|line| line.details).unwrap_or_default()
    }

    /// A line as it was delivered.
    ///
    /// # Panics
    /// When the carrier does not know it.
    pub fn spec(&self, iccid: &Iccid) -> LineSpec {
        self.twin.twin().line(iccid.as_str()).expect("a line").spec.clone()
    }

    /// A new SIM without service, in the stock and on sale.
    ///
    /// # Panics
    /// When it cannot be imported.
    pub async fn spare(&self) -> LineSpec {
        let delivered = Delivered { sim_status: SimStatus::Available, ..Delivered::preactivated() };
        let line = self.twin.twin().add_lines_as(1, delivered).remove(0);
        let file = simdepot_carrier_twin::delivery::delivery_file(std::slice::from_ref(&line));
        // A pool sells what its carrier delivers; this one was made for pre-activated lines.
        let text = file.replace("Available", "Pre-Activated");
        let (view, _) = self.import(text, self.import_of()).await.expect("the import begins");
        assert_eq!(view.import.counts.accepted, 1, "{view:?}");
        line
    }
}
