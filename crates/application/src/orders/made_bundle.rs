//! A product for one profile of an order: the same whether the profile came first or as a substitute.

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::id::{BundleId, OperationId};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_persistence::bundles::Bundle;
use simdepot_persistence::operations::NewOperation;
use simdepot_persistence::orders::Order;
use simdepot_persistence::pools::Pool;

use crate::depot::Depot;

/// A product for one profile of an order: the same whether the profile came first or as a substitute.
pub(crate) struct BundleOnProfile<'a> {
    pub(crate) order: &'a Order,
    pub(crate) pool: &'a Pool,
    pub(crate) product: &'a str,
    pub(crate) profile_id: i64,
    pub(crate) allocation_id: i64,
}

/// The bundle and its operation, about to be written.
pub(crate) struct MadeBundle {
    pub(crate) bundle: Bundle,
    pub(crate) operation: NewOperation,
}

impl BundleOnProfile<'_> {
    pub(crate) fn make(&self, depot: &Depot, now: DateTime<Utc>) -> MadeBundle {
        let bundle = Bundle {
            id: BundleId::generate(depot.ids.as_ref()),
            profile_id: self.profile_id,
            order: Some(self.order.id),
            channel: self.order.channel.clone(),
            reference: None,
            request_hash: None,
            product: self.product.to_owned(),
            order_type: None,
            status: BundleStatus::Ordering,
            carrier_account: self.pool.settings.carrier_account.clone(),
            subscription_id: None,
            activated_at: None,
            expires_at: None,
            balances: Vec::new(),
            fetched_at: None,
            observed_at: None,
            low_told_for: None,
            expiry_told_for: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let operation = NewOperation {
            id: OperationId::generate(depot.ids.as_ref()),
            carrier_account: bundle.carrier_account.clone(),
            request: OperationRequest::PlaceBundle {
                product: bundle.product.clone(),
                order_type: None,
                first_sale: true,
            },
            profile_id: self.profile_id,
            allocation_id: Some(self.allocation_id),
            order: Some(self.order.id),
            bundle: Some(bundle.id),
            sealed: None,
        };
        MadeBundle { bundle, operation }
    }
}

impl MadeBundle {
    pub(crate) fn events(
        &self,
        depot: &Depot,
        iccid: &simdepot_domain::iccid::Iccid,
        now: DateTime<Utc>,
    ) -> [Event; 2] {
        let iccid = || iccid.clone();
        let ordered = Fact::BundleOrdered {
            iccid: iccid(),
            product: self.bundle.product.clone(),
            order: self.bundle.order,
            channel: self.bundle.channel.clone(),
            reference: None,
        };
        let pending = Fact::OperationStatusChanged {
            iccid: iccid(),
            kind: Some(self.operation.request.kind().to_owned()),
            from: None,
            to: OperationStatus::Pending,
            order_type: None,
            code: None,
            reason: None,
        };
        [
            depot.event(now, Subject::Bundle(self.bundle.id), 1, ordered),
            depot.event(now, Subject::Operation(self.operation.id), 1, pending),
        ]
    }
}
