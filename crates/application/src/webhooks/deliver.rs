//! Sending deliveries, each try between two transactions: one takes it under a lease, one records what came of it.
//!
//! **One endpoint's trouble is not the others'.** A failing endpoint has one try at a time over all processes and then a
//! pause that grows ([`Health`]); both are in the database. All failing ones together have at most half of the workers
//! of a process, which is counted by each process for itself: with more processes there are more workers for either
//! half. Healthy endpoints come first, but one worker goes to the failing ones when none does, so that an endpoint that
//! has recovered is found however much there is to do.

use std::sync::Arc;

use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::WebhookEndpointId;
use simdepot_domain::webhook::{
    EndpointStatus, Health, Parcel, Reply, Verdict, WebhookSecret, judge, signatures,
};
use simdepot_persistence::webhooks::endpoints::{self, Endpoint, EndpointSettings};
use simdepot_persistence::webhooks::queue::{self, Failing, Lease, Next, Parallel, Tried};
use simdepot_persistence::webhooks::secrets;
use simdepot_persistence::{Conn, StoreError, events};
use tokio::time::Instant;

use super::Probe;
use crate::depot::Depot;
use crate::error::AppError;

/// Tries of one endpoint at a time.
const PARALLEL: Parallel = Parallel { healthy: 4, failing: 1 };
/// Endpoints looked at per step: some may be locked by other workers.
const LOOKED_AT: i64 = 16;
/// Added to the time-out of a try, for a courier that does not keep to it.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);
/// Longest reason that is kept, in characters.
const REASON: usize = 200;

/// A delivery at hand.
struct Job {
    endpoint: Endpoint,
    secrets: Vec<WebhookSecret>,
    lease: Lease,
    /// The place among the tries at failing endpoints, kept to the end.
    _probe: Option<Probe>,
}

