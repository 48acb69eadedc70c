//! What is done every second or so.

use chrono::TimeDelta;
use simdepot_domain::drift::DriftKind;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::{Lane, OperationStatus};
use simdepot_persistence::{Backend, carrier_events, drifts, idempotency, imports, operations, stock_counts};
use strum::VariantArray;

use crate::depot::Depot;
use crate::error::AppError;
use crate::line_operations;
use crate::operations::mark_unknown;

/// An import that shows no progress for this long has lost its process.
const IMPORT_SILENCE: TimeDelta = TimeDelta::minutes(10);
/// How long decided carrier events are kept.
const CARRIER_EVENTS_KEPT: TimeDelta = TimeDelta::days(30);
/// Carrier events forgotten per step.
const FORGOTTEN: i64 = 1_000;
/// Overdue operations per step.
const BATCH: i64 = 100;

/// Finds what was left behind by processes that died, forgets what has expired, and counts for the metrics.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<(), AppError> {
    overdue_operations(depot).await?;
    // While another import has SQLite's writer they can show nothing.
    let ours = depot.imports.ids();
    depot
        .store
        .write(move |conn| {
            let now = conn.now()?;
            let problem = "the server stopped during this import; nothing was imported: send the file again";
            let failed = imports::fail_abandoned(conn, now - IMPORT_SILENCE, &ours, problem, now)?;
            if failed > 0 {
                tracing::warn!(failed, "imports were abandoned by their process");
            }
            idempotency::purge(conn, now)?;
            carrier_events::purge(conn, now - CARRIER_EVENTS_KEPT, FORGOTTEN)?;
            Ok::<_, AppError>(())
        })
        .await?;
    // In a transaction of its own, which nobody waits for. SQLite has nothing to fold, and one writer.
    if depot.store.backend() == Backend::Postgres {
        depot.store.write(|conn| Ok::<_, AppError>(stock_counts::fold(conn)?)).await?;
    }
    measure(depot).await
}

/// Counts what is open. What there is none of is set to 0: a gauge keeps its last value.
async fn measure(depot: &Depot) -> Result<(), AppError> {
    let (operations, drifts) = depot
        .store
        .read(|conn| Ok::<_, AppError>((operations::open_counts(conn)?, drifts::open_counts(conn)?)))
        .await?;
    let gauge = |count: i64| f64::from(i32::try_from(count).unwrap_or(i32::MAX));
    for status in OperationStatus::VARIANTS.iter().filter(|status| status.is_open()) {
        let count = operations.iter().find(|(of, _)| of == status).map_or(0, |(_, count)| *count);
        metrics::gauge!("simdepot_open_operations", "status" => status.to_string()).set(gauge(count));
    }
    for kind in DriftKind::VARIANTS {
        let count = drifts.iter().find(|(of, _)| of == kind).map_or(0, |(_, count)| *count);
        metrics::gauge!("simdepot_open_drifts", "kind" => kind.to_string()).set(gauge(count));
    }
    Ok(())
}

/// A sent operation whose worker died has an unknown outcome, and says so. One that cannot be marked is passed over: the
/// others must not wait behind it.
async fn overdue_operations(depot: &Depot) -> Result<(), AppError> {
    for lane in Lane::VARIANTS {
        overdue_of(depot, *lane).await?;
    }
    Ok(())
}

async fn overdue_of(depot: &Depot, lane: Lane) -> Result<(), AppError> {
    let (mut marked, mut passed) = (0, 0);
    loop {
        let left = BATCH - marked;
        let overdue = depot.store.read(move |conn| {
            let now = conn.now()?;
            Ok::<_, AppError>(operations::overdue(conn, lane, now, passed, left)?)
        });
        let overdue = overdue.await?;
        let was_last = i64::try_from(overdue.len()).is_ok_and(|found| found < left);
        for id in overdue {
            match mark(depot, id).await {
                Ok(()) => marked += 1,
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => {
                    passed += 1;
                    // A race: its outcome came after all, or another process marks it.
                    if !error.is_race() {
                        tracing::error!(operation = %id, %error, "an overdue operation cannot be marked");
                    }
                }
            }
        }
        if was_last || marked >= BATCH {
            return Ok(());
        }
    }
}

async fn mark(depot: &Depot, id: OperationId) -> Result<(), AppError> {
    let work = depot.clone();
    let write = depot.store.write(move |conn| {
        let now = conn.now()?;
        let operation = operations::find(conn, id)?.ok_or(AppError::NotFound { what: "operation" })?;
        let overdue = operation.resolve_after.is_some_and(|until| until <= now);
        if operation.status != OperationStatus::Sent || !overdue {
            return Ok::<_, AppError>(None);
        }
        let reason = "the process ended between the send and the outcome";
        match operation.request.lane() {
            Lane::Sale => mark_unknown(conn, &work, &operation, reason)?,
            Lane::Line => line_operations::mark_unknown(conn, &work, &operation, reason)?,
        }
        Ok(Some(operation.order))
    });
    if let Some(order) = write.await? {
        tracing::warn!(operation = %id, "the outcome of a sent operation is unknown");
        if let Some(order) = order {
            depot.signals.changed(order.0);
        }
    }
    Ok(())
}
