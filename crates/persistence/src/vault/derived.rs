//! Keys that are derived from the index key: as old as the database, and without a row of their own.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::VaultError;
use super::cipher::{open, seal};

/// Tells the chain key from everything else that is made of the index key.
const CHAIN_LABEL: &[u8] = b"simdepot feed chain 1";

/// The key of the feed's hash chain.
#[derive(Clone)]
pub struct ChainKey(Hmac<Sha256>);

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey")
    }
}

impl ChainKey {
    /// A key of its own, derived from the index key: it is wrapped with that one and as old as the database.
    pub(super) fn derive(index_key: &[u8; 32]) -> Result<Self, VaultError> {
        let mac = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).map_err(|_| VaultError::Sealed);
        let key = Zeroizing::new(mac(index_key)?.chain_update(CHAIN_LABEL).finalize().into_bytes().to_vec());
        Ok(Self(mac(&key)?))
    }

    /// The hash of entry `seq`: over the hash before it, the number and the event.
    pub(crate) fn link(&self, before: &[u8], seq: i64, event: &[u8]) -> Vec<u8> {
        let mac = self.0.clone().chain_update(before).chain_update(seq.to_be_bytes()).chain_update(event);
        mac.finalize().into_bytes().to_vec()
    }
}

/// Seals the bodies of carrier events.
pub struct JournalKey {
    bytes: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for JournalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JournalKey")
    }
}

impl JournalKey {
    /// Derived, so that events need no key row of their own; it changes with the database alone. The zero byte keeps
    /// its label apart from every blind index.
    pub(super) fn derive(index_key: &[u8; 32]) -> Result<Self, VaultError> {
        let mac = Hmac::<Sha256>::new_from_slice(index_key).map_err(|_| VaultError::Sealed)?;
        let derived = mac.chain_update(b"\0simdepot carrier event journal").finalize().into_bytes();
        let bytes: [u8; 32] = derived.as_slice().try_into().map_err(|_| VaultError::Sealed)?;
        Ok(Self { bytes: Zeroizing::new(bytes) })
    }

    fn context(account: &str, event_id: &str) -> String {
        format!("carrier_events:body:{account}:{event_id}")
    }

    /// Seals the body of an event of an account.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn seal(&self, account: &str, event_id: &str, body: &[u8]) -> Result<Vec<u8>, VaultError> {
        seal(&self.bytes, &Self::context(account, event_id), body)
    }

    /// Opens the sealed body of an event of an account.
    ///
    /// # Errors
    /// [`VaultError::Sealed`] when it was changed or belongs elsewhere.
    pub fn open(
        &self,
        account: &str,
        event_id: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        Ok(Zeroizing::new(open(&self.bytes, &Self::context(account, event_id), sealed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_hangs_on_all_that_goes_into_it() {
        let chain = ChainKey::derive(&[1; 32]).unwrap();
        let link = chain.link(&[0; 32], 1, b"event");
        assert_eq!((link.len(), &link), (32, &chain.link(&[0; 32], 1, b"event")));
        assert_ne!(link, chain.link(&[1; 32], 1, b"event"));
        assert_ne!(link, chain.link(&[0; 32], 2, b"event"));
        assert_ne!(link, chain.link(&[0; 32], 1, b"Event"));
        assert_ne!(link, ChainKey::derive(&[2; 32]).unwrap().link(&[0; 32], 1, b"event"));
        assert_eq!(format!("{chain:?}"), "ChainKey");
    }

    #[test]
    fn a_carrier_event_opens_only_as_itself() {
        let journal = |fill| JournalKey::derive(&[fill; 32]).unwrap();
        let sealed = journal(1).seal("spc", "evt-1", b"{}").unwrap();
        assert_eq!(journal(1).open("spc", "evt-1", &sealed).unwrap().as_slice(), b"{}");
        assert!(journal(1).open("spc", "evt-2", &sealed).is_err());
        assert!(journal(1).open("other", "evt-1", &sealed).is_err());
        assert!(journal(2).open("spc", "evt-1", &sealed).is_err());
    }
}
