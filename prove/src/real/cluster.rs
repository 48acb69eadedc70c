//! A throw-away PostgreSQL server with everything that makes it durable switched on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// The server; ends with the value.
pub(super) struct Cluster {
    bin: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// Starts one.
    pub(super) fn start() -> Result<Self> {
        let Some(bin) = binaries() else {
            bail!("no PostgreSQL server was found: `apt-get install postgresql` is enough");
        };
        let folder = tempfile::Builder::new().prefix("simdepot-real-pg.").tempdir()?;
        let cluster = Self { bin, folder };
        if is_root() {
            let mut chown = Command::new("chown");
            chown.arg("postgres").arg(cluster.folder.path());
            run(chown)?;
        }
        let data = cluster.data();
        let mut initdb = cluster.tool("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        run(initdb)?;
        let socket = cluster.folder.path().display().to_string();
        let settings =
            format!("listen_addresses = ''\nunix_socket_directories = '{socket}'\nmax_connections = 200\n");
        let file = data.join("postgresql.conf");
        let mut write = cluster.as_owner("sh");
        write.args(["-c", "printf '%s' \"$1\" >>\"$2\"", "sh", &settings]).arg(&file);
        run(write)?;
        cluster.control(&["-w", "-t", "60", "start"])?;
        Ok(cluster)
    }

    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@/postgres?host={}", self.folder.path().display())
    }

    /// Stops it without letting anything finish, as a power cut would, and starts it again: it recovers from its log.
    pub(super) fn restart_at_once(&self) -> Result<()> {
        self.control(&["-w", "-t", "60", "-m", "immediate", "restart"])
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn control(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.tool("pg_ctl");
        command.arg("-D").arg(self.data()).arg("-l").arg(self.folder.path().join("log")).args(arguments);
        run(command)
    }

    fn tool(&self, name: &str) -> Command {
        self.as_owner(&self.bin.join(name).display().to_string())
    }

    /// PostgreSQL refuses to run as root.
    fn as_owner(&self, program: &str) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", program]);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may not have come up.
        let _ = self.control(&["-w", "-m", "immediate", "stop"]);
    }
}

fn run(mut command: Command) -> Result<()> {
    let log = tempfile::tempfile()?;
    // The server inherits what it writes to, so it must not be a pipe that somebody waits for.
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn is_root() -> bool {
    // Without procfs it is taken for an ordinary user.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn binaries() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort();
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|bin| Path::new(bin).join("initdb").is_file())
    };
    found.pop().or_else(in_path)
}
