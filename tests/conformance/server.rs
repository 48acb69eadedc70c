//! Servers that no carrier should be: one that never answers, one that sends its callers elsewhere, and none at all.
//! Each grants a token, so that what is asked behind it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of a request that is not for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It is never answered.
    Silent,
    /// It is sent elsewhere, on the same server.
    Redirecting,
}

/// A running server; dropping it stops it.
pub(crate) struct Server {
    pub(crate) url: String,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    followed: AtomicU64,
}

const ELSEWHERE: &str = "/elsewhere";

impl Server {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counts = Arc::<Counts>::default();
        let (counted, base) = (Arc::clone(&counts), url.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, manner, Arc::clone(&counted), base.clone()));
            }
        });
        Self { url, counts, task }
    }

    /// How many requests came that were not for a token.
    pub(crate) fn asked(&self) -> u64 {
        self.counts.asked.load(Ordering::SeqCst)
    }

    /// How many followed where they were sent.
    pub(crate) fn followed(&self) -> u64 {
        self.counts.followed.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where nobody listens: a port that was free a moment ago.
pub(crate) fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// One request of one connection, which is closed after the answer.
async fn serve(mut stream: TcpStream, manner: Manner, counts: Arc<Counts>, base: String) {
    let Some(path) = path_of_request(&mut stream).await else { return };
    let answer = if path.contains("token") {
        let grant = r#"{"access_token":"granted","token_type":"Bearer","expires_in":3600}"#;
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", grant.len())
            + "connection: close\r\n\r\n"
            + grant
    } else if path.starts_with(ELSEWHERE) {
        counts.followed.fetch_add(1, Ordering::SeqCst);
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".to_owned()
    } else {
        counts.asked.fetch_add(1, Ordering::SeqCst);
        if manner == Manner::Silent {
            return std::future::pending().await;
        }
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {base}{ELSEWHERE}\r\n")
            + "content-length: 0\r\nconnection: close\r\n\r\n"
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads a request with its body.
async fn path_of_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or_default() {
            return head.split(' ').nth(1).map(str::to_owned);
        }
    }
}
