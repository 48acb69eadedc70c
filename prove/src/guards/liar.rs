//! A carrier port that tells the core something else than what it saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value as Json;
use simdepot_domain::carrier::{
    ActivationContext, ActivationOrder, ActivationTerms, Answered, BundleChangeOrder, BundleOrder,
    BundleReading, BundleReceipt, Capability, Carrier, CommandReceipt, Commanded, Concern, DeviceBlockOrder,
    DeviceChangeOrder, DeviceModelReading, DeviceQuery, DeviceReading, EsimReading, EventRefused, FleetPage,
    LineKey, LineOrder, LineReading, Numbering, ParameterProblem, Placement, Probe, ReadError, Refusal,
    SimCard, TransactionReading, Unavailable, UnreadableEvent, UsageQuery, UsageReading,
};
use simdepot_domain::carrier_event::{CarrierEvent, News};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::LineRules;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::product::Product;

use super::Guard;

/// A carrier port that tells the core something else than what it saw.
pub(super) struct Liar {
    inner: Arc<dyn Carrier>,
    guard: Guard,
    made_up: Mutex<u64>,
    /// Products whose orders have no answer so far, by number; commands that were sent, by theirs.
    open: Mutex<BTreeMap<String, String>>,
}

impl Liar {
    /// One that lies about what a guard is for.
    pub(super) fn new(inner: Arc<dyn Carrier>, guard: Guard) -> Self {
        Self { inner, guard, made_up: Mutex::default(), open: Mutex::default() }
    }

    /// Before a write nothing is listed; after a lost one everything looks like what was ordered.
    fn relabel(&self, msisdn: &Msisdn, list: Vec<BundleReading>) -> Vec<BundleReading> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(product) = open.get(&msisdn.to_string()) else { return Vec::new() };
        let same = |reading| BundleReading { product: product.clone(), ordered_at: None, ..reading };
        list.into_iter().map(same).collect()
    }

    fn lie(&self, order: &BundleOrder, reason: String) -> Placement {
        match self.guard {
            Guard::LostIsNotResent => Placement::NotTaken(Unavailable { reason, retry_after_ms: None }),
            Guard::LostIsNotRefused => Placement::Refused(Refusal {
                code: "lost".to_owned(),
                detail: Some(reason),
                concerns: Concern::Account,
            }),
            _ => {
                let mut made_up = self.made_up.lock().unwrap_or_else(PoisonError::into_inner);
                *made_up += 1;
                let id = format!("made-up-{}-{made_up}", order.reference);
                let (order_id, subscription_id) = (Some(id.clone()), Some(id));
                Placement::Done(BundleReceipt { order_id, subscription_id, order_type: order.order_type })
            }
        }
    }
}

impl Liar {
    /// The number under which a command goes out.
    fn number(&self, reference: &str) -> String {
        if self.guard != Guard::RepeatKeepsItsNumber {
            return reference.to_owned();
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let times = open.entry(reference.to_owned()).or_default();
        times.push('-');
        if times.len() == 1 { reference.to_owned() } else { format!("{reference}-{}", times.len()) }
    }

    fn commanded(&self, answer: Commanded) -> Commanded {
        match (self.guard, answer) {
            (Guard::AcknowledgedIsNotDone, Answered::Done(CommandReceipt::Accepted { transaction })) => {
                Answered::Done(CommandReceipt::Done { reference: transaction })
            }
            (Guard::LostCommandIsNotRefused, Answered::Unknown(lost)) => Answered::Refused(Refusal {
                code: "lost".to_owned(),
                detail: Some(lost.reason),
                concerns: Concern::Request,
            }),
            (_, answer) => answer,
        }
    }
}

#[async_trait]
impl Carrier for Liar {
    fn numbering(&self) -> Numbering {
        self.inner.numbering()
    }

    fn calls_per_second(&self) -> Option<u32> {
        self.inner.calls_per_second()
    }

    fn line_rules(&self) -> Option<LineRules> {
        self.inner.line_rules()
    }

    async fn command_line(&self, order: &LineOrder) -> Commanded {
        let order = LineOrder { reference: self.number(&order.reference), ..order.clone() };
        self.commanded(self.inner.command_line(&order).await)
    }

