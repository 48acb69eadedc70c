//! A carrier that knows devices, in front of the twin's, which knows none.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::json;
use simdepot_domain::carrier::{
    Answered, BundleChangeOrder, BundleOrder, BundleReading, Capability, Carrier, CommandReceipt, Commanded,
    DeviceBlockOrder, DeviceChangeOrder, DeviceModelReading, DeviceQuery, DeviceReading, EsimReading,
    EventRefused, FleetPage, LineKey, LineOrder, LineReading, NOTHING_TO_ASK_BY, Numbering, Placement, Probe,
    ReadError, SimCard, TransactionReading, UNSUPPORTED, Unavailable, UnreadableEvent, UsageQuery,
    UsageReading,
};
use simdepot_domain::carrier_event::CarrierEvent;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::{LineRules, Offer};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::product::Product;

/// The model that the carrier knows.
pub const KNOWN_TAC: &str = "49015420";
/// One that it cannot be asked about now.
pub const SILENT_TAC: &str = "99000001";
/// One that it does not let the account ask about.
pub const CLOSED_TAC: &str = "99000002";
/// A device of the known model: that of every line.
pub const DEVICE: &str = "490154203237518";

/// Everything that the twin's carrier has, and devices.
const ALL: &[Capability] = &[
    Capability::Products,
    Capability::LineCommands,
    Capability::EsimStatus,
    Capability::Fleet,
    Capability::SimCard,
    Capability::Usage,
    Capability::Device,
    Capability::DeviceCompatibility,
    Capability::DeviceChange,
    Capability::DeviceBlocklist,
];
/// Devices, and as little else as a carrier may have.
const LEAN: &[Capability] = &[
    Capability::LineCommands,
    Capability::Device,
    Capability::DeviceCompatibility,
    Capability::DeviceChange,
    Capability::DeviceBlocklist,
];

/// What was ordered of devices.
#[derive(Debug, Default)]
pub struct DeviceOrders {
    /// Changes, in their order.
    pub changes: Vec<DeviceChangeOrder>,
    /// Devices put on the block list and taken off, in their order.
    pub blocks: Vec<DeviceBlockOrder>,
    blocked: BTreeSet<Imei>,
}

/// The carrier.
pub struct DeviceCarrier {
    inner: Arc<dyn Carrier>,
    capabilities: &'static [Capability],
    /// Tells the devices of lines as if they were on this SIM.
    other_sim: Mutex<Option<Iccid>>,
    /// Cannot be asked for lines by what is known of them.
    speechless: AtomicBool,
    orders: Mutex<DeviceOrders>,
}

impl std::fmt::Debug for DeviceCarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceCarrier").field("orders", &self.orders).finish_non_exhaustive()
    }
}

fn unsupported<T>() -> Result<T, ReadError> {
    Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
}

impl DeviceCarrier {
    /// One that has all that `inner` has.
    pub fn rich(inner: Arc<dyn Carrier>) -> Self {
        Self::of(inner, ALL)
    }

    /// One that has lines and devices alone: no catalogue, no eSIM records, no list of lines.
    pub fn lean(inner: Arc<dyn Carrier>) -> Self {
        Self::of(inner, LEAN)
    }

    fn of(inner: Arc<dyn Carrier>, capabilities: &'static [Capability]) -> Self {
        Self {
            inner,
            capabilities,
            other_sim: Mutex::default(),
            speechless: AtomicBool::new(false),
            orders: Mutex::default(),
        }
    }

    /// What was ordered so far.
    pub fn orders(&self) -> MutexGuard<'_, DeviceOrders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on tells the devices of lines as if they were on another SIM.
    pub fn tell_of(&self, other: Iccid) {
        *self.other_sim.lock().unwrap_or_else(PoisonError::into_inner) = Some(other);
    }

    /// From now on it cannot be asked for lines by what is known of them.
    pub fn fall_silent(&self) {
        self.speechless.store(true, Ordering::SeqCst);
    }

