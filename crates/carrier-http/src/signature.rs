//! HMAC-SHA256 signatures of events over the raw body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use simdepot_domain::carrier::EventRefused;
use simdepot_domain::secret::Secret;

const SCHEME: &str = "sha256=";

/// Checks the signature of `body`, in a time that does not depend on where the first difference is.
///
/// # Errors
/// [`EventRefused::Signature`] when it is another's.
pub fn check(secret: &Secret, signature: &[u8; 32], body: &[u8]) -> Result<(), EventRefused> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let mac = mac.map_err(|_| EventRefused::NotConfigured)?;
    mac.chain_update(body).verify_slice(signature).map_err(|_| EventRefused::Signature)
}

/// Reads `sha256=<hex>`.
pub fn with_scheme(text: &str) -> Option<[u8; 32]> {
    let (scheme, digits) = text.trim().split_at_checked(SCHEME.len())?;
    bare(digits).filter(|_| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Reads `<hex>`.
pub fn bare(digits: &str) -> Option<[u8; 32]> {
    let mut signature = [0; 32];
    hex::decode_to_slice(digits, &mut signature).ok()?;
    Some(signature)
}
