//! How a unit of work runs: where it waits, on which thread, in what transaction.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{Semaphore, TryAcquireError};

use super::{Backend, CONNECTION_WAIT, Conn, Store};
use crate::connection::{AnyConnection, Manager};
use crate::dialect;
use crate::error::{Result, StoreError};

/// What a unit of work needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each statement sees what is committed when it begins.
    Read,
    /// All statements see the same moment.
    Snapshot,
    /// One transaction that may write.
    Write,
    /// One whose statements are planned for any number of rows, and that waits for nobody.
    Batch,
    /// As a batch, and it waits for others.
    Alone,
    /// As one alone, and rolled back whatever it did.
    Rehearsal,
}

impl Kind {
    /// How metrics name it.
    fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Snapshot => "snapshot",
            Self::Write => "write",
            Self::Batch => "batch",
            Self::Alone => "alone",
            Self::Rehearsal => "rehearsal",
        }
    }

    /// Whether it needs SQLite's only writer.
    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Batch | Self::Alone | Self::Rehearsal)
    }
}

impl Store {
    pub(super) async fn run<T, E>(
        &self,
        kind: Kind,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if let Some(turnstile) = &self.0.turnstile {
            turnstile.pass().await;
            let result = self.with_connection(kind, work);
            turnstile.pass().await;
            return result;
        }
        let asked = Instant::now();
        let store = self.clone();
        let writer = if kind.writes() && self.0.backend == Backend::Sqlite {
            Some(acquire(&self.0.writer).await?)
        } else {
            None
        };
        let permit = acquire(&self.0.permits).await?;
        metrics::histogram!("simdepot_db_wait_seconds", "kind" => kind.label())
            .record(asked.elapsed().as_secs_f64());
        // The guards cannot move into the blocking task (they borrow), so they are given back by it instead: a
        // dropped future must not free a slot whose connection is still in use.
        if let Some(guard) = writer {
            guard.forget();
        }
        permit.forget();
        let span = tracing::Span::current();
        let task = tokio::task::spawn_blocking(move || {
            let slots = Slots { store: &store, writer: kind.writes() && store.0.backend == Backend::Sqlite };
            let started = Instant::now();
            let result = span.in_scope(|| store.with_connection(kind, work));
            metrics::histogram!("simdepot_db_seconds", "kind" => kind.label())
                .record(started.elapsed().as_secs_f64());
            drop(slots);
            result
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Aborted(error.to_string()).into()),
        }
    }

    fn with_connection<T, E: From<StoreError>>(
        &self,
        kind: Kind,
        work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut pooled = self.check_out()?;
        let mut conn = Conn {
            db: &mut pooled.db,
            clock: self.0.clock.as_ref(),
            heads: &self.0.heads,
            chain: Some(self.0.vault.chain_key()),
        };
        let outcome = match kind {
            Kind::Read => work(&mut conn),
            Kind::Snapshot => in_transaction(&mut conn, dialect::begin_snapshot, dialect::commit, work),
            Kind::Write => in_transaction(&mut conn, dialect::begin_write, dialect::commit, work),
            Kind::Batch => in_transaction(&mut conn, dialect::begin_batch, dialect::commit, work),
            Kind::Alone => in_transaction(&mut conn, dialect::begin_alone, dialect::commit, work),
            Kind::Rehearsal => in_transaction(&mut conn, dialect::begin_alone, dialect::rollback, work),
        };
        // Most errors are the caller's; one of a connection that died must not go back into the pool.
        if outcome.is_err() && !pooled.is_alive() {
            let others = self.0.pool.max_size();
            self.0.suspects.store(others, Ordering::Relaxed);
            tracing::warn!("a database connection died; the others are tested before they are used again");
        }
        outcome
    }

    /// A connection from the pool. After one died, the others are tested first: they usually died together.
    fn check_out(&self) -> Result<r2d2::PooledConnection<Manager>> {
        let mut attempts = self.0.pool.max_size();
        loop {
            let mut pooled = self.0.pool.get().map_err(|error| StoreError::Unreachable(error.to_string()))?;
            let suspect = |left: u32| left.checked_sub(1);
            let suspected =
                self.0.suspects.fetch_update(Ordering::Relaxed, Ordering::Relaxed, suspect).is_ok();
            if !suspected || pooled.is_alive() || attempts == 0 {
                return Ok(pooled);
            }
            attempts -= 1;
        }
    }
}

pub(super) fn in_transaction<T, E: From<StoreError>>(
    conn: &mut Conn<'_>,
    begin: impl FnOnce(&mut AnyConnection) -> Result<()>,
    end: impl FnOnce(&mut AnyConnection) -> Result<()>,
    work: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    begin(conn.db)?;
    match work(conn) {
        Ok(value) => {
            end(conn.db)?;
            Ok(value)
        }
        Err(error) => {
            // The error of the work is the one to report.
            if let Err(rollback) = dialect::rollback(conn.db) {
                tracing::warn!(error = %rollback, "rollback failed");
            }
            Err(error)
        }
    }
}

struct Slots<'a> {
    store: &'a Store,
    writer: bool,
}

impl Drop for Slots<'_> {
    fn drop(&mut self) {
        self.store.0.permits.add_permits(1);
        if self.writer {
            self.store.0.writer.add_permits(1);
        }
    }
}

async fn acquire(semaphore: &Semaphore) -> Result<tokio::sync::SemaphorePermit<'_>> {
    match semaphore.try_acquire() {
        Ok(permit) => return Ok(permit),
        Err(TryAcquireError::Closed) => return Err(StoreError::Busy),
        Err(TryAcquireError::NoPermits) => {}
    }
    match tokio::time::timeout(CONNECTION_WAIT, semaphore.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
    }
}
