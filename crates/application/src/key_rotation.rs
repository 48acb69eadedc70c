//! Rotating the operator's encryption key, beside running servers.
//!
//! A server that is given both keys opens what either wraps, so that every row may be in either form meanwhile. The
//! data keys stay: neither codes nor blind indexes nor the feed's hashes are touched.

use simdepot_persistence::StoreError;
use simdepot_persistence::vault::{VaultError, Wrapped};

use crate::depot::Depot;
use crate::error::AppError;

/// Keys wrapped again in one transaction.
const BATCH: i64 = 200;

/// What a rotation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Keys that it wrapped again.
    pub rewrapped: u64,
    /// Keys that the current key wraps now: all.
    pub total: u64,
}

/// Wraps every key with the current key. `progress` is told how many of how many are. It may be stopped and started
/// again at any time.
///
/// # Errors
/// [`VaultError::KeyMissing`], before anything is changed, when a key is wrapped with one that
/// was not given.
pub async fn rotate(
    depot: &Depot,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Rotation, AppError> {
    let before = count(depot).await?;
    let total = before.current + before.previous;
    let mut rotation = Rotation { rewrapped: 0, total };
    progress(before.current, total);
    loop {
        let store = depot.store.clone();
        let work = move |conn: &mut simdepot_persistence::Conn<'_>| Ok(store.vault().rewrap(conn, BATCH)?);
        // A second rotation may have taken the same rows.
        let wrapped = depot.write_again(work).await?;
        if wrapped == 0 {
            break;
        }
        rotation.rewrapped += wrapped;
        // A server that knows the old key alone may have added some.
        progress(before.current + rotation.rewrapped, total.max(before.current + rotation.rewrapped));
    }
    rotation.total = count(depot).await?.current;
    tracing::info!(rewrapped = rotation.rewrapped, total = rotation.total, "rotated the encryption key");
    Ok(rotation)
}

/// What the keys of the database are wrapped with now.
///
/// # Errors
/// [`VaultError::KeyMissing`] when one is wrapped with a key that this process was not given.
pub async fn count(depot: &Depot) -> Result<Wrapped, AppError> {
    let store = depot.store.clone();
    depot.store.read(move |conn| Ok(store.vault().wrapped(conn)?)).await
}

/// Measures what the keys are wrapped with. A process may lack one that others have begun to use: all that this key
/// wraps fails here, so it is said before an order finds it out.
///
/// # Errors
/// As [`count`].
pub async fn watch(depot: &Depot) -> Result<(), AppError> {
    let counted = count(depot).await;
    let (wrapped, missing) = match &counted {
        Ok(wrapped) => (Some(wrapped.clone()), 0),
        Err(AppError::Store(StoreError::Vault(VaultError::KeyMissing { keys, .. }))) => (None, *keys),
        Err(_) => return counted.map(drop),
    };
    let gauge = |with: &'static str, keys: u64| {
        let keys = f64::from(u32::try_from(keys).unwrap_or(u32::MAX));
        metrics::gauge!("simdepot_wrapped_keys", "with" => with).set(keys);
    };
    gauge("missing", missing);
    if let Some(wrapped) = wrapped {
        gauge("current", wrapped.current);
        gauge("previous", wrapped.previous);
    }
    counted.map(drop)
}
