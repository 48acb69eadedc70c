//! An order before it is written: what it asks for, and everything that follows from it.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use simdepot_domain::channel::PoolName;
use simdepot_domain::event::{Event, Fact, Subject};
use simdepot_domain::id::{HoldId, OrderId};
use simdepot_domain::order::{OrderLine, OrderStatus};
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::allocations::{Claimed, NewAllocation};
use simdepot_persistence::idempotency::Record;
use simdepot_persistence::intake::NewOrder;
use simdepot_persistence::orders::{Line, Order};
use simdepot_persistence::pools::Pool;

use super::check::check_lines;
use super::convert::Conversion;
use super::desk::Asked;
use super::goods::{Goods, Made, OnProfile};
use crate::error::AppError;
use crate::idempotency;

/// The pools that a batch names.
pub(super) type Pools = BTreeMap<PoolName, Pool>;
/// What was claimed, by the pool's row.
pub(super) type Stock = BTreeMap<i64, VecDeque<Claimed>>;

/// What tells a repeat from a conflict: the lines, in order, and the hold.
fn request_hash(lines: &[OrderLine], hold: Option<HoldId>) -> Vec<u8> {
    let mut canonical = Sha256::new_with_prefix(serde_json::to_vec(lines).unwrap_or_default());
    if let Some(hold) = hold {
        canonical.update(hold.to_string());
    }
    canonical.finalize().to_vec()
}

/// The hash of what was asked for.
pub(super) fn hash_of(asked: &Asked) -> Vec<u8> {
    request_hash(&asked.request.lines, asked.request.hold)
}

/// An order that may be taken if there is stock for it.
pub(super) struct Draft<'a> {
    asked: &'a Asked,
    pools: &'a Pools,
    order: Order,
    lines: Vec<Line>,
    goods: Vec<Goods>,
}

/// An order with its profiles.
pub(super) struct Filled<'a> {
    pub(super) draft: Draft<'a>,
    pub(super) new: NewOrder,
    /// What is put on each profile, where something is.
    pub(super) made: Vec<Option<Made>>,
}

impl<'a> Draft<'a> {
    /// Checks an order against its pools.
    ///
    /// # Errors
    /// [`AppError::Invalid`], and what the carrier has against its parameters.
    pub(super) fn new(asked: &'a Asked, pools: &'a Pools, now: DateTime<Utc>) -> Result<Self, AppError> {
        let errors = check_lines(&asked.request, pools);
        if !errors.is_empty() {
            return Err(AppError::Invalid(errors));
        }
        let order = Order {
            id: OrderId::generate(asked.depot.ids.as_ref()),
            channel: asked.caller.channel.clone(),
            reference: asked.request.reference.clone(),
            request_hash: hash_of(asked),
            status: OrderStatus::Fulfilled,
            reveal: asked.request.reveal,
            problem: None,
            cancelling_since: None,
            accepted_at: None,
            version: 2,
            created_at: now,
            updated_at: now,
        };
        let mut draft = Self { asked, pools, order, lines: Vec::new(), goods: Vec::new() };
        draft.add_lines()?;
        if draft.goods.iter().any(|goods| *goods != Goods::Nothing) {
            (draft.order.status, draft.order.version) = (OrderStatus::InProgress, 1);
        }
        Ok(draft)
    }

    fn add_lines(&mut self) -> Result<(), AppError> {
        for (place, line) in self.asked.request.lines.iter().enumerate() {
            let pool = self.pool(line)?;
            self.goods.push(Goods::of_line(&self.asked.depot, &self.order, pool, (place, line))?);
            self.lines.push(Line {
                line_no: i32::try_from(place).unwrap_or(i32::MAX),
                pool_id: pool.id,
                product: line.product.clone(),
                quantity: i64::from(line.quantity),
                carrier_parameters: line.carrier_parameters.clone(),
            });
        }
        Ok(())
    }

