//! The transaction that takes an order: reference, profiles, bundles, operations and events, or nothing.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use simdepot_domain::channel::PoolName;
use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::id::{HoldId, OrderId};
use simdepot_domain::order::{OrderLine, OrderStatus};
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::allocations::{self, Claimed, NewAllocation};
use simdepot_persistence::bundles;
use simdepot_persistence::operations;
use simdepot_persistence::orders::{self, Line, Order};
use simdepot_persistence::pools::Pool;
use simdepot_persistence::{Conn, events};

use super::convert::Conversion;
use super::goods::{Goods, OnProfile};
use super::place::{PlaceOrder, PlacedAs};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;

/// What tells a repeat from a conflict: the lines, in order, and the hold.
fn request_hash(lines: &[OrderLine], hold: Option<HoldId>) -> Vec<u8> {
    let mut canonical = Sha256::new_with_prefix(serde_json::to_vec(lines).unwrap_or_default());
    if let Some(hold) = hold {
        canonical.update(hold.to_string());
    }
    canonical.finalize().to_vec()
}

/// An order on its way through its transaction.
pub(super) struct Taking<'a> {
    depot: &'a Depot,
    caller: &'a Caller,
    request: &'a PlaceOrder,
    order: Order,
    now: DateTime<Utc>,
}

impl<'a> Taking<'a> {
    pub(super) fn new(depot: &'a Depot, caller: &'a Caller, request: &'a PlaceOrder) -> Self {
        let now = depot.now();
        let order = Order {
            id: OrderId::generate(depot.ids.as_ref()),
            channel: caller.channel.clone(),
            reference: request.reference.clone(),
            request_hash: request_hash(&request.lines, request.hold),
            status: OrderStatus::Fulfilled,
            reveal: request.reveal,
            problem: None,
            cancelling_since: None,
            accepted_at: None,
            version: 2,
            created_at: now,
            updated_at: now,
        };
        Self { depot, caller, request, order, now }
    }

    pub(super) fn run(mut self, conn: &mut Conn<'_>) -> Result<(OrderId, PlacedAs), AppError> {
        let pools = self.pools(conn)?;
        let lines = self.lines(&pools)?;
        if self.waits(&pools) {
            (self.order.status, self.order.version) = (OrderStatus::InProgress, 1);
        }
        // First the reference, then the profiles: a repeat waits here for the first one and takes nothing.
        if !orders::insert(conn, &self.order, &lines)? {
            return self.repeat(conn);
        }
        let goods = self.goods(&pools)?;
        let mut stock = self.claim(conn, &pools)?;
        let (mut allocated, mut facts) = (Vec::new(), self.order_events());
        for (line, goods) in lines.iter().zip(&goods) {
            let taken = stock.entry(line.pool_id).or_default();
            for (position, _) in (0..line.quantity).enumerate() {
                let profile = taken.pop_front().ok_or_else(short_claim)?;
                let outcome = goods.outcome();
                let position = i32::try_from(position).unwrap_or(i32::MAX);
                allocated.push(NewAllocation { profile, line_no: line.line_no, position, outcome });
            }
        }
        let revealed = self.reveals();
        let rows = allocations::allocate(conn, self.order.id, &allocated, revealed, self.now)?;
        for allocation in &allocated {
            facts.extend(self.profile_events(&allocation.profile, revealed));
        }
        let places = Places { pools: &pools, lines: &lines, goods: &goods };
        self.order_goods(conn, &places, allocated.iter().zip(rows), &mut facts)?;
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

    /// Whether anything is to be done at a carrier.
    fn waits(&self, pools: &BTreeMap<PoolName, Pool>) -> bool {
        let activates = |pool| pools.get(pool).is_some_and(|pool: &Pool| pool.settings.activation.is_some());
        self.request.lines.iter().any(|line| line.product.is_some() || activates(&line.pool))
    }

    /// What is sold on each line.
    fn goods(&self, pools: &BTreeMap<PoolName, Pool>) -> Result<Vec<Goods>, AppError> {
        let of_line = |(line_no, line): (usize, &OrderLine)| {
            let pool = pools.get(&line.pool).ok_or(AppError::NotFound { what: "pool" })?;
            Goods::of_line(self.depot, &self.order, pool, (line_no, line))
        };
        self.request.lines.iter().enumerate().map(of_line).collect()
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
            let claimed = match self.request.hold {
                // One pool then: the hold's.
                Some(hold) => self.conversion(hold, pool, requested).claim(conn)?,
                None => crate::pools::claim(conn, pool, requested, self.now)?.into(),
            };
            stock.insert(pool_id, claimed);
        }
        Ok(stock)
    }

    fn conversion(&self, hold: HoldId, pool: &'a Pool, quantity: u32) -> Conversion<'a> {
        let Self { depot, caller, now, .. } = *self;
        Conversion { depot, caller, hold, order: self.order.id, pool, quantity, now }
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
        let (from, to, order) = (profile.stock_status(), StockStatus::Allocated, Some(self.order.id));
        let moved = Fact::StockMoved { from, to, order, hold: profile.hold, quarantine: None, reason: None };
        let mut facts = vec![self.depot.event(self.now, subject.clone(), profile.version + 1, moved)];
        if revealed {
            let shown = Fact::CodeRevealed { order: self.order.id, key: self.caller.key };
            facts.push(self.depot.event(self.now, subject, profile.version + 2, shown));
        }
        facts
    }

    fn order_goods<'p>(
        &self,
        conn: &mut Conn<'_>,
        places: &Places<'_>,
        allocated: impl Iterator<Item = (&'p NewAllocation, i64)>,
        facts: &mut Vec<Event>,
    ) -> Result<(), AppError> {
        let (mut new_bundles, mut new_operations) = (Vec::new(), Vec::new());
        for (allocation, allocation_id) in allocated {
            let Some((pool, goods)) = places.of_line(allocation.line_no) else { continue };
            let profile_id = allocation.profile.id;
            let place = OnProfile { order: &self.order, pool, profile_id, allocation_id };
            let Some(made) = place.make(goods, self.depot, self.now) else { continue };
            facts.extend(made.events(self.depot, &allocation.profile.iccid, self.now));
            new_bundles.extend(made.bundle);
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

/// The lines of an order, with what is sold on them and out of which pools.
struct Places<'a> {
    pools: &'a BTreeMap<PoolName, Pool>,
    lines: &'a [Line],
    goods: &'a [Goods],
}

impl Places<'_> {
    fn of_line(&self, line_no: i32) -> Option<(&Pool, &Goods)> {
        let (line, goods) = self.lines.iter().zip(self.goods).find(|(line, _)| line.line_no == line_no)?;
        let pool = self.pools.values().find(|pool| pool.id == line.pool_id)?;
        Some((pool, goods))
    }
}

fn short_claim() -> AppError {
    AppError::Internal("a claim gave fewer profiles than it said".to_owned())
}
