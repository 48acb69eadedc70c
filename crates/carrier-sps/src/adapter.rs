//! The carrier port on top of the gateway: which call answers which question.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use serde_json::Value;
use simdepot_carrier_http::{
    Answer, ConfigError, Exchange, Failure, Gateway, HttpExchange, Request, is_dots,
};
use simdepot_domain::carrier::{
    ActivationContext, ActivationOrder, ActivationTerms, Answered, BundleOrder, BundleReading, Capability,
    Carrier, Commanded, Concern, DeviceBlockOrder, DeviceChangeOrder, DeviceModelReading, DeviceQuery,
    DeviceReading, EsimReading, EventRefused, LineKey, LineOrder, LineReading, Numbering, ParameterProblem,
    Placement, Probe, ReadError, Refusal, TransactionReading, Turns, UNSUPPORTED, UnreadableEvent,
};
use simdepot_domain::carrier_event::CarrierEvent;
use simdepot_domain::clock::Clock;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::{LineDetails, LineRules, Offer};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::product::Product;

use crate::account::SpsAccount;
use crate::lookup::Wanted;
use crate::wire::{
    Call, activate, block_list, change, compatibility, notification, problem, status, transaction,
};
use crate::{activation, correlation, probe};

/// What the operator has. Plans are no catalogue that can be read, and eSIMs are not asked after.
const CAPABILITIES: &[Capability] = &[
    Capability::Activation,
    Capability::LineCommands,
    Capability::Device,
    Capability::DeviceCompatibility,
    Capability::DeviceChange,
    Capability::DeviceBlocklist,
];
/// The node of the customer hierarchy that is acted upon.
const CUSTOMER: &str = "wholesalecustomerid";
/// The process flow that a request belongs to.
const CORRELATION: &str = "x-correlation-id";

/// One account with the operator.
pub struct Sps {
    pub(crate) account: SpsAccount,
    gateway: Gateway,
    clock: Arc<dyn Clock>,
    /// Tells the reads of this process apart.
    reads: AtomicU64,
}

impl Sps {
    /// Makes the adapter, over HTTP. Nothing is sent yet.
    ///
    /// TLS uses the process's default crypto provider; when there is none, ring becomes it.
    ///
    /// # Errors
    /// A setting that cannot work, or an HTTP client that cannot be made.
    pub fn new(
        account: SpsAccount,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
    ) -> Result<Self, ConfigError> {
        account.validate()?;
        let exchange = Arc::new(HttpExchange::new(&account.access())?);
        Self::with_exchange(account, clock, turns, exchange)
    }

    /// Makes the adapter on another way to the operator, such as a twin in the same process. It spawns nothing; with
    /// `max_requests_per_second: u32::MAX`, which is no limit, it takes no turns and waits for nothing but `exchange`.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn with_exchange(
        account: SpsAccount,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
        exchange: Arc<dyn Exchange>,
    ) -> Result<Self, ConfigError> {
        account.validate()?;
        let gateway = Gateway::new(account.access(), Arc::clone(&clock), turns, exchange)?;
        Ok(Self { account, gateway, clock, reads: AtomicU64::new(0) })
    }

    /// Sends a read.
    pub(crate) async fn read(&self, request: Request) -> Result<Answer, Failure> {
        let count = self.reads.fetch_add(1, Ordering::Relaxed);
        let flow = correlation::of_read(&self.account.account, self.clock.now(), count);
        self.call(request, flow).await
    }

    /// Sends a request of the flow of a command.
    async fn of_command(&self, request: Request, reference: &str) -> Result<Answer, Failure> {
        self.call(request, correlation::of_command(&self.account.account, reference)).await
    }

    async fn call(&self, request: Request, flow: String) -> Result<Answer, Failure> {
        tracing::debug!(call = request.call, correlation_id = %flow, "asking");
        let request = request.header(CORRELATION, flow);
        let request = match &self.account.wholesale_customer_id {
            Some(customer) => request.header(CUSTOMER, customer),
            None => request,
        };
        self.gateway.call(&request).await
    }

    /// Makes sure that there is a token.
    pub(crate) async fn check_credentials(&self) -> Result<(), Failure> {
        self.gateway.check_credentials().await
    }

    /// Sends a command, once.
    async fn write(&self, request: Result<Request, Refusal>, call: Call, reference: &str) -> Commanded {
        let request = match request {
            Ok(request) => request,
            Err(refusal) => return Answered::Refused(refusal),
        };
        match self.of_command(request, reference).await {
            Ok(answer) => problem::outcome(&answer, call, reference, &self.account.settings),
            Err(failure) => failure.into(),
        }
    }

    /// Nothing dates the status, so the time of the reply stands for it.
    fn reading(&self, details: DeviceReading) -> LineReading {
        let sim_status = details.status.as_deref().and_then(|word| {
            let status = self.account.settings.sim_status(word);
            if status.is_none() {
                tracing::warn!(
                    status = word,
                    "a line in a status that [carriers.device_statuses] does not name"
                );
            }
            status
        });
        LineReading {
            msisdn: details.msisdn,
            sim_status,
            observed_at: self.clock.now(),
            dated_by_carrier: false,
            source: Source::Read,
            details: LineDetails::default(),
        }
    }
}

