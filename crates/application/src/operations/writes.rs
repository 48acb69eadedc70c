//! The guarded changes that every outcome is made of, each with its event.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use simdepot_domain::carrier::Refusal;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::{OperationStatus, OperationStep};
use simdepot_persistence::bundles::{self, BundleChange};
use simdepot_persistence::operations::{self, Lease, Operation, OperationChange};
use simdepot_persistence::profiles;
use simdepot_persistence::{Conn, events, orders};
use uuid::Uuid;

use crate::depot::Depot;
use crate::error::AppError;
use crate::orders::roll_up;

/// A change that concerns the operation alone.
pub(super) async fn change_alone(
    depot: &Depot,
    lease: &Lease,
    change: OperationChange,
    code: Option<String>,
) -> Result<(), AppError> {
    let (work, lease) = (depot.clone(), lease.clone());
    depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            let iccid = profiles::get(conn, lease.operation.profile_id)?.iccid;
            change_operation(conn, &work, &lease.operation, Some(lease.token), &change, &iccid, code, now)
        })
        .await
}

pub(crate) fn step(operation: &Operation, step: OperationStep) -> Result<OperationStatus, AppError> {
    operation.status.step(step).map_err(|error| AppError::Internal(error.to_string()))
}

pub(crate) fn problem(refusal: &Refusal) -> Result<Json, AppError> {
    serde_json::to_value(refusal).map_err(|error| AppError::Internal(error.to_string()))
}

/// Locks the order before anything of it changes: of two profiles that end at once the second sees the first.
pub(crate) fn lock_order(conn: &mut Conn<'_>, operation: &Operation) -> Result<(), AppError> {
    if let Some(order) = operation.order {
        orders::lock(conn, order)?;
    }
    Ok(())
}

/// What a write about an operation locks first, for [`Depot::write_together`].
pub(super) fn lock_name(operation: &Operation) -> String {
    match operation.order {
        Some(order) => format!("order {order}"),
        None => format!("operation {}", operation.id),
    }
}

#[expect(clippy::too_many_arguments, reason = "one guarded change and the event that goes with it")]
pub(crate) fn change_operation(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    token: Option<Uuid>,
    change: &OperationChange,
    iccid: &Iccid,
    code: Option<String>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let version = operations::change(conn, operation, token, change, now)?;
    let fact = Fact::OperationStatusChanged {
        iccid: iccid.clone(),
        kind: Some(operation.request.kind().to_owned()),
        from: Some(operation.status),
        to: change.status,
        order_type: change.order_type,
        code,
        reason: change.reason.clone(),
    };
    events::append(conn, &[depot.event(now, Subject::Operation(operation.id), version, fact)])?;
    Ok(())
}

pub(crate) fn change_bundle(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    change: &BundleChange,
    iccid: &Iccid,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let Some(id) = operation.bundle else {
        return Ok(());
    };
    let bundle = bundles::find(conn, id)?.ok_or(AppError::NotFound { what: "bundle" })?;
    let version = bundles::change(conn, &bundle, change, now)?;
    let fact = Fact::BundleStatusChanged {
        iccid: iccid.clone(),
        from: bundle.status,
        to: change.status.unwrap_or(bundle.status),
    };
    events::append(conn, &[depot.event(now, Subject::Bundle(id), version, fact)])?;
    Ok(())
}

pub(crate) fn roll_up_order(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    problem: Option<Json>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    if let Some(order) = operation.order {
        roll_up(conn, depot, order, problem, now)?;
    }
    Ok(())
}

/// Wakes whoever waits for the order or the top-up.
pub(crate) fn signal(depot: &Depot, operation: &Operation) {
    if let Some(order) = operation.order {
        depot.signals.changed(order.0);
    }
    if let Some(bundle) = operation.bundle {
        depot.signals.changed(bundle.0);
    }
}
