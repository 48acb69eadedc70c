//! A database of its own for each test.
//!
//! SQLite is a file in a temporary folder. PostgreSQL is a database on the server that `TEST_DATABASE_URL` names, or
//! on a throw-away cluster of this process; it is copied from a migrated template and dropped with the test.

mod cluster;
mod raw;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use simdepot_domain::clock::Clock;
use simdepot_persistence::store::StoreOptions;
use simdepot_persistence::vault::{WrappingKey, WrappingKeys};
use simdepot_persistence::{Backend, DatabaseUrl, Store};
use tempfile::TempDir;

use crate::clock::TestClock;

pub use raw::RawConnection;

/// Bytes of the wrapping key that test stores are opened with.
pub const KEY: [u8; 32] = [42; 32];
/// Connections of a test's store: more than the most concurrent test has tasks in a transaction.
const POOL_SIZE: u32 = 20;

/// The migrations' folder of a database.
pub fn migrations_of(backend: Backend) -> PathBuf {
    let tree = match backend {
        Backend::Postgres => "postgres",
        Backend::Sqlite => "sqlite",
    };
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).join(tree)
}

/// A database that lives as long as its test.
#[derive(Debug)]
pub struct TestDatabase {
    backend: Backend,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The folder goes with the value.
    Sqlite { folder: TempDir },
    /// Dropped with the value.
    Postgres { server: &'static cluster::Server, name: String },
}

impl TestDatabase {
    /// A migrated SQLite database.
    pub fn sqlite() -> Self {
        let db = Self::empty_sqlite();
        db.raw().migrate(db.backend);
        db
    }

    /// A SQLite database without tables.
    pub fn empty_sqlite() -> Self {
        let folder = tempfile::Builder::new().prefix("simdepot-test.").tempdir().expect("a temporary folder");
        Self { backend: Backend::Sqlite, place: Place::Sqlite { folder } }
    }

    /// A migrated PostgreSQL database; `None` when there is no server and none can be started, which is said loudly
    /// once.
    ///
    /// # Panics
    /// With `CI=true` when there is no server: leaving half of the suite out must not look like success.
    pub fn postgres() -> Option<Self> {
        let server = server()?;
        Some(Self::on(server, |name| server.copy_template(name)))
    }

    /// A PostgreSQL database without tables; see [`TestDatabase::postgres`].
    pub fn empty_postgres() -> Option<Self> {
        let server = server()?;
        Some(Self::on(server, |name| server.create_empty(name)))
    }

    fn on(server: &'static cluster::Server, create: impl FnOnce(&str)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("simdepot_test_{}_{number}", std::process::id());
        create(&name);
        Self { backend: Backend::Postgres, place: Place::Postgres { server, name } }
    }

    /// Which database it is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// `sqlite://PATH` or `postgres://…`.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Sqlite { folder } => format!("sqlite://{}", folder.path().join("test.db").display()),
            Place::Postgres { server, name } => server.url_of(name),
        }
    }

    /// Opens a store on it with the harness's wrapping key.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn store(&self) -> Store {
        self.store_with(Arc::new(TestClock::default()))
    }

    /// Opens a store on it that goes by `clock`.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn store_with(&self, clock: Arc<dyn Clock>) -> Store {
        Store::open(self.options(), clock).expect("the test database opens")
    }

    /// How [`TestDatabase::store`] opens it.
    pub fn options(&self) -> StoreOptions {
        let url: DatabaseUrl = self.url().parse().expect("a URL of the harness");
        let keys = WrappingKeys { current: WrappingKey::from_bytes(KEY), previous: None };
        StoreOptions { url, pool_size: POOL_SIZE, migrate: true, keys, turnstile: None }
    }

    /// A connection beside the store: to look where no repository function looks, and to tamper.
    ///
    /// # Panics
    /// When the database cannot be reached.
    pub fn raw(&self) -> RawConnection {
        RawConnection::open(self.backend, &self.url())
    }

    /// Everything that lies in the database, as it lies there: the bytes of SQLite's files, or a dump of PostgreSQL.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn bytes_at_rest(&self) -> Vec<u8> {
        match &self.place {
            Place::Sqlite { folder } => {
                let files = std::fs::read_dir(folder.path()).expect("the database's folder");
                files
                    .flat_map(|file| std::fs::read(file.expect("a file").path()).expect("a readable file"))
                    .collect()
            }
            Place::Postgres { .. } => self.raw().dump_rows(),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Place::Postgres { server, name } = &self.place {
            server.drop_database(name);
        }
    }
}

fn server() -> Option<&'static cluster::Server> {
    static SERVER: OnceLock<Result<cluster::Server, String>> = OnceLock::new();
    let found = SERVER.get_or_init(|| {
        let found = cluster::Server::find();
        if let Err(reason) = &found {
            // Written to the stream itself: the test runner captures what `eprintln!` says in a test that passes.
            let line = format!("\n!!! PostgreSQL TESTS LEFT OUT: {reason} !!!\n\n");
            std::io::stderr().write_all(line.as_bytes()).expect("standard error");
        }
        found
    });
    match found {
        Ok(server) => Some(server),
        Err(reason) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("with CI=true the PostgreSQL tests must run: {reason}")
        }
        Err(_) => None,
    }
}
