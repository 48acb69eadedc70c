//! The SIM that takes a line over with the end of a command: the one that was set aside for it, or the one that the carrier
//! chose where the command named none.

use serde_json::json;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::{Conn, pools, profiles, sim_swaps};

use super::recording::Recording;
use super::{Known, books, swap};
use crate::error::AppError;

/// Why no SIM can take a line over that has moved at the carrier.
pub(super) struct Missing {
    code: &'static str,
    detail: String,
}

impl Recording<'_> {
    /// The SIM that takes over, ready for it; none for a command that moves no line.
    pub(super) fn successor(
        &self,
        conn: &mut Conn<'_>,
        moved_to: Option<&Iccid>,
    ) -> Result<Result<Option<Iccid>, Missing>, AppError> {
        match (self.operation.request.successor(), moved_to) {
            (Some(new_iccid), _) if swap::is_ready(conn, self.operation, new_iccid)? => {
                Ok(Ok(Some(new_iccid.clone())))
            }
            (Some(new_iccid), _) => Ok(Err(taken(new_iccid))),
            (None, Some(chosen)) => Ok(self.take_over(conn, chosen)?.map(Some)),
            (None, None) => Ok(Ok(None)),
        }
    }

    /// Keeps the SIM that the carrier chose for the line, when it is in the stock and nothing else was done with it.
    fn take_over(&self, conn: &mut Conn<'_>, chosen: &Iccid) -> Result<Result<Iccid, Missing>, AppError> {
        let Some(found) = profiles::find(conn, chosen)? else {
            let detail = format!(
                "the carrier has moved the line to {chosen}, a SIM of its own choice that the stock lacks; import it, then \
                 resolve this as done"
            );
            return Ok(Err(Missing { code: "successor_unknown", detail }));
        };
        let found = profiles::lock(conn, found.id)?;
        let owner = pools::get(conn, found.pool_id)?.settings.carrier_account;
        let reserved = sim_swaps::reserved_by(conn, found.id)?;
        if swap::is_ready(conn, self.operation, &found.iccid)? {
            return Ok(Ok(found.iccid));
        }
        if owner != self.operation.carrier_account || reserved.is_some() {
            return Ok(Err(taken(chosen)));
        }
        match (found.stock_status, found.quarantine_reason) {
            (StockStatus::Available, _) => books::set_aside(conn, self.depot, &found)?,
            (StockStatus::Quarantined, Some(QuarantineReason::InService)) => {}
            _ => return Ok(Err(taken(chosen))),
        }
        sim_swaps::reserve(conn, found.id, self.operation.id)?;
        Ok(Ok(found.iccid))
    }

    /// The line has moved, and the books cannot follow it yet: a person must see to it.
    pub(super) fn successor_missing(
        &self,
        conn: &mut Conn<'_>,
        missing: Missing,
        moved_to: Option<&Iccid>,
    ) -> Result<(), AppError> {
        let Missing { code, detail } = missing;
        let operation = self.operation;
        if operation.status == OperationStatus::NeedsAttention {
            let (from, command) = (operation.status.to_string(), "resolve".to_owned());
            return Err(AppError::InvalidTransition { from, command, detail });
        }
        let known = Known { moved_to: moved_to.cloned(), ..Known::of(operation) };
        let told = simdepot_persistence::operations::Operation {
            resolution: Some(known.document()?),
            ..operation.clone()
        };
        let recording = Recording { operation: &told, ..*self };
        recording.needs_person(conn, json!({ "code": code, "detail": detail }), code)
    }
}

fn taken(new_iccid: &Iccid) -> Missing {
    let detail = format!(
        "the carrier has moved the line to {new_iccid}, which was taken for something else meanwhile"
    );
    Missing { code: "successor_taken", detail }
}
