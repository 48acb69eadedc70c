//! Processes of simdepot on one database and one configuration.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

/// The API key of the run.
const KEY: &str = "prove-0123456789-0123456789-0123456789";
/// Thirty-two bytes in base64.
const ENCRYPTION_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// All processes.
pub(super) struct Deployment {
    binary: PathBuf,
    folder: TempDir,
    database_url: String,
    ports: Vec<u16>,
    running: Vec<Option<Child>>,
    client: reqwest::Client,
}

impl Deployment {
    /// Writes the configuration; nothing is started.
    pub(super) fn make(
        binary: Option<PathBuf>,
        configuration: &str,
        database_url: Option<String>,
        processes: usize,
    ) -> Result<Self> {
        let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("simdepot"));
        let binary = binary.map_or_else(beside, Ok)?;
        if !binary.is_file() {
            bail!("there is no {}: build it with `cargo build`, or name it with --binary", binary.display());
        }
        let folder = tempfile::Builder::new().prefix("simdepot-real.").tempdir()?;
        std::fs::write(folder.path().join("simdepot.toml"), configuration)?;
        let of_file = || format!("sqlite://{}", folder.path().join("depot.db").display());
        let database_url = database_url.unwrap_or_else(of_file);
        let ports = (0..processes).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        let running = (0..processes).map(|_| None).collect();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()?;
        Ok(Self { binary, folder, database_url, ports, running, client })
    }

    /// The API key.
    pub(super) fn key(&self) -> &'static str {
        KEY
    }

    /// Where the processes are reached.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect()
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
            .env("RUST_LOG", "info")
            .stdin(Stdio::null());
        command
    }

    fn log(&self, process: usize) -> PathBuf {
        self.folder.path().join(format!("process-{process}.log"))
    }

    /// Starts every process, one after the other.
    pub(super) async fn start_all(&mut self) -> Result<()> {
        for process in 0..self.ports.len() {
            self.start(process).await?;
        }
        Ok(())
    }

    /// Starts a process and waits until it is ready.
    pub(super) async fn start(&mut self, process: usize) -> Result<()> {
        let port = self.ports.get(process).copied().unwrap_or_default();
        let log = File::options().create(true).append(true).open(self.log(process))?;
        let child = self
            .command()
            .arg("serve")
            .env("SIMDEPOT_LISTEN", format!("127.0.0.1:{port}"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        if let Some(place) = self.running.get_mut(process) {
            *place = Some(child);
        }
        for _ in 0..300 {
            let asked = self.client.get(format!("http://127.0.0.1:{port}/readyz")).send().await;
            if asked.is_ok_and(|answer| answer.status() == 200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("process {process} does not become ready: {}", tail(&self.log(process)))
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, process: usize) -> Result<()> {
        if let Some(mut child) = self.running.get_mut(process).and_then(Option::take) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Ends every process.
    pub(super) fn stop(&mut self) {
        for child in self.running.iter_mut().filter_map(Option::take) {
            end(child);
        }
    }

    /// Asks a process; retried while it cannot be reached.
    pub(super) async fn call(
        &self,
        process: usize,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let port = self.ports.get(process).copied().unwrap_or_default();
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let mut request =
            self.client.request(method, format!("http://127.0.0.1:{port}{path}")).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| path.to_owned())?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// Where a carrier tells the first process what happened.
    pub(super) fn events_url(&self, account: &str) -> String {
        let port = self.ports.first().copied().unwrap_or_default();
        format!("http://127.0.0.1:{port}/carrier-events/{account}")
    }

    /// Sends a delivery file.
    pub(super) async fn import(&self, pool: &str, file: String) -> Result<(u16, Value)> {
        let port = self.ports.first().copied().unwrap_or_default();
        let url = format!("http://127.0.0.1:{port}/v1/imports?pool={pool}");
        let request = self.client.post(url).bearer_auth(KEY).header("content-type", "text/csv").body(file);
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// How many orders have a reference, and the first of them.
    pub(super) async fn order(&self, reference: &str) -> Result<(usize, Value)> {
        let (_, page) = self.call(0, "GET", &format!("/v1/orders?reference={reference}"), None).await?;
        let orders = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok((orders.len(), orders.into_iter().next().unwrap_or(Value::Null)))
    }

    /// `simdepot verify` beside the running processes.
    pub(super) fn verify(&self) -> Result<(bool, String)> {
        let done = self.command().arg("verify").output()?;
        let told =
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        Ok((done.status.success(), told))
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.stop();
    }
}

fn end(mut child: Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
}
