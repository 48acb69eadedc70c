//! AES-256-GCM with a random nonce before the sealed bytes. What is sealed is bound to its place.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};

use super::VaultError;

/// Length of the random nonce before each sealed value.
const NONCE: usize = 12;

fn cipher(key: &[u8; 32]) -> Result<Aes256Gcm, VaultError> {
    Aes256Gcm::new_from_slice(key).map_err(|_| VaultError::Sealed)
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| VaultError::Randomness)?;
    Ok(bytes)
}

pub(super) fn seal(key: &[u8; 32], context: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce = random::<NONCE>()?;
    let payload = Payload { msg: plain, aad: context.as_bytes() };
    let sealed = cipher(key)?.encrypt(&Nonce::from(nonce), payload).map_err(|_| VaultError::Sealed)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

pub(super) fn open(key: &[u8; 32], context: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(VaultError::Sealed)?;
    let payload = Payload { msg: sealed, aad: context.as_bytes() };
    cipher(key)?.decrypt(&Nonce::from(*nonce), payload).map_err(|_| VaultError::Sealed)
}
