//! Sending: token, turn, circuit breaker and one deadline around an exchange.
//!
//! One deadline covers a whole call, its wait for a turn and for a token included, because the core counts the time
//! after which a lost write may be looked into from the moment the call was made. A request that would get less than a
//! quarter of it is not sent at all: a write cut short by our own queue would be lost for no reason.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use simdepot_domain::carrier::{Lost, Turns, Unavailable};
use simdepot_domain::clock::Clock;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::access::{Access, ConfigError, TokenPlace};
use crate::answer::Answer;
use crate::breaker::{Breaker, Health, Permit};
use crate::exchange::{Exchange, ExchangeRequest};
use crate::failure::Failure;
use crate::limiter::Limiter;
use crate::request::Request;
use crate::token::{self, Token, TokenCache};
use crate::transfer;

/// A request needs at least this fraction of the time-out to be worth sending.
const LEAST_SHARE: u32 = 4;
/// What a request for a token is called in metrics.
const TOKEN: &str = "token";

/// The way to one account's APIs.
pub struct Gateway {
    access: Access,
    token_place: TokenPlace,
    exchange: Arc<dyn Exchange>,
    clock: Arc<dyn Clock>,
    tokens: TokenCache,
    breaker: Mutex<Breaker>,
    limiter: Limiter,
}

