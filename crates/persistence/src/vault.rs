//! Encryption at rest.
//!
//! Three kinds of keys: the operator's *wrapping key* (configuration) wraps *data keys* (one per batch) and the
//! *index key* (one per database). A data key seals activation codes, PINs and PUKs with AES-256-GCM, bound to the
//! row by its associated data; the index key makes blind indexes (HMAC-SHA-256), so that a code can be looked up and
//! kept unique without lying in the database. Rotating the wrapping key re-wraps and never re-indexes. The key of the
//! feed's hashes is derived from the index key, so that it too lies nowhere in clear.

mod cipher;
mod derived;
mod rewrap;
mod wrapping;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use diesel::prelude::*;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use simdepot_domain::secret::Secret;
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::{Result, ensure_affected};
use crate::schema::wrapped_keys;
use crate::sql_types::{At, Uid};
use crate::store::Conn;

use cipher::{open, random, seal};

pub use derived::{ChainKey, JournalKey};
pub use rewrap::Wrapped;
pub use wrapping::{WrappingKey, WrappingKeys};

/// Encryption or decryption failed. No variant carries data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VaultError {
    /// Not base64 of 32 bytes.
    #[error("an encryption key is 32 bytes in base64, for example from `openssl rand -base64 32`")]
    KeyFormat,
    /// The database was made with another key.
    #[error(
        "this database was made with encryption key {needed}, but SIMDEPOT_ENCRYPTION_KEY is {given}: give that key, \
         or give it as SIMDEPOT_ENCRYPTION_KEY_PREVIOUS to rotate"
    )]
    WrongKey {
        /// Id of the key that is needed.
        needed: String,
        /// Id of the key that was given.
        given: String,
    },
    /// Some keys of the database are wrapped with a key that was not given.
    #[error(
        "{keys} of the {total} keys of this database are wrapped with encryption key {needed}, which was not given. If \
         it is the one before SIMDEPOT_ENCRYPTION_KEY, a rotation was cut short: give it as \
         SIMDEPOT_ENCRYPTION_KEY_PREVIOUS and run `simdepot keys rotate-encryption` to its end"
    )]
    KeyMissing {
        /// Id of the key that is needed.
        needed: String,
        /// How many keys it wraps.
        keys: u64,
        /// How many keys there are.
        total: u64,
    },
    /// A sealed value does not open: it was changed, or moved from another row.
    #[error("a sealed value does not open under its key")]
    Sealed,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness,
}

/// Seals the secrets of one batch.
#[derive(Clone)]
pub struct DataKey {
    /// Its row.
    pub id: Uuid,
    bytes: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

/// Which secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretField {
    /// The activation code.
    ActivationCode,
    /// The PIN.
    Pin,
    /// The PUK.
    Puk,
    /// The secret of a webhook endpoint; it stays the same value when it becomes the previous one.
    WebhookSecret,
}

impl SecretField {
    /// Binds a sealed value to its place: moved to another row or column it does not open.
    fn context(self, row: &str) -> String {
        let column = match self {
            Self::ActivationCode => "profile_secrets:activation_code",
            Self::Pin => "profile_secrets:pin",
            Self::Puk => "profile_secrets:puk",
            Self::WebhookSecret => "webhook_endpoints:secret",
        };
        format!("{column}:{row}")
    }
}

impl DataKey {
    /// Seals a secret of `row`: the ICCID of a profile, the id of an endpoint.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn seal(
        &self,
        field: SecretField,
        row: &str,
        secret: &str,
    ) -> std::result::Result<Vec<u8>, VaultError> {
        seal(&self.bytes, &field.context(row), secret.as_bytes())
    }

    /// Opens a sealed secret of `row`.
    ///
    /// # Errors
    /// [`VaultError::Sealed`] when it was changed or belongs elsewhere.
    pub fn open(
        &self,
        field: SecretField,
        row: &str,
        sealed: &[u8],
    ) -> std::result::Result<Secret, VaultError> {
        let opened = open(&self.bytes, &field.context(row), sealed)?;
        Ok(Secret::new(String::from_utf8(opened).map_err(|_| VaultError::Sealed)?))
    }
}

/// The keys of an open store.
pub struct Vault {
    keys: WrappingKeys,
    index_key: Zeroizing<[u8; 32]>,
    chain_key: ChainKey,
    opened: Mutex<HashMap<Uuid, DataKey>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keys", &self.keys).finish_non_exhaustive()
    }
}

#[derive(Queryable)]
struct WrappedKey {
    id: Uid,
    _purpose: String,
    key_id: String,
    wrapped: Vec<u8>,
    _created_at: At,
}

