//! Which keys have worked in this process. A key that has not pays from its address's bucket before the database is
//! asked about it, so that made-up keys cost the database no more than the rate; one that has does not, so that a
//! flood from an address that many share, a proxy's, does not shut those out who are known.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The hashes of keys that have worked; as many as there are keys at most.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys(Mutex<HashSet<Vec<u8>>>);

impl KnownKeys {
    pub(crate) fn has(&self, hash: &[u8]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(hash)
    }

    pub(crate) fn works(&self, hash: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash);
    }

    pub(crate) fn works_no_more(&self, hash: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(hash);
    }
}
