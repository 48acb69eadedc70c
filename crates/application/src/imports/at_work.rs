//! The imports of this process: few at a time, because each takes a connection of its own and memory for its chunks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use simdepot_domain::id::ImportId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::AppError;

/// Imports that a process carries out at a time.
const MOST: usize = 2;

/// The imports that this process has taken on, those that wait for their turn among them.
#[derive(Debug)]
pub struct AtWork {
    turns: Arc<Semaphore>,
    ids: Mutex<BTreeSet<ImportId>>,
}

impl Default for AtWork {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(MOST)), ids: Mutex::default() }
    }
}

impl AtWork {
    /// Which they are.
    pub(crate) fn ids(&self) -> Vec<ImportId> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Takes an import on, until what is returned is dropped.
    pub(super) fn take_on(self: &Arc<Self>, id: ImportId) -> TakenOn {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        TakenOn { id, of: Arc::clone(self) }
    }
}

/// An import that was taken on.
pub(super) struct TakenOn {
    id: ImportId,
    of: Arc<AtWork>,
}

impl TakenOn {
    /// Waits until it is one of the few that are carried out. The turn lasts until it is dropped.
    ///
    /// # Errors
    /// Never: the turns are not closed.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, AppError> {
        let turn = Arc::clone(&self.of.turns).acquire_owned().await;
        turn.map_err(|closed| AppError::Internal(closed.to_string()))
    }
}

impl Drop for TakenOn {
    fn drop(&mut self) {
        self.of.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
