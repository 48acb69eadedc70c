//! Webhook endpoints: made and changed by the keys of their channel.

use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::WebhookEndpointId;
use simdepot_domain::webhook::{
    DeliveryStatus, EndpointStatus, Health, OVERLAP, TargetError, Targets, WebhookSecret, is_event_type,
    suggested_types,
};
use simdepot_persistence::vault::Vault;
use simdepot_persistence::webhooks::deliveries::{self, Delivery};
use simdepot_persistence::webhooks::endpoints::{self, Endpoint, EndpointSettings};
use simdepot_persistence::webhooks::{queue, secrets};
use simdepot_persistence::{Conn, events, feed};
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};

/// A new endpoint.
#[derive(Clone)]
pub struct NewEndpoint {
    /// Where deliveries go.
    pub url: String,
    /// What it is, for people.
    pub description: Option<String>,
    /// Event types that it gets, `order.*` for a kind; all when absent.
    pub types: Option<Vec<String>>,
}

/// An endpoint with its secret, which is there only in the answer to the request that made it.
#[derive(Clone)]
pub struct WithSecret {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What its deliveries are signed with.
    pub secret: Option<WebhookSecret>,
}

/// Makes an endpoint. It gets what enters the feed from now on. The second value tells whether an earlier request with
/// the key had made it.
///
/// # Errors
/// [`AppError::Invalid`] when deliveries may not go there, a type is not known, or the channel has as many endpoints as
/// it may.
pub async fn create(
    depot: &Depot,
    caller: &Caller,
    new: NewEndpoint,
    key: Option<&IdempotencyKey>,
) -> Result<(WithSecret, bool), AppError> {
    let settings = EndpointSettings {
        url: new.url,
        description: new.description,
        types: new.types,
        status: EndpointStatus::Enabled,
        disabled_reason: None,
    };
    check(depot.webhook_targets, &settings)?;
    let made = idempotency::once(depot, caller, key, || insert(depot, caller, settings, key)).await?;
    again(depot, caller, made).await
}

async fn insert(
    depot: &Depot,
    caller: &Caller,
    settings: EndpointSettings,
    key: Option<&IdempotencyKey>,
) -> Result<WithSecret, AppError> {
    let secret = new_secret()?;
    let (work, caller, key, kept) = (depot.clone(), caller.clone(), key.cloned(), secret.clone());
    let endpoint = depot
        .store
        .write(move |conn| {
            let (now, id) = (work.now(), WebhookEndpointId::generate(work.ids.as_ref()));
            idempotency::record(conn, &work, &caller, key.as_ref(), 201, &id.to_string())?;
            check_cap(conn, &work, &caller)?;
            let position = feed::position(conn)?.seq;
            let channel = caller.channel.clone();
            let new =
                endpoints::NewEndpoint { id, channel: channel.clone(), settings: settings.clone(), position };
            endpoints::insert(conn, work.store.vault(), &new, &kept, now)?;
            let fingerprint = fingerprint(work.store.vault(), &settings)?;
            let fact = Fact::WebhookEndpointCreated { channel, fingerprint };
            events::append(conn, &[work.event(now, Subject::WebhookEndpoint(id), 1, fact)])?;
            own(conn, &caller, id)
        })
        .await?;
    Ok(WithSecret { endpoint, secret: Some(secret) })
}

/// Every endpoint takes its share of the workers: a channel has only so many.
fn check_cap(conn: &mut Conn<'_>, depot: &Depot, caller: &Caller) -> Result<(), AppError> {
    endpoints::lock_channel(conn, &caller.channel)?;
    let (has, most) = (endpoints::count(conn, &caller.channel)?, depot.work.webhook_endpoints);
    if has < u64::from(most) {
        return Ok(());
    }
    let message = format!("a channel has at most {most} webhook endpoints, yours has {has}");
    Err(AppError::invalid("", "limit", message))
}

/// What the ledger keeps of the address and the types: the address may carry its owner's token.
pub(crate) fn fingerprint(vault: &Vault, settings: &EndpointSettings) -> Result<String, AppError> {
    let kept = serde_json::to_string(&(&settings.url, &settings.types))
        .map_err(|error| AppError::Internal(error.to_string()))?;
    Ok(vault.fingerprint("webhook endpoint", &kept))
}

/// What was made now, or by an earlier request with the key: that one had the secret.
async fn again(
    depot: &Depot,
    caller: &Caller,
    made: Once<WithSecret>,
) -> Result<(WithSecret, bool), AppError> {
    match made {
        Once::Made(made) => Ok((made, false)),
        Once::Replayed(id) => {
            let id = id.parse().map_err(|_| unreadable_record())?;
            Ok((WithSecret { endpoint: get(depot, caller, id).await?, secret: None }, true))
        }
    }
}

