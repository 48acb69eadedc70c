//! A throw-away PostgreSQL server with everything on that makes a commit durable.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tempfile::TempDir;

use crate::tools::{in_path, is_root, missing, run, sources};

/// What the log is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// SIMULATED: every fsync and fdatasync takes one millisecond, on files in memory. Not durable.
    Simulated,
    /// The machine's own disk.
    Disk,
}

impl Storage {
    /// How tables name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Simulated => "1 ms commit (simulated)",
            Self::Disk => "this machine's disk",
        }
    }
}

/// The settings of every server, said in the report.
pub const SETTINGS: &str = "fsync = on\nsynchronous_commit = on\nfull_page_writes = on\nshared_buffers = 1GB\n\
    max_wal_size = 8GB\ncheckpoint_timeout = 30min\nmax_connections = 400\n";

/// The server; ends with the value.
pub struct Cluster {
    bin: PathBuf,
    folder: TempDir,
    storage: Storage,
    watch: Option<Child>,
}

impl Cluster {
    /// Starts one.
    ///
    /// # Errors
    /// When PostgreSQL, or for simulated storage a C compiler, is missing.
    pub fn start(storage: Storage) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        match storage {
            Storage::Simulated if memory.is_dir() => Self::start_in(storage, memory),
            _ => Self::start_in(storage, &std::env::temp_dir()),
        }
    }

    /// Starts one with its files below `parent`.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start_in(storage: Storage, parent: &Path) -> Result<Self> {
        let bin = binaries().ok_or_else(|| {
            missing("no PostgreSQL server with pgbench was found (apt-get install postgresql)")
        })?;
        let folder = tempfile::Builder::new().prefix("simdepot-bench-pg.").tempdir_in(parent)?;
        let mut cluster = Self { bin, folder, storage, watch: None };
        cluster.watch = Some(cluster.watched()?);
        cluster.make()?;
        Ok(cluster)
    }

    /// A process that ends the server when this one has ended without doing so, by a signal for example.
    fn watched(&self) -> Result<Child> {
        const SCRIPT: &str =
            "own=$1 folder=$2; shift 2; while kill -0 \"$own\"; do sleep 1; done; \"$@\"; rm -rf \"$folder\"";
        let mut stop = self.as_owner(&self.bin.join("pg_ctl"), None);
        stop.arg("-D").arg(self.data()).args(["-w", "-s", "-m", "immediate", "stop"]);
        let mut watch = Command::new("sh");
        watch.args(["-c", SCRIPT, "sh", &std::process::id().to_string()]).arg(self.folder.path());
        watch.arg(stop.get_program()).args(stop.get_args()).current_dir("/");
        // In a group of its own: what ends the benchmark at a terminal must not end it too.
        let watch = watch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(watch.spawn()?)
    }

    fn make(&self) -> Result<()> {
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(self.folder.path()))?;
        }
        let mut initdb = self.as_owner(&self.bin.join("initdb"), None);
        initdb
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(self.data());
        run(&mut initdb)?;
        let socket = self.socket();
        let settings =
            format!("{SETTINGS}listen_addresses = ''\nunix_socket_directories = '{}'\n", socket.display());
        let mut write = self.as_owner(Path::new("sh"), None);
        write
            .args(["-c", "printf '%s' \"$1\" >>\"$2\"", "sh", &settings])
            .arg(self.data().join("postgresql.conf"));
        run(&mut write)?;
        let shim = match self.storage {
            Storage::Simulated => Some(compile_shim(self.folder.path())?),
            Storage::Disk => None,
        };
        let mut start = self.as_owner(&self.bin.join("pg_ctl"), shim.as_deref());
        start.arg("-D").arg(self.data()).arg("-l").arg(self.socket().join("log")).args(["-w", "-s", "start"]);
        run(&mut start).map(|_| ())
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// What its log is written to.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}", self.socket().display())
    }

    /// Its first process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn process(&self) -> Result<u32> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid"))?;
        text.lines().next().and_then(|line| line.trim().parse().ok()).context("postmaster.pid has no number")
    }

    /// A PostgreSQL client program, set up for one of its databases.
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("PGHOST", self.socket()).env("PGUSER", "postgres").env("PGDATABASE", database);
        command
    }

    /// Runs SQL, statement by statement, and returns the rows, columns apart by `|`.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.client("psql", database);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        Ok(run(&mut psql)?.trim().to_owned())
    }

    /// Runs SQL that gives one number.
    ///
    /// # Errors
    /// When it does not.
    pub fn number(&self, database: &str, sql: &str) -> Result<u64> {
        let text = self.sql(database, sql)?;
        text.parse().with_context(|| format!("{sql}: {text}"))
    }

    /// Copies a database, in place of one that is there.
    ///
    /// # Errors
    /// When somebody is connected to it.
    pub fn copy(&self, template: &str, database: &str) -> Result<()> {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))?;
        let copy = format!("CREATE DATABASE {database} TEMPLATE {template} STRATEGY FILE_COPY");
        self.sql("postgres", &copy).map(|_| ())
    }

    /// Which version it is.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn version(&self) -> Result<String> {
        self.sql("postgres", "SHOW server_version")
    }

    /// PostgreSQL refuses to run as root.
    fn as_owner(&self, program: &Path, preload: Option<&Path>) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "env"]);
            command
        } else {
            Command::new("env")
        };
        if let Some(library) = preload {
            command.arg(format!("LD_PRELOAD={}", library.display()));
        }
        command.arg(program).current_dir(self.folder.path());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.as_owner(&self.bin.join("pg_ctl"), None);
        stop.arg("-D").arg(self.data()).args(["-w", "-s", "-m", "immediate", "stop"]);
        // It may not have come up.
        let _ = run(&mut stop);
        if let Some(mut watch) = self.watch.take() {
            let _ = watch.kill();
            let _ = watch.wait();
        }
    }
}

/// Compiles the library that makes every fsync take a millisecond.
///
/// # Errors
/// When there is no C compiler.
pub fn compile_shim(folder: &Path) -> Result<PathBuf> {
    if in_path("cc").is_none() {
        return Err(missing(
            "no C compiler (cc) was found, so the one-millisecond commit cannot be simulated",
        ));
    }
    let library = folder.join("fdatasync.so");
    let source = sources().join("shim/fdatasync.c");
    run(Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source))?;
    Ok(library)
}

fn binaries() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file() && bin.join("pgbench").is_file())
        .collect();
    found.sort();
    let beside =
        || in_path("initdb")?.parent().map(Path::to_owned).filter(|bin| bin.join("pgbench").is_file());
    found.pop().or_else(beside)
}