impl Gateway {
    /// Makes the way. Nothing is sent yet.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(
        access: Access,
        clock: Arc<dyn Clock>,
        turns: Arc<dyn Turns>,
        exchange: Arc<dyn Exchange>,
    ) -> Result<Self, ConfigError> {
        access.validate()?;
        Ok(Self {
            token_place: access.token_place()?,
            limiter: Limiter::new(access.name()?, access.max_requests_per_second, turns),
            tokens: TokenCache::default(),
            breaker: Mutex::default(),
            access,
            exchange,
            clock,
        })
    }

    /// How long one call may take.
    pub fn timeout(&self) -> Duration {
        self.access.timeout
    }

    /// Sends `request` with a token and waits for the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`Failure`] tells whether the request can have arrived.
    pub async fn call(&self, request: &Request) -> Result<Answer, Failure> {
        let started = Instant::now();
        let deadline = started + self.access.timeout;
        let result =
            self.guarded(self.authorized(request, deadline)).instrument(self.span(request.call)).await;
        self.measure(request.call, started.elapsed(), &result);
        result
    }

    /// Makes sure that there is a token: a check of the credentials alone.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn check_credentials(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + self.access.timeout;
        self.guarded(self.token(None, deadline)).await.map(drop)
    }

    /// Runs one attempt under the breaker.
    async fn guarded<T: Healthy>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut attempt = Attempt { gateway: self, permit: self.admit()?, health: Health::Undecided };
        let result = work.await;
        attempt.health = match &result {
            Ok(done) => done.health(),
            Err(Failure::NotSent { carrier_down: false, .. }) => Health::Undecided,
            Err(Failure::NotSent { .. } | Failure::Lost(_)) => Health::Failed,
        };
        result
    }

    /// Sends, and once more with a fresh token after a 401: the gateway turned the first one away unread, so that
    /// even a write is safe to send again.
    async fn authorized(&self, request: &Request, deadline: Instant) -> Result<Answer, Failure> {
        let token = self.token(None, deadline).await?;
        let answer = self.send(request, &token, deadline).await?;
        if answer.status != 401 || (self.access.denies_for_good)(&answer) {
            return Ok(answer);
        }
        tracing::debug!("the access token was turned away");
        let token = self.token(Some(token.round), deadline).await?;
        self.send(request, &token, deadline).await
    }

    async fn token(&self, rejected: Option<u64>, deadline: Instant) -> Result<Token, Failure> {
        self.tokens.get(self.clock.now(), rejected, deadline, || self.fetch_token(deadline)).await
    }

    async fn fetch_token(&self, deadline: Instant) -> Result<token::Grant, Failure> {
        let started = Instant::now();
        let span = self.span(TOKEN);
        let request = ExchangeRequest::for_token(&self.access.token, &self.token_place);
        let result = self.exchange(request, deadline).instrument(span).await;
        self.measure(TOKEN, started.elapsed(), &result);
        // Losing a token does no harm: what needed it has not been sent.
        let not_sent = |lost: Lost| Failure::NotSent {
            why: Unavailable { reason: format!("no access token: {}", lost.reason), retry_after_ms: None },
            carrier_down: true,
        };
        token::parse(&result.map_err(|failure| match failure {
            Failure::Lost(lost) => not_sent(lost),
            Failure::NotSent { .. } => failure,
        })?)
    }

    async fn send(&self, request: &Request, token: &Token, deadline: Instant) -> Result<Answer, Failure> {
        self.exchange(ExchangeRequest::of(request, token), deadline).await
    }

    /// One request and its answer, once it is its turn.
    async fn exchange(&self, request: ExchangeRequest, deadline: Instant) -> Result<Answer, Failure> {
        let turn = self.limiter.turn(deadline).await;
        turn.map_err(|why| Failure::NotSent { why, carrier_down: false })?;
        if deadline.saturating_duration_since(Instant::now()) < self.access.timeout / LEAST_SHARE {
            return Err(Failure::waiting("too little of the time-out was left to send the request"));
        }
        let answer = timeout_at(deadline, self.exchange.run(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(transfer::lost("no answer within the time-out")))?;
        Ok(transfer::read(answer, self.access.request_id_header, self.clock.now()))
    }

    fn admit(&self) -> Result<Permit, Failure> {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let admission = breaker.admit(self.clock.now());
        self.show(&breaker);
        admission.map_err(|wait| Failure::NotSent {
            why: Unavailable {
                reason: "the last calls failed, so the carrier is given a pause".into(),
                retry_after_ms: u64::try_from(wait.as_millis()).ok(),
            },
            carrier_down: false,
        })
    }

    fn show(&self, breaker: &Breaker) {
        let account = self.access.account.clone();
        metrics::gauge!("simdepot_carrier_breaker_state", "account" => account).set(breaker.level());
    }

    fn span(&self, call: &'static str) -> tracing::Span {
        let empty = tracing::field::Empty;
        tracing::debug_span!("carrier", account = %self.access.account, call = call, status = empty, carrier_request_id = empty)
    }

    fn measure(&self, call: &'static str, took: Duration, result: &Result<Answer, Failure>) {
        let outcome = match result {
            Ok(answer) => match answer.status {
                200..=299 => "ok",
                400..=499 => "client_error",
                500..=599 => "server_error",
                _ => "other_status",
            },
            Err(Failure::NotSent { .. }) => "not_sent",
            Err(Failure::Lost(_)) => "lost",
        };
        let labels =
            [("account", self.access.account.clone()), ("call", call.into()), ("outcome", outcome.into())];
        metrics::histogram!("simdepot_carrier_request_seconds", &labels).record(took.as_secs_f64());
        if outcome != "ok" {
            metrics::counter!("simdepot_carrier_errors_total", &labels).increment(1);
        }
    }
}

/// What a success says of the carrier's health.
trait Healthy {
    fn health(&self) -> Health;
}

impl Healthy for Answer {
    fn health(&self) -> Health {
        if self.is_server_failure() { Health::Failed } else { Health::Alive }
    }
}

impl Healthy for Token {
    fn health(&self) -> Health {
        // It may come from the cache, which proves nothing.
        Health::Undecided
    }
}

/// Reports its end to the breaker, also when the caller goes away in the middle.
struct Attempt<'a> {
    gateway: &'a Gateway,
    permit: Permit,
    health: Health,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut breaker = self.gateway.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.report(self.permit, self.health, self.gateway.clock.now());
        self.gateway.show(&breaker);
    }
}
