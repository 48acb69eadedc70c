//! The sign that an import is at work. One that gives none for long is taken for dead: its process may be.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use simdepot_domain::id::ImportId;
use simdepot_domain::import::ImportCounts;
use simdepot_persistence::{StoreError, imports};

use crate::depot::Depot;
use crate::error::AppError;

/// Time between two signs.
const BEAT: Duration = Duration::from_secs(1);

/// What an import shows of itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    /// That its turn has not come yet.
    Waits,
    /// That it is at work, and how far.
    AtWork,
}

/// An import that this process carries out, with what it has found so far.
pub(super) struct Pulse {
    pub(super) depot: Depot,
    pub(super) id: ImportId,
    counts: Mutex<ImportCounts>,
}

impl Pulse {
    pub(super) fn new(depot: &Depot, id: ImportId) -> Self {
        Self { depot: depot.clone(), id, counts: Mutex::default() }
    }

    /// What was found so far.
    pub(super) fn counts(&self) -> ImportCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was found.
    pub(super) fn count(&self, change: impl FnOnce(&mut ImportCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Does something that takes long, with signs beside it.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::RowsAffected`] when the import was given up meanwhile.
    pub(super) async fn beside<T>(
        &self,
        sign: Sign,
        work: impl Future<Output = Result<T, AppError>>,
    ) -> Result<T, AppError> {
        tokio::select! {
            biased;
            outcome = work => outcome,
            given_up = self.beats(sign) => Err(given_up),
        }
    }

    /// As [`beside`](Self::beside), for work that ends the import itself and is not to be broken off: it may have
    /// committed when the next sign finds the import ended.
    ///
    /// # Errors
    /// Those of `work`.
    pub(super) async fn beside_the_end<T>(
        &self,
        work: impl Future<Output = Result<T, AppError>>,
    ) -> Result<T, AppError> {
        tokio::pin!(work);
        tokio::select! {
            biased;
            outcome = &mut work => outcome,
            _ = self.beats(Sign::AtWork) => work.await,
        }
    }

    /// Gives signs until the import is found to be given up. A database that cannot take one is no reason to end: another
    /// import may have SQLite's writer for minutes.
    async fn beats(&self, sign: Sign) -> AppError {
        loop {
            let (id, counts) = (self.id, self.counts());
            let told = self.depot.store.write(move |conn| {
                let now = conn.now()?;
                match sign {
                    Sign::Waits => imports::waits(conn, id, now),
                    Sign::AtWork => imports::progress(conn, id, &counts, now),
                }
            });
            match told.await {
                Ok(()) => {}
                Err(given_up @ StoreError::RowsAffected { .. }) => return given_up.into(),
                Err(error) => {
                    tracing::debug!(import = %id, %error, "an import could not show that it is at work");
                }
            }
            tokio::time::sleep(BEAT).await;
        }
    }
}
