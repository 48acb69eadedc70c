//! Reading orders, and revealing the codes of fulfilled ones.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::channel::{ChannelName, PoolName};
use simdepot_domain::id::{BundleId, OrderId};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::{OrderStatus, ProfileOutcome};
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::order_list::{self, OrderFilter};
use simdepot_persistence::orders::{self, Order};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, allocations, pools};

use super::place::settle;
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

/// An order of the caller's channel. With `reveal` a fulfilled one shows its codes.
///
/// # Errors
/// [`AppError::NotFound`], also for another channel's order; [`AppError::InvalidTransition`] when codes are asked for
/// and the order is not fulfilled, or is being cancelled.
pub async fn get(depot: &Depot, caller: &Caller, id: OrderId, reveal: bool) -> Result<OrderView, AppError> {
    let found = read(depot, caller, id).await?;
    if !reveal {
        return Ok(found);
    }
    if !activation::shows_codes(&found.order) {
        return Err(activation::not_fulfilled(&found.order));
    }
    reveal_all(depot, caller, found).await
}

/// The same, once the order is no longer in progress, or after `wait` as it is then.
///
/// # Errors
/// Those of [`get`], which are not waited for.
pub async fn get_settled(
    depot: &Depot,
    caller: &Caller,
    id: OrderId,
    reveal: bool,
    wait: Duration,
) -> Result<OrderView, AppError> {
    if !wait.is_zero() {
        // Whose it is comes first: nobody holds a connection for what is not his.
        let channel = caller.channel.clone();
        depot.store.read(move |conn| own(conn, &channel, id)).await?;
        settle(depot, id, wait).await?;
    }
    get(depot, caller, id, reveal).await
}

/// An order of the caller's channel, without codes.
///
/// # Errors
/// [`AppError::NotFound`], also for another channel's order.
pub(crate) async fn read(depot: &Depot, caller: &Caller, id: OrderId) -> Result<OrderView, AppError> {
    let channel = caller.channel.clone();
    depot
        .store
        .read(move |conn| {
            let order = own(conn, &channel, id)?;
            view(conn, order)
        })
        .await
}

/// An order of a channel.
pub(crate) fn own(conn: &mut Conn<'_>, channel: &ChannelName, id: OrderId) -> Result<Order, AppError> {
    orders::find(conn, id)?
        .filter(|order| order.channel == *channel)
        .ok_or(AppError::NotFound { what: "order" })
}

/// An order of the caller's channel, with its codes if they may be shown.
///
/// # Errors
/// [`AppError::NotFound`], also for another channel's order.
pub(crate) async fn read_and_reveal(
    depot: &Depot,
    caller: &Caller,
    id: OrderId,
) -> Result<OrderView, AppError> {
    let found = read(depot, caller, id).await?;
    if !activation::shows_codes(&found.order) {
        return Ok(found);
    }
    match reveal_all(depot, caller, found).await {
        // It is being cancelled, or a profile was replaced, since it was read: the answer tells how it stands now.
        Err(AppError::InvalidTransition { .. }) => read(depot, caller, id).await,
        revealed => revealed,
    }
}

/// Writes the reveal events, and only then opens the codes.
async fn reveal_all(depot: &Depot, caller: &Caller, mut found: OrderView) -> Result<OrderView, AppError> {
    // A place that was given up has no code to show: its profile left the order when it failed.
    let entries =
        found.lines.iter().flat_map(|line| line.profiles.iter()).filter(|entry| is_delivered(entry));
    let shown: Vec<Profile> = entries.map(|entry| entry.profile.clone()).collect();
    let codes = activation::reveal_all(depot, caller, found.order.id, shown).await?;
    let entries = found.lines.iter_mut().flat_map(|line| line.profiles.iter_mut());
    let entries = entries.filter(|entry| is_delivered(entry));
    for (entry, code) in entries.zip(codes) {
        entry.activation = code;
    }
    Ok(found)
}

fn is_delivered(entry: &OrderProfile) -> bool {
    entry.outcome == ProfileOutcome::Fulfilled
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
    let found: BTreeMap<i64, Profile> =
        profiles::get_many(conn, &ids)?.into_iter().map(|profile| (profile.id, profile)).collect();
    let mut placed = placed_bundles(conn, order.id)?;
    let mut lines = Vec::new();
    for line in orders::lines(conn, order.id)? {
        let mut entries = Vec::new();
        for allocation in stored.iter().filter(|allocation| allocation.line_no == line.line_no) {
            if allocation.outcome == ProfileOutcome::Substituted {
                continue;
            }
            let profile =
                found.get(&allocation.profile_id).cloned().ok_or(AppError::NotFound { what: "profile" })?;
            let profile = if left(allocation) { as_left(conn, profile)? } else { profile };
            // Placed for it, or for the SIM whose line it took over.
            let bundle = placed.remove(&allocation.id).or_else(|| {
                let moved =
                    placed.iter().find(|(_, placed)| placed.bundle.profile_id == allocation.profile_id);
                let place = moved.map(|(place, _)| *place)?;
                placed.remove(&place)
            });
            entries.push(OrderProfile { profile, outcome: allocation.outcome, bundle, activation: None });
        }
        let pool = pools::get(conn, line.pool_id)?.settings.pool;
        lines.push(OrderLineView { pool, product: line.product, quantity: line.quantity, profiles: entries });
    }
    Ok(OrderView { order, lines })
}

/// Whether a profile has left its place without another one in it.
fn left(allocation: &allocations::Allocation) -> bool {
    matches!(allocation.outcome, ProfileOutcome::Failed | ProfileOutcome::Cancelled)
}

/// A profile that has left an order: what became of it in another one's hands is not this one's to know.
fn as_left(conn: &mut Conn<'_>, profile: Profile) -> Result<Profile, AppError> {
    if allocations::live_of(conn, profile.id)?.is_none() {
        return Ok(profile);
    }
    Ok(Profile { msisdn: None, msisdn_at: None, eid: None, sim: None, esim: None, ..profile })
}

/// The bundles of an order by the allocation that each was placed for: a profile may come to one order twice, when it
/// went back on sale from a place that failed.
fn placed_bundles(conn: &mut Conn<'_>, order: OrderId) -> Result<BTreeMap<i64, OrderBundle>, AppError> {
    // Oldest first, so that of a bundle's operations the newest stays.
    let mut newest: BTreeMap<BundleId, Operation> = BTreeMap::new();
    for operation in operations::of_order(conn, order)? {
        if let Some(bundle) = operation.bundle {
            newest.insert(bundle, operation);
        }
    }
    let mut placed = BTreeMap::new();
    for bundle in bundles::of_order(conn, order)? {
        let operation = newest.remove(&bundle.id);
        if let Some(allocation) = operation.as_ref().and_then(|operation| operation.allocation_id) {
            placed.insert(allocation, OrderBundle { bundle, operation });
        }
    }
    Ok(placed)
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
        channel: caller.channel.clone(),
        reference: asked.reference,
        status: asked.status,
        created_after: asked.created_after,
        before: asked.before,
    };
    depot
        .store
        .snapshot(move |conn| {
            order_list::list(conn, &filter, limit)?.into_iter().map(|order| view(conn, order)).collect()
        })
        .await
}
