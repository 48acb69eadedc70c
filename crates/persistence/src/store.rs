//! Units of work.
//!
//! A closure given to [`Store::read`] or [`Store::write`] runs on a blocking thread with a pooled connection. The
//! permit is taken before the thread, so that waiting for a connection never occupies blocking threads. A client that
//! goes away drops the future, not the closure: it runs to its commit or rollback.

mod session;
mod work;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use simdepot_domain::clock::Clock;
use tokio::sync::Semaphore;

use self::work::Kind;
use crate::allocations::Heads;
use crate::connection::{AnyConnection, DatabaseUrl, Manager};
use crate::dialect;
use crate::error::{Result, StoreError};
use crate::vault::{ChainKey, Vault, VaultError, WrappingKeys};

pub use session::Session;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// A connection inside a unit of work.
pub struct Conn<'a> {
    pub(crate) db: &'a mut AnyConnection,
    clock: &'a dyn Clock,
    /// Where this process claims from.
    pub(crate) heads: &'a Heads,
    /// Absent only while the store is being opened: nothing is written to the ledger then.
    chain: Option<&'a ChainKey>,
}

impl std::fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("backend", &self.backend()).finish()
    }
}

impl Conn<'_> {
    /// Which database it is.
    pub fn backend(&self) -> Backend {
        match self.db {
            AnyConnection::Pg(_) => Backend::Postgres,
            AnyConnection::Sqlite(_) => Backend::Sqlite,
        }
    }

    /// The key of the feed's hashes.
    pub(crate) fn chain(&self) -> Result<ChainKey> {
        Ok(self.chain.cloned().ok_or(VaultError::Sealed)?)
    }

    /// The clock that leases and deadlines go by: PostgreSQL's own, because several machines share it. SQLite has one
    /// machine, so its clock is the process's, which the simulation can set.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub fn now(&mut self) -> Result<DateTime<Utc>> {
        match self.backend() {
            Backend::Postgres => dialect::database_now(self.db),
            Backend::Sqlite => Ok(self.clock.now()),
        }
    }
}

/// Stands before and after every unit of work. A simulation decides there who goes on, and who dies; a store that has
/// one runs its work in place instead of on a thread of its own, so that nothing but the turnstile decides the order.
#[async_trait::async_trait]
pub trait Turnstile: Send + Sync {
    /// Called before a unit of work, and again when it is committed or rolled back.
    async fn pass(&self);
}

struct Inner {
    turnstile: Option<Arc<dyn Turnstile>>,
    pool: r2d2::Pool<Manager>,
    permits: Semaphore,
    /// SQLite has one writer. Queueing for it here is fair; queueing in SQLite starves some for seconds.
    writer: Semaphore,
    backend: Backend,
    url: DatabaseUrl,
    clock: Arc<dyn Clock>,
    heads: Heads,
    vault: Vault,
    /// How many connections are to be tested before they are used again.
    suspects: AtomicU32,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.0.url).finish()
    }
}

/// How to open the store.
pub struct StoreOptions {
    /// Where it lies.
    pub url: DatabaseUrl,
    /// Most connections at a time.
    pub pool_size: u32,
    /// Whether pending migrations are applied (under a lock).
    pub migrate: bool,
    /// The operator's keys.
    pub keys: WrappingKeys,
    /// For simulations alone.
    pub turnstile: Option<Arc<dyn Turnstile>>,
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions")
            .field("url", &self.url)
            .field("pool_size", &self.pool_size)
            .field("migrate", &self.migrate)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// How long a unit of work waits for a connection before the answer is "busy".
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

impl Store {
    /// Opens the store, applies pending migrations if asked to, and checks the operator's key against the one that
    /// the database was made with.
    ///
    /// # Errors
    /// When the database cannot be reached or migrated, or the key is not the database's.
    pub fn open(options: StoreOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let StoreOptions { url, pool_size, migrate, keys, turnstile } = options;
        let backend = match url {
            DatabaseUrl::Postgres(_) => Backend::Postgres,
            DatabaseUrl::Sqlite(_) => Backend::Sqlite,
        };
        let manager = Manager { url: url.clone() };
        let mut first = manager.open().map_err(|error| StoreError::Unreachable(error.to_string()))?;
        if migrate {
            crate::migrate::run_pending(&mut first)?;
        } else {
            crate::migrate::require_current(&mut first)?;
        }
        crate::stock_counts::open(&mut first)?;
        let heads = Heads::default();
        let mut conn = Conn { db: &mut first, clock: clock.as_ref(), heads: &heads, chain: None };
        let vault = Vault::open(&mut conn, keys)?;
        let pool = r2d2::Pool::builder()
            .max_size(pool_size)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .connection_timeout(CONNECTION_WAIT)
            .error_handler(Box::new(LogErrors))
            .build_unchecked(manager);
        let permits = Semaphore::new(usize::try_from(pool_size).unwrap_or(1));
        Ok(Self(Arc::new(Inner {
            turnstile,
            pool,
            permits,
            writer: Semaphore::new(1),
            backend,
            url,
            clock,
            heads,
            vault,
            suspects: AtomicU32::new(0),
        })))
    }

    /// Which database it is.
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// Encryption at rest.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// Runs a unit of work that only reads, and whose reads all see the same moment. Keep it short: PostgreSQL cannot
    /// clear up behind it, SQLite cannot shorten its log.
    ///
    /// # Errors
    /// Those of the closure, and [`StoreError`] when no connection can be had.
    pub async fn snapshot<T, E>(
        &self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Kind::Snapshot, work).await
    }

    /// Runs a unit of work that only reads.
    ///
    /// # Errors
    /// Those of the closure, and [`StoreError`] when no connection can be had.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Kind::Read, work).await
    }

    /// Runs a unit of work in one transaction: committed when the closure returns `Ok`, rolled back otherwise.
    ///
    /// # Errors
    /// Those of the closure, and [`StoreError`] when no connection can be had or the commit fails.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Kind::Write, work).await
    }

    /// As [`Store::write`], for the statements of [`intake`](crate::intake) and of claims: planned once, and going by
    /// the indexes. Many wait for its end, so it waits for no other transaction longer than a moment.
    ///
    /// # Errors
    /// Those of the closure, [`StoreError::Held`] when another transaction stands in the way, and [`StoreError`] when no
    /// connection can be had or the commit fails.
    pub async fn write_batch<T, E>(
        &self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Kind::Batch, work).await
    }

    /// As [`Store::write_batch`], for one that others stood in the way of: it waits for them.
    ///
    /// # Errors
    /// Those of [`Store::write_batch`].
    pub async fn write_alone<T, E>(
        &self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Kind::Alone, work).await
    }

    /// As [`Store::write_alone`], and rolled back in the end: what would be.
    ///
    /// # Errors
    /// Those of the closure, and [`StoreError`] when no connection can be had.
    pub async fn rehearse<T, E>(
        &self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Kind::Rehearsal, work).await
    }

    /// The clock that leases and deadlines go by; see [`Conn::now`].
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        self.read(|conn| {
            let now = conn.now()?;
            Ok(now)
        })
        .await
    }

    /// Whether the database answers and has every migration of this binary.
    ///
    /// # Errors
    /// [`StoreError`] says what is missing.
    pub async fn check_ready(&self) -> Result<()> {
        self.read(|conn| crate::migrate::require_current(conn.db)).await
    }
}

#[derive(Debug)]
struct LogErrors;

impl r2d2::HandleError<diesel::r2d2::Error> for LogErrors {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        tracing::warn!(%error, "database connection");
    }
}
