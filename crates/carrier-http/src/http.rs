//! Exchanges over HTTP: the one place that holds an HTTP client.
//!
//! **Nothing here repeats a request.** reqwest repeats requests after HTTP/2 refusals unless told otherwise; it is
//! told otherwise here. hyper-util still moves a request to another connection when a pooled one closed before the
//! request was handed to it; hyper gives a request back only while it is in the queue and no byte of it has been
//! written (`hyper::client::conn::TrySendError`), so that is the first sending, not a second.

use std::error::Error;
use std::io;

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use reqwest::{Client, Method, RequestBuilder, Url, redirect, retry};
use simdepot_domain::carrier::Unavailable;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::access::{Access, ConfigError, is_loopback};
use crate::exchange::{Exchange, ExchangeAnswer, ExchangeRequest};
use crate::failure::Failure;
use crate::transfer::lost;

const USER_AGENT: &str = concat!("simdepot/", env!("CARGO_PKG_VERSION"));
/// Longest answer that is read: a catalogue of a thousand products takes a few megabytes.
const MAX_BODY: usize = 32 << 20;

/// The HTTP client of one account.
pub struct HttpExchange {
    base_url: String,
    client: Client,
    home: Option<Handle>,
}

/// Ends an exchange that nobody waits for any more, as dropping it in place would.
struct AbortOnDrop(JoinHandle<Result<ExchangeAnswer, Failure>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl HttpExchange {
    /// Makes the client of an account, on the runtime that is there, if any.
    ///
    /// TLS uses the process's default crypto provider; when there is none, ring becomes it.
    ///
    /// # Errors
    /// A setting that cannot work, or a client that cannot be made.
    pub fn new(access: &Access) -> Result<Self, ConfigError> {
        access.validate()?;
        let url = access.url()?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails only when another thread was faster, which serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // Shorter than the call, so that a host that cannot be reached is told from one that does not answer.
            .connect_timeout(access.timeout / 2);
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| ConfigError::Client {
            account: access.account.clone(),
            reason: error.to_string(),
        })?;
        let base_url = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base_url, client, home: Handle::try_current().ok() })
    }

    fn build(&self, request: ExchangeRequest) -> Result<RequestBuilder, Failure> {
        let ExchangeRequest { method, origin, path, query, headers, body } = request;
        let base = origin.as_deref().unwrap_or(&self.base_url);
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| unwritable())?;
        let mark = if query.is_empty() { "" } else { "?" };
        let mut builder = self.client.request(method, format!("{base}{path}{mark}{query}"));
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(&value).map_err(|_| unwritable())?;
            value.set_sensitive(name == "authorization");
            builder = builder.header(name, value);
        }
        Ok(if body.is_empty() { builder } else { builder.body(body) })
    }
}

#[async_trait]
impl Exchange for HttpExchange {
    /// Runs on the runtime that the account was made on. A connection is driven by a task of the runtime that opened
    /// it: one that an HTTP worker opened would die with that worker while an order is on it.
    async fn run(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, Failure> {
        let exchange = send(self.build(request)?);
        let Some(home) = &self.home else {
            return exchange.await;
        };
        let mut running = AbortOnDrop(home.spawn(exchange.in_current_span()));
        (&mut running.0).await.unwrap_or_else(|_| Err(lost("the exchange was cut off")))
    }
}

/// Sends the request once and reads the whole answer within bounds.
async fn send(builder: RequestBuilder) -> Result<ExchangeAnswer, Failure> {
    let mut response = builder.send().await.map_err(|error| failure_of(&error))?;
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let headers = response.headers().iter();
    let headers =
        headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect();
    let mut answer = ExchangeAnswer { status: response.status().as_u16(), headers, body: Vec::new() };
    let broken = |_| lost("the connection ended in the middle of the answer");
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if answer.body.len().saturating_add(chunk.len()) > MAX_BODY {
            return Err(lost("the answer is longer than any documented one"));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn not_sent(reason: String, carrier_down: bool) -> Failure {
    Failure::NotSent { why: Unavailable { reason, retry_after_ms: None }, carrier_down }
}

fn unwritable() -> Failure {
    not_sent("the request cannot be written: check base_url".into(), false)
}

/// Whether the request can have arrived. reqwest's own words contain the URL, and with it numbers of customers; only
/// the kind is kept.
fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return unwritable();
    }
    // Name resolution, TCP and TLS come before the first byte of the request.
    if error.is_connect() {
        return not_sent(format!("no connection to the carrier: {}", connecting(error)), true);
    }
    let cause = io_error(error).map(|cause| format!(" ({})", cause.kind())).unwrap_or_default();
    lost(&format!("the connection ended before the answer{cause}"))
}

/// Where on the way to the carrier it went wrong. Of the URL only the host is told.
fn connecting(error: &reqwest::Error) -> String {
    let host = error.url().and_then(Url::host_str).unwrap_or("the host of base_url");
    // hyper-util has no type for it, and no other text of its own begins so.
    if causes(error).any(|cause| cause.to_string().starts_with("dns error")) {
        return format!("the name {host} cannot be resolved to an address");
    }
    if let Some(cause) = causes(error).find_map(tls_error) {
        return format!("TLS with {host} failed ({cause})");
    }
    match io_error(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => format!("connection refused by {host}"),
        Some(io::ErrorKind::TimedOut) => format!("{host} did not take it in time"),
        None if error.is_timeout() => format!("{host} did not take it in time"),
        Some(kind) => format!("{host} cannot be reached ({kind})"),
        None => format!("{host} cannot be reached"),
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

fn io_error(error: &reqwest::Error) -> Option<&io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An I/O error does not count what it wraps among its causes.
fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = |io: &'a io::Error| io.get_ref().and_then(|inner| tls_error(inner));
    cause.downcast_ref().or_else(|| cause.downcast_ref().and_then(wrapped))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Tries to connect, and tells what is said of it.
    async fn told(url: &str) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("{url}/lines?msisdn=33755000021"));
        let Err(Failure::NotSent { why, carrier_down }) = send(request).await else { panic!("a connection") };
        assert!(carrier_down && !why.reason.contains("33755"), "{}", why.reason);
        why.reason
    }

    #[tokio::test]
    async fn what_keeps_from_the_carrier_is_told_apart() {
        // Longer than a name may be, so that nobody is asked for it.
        let name = format!("{}.invalid", "a".repeat(64));
        let unknown = told(&format!("http://{name}")).await;
        assert_eq!(
            unknown,
            format!("no connection to the carrier: the name {name} cannot be resolved to an address")
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plain =
            std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"HTTP/1.0 400 No\r\n\r\n"));
        let no_tls = told(&format!("https://{address}")).await;
        assert!(no_tls.starts_with("no connection to the carrier: TLS with 127.0.0.1 failed ("), "{no_tls}");
        plain.join().unwrap().unwrap();
        let closed = told(&format!("https://{address}")).await;
        assert_eq!(closed, "no connection to the carrier: connection refused by 127.0.0.1");
    }
}
