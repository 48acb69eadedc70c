//! `Idempotency-Key`: the same request again makes nothing new.

use std::fmt::Display;
use std::str::FromStr;

use simdepot_persistence::idempotency::{self, Record};
use simdepot_persistence::{Conn, StoreError};

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::orders::PlacedAs;

/// A key that came with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, 1 to 255 visible ASCII characters.
    pub key: String,
    /// Method and path.
    pub request: String,
    /// SHA-256 of the body.
    pub body_hash: Vec<u8>,
}

/// What was made by an earlier request with the key, if there was one.
///
/// # Errors
/// [`AppError::IdempotencyKeyReused`] when the earlier request was another one.
pub async fn lookup(
    depot: &Depot,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
) -> Result<Option<Record>, AppError> {
    let Some(key) = key.cloned() else {
        return Ok(None);
    };
    let (work, caller) = (depot.clone(), caller.clone());
    depot.store.read(move |conn| recorded(conn, &work, &caller, Some(&key))).await
}

/// As [`lookup`], in the caller's unit of work.
///
/// # Errors
/// Those of [`lookup`].
pub(crate) fn recorded(
    conn: &mut Conn<'_>,
    depot: &Depot,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
) -> Result<Option<Record>, AppError> {
    let Some(key) = key else {
        return Ok(None);
    };
    match idempotency::find(conn, &caller.channel, &key.key, depot.now())? {
        Some(record) if record.request == key.request && record.body_hash == key.body_hash => {
            Ok(Some(record))
        }
        Some(_) => Err(AppError::IdempotencyKeyReused),
        None => Ok(None),
    }
}

/// Makes room for a key whose time is over, in the caller's transaction.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn forget_expired(
    conn: &mut Conn<'_>,
    depot: &Depot,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
) -> Result<(), AppError> {
    let Some(key) = key else {
        return Ok(());
    };
    Ok(idempotency::forget_expired(conn, &caller.channel, &key.key, depot.now())?)
}

/// What is remembered of a request that made something.
pub(crate) fn record_of(key: &IdempotencyKey, caller: &Caller, status: u16, resource_id: &str) -> Record {
    Record {
        channel: caller.channel.clone(),
        key: key.key.clone(),
        request: key.request.clone(),
        body_hash: key.body_hash.clone(),
        status,
        resource_id: resource_id.to_owned(),
    }
}

/// Records what a request makes, in the transaction that makes it.
///
/// # Errors
/// [`AppError::IdempotencyInFlight`] when a parallel request with the key was faster: roll back and look it up.
pub fn record(
    conn: &mut Conn<'_>,
    depot: &Depot,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
    status: u16,
    resource_id: &str,
) -> Result<(), AppError> {
    let Some(key) = key else {
        return Ok(());
    };
    let record = record_of(key, caller, status, resource_id);
    if idempotency::insert(conn, &record, depot.now())? { Ok(()) } else { Err(AppError::IdempotencyInFlight) }
}

/// Runs `make` unless the key has made something already. A parallel request that was faster is looked up once more.
///
/// # Errors
/// Those of `make` and of [`lookup`].
pub async fn once<T, F>(
    depot: &Depot,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
    make: impl FnOnce() -> F,
) -> Result<Once<T>, AppError>
where
    F: Future<Output = Result<T, AppError>>,
{
    if let Some(record) = lookup(depot, caller, key).await? {
        return Ok(Once::Replayed(record.resource_id));
    }
    match make().await {
        Ok(made) => Ok(Once::Made(made)),
        Err(AppError::IdempotencyInFlight) => match lookup(depot, caller, key).await? {
            Some(record) => Ok(Once::Replayed(record.resource_id)),
            None => Err(AppError::IdempotencyInFlight),
        },
        Err(error) => Err(error),
    }
}

/// Places an order or a top-up once, by its key and by its reference. Of two parallel requests with both in common the
/// slower one finds the reference taken before it finds the key: that is a replay all the same.
///
/// # Errors
/// Those of `make` and of [`lookup`].
pub(crate) async fn place_once<I, F>(
    depot: &Depot,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
    make: impl FnOnce() -> F,
) -> Result<(I, PlacedAs), AppError>
where
    I: FromStr + Display,
    F: Future<Output = Result<(I, PlacedAs), AppError>>,
{
    let (id, placed_as) = match once(depot, caller, key, make).await? {
        Once::Made(made) => made,
        Once::Replayed(id) => return Ok((id.parse().map_err(|_| unreadable_record())?, PlacedAs::Replayed)),
    };
    let repeated = placed_as == PlacedAs::Repeated;
    if repeated
        && let Some(record) = lookup(depot, caller, key).await?
        && record.resource_id == id.to_string()
    {
        return Ok((id, PlacedAs::Replayed));
    }
    Ok((id, placed_as))
}

/// How a request with a key ended.
#[derive(Debug)]
pub enum Once<T> {
    /// It made this.
    Made(T),
    /// An earlier one made the thing of this id.
    Replayed(String),
}

/// A recorded id that is no id any more.
pub(crate) fn unreadable_record() -> AppError {
    AppError::Store(StoreError::Inconsistency {
        table: "idempotency_keys",
        column: "resource_id",
        row: String::new(),
    })
}
