//! The carrier port on top of the gateway: which call answers which question, and what to do when one is closed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use simdepot_carrier_http::{ConfigError, Exchange, Gateway, HttpExchange, Method, is_dots};
use simdepot_domain::carrier::{
    BundleChangeOrder, BundleOrder, BundleReading, Capability, Carrier, Commanded, EsimReading, EventRefused,
    FleetPage, LineKey, LineOrder, LineReading, Placement, Probe, ReadError, SimCard, TransactionReading,
    Turns, UnreadableEvent, UsageQuery, UsageReading,
};
use simdepot_domain::carrier_event::CarrierEvent;
use simdepot_domain::clock::Clock;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineRules;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::product::Product;

use crate::account::TransatelAccount;
use crate::probe;
use crate::signature;
use crate::wire::subscriber::{Line, Subscriber};
use crate::wire::{catalogue, esim, event, inventory, order, rights, sim_search, subscriber};

/// How long a closed subscriber read is not tried again: rights change by a mail to Transatel, not by the minute.
const CLOSED_FOR: TimeDelta = TimeDelta::minutes(10);
/// How long it is not tried again when nothing tells whether it is closed.
const UNCLEAR_FOR: TimeDelta = TimeDelta::minutes(1);

/// What Transatel has. Subscriptions need no activation of their own, and devices are not managed.
const CAPABILITIES: &[Capability] = &[
    Capability::Products,
    Capability::LineCommands,
    Capability::EsimStatus,
    Capability::Fleet,
    Capability::SimCard,
    Capability::Usage,
];

/// One Transatel account.
pub struct Transatel {
    pub(crate) account: TransatelAccount,
    pub(crate) gateway: Gateway,
    clock: Arc<dyn Clock>,
    subscriber_closed_until: Mutex<Option<DateTime<Utc>>>,
}

impl Transatel {
    /// Makes the adapter, over HTTP. Nothing is sent yet.
    ///
    /// TLS uses the process's default crypto provider; when there is none, ring becomes it.
    ///
    /// # Errors
    /// A setting that cannot work, or an HTTP client that cannot be made.
    pub fn new(
        account: TransatelAccount,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
    ) -> Result<Self, ConfigError> {
        account.validate()?;
        let exchange = Arc::new(HttpExchange::new(&account.access())?);
        Self::with_exchange(account, clock, turns, exchange)
    }

