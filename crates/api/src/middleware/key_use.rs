//! Remembers which keys were used, so that a request does not cost a write. A job writes the notes down now and then;
//! what a crash loses is a note, not a state.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use simdepot_application::{AppError, Depot};
use simdepot_domain::id::ApiKeyId;
use simdepot_persistence::api_keys;

/// Notes of this process.
#[derive(Debug, Default)]
pub(crate) struct KeyUse(Mutex<HashMap<ApiKeyId, DateTime<Utc>>>);

impl KeyUse {
    pub(crate) fn note(&self, key: ApiKeyId, at: DateTime<Utc>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, at);
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take(&self) -> Vec<(ApiKeyId, DateTime<Utc>)> {
        let mut used: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        // In one order on all processes, so that they wait for each other's rows and never in a ring.
        used.sort_unstable();
        used
    }

    /// Writes the notes down. Those that cannot be written are lost.
    pub(crate) async fn flush(&self, depot: &Depot) -> Result<(), AppError> {
        let used = self.take();
        if used.is_empty() {
            return Ok(());
        }
        depot.store.write(move |conn| Ok(api_keys::touch(conn, &used)?)).await
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn keeps_the_last_use_of_each_key() {
        let notes = KeyUse::default();
        let (a, b) = (ApiKeyId(Uuid::from_u128(1)), ApiKeyId(Uuid::from_u128(2)));
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        notes.note(b, at(1));
        notes.note(a, at(2));
        notes.note(b, at(3));
        assert_eq!(notes.take(), [(a, at(2)), (b, at(3))]);
        assert_eq!(notes.take(), []);
    }
}