/// Sends one delivery that is due. `false` when there was none.
///
/// # Errors
/// When the store cannot be asked. What goes wrong at the endpoint is an outcome, not an error.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    // Looked for without a write transaction first: idle workers must not queue for SQLite's only writer.
    let (now, failing) = (depot.now(), failing(depot));
    let look = move |conn: &mut Conn<'_>| queue::endpoints_with_work(conn, PARALLEL, failing, now, LOOKED_AT);
    for id in depot.store.read(look).await? {
        let started = Instant::now();
        match take(depot, id).await {
            Ok(Some(job)) => {
                // One signal wakes one worker; each wakes the next.
                depot.signals.webhooks.notify_one();
                carry_out(depot, job, started).await?;
                return Ok(true);
            }
            Ok(None) => {}
            // One endpoint that cannot be read must not keep the others from theirs.
            Err(AppError::Store(error @ (StoreError::Vault(_) | StoreError::Inconsistency { .. }))) => {
                tracing::error!(endpoint = %id, %error, "a webhook endpoint cannot be read");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether this worker looks at failing endpoints, and when.
fn failing(depot: &Depot) -> Failing {
    match depot.probes.under_way() {
        0 => Failing::First,
        some if some < depot.work.webhook_probes => Failing::Last,
        _ => Failing::LeftOut,
    }
}

async fn take(depot: &Depot, id: WebhookEndpointId) -> Result<Option<Job>, AppError> {
    let (work, token) = (depot.clone(), depot.ids.uuid());
    depot
        .store
        .write(move |conn| {
            let now = work.now();
            let enabled = |endpoint: &Endpoint| endpoint.settings.status == EndpointStatus::Enabled;
            let Some(endpoint) = endpoints::lock_if_free(conn, id)?.filter(enabled) else {
                return Ok(None);
            };
            // Other workers look at the same time, and a healthy one may have failed since.
            let is_failing = endpoint.health.is_failing();
            let probe = is_failing.then(|| work.probes.begin(work.work.webhook_probes)).flatten();
            if is_failing && probe.is_none() {
                return Ok(None);
            }
            let lease = queue::lease_next(conn, &endpoint, PARALLEL, token, now, work.work.lease)?;
            let Some(lease) = lease else {
                return Ok(None);
            };
            let secrets = secrets::signing(conn, work.store.vault(), &endpoint, now)?;
            Ok(Some(Job { endpoint, secrets, lease, _probe: probe }))
        })
        .await
}

async fn carry_out(depot: &Depot, job: Job, started: Instant) -> Result<(), AppError> {
    let timeout = depot.work.webhook_timeout;
    // A worker that was paused since it took the lease may find it with another by the time of the answer.
    if started.elapsed() + timeout > depot.work.lease.to_std().unwrap_or_default() {
        return depot.store.write(move |conn| Ok(queue::give_back(conn, &job.lease)?)).await;
    }
    let (id, timestamp) = (job.lease.delivery.event.to_string(), depot.now().timestamp());
    let signature = signatures(&job.secrets, &id, timestamp, &job.lease.body);
    let (url, body) = (job.endpoint.settings.url.clone(), job.lease.body.clone());
    let parcel = Parcel { url, id, timestamp, signature, body, timeout };
    let began = Instant::now();
    let reply = match tokio::time::timeout(timeout + GRACE, depot.courier.deliver(&parcel)).await {
        Ok(reply) => reply,
        Err(_) => Reply::Failed { reason: "no answer in time".to_owned() },
    };
    metrics::histogram!("simdepot_webhook_seconds").record(began.elapsed().as_secs_f64());
    let (work, delivery) = (depot.clone(), job.lease.delivery.id);
    let locks = format!("webhook {}", job.endpoint.id);
    let (job, reply) = (Arc::new(job), Arc::new(reply));
    let (known, answer) = (Arc::clone(&job), Arc::clone(&reply));
    match depot.write_together(locks, move |conn| record(conn, &work, &known, &answer)).await {
        Ok(recorded) => {
            recorded.tell(&job, &reply);
            Ok(())
        }
        // The lease ran out and the delivery is another worker's: what that one records stands.
        Err(error) if error.is_race() => {
            tracing::warn!(delivery, %error, "the outcome of a webhook delivery came too late");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What was recorded of a try; told of once it is committed.
#[derive(Default)]
struct Recorded {
    /// What comes of the delivery; absent when its endpoint is gone.
    next: Option<Next>,
    /// The endpoint before and its health since, when it had not been changed meanwhile.
    health: Option<(Endpoint, Health)>,
    disabled: bool,
}

fn record(conn: &mut Conn<'_>, depot: &Depot, job: &Job, reply: &Reply) -> Result<Recorded, AppError> {
    let delivery = &job.lease.delivery;
    let Some(endpoint) = endpoints::lock(conn, job.endpoint.id)? else {
        return Ok(Recorded::default());
    };
    let now = depot.now();
    let tried_before = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
    let random = u64::try_from(depot.ids.uuid().as_u128() & u128::from(u32::MAX)).unwrap_or_default();
    let next = match judge(reply, tried_before.saturating_add(1), now, random) {
        Verdict::Delivered => Next::Delivered,
        Verdict::Again(at) => Next::Again(at),
        Verdict::GivenUp => Next::Failed,
    };
    let error = match reply {
        Reply::Answered { .. } => None,
        Reply::Failed { reason } => Some(reason.chars().take(REASON).collect()),
    };
    queue::record(conn, &job.lease, &Tried { status: reply.status(), error, next }, now)?;
    let recorded = Recorded { next: Some(next), ..Recorded::default() };
    // What came back says something about the endpoint as it was; its owner may have changed it meanwhile.
    if endpoint.version != job.endpoint.version {
        return Ok(recorded);
    }
    if reply.is_gone() && endpoint.settings.status == EndpointStatus::Enabled {
        disable(conn, depot, &endpoint, now)?;
        return Ok(Recorded { disabled: true, ..recorded });
    }
    let health = endpoint.health.after(reply, job.endpoint.health, now);
    endpoints::set_health(conn, &endpoint, health)?;
    Ok(Recorded { health: Some((endpoint, health)), ..recorded })
}

impl Recorded {
    fn tell(&self, job: &Job, reply: &Reply) {
        if let Some(next) = self.next {
            tell(job, reply, next);
        }
        if let Some((endpoint, health)) = &self.health {
            tell_of_health(endpoint, *health);
        }
        if self.disabled {
            tracing::warn!(endpoint = %job.endpoint.id, reason = GONE, "a webhook endpoint was disabled");
        }
    }
}

/// Why an endpoint that answers 410 gets nothing more.
const GONE: &str = "the endpoint answered 410: it is gone";

/// An endpoint that says it is gone gets nothing more until somebody enables it again; what it has not got waits.
fn disable(
    conn: &mut Conn<'_>,
    depot: &Depot,
    endpoint: &Endpoint,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), AppError> {
    let settings = EndpointSettings {
        status: EndpointStatus::Disabled,
        disabled_reason: Some(GONE.to_owned()),
        ..endpoint.settings.clone()
    };
    let version = endpoint.version + 1;
    endpoints::update(conn, endpoint, &settings, Health::default(), version, now)?;
    let fact = Fact::WebhookEndpointDisabled { reason: GONE.to_owned() };
    events::append(conn, &[depot.event(now, Subject::WebhookEndpoint(endpoint.id), version, fact)])?;
    Ok(())
}

fn tell_of_health(endpoint: &Endpoint, health: Health) {
    let id = endpoint.id;
    match (endpoint.health.is_failing(), health.not_before) {
        (false, Some(until)) if health.is_failing() => {
            tracing::info!(endpoint = %id, %until, "a webhook endpoint fails; it is tried now and then");
        }
        (true, _) if !health.is_failing() => {
            tracing::info!(endpoint = %id, "a webhook endpoint answers again");
        }
        _ => {}
    }
}

fn tell(job: &Job, reply: &Reply, next: Next) {
    let delivery = &job.lease.delivery;
    let outcome = match next {
        Next::Delivered => "delivered",
        Next::Again(_) => "retry",
        Next::Failed => "failed",
    };
    metrics::counter!("simdepot_webhook_tries_total", "outcome" => outcome).increment(1);
    let (endpoint, event, tries) = (job.endpoint.id, delivery.event, delivery.attempts + 1);
    match next {
        Next::Delivered => tracing::debug!(%endpoint, %event, tries, "webhook delivered"),
        Next::Again(at) => {
            tracing::info!(%endpoint, %event, tries, ?reply, again = %at, "webhook not delivered");
        }
        Next::Failed => tracing::warn!(%endpoint, %event, tries, ?reply, "webhook given up"),
    }
}
