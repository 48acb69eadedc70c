//! Where webhooks go: receivers that take what they are sent, and now and then do not.
//!
//! They know nothing of how simdepot signs: the signature is computed here once more, from the words of Standard
//! Webhooks 1.0.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use simdepot_domain::webhook::{Courier, Parcel, Reply};

use super::time::Time;
use super::weather::{PostTrouble, Weather};
use crate::history::{History, Micros, What};
use crate::rng::Rng;

const MILLISECOND: Micros = 1_000;
const SECOND: Micros = 1_000_000;
/// How wrong the time of a delivery may be: receivers refuse what is older or younger.
const TOLERANCE: i64 = 300;

struct Inside {
    rng: Rng,
    troubles: Vec<(u16, PostTrouble)>,
    /// Of a thousand troubles, how many begin a time in which nothing is reached.
    outages: u16,
    down_until: Micros,
    /// Keys by address.
    keys: BTreeMap<String, Vec<u8>>,
}

/// The way to the receivers.
pub(super) struct Post {
    time: Arc<Time>,
    history: Arc<Mutex<History>>,
    inside: Mutex<Inside>,
}

impl Post {
    pub(super) fn new(time: Arc<Time>, history: Arc<Mutex<History>>, weather: &Weather, rng: Rng) -> Self {
        let (troubles, outages) = (weather.posts.clone(), weather.post_outages);
        let inside = Inside { rng, troubles, outages, down_until: 0, keys: BTreeMap::new() };
        Self { time, history, inside: Mutex::new(inside) }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here every receiver takes what it is sent.
    pub(super) fn heal(&self) {
        let mut inside = self.inside();
        inside.troubles.clear();
        inside.down_until = 0;
    }

    /// A receiver has the secret of its endpoint.
    pub(super) fn knows(&self, url: &str, secret: &str) {
        let key = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        self.inside().keys.insert(url.to_owned(), key.unwrap_or_default());
    }

    /// What becomes of the next parcel, and how long it is on its way.
    fn fate(&self) -> (Option<PostTrouble>, Duration) {
        let now = self.time.micros();
        let mut inside = self.inside();
        let Inside { rng, troubles, outages, down_until, .. } = &mut *inside;
        let trouble = if *down_until > now {
            Some(PostTrouble::Unreachable)
        } else {
            troubles.iter().find(|(rate, _)| rng.per_mille(*rate)).map(|(_, trouble)| *trouble)
        };
        if trouble.is_some() && *down_until <= now && rng.per_mille(*outages) {
            *down_until = now + rng.within(5_000, 60_000) * MILLISECOND;
            self.history().count("receivers down");
        }
        if let Some(trouble) = trouble {
            self.history().count(trouble.name());
        }
        (trouble, duration(rng.within(1, 60) * MILLISECOND))
    }

    /// A receiver has a parcel, and decides on its answer.
    fn arrived(&self, parcel: &Parcel, status: u16) {
        let now = self.time.micros();
        let genuine = {
            let inside = self.inside();
            let key = inside.keys.get(&parcel.url).map_or(&[][..], Vec::as_slice);
            let in_time = (now / SECOND - parcel.timestamp).abs() <= TOLERANCE;
            in_time && is_signed(key, parcel)
        };
        let body: Value = serde_json::from_slice(&parcel.body).unwrap_or_default();
        let told = body.get("data").unwrap_or(&Value::Null);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let subject = text(told.get("subject"));
        let iccid = told.get("data").and_then(|data| data.get("iccid"));
        let of_line = subject.starts_with("bundle/") || subject.starts_with("operation/");
        let what = What::Webhook {
            url: parcel.url.clone(),
            id: parcel.id.clone(),
            kind: text(body.get("type")),
            seq: told.get("seq").and_then(Value::as_i64).unwrap_or_default(),
            about: if of_line && iccid.is_some() { format!("profile/{}", text(iccid)) } else { subject },
            body: hex::encode(Sha256::digest(&parcel.body)),
            genuine,
            status,
        };
        self.history().push(now, what);
    }
}

#[async_trait]
impl Courier for Post {
    async fn deliver(&self, parcel: &Parcel) -> Reply {
        let failed = |reason: &str| Reply::Failed { reason: reason.to_owned() };
        let (trouble, there) = self.fate();
        tokio::time::sleep(there).await;
        let (status, retry_after, takes) = match trouble {
            None => (204, None, there),
            Some(PostTrouble::Unreachable) => return failed("no connection could be opened"),
            Some(PostTrouble::Lost) => {
                tokio::time::sleep(parcel.timeout).await;
                return failed("no answer in time");
            }
            Some(PostTrouble::Broken) => {
                self.arrived(parcel, 204);
                return failed("the connection was lost before the answer");
            }
            Some(PostTrouble::Slow { ms }) => (204, None, duration(ms * MILLISECOND)),
            Some(PostTrouble::Answers { status, retry_after }) => (status, retry_after, there),
        };
        self.arrived(parcel, status);
        if takes > parcel.timeout {
            tokio::time::sleep(parcel.timeout).await;
            return failed("no answer in time");
        }
        tokio::time::sleep(takes).await;
        Reply::Answered { status, retry_after: retry_after.map(str::to_owned) }
    }
}

fn duration(micros: Micros) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// Whether one of the signatures is that of the receiver's key.
fn is_signed(key: &[u8], parcel: &Parcel) -> bool {
    let head = format!("{}.{}.", parcel.id, parcel.timestamp);
    let own = format!("v1,{}", STANDARD.encode(hmac(key, &[head.as_bytes(), &parcel.body])));
    !key.is_empty() && parcel.signature.split(' ').any(|signature| signature == own)
}

/// HMAC-SHA256 (RFC 2104), written out.
fn hmac(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut padded = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    padded.resize(BLOCK, 0);
    let pad = |with: u8| padded.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    for part in message {
        inner.update(part);
    }
    Sha256::new_with_prefix(pad(0x5C)).chain_update(inner.finalize()).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the reference libraries' own tests.
    #[test]
    fn the_published_signature() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut parcel = Parcel {
            url: String::new(),
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            timestamp: 1_614_265_330,
            signature: "v1,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned(),
            body: br#"{"test": 2432232314}"#.to_vec(),
            timeout: Duration::ZERO,
        };
        assert!(is_signed(&key, &parcel) && !is_signed(&[], &parcel) && !is_signed(&[1], &parcel));
        parcel.body.push(b' ');
        assert!(!is_signed(&key, &parcel));
    }
}
