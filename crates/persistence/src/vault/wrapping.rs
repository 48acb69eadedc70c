//! The operator's keys, with which the keys of the database are wrapped.

use std::fmt;

use base64::Engine as _;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::VaultError;
use super::cipher::{open, seal};

/// An operator's key.
pub struct WrappingKey {
    bytes: Zeroizing<[u8; 32]>,
    id: String,
}

impl WrappingKey {
    /// From base64 of 32 bytes.
    ///
    /// # Errors
    /// [`VaultError::KeyFormat`].
    pub fn from_base64(text: &str) -> Result<Self, VaultError> {
        let decoded = Zeroizing::new(
            base64::engine::general_purpose::STANDARD
                .decode(text.trim())
                .map_err(|_| VaultError::KeyFormat)?,
        );
        let bytes: [u8; 32] = decoded.as_slice().try_into().map_err(|_| VaultError::KeyFormat)?;
        Ok(Self::from_bytes(bytes))
    }

    /// From raw bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"simdepot wrapping key id").chain_update(bytes).finalize();
        let id = hex::encode(digest.get(..8).unwrap_or_default());
        Self { bytes: Zeroizing::new(bytes), id }
    }

    /// Names the key without giving it away.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappingKey({})", self.id)
    }
}

/// The operator's keys: what is wrapped from now on, and what older rows may still be wrapped with.
#[derive(Debug)]
pub struct WrappingKeys {
    /// Wraps new keys.
    pub current: WrappingKey,
    /// Still opens older ones.
    pub previous: Option<WrappingKey>,
}

impl WrappingKeys {
    pub(super) fn open(
        &self,
        key_id: &str,
        row: Uuid,
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let key =
            std::iter::once(&self.current).chain(&self.previous).find(|key| key.id == key_id).ok_or_else(
                || VaultError::WrongKey { needed: key_id.to_owned(), given: self.current.id.clone() },
            )?;
        let opened = Zeroizing::new(open(&key.bytes, &wrap_context(row), wrapped)?);
        let bytes: [u8; 32] = opened.as_slice().try_into().map_err(|_| VaultError::Sealed)?;
        Ok(Zeroizing::new(bytes))
    }

    /// Wraps the key of a row with the current key.
    pub(super) fn wrap(&self, row: Uuid, key: &[u8; 32]) -> Result<Vec<u8>, VaultError> {
        seal(&self.current.bytes, &wrap_context(row), key)
    }
}

fn wrap_context(row: Uuid) -> String {
    format!("wrapped_keys:{row}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_and_never_printed() {
        assert!(WrappingKey::from_base64("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=").is_ok());
        for bad in ["", "QUJD", "not base64!", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU2"] {
            assert_eq!(WrappingKey::from_base64(bad).unwrap_err(), VaultError::KeyFormat, "{bad}");
        }
        let key = WrappingKey::from_bytes([7; 32]);
        assert_eq!(format!("{key:?}"), format!("WrappingKey({})", key.id()));
    }
}
