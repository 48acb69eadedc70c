//! Reading orders, and revealing the codes of fulfilled ones.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::channel::PoolName;
use simdepot_domain::id::{BundleId, OrderId};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::orders::{self, Order, OrderFilter};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, allocations, pools, secrets};

use crate::activation;
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;

/// An order with everything that belongs to it.
#[derive(Debug)]
pub struct OrderView {
    /// The order.
    pub order: Order,
    /// Its lines.
    pub lines: Vec<OrderLineView>,
}

/// A line with its profiles.
#[derive(Debug)]
pub struct OrderLineView {
    /// The pool's name.
    pub pool: PoolName,
    /// The product.
    pub product: Option<String>,
    /// How many were ordered.
    pub quantity: i64,
    /// The profiles, by place; substituted ones are left out.
    pub profiles: Vec<OrderProfile>,
}

/// One profile of an order.
#[derive(Debug)]
pub struct OrderProfile {
    /// The profile.
    pub profile: Profile,
    /// What became of it.
    pub outcome: ProfileOutcome,
    /// What was put on it.
    pub bundle: Option<OrderBundle>,
    /// Its code, if this answer reveals it.
    pub activation: Option<ActivationCode>,
}

/// A bundle with its operation.
#[derive(Debug, Clone)]
pub struct OrderBundle {
    /// The bundle.
    pub bundle: Bundle,
    /// The operation that places it.
    pub operation: Option<Operation>,
}

impl OrderBundle {
    /// Where its operation stands.
    pub fn operation_status(&self) -> Option<OperationStatus> {
        self.operation.as_ref().map(|operation| operation.status)
    }
}

/// Whether an answer may carry codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reveal {
    /// It may not.
    Never,
    /// It does when the order is fulfilled.
    IfFulfilled,
}

/// An order of the caller's channel. With `reveal` a fulfilled one shows its codes.
///
/// # Errors
/// [`AppError::NotFound`], also for another channel's order; [`AppError::InvalidTransition`] when codes are asked for
/// and the order is not fulfilled.
pub async fn get(depot: &Depot, caller: &Caller, id: OrderId, reveal: bool) -> Result<OrderView, AppError> {
    let found = get_with(depot, caller, id, if reveal { Reveal::IfFulfilled } else { Reveal::Never }).await?;
    if reveal && found.order.status != OrderStatus::Fulfilled {
        return Err(activation::not_fulfilled(&found.order));
    }
    Ok(found)
}

pub(crate) async fn get_with(
    depot: &Depot,
    caller: &Caller,
    id: OrderId,
    reveal: Reveal,
) -> Result<OrderView, AppError> {
    let channel = caller.channel.clone();
    let mut found = depot
        .store
        .read(move |conn| {
            let order = orders::find(conn, id)?
                .filter(|order| order.channel == channel)
                .ok_or(AppError::NotFound { what: "order" })?;
            view(conn, order)
        })
        .await?;
    if reveal == Reveal::IfFulfilled && found.order.status == OrderStatus::Fulfilled {
        found = reveal_all(depot, caller, found).await?;
    }
    Ok(found)
}

/// Writes the reveal events, and only then opens the codes.
async fn reveal_all(depot: &Depot, caller: &Caller, mut found: OrderView) -> Result<OrderView, AppError> {
    let order = found.order.id;
    let shown: Vec<Profile> =
        found.lines.iter().flat_map(|line| line.profiles.iter().map(|entry| entry.profile.clone())).collect();
    activation::record_reveal(depot, caller, order, shown).await?;
    let store = depot.store.clone();
    depot
        .store
        .read(move |conn| {
            for entry in found.lines.iter_mut().flat_map(|line| line.profiles.iter_mut()) {
                entry.activation = secrets::activation_code(conn, store.vault(), &entry.profile)?;
            }
            Ok(found)
        })
        .await
}

/// A bundle with the operation that places it.
pub(crate) fn order_bundle(conn: &mut Conn<'_>, bundle: Bundle) -> Result<OrderBundle, AppError> {
    let operation = operations::of_bundle(conn, bundle.id)?;
    Ok(OrderBundle { bundle, operation })
}

/// Gathers what belongs to an order.
pub(crate) fn view(conn: &mut Conn<'_>, order: Order) -> Result<OrderView, AppError> {
    let stored = allocations::of_order(conn, order.id)?;
    let ids: Vec<i64> = stored.iter().map(|allocation| allocation.profile_id).collect();
    let mut found: BTreeMap<i64, Profile> =
        profiles::get_many(conn, &ids)?.into_iter().map(|profile| (profile.id, profile)).collect();
    let mut placed: BTreeMap<i64, OrderBundle> = BTreeMap::new();
    // Oldest first, so that of a bundle's operations the newest stays.
    let mut newest: BTreeMap<BundleId, Operation> = BTreeMap::new();
    for operation in operations::of_order(conn, order.id)? {
        if let Some(bundle) = operation.bundle {
            newest.insert(bundle, operation);
        }
    }
    for bundle in bundles::of_order(conn, order.id)? {
        let operation = newest.remove(&bundle.id);
        placed.insert(bundle.profile_id, OrderBundle { bundle, operation });
    }
    let mut lines = Vec::new();
    for line in orders::lines(conn, order.id)? {
        let mut entries = Vec::new();
        for allocation in stored.iter().filter(|allocation| allocation.line_no == line.line_no) {
            if allocation.outcome == ProfileOutcome::Substituted {
                continue;
            }
            let profile =
                found.remove(&allocation.profile_id).ok_or(AppError::NotFound { what: "profile" })?;
            let bundle = placed.remove(&profile.id);
            entries.push(OrderProfile { profile, outcome: allocation.outcome, bundle, activation: None });
        }
        let pool = pools::get(conn, line.pool_id)?.settings.pool;
        lines.push(OrderLineView { pool, product: line.product, quantity: line.quantity, profiles: entries });
    }
    Ok(OrderView { order, lines })
}

/// What a list of orders asks for.
#[derive(Debug, Clone, Default)]
pub struct ListOrders {
    /// With this reference.
    pub reference: Option<String>,
    /// Standing there.
    pub status: Option<OrderStatus>,
    /// Taken after this moment.
    pub created_after: Option<DateTime<Utc>>,
    /// Before this order, as the list goes.
    pub before: Option<OrderId>,
}

/// A page of the channel's orders, newest first, without codes.
///
/// # Errors
/// When they cannot be read.
pub async fn list(
    depot: &Depot,
    caller: &Caller,
    asked: ListOrders,
    limit: i64,
) -> Result<Vec<OrderView>, AppError> {
    let filter = OrderFilter {
        channel: Some(caller.channel.clone()),
        reference: asked.reference,
        status: asked.status,
        created_after: asked.created_after,
        before: asked.before,
    };
    depot
        .store
        .read(move |conn| {
            orders::list(conn, &filter, limit)?.into_iter().map(|order| view(conn, order)).collect()
        })
        .await
}
