//! The real binary, as it is run in production but for the rate limit.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::curl::{self, Answer};
use crate::load::Target;
use crate::stock::POOL;
use crate::tools::{free_port, run};

/// The API key of the run.
const KEY: &str = "bench-0123456789-0123456789-0123456789";
/// Thirty-two bytes in base64.
const ENCRYPTION_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
/// A carrier that nobody answers for: orders without a product do not need one. Its sweep asks once a second.
const CONFIGURATION: &str = "[[carriers]]\naccount = \"bench\"\nkind = \"transatel\"\nbase_url = \"http://127.0.0.1:9\"\n\
    client_id = \"bench\"\nclient_secret = \"bench\"\nmvno_ref = \"BENCH\"\ncos = \"WW_M2MA_COS_SPC\"\nmax_requests_per_second = 1\n";

/// One process of it; ends with the value.
pub struct Depot {
    binary: PathBuf,
    folder: TempDir,
    database_url: String,
    address: SocketAddr,
    child: Option<Child>,
}

impl Depot {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(binary: &Path, database_url: &str) -> Result<Self> {
        Self::start_with(binary, database_url, None)
    }

    /// Starts it with a library loaded before all others.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_with(binary: &Path, database_url: &str, preload: Option<&Path>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("simdepot-bench.").tempdir()?;
        std::fs::write(folder.path().join("simdepot.toml"), CONFIGURATION)?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let database_url = database_url.to_owned();
        let mut depot = Self { binary: binary.to_owned(), folder, database_url, address, child: None };
        let log = File::create(depot.log())?;
        let mut serve = depot.command();
        if let Some(library) = preload {
            serve.env("LD_PRELOAD", library);
        }
        serve.arg("serve").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        depot.child = Some(serve.spawn().with_context(|| format!("starting {}", depot.binary.display()))?);
        if let Err(error) = curl::wait_until_ready(address, "/readyz") {
            bail!("{error}: {}", std::fs::read_to_string(depot.log()).unwrap_or_default());
        }
        Ok(depot)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("DATABASE_URL", &self.database_url)
            .env("SIMDEPOT_ENCRYPTION_KEY", ENCRYPTION_KEY)
            .env("SIMDEPOT_BOOTSTRAP_KEY", KEY)
            .env("SIMDEPOT_RATE_LIMIT", "off")
            .env("SIMDEPOT_LISTEN", self.address.to_string())
            .env("RUST_LOG", "warn");
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// A folder that goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().map(Child::id).unwrap_or_default()
    }

    /// Where orders are sent to, and how they look.
    pub fn target(&self) -> Target {
        Target::orders(self.address, KEY, POOL)
    }

    /// A question for a load.
    pub fn reading(&self, path: &str) -> Target {
        Target::read(self.address, KEY, path)
    }

    /// Asks it something.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let authorization = format!("Bearer {KEY}");
        curl::call(self.address, method, path, &[("authorization", &authorization)], body)
    }

    /// Makes the pool that everything is sold from.
    ///
    /// # Errors
    /// When it is refused.
    pub fn make_pool(&self) -> Result<()> {
        let pool = serde_json::json!({ "pool": POOL, "carrier_account": "bench", "name": "Benchmark" });
        let (status, answer) = self.call("POST", "/v1/pools", Some(&pool))?;
        if status != 201 {
            bail!("the pool was not made: {status} {answer}");
        }
        Ok(())
    }

    /// `simdepot import` beside the server.
    ///
    /// # Errors
    /// When it does not take every row.
    pub fn import(&self, file: &Path) -> Result<Imported> {
        let begun = Instant::now();
        let told = File::create(self.folder().join("import.log"))?;
        let mut import = self.command();
        import.args(["import", "--pool", POOL]).arg(file);
        let mut child = import.stdin(Stdio::null()).stdout(told.try_clone()?).stderr(told).spawn()?;
        let mut peak_kib = 0;
        let status = loop {
            peak_kib = peak_kib.max(peak_memory(child.id()));
            match child.try_wait()? {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        if !status.success() {
            let log = self.folder().join("import.log");
            bail!(
                "simdepot import ended with {status}: {}",
                std::fs::read_to_string(log).unwrap_or_default()
            );
        }
        Ok(Imported { seconds: begun.elapsed().as_secs_f64(), peak_kib })
    }

    /// `simdepot verify` beside the server.
    ///
    /// # Errors
    /// When it finds a difference.
    pub fn verify(&self) -> Result<()> {
        run(self.command().arg("verify")).context("simdepot verify").map(|_| ())
    }

    /// Waits until every event has its number. Returns how long it took.
    ///
    /// # Errors
    /// When the numbering does not come to an end within two minutes.
    pub fn wait_for_feed(&self, lag: impl Fn() -> Result<u64>) -> Result<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(120) {
            if lag()? == 0 {
                return Ok(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the feed does not catch up: {} events have no number", lag()?)
    }

    /// Ends it as a supervisor does; killed when it takes longer than a few seconds.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let ended = run(Command::new("kill").arg(child.id().to_string())).is_ok()
            && (0..1_000).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                matches!(child.try_wait(), Ok(Some(_)))
            });
        if !ended {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How an import went.
#[derive(Debug, Clone, Copy)]
pub struct Imported {
    /// How long it took.
    pub seconds: f64,
    /// The most memory that its process had.
    pub peak_kib: u64,
}

/// The most memory that a process had so far, in KiB; 0 when it has ended.
fn peak_memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.unwrap_or_default()
}

impl Drop for Depot {
    fn drop(&mut self) {
        self.stop();
    }
}