fn new_secret() -> Result<WebhookSecret, AppError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|_| AppError::Internal("no randomness from the operating system".to_owned()))?;
    Ok(WebhookSecret::from_bytes(&bytes))
}

fn check(targets: Targets, settings: &EndpointSettings) -> Result<(), AppError> {
    let mut errors = Vec::new();
    if let Err(error) = targets.check(&settings.url) {
        let code = match error {
            TargetError::TooLong => "length",
            TargetError::Address => "address",
            TargetError::NotUrl | TargetError::Scheme | TargetError::UserInfo | TargetError::Fragment => {
                "format"
            }
        };
        errors.push(FieldError::new("/url", code, error.to_string()));
    }
    for (index, pattern) in settings.types.iter().flatten().enumerate() {
        if !is_event_type(pattern) {
            let known = suggested_types(pattern).join(", ");
            let message = format!("is no event type, nor a kind with .*, such as order.*; there is {known}");
            errors.push(FieldError::new(format!("/types/{index}"), "unknown", message));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

const WHAT: &str = "webhook endpoint";

/// An endpoint of the caller's channel.
fn own(conn: &mut Conn<'_>, caller: &Caller, id: WebhookEndpointId) -> Result<Endpoint, AppError> {
    endpoints::find(conn, id)?
        .filter(|endpoint| endpoint.channel == caller.channel)
        .ok_or(AppError::NotFound { what: WHAT })
}

/// An endpoint of the caller's channel, locked.
pub(super) fn own_locked(
    conn: &mut Conn<'_>,
    caller: &Caller,
    id: WebhookEndpointId,
) -> Result<Endpoint, AppError> {
    endpoints::lock(conn, id)?
        .filter(|endpoint| endpoint.channel == caller.channel)
        .ok_or(AppError::NotFound { what: WHAT })
}

/// An endpoint of the caller's channel.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn get(depot: &Depot, caller: &Caller, id: WebhookEndpointId) -> Result<Endpoint, AppError> {
    let caller = caller.clone();
    depot.store.read(move |conn| own(conn, &caller, id)).await
}

/// A page of the endpoints of the caller's channel, newest first.
///
/// # Errors
/// When they cannot be read.
pub async fn list(
    depot: &Depot,
    caller: &Caller,
    before: Option<WebhookEndpointId>,
    limit: i64,
) -> Result<Vec<Endpoint>, AppError> {
    let channel = caller.channel.clone();
    depot.store.read(move |conn| Ok(endpoints::list(conn, &channel, before, limit)?)).await
}

/// A page of an endpoint's deliveries, newest first.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn log(
    depot: &Depot,
    caller: &Caller,
    id: WebhookEndpointId,
    status: Option<DeliveryStatus>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Delivery>, AppError> {
    let caller = caller.clone();
    depot
        .store
        .read(move |conn| {
            own(conn, &caller, id)?;
            Ok(deliveries::list(conn, id, status, before, limit)?)
        })
        .await
}

/// What may be changed about an endpoint. `None` leaves a setting as it is, `Some(None)` takes it away.
#[derive(Clone, Default)]
pub struct EndpointChange {
    /// Another address.
    pub url: Option<String>,
    /// Another description.
    pub description: Option<Option<String>>,
    /// Other types.
    pub types: Option<Option<Vec<String>>>,
    /// On or off. On for one that is on already: it is tried at once, whatever it answered last.
    pub status: Option<EndpointStatus>,
}

impl EndpointChange {
    /// The settings after it, and the names of those that it changes.
    fn apply(self, before: &EndpointSettings) -> (EndpointSettings, Vec<String>) {
        let mut after = before.clone();
        after.url = self.url.unwrap_or(after.url);
        after.description = self.description.unwrap_or(after.description);
        after.types = self.types.unwrap_or(after.types);
        after.status = self.status.unwrap_or(after.status);
        if after.status != before.status {
            after.disabled_reason =
                (after.status == EndpointStatus::Disabled).then(|| DISABLED_BY_OWNER.to_owned());
        }
        let changed = [
            ("url", before.url != after.url),
            ("description", before.description != after.description),
            ("types", before.types != after.types),
            ("status", before.status != after.status),
        ];
        let names = changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name.to_owned());
        (after, names.collect())
    }

    /// How the endpoint does after it, and whether it is to be tried at once. At another address, or switched on again,
    /// it is another one; that its owner says that it is on does not make it a healthy one.
    fn health(&self, before: &Endpoint, after: &EndpointSettings) -> (Health, bool) {
        if after.url != before.settings.url || after.status != before.settings.status {
            (Health::default(), true)
        } else if self.status == Some(EndpointStatus::Enabled) {
            (before.health.at_once(), true)
        } else {
            (before.health, false)
        }
    }
}

const DISABLED_BY_OWNER: &str = "switched off by its owner";

/// Changes an endpoint. One that is enabled again goes on where it stood: nothing is left out.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] as for a new one.
pub async fn change(
    depot: &Depot,
    caller: &Caller,
    id: WebhookEndpointId,
    change: EndpointChange,
) -> Result<Endpoint, AppError> {
    let (work, caller) = (depot.clone(), caller.clone());
    let changed = depot
        .write_again(move |conn| {
            let endpoint = own_locked(conn, &caller, id)?;
            let now = work.now();
            let (settings, mut names) = change.clone().apply(&endpoint.settings);
            let (health, at_once) = change.health(&endpoint, &settings);
            if at_once {
                // What waits for its next try waits for the endpoint as it was.
                queue::hurry(conn, id, now)?;
            }
            if names.is_empty() {
                endpoints::set_health(conn, &endpoint, health)?;
                return own(conn, &caller, id);
            }
            check(work.webhook_targets, &settings)?;
            let switched_off =
                names.iter().any(|name| name == "status") && settings.status == EndpointStatus::Disabled;
            if switched_off {
                names.retain(|name| name != "status");
            }
            let mut facts = Vec::new();
            if !names.is_empty() {
                let fingerprint = fingerprint(work.store.vault(), &settings)?;
                facts.push(Fact::WebhookEndpointChanged { settings: names, fingerprint });
            }
            if switched_off {
                facts.push(Fact::WebhookEndpointDisabled { reason: DISABLED_BY_OWNER.to_owned() });
            }
            let told: Vec<_> = (endpoint.version + 1..)
                .zip(facts)
                .map(|(version, fact)| work.event(now, Subject::WebhookEndpoint(id), version, fact))
                .collect();
            let version = told.last().map_or(endpoint.version, |event| event.version);
            endpoints::update(conn, &endpoint, &settings, health, version, now)?;
            events::append(conn, &told)?;
            own(conn, &caller, id)
        })
        .await?;
    depot.signals.webhooks.notify_one();
    Ok(changed)
}

/// Removes an endpoint with its deliveries.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn delete(depot: &Depot, caller: &Caller, id: WebhookEndpointId) -> Result<(), AppError> {
    let (work, caller) = (depot.clone(), caller.clone());
    depot
        .write_again(move |conn| {
            let endpoint = own_locked(conn, &caller, id)?;
            endpoints::delete(conn, work.store.vault(), &endpoint)?;
            let (version, fact) = (endpoint.version + 1, Fact::WebhookEndpointDeleted {});
            events::append(conn, &[work.event(work.now(), Subject::WebhookEndpoint(id), version, fact)])?;
            Ok(())
        })
        .await
}