    async fn change_bundle(&self, order: &BundleChangeOrder) -> Commanded {
        self.inner.change_bundle(order).await
    }

    fn check_activation(&self, activation: &Json) -> Result<(), Vec<ParameterProblem>> {
        self.inner.check_activation(activation)
    }

    fn activation_terms(
        &self,
        activation: &Json,
        parameters: Option<&Json>,
        context: &ActivationContext,
    ) -> Result<ActivationTerms, Vec<ParameterProblem>> {
        self.inner.activation_terms(activation, parameters, context)
    }

    async fn activate(&self, order: &ActivationOrder) -> Commanded {
        let order = ActivationOrder { reference: self.number(&order.reference), ..order.clone() };
        self.commanded(self.inner.activate(&order).await)
    }

    async fn device_model(&self, asked: &DeviceQuery) -> Result<Option<DeviceModelReading>, ReadError> {
        self.inner.device_model(asked).await
    }

    async fn device(&self, key: &LineKey) -> Result<Option<DeviceReading>, ReadError> {
        self.inner.device(key).await
    }

    async fn is_blocked(&self, imei: &Imei) -> Result<bool, ReadError> {
        self.inner.is_blocked(imei).await
    }

    async fn change_device(&self, order: &DeviceChangeOrder) -> Commanded {
        let order = DeviceChangeOrder { reference: self.number(&order.reference), ..order.clone() };
        self.commanded(self.inner.change_device(&order).await)
    }

    async fn block_device(&self, order: &DeviceBlockOrder) -> Commanded {
        let order = DeviceBlockOrder { reference: self.number(&order.reference), ..order.clone() };
        self.commanded(self.inner.block_device(&order).await)
    }

    async fn transaction(&self, id: &str) -> Result<Option<TransactionReading>, ReadError> {
        match self.guard {
            Guard::RepeatIsAskedBefore => Ok(None),
            _ => self.inner.transaction(id).await,
        }
    }

    async fn sim_card(&self, iccid: &Iccid) -> Result<Option<SimCard>, ReadError> {
        self.inner.sim_card(iccid).await
    }

    async fn usage(&self, asked: &UsageQuery) -> Result<Vec<UsageReading>, ReadError> {
        self.inner.usage(asked).await
    }

    fn capabilities(&self) -> &'static [Capability] {
        self.inner.capabilities()
    }

    async fn products(&self) -> Result<Vec<Product>, ReadError> {
        self.inner.products().await
    }

    async fn product(&self, product: &str) -> Result<Option<Product>, ReadError> {
        self.inner.product(product).await
    }

    async fn line(&self, key: &LineKey) -> Result<Option<LineReading>, ReadError> {
        self.inner.line(key).await
    }

    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError> {
        self.inner.esim(iccid).await
    }

    async fn bundles(&self, msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError> {
        match self.inner.bundles(msisdn).await {
            Err(_) if self.guard == Guard::FailedReadIsNotNothing => Ok(Some(Vec::new())),
            Ok(Some(list)) if self.guard == Guard::EvidenceFits => Ok(Some(self.relabel(msisdn, list))),
            read => read,
        }
    }

    async fn place_bundle(&self, order: &BundleOrder) -> Placement {
        match self.inner.place_bundle(order).await {
            Placement::Unknown(lost) if self.guard == Guard::EvidenceFits => {
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.insert(order.msisdn.to_string(), order.product.clone());
                Placement::Unknown(lost)
            }
            Placement::Unknown(lost) if self.guard.lies_about_writes() => self.lie(order, lost.reason),
            placement => placement,
        }
    }

    async fn probe(&self) -> Vec<Probe> {
        self.inner.probe().await
    }

    async fn fleet(&self, page: u32) -> Result<FleetPage, ReadError> {
        self.inner.fleet(page).await
    }

    fn authenticate(&self, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<(), EventRefused> {
        match self.guard {
            Guard::EventsAreSigned => Ok(()),
            _ => self.inner.authenticate(header, body),
        }
    }

    fn event(&self, body: &[u8]) -> Result<CarrierEvent, UnreadableEvent> {
        let mut event = self.inner.event(body)?;
        if self.guard == Guard::HearsayProvesNothing
            && let News::Line(news) = &mut event.news
        {
            news.hearsay = false;
        }
        Ok(event)
    }
}
