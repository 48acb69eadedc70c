//! The access token: fetched once for all callers, kept until most of its life is over.
//!
//! Whoever finds no usable token fetches one while the others wait; they share the result, a failure included, so
//! that a hundred waiting calls do not turn one outage into a hundred token requests.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use simdepot_domain::carrier::Unavailable;
use simdepot_domain::secret::Secret;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::answer::Answer;
use crate::failure::Failure;
use crate::lenient;

/// Life of a token whose answer does not name one, in seconds.
const DEFAULT_LIFE: i64 = 300;
/// Longest life that is believed, in seconds.
const MAX_LIFE: i64 = 24 * 3600;
/// Renewed after this part of its life, in percent.
const RENEW_AFTER: i32 = 85;

/// A token as the carrier granted it.
pub(crate) struct Grant {
    value: Secret,
    life: TimeDelta,
}

/// A token to send.
#[derive(Clone)]
pub(crate) struct Token {
    /// What goes into the header.
    pub(crate) value: Secret,
    /// Which fetch it came from: tells a token that was just turned away from the one that replaced it.
    pub(crate) round: u64,
    renew_at: DateTime<Utc>,
}

#[derive(Default)]
struct Slot {
    token: Option<Token>,
    failure: Option<(u64, Failure)>,
}

/// The account's token.
#[derive(Default)]
pub(crate) struct TokenCache {
    slot: Mutex<Slot>,
    rounds: AtomicU64,
}

impl TokenCache {
    /// The token, by `fetch` when there is none, when it is old, or when it is the one of round `rejected`.
    pub(crate) async fn get<F>(
        &self,
        now: DateTime<Utc>,
        rejected: Option<u64>,
        deadline: Instant,
        fetch: impl FnOnce() -> F + Send,
    ) -> Result<Token, Failure>
    where
        F: Future<Output = Result<Grant, Failure>> + Send,
    {
        let round_before = self.rounds.load(Ordering::Acquire);
        let mut slot = timeout_at(deadline, self.slot.lock())
            .await
            .map_err(|_| Failure::waiting("no access token within the time-out"))?;
        if let Some(token) = &slot.token
            && token.renew_at > now
            && rejected != Some(token.round)
        {
            return Ok(token.clone());
        }
        if let Some((round, failure)) = &slot.failure
            && *round > round_before
        {
            return Err(failure.clone());
        }
        let fetched = fetch().await;
        let round = self.rounds.fetch_add(1, Ordering::AcqRel) + 1;
        match fetched {
            Ok(grant) => {
                let renew_at = now + grant.life * RENEW_AFTER / 100;
                let token = Token { value: grant.value, round, renew_at };
                *slot = Slot { token: Some(token.clone()), failure: None };
                Ok(token)
            }
            Err(failure) => {
                *slot = Slot { token: None, failure: Some((round, failure.clone())) };
                Err(failure)
            }
        }
    }
}

#[derive(Deserialize)]
struct GrantBody {
    access_token: Secret,
    #[serde(default, deserialize_with = "lenient::or_none")]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: serde_json::Value,
}

#[derive(Deserialize)]
struct RefusalBody {
    error: String,
}

/// Reads the answer of the token endpoint. Nothing has been written yet, so every failure is a request not sent.
pub(crate) fn parse(answer: &Answer) -> Result<Grant, Failure> {
    let failed = |reason: String, carrier_down: bool| Failure::NotSent {
        why: Unavailable { reason, retry_after_ms: answer.retry_after_ms },
        carrier_down,
    };
    match answer.status {
        200 => grant(&answer.body)
            .ok_or_else(|| failed("the answer of the token endpoint cannot be understood".into(), false)),
        400 | 401 | 403 => {
            let code = oauth_error(&answer.body).unwrap_or_else(|| format!("HTTP {}", answer.status));
            Err(failed(format!("client_id and client_secret were not accepted ({code})"), false))
        }
        status => {
            Err(failed(format!("the token endpoint answered HTTP {status}"), answer.is_server_failure()))
        }
    }
}

fn grant(body: &[u8]) -> Option<Grant> {
    let body: GrantBody = serde_json::from_slice(body).ok()?;
    let sendable =
        !body.access_token.is_empty() && body.access_token.expose().bytes().all(|b| b.is_ascii_graphic());
    let bearer = body.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let life = lenient::integer(&body.expires_in).unwrap_or(DEFAULT_LIFE).clamp(1, MAX_LIFE);
    (sendable && bearer).then_some(Grant { value: body.access_token, life: TimeDelta::seconds(life) })
}