    fn has(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

fn done() -> Commanded {
    Answered::Done(CommandReceipt::Done { reference: None })
}

#[async_trait]
impl Carrier for DeviceCarrier {
    fn capabilities(&self) -> &'static [Capability] {
        self.capabilities
    }

    fn numbering(&self) -> Numbering {
        self.inner.numbering()
    }

    async fn products(&self) -> Result<Vec<Product>, ReadError> {
        if self.has(Capability::Products) { self.inner.products().await } else { unsupported() }
    }

    async fn product(&self, product: &str) -> Result<Option<Product>, ReadError> {
        if self.has(Capability::Products) { self.inner.product(product).await } else { unsupported() }
    }

    async fn line(&self, key: &LineKey) -> Result<Option<LineReading>, ReadError> {
        if self.speechless.load(Ordering::SeqCst) {
            return Err(ReadError::Denied { code: NOTHING_TO_ASK_BY.to_owned() });
        }
        self.inner.line(key).await
    }

    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError> {
        if self.has(Capability::EsimStatus) { self.inner.esim(iccid).await } else { unsupported() }
    }

    async fn bundles(&self, msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError> {
        if self.has(Capability::Products) { self.inner.bundles(msisdn).await } else { unsupported() }
    }

    async fn place_bundle(&self, order: &BundleOrder) -> Placement {
        assert!(self.has(Capability::Products), "nothing is ordered of a carrier that sells nothing");
        self.inner.place_bundle(order).await
    }

    async fn probe(&self) -> Vec<Probe> {
        self.inner.probe().await
    }

    async fn fleet(&self, page: u32) -> Result<FleetPage, ReadError> {
        assert!(self.has(Capability::Fleet), "nobody asks for a list that there is not");
        self.inner.fleet(page).await
    }

    fn calls_per_second(&self) -> Option<u32> {
        self.inner.calls_per_second()
    }

    fn line_rules(&self) -> Option<LineRules> {
        if self.has(Capability::Products) {
            return self.inner.line_rules();
        }
        Some(LineRules::of(Offer::Wholesale))
    }

    async fn command_line(&self, order: &LineOrder) -> Commanded {
        self.inner.command_line(order).await
    }

    async fn change_bundle(&self, order: &BundleChangeOrder) -> Commanded {
        self.inner.change_bundle(order).await
    }

    async fn device_model(&self, asked: &DeviceQuery) -> Result<Option<DeviceModelReading>, ReadError> {
        match asked.tac().as_str() {
            KNOWN_TAC => Ok(Some(DeviceModelReading {
                manufacturer: Some(json!({"name": "Acme", "country": null})),
                equipment_type: Some("PHONE".to_owned()),
                networks: vec![json!({"band": "n71", "works": true}), json!("LTE")],
                block_status: None,
            })),
            SILENT_TAC => {
                Err(Unavailable { reason: "closed".to_owned(), retry_after_ms: Some(2_000) }.into())
            }
            CLOSED_TAC => Err(ReadError::Denied { code: "NO_RIGHT".to_owned() }),
            _ => Ok(None),
        }
    }

    async fn device(&self, key: &LineKey) -> Result<Option<DeviceReading>, ReadError> {
        let Some(line) = self.inner.line(key).await? else { return Ok(None) };
        let other = self.other_sim.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Some(DeviceReading {
            status: Some("Active".to_owned()),
            blocked: Some(!self.orders().blocked.is_empty()),
            msisdn: line.msisdn,
            imsi: Some("313340000001234".to_owned()),
            iccid: Some(other.unwrap_or_else(|| key.iccid.clone())),
            imei: DEVICE.parse().ok(),
            eid: None,
            subscriber: Some("customer-17".to_owned()),
        }))
    }

    async fn is_blocked(&self, imei: &Imei) -> Result<bool, ReadError> {
        Ok(self.orders().blocked.contains(imei))
    }

    async fn change_device(&self, order: &DeviceChangeOrder) -> Commanded {
        self.orders().changes.push(order.clone());
        done()
    }

    async fn block_device(&self, order: &DeviceBlockOrder) -> Commanded {
        let mut orders = self.orders();
        if order.block {
            orders.blocked.insert(order.imei.clone());
        } else {
            orders.blocked.remove(&order.imei);
        }
        orders.blocks.push(order.clone());
        done()
    }

    async fn transaction(&self, id: &str) -> Result<Option<TransactionReading>, ReadError> {
        self.inner.transaction(id).await
    }

    async fn sim_card(&self, iccid: &Iccid) -> Result<Option<SimCard>, ReadError> {
        if self.has(Capability::SimCard) { self.inner.sim_card(iccid).await } else { unsupported() }
    }

    async fn usage(&self, asked: &UsageQuery) -> Result<Vec<UsageReading>, ReadError> {
        if self.has(Capability::Usage) { self.inner.usage(asked).await } else { unsupported() }
    }

    fn authenticate(&self, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<(), EventRefused> {
        self.inner.authenticate(header, body)
    }

    fn event(&self, body: &[u8]) -> Result<CarrierEvent, UnreadableEvent> {
        self.inner.event(body)
    }
}
