//! What is sold on a profile of an order, and the operation that puts it there: the same whether the profile came first or
//! as a substitute.

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::{ActivationContext, ActivationTerms};
use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{BundleId, OperationId};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_domain::order::{OrderLine, ProfileOutcome};
use simdepot_persistence::allocations::{self, Allocation};
use simdepot_persistence::bundles::Bundle;
use simdepot_persistence::operations::{self, NewOperation};
use simdepot_persistence::orders::Order;
use simdepot_persistence::pools::Pool;
use simdepot_persistence::{Conn, orders};

use crate::depot::Depot;
use crate::error::{AppError, FieldError};

/// What is sold on a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Goods {
    /// The profile as it is.
    Nothing,
    /// A product.
    Product(String),
    /// A subscription, activated on these terms.
    Subscription(Box<ActivationTerms>),
}

impl Goods {
    /// What a line of an order sells out of a pool. What an activation is sent with is settled here, so that whatever is
    /// sent again says the same.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for parameters that the carrier does not take.
    pub(super) fn of_line(
        depot: &Depot,
        order: &Order,
        pool: &Pool,
        (line_no, line): (usize, &OrderLine),
    ) -> Result<Self, AppError> {
        let Some(activation) = pool.settings.activation.as_ref().filter(|_| line.product.is_none()) else {
            return Ok(line.product.clone().map_or(Self::Nothing, Self::Product));
        };
        let carrier = &depot.account(&pool.settings.carrier_account)?.carrier;
        let context = ActivationContext {
            subscriber: order.id.to_string(),
            quantity: line.quantity,
            ordered_at: order.created_at,
        };
        let terms = carrier.activation_terms(activation, line.carrier_parameters.as_ref(), &context);
        terms.map(|terms| Self::Subscription(Box::new(terms))).map_err(|problems| {
            let place = format!("/lines/{line_no}/carrier_parameters");
            AppError::Invalid(FieldError::within(&place, problems).collect())
        })
    }

    /// What was sold on a place of an order: as the last operation on it says, whoever holds it now, else as the order's
    /// line says.
    ///
    /// # Errors
    /// When the store refuses.
    pub(crate) fn of_place(conn: &mut Conn<'_>, place: &Allocation) -> Result<Self, AppError> {
        let same = |other: &Allocation| (other.line_no, other.position) == (place.line_no, place.position);
        let of_order = allocations::of_order(conn, place.order)?;
        let held: Vec<i64> = of_order.iter().filter(|other| same(other)).map(|other| other.id).collect();
        let sent = operations::of_order(conn, place.order)?;
        let on_place =
            sent.into_iter().rev().find(|sent| sent.allocation_id.is_some_and(|id| held.contains(&id)));
        match on_place.map(|operation| operation.request) {
            Some(OperationRequest::ActivateSubscription { terms }) => Ok(Self::Subscription(Box::new(terms))),
            _ => {
                let lines = orders::lines(conn, place.order)?;
                let line = lines.into_iter().find(|line| line.line_no == place.line_no);
                Ok(line.and_then(|line| line.product).map_or(Self::Nothing, Self::Product))
            }
        }
    }

    /// The same for a SIM that takes the place of one on which it was sold.
    pub(crate) fn for_another(self, depot: &Depot, pool: &Pool) -> Self {
        match (self, depot.account(&pool.settings.carrier_account)) {
            (Self::Subscription(terms), Ok(account)) => {
                Self::Subscription(Box::new(account.carrier.terms_for_another(&terms)))
            }
            (goods, _) => goods,
        }
    }

    /// What an operation puts on its profile; nothing for one that does not sell.
    pub(crate) fn of_operation(request: &OperationRequest) -> Self {
        match request {
            OperationRequest::PlaceBundle { product, .. } => Self::Product(product.clone()),
            OperationRequest::ActivateSubscription { terms } => Self::Subscription(Box::new(terms.clone())),
            OperationRequest::ChangeBundle { .. }
            | OperationRequest::Line { .. }
            | OperationRequest::ChangeDevice { .. }
            | OperationRequest::BlockDevice { .. } => Self::Nothing,
        }
    }

    /// How a profile of the order begins: without an operation it is handed over at once.
    pub(crate) fn outcome(&self) -> ProfileOutcome {
        match self {
            Self::Nothing => ProfileOutcome::Fulfilled,
            Self::Product(_) | Self::Subscription(_) => ProfileOutcome::Pending,
        }
    }
}

/// A profile on its place in an order.
pub(crate) struct OnProfile<'a> {
    pub(crate) order: &'a Order,
    pub(crate) pool: &'a Pool,
    pub(crate) profile_id: i64,
    pub(crate) allocation_id: Option<i64>,
}

/// An operation about to be written, with its bundle when it makes one.
pub(crate) struct Made {
    pub(crate) bundle: Option<Bundle>,
    pub(crate) operation: NewOperation,
}

impl OnProfile<'_> {
    /// What must be written for the goods; `None` for a profile that is sold as it is.
    pub(crate) fn make(&self, goods: &Goods, depot: &Depot, now: DateTime<Utc>) -> Option<Made> {
        match goods {
            Goods::Nothing => None,
            Goods::Product(product) => {
                let bundle = self.bundle(product, depot, now);
                let product = product.clone();
                let request = OperationRequest::PlaceBundle { product, order_type: None, first_sale: true };
                let operation = self.operation(request, Some(bundle.id), depot);
                Some(Made { bundle: Some(bundle), operation })
            }
            Goods::Subscription(terms) => {
                let request = OperationRequest::ActivateSubscription { terms: terms.as_ref().clone() };
                Some(Made { bundle: None, operation: self.operation(request, None, depot) })
            }
        }
    }

    fn operation(&self, request: OperationRequest, bundle: Option<BundleId>, depot: &Depot) -> NewOperation {
        NewOperation {
            id: OperationId::generate(depot.ids.as_ref()),
            carrier_account: self.pool.settings.carrier_account.clone(),
            request,
            profile_id: self.profile_id,
            allocation_id: self.allocation_id,
            order: Some(self.order.id),
            bundle,
            sealed: None,
        }
    }

    fn bundle(&self, product: &str, depot: &Depot, now: DateTime<Utc>) -> Bundle {
        Bundle {
            id: BundleId::generate(depot.ids.as_ref()),
            profile_id: self.profile_id,
            order: Some(self.order.id),
            channel: self.order.channel.clone(),
            reference: None,
            request_hash: None,
            product: product.to_owned(),
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
        }
    }
}

impl Made {
    pub(crate) fn events(&self, depot: &Depot, iccid: &Iccid, now: DateTime<Utc>) -> Vec<Event> {
        let pending = Fact::OperationStatusChanged {
            iccid: iccid.clone(),
            kind: Some(self.operation.request.kind().to_owned()),
            from: None,
            to: OperationStatus::Pending,
            order_type: None,
            code: None,
            reason: None,
        };
        let ordered = self.bundle.as_ref().map(|bundle| {
            let ordered = Fact::BundleOrdered {
                iccid: iccid.clone(),
                product: bundle.product.clone(),
                order: bundle.order,
                channel: bundle.channel.clone(),
                reference: None,
            };
            depot.event(now, Subject::Bundle(bundle.id), 1, ordered)
        });
        let pending = depot.event(now, Subject::Operation(self.operation.id), 1, pending);
        ordered.into_iter().chain([pending]).collect()
    }
}
