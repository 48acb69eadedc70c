//! A carrier between the depot and the adapter, for what the twin cannot be scripted to do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use simdepot_domain::carrier::{
    BundleOrder, BundleReading, Capability, Carrier, EsimReading, LineKey, LineReading, Placement, Probe,
    ReadError,
};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::product::Product;
use tokio::sync::Notify;

/// Where a call is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Before a line is read.
    Line,
    /// Before an order is handed on.
    Order,
}

/// Holds its first call up at one place, or sends its first orders elsewhere; everything else passes.
pub(crate) struct Between {
    inner: Arc<dyn Carrier>,
    held: Option<At>,
    calls: AtomicU32,
    elsewhere: Option<Arc<dyn Carrier>>,
    detours: AtomicU32,
    /// Told when the call is held up.
    pub(crate) reached: Notify,
    /// Tells the call to go on.
    pub(crate) go_on: Notify,
}

impl Between {
    /// Holds the first call up until it is told to go on.
    pub(crate) fn holding(inner: Arc<dyn Carrier>, at: At) -> Self {
        Self {
            inner,
            held: Some(at),
            calls: AtomicU32::new(0),
            elsewhere: None,
            detours: AtomicU32::new(0),
            reached: Notify::new(),
            go_on: Notify::new(),
        }
    }

    /// Sends the first `orders` orders to another carrier, and all reads to the real one.
    pub(crate) fn detour(inner: Arc<dyn Carrier>, elsewhere: Arc<dyn Carrier>, orders: u32) -> Self {
        Self {
            held: None,
            elsewhere: Some(elsewhere),
            detours: AtomicU32::new(orders),
            ..Self::holding(inner, At::Line)
        }
    }

    async fn pass(&self, at: At) {
        if self.held == Some(at) && self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            self.reached.notify_one();
            self.go_on.notified().await;
        }
    }
}

#[async_trait]
impl Carrier for Between {
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
        self.pass(At::Line).await;
        self.inner.line(key).await
    }

    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError> {
        self.inner.esim(iccid).await
    }

    async fn bundles(&self, msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError> {
        self.inner.bundles(msisdn).await
    }

    async fn place_bundle(&self, order: &BundleOrder) -> Placement {
        self.pass(At::Order).await;
        let left = self.detours.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (&self.elsewhere, left) {
            (Some(elsewhere), Ok(_)) => elsewhere.place_bundle(order).await,
            _ => self.inner.place_bundle(order).await,
        }
    }

    async fn probe(&self) -> Vec<Probe> {
        self.inner.probe().await
    }
}

/// Bundles as a carrier lists them; `None` for a line that it does not know.
pub(crate) type Listed = Option<Vec<BundleReading>>;

/// What a distorting carrier makes of the truth.
#[derive(Default)]
pub(crate) struct Distortions {
    /// Of its lists of bundles.
    pub(crate) bundles: Option<fn(Listed) -> Listed>,
    /// Of its lines.
    pub(crate) line: Option<fn(Option<LineReading>) -> Option<LineReading>>,
    /// Of its answers to orders.
    pub(crate) placement: Option<fn(Placement) -> Placement>,
}

/// A carrier that does as it is asked, and does not always tell the truth about it.
pub(crate) struct Distorting {
    inner: Arc<dyn Carrier>,
    /// As long as they are there.
    pub(crate) distortions: Mutex<Distortions>,
}

impl Distorting {
    pub(crate) fn new(inner: Arc<dyn Carrier>, distortions: Distortions) -> Self {
        Self { inner, distortions: Mutex::new(distortions) }
    }

    /// From now on it tells the truth.
    pub(crate) fn repent(&self) {
        *self.distortions.lock().unwrap() = Distortions::default();
    }
}

#[async_trait]
impl Carrier for Distorting {
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
        let line = self.inner.line(key).await?;
        let distort = self.distortions.lock().unwrap().line;
        Ok(distort.map_or(line.clone(), |distort| distort(line)))
    }

    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError> {
        self.inner.esim(iccid).await
    }

    async fn bundles(&self, msisdn: &Msisdn) -> Result<Listed, ReadError> {
        let listed = self.inner.bundles(msisdn).await?;
        let distort = self.distortions.lock().unwrap().bundles;
        Ok(distort.map_or(listed.clone(), |distort| distort(listed)))
    }

    async fn place_bundle(&self, order: &BundleOrder) -> Placement {
        let placed = self.inner.place_bundle(order).await;
        let distort = self.distortions.lock().unwrap().placement;
        distort.map_or(placed.clone(), |distort| distort(placed))
    }

    async fn probe(&self) -> Vec<Probe> {
        self.inner.probe().await
    }
}
