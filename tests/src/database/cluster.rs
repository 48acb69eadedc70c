//! The PostgreSQL server of the tests: the one that `TEST_DATABASE_URL` names, or a throw-away cluster.
//!
//! The cluster belongs to a guardian process that waits on a pipe from this one. Whatever ends this process, a panic
//! and `kill -9` included, closes the pipe: then the guardian stops the server and removes its folder.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use simdepot_persistence::Backend;

use super::migrations_of;
use super::raw::RawConnection;

/// Starts a server, says `ready`, waits until its standard input ends, and clears up. Arguments: the server's
/// binaries, the folder, and how to run a command as the server's owner.
const GUARDIAN: &str = r#"
bin=$1; dir=$2; shift 2
trap '' INT TERM HUP
cd "$dir" || exit 1
cleanup() {
  "$@" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1
  cd / && rm -rf "$dir"
}
{
  "$@" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync &&
  "$@" "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -o "-c listen_addresses='' \
    -c unix_socket_directories='$dir' -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    -c max_connections=300 -c shared_buffers=128MB" start
} >"$dir/start.log" 2>&1 </dev/null || { cat "$dir/start.log" "$dir/log" 2>/dev/null; cleanup "$@"; exit 1; }
echo ready
cat >/dev/null
cleanup "$@"
"#;

/// Held while a server creates or drops databases, so that tests of one process do not meet in its catalogue.
static CATALOGUE: Mutex<()> = Mutex::new(());

/// A server and how its databases are reached.
#[derive(Debug)]
pub(super) struct Server {
    /// A database to connect to for administration.
    admin_url: String,
    template: String,
    /// Its standard input is the pipe: it must stay open, so it is never dropped.
    _guardian: Option<Child>,
}

impl Server {
    /// Finds or starts one, and migrates its template.
    ///
    /// # Errors
    /// Why there is none, and what to do about it.
    pub(super) fn find() -> Result<Self, String> {
        let (admin_url, guardian) = match std::env::var("TEST_DATABASE_URL") {
            Ok(url) if !url.is_empty() => (url, None),
            _ => {
                let (url, guardian) = start()?;
                (url, Some(guardian))
            }
        };
        let server = Self { admin_url, template: template_name(), _guardian: guardian };
        server.prepare_template();
        Ok(server)
    }

    /// The URL of one of its databases.
    pub(super) fn url_of(&self, name: &str) -> String {
        let (address, parameters) = match self.admin_url.split_once('?') {
            Some((address, parameters)) => (address, format!("?{parameters}")),
            None => (self.admin_url.as_str(), String::new()),
        };
        let authority = address.find("://").map_or(0, |scheme| scheme + 3);
        let path = address.get(authority..).and_then(|rest| rest.find('/'));
        let before = path.and_then(|path| address.get(..authority + path)).unwrap_or(address);
        format!("{before}/{name}{parameters}")
    }

    fn admin(&self) -> RawConnection {
        RawConnection::open(Backend::Postgres, &self.admin_url)
    }

    /// The template is named by the migrations' content, so that a server may serve several processes and runs.
    fn prepare_template(&self) {
        let mut admin = self.admin();
        // Of several processes one migrates and the others wait.
        admin.execute("SELECT pg_advisory_lock(7310868735419052114)");
        let template = &self.template;
        let known = admin.number(&format!(
            "SELECT count(*) AS value FROM pg_database WHERE datname = '{template}' AND datistemplate"
        ));
        if known == 0 {
            admin.execute(&format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)"));
            admin.execute(&format!("CREATE DATABASE {template} TEMPLATE template0"));
            RawConnection::open(Backend::Postgres, &self.url_of(template)).migrate(Backend::Postgres);
            // Said last: a template that is marked as one is complete.
            admin
                .execute(&format!("ALTER DATABASE {template} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"));
        }
    }

    pub(super) fn copy_template(&self, name: &str) {
        self.create(name, &self.template);
    }

    pub(super) fn create_empty(&self, name: &str) {
        self.create(name, "template0");
    }

    fn create(&self, name: &str, template: &str) {
        let _alone = CATALOGUE.lock().unwrap_or_else(PoisonError::into_inner);
        self.admin().execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"));
    }

    /// Drops a database. A failure leaves it to the end of the cluster: this runs while tests unwind.
    pub(super) fn drop_database(&self, name: &str) {
        let _alone = CATALOGUE.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.admin().try_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }
}

fn template_name() -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(migrations_of(Backend::Postgres))
        .expect("the migrations' folder")
        .map(|entry| entry.expect("a migration").path().join("up.sql"))
        .collect();
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(std::fs::read(&file).expect("a migration"));
    }
    let digest = hex::encode(digest.finalize());
    format!("simdepot_template_{}", digest.get(..16).unwrap_or_default())
}

fn start() -> Result<(String, Child), String> {
    let bin = server_binaries().ok_or(
        "no TEST_DATABASE_URL and no server binaries (initdb, pg_ctl) were found; `apt-get install postgresql` \
         is enough, no server need be running",
    )?;
    let folder = tempfile::Builder::new()
        .prefix("simdepot-postgres.")
        .tempdir()
        .map_err(|error| format!("no temporary folder: {error}"))?;
    // From here on the guardian removes the folder.
    let folder = folder.keep();
    let mut guardian = Command::new("sh");
    guardian.args(["-c", GUARDIAN, "sh"]).args([bin.as_os_str(), folder.as_os_str()]);
    if is_root() {
        // The server refuses to run as root.
        give_to_postgres(&folder)?;
        guardian.args(["runuser", "-u", "postgres", "--"]);
    } else {
        guardian.arg("env");
    }
    let mut guardian = guardian
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("the guardian cannot start: {error}"))?;
    let mut said = BufReader::new(guardian.stdout.take().ok_or("the guardian has no output")?);
    let mut first = String::new();
    said.read_line(&mut first).map_err(|error| error.to_string())?;
    if first.trim() != "ready" {
        said.read_to_string(&mut first).map_err(|error| error.to_string())?;
        return Err(format!("a throw-away server does not start: {first}"));
    }
    Ok((format!("postgres://postgres@/postgres?host={}", folder.display()), guardian))
}

/// The newest server of Debian's layout, else what is in `PATH`.
fn server_binaries() -> Option<PathBuf> {
    let complete = |bin: &PathBuf| bin.join("initdb").exists() && bin.join("pg_ctl").exists();
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let mut installed: Vec<(u32, PathBuf)> = versions
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name().and_then(OsStr::to_str)?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, bin)| complete(bin))
        .collect();
    installed.sort();
    let in_path = || std::env::split_paths(&std::env::var_os("PATH")?).find(complete);
    installed.pop().map(|(_, bin)| bin).or_else(in_path)
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

fn give_to_postgres(folder: &Path) -> Result<(), String> {
    let given = Command::new("chown").arg("postgres").arg(folder).status();
    match given {
        Ok(status) if status.success() => Ok(()),
        _ => Err("the folder of the throw-away server cannot be given to the user postgres".to_owned()),
    }
}
