//! Posts the events that are due to the webhook, one after the other, beside the HTTP server.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, redirect, retry};
use simdepot_domain::clock::{Clock, SystemClock};
use tokio::task::JoinHandle;

use crate::machine::Machine;
use crate::shell::Stopped;
use crate::webhook::Delivery;

/// How often to look for events.
const PACE: Duration = Duration::from_millis(25);
/// How long a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A courier at work; it ends with this.
pub(crate) struct Courier(JoinHandle<()>);

impl Courier {
    /// Starts on the current runtime.
    pub(crate) fn start<M: Machine>(twin: Arc<Mutex<M>>, stopped: Arc<Stopped>) -> Self {
        Self(tokio::spawn(async move {
            if let Err(error) = deliver(&twin, &stopped).await {
                tracing::warn!(%error, "the twin cannot deliver events");
            }
        }))
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn deliver<M: Machine>(twin: &Mutex<M>, stopped: &Stopped) -> io::Result<()> {
    // Made when it is needed: most twins of a test suite have no webhook.
    let mut client: Option<Client> = None;
    while !stopped.load(Ordering::SeqCst) {
        let Some(delivery) = next(twin, stopped) else {
            tokio::time::sleep(PACE).await;
            continue;
        };
        let known = match client.take() {
            Some(client) => client,
            None => new_client()?,
        };
        let status = post(&known, &delivery).await;
        client = Some(known);
        let mut twin = twin.lock().unwrap_or_else(PoisonError::into_inner);
        let delivered = twin.delivery_ended(SystemClock.now(), delivery.ticket, status);
        tracing::debug!(event = delivery.event_id, status, delivered, "twin event");
        if !delivered && twin.stream_is_suspended() {
            tracing::warn!("the webhook stayed down: the twin's events are suspended until it is set again");
        }
    }
    Ok(())
}

fn next<M: Machine>(twin: &Mutex<M>, stopped: &Stopped) -> Option<Delivery> {
    let mut twin = twin.lock().unwrap_or_else(PoisonError::into_inner);
    // Looked at under the lock, under which it is set: a stopped twin is silent.
    if stopped.load(Ordering::SeqCst) { None } else { twin.next_delivery(SystemClock.now()) }
}

fn new_client() -> io::Result<Client> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only when another thread was faster, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let builder = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).retry(retry::never());
    builder.no_proxy().build().map_err(io::Error::other)
}

async fn post(client: &Client, delivery: &Delivery) -> Option<u16> {
    let request = client
        .post(&delivery.url)
        .header("content-type", "application/json")
        .header(&delivery.signature_header, &delivery.signature)
        .body(delivery.body.clone());
    request.send().await.ok().map(|response| response.status().as_u16())
}
