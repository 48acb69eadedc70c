//! Sending deliveries, each try between two transactions: one takes it under a lease, one records what came of it.
//!
//! A failing endpoint gets one try at a time, so that its time-outs occupy one worker and not all of them.

use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::WebhookEndpointId;
use simdepot_domain::webhook::{EndpointStatus, Parcel, Reply, Verdict, WebhookSecret, judge, signatures};
use simdepot_persistence::webhooks::deliveries::{self, Lease, Next, Parallel, Tried};
use simdepot_persistence::webhooks::endpoints::{self, Endpoint, EndpointSettings};
use simdepot_persistence::{Conn, StoreError, events};
use tokio::time::Instant;

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
}

/// Sends one delivery that is due. `false` when there was none.
///
/// # Errors
/// When the store cannot be asked. What goes wrong at the endpoint is an outcome, not an error.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    // Looked for without a write transaction first: idle workers must not queue for SQLite's only writer.
    let now = depot.now();
    let found =
        depot.store.read(move |conn| deliveries::endpoints_with_work(conn, PARALLEL, now, LOOKED_AT)).await?;
    for id in found {
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
            let lease = deliveries::lease_next(conn, &endpoint, PARALLEL, token, now, work.work.lease)?;
            let Some(lease) = lease else {
                return Ok(None);
            };
            let secrets = endpoints::secrets(conn, work.store.vault(), &endpoint, now)?;
            Ok(Some(Job { endpoint, secrets, lease }))
        })
        .await
}

async fn carry_out(depot: &Depot, job: Job, started: Instant) -> Result<(), AppError> {
    let timeout = depot.work.webhook_timeout;
    // A worker that was paused since it took the lease may find it with another by the time of the answer.
    if started.elapsed() + timeout > depot.work.lease.to_std().unwrap_or_default() {
        return depot.store.write(move |conn| Ok(deliveries::give_back(conn, &job.lease)?)).await;
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
    match depot.store.write(move |conn| record(conn, &work, &job, &reply)).await {
        // The lease ran out and the delivery is another worker's: what that one records stands.
        Err(error) if error.is_race() => {
            tracing::warn!(delivery, %error, "the outcome of a webhook delivery came too late");
            Ok(())
        }
        other => other,
    }
}

fn record(conn: &mut Conn<'_>, depot: &Depot, job: &Job, reply: &Reply) -> Result<(), AppError> {
    let delivery = &job.lease.delivery;
    let Some(endpoint) = endpoints::lock(conn, job.endpoint.id)? else {
        return Ok(());
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
    deliveries::record(conn, &job.lease, &Tried { status: reply.status(), error, next }, now)?;
    tell(job, reply, next);
    // What came back says something about the endpoint as it was; its owner may have changed it meanwhile.
    if endpoint.version != job.endpoint.version {
        return Ok(());
    }
    if reply.is_gone() && endpoint.settings.status == EndpointStatus::Enabled {
        return disable(conn, depot, &endpoint, now);
    }
    let failures = if next == Next::Delivered { 0 } else { endpoint.failures.saturating_add(1) };
    Ok(endpoints::set_failures(conn, &endpoint, failures)?)
}

/// An endpoint that says it is gone gets nothing more until somebody enables it again; what it has not got waits.
fn disable(
    conn: &mut Conn<'_>,
    depot: &Depot,
    endpoint: &Endpoint,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), AppError> {
    let reason = "the endpoint answered 410: it is gone";
    let settings = EndpointSettings {
        status: EndpointStatus::Disabled,
        disabled_reason: Some(reason.to_owned()),
        ..endpoint.settings.clone()
    };
    let version = endpoint.version + 1;
    endpoints::update(conn, endpoint, &settings, version, now)?;
    let fact = Fact::WebhookEndpointDisabled { reason: reason.to_owned() };
    events::append(conn, &[depot.event(now, Subject::WebhookEndpoint(endpoint.id), version, fact)])?;
    tracing::warn!(endpoint = %endpoint.id, reason, "a webhook endpoint was disabled");
    Ok(())
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
