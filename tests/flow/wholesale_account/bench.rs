//! A twin, an account at it, and short ways to send commands.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use simdepot_carrier_sps::{
    Exchange, ExchangeAnswer, ExchangeRequest, Failure, LocalTurns, Sps, SpsAccount, SpsSettings,
    TokenCredentials,
};
use simdepot_carrier_twin::sps::{SpsConfig, SpsTwin};
use simdepot_carrier_twin::{TwinReply, TwinRequest, Webhook};
use simdepot_domain::carrier::{
    ActivationContext, ActivationOrder, Answered, Carrier, CommandReceipt, Commanded, DeviceReading,
    EventRefused, LineKey, LineOrder, Lost, TransactionReading,
};
use simdepot_domain::carrier_event::CarrierEvent;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineCommand;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;
use simdepot_tests::depot::WEBHOOK_SECRET;

/// A phone of the operator's.
pub(super) const PHONE: &str = "2288151828896431";
/// A phone that the customer brings.
pub(super) const OWN_PHONE: &str = "490154203237518";
pub(super) const EID: &str = "89034011560010000000000000000121";

/// A twin in the same process.
struct InProcess(Mutex<SpsTwin>);

#[async_trait]
impl Exchange for InProcess {
    async fn run(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, Failure> {
        let ExchangeRequest { method, path, query, headers, body, .. } = request;
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = TwinRequest { method: method.to_owned(), path, query, headers, body };
        match self.0.lock().unwrap().handle(SystemClock.now(), &request) {
            TwinReply::Answer { status, headers, body, .. } => Ok(ExchangeAnswer { status, headers, body }),
            TwinReply::Drop { .. } => Err(Failure::Lost(Lost::silent("dropped"))),
        }
    }
}

pub(super) struct Bench {
    twin: Arc<InProcess>,
    pub(super) carrier: Sps,
    commands: u32,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut SpsAccount)) -> Self {
        let webhook = Webhook::new("http://127.0.0.1/", Secret::new(WEBHOOK_SECRET)).unwrap();
        let config = SpsConfig { webhook: Some(webhook), ..SpsConfig::sandbox() };
        let mut account = SpsAccount {
            account: "wholesale".to_owned(),
            base_url: "http://127.0.0.1".to_owned(),
            token_url: None,
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            token_credentials: TokenCredentials::Basic,
            scope: None,
            wholesale_customer_id: config.wholesale_customer_id.clone(),
            webhook_secret: Some(Secret::new(WEBHOOK_SECRET)),
            timeout: Duration::from_secs(5),
            max_requests_per_second: u32::MAX,
            settings: SpsSettings::default(),
        };
        change(&mut account);
        let twin = Arc::new(InProcess(Mutex::new(SpsTwin::new(config))));
        twin.0.lock().unwrap().assumptions_mut().strict_uuid = true;
        let turns = Arc::new(LocalTurns::default());
        let carrier = Sps::with_exchange(account, Arc::new(SystemClock), turns, twin.clone()).unwrap();
        Self { twin, carrier, commands: 0 }
    }

    pub(super) fn twin(&self) -> MutexGuard<'_, SpsTwin> {
        self.twin.0.lock().unwrap()
    }

    pub(super) fn assume(&self, patch: &Json) {
        let mut twin = self.twin();
        let patched = twin.assumptions().patched(patch).unwrap();
        *twin.assumptions_mut() = patched;
    }

    pub(super) fn reference(&mut self) -> String {
        self.commands += 1;
        format!("op_{}", self.commands)
    }

    /// What is on its way ends.
    pub(super) fn pass(&self) {
        let mut twin = self.twin();
        twin.clock_mut().advance(TimeDelta::seconds(5));
        twin.settle(SystemClock.now());
    }

    pub(super) fn sim(&self, physical: bool) -> Iccid {
        self.twin().add_sims_as(1, physical).remove(0).iccid
    }

    pub(super) fn activation(&mut self, iccid: &Iccid, line: Option<&Json>) -> ActivationOrder {
        let pool =
            json!({"wholesale_plan_id": "Plan001", "bucket_ref_ids": ["B1"], "location": {"zip": "80120"}});
        let context =
            ActivationContext { subscriber: "ord_1".to_owned(), quantity: 1, ordered_at: SystemClock.now() };
        let terms = self.carrier.activation_terms(&pool, line, &context).unwrap();
        ActivationOrder { reference: self.reference(), iccid: iccid.clone(), terms }
    }

    /// An active line on a new eSIM.
    pub(super) async fn active(&mut self) -> LineKey {
        let iccid = self.sim(false);
        let order = self.activation(&iccid, None);
        self.done(&self.carrier.activate(&order).await, &order.reference).await;
        let msisdn = self.twin().subscription_of_iccid(iccid.as_str()).map(|found| found.gpsi.clone());
        LineKey { msisdn: Some(Msisdn::parse(&msisdn.unwrap()).unwrap()), ..LineKey::of(&iccid) }
    }

    /// A command that was acknowledged under our number and is carried out.
    pub(super) async fn done(&self, answer: &Commanded, reference: &str) {
        assert_eq!(*answer, accepted(reference));
        assert_eq!(self.carrier.transaction(reference).await, Ok(Some(TransactionReading::Pending)));
        self.pass();
        assert_eq!(self.carrier.transaction(reference).await, Ok(Some(TransactionReading::Done)));
    }

    pub(super) fn order(&mut self, key: &LineKey, from: SimStatus, command: LineCommand) -> LineOrder {
        LineOrder {
            reference: self.reference(),
            iccid: key.iccid.clone(),
            msisdn: key.msisdn.clone(),
            from: Some(from),
            rate_plan: None,
            command,
            contact: None,
        }
    }

    /// Every notification that is due, as the adapter reads it once it has checked where it comes from.
    pub(super) fn events(&self) -> Vec<CarrierEvent> {
        let (mut twin, now) = (self.twin(), SystemClock.now());
        let mut read = Vec::new();
        while let Some(delivery) = twin.next_delivery(now) {
            let header = |name: &str| (name == delivery.signature_header).then(|| delivery.signature.clone());
            self.carrier.authenticate(&header, &delivery.body).unwrap();
            let none = self.carrier.authenticate(&|_| None, &delivery.body);
            assert_eq!(none, Err(EventRefused::Unsigned));
            read.push(self.carrier.event(&delivery.body).unwrap());
            assert!(twin.delivery_ended(now, delivery.ticket, Some(204)));
        }
        read
    }

    pub(super) async fn device(&self, key: &LineKey) -> DeviceReading {
        self.carrier.device(key).await.unwrap().unwrap()
    }

    pub(super) async fn status(&self, key: &LineKey) -> Option<SimStatus> {
        self.carrier.line(key).await.unwrap().unwrap().sim_status
    }
}

pub(super) fn accepted(reference: &str) -> Commanded {
    Answered::Done(CommandReceipt::Accepted { transaction: Some(reference.to_owned()) })
}
