//! What is heard of a bundle from elsewhere, weighed against the operation that may have placed it.

use chrono::{DateTime, Utc};
use simdepot_domain::carrier_event::BundleNews;
use simdepot_domain::channel::AccountName;
use simdepot_domain::operation::OperationStatus;
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{Conn, bundles};

use crate::depot::Depot;
use crate::error::AppError;

/// What news of a bundle mean to the operations of its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The bundle is one of ours.
    Known,
    /// Its reference names the profile's open operation.
    Evidence,
    /// An operation is open that may have placed it.
    OpenOperation {
        /// Its answer is still awaited, until then.
        until: Option<DateTime<Utc>>,
    },
    /// Nobody here ordered it.
    Unexpected,
}

/// Weighs news of a bundle on `profile`. An operation whose answer was lost is decided at once instead of later.
///
/// # Errors
/// When the store cannot be asked.
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
            let known = bundles::of_subscription(conn, &account, &id)?.is_some();
            let open = operations::open_of_profile(conn, profile_id)?;
            Ok::<_, AppError>((known, open, conn.now()?))
        })
        .await?;
    let operation = match open {
        _ if known => return Ok(Heard::Known),
        None => return Ok(Heard::Unexpected),
        Some(operation) => operation,
    };
    let until = operation.resolve_after.filter(|until| is_awaited(&operation) && *until > now);
    let named = news.reference.as_deref() == Some(operation.id.to_string().as_str());
    if operation.status == OperationStatus::Unknown {
        depot.store.write(move |conn| nudge(conn, &operation, now)).await?;
    }
    Ok(if named && until.is_none() { Heard::Evidence } else { Heard::OpenOperation { until } })
}

fn is_awaited(operation: &Operation) -> bool {
    matches!(operation.status, OperationStatus::Sent | OperationStatus::Accepted)
}

/// Has an operation whose answer was lost decided now: there is something to decide it by.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) fn nudge(conn: &mut Conn<'_>, operation: &Operation, now: DateTime<Utc>) -> Result<(), AppError> {
    if operation.status == OperationStatus::Unknown {
        operations::nudge(conn, operation, now)?;
    }
    Ok(())
}