fn unsupported() -> ReadError {
    ReadError::Denied { code: UNSUPPORTED.to_owned() }
}

#[async_trait]
impl Carrier for Sps {
    fn capabilities(&self) -> &'static [Capability] {
        CAPABILITIES
    }

    fn numbering(&self) -> Numbering {
        Numbering::Ours
    }

    async fn products(&self) -> Result<Vec<Product>, ReadError> {
        Err(unsupported())
    }

    async fn product(&self, _product: &str) -> Result<Option<Product>, ReadError> {
        Err(unsupported())
    }

    async fn line(&self, key: &LineKey) -> Result<Option<LineReading>, ReadError> {
        Ok(self.look_up(key, Wanted::Sim).await?.map(|details| self.reading(details)))
    }

    async fn esim(&self, _iccid: &Iccid) -> Result<Option<EsimReading>, ReadError> {
        Err(unsupported())
    }

    async fn bundles(&self, _msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError> {
        Err(unsupported())
    }

    async fn place_bundle(&self, _order: &BundleOrder) -> Placement {
        let detail = Some("this carrier sells no bundles".to_owned());
        Answered::Refused(Refusal { code: UNSUPPORTED.to_owned(), detail, concerns: Concern::Account })
    }

    async fn probe(&self) -> Vec<Probe> {
        probe::run(self).await
    }

    fn calls_per_second(&self) -> Option<u32> {
        Some(self.account.max_requests_per_second)
    }

    fn terms_for_another(&self, terms: &ActivationTerms) -> ActivationTerms {
        activation::for_another(terms)
    }

    fn line_rules(&self) -> Option<LineRules> {
        let also_terminate = self.account.settings.also_terminate.clone();
        Some(LineRules { also_terminate, ..LineRules::of(Offer::Wholesale) })
    }

    async fn command_line(&self, order: &LineOrder) -> Commanded {
        let request = status::request(order, &self.account.settings);
        self.write(request, Call::LineCommand, &order.reference).await
    }

    fn check_activation(&self, activation: &Value) -> Result<(), Vec<ParameterProblem>> {
        activation::check(activation)
    }

    fn activation_terms(
        &self,
        activation: &Value,
        parameters: Option<&Value>,
        context: &ActivationContext,
    ) -> Result<ActivationTerms, Vec<ParameterProblem>> {
        activation::terms(activation, parameters, context, &self.account.settings)
    }

    async fn activate(&self, order: &ActivationOrder) -> Commanded {
        let request = activate::request(order, &self.account.settings);
        self.write(request, Call::Activation, &order.reference).await
    }

    async fn device_model(&self, asked: &DeviceQuery) -> Result<Option<DeviceModelReading>, ReadError> {
        compatibility::parse(&self.read(compatibility::request(asked)).await?)
    }

    async fn device(&self, key: &LineKey) -> Result<Option<DeviceReading>, ReadError> {
        self.look_up(key, Wanted::Number).await
    }

    async fn is_blocked(&self, imei: &Imei) -> Result<bool, ReadError> {
        block_list::parse(&self.read(block_list::question(imei)).await?)
    }

    async fn change_device(&self, order: &DeviceChangeOrder) -> Commanded {
        let request = change::request(order, &self.account.settings);
        self.write(request, Call::DeviceChange, &order.reference).await
    }

    async fn block_device(&self, order: &DeviceBlockOrder) -> Commanded {
        let request = block_list::request(order, &self.account.settings);
        self.write(request, Call::DeviceBlock, &order.reference).await
    }

    async fn transaction(&self, id: &str) -> Result<Option<TransactionReading>, ReadError> {
        // These would lead to another path.
        if id.is_empty() || is_dots(id) {
            return Ok(None);
        }
        let answer = self.of_command(transaction::request(id), id).await?;
        transaction::parse(&answer, id, &self.account.settings.words)
    }

    fn authenticate(&self, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<(), EventRefused> {
        let secret = self.account.webhook_secret.as_ref();
        self.account.settings.webhook.verify(secret, header, body)
    }

    fn event(&self, body: &[u8]) -> Result<CarrierEvent, UnreadableEvent> {
        notification::parse(body, &self.account.settings)
    }
}

impl fmt::Debug for Sps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sps").field("account", &self.account).finish_non_exhaustive()
    }
}
