//! Before a change of a bundle.

use simdepot_domain::carrier::{BundleChangeOrder, BundleReading, Carrier, Concern, ReadError, Refusal};
use simdepot_domain::line::{Judgement, LineStanding};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::operation::BundleCommand;
use simdepot_persistence::profiles::Profile;

use super::{Decision, Preparing, later};
use crate::line_operations::{Order, standing};

impl Preparing<'_> {
    pub(super) async fn bundle(&self, wanted: &Wanted<'_>) -> Decision {
        let msisdn = match wanted.read(self.carrier(), self.profile).await {
            Ok((msisdn, _)) => msisdn,
            Err(ReadError::Unavailable(why)) => return Decision::Defer(why),
            Err(ReadError::Unreadable { what }) => return later(what),
            Err(ReadError::Denied { code }) => {
                let detail = Some("the account may not read what must be known before a change".to_owned());
                return Decision::Refuse(Refusal { code, detail, concerns: Concern::Account });
            }
        };
        let order = BundleChangeOrder {
            msisdn: msisdn.clone(),
            product: wanted.product.to_owned(),
            subscription_id: wanted.subscription_id.to_owned(),
            change: wanted.change,
            reference: self.operation.id.to_string(),
        };
        let before = LineStanding { msisdn: Some(msisdn), ..standing(self.profile, None) };
        Decision::Send(Box::new((Order::Bundle(order), self.known(before))))
    }
}

/// A change of a bundle.
pub(in crate::line_operations) struct Wanted<'a> {
    pub(in crate::line_operations) subscription_id: &'a str,
    pub(in crate::line_operations) product: &'a str,
    pub(in crate::line_operations) change: BundleCommand,
}

impl Wanted<'_> {
    /// The line's number, and everything on it.
    pub(in crate::line_operations) async fn read(
        &self,
        carrier: &dyn Carrier,
        profile: &Profile,
    ) -> Result<(Msisdn, Vec<BundleReading>), ReadError> {
        let msisdn = match &profile.msisdn {
            Some(msisdn) => Some(msisdn.clone()),
            None => carrier.line(&profile.line_key()).await?.and_then(|line| line.msisdn),
        };
        let msisdn =
            msisdn.ok_or_else(|| ReadError::Unreadable { what: "the line has no number yet".to_owned() })?;
        let listed = carrier.bundles(&msisdn).await?.unwrap_or_default();
        Ok((msisdn, listed))
    }

    /// What the list shows of the change. A renewal that was cancelled does not show.
    pub(in crate::line_operations) fn judge(&self, listed: &[BundleReading]) -> Judgement {
        let bundle = listed.iter().find(|bundle| bundle.subscription_id == self.subscription_id);
        match (self.change, bundle) {
            (_, Some(bundle)) if bundle.status.is_final() => Judgement::Reached,
            (BundleCommand::Terminate, Some(_)) => Judgement::NotReached,
            (BundleCommand::CancelRenewal, _) | (BundleCommand::Terminate, None) => Judgement::Unclear,
        }
    }
}
