//! Looking keys up: requests that come while a look-up is under way share the next one.
//!
//! Nothing is remembered: each answer is from a read that began after the request came, so that a revoked key opens
//! nothing from the moment on in which its revocation is committed, by whichever process.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use simdepot_persistence::StoreError;
use simdepot_persistence::api_keys::{self, ApiKey};

use crate::depot::Depot;
use crate::error::AppError;
use crate::gathering::Item;

/// A key that a request came with.
pub struct KeyLookup {
    pub(crate) depot: Depot,
    /// SHA-256 of the key.
    pub(crate) hash: Vec<u8>,
}

impl Item for KeyLookup {
    type Outcome = Result<Option<ApiKey>, AppError>;

    const NAME: &'static str = "key look-ups";

    fn run(batch: Vec<Self>) -> BoxFuture<'static, Vec<Self::Outcome>> {
        look_up(batch).boxed()
    }
}

async fn look_up(batch: Vec<KeyLookup>) -> Vec<Result<Option<ApiKey>, AppError>> {
    let Some(store) = batch.first().map(|first| first.depot.store.clone()) else { return Vec::new() };
    let hashes: Vec<Vec<u8>> = batch.into_iter().map(|lookup| lookup.hash).collect();
    let different: HashSet<Vec<u8>> = hashes.iter().cloned().collect();
    let read = store
        .read(move |conn| {
            let hashes: Vec<&[u8]> = different.iter().map(Vec::as_slice).collect();
            Ok::<_, AppError>(api_keys::with_hashes(conn, &hashes)?)
        })
        .await;
    let found: Result<HashMap<Vec<u8>, _>, AppError> = read.map(|found| found.into_iter().collect());
    let unreadable = |error: &dyn Display| {
        AppError::Store(StoreError::Aborted(format!("a key could not be looked up: {error}")))
    };
    let of_key = |hash: &Vec<u8>| match &found {
        Ok(found) => match found.get(hash) {
            Some(Ok(key)) => Ok(Some(ApiKey::clone(key))),
            // It is nobody else's.
            Some(Err(error)) => Err(unreadable(error)),
            None => Ok(None),
        },
        Err(error) => Err(error.outage().unwrap_or_else(|| unreadable(error))),
    };
    hashes.iter().map(of_key).collect()
}
