//! The load: so many connections, each of which sends its next request when the last one was answered.
//!
//! It runs in one thread and does as little as possible, because it shares the machine with what it measures.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::process::{Usage, cpu_micros, usage};
use crate::sample::Latency;

/// What is sent, and to whom.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    request: Request,
}

#[derive(Debug, Clone)]
enum Request {
    /// An order: everything up to the idempotency key, and the body up to the reference and behind it.
    Order(String, (String, String)),
    /// The same question each time.
    Read(String),
}

impl Target {
    /// An order of one profile under a reference of its own.
    pub fn orders(address: SocketAddr, key: &str, pool: &str) -> Self {
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\nidempotency-key: "
        );
        let body = (
            "{\"reference\":\"".to_owned(),
            format!("\",\"lines\":[{{\"pool\":\"{pool}\",\"quantity\":1}}],\"reveal\":true}}"),
        );
        Self { address, request: Request::Order(head, body) }
    }

    /// A question.
    pub fn read(address: SocketAddr, key: &str, path: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\r\n");
        Self { address, request: Request::Read(head) }
    }

    fn sells(&self) -> bool {
        matches!(self.request, Request::Order(..))
    }

    fn request(&self, reference: &str, into: &mut Vec<u8>) {
        into.clear();
        let (head, (before, behind)) = match &self.request {
            Request::Order(head, body) => (head, body),
            Request::Read(head) => return into.extend_from_slice(head.as_bytes()),
        };
        let length = before.len() + reference.len() + behind.len();
        for part in [head, reference, "\r\ncontent-length: ", &length.to_string(), "\r\n\r\n"] {
            into.extend_from_slice(part.as_bytes());
        }
        for part in [before, reference, behind] {
            into.extend_from_slice(part.as_bytes());
        }
    }
}

/// How much load, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Connections.
    pub clients: u32,
    /// Before anything counts.
    pub warm_up: Duration,
    /// What counts.
    pub measured: Duration,
}

/// The processes to look at meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Watched {
    /// The service.
    pub service: Option<u32>,
    /// PostgreSQL.
    pub database: Option<u32>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Orders answered within the measured time.
    pub counted: u64,
    /// The measured time.
    pub seconds: f64,
    /// Answer times of those.
    pub latency: Latency,
    /// Orders answered at all.
    pub answered: u64,
    /// What other answers there were, and how often.
    pub refused: BTreeMap<String, u64>,
    /// The ICCIDs in the answers.
    pub iccids: Vec<u64>,
    /// What the service used within the measured time.
    pub service: Usage,
    /// What PostgreSQL used.
    pub database: Usage,
    /// CPU time of the load itself, in microseconds.
    pub own_cpu_micros: u64,
}

/// Sends orders, or asks.
///
/// # Errors
/// When a connection breaks.
pub fn run(target: &Target, plan: Plan, watched: Watched) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, all(target, plan, watched))
}

async fn all(target: &Target, plan: Plan, watched: Watched) -> Result<Outcome> {
    let target = Rc::new(target.clone());
    // References of another run in the same database must not be repeated.
    let run = RandomState::new().build_hasher().finish();
    let from = Instant::now() + plan.warm_up;
    let until = from + plan.measured;
    let mut clients = JoinSet::new();
    for number in 0..plan.clients {
        let client = Client::new(Rc::clone(&target), format!("bench-{run:x}-{number}"), (from, until))?;
        clients.spawn_local(client.run());
    }
    let cpu = |id: Option<u32>| id.map(cpu_micros).unwrap_or_default();
    let look = || (cpu(watched.service), cpu(watched.database), own_cpu());
    tokio::time::sleep_until(from.into()).await;
    let before = look();
    tokio::time::sleep_until(until.into()).await;
    let after = look();
    let memory = |id: Option<u32>| id.map(usage).unwrap_or_default().memory_kib;
    let memory = (memory(watched.service), memory(watched.database));
    let mut total = Tally::new()?;
    while let Some(done) = clients.join_next().await {
        total.add(done??)?;
    }
    Ok(Outcome {
        counted: total.counted,
        seconds: plan.measured.as_secs_f64(),
        latency: Latency::of(&total.times),
        answered: total.answered,
        refused: total.refused,
        iccids: total.iccids,
        service: Usage { cpu_micros: after.0.saturating_sub(before.0), memory_kib: memory.0 },
        database: Usage { cpu_micros: after.1.saturating_sub(before.1), memory_kib: memory.1 },
        own_cpu_micros: after.2.saturating_sub(before.2),
    })
}

