//! The transaction that takes orders: reference, profiles, bundles, operations and events of each, or nothing of it.
//!
//! Profiles first, then references and keys in their order. Whoever waits for a profile holds no reference, so that no two
//! transactions wait for each other. Most batches meet no reference or key that is taken and no pool that runs out, so
//! neither is looked for; a batch that does meet one is rolled back and begun again with its eyes open ([`Manner`]).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use simdepot_domain::channel::PoolName;
use simdepot_domain::id::OrderId;
use simdepot_persistence::intake::{self, NewOrder, Written};
use simdepot_persistence::pools::{self, Pool};
use simdepot_persistence::{Conn, StoreError, allocations, bundles, operations, orders};

use super::desk::Asked;
use super::draft::{Draft, Filled, Pools, Stock, hash_of};
use super::fresh::{Fresh, fresh};
use super::place::PlacedAs;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency;

/// How a batch is taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// Keys and references are looked up before anything is written: one of them was taken.
    looks_first: bool,
    /// Profiles that others hold are waited for: without them there were too few.
    waits: bool,
}

/// Why a transaction is rolled back.
#[derive(Debug)]
pub(super) enum Again {
    /// A reference or a key is taken: look them up first.
    LookFirst,
    /// Too few profiles that nobody holds: wait for the others.
    Wait,
    /// For good.
    Failed(AppError),
}

