//! One connection type for two databases, and the r2d2 manager that opens it by URL scheme.
//!
//! The scheme alone decides. (The `establish` that diesel derives tries each database in turn: a PostgreSQL that is
//! down would end in a SQLite file of that name.)

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use thiserror::Error;

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub(crate) enum AnyConnection {
    /// PostgreSQL through libpq.
    Pg(PgConnection),
    /// The bundled SQLite.
    Sqlite(SqliteConnection),
}

/// Where the store lies.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `postgres://…` or `postgresql://…`, as libpq takes it.
    Postgres(String),
    /// `sqlite://PATH`.
    Sqlite(String),
}

/// Why a database URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Neither of the two schemes.
    #[error("DATABASE_URL must begin with sqlite:// or postgres://")]
    Scheme,
    /// A scheme without anything behind it.
    #[error("DATABASE_URL names no database: write sqlite://PATH or postgres://USER@HOST/NAME")]
    Empty,
    /// A remote PostgreSQL in plain text.
    #[error(
        "DATABASE_URL reaches a remote PostgreSQL without TLS: add ?sslmode=verify-full, or set \
         SIMDEPOT_DB_PLAINTEXT=allow if the network between is trusted"
    )]
    Plaintext,
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let not_empty = |rest: &str| if rest.is_empty() { Err(UrlError::Empty) } else { Ok(()) };
        if let Some(path) = text.strip_prefix("sqlite://") {
            not_empty(path)?;
            Ok(Self::Sqlite(path.to_owned()))
        } else if let Some(rest) =
            text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))
        {
            not_empty(rest)?;
            Ok(Self::Postgres(text.to_owned()))
        } else {
            Err(UrlError::Scheme)
        }
    }
}

impl DatabaseUrl {
    /// Refuses a PostgreSQL on another machine unless the URL asks for TLS or the operator allows plain text. `is_set`
    /// tells whether a variable of the environment is set: libpq takes from there what the URL leaves open.
    ///
    /// # Errors
    /// [`UrlError::Plaintext`].
    pub fn require_tls(
        self,
        plaintext_allowed: bool,
        is_set: impl Fn(&str) -> bool,
    ) -> Result<Self, UrlError> {
        match &self {
            Self::Postgres(url) if !plaintext_allowed && !asks_for_tls(url) && !is_local(url, is_set) => {
                Err(UrlError::Plaintext)
            }
            Self::Postgres(_) | Self::Sqlite(_) => Ok(self),
        }
    }
}

/// What lies before the path, and the parameters.
fn parts(url: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let query = tail.split_once('?').map_or("", |(_, query)| query);
    (authority, query.split('&').filter_map(|pair| pair.split_once('=')))
}

/// Every `sslmode` asks for it, whichever one libpq goes by.
fn asks_for_tls(url: &str) -> bool {
    let modes: Vec<&str> =
        parts(url).1.filter(|(name, _)| *name == "sslmode").map(|(_, mode)| mode).collect();
    !modes.is_empty() && modes.iter().all(|mode| matches!(*mode, "require" | "verify-ca" | "verify-full"))
}

/// A socket path, no host, or loopback. `host=` and `hostaddr=` parameters override the authority, so any is remote; so
/// do a service, a variable that stands in for a host that is not named, and one that overrides it.
fn is_local(url: &str, is_set: impl Fn(&str) -> bool) -> bool {
    let (authority, parameters) = parts(url);
    let parameters: Vec<(&str, &str)> = parameters.collect();
    let named_by = |names: &[&str]| parameters.iter().any(|(name, _)| names.contains(name));
    let named = |host: &str| {
        host.is_empty()
            || host.starts_with('/')
            || host.starts_with("%2F")
            || host.starts_with("%2f")
            || matches!(host, "localhost" | "127.0.0.1" | "::1")
    };
    let parameters_local = parameters
        .iter()
        .filter(|(name, _)| matches!(*name, "host" | "hostaddr"))
        .all(|(_, hosts)| hosts.split(',').all(named));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let has_host = !hosts.is_empty() || named_by(&["host"]);
    let elsewhere = named_by(&["service"])
        || (!named_by(&["hostaddr"]) && is_set("PGHOSTADDR"))
        || (!has_host && (is_set("PGHOST") || is_set("PGSERVICE")));
    parameters_local && !elsewhere && hosts.split(',').all(|host| named(without_port(host)))
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Prints the place, never the credentials.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{path}"),
            Self::Postgres(url) => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let (head, parameters) = rest.split_once('?').unwrap_or((rest, ""));
                let place = match head.rsplit_once('@') {
                    Some((_, place)) => place,
                    // A parameter's `@`, or that of a password with a `?` in it: what is before may be the password.
                    None if parameters.contains('@') => "…",
                    None => head,
                };
                write!(f, "postgres://{place}")
            }
        }
    }
}

/// Opens connections for r2d2.
#[derive(Debug)]
pub(crate) struct Manager {
    pub(crate) url: DatabaseUrl,
}

/// No statement of simdepot runs longer on purpose; imports commit in one transaction of many short statements.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a write waits for another process's write on SQLite. Writers in this process queue before that.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

