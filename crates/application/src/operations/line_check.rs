//! Whether a line has the subscription that a person names as what an operation has made: a mistyped one would be
//! evidence for the wrong bundle, and take it from the right one.

use simdepot_domain::carrier::{BundleReading, Carrier, ReadError};
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::{Lane, OperationStatus};
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, bundles};

use super::naming::is_unnamed;
use crate::depot::Depot;
use crate::error::AppError;

/// Most subscriptions of the line that an answer names.
const NAMED: usize = 20;

/// Refuses a subscription that the carrier's complete list of the operation's line does not have. The carrier is asked
/// outside transactions, for no longer than one call may take; when it cannot tell, the person is believed.
///
/// # Errors
/// [`AppError::Invalid`] with what the line has; when the store cannot be asked.
pub(super) async fn check_named(
    depot: &Depot,
    id: OperationId,
    subscription_id: &str,
) -> Result<(), AppError> {
    let found = depot.store.read(move |conn| {
        let Some(operation) = operations::find(conn, id)? else { return Ok(None) };
        if !may_be_named(conn, &operation)? {
            return Ok(None);
        }
        let profile = profiles::get(conn, operation.profile_id)?;
        Ok::<_, AppError>(Some((operation, profile)))
    });
    // What is not there, or not to be decided, is refused for that.
    let Some((operation, profile)) = found.await? else {
        return Ok(());
    };
    let Some(listed) = complete_list(depot, &operation, &profile).await else {
        tracing::warn!(operation = %id, subscription_id, "the line cannot be read now; a person is believed");
        return Ok(());
    };
    if listed.iter().any(|bundle| bundle.subscription_id == subscription_id) {
        return Ok(());
    }
    let has: Vec<&str> = listed.iter().take(NAMED).map(|bundle| bundle.subscription_id.as_str()).collect();
    let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
    let message = format!("the carrier does not list this subscription on the line, but {has}");
    Err(AppError::invalid("/subscription_id", "not_on_line", message))
}

fn may_be_named(conn: &mut Conn<'_>, operation: &Operation) -> Result<bool, AppError> {
    if operation.request.lane() == Lane::Line {
        return Ok(false);
    }
    Ok(match (operation.status, operation.bundle) {
        (OperationStatus::Unknown | OperationStatus::NeedsAttention, _) => true,
        (OperationStatus::Done, Some(bundle)) => {
            bundles::find(conn, bundle)?.is_some_and(|bundle| is_unnamed(&bundle))
        }
        _ => false,
    })
}

/// Everything on the line; `None` when that is not known. A list that lacks what was there before is not complete.
async fn complete_list(
    depot: &Depot,
    operation: &Operation,
    profile: &Profile,
) -> Option<Vec<BundleReading>> {
    let account = depot
        .account(&operation.carrier_account)
        .inspect_err(|error| tracing::warn!(operation = %operation.id, %error, "the carrier cannot be asked"))
        .ok()?;
    let listed = tokio::time::timeout(account.timeout, list(account.carrier.as_ref(), profile)).await;
    let listed = match listed {
        Ok(Ok(listed)) => listed?,
        Ok(Err(error)) => {
            tracing::info!(operation = %operation.id, %error, "a read of the carrier failed");
            return None;
        }
        Err(_) => {
            tracing::warn!(operation = %operation.id, "the carrier did not answer in time");
            return None;
        }
    };
    let mut before = operation.before_set.iter().flatten();
    before.all(|known| listed.iter().any(|bundle| bundle.subscription_id == *known)).then_some(listed)
}

/// By the number that the line has now, else by the one that it had.
async fn list(carrier: &dyn Carrier, profile: &Profile) -> Result<Option<Vec<BundleReading>>, ReadError> {
    let line = carrier.line(&profile.line_key()).await.inspect_err(
        |error| tracing::info!(iccid = %profile.iccid, %error, "the line's number cannot be read"),
    );
    let read = line.ok().flatten().and_then(|line| line.msisdn);
    match read.or_else(|| profile.msisdn.clone()) {
        Some(msisdn) => carrier.bundles(&msisdn).await,
        None => Ok(None),
    }
}
