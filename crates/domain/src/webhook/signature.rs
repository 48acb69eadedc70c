//! Signatures of Standard Webhooks 1.0: HMAC-SHA256 over id, timestamp and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::secret::Secret;

const PREFIX: &str = "whsec_";
/// Bytes of a key, shortest and longest (Standard Webhooks 1.0, "Signature scheme").
const KEY: std::ops::RangeInclusive<usize> = 24..=64;

/// How long the secret before signs as well, after a new one was made.
pub const OVERLAP: TimeDelta = TimeDelta::hours(24);

/// A text that is no secret of this scheme. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a webhook secret is whsec_ and 24 to 64 bytes in base64")]
pub struct BadSecret;

/// What deliveries of one endpoint are signed with. It cannot be printed.
#[derive(Clone)]
pub struct WebhookSecret {
    text: Secret,
    key: Zeroizing<Vec<u8>>,
}

impl WebhookSecret {
    /// Of 32 random bytes.
    pub fn from_bytes(key: &[u8; 32]) -> Self {
        let text = Zeroizing::new(STANDARD.encode(key));
        Self { text: Secret::new(format!("{PREFIX}{}", *text)), key: Zeroizing::new(key.to_vec()) }
    }

    /// Of its text.
    ///
    /// # Errors
    /// [`BadSecret`].
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
        let key = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| BadSecret)?);
        if KEY.contains(&key.len()) { Ok(Self { text: Secret::new(text), key }) } else { Err(BadSecret) }
    }

    /// As it is handed to the endpoint's owner, once.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// The signature of a message, `v1,…`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // HMAC takes a key of any length, so this cannot fail; an empty signature would be refused by every receiver.
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).map(|mac| {
            mac.chain_update(format!("{id}.{timestamp}.")).chain_update(body).finalize().into_bytes()
        });
        format!("v1,{}", mac.map(|mac| STANDARD.encode(mac)).unwrap_or_default())
    }
}

/// The header `webhook-signature`: a signature per secret. A receiver accepts a message when one of them is right, so
/// that it may change its own copy at any time while two are in force.
pub fn signatures(secrets: &[WebhookSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let all: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn signs_as_the_reference_library_does() {
        // The values of the reference libraries' own tests.
        let secret = WebhookSecret::parse(PUBLISHED).unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_make_two_signatures() {
        let (new, old) = (WebhookSecret::from_bytes(&[7; 32]), WebhookSecret::parse(PUBLISHED).unwrap());
        let both = signatures(&[new.clone(), old.clone()], "evt_1", 1, b"{}");
        assert_eq!(both, format!("{} {}", new.sign("evt_1", 1, b"{}"), old.sign("evt_1", 1, b"{}")));
        assert_ne!(new.sign("evt_1", 1, b"{}"), new.sign("evt_1", 2, b"{}"));
        assert_ne!(new.sign("evt_1", 1, b"{}"), new.sign("evt_2", 1, b"{}"));
        assert_ne!(new.sign("evt_1", 1, b"{}"), new.sign("evt_1", 1, b"[]"));
    }

    #[test]
    fn secrets_have_a_form() {
        let made = WebhookSecret::from_bytes(&[7; 32]);
        assert_eq!(made.text().expose(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        let read = WebhookSecret::parse(made.text().expose()).unwrap();
        assert_eq!(read.sign("a", 1, b"b"), made.sign("a", 1, b"b"));
        for bad in ["", "whsec_", "whsec_QUJD", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64 at all"]
        {
            assert!(WebhookSecret::parse(bad).is_err(), "{bad}");
        }
    }
}