/// The OAuth error code (RFC 6749 §5.2), when it looks like one: the description may quote what was sent.
fn oauth_error(body: &[u8]) -> Option<String> {
    let RefusalBody { error } = serde_json::from_slice(body).ok()?;
    let is_code =
        (1..=40).contains(&error.len()) && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_code.then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn granted(text: &str) -> Grant {
        Grant { value: Secret::new(text), life: TimeDelta::seconds(100) }
    }

    #[tokio::test]
    async fn is_kept_for_85_percent_of_its_life_and_renewed_when_turned_away() {
        let cache = TokenCache::default();
        let unexpected = || async { panic!("a usable token is there") };
        let first = cache.get(at(0), None, soon(), || async { Ok(granted("one")) }).await.unwrap();
        assert_eq!(cache.get(at(84), None, soon(), unexpected).await.unwrap().value, first.value);
        let second = cache.get(at(85), None, soon(), || async { Ok(granted("two")) }).await.unwrap();
        assert_eq!(second.value.expose(), "two");
        // A caller that was turned away with the first token finds the second one and does not fetch.
        assert_eq!(
            cache.get(at(86), Some(first.round), soon(), unexpected).await.unwrap().value,
            second.value
        );
        let third =
            cache.get(at(86), Some(second.round), soon(), || async { Ok(granted("three")) }).await.unwrap();
        assert_eq!(third.value.expose(), "three");
    }

    #[tokio::test]
    async fn those_who_wait_share_one_fetch_and_its_failure() {
        for good in [true, false] {
            let cache = Arc::new(TokenCache::default());
            let fetches = Arc::new(AtomicU64::new(0));
            let mut tasks = Vec::new();
            for _ in 0..20 {
                let (cache, fetches) = (cache.clone(), fetches.clone());
                tasks.push(tokio::spawn(async move {
                    let fetch = || async {
                        fetches.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        if good { Ok(granted("one")) } else { Err(Failure::waiting("down")) }
                    };
                    cache.get(at(0), None, soon(), fetch).await.is_ok()
                }));
            }
            for task in tasks {
                assert_eq!(task.await.unwrap(), good);
            }
            assert_eq!(fetches.load(Ordering::SeqCst), 1);
            let later = cache.get(at(0), None, soon(), || async { Ok(granted("two")) }).await;
            assert!(later.is_ok(), "a failure is shared with those who waited, not remembered");
        }
    }

    #[test]
    fn reads_grants_and_refusals() {
        let life = |json: &str| grant(json.as_bytes()).map(|grant| grant.life.num_seconds());
        assert_eq!(
            life(r#"{"access_token":"a.b.c","token_type":"bearer","expires_in":3600,"scope":"X"}"#),
            Some(3600)
        );
        assert_eq!(life(r#"{"access_token":"a","token_type":"Bearer","expires_in":"60"}"#), Some(60));
        assert_eq!(life(r#"{"access_token":"a","expires_in":0}"#), Some(1));
        assert_eq!(life(r#"{"access_token":"a"}"#), Some(DEFAULT_LIFE));
        assert_eq!(life(r#"{"access_token":"a","expires_in":99999999999}"#), Some(MAX_LIFE));
        for bad in [
            r#"{"access_token":""}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            "{}",
            "",
            "<html>",
        ] {
            assert_eq!(life(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_the_code_and_never_the_description() {
        let reason = |status: u16, body: &str| match parse(&Answer::of(status, body)) {
            Err(Failure::NotSent { why, carrier_down }) => (why.reason, carrier_down),
            Err(Failure::Lost(_)) | Ok(_) => panic!("{status} {body}"),
        };
        let (text, down) = reason(401, r#"{"error":"invalid_client","error_description":"SESAME"}"#);
        assert!(text.contains("invalid_client") && !text.contains("SESAME") && !down);
        let (text, _) = reason(400, r#"{"error":"SESAME open"}"#);
        assert!(text.contains("HTTP 400") && !text.contains("SESAME"));
        assert!(reason(503, "").1);
        assert!(!reason(429, "").1);
        assert!(!reason(200, "{}").1);
    }
}
