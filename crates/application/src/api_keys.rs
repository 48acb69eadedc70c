//! API keys: shown once, kept as a hash.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use simdepot_domain::channel::{ChannelName, Scope};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::ApiKeyId;
use simdepot_persistence::api_keys::{self, ApiKey};
use simdepot_persistence::events;
use simdepot_persistence::vault::Vault;
use strum::VariantArray;

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};
use crate::key_lookup::KeyLookup;

/// Shortest bootstrap key.
pub const BOOTSTRAP_MIN: usize = 32;

/// What a new key is for.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// A name for people.
    pub name: String,
    /// Its channel.
    pub channel: ChannelName,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it is for a sandbox: its prefix says so.
    pub test: bool,
}

/// A key as it was made. `secret` is there only in the answer to the request that made it.
#[derive(Debug)]
pub struct CreatedApiKey {
    /// What is kept of it.
    pub key: ApiKey,
    /// The key itself.
    pub secret: Option<SecretString>,
}

/// What is kept of a key.
pub fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// The first characters tell keys apart and give nothing away of their 256 bits.
fn hint(secret: &str) -> String {
    secret.chars().take(12).collect()
}

/// `sd_live_` or `sd_test_`, 256 random bits in hex, and 8 hex digits of checksum that catch a typing error.
fn generate(test: bool) -> Result<SecretString, AppError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| AppError::Internal("no randomness from the operating system".to_owned()))?;
    let body = format!("{}{}", if test { TEST } else { LIVE }, hex::encode(bytes));
    let checksum = checksum(&body);
    Ok(format!("{body}{checksum}").into())
}

const LIVE: &str = "sd_live_";
const TEST: &str = "sd_test_";
/// Length of a key that was made here, behind its prefix: 256 bits and the checksum, in hex.
const DIGITS: usize = 64 + 8;

fn checksum(body: &str) -> String {
    hex::encode(Sha256::digest(body.as_bytes()).get(..4).unwrap_or_default())
}

/// Whether a text can be a key at all, so that the store is not asked about typing errors. Keys that were made here
/// have a checksum; a bootstrap key is whatever the operator chose.
pub fn may_be_key(text: &str) -> bool {
    if text.len() < BOOTSTRAP_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let made_here = [LIVE, TEST].iter().find_map(|prefix| text.strip_prefix(prefix)).is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    !made_here || text.split_at_checked(text.len() - 8).is_some_and(|(body, sum)| checksum(body) == sum)
}

/// What the ledger keeps of a key, so that no other can be put in its place.
pub(crate) fn fingerprint(vault: &Vault, key: &ApiKey) -> String {
    vault.fingerprint("api key", &hex::encode(&key.hash))
}

/// Makes a key. The second value tells whether an earlier request with the idempotency key had made it.
///
/// # Errors
/// [`AppError::Invalid`] when it has no scope or expires in the past.
pub async fn create(
    depot: &Depot,
    caller: &Caller,
    new: NewApiKey,
    idempotency: Option<&IdempotencyKey>,
) -> Result<(CreatedApiKey, bool), AppError> {
    if new.scopes.is_empty() {
        return Err(AppError::invalid("/scopes", "length", "must name at least one scope"));
    }
    if new.expires_at.is_some_and(|expiry| expiry <= depot.now()) {
        return Err(AppError::invalid("/expires_at", "range", "must be in the future"));
    }
    let made = idempotency::once(depot, caller, idempotency, || async {
        let secret = generate(new.test)?;
        let key = stored(depot, &new, secret.expose_secret());
        insert(depot, caller, key.clone(), idempotency).await?;
        Ok(CreatedApiKey { key, secret: Some(secret) })
    });
    match made.await? {
        Once::Made(created) => Ok((created, false)),
        Once::Replayed(id) => {
            let id: ApiKeyId = id.parse().map_err(|_| unreadable_record())?;
            Ok((CreatedApiKey { key: get(depot, id).await?, secret: None }, true))
        }
    }
}

fn stored(depot: &Depot, new: &NewApiKey, secret: &str) -> ApiKey {
    let mut scopes = new.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    ApiKey {
        id: ApiKeyId::generate(depot.ids.as_ref()),
        name: new.name.clone(),
        channel: new.channel.clone(),
        scopes,
        hash: hash(secret),
        hint: hint(secret),
        version: 1,
        created_at: depot.now(),
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
    }
}

async fn insert(
    depot: &Depot,
    caller: &Caller,
    key: ApiKey,
    idempotency: Option<&IdempotencyKey>,
) -> Result<bool, AppError> {
    let (work, caller, idempotency) = (depot.clone(), caller.clone(), idempotency.cloned());
    depot
        .store
        .write(move |conn| {
            idempotency::record(conn, &work, &caller, idempotency.as_ref(), 201, &key.id.to_string())?;
            let inserted = api_keys::insert(conn, &key)?;
            if inserted {
                let fact = Fact::ApiKeyCreated {
                    channel: key.channel.clone(),
                    scopes: key.scopes.clone(),
                    expires_at: key.expires_at,
                    fingerprint: fingerprint(work.store.vault(), &key),
                };
                events::append(conn, &[work.event(key.created_at, Subject::ApiKey(key.id), 1, fact)])?;
            }
            Ok(inserted)
        })
        .await
}

