//! Events over real HTTP, to a small receiver.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use simdepot_carrier_twin::{TwinConfig, TwinServer, Webhook};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::secret::Secret;

const SECRET: &str = "opensesame";
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
struct Received {
    path: String,
    signature: String,
    content_type: String,
    body: Vec<u8>,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        self.json()["header"]["eventType"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

/// Answers with the statuses given, then with 204, and remembers what came.
struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, mut statuses) = (Arc::clone(&received), statuses.to_vec().into_iter());
        // Ends with the process: it waits for connections that no longer come.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let Some(request) = read(&stream) else { continue };
                log.lock().unwrap().push(request);
                let status = statuses.next().unwrap_or(204);
                let length = if status == 204 { "" } else { "content-length: 0\r\n" };
                let _ = write!(stream, "HTTP/1.1 {status} X\r\n{length}connection: close\r\n\r\n");
            }
        });
        Self { address, received }
    }

    fn url(&self) -> String {
        format!("http://{}/carrier-events/spc", self.address)
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<Received> {
        let deadline = Instant::now() + PATIENCE;
        while self.received().len() < count {
            assert!(Instant::now() < deadline, "only {:?}", self.received());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.received()
    }
}

fn read(stream: &std::net::TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let (mut signature, mut content_type, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-tsl-signature-256" => signature = value.to_owned(),
            "content-type" => content_type = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { path, signature, content_type, body })
}

struct Harness {
    server: TwinServer,
    client: Client,
}

impl Harness {
    fn start() -> Self {
        // Another test of this binary may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = TwinServer::start(TwinConfig::sandbox(), "127.0.0.1:0").unwrap();
        Self { server, client: Client::builder().no_proxy().build().unwrap() }
    }

    async fn control(&self, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/_twin/{path}", self.server.base_url);
        let response = self.client.request(method, url).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    async fn stream(&self) -> Value {
        self.control(reqwest::Method::GET, "state", &json!({})).await.1["webhook"].clone()
    }

    async fn wait_for(&self, field: &str, value: u64) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stream = self.stream().await;
            if stream[field].as_u64().is_some_and(|seen| seen >= value) {
                return stream;
            }
            assert!(Instant::now() < deadline, "{stream}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn install(&self) {
        let mut twin = self.server.twin();
        let iccid = twin.add_lines(1).remove(0).iccid;
        let now = SystemClock.now();
        twin.simulate_download(&iccid, None, now).unwrap();
        twin.simulate_install(&iccid, now).unwrap();
        twin.simulate_enable(&iccid, now).unwrap();
    }
}

#[tokio::test]
async fn events_arrive_signed_and_in_order() {
    let (harness, receiver) = (Harness::start(), Receiver::start(&[]));
    let (status, view) = harness
        .control(reqwest::Method::PUT, "webhook", &json!({"url": receiver.url(), "secret": SECRET}))
        .await;
    assert_eq!((status, &view["url"], &view["suspended"]), (200, &json!(receiver.url()), &json!(false)));
    assert!(!view.to_string().contains(SECRET));
    harness.install();
    let received = receiver.wait_for(3).await;
    let kinds: Vec<String> = received.iter().map(Received::kind).collect();
    assert_eq!(kinds, ["DOWNLOADED", "INSTALLED", "ENABLED"]);
    let webhook = Webhook::new(&receiver.url(), Secret::new(SECRET)).unwrap();
    for event in &received {
        assert_eq!(
            (event.path.as_str(), event.content_type.as_str()),
            ("/carrier-events/spc", "application/json")
        );
        assert_eq!(event.signature, webhook.signature(&event.body));
    }
    assert!(received[0].json()["addedWithoutNotice"].is_object(), "A16 holds for events too");
    let stream = harness.wait_for("delivered", 3).await;
    assert_eq!((&stream["waiting"], &stream["failed_attempts"]), (&json!(0), &json!(0)));
    assert_eq!(harness.control(reqwest::Method::DELETE, "webhook", &json!({})).await.0, 204);
    harness.install();
    assert_eq!(harness.stream().await["waiting"], 0);
    harness.server.stop().unwrap();
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn a_failed_delivery_comes_again_when_the_twins_clock_says_so() {
    let (harness, receiver) = (Harness::start(), Receiver::start(&[500, 302]));
    harness.server.twin().set_webhook(Some(Webhook::new(&receiver.url(), Secret::new(SECRET)).unwrap()));
    harness.install();
    let stream = harness.wait_for("delivered", 1).await;
    assert_eq!((&stream["failed_attempts"], &stream["waiting"]), (&json!(2), &json!(2)));
    harness.control(reqwest::Method::POST, "clock", &json!({"advance_seconds": 600})).await;
    harness.wait_for("delivered", 3).await;
    let kinds: Vec<String> = receiver.received().iter().map(Received::kind).collect();
    assert_eq!(kinds, ["DOWNLOADED", "INSTALLED", "ENABLED", "DOWNLOADED", "INSTALLED"]);
    let ids: Vec<Value> =
        receiver.received().iter().map(|event| event.json()["header"]["eventId"].clone()).collect();
    assert_eq!((&ids[0], &ids[1]), (&ids[3], &ids[4]), "the same events");
}

#[tokio::test]
async fn a_webhook_that_stays_down_suspends_the_stream() {
    let harness = Harness::start();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/");
    harness
        .control(
            reqwest::Method::PATCH,
            "assumptions",
            &json!({"webhook_retries": 2, "webhook_retry_seconds": 0}),
        )
        .await;
    harness.control(reqwest::Method::PUT, "webhook", &json!({"url": url, "secret": SECRET})).await;
    harness.install();
    let stream = harness.wait_for("lost", 3).await;
    assert_eq!((&stream["suspended"], &stream["last_status"]), (&json!(true), &Value::Null));
    for bad in
        [json!({"url": "nowhere", "secret": "x"}), json!({"url": url}), json!({"url": url, "secret": ""})]
    {
        assert_eq!(harness.control(reqwest::Method::PUT, "webhook", &bad).await.0, 400, "{bad}");
    }
}
