//! Taking an order: one transaction over all its lines.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::{Concern, Refusal};
use simdepot_domain::channel::PoolName;
use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::id::{BundleId, OperationId, OrderId};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_domain::order::{MAX_LINES, MAX_PROFILES, OrderLine, OrderStatus, ProfileOutcome};
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::allocations::{self, Claim, Claimed, NewAllocation};
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::operations::{self, NewOperation};
use simdepot_persistence::orders::{self, Line, Order};
use simdepot_persistence::pools::{self, Pool};
use simdepot_persistence::{Conn, events};

use super::read::{OrderView, Reveal, get_with, view};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};
use crate::products;

/// What a storefront asks for.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// The storefront's own reference, unique in its channel for ever.
    pub reference: String,
    /// What it wants.
    pub lines: Vec<OrderLine>,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Whether the answer carries the activation codes.
    pub reveal: bool,
}

/// How an order came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacedAs {
    /// By this request.
    Created,
    /// By an earlier request with the same reference and content.
    Repeated,
    /// By an earlier request with the same idempotency key.
    Replayed,
    /// Not at all: a dry run.
    DryRun,
}

/// An order and how it came about.
#[derive(Debug)]
pub struct Placed {
    /// How.
    pub placed_as: PlacedAs,
    /// The order.
    pub order: OrderView,
}

/// Takes an order and waits up to `wait` for its fulfilment. The order goes on when the caller goes away.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::OutOfStock`], [`AppError::ReferenceConflict`], the idempotency errors; and
/// [`AppError::CarrierRefused`] when the order failed within the wait.
pub async fn place(
    depot: &Depot,
    caller: &Caller,
    request: PlaceOrder,
    key: Option<&IdempotencyKey>,
    wait: Duration,
) -> Result<Placed, AppError> {
    check(depot, &request).await?;
    let reveal = request.reveal;
    if request.dry_run {
        return dry_run(depot, caller, request).await;
    }
    let (id, placed_as) =
        match idempotency::once(depot, caller, key, || take(depot, caller, request, key)).await? {
            Once::Made(made) => made,
            Once::Replayed(id) => (id.parse().map_err(|_| unreadable_record())?, PlacedAs::Replayed),
        };
    depot.signals.work.notify_one();
    settle(depot, id, wait).await?;
    let reveal = if reveal { Reveal::IfFulfilled } else { Reveal::Never };
    let order = get_with(depot, caller, id, reveal).await?;
    if placed_as != PlacedAs::Repeated && order.order.status == OrderStatus::Failed {
        return Err(refused(&order));
    }
    Ok(Placed { placed_as, order })
}

/// Waits until the order is no longer in progress.
async fn settle(depot: &Depot, id: OrderId, wait: Duration) -> Result<(), AppError> {
    let look = || async {
        let order = depot.store.read(move |conn| orders::find(conn, id)).await?;
        Ok::<_, AppError>(order.filter(|order| order.status != OrderStatus::InProgress))
    };
    depot.signals.wait_for(id.0, wait, look).await?;
    Ok(())
}

fn refused(order: &OrderView) -> AppError {
    let problem = order.order.problem.as_ref();
    let refusal = problem
        .and_then(|problem| serde_json::from_value(problem.clone()).ok())
        .unwrap_or(Refusal { code: "unknown".to_owned(), detail: None, concerns: Concern::Request });
    AppError::CarrierRefused { order: Some(order.order.id), bundle: None, refusal }
}

