//! What webhooks are delivered to: a courier that remembers, and a receiver on a socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use simdepot_domain::webhook::{Courier, Parcel, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Decides on the reply to a parcel.
pub type Answering = Arc<dyn Fn(&Parcel) -> Reply + Send + Sync>;

/// Decides how long a parcel takes.
pub type Taking = Arc<dyn Fn(&Parcel) -> Duration + Send + Sync>;

/// A courier without a network.
pub struct TestCourier {
    answering: Mutex<Answering>,
    tries: Mutex<Vec<(Parcel, Reply)>>,
    taking: Mutex<Taking>,
    under_way: Mutex<(usize, usize)>,
}

impl std::fmt::Debug for TestCourier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestCourier").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer of this status.
pub fn answer(status: u16) -> Reply {
    Reply::Answered { status, retry_after: None }
}

impl TestCourier {
    /// One whose endpoints take everything.
    pub fn new() -> Arc<Self> {
        Self::slow(Duration::ZERO)
    }

    /// One whose endpoints take their time.
    pub fn slow(slow: Duration) -> Arc<Self> {
        let answering: Mutex<Answering> = Mutex::new(Arc::new(|_| answer(204)));
        let taking: Mutex<Taking> = Mutex::new(Arc::new(move |_| slow));
        Arc::new(Self { answering, tries: Mutex::default(), taking, under_way: Mutex::default() })
    }

    /// From now on.
    pub fn answering(&self, how: impl Fn(&Parcel) -> Reply + Send + Sync + 'static) {
        *lock(&self.answering) = Arc::new(how);
    }

    /// How long each takes, from now on.
    pub fn taking(&self, how: impl Fn(&Parcel) -> Duration + Send + Sync + 'static) {
        *lock(&self.taking) = Arc::new(how);
    }

    /// Every try and what came of it, in order.
    pub fn tries(&self) -> Vec<(Parcel, Reply)> {
        lock(&self.tries).clone()
    }

    /// The parcels that were taken, in order.
    pub fn taken(&self) -> Vec<Parcel> {
        let is_taken = |reply: &Reply| matches!(reply, Reply::Answered { status: 200..=299, .. });
        self.tries().into_iter().filter(|(_, reply)| is_taken(reply)).map(|(parcel, _)| parcel).collect()
    }

    /// Most parcels that were under way at a time.
    pub fn most_at_a_time(&self) -> usize {
        lock(&self.under_way).1
    }
}

#[async_trait]
impl Courier for TestCourier {
    async fn deliver(&self, parcel: &Parcel) -> Reply {
        {
            let mut under_way = lock(&self.under_way);
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        let taking = Arc::clone(&lock(&self.taking));
        let slow = taking(parcel);
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let answering = Arc::clone(&lock(&self.answering));
        let reply = answering(parcel);
        lock(&self.tries).push((parcel.clone(), reply.clone()));
        lock(&self.under_way).0 -= 1;
        reply
    }
}

/// A request as it came over the socket.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method, path and version.
    pub line: String,
    /// Headers by their name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The bytes of the body.
    pub body: Vec<u8>,
}

/// A webhook receiver on loopback.
#[derive(Debug)]
pub struct Receiver {
    /// Where it is.
    pub url: String,
    got: Arc<Mutex<Vec<Received>>>,
    status: Arc<Mutex<u16>>,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// Listens, and answers 204.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (got, status) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::new(Mutex::new(204)));
        let (log, answer) = (Arc::clone(&got), Arc::clone(&status));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move {
                    // A sender that goes away ends its connection and nothing else.
                    let _ = serve(stream, &log, &answer).await;
                });
            }
        });
        Self { url, got, status, serving }
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        *lock(&self.status) = status;
    }

    /// What came, in order.
    pub fn got(&self) -> Vec<Received> {
        lock(&self.got).clone()
    }

    /// Waits until enough has come.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn wait_for(&self, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let got = self.got();
            if enough(&got) {
                return got;
            }
            assert!(tokio::time::Instant::now() < deadline, "only these webhooks came: {got:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Received>>,
    status: &Mutex<u16>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let request = loop {
            if let Some((request, length)) = parse(&bytes) {
                bytes.drain(..length);
                break request;
            }
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
        };
        let status = *lock(status);
        lock(log).push(request);
        stream.write_all(format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n").as_bytes()).await?;
    }
}

/// A whole request at the beginning of `bytes`, and how many of them it takes.
fn parse(bytes: &[u8]) -> Option<(Received, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(bytes.get(..head)?).ok()?;
    let mut lines = text.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let end = head + 4 + length;
    let body = bytes.get(head + 4..end)?.to_vec();
    Some((Received { line, headers, body }, end))
}
