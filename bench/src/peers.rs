//! Peers: services in other languages that do the same job (`bench/peers`), installed at the first run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cluster::Cluster;
use crate::contender::Contender;
use crate::curl;
use crate::load::Target;
use crate::stock::POOL;
use crate::tools::{free_port, in_path, installed, missing, run, say, sources};

const KEY: &str = "peer-0123456789-0123456789-0123456789";

/// Where the peers and what they need are installed.
#[derive(Debug, Clone)]
pub struct Installed {
    folder: PathBuf,
}

impl Installed {
    /// Below a folder that outlives the run.
    pub fn below(folder: &Path) -> Self {
        Self { folder: folder.join("bench-peers") }
    }

    /// Installs what a contender needs.
    ///
    /// # Errors
    /// When a program is missing, or the registry does not answer.
    pub fn install(&self, contender: Contender) -> Result<()> {
        match contender {
            Contender::FastifyOne | Contender::FastifyStatements => self.fastify(),
            Contender::FastapiOne | Contender::FastapiStatements => self.fastapi(),
            _ => Ok(()),
        }
    }

    fn fastify(&self) -> Result<()> {
        self.npm("fastify").map(|_| ())
    }

    /// Installs the shop, and returns where.
    ///
    /// # Errors
    /// As [`Installed::install`].
    pub fn vendure(&self) -> Result<PathBuf> {
        self.npm("vendure")
    }

    fn npm(&self, name: &str) -> Result<PathBuf> {
        if in_path("node").is_none() || in_path("npm").is_none() {
            return Err(missing("node and npm are missing (apt-get install nodejs npm)"));
        }
        let folder = self.copy(name)?;
        // Written when everything is there.
        if !folder.join("node_modules/.package-lock.json").is_file() {
            say(&format!("  installing {name}"));
            installed(run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder)))?;
        }
        Ok(folder)
    }

    fn fastapi(&self) -> Result<()> {
        if in_path("python3").is_none() {
            return Err(missing("python3 is missing (apt-get install python3-venv)"));
        }
        let folder = self.copy("fastapi")?;
        if folder.join("venv/bin/uvicorn").is_file() {
            return Ok(());
        }
        say("  installing fastapi, sqlalchemy and asyncpg");
        installed(run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&folder)))?;
        let mut pip = Command::new("venv/bin/pip");
        installed(run(pip.args(["install", "-q", "-r", "requirements.txt"]).current_dir(folder))).map(|_| ())
    }

    /// A copy of a peer's sources, so that nothing is installed among them.
    fn copy(&self, name: &str) -> Result<PathBuf> {
        let (from, folder) = (sources().join("peers").join(name), self.folder.join(name));
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&from).with_context(|| from.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
            }
        }
        Ok(folder)
    }

    fn command(&self, contender: Contender, port: u16) -> Result<Command> {
        let form = match contender {
            Contender::FastifyOne | Contender::FastapiOne => "one",
            _ => "statements",
        };
        let mut command = match contender {
            Contender::FastifyOne | Contender::FastifyStatements => {
                let mut node = Command::new("node");
                node.arg("server.js").current_dir(self.folder.join("fastify"));
                node
            }
            Contender::FastapiOne | Contender::FastapiStatements => {
                let folder = self.folder.join("fastapi");
                let mut uvicorn = Command::new(folder.join("venv/bin/uvicorn"));
                uvicorn.args(["app:app", "--workers", "2", "--loop", "uvloop", "--http", "httptools"]);
                uvicorn.args(["--no-access-log", "--log-level", "warning", "--port", &port.to_string()]);
                uvicorn.current_dir(folder);
                uvicorn
            }
            other => bail!("{other} is no peer"),
        };
        command.env("FORM", form).env("PORT", port.to_string()).env("KEY", KEY).env("NODE_ENV", "production");
        Ok(command)
    }
}

/// A running peer; ends with the value.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// Starts one on a database.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(
        installed: &Installed,
        contender: Contender,
        cluster: &Cluster,
        database: &str,
    ) -> Result<Self> {
        let port = free_port()?;
        let mut command = installed.command(contender, port)?;
        command.env("PGHOST", cluster.socket()).env("PGUSER", "postgres").env("PGDATABASE", database);
        let log = std::fs::File::create(installed.folder.join(format!("{contender}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let peer = Self { child: command.spawn()?, address };
        curl::wait_until_ready(address, "/readyz")
            .with_context(|| format!("{}/{contender}.log", installed.folder.display()))?;
        Ok(peer)
    }

    /// Its first process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where orders are sent to.
    pub fn target(&self) -> Target {
        Target::orders(self.address, KEY, POOL)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A supervisor among its processes ends the others when it is asked to.
        let _ = run(Command::new("kill").arg(self.child.id().to_string()));
        let ended = (0..250).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            matches!(self.child.try_wait(), Ok(Some(_)))
        });
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
