//! What becomes of the place in an order whose subscription is being activated: it stands like the activation, and a
//! profile that the carrier does not take leaves it for another one, as with sold products.

use simdepot_domain::carrier::{Concern, Refusal};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::profile::QuarantineReason;
use simdepot_persistence::{Conn, allocations, operations, profiles};

use super::recording::Recording;
use crate::error::AppError;
use crate::observations::Sightings;
use crate::operations::deferral::RACE_PAUSE;
use crate::operations::writes::roll_up_order;
use crate::operations::{Leaves, Leaving, being_cancelled, cancel_pending, fail_here, set_refused_aside};

impl Recording<'_> {
    /// Whether a place of an order waits for it.
    pub(super) fn is_sale(&self) -> bool {
        self.operation.allocation_id.is_some()
    }

    /// The place stands like its operation.
    pub(super) fn place(&self, conn: &mut Conn<'_>, outcome: ProfileOutcome) -> Result<(), AppError> {
        let Some(allocation) = self.operation.allocation_id else {
            return Ok(());
        };
        allocations::set_outcome(conn, allocation, outcome)?;
        if outcome == ProfileOutcome::Fulfilled {
            set_refused_aside(conn, self.depot, self.operation, self.depot.now())?;
        }
        roll_up_order(conn, self.depot, self.operation, None, self.now)
    }

    /// Surely not activated: another profile takes the place where this one may be to blame, else the place fails.
    pub(super) fn refuse_sale(
        &self,
        conn: &mut Conn<'_>,
        refusal: &Refusal,
        seen: &Sightings,
    ) -> Result<(), AppError> {
        let (operation, token) = (self.operation, self.token);
        let leaves = match refusal.concerns {
            Concern::LineStatus | Concern::Profile if operation.status == OperationStatus::Pending => {
                Leaves::SetAside(QuarantineReason::LineNotSellable)
            }
            Concern::Profile => Leaves::SetAside(QuarantineReason::RefusedByCarrier),
            // A SIM in use, or a number or subscriber that is: whether the SIM is to blame shows when another is tried.
            Concern::LineStatus | Concern::Request => Leaves::BackOnSale,
            Concern::Product | Concern::Account => {
                return fail_here(conn, self.depot, operation, token, refusal, seen);
            }
        };
        leaves.count();
        Leaving { operation, token, leaves, seen, refusal }.substitute(conn, self.depot)?;
        self.depot.signals.sold();
        Ok(())
    }

    /// Its order is being taken back, and the carrier has nothing of it.
    pub(super) fn cancel(&self, conn: &mut Conn<'_>) -> Result<(), AppError> {
        let (operation, Some(token)) = (self.operation, self.token) else {
            return Ok(());
        };
        if !being_cancelled(conn, operation)? {
            // The profile left the cancelled order in between: the next try starts from what is true then.
            return Ok(operations::put_off(conn, operation, token, self.now + RACE_PAUSE)?);
        }
        let iccid = profiles::get(conn, operation.profile_id)?.iccid;
        cancel_pending(conn, self.depot, operation, Some(token), &iccid, self.now)
    }
}