impl Vault {
    /// Opens the index key, or makes it in a new database. Every other key must be wrapped with a key that was given:
    /// one that is not would be found out by the order that needs it.
    pub(crate) fn open(conn: &mut Conn<'_>, keys: WrappingKeys) -> Result<Self> {
        if find_index_key(conn)?.is_none() {
            // Two processes may start on a new database at once: the unique index lets one of them win.
            match insert_key(conn, &keys, "index") {
                Ok(_) | Err(crate::error::StoreError::Unique { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let row = find_index_key(conn)?.ok_or(VaultError::Sealed)?;
        let index_key = keys.open(&row.key_id, row.id.0, &row.wrapped)?;
        let chain_key = ChainKey::derive(&index_key)?;
        let vault = Self { keys, index_key, chain_key, opened: Mutex::default() };
        let wrapped = vault.wrapped(conn)?;
        if wrapped.previous > 0 {
            tracing::warn!(
                keys = wrapped.previous,
                total = wrapped.current + wrapped.previous,
                "keys are still wrapped with SIMDEPOT_ENCRYPTION_KEY_PREVIOUS: run `simdepot keys rotate-encryption`"
            );
        }
        Ok(vault)
    }

    /// The key of the feed's hash chain.
    pub fn chain_key(&self) -> &ChainKey {
        &self.chain_key
    }

    /// A new data key, stored in the caller's transaction.
    ///
    /// # Errors
    /// When it cannot be made or stored.
    pub fn new_data_key(&self, conn: &mut Conn<'_>) -> Result<DataKey> {
        insert_key(conn, &self.keys, "data")
    }

    /// A new data key that is nowhere stored yet: what it seals opens only once [`Vault::keep_data_key`] is committed.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn make_data_key(&self) -> Result<DataKey> {
        make_key()
    }

    /// Stores a data key in the caller's transaction.
    ///
    /// # Errors
    /// When it cannot be wrapped or stored.
    pub fn keep_data_key(&self, conn: &mut Conn<'_>, key: &DataKey) -> Result<()> {
        keep_key(conn, &self.keys, "data", key)
    }

    /// The data key of a row.
    ///
    /// # Errors
    /// When it is missing, or wrapped with a key that was not given.
    pub fn data_key(&self, conn: &mut Conn<'_>, id: Uuid) -> Result<DataKey> {
        if let Some(key) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(key.clone());
        }
        let row: WrappedKey = wrapped_keys::table.find(Uid(id)).first(conn.db)?;
        let key = DataKey { id, bytes: self.keys.open(&row.key_id, row.id.0, &row.wrapped)? };
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(id, key.clone());
        Ok(key)
    }

    /// Removes the data key of a row that was removed: what it sealed opens nowhere any more but in processes that had
    /// opened it, until they end.
    ///
    /// # Errors
    /// When the database refuses it, because something else is sealed with it; [`crate::StoreError::RowsAffected`]
    /// when there is no such data key.
    pub fn delete_data_key(&self, conn: &mut Conn<'_>, id: Uuid) -> Result<()> {
        let key = wrapped_keys::table.find(Uid(id)).filter(wrapped_keys::purpose.eq("data"));
        let touched = diesel::delete(key).execute(conn.db)?;
        // Should the transaction be rolled back, the key is opened again.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        ensure_affected("delete data key", 1, touched)
    }

    /// The key that seals what carriers tell us until it is applied.
    ///
    /// # Errors
    /// Never with a working HMAC.
    pub fn journal_key(&self) -> std::result::Result<JournalKey, VaultError> {
        JournalKey::derive(&self.index_key)
    }

    /// Keyed hash of `input`, in hex: the ledger keeps it of what must not be changed unseen but not be told either.
    /// The zero byte keeps it apart from every blind index, the label one use from another.
    pub fn fingerprint(&self, label: &str, input: &str) -> String {
        hex::encode(self.blind_index(&format!("\0simdepot fingerprint {label}\0{input}")))
    }

    /// Blind index of `input`.
    pub fn blind_index(&self, input: &str) -> Vec<u8> {
        // HMAC takes a key of any length, so this cannot fail; an empty index would be refused by the unique index.
        Hmac::<Sha256>::new_from_slice(self.index_key.as_slice())
            .map(|mac| mac.chain_update(input.as_bytes()).finalize().into_bytes().to_vec())
            .unwrap_or_default()
    }
}

fn find_index_key(conn: &mut Conn<'_>) -> Result<Option<WrappedKey>> {
    Ok(wrapped_keys::table.filter(wrapped_keys::purpose.eq("index")).first(conn.db).optional()?)
}

fn insert_key(conn: &mut Conn<'_>, keys: &WrappingKeys, purpose: &str) -> Result<DataKey> {
    let key = make_key()?;
    keep_key(conn, keys, purpose, &key)?;
    Ok(key)
}

fn make_key() -> Result<DataKey> {
    let bytes = Zeroizing::new(random::<32>()?);
    // The id is not secret and need not sort, so it comes from the same randomness as the key.
    Ok(DataKey { id: uuid::Builder::from_random_bytes(random()?).into_uuid(), bytes })
}

fn keep_key(conn: &mut Conn<'_>, keys: &WrappingKeys, purpose: &str, key: &DataKey) -> Result<()> {
    let wrapped = keys.wrap(key.id, &key.bytes)?;
    let now = conn.now()?;
    diesel::insert_into(wrapped_keys::table)
        .values((
            wrapped_keys::id.eq(Uid(key.id)),
            wrapped_keys::purpose.eq(purpose),
            wrapped_keys::key_id.eq(keys.current.id()),
            wrapped_keys::wrapped.eq(wrapped),
            wrapped_keys::created_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> DataKey {
        DataKey { id: Uuid::nil(), bytes: Zeroizing::new([fill; 32]) }
    }

    #[test]
    fn sealed_values_open_only_in_their_place() {
        let sealed =
            key(1).seal(SecretField::ActivationCode, "8988247000000000012", "1$smdp.example$ABC").unwrap();
        let opened = key(1).open(SecretField::ActivationCode, "8988247000000000012", &sealed).unwrap();
        assert_eq!(opened.expose(), "1$smdp.example$ABC");
        assert!(key(2).open(SecretField::ActivationCode, "8988247000000000012", &sealed).is_err());
        assert!(key(1).open(SecretField::Pin, "8988247000000000012", &sealed).is_err());
        assert!(key(1).open(SecretField::ActivationCode, "8988247000000000020", &sealed).is_err());
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(key(1).open(SecretField::ActivationCode, "8988247000000000012", &changed).is_err());
        assert!(key(1).open(SecretField::ActivationCode, "8988247000000000012", &[0; 5]).is_err());
    }

    #[test]
    fn the_same_value_seals_differently() {
        let seal = || key(1).seal(SecretField::Pin, "1", "1234").unwrap();
        assert_ne!(seal(), seal());
    }
}
