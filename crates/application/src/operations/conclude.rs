//! Concluding an operation whose answer was lost, on evidence from the carrier.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::carrier::{BundleReading, BundleReceipt};
use simdepot_domain::carrier_event::BundleNews;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::{OperationStatus, OperationStep};
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::resolution::{Case, Doubt, Evidence};
use simdepot_persistence::bundles::{self, BundleChange};
use simdepot_persistence::operations::{self, Operation, OperationChange};
use simdepot_persistence::{Conn, StoreError, allocations, profiles};
use uuid::Uuid;

use super::naming;
use super::substitute::set_refused_aside;
use super::writes::{change_bundle, change_operation, lock_order, roll_up_order, signal, step};
use crate::depot::Depot;
use crate::error::AppError;

/// A bundle that proves an operation done, and how it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The carrier's id of the subscription; a person may decide without one.
    pub(super) subscription_id: Option<String>,
    /// Its status, where it was told.
    pub(super) status: Option<BundleStatus>,
    /// What the decision rests on.
    pub(super) evidence: Json,
    /// Our code for it, in the operation's event.
    pub(super) code: &'static str,
    /// A person's reason.
    pub(super) reason: Option<String>,
}

impl Found {
    /// Found in the carrier's list.
    pub(super) fn in_inventory(found: &Weighed) -> Self {
        let Weighed { bundle, exact, more } = found;
        let evidence = json!({
            "source": "inventory",
            "subscription_id": bundle.subscription_id,
            "product": bundle.product,
            "status": bundle.status,
            "ordered_at": bundle.ordered_at,
            "reference_echoed": exact,
            "others_that_fit": more,
        });
        Self {
            subscription_id: Some(bundle.subscription_id.clone()),
            status: Some(bundle.status),
            evidence,
            code: "found_at_carrier",
            reason: None,
        }
    }

    /// In a receipt that came when others were looking for the outcome already.
    pub(super) fn in_receipt(receipt: &BundleReceipt) -> Self {
        Self {
            subscription_id: receipt.subscription_id.clone(),
            status: None,
            evidence: json!({ "source": "late receipt", "receipt": receipt }),
            code: "receipt",
            reason: None,
        }
    }

    fn in_event(news: &BundleNews) -> Self {
        let evidence = json!({
            "source": "event",
            "subscription_id": news.subscription_id,
            "product": news.product,
            "ordered_at": news.ordered_at,
            "reference_echoed": true,
        });
        Self {
            subscription_id: Some(news.subscription_id.clone()),
            status: news.status,
            evidence,
            code: "told_by_carrier",
            reason: None,
        }
    }
}

/// A bundle in the carrier's list that an operation's sending has made.
#[derive(Debug, Clone)]
pub(super) struct Weighed {
    pub(super) bundle: BundleReading,
    pub(super) exact: bool,
    pub(super) more: usize,
}

/// What the carrier's list says of an operation that was sent before.
#[derive(Debug, Clone)]
pub(super) enum Finding {
    /// It was taken.
    Taken(Box<Weighed>),
    /// The list decides nothing.
    Doubtful(Doubt),
    /// The list has nothing of it.
    Nothing,
}

/// Weighs the carrier's list for an operation that was sent before; `None` for a line that the carrier does not know.
pub(super) fn weigh(
    conn: &mut Conn<'_>,
    operation: &Operation,
    inventory: Option<&[BundleReading]>,
) -> Result<Finding, AppError> {
    let Some(first_sent_at) = operation.first_sent_at.filter(|_| may_be_taken(operation)) else {
        return Ok(Finding::Nothing);
    };
    let bundles = inventory.unwrap_or_default();
    let listed: Vec<String> = bundles.iter().map(|bundle| bundle.subscription_id.clone()).collect();
    let claimed =
        bundles::claimed_subscriptions(conn, &operation.carrier_account, &listed, operation.bundle)?;
    let case = Case {
        reference: &operation.id.to_string(),
        product: operation.request.places().unwrap_or_default(),
        before: operation.before_set.as_deref(),
        claimed: &claimed,
        first_sent_at,
        inventory,
    };
    Ok(match case.weigh() {
        Evidence::Taken { bundle, exact, more } => {
            Finding::Taken(Box::new(Weighed { bundle: bundle.clone(), exact, more }))
        }
        Evidence::Doubtful(doubt) => Finding::Doubtful(doubt),
        Evidence::Nothing if is_hinted(conn, operation)? => Finding::Doubtful(Doubt::Hinted),
        Evidence::Nothing => Finding::Nothing,
    })
}

/// Whether a sending of it may have been taken: what the carrier surely has not taken made nothing that is on the line.
fn may_be_taken(operation: &Operation) -> bool {
    operation.answer_lost || !operation.hints.is_empty()
}

/// Whether anything speaks for its having been taken that is not another bundle's. Asked for anew: it may have been seen
/// since the operation was read.
fn is_hinted(conn: &mut Conn<'_>, operation: &Operation) -> Result<bool, AppError> {
    let current = operations::find(conn, operation.id)?.ok_or(AppError::NotFound { what: "operation" })?;
    let hints = current.hints;
    let claimed = bundles::claimed_subscriptions(conn, &operation.carrier_account, &hints, operation.bundle)?;
    Ok(hints.iter().any(|hint| !claimed.contains(hint)))
}