/// Checks what needs no lock: sizes, pools, and that the carrier sells the products.
async fn check(depot: &Depot, request: &PlaceOrder) -> Result<(), AppError> {
    let total: u64 = request.lines.iter().map(|line| u64::from(line.quantity)).sum();
    if request.lines.is_empty() || request.lines.len() > MAX_LINES {
        return Err(AppError::invalid("/lines", "length", format!("must have 1 to {MAX_LINES} lines")));
    }
    if total > u64::from(MAX_PROFILES) {
        let message =
            format!("an order has at most {MAX_PROFILES} profiles over all lines, this one has {total}");
        return Err(AppError::invalid("/lines", "range", message));
    }
    let known: BTreeMap<PoolName, Pool> = depot
        .store
        .read(|conn| Ok::<_, AppError>(pools::list(conn)?))
        .await?
        .into_iter()
        .map(|pool| (pool.settings.pool.clone(), pool))
        .collect();
    let mut errors = Vec::new();
    for (index, line) in request.lines.iter().enumerate() {
        let at = |field: &str| format!("/lines/{index}/{field}");
        let Some(pool) = known.get(&line.pool) else {
            errors.push(FieldError::new(at("pool"), "unknown", "there is no such pool"));
            continue;
        };
        if line.quantity == 0 {
            errors.push(FieldError::new(at("quantity"), "range", "must be at least 1"));
        }
        if line.carrier_parameters.is_some() {
            let message = "this carrier takes no parameters with an order";
            errors.push(FieldError::new(at("carrier_parameters"), "unsupported", message));
        }
        if let Some(product) = &line.product
            && !products::is_sold(depot, &pool.settings.carrier_account, product).await?
        {
            errors.push(FieldError::new(at("product"), "unknown", "the carrier does not sell this product"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

/// What tells a repeat from a conflict: the lines, in order.
fn request_hash(lines: &[OrderLine]) -> Vec<u8> {
    let canonical = serde_json::to_vec(lines).unwrap_or_default();
    Sha256::digest(canonical).to_vec()
}

async fn take(
    depot: &Depot,
    caller: &Caller,
    request: PlaceOrder,
    key: Option<&IdempotencyKey>,
) -> Result<(OrderId, PlacedAs), AppError> {
    let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
    depot
        .store
        .write(move |conn| {
            let (id, placed_as) = Taking::new(&work, &caller, &request).run(conn)?;
            // A repeat by reference made nothing, so there is nothing to remember for the key.
            if placed_as == PlacedAs::Created {
                idempotency::record(conn, &work, &caller, key.as_ref(), 201, &id.to_string())?;
            }
            Ok((id, placed_as))
        })
        .await
}

/// The order as it would be: everything is done, looked at, and rolled back.
async fn dry_run(depot: &Depot, caller: &Caller, request: PlaceOrder) -> Result<Placed, AppError> {
    enum Outcome {
        Tried(Box<Placed>),
        Failed(AppError),
    }
    impl From<AppError> for Outcome {
        fn from(error: AppError) -> Self {
            Self::Failed(error)
        }
    }
    impl From<simdepot_persistence::StoreError> for Outcome {
        fn from(error: simdepot_persistence::StoreError) -> Self {
            Self::Failed(error.into())
        }
    }
    let (work, caller) = (depot.clone(), caller.clone());
    let tried = depot.store.write(move |conn| {
        let (id, placed_as) = Taking::new(&work, &caller, &request).run(conn)?;
        let order = orders::find(conn, id)?.ok_or(AppError::NotFound { what: "order" })?;
        let placed_as = if placed_as == PlacedAs::Created { PlacedAs::DryRun } else { placed_as };
        let placed = Placed { placed_as, order: view(conn, order)? };
        Err::<(), _>(Outcome::Tried(Box::new(placed)))
    });
    match tried.await {
        Err(Outcome::Tried(placed)) => Ok(*placed),
        Err(Outcome::Failed(error)) => Err(error),
        Ok(()) => Err(AppError::Internal("a dry run was committed".to_owned())),
    }
}

/// An order on its way through its transaction.
struct Taking<'a> {
    depot: &'a Depot,
    caller: &'a Caller,
    request: &'a PlaceOrder,
    order: Order,
    now: DateTime<Utc>,
}

impl<'a> Taking<'a> {
    fn new(depot: &'a Depot, caller: &'a Caller, request: &'a PlaceOrder) -> Self {
        let now = depot.now();
        let waits = request.lines.iter().any(|line| line.product.is_some());
        let order = Order {
            id: OrderId::generate(depot.ids.as_ref()),
            channel: caller.channel.clone(),
            reference: request.reference.clone(),
            request_hash: request_hash(&request.lines),
            status: if waits { OrderStatus::InProgress } else { OrderStatus::Fulfilled },
            reveal: request.reveal,
            problem: None,
            version: if waits { 1 } else { 2 },
            created_at: now,
            updated_at: now,
        };
        Self { depot, caller, request, order, now }
    }

    fn run(self, conn: &mut Conn<'_>) -> Result<(OrderId, PlacedAs), AppError> {
        let pools = self.pools(conn)?;
        let lines = self.lines(&pools)?;
        // First the reference, then the profiles: a repeat waits here for the first one and takes nothing.
        if !orders::insert(conn, &self.order, &lines)? {
            return self.repeat(conn);
        }
        let mut stock = self.claim(conn, &pools)?;
        let (mut allocated, mut facts) = (Vec::new(), self.order_events());
        for line in &lines {
            let taken = stock.entry(line.pool_id).or_default();
            for (position, _) in (0..line.quantity).enumerate() {
                let profile = taken.pop_front().ok_or_else(short_claim)?;
                let outcome =
                    if line.product.is_some() { ProfileOutcome::Pending } else { ProfileOutcome::Fulfilled };
                let position = i32::try_from(position).unwrap_or(i32::MAX);
                allocated.push(NewAllocation { profile, line_no: line.line_no, position, outcome });
            }
        }
        let revealed = self.reveals();
        let rows = allocations::allocate(conn, self.order.id, &allocated, revealed, self.now)?;
        for allocation in &allocated {
            facts.extend(self.profile_events(&allocation.profile, revealed));
        }
        self.order_bundles(conn, &pools, &lines, &allocated, &rows, &mut facts)?;
        events::append(conn, &facts)?;
        Ok((self.order.id, PlacedAs::Created))
    }

    /// Only an order that is fulfilled at once shows its codes in this answer.
    fn reveals(&self) -> bool {
        self.request.reveal && self.order.status == OrderStatus::Fulfilled
    }

    fn repeat(&self, conn: &mut Conn<'_>) -> Result<(OrderId, PlacedAs), AppError> {
        let reference = &self.order.reference;
        let existing =
            orders::find_by_reference(conn, &self.caller.channel, reference)?.ok_or_else(|| {
                AppError::Internal("the order that holds the reference cannot be found".to_owned())
            })?;
        if existing.request_hash == self.order.request_hash {
            return Ok((existing.id, PlacedAs::Repeated));
        }
        Err(AppError::ReferenceConflict { reference: reference.clone(), existing: existing.id.to_string() })
    }

    fn pools(&self, conn: &mut Conn<'_>) -> Result<BTreeMap<PoolName, Pool>, AppError> {
        let mut found = BTreeMap::new();
        for line in &self.request.lines {
            if !found.contains_key(&line.pool) {
                found.insert(line.pool.clone(), crate::pools::require(conn, &line.pool)?);
            }
        }
        Ok(found)
    }

    fn lines(&self, pools: &BTreeMap<PoolName, Pool>) -> Result<Vec<Line>, AppError> {
        (0i32..)
            .zip(&self.request.lines)
            .map(|(line_no, line)| {
                let pool = pools.get(&line.pool).ok_or(AppError::NotFound { what: "pool" })?;
                Ok(Line {
                    line_no,
                    pool_id: pool.id,
                    product: line.product.clone(),
                    quantity: i64::from(line.quantity),
                    carrier_parameters: line.carrier_parameters.clone(),
                })
            })
            .collect()
    }

    /// Claims what all lines need, pool by pool in ascending order, so that no two orders wait for each other.
    fn claim(
        &self,
        conn: &mut Conn<'_>,
        pools: &BTreeMap<PoolName, Pool>,
    ) -> Result<BTreeMap<i64, VecDeque<Claimed>>, AppError> {
        let mut demand: BTreeMap<i64, (&Pool, u32)> = BTreeMap::new();
        for line in &self.request.lines {
            if let Some(pool) = pools.get(&line.pool) {
                demand.entry(pool.id).or_insert((pool, 0)).1 += line.quantity;
            }
        }
        let mut stock = BTreeMap::new();
        for (pool_id, (pool, requested)) in demand {
            match allocations::claim(conn, pool, requested, self.now)? {
                Claim::Taken(profiles) => stock.insert(pool_id, profiles.into()),
                Claim::OutOfStock { available } => {
                    return Err(AppError::OutOfStock {
                        pool: pool.settings.pool.to_string(),
                        requested,
                        available,
                    });
                }
            };
        }
        Ok(stock)
    }

    fn order_events(&self) -> Vec<Event> {
        let subject = Subject::Order(self.order.id);
        let quantity = self.request.lines.iter().map(|line| line.quantity).sum();
        let (channel, reference) = (self.order.channel.clone(), self.order.reference.clone());
        let created = Fact::OrderCreated { channel, reference, quantity };
        let mut facts = vec![self.depot.event(self.now, subject.clone(), 1, created)];
        if self.order.status == OrderStatus::Fulfilled {
            let moved =
                Fact::OrderStatusChanged { from: OrderStatus::InProgress, to: OrderStatus::Fulfilled };
            facts.push(self.depot.event(self.now, subject, 2, moved));
        }
        facts
    }

    fn profile_events(&self, profile: &Claimed, revealed: bool) -> Vec<Event> {
        let subject = Subject::Profile(profile.iccid.clone());
        let (from, to, order) = (StockStatus::Available, StockStatus::Allocated, Some(self.order.id));
        let moved = Fact::StockMoved { from, to, order, quarantine: None, reason: None };
        let mut facts = vec![self.depot.event(self.now, subject.clone(), profile.version + 1, moved)];
        if revealed {
            let shown = Fact::CodeRevealed { order: self.order.id, key: self.caller.key };
            facts.push(self.depot.event(self.now, subject, profile.version + 2, shown));
        }
        facts
    }

    fn order_bundles(
        &self,
        conn: &mut Conn<'_>,
        pools: &BTreeMap<PoolName, Pool>,
        lines: &[Line],
        allocated: &[NewAllocation],
        rows: &[i64],
        facts: &mut Vec<Event>,
    ) -> Result<(), AppError> {
        let (mut new_bundles, mut new_operations) = (Vec::new(), Vec::new());
        for (allocation, row) in allocated.iter().zip(rows) {
            let Some(line) = lines.iter().find(|line| line.line_no == allocation.line_no) else { continue };
            let Some(product) = &line.product else { continue };
            let Some(pool) = pools.values().find(|pool| pool.id == line.pool_id) else { continue };
            let made = BundleOnProfile {
                order: &self.order,
                pool,
                product,
                profile_id: allocation.profile.id,
                allocation_id: *row,
            }
            .make(self.depot, self.now);
            facts.extend(made.events(self.depot, &allocation.profile.iccid, self.now));
            new_bundles.push(made.bundle);
            new_operations.push(made.operation);
        }
        if new_operations.is_empty() {
            return Ok(());
        }
        bundles::insert_many(conn, &new_bundles)?;
        // Due by the clock that the workers go by.
        let due = conn.now()?;
        operations::insert_many(conn, &new_operations, due)?;
        Ok(())
    }
}

fn short_claim() -> AppError {
    AppError::Internal("a claim gave fewer profiles than it said".to_owned())
}

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
        };
        let pending = Fact::OperationStatusChanged {
            iccid: iccid(),
            from: None,
            to: OperationStatus::Pending,
            order_type: None,
            code: None,
        };
        [
            depot.event(now, Subject::Bundle(self.bundle.id), 1, ordered),
            depot.event(now, Subject::Operation(self.operation.id), 1, pending),
        ]
    }
}
