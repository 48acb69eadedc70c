//! What a refusal of a command means: after a lost answer it is weighed, because an earlier sending may be why.

use simdepot_domain::carrier::{Concern, Refusal};
use simdepot_domain::line::LineAction;
use simdepot_domain::operation::{OperationStatus, OperationStep};
use simdepot_persistence::Conn;
use simdepot_persistence::operations::OperationChange;

use super::books;
use super::recording::{Recording, action_of};
use crate::error::AppError;
use crate::observations::Sightings;
use crate::operations::writes::{problem, step as next};

impl Recording<'_> {
    /// Surely not done. After a lost answer that is only believed when the line shows it: an earlier sending may be why
    /// it is refused now.
    pub(super) fn refused(
        &self,
        conn: &mut Conn<'_>,
        refusal: &Refusal,
        seen: &Sightings,
    ) -> Result<(), AppError> {
        self.learn(conn, seen)?;
        let refusal = &self.without_personal_data(refusal);
        let was_sent = self.operation.status == OperationStatus::Sent;
        if self.operation.answer_lost && was_sent && refusal.concerns == Concern::LineStatus {
            // The earlier sending may have taken effect since the line was read: the line tells.
            return self.lose(conn, &refusal.to_string(), None);
        }
        if self.operation.answer_lost {
            let detail = refusal.detail.as_deref().unwrap_or("the carrier gave no reason");
            let why = format!("refused after the answer to an earlier sending was lost: {detail}");
            return self.needs_person(
                conn,
                problem(&Refusal { detail: Some(why), ..refusal.clone() })?,
                &refusal.code,
            );
        }
        if self.is_sale() {
            return self.refuse_sale(conn, refusal, &Sightings::default());
        }
        self.refuse(conn, refusal, None)
    }

    /// A carrier may repeat what it does not like of somebody's contact data: its words are not kept.
    pub(super) fn without_personal_data(&self, refusal: &Refusal) -> Refusal {
        let mut refusal = refusal.clone();
        if action_of(self.operation) == Some(LineAction::SetContact) && refusal.detail.is_some() {
            refusal.detail =
                Some("the carrier's words are left out: they may repeat contact data".to_owned());
        }
        refusal
    }

    /// Surely not done, whatever went before.
    pub(super) fn refuse(
        &self,
        conn: &mut Conn<'_>,
        refusal: &Refusal,
        reason: Option<&str>,
    ) -> Result<(), AppError> {
        let refusal = &self.without_personal_data(refusal);
        let change = OperationChange {
            problem: Some(problem(refusal)?),
            reason: reason.map(str::to_owned),
            ..OperationChange::to(next(self.operation, OperationStep::Refuse)?)
        };
        self.change(conn, &change, Some(&refusal.code))?;
        books::give_back(conn, self.depot, self.operation)
    }
}
