//! What is heard of a bundle from elsewhere, weighed against the operation that may have placed it.

use chrono::{DateTime, Utc};
use simdepot_domain::carrier_event::BundleNews;
use simdepot_domain::channel::AccountName;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::OperationStatus;
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{Conn, bundles};

use super::conclude::{Concluded, conclude_by_event};
use crate::depot::Depot;
use crate::error::AppError;

/// What news of a bundle mean to the operations of its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The bundle is one of ours.
    Known,
    /// It is ours by this news: its reference names an operation whose answer was lost, which is done by it.
    Evidence,
    /// An operation is open that may have placed it.
    OpenOperation {
        /// Its answer is still awaited, until then.
        until: Option<DateTime<Utc>>,
    },
    /// Nobody here ordered it.
    Unexpected,
}

/// Weighs news of a bundle on `profile`. What it proves is recorded; an outcome that is open is looked into at once.
///
/// # Errors
/// When the store refuses; a race when the operation changed in between.
pub(crate) async fn hear_of_bundle(
    depot: &Depot,
    account: &AccountName,
    profile: &Profile,
    news: &BundleNews,
) -> Result<Heard, AppError> {
    let (account, profile_id, id) = (account.clone(), profile.id, news.subscription_id.clone());
    let (known, open, now) = depot
        .store
        .read(move |conn| {
            // In this order: an operation that ends in between has made its bundle known by then.
            let open = operations::open_of(conn, profile_id)?;
            let known = bundles::of_subscription(conn, &account, &id)?.is_some();
            Ok::<_, AppError>((known, open, conn.now()?))
        })
        .await?;
    if known {
        return Ok(Heard::Known);
    }
    let named = news.reference.as_deref().and_then(|reference| reference.parse::<OperationId>().ok());
    if let Some(named) = named {
        match conclude_by_event(depot, named, profile_id, news).await? {
            Concluded::Done => return Ok(Heard::Evidence),
            Concluded::TooEarly(until) => return Ok(Heard::OpenOperation { until: Some(until) }),
            Concluded::Ended | Concluded::NotEvidence => {}
        }
    }
    let Some(operation) = open else {
        return Ok(Heard::Unexpected);
    };
    let until = operation.resolve_after.filter(|until| is_awaited(&operation) && *until > now);
    if operation.status == OperationStatus::Unknown {
        depot.store.write(move |conn| nudge(conn, profile_id)).await?;
    }
    Ok(Heard::OpenOperation { until })
}

fn is_awaited(operation: &Operation) -> bool {
    matches!(operation.status, OperationStatus::Sent | OperationStatus::Accepted)
}

fn nudge(conn: &mut Conn<'_>, profile_id: i64) -> Result<(), AppError> {
    let now = conn.now()?;
    operations::nudge(conn, profile_id, now)?;
    Ok(())
}
