//! Work that takes long and keeps something on its connection meanwhile.

use std::time::Duration;

use diesel::connection::SimpleConnection;

use super::work::in_transaction;
use super::{Backend, CONNECTION_WAIT, Conn, Store};
use crate::connection::{AnyConnection, Manager};
use crate::dialect;
use crate::error::{Result, StoreError};

/// Longest statement of a session, which works on all rows of an import at once, and how long it waits for its turn: it has
/// done much work by then, and another import may be becoming stock, with all of its rows.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// SQLite's page caches in KiB: of the database, which gets keys in random order, and of the temporary tables.
const SQLITE_CACHES: (u32, u32) = (32 * 1024, 4 * 1024);

/// A connection of its own beside the pool's, with the temporary tables that were made on it. They go with it, whatever
/// becomes of the process.
pub struct Session {
    store: Store,
    /// How long it waits for SQLite's writer.
    patience: Duration,
    /// Absent while it is at work, and after work of it was aborted.
    db: Option<AnyConnection>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a session.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn session(&self) -> Result<Session> {
        let manager = Manager { url: self.0.url.clone() };
        let db = in_place_or_apart(self, move || open(&manager)).await?;
        Ok(Session { store: self.clone(), patience: PATIENCE, db: Some(db) })
    }
}

impl Session {
    /// The same session, which waits for its turn no longer than [`Store::write`] does.
    #[must_use]
    pub fn hurried(self) -> Self {
        Self { patience: CONNECTION_WAIT, ..self }
    }

    /// Runs statements that are each a transaction of their own.
    ///
    /// # Errors
    /// Those of the closure.
    pub async fn run<T, E>(
        &mut self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.with(work).await
    }

    /// Runs a unit of work in one transaction, as [`Store::write`] does. It waits longer for its turn.
    ///
    /// # Errors
    /// Those of the closure, and [`StoreError`] when it gets no turn or the commit fails.
    pub async fn write<T, E>(
        &mut self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = self.store.clone();
        let turn = if store.0.backend == Backend::Sqlite {
            let turn = tokio::time::timeout(self.patience, store.0.writer.acquire()).await;
            // It is given back by the work, not by this future, which may be dropped before the work is done.
            turn.map_err(|_| StoreError::Busy)?.map_err(|_| StoreError::Busy)?.forget();
            Some(Turn(store))
        } else {
            None
        };
        let patience = self.patience;
        self.with(move |conn| {
            wait_for_other_processes(conn.db, patience)?;
            let outcome = in_transaction(conn, dialect::begin_write, dialect::commit, work);
            drop(turn);
            outcome
        })
        .await
    }

    async fn with<T, E>(
        &mut self,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let aborted = || StoreError::Aborted("earlier work on this connection was aborted".to_owned());
        let mut db = self.db.take().ok_or_else(aborted)?;
        let (store, span) = (self.store.clone(), tracing::Span::current());
        let done = in_place_or_apart(&self.store, move || {
            let inner = &store.0;
            let chain = Some(inner.vault.chain_key());
            let (clock, heads) = (inner.clock.as_ref(), &inner.heads);
            let mut conn = Conn { db: &mut db, clock, heads, chain };
            let outcome = span.in_scope(|| work(&mut conn));
            Ok((db, outcome))
        });
        let (db, outcome) = done.await?;
        self.db = Some(db);
        outcome
    }
}

/// SQLite's writer, until it is dropped.
struct Turn(Store);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.writer.add_permits(1);
    }
}

fn open(manager: &Manager) -> Result<AnyConnection> {
    let mut db = manager.open().map_err(|error| StoreError::Unreachable(error.to_string()))?;
    match &mut db {
        AnyConnection::Pg(pg) => {
            pg.batch_execute(&format!("SET statement_timeout = {}", PATIENCE.as_millis()))?;
        }
        AnyConnection::Sqlite(sqlite) => {
            let (main, temporary) = SQLITE_CACHES;
            sqlite.batch_execute(&format!(
                "PRAGMA cache_size = -{main}; PRAGMA temp.cache_size = -{temporary}"
            ))?;
        }
    }
    Ok(db)
}

/// SQLite's writer may be another process.
fn wait_for_other_processes(db: &mut AnyConnection, patience: Duration) -> Result<()> {
    if let AnyConnection::Sqlite(sqlite) = db {
        sqlite.batch_execute(&format!("PRAGMA busy_timeout = {}", patience.as_millis()))?;
    }
    Ok(())
}

/// On a thread of its own; in place where a simulation decides the order.
async fn in_place_or_apart<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if let Some(turnstile) = &store.0.turnstile {
        turnstile.pass().await;
        let result = work();
        turnstile.pass().await;
        return result;
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Aborted(error.to_string())),
    }
}
