//! Recording how commands ended, or how far they have come: for many at a time.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use simdepot_domain::carrier::{CommandReceipt, Commanded, Refusal, Unavailable};
use simdepot_domain::iccid::Iccid;
use simdepot_persistence::operations::Operation;
use uuid::Uuid;

use super::Known;
use super::recording::Recording;
use super::work::locking_rank;
use crate::batch::write_each;
use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::Sightings;
use crate::operations::writes::signal;

/// How a command ended, or stands.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// The carrier's answer to the sending.
    Answer(Commanded),
    /// Not sent: the carrier cannot be asked now.
    NotTaken(Unavailable),
    /// Not sent: its order is being taken back.
    Cancelled,
    /// Not sent, or surely not done.
    Refused(Refusal, Box<Sightings>),
    /// The carrier took it, and its transaction failed.
    Failed(Refusal, Box<Sightings>),
    /// The carrier did it.
    Done(Box<Done>),
    /// Nothing is decided: it is asked for again then.
    LookAgain(Box<Known>, DateTime<Utc>),
    /// It was surely not taken: it is sent again.
    SendAgain,
    /// A person must decide.
    GiveUp {
        /// Our code.
        code: &'static str,
        /// What to do.
        detail: String,
        /// What was seen.
        known: Box<Known>,
    },
}

/// A command that the carrier did.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// What proves it.
    pub(super) evidence: Json,
    /// Our code for it, in the operation's event.
    pub(super) code: &'static str,
    /// The line, as it is since.
    pub(super) seen: Sightings,
    /// The line of the SIM that took over, for a swap.
    pub(super) successor: Sightings,
    /// The SIM that the carrier chose for the line, when the command named none.
    pub(super) moved_to: Option<Iccid>,
    /// A person's reason.
    pub(super) reason: Option<String>,
}

impl Done {
    pub(super) fn by(code: &'static str, evidence: Json, seen: Sightings) -> Self {
        Self { evidence, code, seen, successor: Sightings::default(), moved_to: None, reason: None }
    }
}

/// Records many at once. One that met a concurrent change is left to whoever changed it.
///
/// # Errors
/// When the store cannot be asked. Operations are then as they were, which is true.
pub(super) async fn record(
    depot: &Depot,
    token: Uuid,
    ended: Vec<(Operation, Ended)>,
) -> Result<(), AppError> {
    if ended.is_empty() {
        return Ok(());
    }
    let mut ended = ended;
    ended.sort_by_key(|(operation, _)| locking_rank(operation));
    let (operations, counted): (Vec<Operation>, Vec<&'static str>) =
        ended.iter().map(|(operation, ended)| (operation.clone(), outcome_of(ended))).unzip();
    let work = depot.clone();
    let written = write_each(depot, ended, move |conn, (operation, ended)| {
        let now = conn.now()?;
        let recording = Recording { depot: &work, operation, token: Some(token), now };
        recording.record(conn, ended)
    });
    for ((operation, outcome), written) in operations.iter().zip(counted).zip(written.await?) {
        match written {
            Ok(()) => {
                depot.signals.changed(operation.id.0);
                signal(depot, operation);
                count(operation, outcome);
            }
            Err(error) if error.is_race() => {
                tracing::info!(operation = %operation.id, outcome, %error, "a command was decided by somebody else");
            }
            Err(error) => {
                tracing::error!(operation = %operation.id, outcome, %error, "a command's outcome is not recorded");
            }
        }
    }
    Ok(())
}

fn outcome_of(ended: &Ended) -> &'static str {
    match ended {
        Ended::Answer(Commanded::Done(CommandReceipt::Accepted { .. })) => "accepted",
        Ended::Answer(Commanded::Done(CommandReceipt::Done { .. })) | Ended::Done(_) => "done",
        Ended::Cancelled => "cancelled",
        Ended::Answer(Commanded::Refused(_)) | Ended::Refused(..) | Ended::Failed(..) => "refused",
        Ended::Answer(Commanded::NotTaken(_)) | Ended::NotTaken(_) | Ended::SendAgain => "not_taken",
        Ended::Answer(Commanded::Unknown(_)) => "unknown",
        Ended::LookAgain(..) => "open",
        Ended::GiveUp { .. } => "needs_attention",
    }
}

fn count(operation: &Operation, outcome: &'static str) {
    if outcome != "open" {
        let kind = operation.request.kind();
        metrics::counter!("simdepot_operation_outcomes_total", "kind" => kind, "outcome" => outcome)
            .increment(1);
    }
}