/// Makes the operator's bootstrap key exist, with every scope, in the channel `default`.
///
/// # Errors
/// [`AppError::Invalid`] when it is shorter than 32 visible characters, or a mistyped key of our own.
pub async fn ensure_bootstrap(depot: &Depot, secret: &SecretString) -> Result<(), AppError> {
    let text = secret.expose_secret();
    if text.len() < BOOTSTRAP_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "SIMDEPOT_BOOTSTRAP_KEY must be 32 or more visible ASCII characters";
        return Err(AppError::invalid("SIMDEPOT_BOOTSTRAP_KEY", "format", message));
    }
    if !may_be_key(text) {
        let message = "SIMDEPOT_BOOTSTRAP_KEY has the form of a key that was made by simdepot, but not its checksum: \
                       was it typed?";
        return Err(AppError::invalid("SIMDEPOT_BOOTSTRAP_KEY", "format", message));
    }
    let caller = command_line()?;
    let new = NewApiKey {
        name: "bootstrap".to_owned(),
        channel: caller.channel.clone(),
        scopes: Scope::VARIANTS.to_vec(),
        expires_at: None,
        test: false,
    };
    let key = stored(depot, &new, text);
    insert(depot, &caller, key, None).await?;
    Ok(())
}

/// The caller behind the command line: everything, in the channel `default`.
///
/// # Errors
/// Never in practice; the name is checked all the same.
pub fn command_line() -> Result<Caller, AppError> {
    let channel = ChannelName::parse("default").map_err(|error| AppError::Internal(error.to_string()))?;
    Ok(Caller { key: None, channel, scopes: Scope::VARIANTS.to_vec() })
}

/// Who a key belongs to; `None` when it does not work.
///
/// # Errors
/// When the store cannot be asked.
pub async fn authenticate(depot: &Depot, secret: &str) -> Result<Option<Caller>, AppError> {
    let lookup = KeyLookup { depot: depot.clone(), hash: hash(secret) };
    let found = depot.keys.submit(lookup).await??;
    Ok(found.filter(|key| key.is_live(depot.now())).map(|key| Caller {
        key: Some(key.id),
        channel: key.channel,
        scopes: key.scopes,
    }))
}

/// A key by id.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn get(depot: &Depot, id: ApiKeyId) -> Result<ApiKey, AppError> {
    depot
        .store
        .read(move |conn| Ok(api_keys::find(conn, id)?))
        .await
        .and_then(|found: Option<ApiKey>| found.ok_or(AppError::NotFound { what: "API key" }))
}

/// A page of keys, newest first.
///
/// # Errors
/// When they cannot be read.
pub async fn list(depot: &Depot, before: Option<ApiKeyId>, limit: i64) -> Result<Vec<ApiKey>, AppError> {
    depot.store.read(move |conn| Ok(api_keys::list(conn, before, limit)?)).await
}

/// Revokes a key; revoking it again changes nothing.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn revoke(depot: &Depot, id: ApiKeyId) -> Result<(), AppError> {
    let work = depot.clone();
    depot
        .store
        .write(move |conn| {
            let key = api_keys::find(conn, id)?.ok_or(AppError::NotFound { what: "API key" })?;
            if key.revoked_at.is_some() {
                return Ok(());
            }
            let now = work.now();
            let version = api_keys::revoke(conn, &key, now)?;
            events::append(conn, &[work.event(now, Subject::ApiKey(id), version, Fact::ApiKeyRevoked {})])?;
            Ok(())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_random_and_tell_their_kind() {
        let (live, test) = (generate(false).unwrap(), generate(true).unwrap());
        assert!(live.expose_secret().starts_with("sd_live_") && test.expose_secret().starts_with("sd_test_"));
        assert_eq!(live.expose_secret().len(), "sd_live_".len() + 64 + 8);
        assert_ne!(live.expose_secret(), generate(false).unwrap().expose_secret());
        assert!(!format!("{live:?}").contains(live.expose_secret()));
    }

    #[test]
    fn what_cannot_be_a_key_is_told_by_its_looks() {
        for made in [generate(false).unwrap(), generate(true).unwrap()] {
            let made = made.expose_secret();
            assert!(may_be_key(made));
            let other = if made.ends_with('0') { "1" } else { "0" };
            assert!(!may_be_key(&format!("{}{other}", &made[..made.len() - 1])), "a typing error");
            assert!(!may_be_key(&made.to_uppercase().replace("SD_LIVE_", LIVE).replace("SD_TEST_", TEST)));
        }
        for chosen in [
            "x".repeat(32),
            format!("{TEST}suite_0123456789abcdef_more"),
            format!("{LIVE}{}", "0".repeat(71)),
        ] {
            assert!(may_be_key(&chosen), "an operator may choose {chosen}");
        }
        for bad in [
            String::new(),
            "x".repeat(31),
            format!("{LIVE}{}", "0".repeat(72)),
            " ".repeat(40),
            "ü".repeat(40),
        ] {
            assert!(!may_be_key(&bad), "{bad}");
        }
    }
}
