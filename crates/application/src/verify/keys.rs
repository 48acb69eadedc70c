//! API keys, webhook endpoints and reconciliations against their events.

use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::reconciliation::ReconciliationStatus;
use simdepot_domain::webhook::EndpointStatus;
use simdepot_persistence::api_keys::{self, ApiKey};
use simdepot_persistence::events::StoredEvent;
use simdepot_persistence::reconciliations::{self, Reconciliation};
use simdepot_persistence::webhooks::endpoints::Endpoint;
use simdepot_persistence::webhooks::secrets;
use simdepot_persistence::{Conn, verification};

use super::profiles::same_moment;
use super::walk::Kind;
use super::{CHUNK, Report};
use crate::depot::Depot;
use crate::error::AppError;

/// Every API key.
pub(super) struct ApiKeys;

/// A key, and what the ledger would keep of it.
#[derive(Debug, Clone)]
pub(super) struct SeenKey {
    key: ApiKey,
    fingerprint: String,
}

impl Kind for ApiKeys {
    type Row = SeenKey;
    const KIND: SubjectKind = SubjectKind::ApiKey;

    fn rows(conn: &mut Conn<'_>, depot: &Depot, after: Option<&SeenKey>) -> Result<Vec<SeenKey>, AppError> {
        let keys = api_keys::list(conn, after.map(|seen| seen.key.id), CHUNK)?;
        let seen = keys.into_iter().map(|key| {
            let fingerprint = crate::api_keys::fingerprint(depot.store.vault(), &key);
            SeenKey { key, fingerprint }
        });
        Ok(seen.collect())
    }

    fn subject(seen: &SeenKey) -> String {
        seen.key.id.to_string()
    }

    fn version(seen: &SeenKey) -> i64 {
        seen.key.version
    }

    fn differs(seen: &SeenKey, story: &[StoredEvent]) -> Option<String> {
        let (key, id) = (&seen.key, seen.key.id);
        let Some(Fact::ApiKeyCreated { channel, scopes, expires_at, fingerprint }) =
            story.first().map(|event| &event.fact)
        else {
            return Some(format!("api key {id} was never made, by its events"));
        };
        let same_expiry = match (key.expires_at, expires_at) {
            (Some(one), Some(other)) => same_moment(one, *other),
            (one, other) => one.is_none() && other.is_none(),
        };
        if *channel != key.channel || *scopes != key.scopes || !same_expiry {
            return Some(format!("api key {id} has another channel, scopes or end than its events say"));
        }
        if *fingerprint != seen.fingerprint {
            return Some(format!("api key {id} is another key than its events say"));
        }
        let revoked = story.iter().any(|event| matches!(event.fact, Fact::ApiKeyRevoked {}));
        (revoked != key.revoked_at.is_some()).then(|| {
            let (row, told) = if revoked { ("works", "it was revoked") } else { ("is revoked", "it works") };
            format!("api key {id} {row}, but its events say that {told}")
        })
    }

    fn count(report: &mut Report, _: &SeenKey) {
        report.api_keys += 1;
    }
}

/// Every webhook endpoint.
pub(super) struct Endpoints;

/// An endpoint, what the ledger would keep of it, and whether its secrets open.
#[derive(Debug, Clone)]
pub(super) struct SeenEndpoint {
    endpoint: Endpoint,
    fingerprint: String,
    opens: bool,
}

impl Kind for Endpoints {
    type Row = SeenEndpoint;
    const KIND: SubjectKind = SubjectKind::WebhookEndpoint;

    fn rows(
        conn: &mut Conn<'_>,
        depot: &Depot,
        after: Option<&SeenEndpoint>,
    ) -> Result<Vec<SeenEndpoint>, AppError> {
        let vault = depot.store.vault();
        let listed = verification::endpoints_after(conn, after.map(|seen| seen.endpoint.id), CHUNK)?;
        let seen = listed.into_iter().map(|endpoint| {
            let fingerprint = crate::webhooks::endpoints::fingerprint(vault, &endpoint.settings)?;
            let opens = secrets::all_open(conn, vault, &endpoint)?;
            Ok(SeenEndpoint { endpoint, fingerprint, opens })
        });
        seen.collect()
    }

    fn subject(seen: &SeenEndpoint) -> String {
        seen.endpoint.id.to_string()
    }

    fn version(seen: &SeenEndpoint) -> i64 {
        seen.endpoint.version
    }

    fn differs(seen: &SeenEndpoint, story: &[StoredEvent]) -> Option<String> {
        let (endpoint, id) = (&seen.endpoint, seen.endpoint.id);
        let (mut made_for, mut status, mut kept) = (None, EndpointStatus::Enabled, None);
        for event in story {
            match &event.fact {
                Fact::WebhookEndpointCreated { channel, fingerprint } => {
                    (made_for, kept) = (Some(channel), Some(fingerprint));
                }
                Fact::WebhookEndpointChanged { settings, fingerprint } => {
                    kept = Some(fingerprint);
                    // Switching off is an event of its own.
                    if settings.iter().any(|setting| setting == "status") {
                        status = EndpointStatus::Enabled;
                    }
                }
                Fact::WebhookEndpointDisabled { .. } => status = EndpointStatus::Disabled,
                _ => {}
            }
        }
        if made_for != Some(&endpoint.channel) || kept != Some(&seen.fingerprint) {
            return Some(format!(
                "webhook endpoint {id} has another channel, address or types than its events say"
            ));
        }
        if status != endpoint.settings.status {
            return Some(format!(
                "webhook endpoint {id} is {} but its events say {status}",
                endpoint.settings.status
            ));
        }
        (!seen.opens).then(|| format!("webhook endpoint {id} has a sealed secret that does not open"))
    }

    fn count(report: &mut Report, _: &SeenEndpoint) {
        report.endpoints += 1;
    }
}

/// Every reconciliation.
pub(super) struct Reconciliations;

impl Kind for Reconciliations {
    type Row = Reconciliation;
    const KIND: SubjectKind = SubjectKind::Reconciliation;

    fn rows(
        conn: &mut Conn<'_>,
        _: &Depot,
        after: Option<&Reconciliation>,
    ) -> Result<Vec<Reconciliation>, AppError> {
        Ok(reconciliations::list(conn, after.map(|seen| seen.id), CHUNK)?)
    }

    fn subject(seen: &Reconciliation) -> String {
        seen.id.to_string()
    }

    fn version(seen: &Reconciliation) -> i64 {
        seen.version
    }

    fn differs(seen: &Reconciliation, story: &[StoredEvent]) -> Option<String> {
        let told = match story.last().map(|event| &event.fact) {
            Some(Fact::ReconciliationCompleted { .. }) => ReconciliationStatus::Completed,
            Some(Fact::ReconciliationFailed { .. }) => ReconciliationStatus::Failed,
            _ => ReconciliationStatus::Running,
        };
        let (id, status) = (seen.id, seen.status);
        (told != status).then(|| format!("reconciliation {id} is {status} but its events say {told}"))
    }

    fn count(report: &mut Report, _: &Reconciliation) {
        report.reconciliations += 1;
    }
}