    /// Makes the adapter on another way to the carrier, such as a twin in the same process. It spawns nothing; with
    /// `max_requests_per_second: u32::MAX`, which is no limit, it takes no turns and waits for nothing but `exchange`.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn with_exchange(
        account: TransatelAccount,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
        exchange: Arc<dyn Exchange>,
    ) -> Result<Self, ConfigError> {
        account.validate()?;
        let gateway = Gateway::new(account.access(), Arc::clone(&clock), turns, exchange)?;
        Ok(Self { account, gateway, clock, subscriber_closed_until: Mutex::new(None) })
    }

    /// The line from the system of record, unless that is known to be closed.
    async fn read_subscriber(&self, iccid: &Iccid) -> Result<Subscriber, ReadError> {
        let closed_until = *self.subscriber_closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        if closed_until.is_some_and(|until| self.clock.now() < until) {
            return Ok(Subscriber::Closed);
        }
        let answer = self.gateway.call(&subscriber::request(iccid)).await?;
        let (read, closed_for) = match subscriber::parse(&answer, iccid)? {
            Subscriber::Unclear(error) => match self.may_read_subscribers(iccid).await? {
                // The record is there and out of order: a lagging index does not stand in for it.
                Some(true) => (Subscriber::Unclear(error), None),
                Some(false) => (Subscriber::Closed, Some(CLOSED_FOR)),
                None => (Subscriber::Closed, Some(UNCLEAR_FOR)),
            },
            Subscriber::Closed => (Subscriber::Closed, Some(CLOSED_FOR)),
            read @ (Subscriber::Found(_) | Subscriber::Absent) => (read, None),
        };
        let closed_until = closed_for.map(|time| self.clock.now() + time);
        *self.subscriber_closed_until.lock().unwrap_or_else(PoisonError::into_inner) = closed_until;
        Ok(read)
    }

    /// Whether the account may read subscribers, where the carrier says so: the documented question about rights.
    async fn may_read_subscribers(&self, iccid: &Iccid) -> Result<Option<bool>, ReadError> {
        let answer = self.gateway.call(&rights::request(&subscriber::path(iccid.as_str()))).await?;
        Ok(rights::parse(&answer, Method::Get))
    }

    async fn search(&self, iccid: &Iccid) -> Result<Option<Line>, ReadError> {
        sim_search::parse(&self.gateway.call(&sim_search::request(iccid)).await?, iccid)
    }

    /// The number of a line whose subscriber record does not name it. An account without SIM Search has none.
    async fn searched_number(&self, iccid: &Iccid) -> Result<Option<Msisdn>, ReadError> {
        match self.search(iccid).await {
            Ok(line) => Ok(line.and_then(|line| line.msisdn)),
            Err(ReadError::Denied { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Neither source dates the status, so the time of the reply stands for it.
    fn reading(&self, line: Line, source: Source) -> LineReading {
        let Line { msisdn, sim_status, details } = line;
        let observed_at = self.clock.now();
        LineReading { msisdn, sim_status, observed_at, dated_by_carrier: false, source, details }
    }
}

#[async_trait]
impl Carrier for Transatel {
    fn capabilities(&self) -> &'static [Capability] {
        CAPABILITIES
    }

    async fn products(&self) -> Result<Vec<Product>, ReadError> {
        let request = catalogue::list_request(&self.account.cos);
        catalogue::parse_list(&self.gateway.call(&request).await?)
    }

    async fn product(&self, product: &str) -> Result<Option<Product>, ReadError> {
        // An empty id would read the list, and dots another path.
        if product.trim().is_empty() || is_dots(product) {
            return Ok(None);
        }
        let request = catalogue::single_request(&self.account.cos, product);
        let answer = self.gateway.call(&request).await?;
        if catalogue::is_open(&answer) {
            // Told by the list, so that a gateway's word makes no product unsold and an odd id no carrier unreachable.
            return Ok(self.products().await?.into_iter().find(|found| found.product == product));
        }
        catalogue::parse_single(&answer, product)
    }

    async fn line(&self, key: &LineKey) -> Result<Option<LineReading>, ReadError> {
        let iccid = &key.iccid;
        match self.read_subscriber(iccid).await? {
            Subscriber::Found(mut line) => {
                if line.msisdn.is_none() {
                    line.msisdn = self.searched_number(iccid).await?;
                }
                Ok(Some(self.reading(*line, Source::Read)))
            }
            Subscriber::Absent | Subscriber::Closed => {
                let line = self.search(iccid).await?;
                Ok(line.map(|line| self.reading(line, Source::Search)))
            }
            Subscriber::Unclear(error) => Err(error),
        }
    }

    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError> {
        let answer = self.gateway.call(&esim::request(iccid)).await?;
        esim::parse(&answer, iccid, self.clock.now())
    }

    async fn bundles(&self, msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError> {
        let answer = self.gateway.call(&inventory::request(msisdn)).await?;
        inventory::parse(&answer, self.clock.now())
    }

    async fn place_bundle(&self, order: &BundleOrder) -> Placement {
        let account = &self.account;
        let request = order::request(order, &account.mvno_ref, &account.source);
        match self.gateway.call(&request).await {
            Ok(answer) => order::parse(&answer, order),
            Err(failure) => failure.into(),
        }
    }

    fn calls_per_second(&self) -> Option<u32> {
        Some(self.account.max_requests_per_second)
    }

    fn line_rules(&self) -> Option<LineRules> {
        let account = &self.account;
        Some(LineRules {
            offer: account.lines.offer_of(&account.cos),
            rate_plan: account.rate_plan.clone(),
            also_terminate: account.lines.also_terminate.clone(),
        })
    }

    async fn command_line(&self, order: &LineOrder) -> Commanded {
        self.send_command(order).await
    }

    async fn change_bundle(&self, order: &BundleChangeOrder) -> Commanded {
        self.send_change(order).await
    }

    async fn transaction(&self, id: &str) -> Result<Option<TransactionReading>, ReadError> {
        self.read_transaction(id).await
    }

    async fn sim_card(&self, iccid: &Iccid) -> Result<Option<SimCard>, ReadError> {
        self.read_sim_card(iccid).await
    }

    async fn usage(&self, asked: &UsageQuery) -> Result<Vec<UsageReading>, ReadError> {
        self.read_usage(asked).await
    }

    async fn probe(&self) -> Vec<Probe> {
        probe::run(&self.gateway, &self.account).await
    }

    async fn fleet(&self, page: u32) -> Result<FleetPage, ReadError> {
        let answer = self.gateway.call(&sim_search::fleet_request(page)).await?;
        sim_search::parse_fleet(&answer, self.clock.now())
    }

    fn authenticate(&self, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<(), EventRefused> {
        signature::check(self.account.webhook_secret.as_ref(), header, body)
    }

    fn event(&self, body: &[u8]) -> Result<CarrierEvent, UnreadableEvent> {
        event::parse(body, &self.account.lines)
    }
}

impl fmt::Debug for Transatel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transatel").field("account", &self.account).finish_non_exhaustive()
    }
}