impl From<AppError> for Again {
    fn from(error: AppError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Again {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// How the transaction ends when all went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is so.
    Commit,
    /// It was only tried.
    RollBack,
}

/// How often a batch is begun: in each manner, and again after a few lost races.
const TRIES: usize = 8;

/// Runs a unit of work that takes orders in one transaction, again in another manner when it asks for that.
///
/// # Errors
/// Those of `work`; the race itself when it is lost again and again.
pub(super) async fn in_one<T: Send + 'static>(
    depot: &Depot,
    ending: Ending,
    work: impl Fn(&mut Conn<'_>, Manner) -> Result<T, Again> + Clone + Send + 'static,
) -> Result<T, AppError> {
    let (mut manner, mut lost) = (Manner::default(), None);
    for _ in 0..TRIES {
        let work = work.clone();
        let work = move |conn: &mut Conn<'_>| work(conn, manner);
        let done = match ending {
            Ending::Commit => depot.store.write_batch(work).await,
            Ending::RollBack => depot.store.rehearse(work).await,
        };
        match done {
            Ok(taken) => return Ok(taken),
            Err(Again::LookFirst) => manner.looks_first = true,
            // What is taken again has its profiles already, so that the stock says nothing about it.
            Err(Again::Wait) => manner = Manner { looks_first: true, waits: true },
            Err(Again::Failed(error)) if error.is_race() => {
                tracing::debug!(%error, "lost a race; deciding again");
                lost = Some(error);
            }
            Err(Again::Failed(error)) => return Err(error),
        }
    }
    Err(lost.unwrap_or(AppError::Store(StoreError::Busy)))
}

/// An order that was taken, now or before.
#[derive(Debug)]
pub struct Taken {
    pub(super) id: OrderId,
    pub(super) placed_as: PlacedAs,
    /// How it stands, when nothing is to be done for it any more.
    pub(super) fresh: Option<Fresh>,
}

/// What became of an order of a batch.
type Outcome = Result<Taken, AppError>;

/// Takes orders that share no reference and no key; one outcome for each.
///
/// # Errors
/// [`Again`]: the transaction must be rolled back.
pub(super) fn take(conn: &mut Conn<'_>, batch: &[&Asked], manner: Manner) -> Result<Vec<Outcome>, Again> {
    let Some(depot) = batch.first().map(|asked| &asked.depot) else { return Ok(Vec::new()) };
    let (pools, now) = (pools_of(conn, batch)?, depot.now());
    let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
    let mut drafts = Vec::with_capacity(batch.len());
    for (place, asked) in batch.iter().enumerate() {
        if manner.looks_first
            && let Some(outcome) = earlier(conn, asked)?
        {
            outcomes.insert(place, outcome);
            continue;
        }
        match Draft::new(asked, &pools, now) {
            Ok(draft) => drafts.push((place, draft)),
            Err(error) => drop(outcomes.insert(place, Err(error))),
        }
    }
    let mut stock = claim(conn, &drafts, manner, now)?;
    let (mut places, mut filled) = (Vec::with_capacity(drafts.len()), Vec::with_capacity(drafts.len()));
    for (place, draft) in drafts {
        match draft.fill(&mut stock) {
            Ok(order) => {
                places.push(place);
                filled.push(order);
            }
            Err(error) => drop(outcomes.insert(place, Err(error))),
        }
    }
    write(conn, &mut filled, now)?;
    let fresh = fresh(conn, depot.store.vault(), &filled)?;
    for ((place, filled), fresh) in places.into_iter().zip(&filled).zip(fresh) {
        let taken = Taken { id: filled.new.order.id, placed_as: PlacedAs::Created, fresh };
        outcomes.insert(place, Ok(taken));
    }
    Ok(outcomes.into_values().collect())
}

fn pools_of(conn: &mut Conn<'_>, batch: &[&Asked]) -> Result<Pools, Again> {
    let names: BTreeSet<&PoolName> =
        batch.iter().flat_map(|asked| &asked.request.lines).map(|line| &line.pool).collect();
    let found = pools::named(conn, &names)?;
    Ok(found.into_iter().map(|pool| (pool.settings.pool.clone(), pool)).collect())
}

/// What an order became earlier, by its key or by its reference. The key comes first: of two parallel requests with both
/// in common the slower one is a replay.
fn earlier(conn: &mut Conn<'_>, asked: &Asked) -> Result<Option<Outcome>, Again> {
    match idempotency::recorded(conn, &asked.depot, &asked.caller, asked.key.as_ref()) {
        Ok(Some(record)) => {
            let id = record.resource_id.parse().map_err(|_| idempotency::unreadable_record())?;
            return Ok(Some(Ok(Taken { id, placed_as: PlacedAs::Replayed, fresh: None })));
        }
        Ok(None) => idempotency::forget_expired(conn, &asked.depot, &asked.caller, asked.key.as_ref())?,
        Err(reused @ AppError::IdempotencyKeyReused) => return Ok(Some(Err(reused))),
        Err(error) => return Err(error.into()),
    }
    let reference = &asked.request.reference;
    let Some(existing) = orders::find_by_reference(conn, &asked.caller.channel, reference)? else {
        return Ok(None);
    };
    if existing.request_hash == hash_of(asked) {
        return Ok(Some(Ok(Taken { id: existing.id, placed_as: PlacedAs::Repeated, fresh: None })));
    }
    let (reference, existing) = (reference.clone(), existing.id.to_string());
    Ok(Some(Err(AppError::ReferenceConflict { reference, existing })))
}

/// Claims what all orders need, pool by pool in ascending order, so that no two batches wait for each other.
fn claim(
    conn: &mut Conn<'_>,
    drafts: &[(usize, Draft<'_>)],
    manner: Manner,
    now: DateTime<Utc>,
) -> Result<Stock, Again> {
    let mut stock = Stock::new();
    // Alone in its batch.
    if let [(_, draft)] = drafts
        && let Some(conversion) = draft.conversion()
    {
        let pool = conversion.pool.id;
        let claimed = conversion.claim(conn);
        // Perhaps the hold is gone because this very order was taken before.
        let known = claimed.is_err() && !manner.looks_first;
        stock.insert(pool, claimed.map_err(|error| if known { Again::LookFirst } else { error.into() })?);
        return Ok(stock);
    }
    let mut demand: BTreeMap<i64, (&Pool, u32)> = BTreeMap::new();
    for (_, draft) in drafts {
        for (pool_id, (pool, quantity)) in draft.demand() {
            demand.entry(pool_id).or_insert((pool, 0)).1 += quantity;
        }
    }
    for (pool_id, (pool, quantity)) in demand {
        let claimed = allocations::claim_up_to(conn, pool, quantity, manner.waits, now)?;
        stock.insert(pool_id, claimed.ok_or(Again::Wait)?.into());
    }
    Ok(stock)
}

fn write(conn: &mut Conn<'_>, batch: &mut [Filled<'_>], now: DateTime<Utc>) -> Result<(), Again> {
    if batch.is_empty() {
        return Ok(());
    }
    // In one order in every process, so that two batches never wait for each other's references.
    let mut sorted: Vec<&mut Filled<'_>> = batch.iter_mut().collect();
    sorted.sort_by(|a, b| reference(&a.new).cmp(&reference(&b.new)));
    let events: Vec<_> = sorted.iter().flat_map(|filled| filled.events()).collect();
    let new: Vec<&NewOrder> = sorted.iter().map(|filled| &filled.new).collect();
    let Written::All(rows) = intake::write(conn, &new, &events, now)? else { return Err(Again::LookFirst) };
    let (mut new_bundles, mut new_operations) = (Vec::new(), Vec::new());
    for (filled, rows) in sorted.iter_mut().zip(rows) {
        for (made, row) in std::mem::take(&mut filled.made).into_iter().zip(rows) {
            let Some(mut made) = made else { continue };
            made.operation.allocation_id = Some(row);
            new_bundles.extend(made.bundle);
            new_operations.push(made.operation);
        }
    }
    if new_operations.is_empty() {
        return Ok(());
    }
    bundles::insert_many(conn, &new_bundles)?;
    // Due by the clock that the workers go by.
    let due = conn.now()?;
    Ok(operations::insert_many(conn, &new_operations, due)?)
}

fn reference(new: &NewOrder) -> (&str, &str) {
    (new.order.channel.as_str(), new.order.reference.as_str())
}
