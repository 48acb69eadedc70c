//! Sends webhooks over HTTP, and only to addresses that they may go to.
//!
//! The address is checked where the connection is opened: names are resolved here, and what they resolve to is passed
//! on only as far as it is allowed. An address written as a number is not resolved by anybody, so it is checked before.
//! A connection that is used again leads to an address that was checked when it was opened.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, redirect, retry};
use simdepot_domain::webhook::{Courier, Parcel, Reply, Targets};

const USER_AGENT: &str = concat!("simdepot/", env!("CARGO_PKG_VERSION"));
/// How long it may take to reach an endpoint.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. Names are looked up again at least as often.
const IDLE: Duration = Duration::from_secs(30);
/// What is read of an answer's body, so that its connection can be used again; it is looked at by nobody.
const MOST_READ: usize = 4 * 1024;
/// How long a body is waited for: an endpoint that sends it drop by drop must not keep a worker.
const LONGEST_READ: Duration = Duration::from_millis(250);

/// The way out.
#[derive(Debug)]
pub struct HttpCourier {
    client: Client,
    targets: Targets,
}

impl HttpCourier {
    /// One that goes to these addresses.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(targets: Targets) -> reqwest::Result<Self> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails only when another thread was faster, which serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // A proxy would do what is refused here.
            .no_proxy()
            .no_gzip()
            .dns_resolver(Allowed(targets))
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self { client, targets })
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn deliver(&self, parcel: &Parcel) -> Reply {
        let url = match self.targets.check(&parcel.url) {
            Ok(url) => url,
            Err(error) => return Reply::Failed { reason: format!("not sent: the address {error}") },
        };
        let request = self
            .client
            .post(url)
            .timeout(parcel.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &parcel.id)
            .header("webhook-timestamp", parcel.timestamp)
            .header("webhook-signature", &parcel.signature)
            .body(parcel.body.clone());
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let retry_after = retry_after.map(str::to_owned);
                // When it takes too long, the connection is given up with the answer.
                let _ = tokio::time::timeout(LONGEST_READ, drain(response)).await;
                Reply::Answered { status, retry_after }
            }
            Err(error) => Reply::Failed { reason: reason(&error).to_owned() },
        }
    }
}

/// Reads the beginning of a body. The status counts, whatever becomes of the rest.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read >= MOST_READ {
            break;
        }
    }
}

/// Why there was no answer. The libraries' words name addresses, which are not for the endpoint's owner.
fn reason(error: &reqwest::Error) -> &'static str {
    if is_forbidden(error) {
        "not sent: the address must not lead to a private or special address"
    } else if error.is_connect() {
        "no connection could be opened"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection was lost before the answer"
    }
}

fn is_forbidden(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Forbidden>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A name that resolves to nothing that may be reached.
#[derive(Debug)]
struct Forbidden;

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name has no address that may be reached")
    }
}

impl std::error::Error for Forbidden {}

/// Resolves names to allowed addresses.
#[derive(Debug, Clone, Copy)]
struct Allowed(Targets);

impl Allowed {
    fn of(self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
        let allowed: Vec<SocketAddr> = found.filter(|address| self.0.allows(address.ip())).collect();
        if allowed.is_empty() { Err(Forbidden) } else { Ok(allowed) }
    }
}

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = *self;
        Box::pin(async move {
            // Port 0 stands for the URL's own.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Addrs = Box::new(allowed.of(found)?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn parcel(url: String) -> Parcel {
        Parcel {
            url,
            id: "evt_1".to_owned(),
            timestamp: 1_800_000_000,
            signature: "v1,abc".to_owned(),
            body: br#"{"type":"a.b"}"#.to_vec(),
            timeout: Duration::from_secs(2),
        }
    }

    async fn failure(targets: Targets, url: String) -> String {
        match HttpCourier::new(targets).unwrap().deliver(&parcel(url)).await {
            Reply::Failed { reason } => reason,
            answered @ Reply::Answered { .. } => panic!("{answered:?}"),
        }
    }

    /// Answers one request; returns what was asked.
    async fn serve(answer: String) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(br#"{"type":"a.b"}"#) {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap();
                asked.extend_from_slice(&buffer[..read]);
            }
            // The sender may have heard enough before the end.
            let _ = stream.write_all(answer.as_bytes()).await;
            String::from_utf8(asked).unwrap()
        });
        (port, served)
    }

    #[tokio::test]
    async fn a_parcel_arrives_as_it_is() {
        let answer = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno";
        let (port, served) = serve(answer.to_owned()).await;
        let courier = HttpCourier::new(Targets::PublicOrThisMachine).unwrap();
        let reply = courier.deliver(&parcel(format!("http://localhost:{port}/hook?a=1"))).await;
        assert_eq!(reply, Reply::Answered { status: 503, retry_after: Some("7".to_owned()) });
        let asked = served.await.unwrap();
        assert!(asked.starts_with("POST /hook?a=1 HTTP/1.1\r\n"), "{asked}");
        for header in [
            "content-type: application/json",
            "webhook-id: evt_1",
            "webhook-timestamp: 1800000000",
            "webhook-signature: v1,abc",
        ] {
            assert!(asked.contains(header), "{asked}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_an_endless_body_not_read() {
        let answer = format!(
            "HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 100000000\r\n\r\n{}",
            "x".repeat(100_000)
        );
        let (port, served) = serve(answer).await;
        let courier = HttpCourier::new(Targets::PublicOrThisMachine).unwrap();
        let reply = courier.deliver(&parcel(format!("http://127.0.0.1:{port}/"))).await;
        assert_eq!(reply, Reply::Answered { status: 307, retry_after: None });
        served.await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_sent_to_where_it_may_not_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // The address itself; a name that means it is refused where it is resolved, below.
        for url in [format!("https://127.0.0.1:{port}/"), format!("https://[::ffff:127.0.0.1]:{port}/")] {
            let reason = failure(Targets::Public, url).await;
            assert!(reason.contains("private or special"), "{reason}");
        }
        let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(accepted.is_err(), "nobody came");
    }

    #[tokio::test]
    async fn a_name_is_refused_for_what_it_means() {
        use std::str::FromStr as _;
        let name = || Name::from_str("localhost").unwrap();
        let refused = Allowed(Targets::Public).resolve(name()).await.err().unwrap();
        assert!(refused.is::<Forbidden>(), "{refused}");
        let found: Vec<SocketAddr> =
            Allowed(Targets::PublicOrThisMachine).resolve(name()).await.ok().unwrap().collect();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
        let mixed = ["10.0.0.1:0", "8.8.8.8:0", "[::1]:0"].map(|text| text.parse::<SocketAddr>().unwrap());
        let allowed = Allowed(Targets::Public).of(mixed.into_iter()).unwrap();
        assert_eq!(allowed, ["8.8.8.8:0".parse().unwrap()]);
        // The whole way: a name that looked harmless and means something else when the connection is opened.
        let strict = HttpCourier::new(Targets::Public).unwrap();
        let courier = HttpCourier { client: strict.client, targets: Targets::All };
        let Reply::Failed { reason } = courier.deliver(&parcel("http://localhost:1/".to_owned())).await
        else {
            panic!("sent");
        };
        assert!(reason.contains("private or special"), "{reason}");
    }

    #[tokio::test]
    async fn failures_have_words_without_addresses() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let closed = failure(Targets::PublicOrThisMachine, format!("http://127.0.0.1:{port}/")).await;
        assert_eq!(closed, "no connection could be opened");
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let slow = failure(Targets::PublicOrThisMachine, format!("http://127.0.0.1:{port}/")).await;
        assert_eq!(slow, "no answer in time");
    }
}