    fn pool(&self, line: &OrderLine) -> Result<&'a Pool, AppError> {
        self.pools.get(&line.pool).ok_or(AppError::NotFound { what: "pool" })
    }

    /// What it needs of each pool.
    pub(super) fn demand(&self) -> BTreeMap<i64, (&'a Pool, u32)> {
        let mut demand: BTreeMap<i64, (&'a Pool, u32)> = BTreeMap::new();
        for line in &self.asked.request.lines {
            if let Ok(pool) = self.pool(line) {
                demand.entry(pool.id).or_insert((pool, 0)).1 += line.quantity;
            }
        }
        demand
    }

    /// Its way out of a hold, if it comes from one: one pool then.
    pub(super) fn conversion(&self) -> Option<Conversion<'_>> {
        let hold = self.asked.request.hold?;
        let (_, (pool, quantity)) = self.demand().into_iter().next()?;
        let Asked { depot, caller, .. } = self.asked;
        Some(Conversion {
            depot,
            caller,
            hold,
            order: self.order.id,
            pool,
            quantity,
            now: self.order.created_at,
        })
    }

    /// Takes what it needs out of what was claimed, all or nothing.
    ///
    /// # Errors
    /// [`AppError::OutOfStock`].
    pub(super) fn fill(self, stock: &mut Stock) -> Result<Filled<'a>, AppError> {
        for (pool_id, (pool, requested)) in self.demand() {
            let available = stock.get(&pool_id).map_or(0, VecDeque::len);
            if available < usize::try_from(requested).unwrap_or(usize::MAX) {
                let available = u64::try_from(available).unwrap_or_default();
                let pool = pool.settings.pool.to_string();
                return Err(AppError::OutOfStock { pool, requested, available });
            }
        }
        let (mut places, mut made) = (Vec::new(), Vec::new());
        for (line, goods) in self.lines.iter().zip(&self.goods) {
            let taken = stock.entry(line.pool_id).or_default();
            for position in 0..i32::try_from(line.quantity).unwrap_or(i32::MAX) {
                let profile = taken.pop_front().ok_or_else(short_claim)?;
                made.push(self.made(line, goods, &profile));
                places.push(NewAllocation {
                    profile,
                    line_no: line.line_no,
                    position,
                    outcome: goods.outcome(),
                });
            }
        }
        let new = NewOrder {
            order: self.order.clone(),
            lines: self.lines.clone(),
            places,
            revealed: self.reveals(),
            key: self.key(),
            events: Vec::new(),
        };
        let mut filled = Filled { draft: self, new, made };
        filled.new.events = filled.events();
        Ok(filled)
    }

    fn made(&self, line: &Line, goods: &Goods, profile: &Claimed) -> Option<Made> {
        let pool = self.pools.values().find(|pool| pool.id == line.pool_id)?;
        // The allocation has no row yet.
        let place = OnProfile { order: &self.order, pool, profile_id: profile.id, allocation_id: None };
        place.make(goods, &self.asked.depot, self.order.created_at)
    }

    /// Only an order that is fulfilled at once shows its codes in this answer.
    pub(super) fn reveals(&self) -> bool {
        self.order.reveal && self.is_fulfilled()
    }

    pub(super) fn is_fulfilled(&self) -> bool {
        self.order.status == OrderStatus::Fulfilled
    }

    fn key(&self) -> Option<Record> {
        let key = self.asked.key.as_ref()?;
        Some(idempotency::record_of(key, &self.asked.caller, 201, &self.order.id.to_string()))
    }

    /// The pool of a line.
    pub(super) fn pool_name(&self, line: &Line) -> Option<&PoolName> {
        self.pools.iter().find(|(_, pool)| pool.id == line.pool_id).map(|(name, _)| name)
    }
}

impl Filled<'_> {
    /// Everything that becomes true with it.
    fn events(&self) -> Vec<Event> {
        let mut facts = self.of_order();
        for place in &self.new.places {
            facts.extend(self.of_profile(&place.profile));
        }
        let (depot, now) = (&self.draft.asked.depot, self.new.order.created_at);
        for (place, made) in self.new.places.iter().zip(&self.made) {
            facts.extend(made.iter().flat_map(|made| made.events(depot, &place.profile.iccid, now)));
        }
        facts
    }

    fn of_order(&self) -> Vec<Event> {
        let Draft { asked, order, .. } = &self.draft;
        let subject = Subject::Order(order.id);
        let quantity = asked.request.lines.iter().map(|line| line.quantity).sum();
        let (channel, reference) = (order.channel.clone(), order.reference.clone());
        let created = Fact::OrderCreated { channel, reference, quantity };
        let mut facts = vec![asked.depot.event(order.created_at, subject.clone(), 1, created)];
        if self.draft.is_fulfilled() {
            let moved =
                Fact::OrderStatusChanged { from: OrderStatus::InProgress, to: OrderStatus::Fulfilled };
            facts.push(asked.depot.event(order.created_at, subject, 2, moved));
        }
        facts
    }

    fn of_profile(&self, profile: &Claimed) -> Vec<Event> {
        let Draft { asked, order, .. } = &self.draft;
        let subject = Subject::Profile(profile.iccid.clone());
        let (from, to) = (profile.stock_status(), StockStatus::Allocated);
        let (held, order_id) = (profile.hold, Some(order.id));
        let moved =
            Fact::StockMoved { from, to, order: order_id, hold: held, quarantine: None, reason: None };
        let mut facts =
            vec![asked.depot.event(order.created_at, subject.clone(), profile.version + 1, moved)];
        if self.new.revealed {
            let shown = Fact::CodeRevealed { order: order.id, key: asked.caller.key };
            facts.push(asked.depot.event(order.created_at, subject, profile.version + 2, shown));
        }
        facts
    }
}

fn short_claim() -> AppError {
    AppError::Internal("a claim gave fewer profiles than it said".to_owned())
}
