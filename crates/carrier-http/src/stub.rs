//! A carrier for the adapters' tests: a socket that answers as told, hangs up or keeps silent, and remembers what it was
//! asked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::clock::Clock;
use simdepot_domain::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::access::{Access, TokenAccess, TokenCredentials};

/// What a request looked like.
#[derive(Debug, Clone)]
pub struct Seen {
    /// As sent.
    pub method: String,
    /// With its query.
    pub target: String,
    /// In lower case.
    pub head: String,
    /// As sent.
    pub body: String,
}

/// What to do with a request.
pub enum Reply {
    /// Status, extra header lines, body.
    Answer(u16, &'static str, String),
    /// Answer, then close the connection although it was to stay open.
    AnswerAndClose(u16, String),
    /// Close the connection without a word.
    Drop,
    /// Promise a body and close in the middle of it.
    Cut(u16),
    /// Say nothing.
    Hang,
}

/// An answer without headers of its own.
pub fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "", body.to_owned())
}

/// The carrier.
pub struct Stub {
    /// Where it listens.
    pub base_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

impl Stub {
    /// Grants tokens `token-1`, `token-2`, … by itself, where a path ends with `/token`, and leaves all else to `handler`.
    pub async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let granted = Mutex::new(0);
        Self::start_bare(move |seen| {
            if !seen.target.ends_with("/token") {
                return handler(seen);
            }
            let mut granted = granted.lock().unwrap();
            *granted += 1;
            answer(
                200,
                &format!(r#"{{"access_token":"token-{granted}","token_type":"bearer","expires_in":3600}}"#),
            )
        })
        .await
    }

    /// Leaves the tokens to `handler` too.
    pub async fn start_bare(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, handler): (_, Arc<Handler>) = (Arc::clone(&seen), Arc::new(handler));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, Arc::clone(&log), Arc::clone(&handler)));
            }
        });
        Self { base_url, seen, task }
    }

    /// Every request whose target begins with `prefix`.
    pub fn seen(&self, prefix: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.target.starts_with(prefix)).cloned().collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut socket: TcpStream, log: Arc<Mutex<Vec<Seen>>>, handler: Arc<Handler>) {
    while let Some(seen) = read_request(&mut socket).await {
        log.lock().unwrap().push(seen.clone());
        let (status, extra, body, promised, close) = match handler(&seen) {
            Reply::Answer(status, extra, body) => (status, extra, body.clone(), body.len(), false),
            Reply::AnswerAndClose(status, body) => (status, "", body.clone(), body.len(), true),
            Reply::Cut(status) => (status, "", "{".to_owned(), 100, true),
            Reply::Drop => return,
            Reply::Hang => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return;
            }
        };
        // A 204 has no body, nor a length.
        let length = if status == 204 { String::new() } else { format!("content-length: {promised}\r\n") };
        let text = format!("HTTP/1.1 {status} X\r\n{length}{extra}\r\n{body}");
        socket.write_all(text.as_bytes()).await.unwrap();
        if close {
            return;
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                let mut words = head.split_whitespace();
                let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
                return Some(Seen { method, target, head: lower, body: body.to_owned() });
            }
        }
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
}

/// A clock that moves when told.
pub struct TestClock(Mutex<DateTime<Utc>>);

impl TestClock {
    /// On 2026-03-10 at midnight.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new("2026-03-10T00:00:00Z".parse().unwrap())))
    }

    /// Goes on by `seconds`.
    pub fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// An account at `base_url`.
pub fn access(base_url: &str) -> Access {
    Access {
        account: "spc".into(),
        base_url: base_url.into(),
        token: TokenAccess {
            url: "/token".into(),
            client_id: "acme".into(),
            client_secret: Secret::new("opensesame"),
            credentials: TokenCredentials::Basic,
            scope: None,
        },
        timeout: Duration::from_secs(5),
        max_requests_per_second: 1000,
        request_id_header: "x-request-id",
        denies_for_good: |_| false,
    }
}