/// Gives an endpoint a new secret. For a day, deliveries are signed with both. The second value tells whether an
/// earlier request with the key had done it.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn rotate_secret(
    depot: &Depot,
    caller: &Caller,
    id: WebhookEndpointId,
    key: Option<&IdempotencyKey>,
) -> Result<(WithSecret, bool), AppError> {
    let made = idempotency::once(depot, caller, key, || rotate(depot, caller, id, key)).await?;
    again(depot, caller, made).await
}

async fn rotate(
    depot: &Depot,
    caller: &Caller,
    id: WebhookEndpointId,
    key: Option<&IdempotencyKey>,
) -> Result<WithSecret, AppError> {
    let secret = new_secret()?;
    let (work, caller, key, kept) = (depot.clone(), caller.clone(), key.cloned(), secret.clone());
    let endpoint = depot
        .write_again(move |conn| {
            let endpoint = own_locked(conn, &caller, id)?;
            idempotency::record(conn, &work, &caller, key.as_ref(), 200, &id.to_string())?;
            let now = work.now();
            let version = secrets::rotate(conn, work.store.vault(), &endpoint, &kept, now + OVERLAP, now)?;
            let fact = Fact::WebhookSecretRotated {};
            events::append(conn, &[work.event(now, Subject::WebhookEndpoint(id), version, fact)])?;
            own(conn, &caller, id)
        })
        .await?;
    Ok(WithSecret { endpoint, secret: Some(secret) })
}