/// Records that an operation is done, on evidence. `false` when the evidence turned out to be another bundle's.
///
/// # Errors
/// When the store refuses; a race when the operation changed in between.
pub(super) async fn conclude(
    depot: &Depot,
    operation: &Operation,
    token: Option<Uuid>,
    found: Found,
) -> Result<bool, AppError> {
    let (work, sent, code) = (depot.clone(), operation.clone(), found.code);
    let recorded = depot.write_again(move |conn| {
        let now = conn.now()?;
        record(conn, &work, &sent, token, &found, now)
    });
    match recorded.await {
        Ok(()) => {
            tracing::info!(operation = %operation.id, code, "a lost answer was found out: done");
            signal(depot, operation);
            Ok(true)
        }
        // A subscription is evidence for one bundle only; another was concluded with it in between.
        Err(AppError::Store(StoreError::Unique { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Records the conclusion, in the caller's transaction.
pub(super) fn record(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    token: Option<Uuid>,
    found: &Found,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    lock_order(conn, operation)?;
    let iccid = profiles::get(conn, operation.profile_id)?.iccid;
    let change = OperationChange {
        evidence: Some(found.evidence.clone()),
        carrier_reference: found.subscription_id.clone(),
        reason: found.reason.clone(),
        ..OperationChange::to(step(operation, OperationStep::Complete)?)
    };
    change_operation(conn, depot, operation, token, &change, &iccid, Some(found.code.to_owned()), now)?;
    let by_type = match operation.order_type {
        Some(OrderType::Subscribe) => BundleStatus::Ready,
        Some(OrderType::Preload) | None => BundleStatus::Preloaded,
    };
    let placed = BundleChange {
        status: Some(found.status.unwrap_or(by_type)),
        order_type: operation.order_type,
        subscription_id: found.subscription_id.clone(),
    };
    change_bundle(conn, depot, operation, &placed, &iccid, now)?;
    if let Some(allocation) = operation.allocation_id {
        allocations::set_outcome(conn, allocation, ProfileOutcome::Fulfilled)?;
    }
    set_refused_aside(conn, depot, operation, now)?;
    roll_up_order(conn, depot, operation, None, now)
}

/// What an event's echo of an operation's id led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concluded {
    /// The operation is done by it, or was done and has the subscription from it.
    Done,
    /// The operation had ended already.
    Ended,
    /// The carrier's own answer is still awaited: come back at `resolve_after`.
    TooEarly(DateTime<Utc>),
    /// The event is evidence for another bundle, or about another profile.
    NotEvidence,
}

/// Concludes the operation that an event names as its reference: the carrier took it.
///
/// # Errors
/// When the store refuses; a race when the operation changed in between.
pub async fn conclude_by_event(
    depot: &Depot,
    id: OperationId,
    profile_id: i64,
    news: &BundleNews,
) -> Result<Concluded, AppError> {
    let (operation, now) = depot
        .store
        .read(move |conn| {
            let now = conn.now()?;
            Ok::<_, AppError>((operations::find(conn, id)?, now))
        })
        .await?;
    let Some(operation) = operation.filter(|operation| operation.profile_id == profile_id) else {
        return Ok(Concluded::NotEvidence);
    };
    if operation.status == OperationStatus::Done {
        return name_by_event(depot, &operation, news).await;
    }
    // What is over, or not finished, is looked at in the carrier's list.
    if news.status.is_some_and(|status| status.is_final() || status == BundleStatus::Unknown) {
        return Ok(Concluded::Ended);
    }
    match operation.status {
        OperationStatus::Done | OperationStatus::Refused | OperationStatus::Cancelled => {
            return Ok(Concluded::Ended);
        }
        // Never sent: whatever the event is about, it is not this.
        OperationStatus::Pending if operation.first_sent_at.is_none() => return Ok(Concluded::NotEvidence),
        OperationStatus::Sent | OperationStatus::Accepted => {
            let until = operation.resolve_after.unwrap_or(now);
            if until > now {
                return Ok(Concluded::TooEarly(until));
            }
        }
        OperationStatus::Pending | OperationStatus::Unknown | OperationStatus::NeedsAttention => {}
    }
    let done = conclude(depot, &operation, None, Found::in_event(news)).await?;
    Ok(if done { Concluded::Done } else { Concluded::NotEvidence })
}

/// What an event tells of an operation that is done: the carrier's id of its bundle, if a person had called it done
/// without naming that.
async fn name_by_event(
    depot: &Depot,
    operation: &Operation,
    news: &BundleNews,
) -> Result<Concluded, AppError> {
    let (work, operation, news) = (depot.clone(), operation.clone(), news.clone());
    let write = depot.write_again(move |conn| {
        let now = work.now();
        let profile = profiles::lock(conn, operation.profile_id)?;
        let (account, reference) = (&operation.carrier_account, operation.id.to_string());
        let claimed = bundles::of_subscription(conn, account, &news.subscription_id)?;
        let unnamed = naming::unnamed_by(conn, account, profile.id, Some(&reference))?;
        let Some(unnamed) = unnamed.filter(|_| claimed.is_none()) else {
            return Ok(Concluded::Ended);
        };
        naming::name(conn, &work, &profile, &unnamed, &news.subscription_id, now)?;
        Ok(Concluded::Done)
    });
    write.await
}