fn own_cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10_000
}

struct Tally {
    times: Histogram<u64>,
    counted: u64,
    answered: u64,
    refused: BTreeMap<String, u64>,
    iccids: Vec<u64>,
}

impl Tally {
    fn new() -> Result<Self> {
        let times = Histogram::new_with_bounds(1, 120_000_000, 3)?;
        Ok(Self { times, counted: 0, answered: 0, refused: BTreeMap::new(), iccids: Vec::new() })
    }

    fn add(&mut self, other: Self) -> Result<()> {
        self.times.add(other.times)?;
        self.counted += other.counted;
        self.answered += other.answered;
        for (what, times) in other.refused {
            *self.refused.entry(what).or_default() += times;
        }
        self.iccids.extend(other.iccids);
        Ok(())
    }
}

struct Client {
    target: Rc<Target>,
    name: String,
    window: (Instant, Instant),
    tally: Tally,
    /// Bytes of an answer, and where its body begins and ends.
    answer: Vec<u8>,
}

impl Client {
    fn new(target: Rc<Target>, name: String, window: (Instant, Instant)) -> Result<Self> {
        Ok(Self { target, name, window, tally: Tally::new()?, answer: Vec::new() })
    }

    async fn run(mut self) -> Result<Tally> {
        let mut stream = TcpStream::connect(self.target.address).await?;
        stream.set_nodelay(true)?;
        let (mut request, mut number) = (Vec::new(), 0u64);
        let (from, until) = self.window;
        while Instant::now() < until {
            number += 1;
            self.target.request(&format!("{}-{number}", self.name), &mut request);
            let sent = Instant::now();
            stream.write_all(&request).await?;
            let status = self.receive(&mut stream).await?;
            let answered = Instant::now();
            if status / 100 == 2 {
                self.tally.answered += 1;
                if self.target.sells() {
                    self.tally.iccids.extend(iccid(&self.answer));
                }
            } else {
                let told = String::from_utf8_lossy(&self.answer);
                let body = told.split("\r\n\r\n").nth(1).unwrap_or_default();
                let line = format!("{status} {}", body.chars().take(160).collect::<String>());
                *self.tally.refused.entry(line).or_default() += 1;
            }
            if answered >= from && answered <= until {
                self.tally.counted += 1;
                self.tally.times.saturating_record(crate::tools::micros(answered - sent).max(1));
            }
        }
        Ok(self.tally)
    }

    /// Reads one answer and returns its status.
    async fn receive(&mut self, stream: &mut TcpStream) -> Result<u16> {
        self.answer.clear();
        let mut end = None;
        loop {
            if stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the connection was closed");
            }
            if end.is_none() {
                end = end_of(&self.answer)?;
            }
            if end.is_some_and(|end| self.answer.len() >= end) {
                let status = self.answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
                return status.and_then(|status| status.parse().ok()).context("no HTTP status");
            }
        }
    }
}

/// Where an answer ends, once its head is there.
fn end_of(answer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(answer.get(..head).unwrap_or_default())?;
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .context("an answer without its length")?;
    Ok(Some(head + 4 + length))
}

/// The first ICCID of an answer.
fn iccid(answer: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = b"\"iccid\":\"";
    let begin = answer.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let digits = answer.get(begin..)?.split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_where_its_length_says() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(end_of(answer).unwrap(), Some(answer.len()));
        assert_eq!(end_of(b"HTTP/1.1 201").unwrap(), None);
        assert!(end_of(b"HTTP/1.1 201 Created\r\n\r\n").is_err());
    }

    #[test]
    fn the_iccid_is_found() {
        assert_eq!(iccid(b"{\"id\":1,\"iccid\":\"8988247000000000019\"}"), Some(8_988_247_000_000_000_019));
        assert_eq!(iccid(b"{}"), None);
    }
}