impl Manager {
    pub(crate) fn open(&self) -> Result<AnyConnection, ConnectionError> {
        match &self.url {
            DatabaseUrl::Postgres(url) => {
                let mut connection = PgConnection::establish(url)?;
                connection
                    // A plan that looks dear would be compiled first, which takes longer than any statement of simdepot.
                    .batch_execute(&format!(
                        "SET TIME ZONE 'UTC'; SET jit = off; SET statement_timeout = {}; \
                         SET idle_in_transaction_session_timeout = {}",
                        STATEMENT_TIMEOUT.as_millis(),
                        STATEMENT_TIMEOUT.as_millis()
                    ))
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(AnyConnection::Pg(connection))
            }
            DatabaseUrl::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(path)?;
                connection
                    .batch_execute(&format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis()))
                    .and_then(|()| enter_wal(&mut connection))
                    .and_then(|()| {
                        connection.batch_execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
                    })
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(AnyConnection::Sqlite(connection))
            }
        }
    }
}

/// Switches the file to WAL. When two processes do that to a new file at once, SQLite fails one of them without
/// regard to the busy timeout; a file that has been switched stays so, and the next try finds it done.
fn enter_wal(connection: &mut SqliteConnection) -> QueryResult<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        match connection.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if error.to_string().contains("database is locked") && waited < BUSY_TIMEOUT => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            done => return done,
        }
    }
}

/// A connection in the pool, and whether it was found dead: diesel itself does not notice outside a transaction.
pub(crate) struct Pooled {
    pub(crate) db: AnyConnection,
    pub(crate) dead: bool,
}

impl Pooled {
    /// Asks the database for a sign of life.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.dead = self.dead || self.db.batch_execute("SELECT 1").is_err();
        !self.dead
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Pooled;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Pooled, Self::Error> {
        let db = self.open().map_err(diesel::r2d2::Error::ConnectionError)?;
        Ok(Pooled { db, dead: false })
    }

    fn is_valid(&self, connection: &mut Pooled) -> Result<(), Self::Error> {
        connection.db.batch_execute("SELECT 1").map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, connection: &mut Pooled) -> bool {
        connection.dead
            || std::thread::panicking()
            || diesel::r2d2::R2D2Connection::is_broken(&mut connection.db)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides() {
        assert_eq!("sqlite://a.db".parse(), Ok(DatabaseUrl::Sqlite("a.db".to_owned())));
        assert_eq!("sqlite:///var/a.db".parse(), Ok(DatabaseUrl::Sqlite("/var/a.db".to_owned())));
        assert!(matches!("postgresql://h/d".parse(), Ok(DatabaseUrl::Postgres(_))));
        for bad in ["postgres:typo", "a.db", "host=127.0.0.1", "mysql://x", ""] {
            assert_eq!(bad.parse::<DatabaseUrl>(), Err(UrlError::Scheme), "{bad}");
        }
        assert_eq!("sqlite://".parse::<DatabaseUrl>(), Err(UrlError::Empty));
    }

    #[test]
    fn a_remote_plaintext_database_is_refused() {
        let with = |url: &str, variable: &str| {
            url.parse::<DatabaseUrl>().unwrap().require_tls(false, |name| name == variable).is_ok()
        };
        let check = |url: &str| with(url, "");
        for fine in [
            "sqlite://a.db",
            "postgres://u:p@localhost/d",
            "postgres://127.0.0.1:5432/d",
            "postgres://u@[::1]:5432/d",
            "postgres:///d?host=/run/postgresql",
            "postgres://u@db.example/d?sslmode=verify-full",
        ] {
            assert!(check(fine), "{fine}");
        }
        for bad in [
            "postgres://u:p@db.example/d",
            "postgres://u@db.example/d?sslmode=prefer",
            "postgres://localhost/d?host=db.example",
            "postgres://localhost,db.example/d",
            "postgres://localhost@db.example/d",
            "postgres://db.example/d?application_name=sslmode=require",
            "postgres://u:sslmode=require@db.example/d",
            "postgres://db.example/d?sslmode=require&sslmode=disable",
            "postgres:///d?service=far",
        ] {
            assert!(!check(bad), "{bad}");
            assert!(bad.parse::<DatabaseUrl>().unwrap().require_tls(true, |_| false).is_ok());
        }
        // What the URL leaves open comes from the environment.
        for (url, variable, fine) in [
            ("postgres:///d", "PGHOST", false),
            ("postgres:///d", "PGSERVICE", false),
            ("postgres:///d", "PGHOSTADDR", false),
            ("postgres://localhost/d", "PGHOSTADDR", false),
            ("postgres://localhost/d", "PGHOST", true),
            ("postgres:///d?host=/run/postgresql", "PGHOST", true),
            ("postgres://localhost/d?sslmode=verify-full", "PGHOSTADDR", true),
            ("sqlite://a.db", "PGHOST", true),
        ] {
            assert_eq!(with(url, variable), fine, "{url} {variable}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let url: DatabaseUrl = "postgres://user:hunter2@db.example/d?password=hunter2".parse().unwrap();
        assert_eq!(format!("{url:?}"), "postgres://db.example/d");
        for hidden in [
            "postgres://localhost:1/d?user=alice@tenant&password=hunter2",
            "postgres://localhost?user=alice@tenant&password=hunter2",
            "postgres://alice@tenant:hunter2@db.example/d?options=a@hunter2",
            "postgres://alice:hunter2?x@db.example/d",
            "postgres://alice:x/hunter2@db.example/d",
        ] {
            let url: DatabaseUrl = hidden.parse().unwrap();
            assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
        }
    }
}
