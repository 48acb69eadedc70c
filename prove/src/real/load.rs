//! Storefronts under load: each order is asked for again, with the same reference, until somebody acknowledges it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// How long one order may go unacknowledged.
const PATIENCE: Duration = Duration::from_secs(120);

/// The orders to be placed, and what became of them.
pub(super) struct Load {
    addresses: Vec<String>,
    key: &'static str,
    orders: usize,
    /// The lines that orders have in turn.
    goods: Vec<Value>,
    next: AtomicUsize,
    requests: AtomicU64,
    /// Ids by reference.
    acknowledged: Mutex<BTreeMap<String, String>>,
}

impl Load {
    pub(super) fn new(addresses: Vec<String>, key: &'static str, orders: usize, goods: Vec<Value>) -> Self {
        let (next, requests, acknowledged) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::default());
        Self { addresses, key, orders, goods, next, requests, acknowledged }
    }

    /// How many orders were acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many requests it took so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The acknowledged orders: ids by reference.
    pub(super) fn orders(&self) -> BTreeMap<String, String> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Places orders until there is none left.
    pub(super) async fn storefront(self: Arc<Self>, number: usize) -> Result<()> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(15))
            .build()?;
        loop {
            let order = self.next.fetch_add(1, Ordering::Relaxed);
            if order >= self.orders {
                return Ok(());
            }
            self.place(&client, number, order).await?;
        }
    }

    async fn place(&self, client: &reqwest::Client, number: usize, order: usize) -> Result<()> {
        let reference = format!("real-{order}");
        let line = self.goods.get(order % self.goods.len().max(1)).cloned().unwrap_or_default();
        let body = json!({ "reference": reference, "lines": [line] });
        let (begun, mut tries) = (Instant::now(), number);
        while begun.elapsed() < PATIENCE {
            let address =
                self.addresses.get(tries % self.addresses.len().max(1)).cloned().unwrap_or_default();
            tries += 1;
            self.requests.fetch_add(1, Ordering::Relaxed);
            let request = client
                .post(format!("{address}/v1/orders"))
                .bearer_auth(self.key)
                .header("prefer", "wait=1")
                .header("idempotency-key", &reference)
                .json(&body);
            let (status, answer) = match request.send().await {
                Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null)),
                Err(_) => (0, Value::Null),
            };
            let id = answer.get("id").and_then(Value::as_str);
            match (status, id) {
                (200..=202, Some(id)) => {
                    let mut known = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                    known.insert(reference, id.to_owned());
                    return Ok(());
                }
                // Nobody there, an answer that was cut off, or one that says to come again.
                (0 | 200..=202 | 409 | 500..=599, _) => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => bail!("order {reference} was answered {status}: {answer}"),
            }
        }
        bail!("nobody acknowledged order {reference}")
    }
}
