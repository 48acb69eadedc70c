//! Suspend, resume, cease, reactivate (S6, S7).

use chrono::{DateTime, Utc};

use super::records::Effect;
use super::state::SpsTwin;
use super::subscriptions::{SpsSubscription, SubscriptionStatus};
use super::transactions::Done;
use super::writes::{LineKey, StatusAction};
use crate::reply::Problem;

impl StatusAction {
    fn target(self) -> SubscriptionStatus {
        match self {
            Self::Suspend => SubscriptionStatus::Suspended,
            Self::Resume | Self::Reactivate => SubscriptionStatus::Active,
            Self::Cease => SubscriptionStatus::Ceased,
        }
    }

    fn effect(self) -> Effect {
        match self {
            Self::Suspend => Effect::Suspend,
            Self::Resume => Effect::Resume,
            Self::Cease => Effect::Cease,
            Self::Reactivate => Effect::Reactivate,
        }
    }
}

impl SpsTwin {
    pub(super) fn check_status(&self, line: &LineKey, action: StatusAction) -> Result<(), Problem> {
        let found = self.line(line)?;
        let taken = match (action, found.status) {
            (StatusAction::Suspend | StatusAction::Cease, SubscriptionStatus::Active)
            | (StatusAction::Resume, SubscriptionStatus::Suspended)
            | (StatusAction::Reactivate, SubscriptionStatus::Ceased) => true,
            (StatusAction::Cease, SubscriptionStatus::Suspended) => self.assumptions.cease_from_suspended,
            _ => false,
        };
        if !taken {
            return Err(self.conflict("INVALID_STATE", "The subscription's status does not take this action"));
        }
        if action == StatusAction::Resume
            && found.suspended_by_operator
            && self.assumptions.operator_suspension_holds
        {
            return Err(self.conflict("SUSPENDED_BY_OPERATOR", "Only the operator ends this suspension"));
        }
        Ok(())
    }

    /// The subscription that a write names.
    pub(super) fn line(&self, line: &LineKey) -> Result<&SpsSubscription, Problem> {
        let unknown = || self.unknown("SUBSCRIPTION_NOT_FOUND", "Subscription is unknown");
        self.subscription_of(line).ok_or_else(unknown)
    }

    /// Carries out a checked action.
    pub(super) fn update_status(
        &mut self,
        at: DateTime<Utc>,
        line: &LineKey,
        action: StatusAction,
    ) -> Result<Done, Problem> {
        let iccid = self.line(line)?.iccid.clone();
        self.subscriptions.change(&iccid, |subscription| {
            subscription.status = action.target();
            subscription.suspended_by_operator = false;
            subscription.changed_at = at;
        });
        Ok(Done { named: iccid.clone(), iccid, effect: action.effect(), code: false })
    }
}
