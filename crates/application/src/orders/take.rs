//! The transaction that takes orders: reference, profiles, bundles, operations and events of each, or nothing of it.
//!
//! Profiles first, then references and keys in their order. Whoever waits for a profile holds no reference, so that no two
//! transactions wait for each other. Most orders meet no reference or key that is taken and no pool that runs out, so
//! neither is looked for; one that does meet one is left out of its batch, and is taken alone with its eyes open
//! ([`Manner`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use simdepot_domain::channel::PoolName;
use simdepot_domain::id::OrderId;
use simdepot_persistence::intake::{self, Allotted, NewOrder, Written};
use simdepot_persistence::pools::{self, Pool};
use simdepot_persistence::vault::Vault;
use simdepot_persistence::{Conn, StoreError, allocations, bundles, operations, orders};

use super::desk::Asked;
use super::draft::{Draft, Filled, Pools, Stock, hash_of};
use super::fresh::{Fresh, fresh};
use super::place::PlacedAs;
use crate::error::AppError;
use crate::idempotency;

/// How orders are taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Keys and references are looked up before anything is written.
    looks_first: bool,
    /// Profiles that others hold are waited for: it was tried without.
    waits: bool,
}

impl Manner {
    /// Together with others, which must not wait for it.
    pub(super) const TOGETHER: Self = Self { looks_first: false, waits: false };
    /// Alone, for a beginning.
    const ALONE: Self = Self { looks_first: true, waits: false };
}

/// Why an order cannot be taken in this manner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Apart {
    /// Its reference or its key may be taken: look them up first.
    LookFirst,
    /// Too few profiles that nobody holds, or a hold that is not as it was: wait for the others, and look again.
    Wait,
}

/// Why a transaction is rolled back.
#[derive(Debug)]
pub(super) enum Again {
    /// It is to be begun in another manner.
    Apart(Apart),
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

/// How the transaction of an order that is taken alone ends when all went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is so.
    Commit,
    /// It was only tried.
    RollBack,
}

/// How often an order is begun: in each manner, and again after a few lost races.
const TRIES: usize = 8;

/// Takes an order alone, and does what is to be done with it in the same transaction.
///
/// # Errors
/// Those of the order and of `then`; the race itself when it is lost again and again.
pub(super) async fn take_alone<T: Send + 'static>(
    asked: &Arc<Asked>,
    ending: Ending,
    then: impl Fn(&mut Conn<'_>, Taken) -> Result<T, AppError> + Clone + Send + 'static,
) -> Result<T, AppError> {
    let store = &asked.depot.store;
    let (mut manner, mut lost) = (Manner::ALONE, None);
    for _ in 0..TRIES {
        let (asked, then) = (Arc::clone(asked), then.clone());
        let work = move |conn: &mut Conn<'_>| {
            let taken = take(conn, &[&asked], manner)?.pop().unwrap_or(Ok(Err(no_result())));
            Ok::<_, Again>(then(conn, taken.map_err(Again::Apart)??)?)
        };
        let done = match ending {
            Ending::Commit => store.write_alone(work).await,
            Ending::RollBack => store.rehearse(work).await,
        };
        match done {
            Ok(done) => return Ok(done),
            Err(Again::Apart(Apart::LookFirst)) => {}
            Err(Again::Apart(Apart::Wait)) => manner.waits = true,
            Err(Again::Failed(error)) if error.is_race() => {
                tracing::debug!(%error, "lost a race; deciding again");
                lost = Some(error);
            }
            Err(Again::Failed(error)) => return Err(error),
        }
    }
    Err(lost.unwrap_or(AppError::Store(StoreError::Busy)))
}

/// The error of an order of a batch that was answered without it.
pub(super) fn no_result() -> AppError {
    AppError::Internal("an order of a batch has no result".to_owned())
}

/// An order that was taken, now or before.
#[derive(Debug)]
pub struct Taken {
    pub(super) id: OrderId,
    pub(super) placed_as: PlacedAs,
    /// How it stands, when nothing is to be done for it any more.
    pub(super) fresh: Option<Fresh>,
}

/// What became of an order of a batch, or why it must be taken apart from it.
pub(super) type Outcome = Result<Result<Taken, AppError>, Apart>;

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
            && let Some(earlier) = earlier(conn, asked)?
        {
            outcomes.insert(place, Ok(earlier));
            continue;
        }
        if manner.looks_first {
            idempotency::forget_expired(conn, depot, &asked.caller, asked.key.as_ref())?;
        }
        match Draft::new(asked, &pools, now) {
            Ok(draft) => drafts.push((place, draft)),
            // What was taken when it could be is not refused because it could not be any more.
            Err(_) if !manner.looks_first => drop(outcomes.insert(place, Err(Apart::LookFirst))),
            Err(error) => drop(outcomes.insert(place, Ok(Err(error)))),
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
            Err(AppError::OutOfStock { .. }) if !manner.waits => {
                drop(outcomes.insert(place, Err(Apart::Wait)));
            }
            Err(error) => drop(outcomes.insert(place, Ok(Err(error)))),
        }
    }
    let allotted = write(conn, depot.store.vault(), &mut filled, now)?;
    for ((place, filled), allotted) in places.into_iter().zip(filled).zip(allotted) {
        let outcome = match allotted {
            Some(allotted) => {
                let id = filled.new.order.id;
                let fresh = fresh(filled, allotted)?;
                Ok(Ok(Taken { id, placed_as: PlacedAs::Created, fresh }))
            }
            None => Err(Apart::LookFirst),
        };
        outcomes.insert(place, outcome);
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
///
/// # Errors
/// When it cannot be read.
pub(super) fn earlier(
    conn: &mut Conn<'_>,
    asked: &Asked,
) -> Result<Option<Result<Taken, AppError>>, AppError> {
    match idempotency::recorded(conn, &asked.depot, &asked.caller, asked.key.as_ref()) {
        Ok(Some(record)) => {
            let id = record.resource_id.parse().map_err(|_| idempotency::unreadable_record())?;
            return Ok(Some(Ok(Taken { id, placed_as: PlacedAs::Replayed, fresh: None })));
        }
        Ok(None) => {}
        Err(reused @ AppError::IdempotencyKeyReused) => return Ok(Some(Err(reused))),
        Err(error) => return Err(error),
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
    // An order out of a hold is always alone.
    if let [(_, draft)] = drafts
        && let Some(conversion) = draft.conversion()
    {
        let claimed = match conversion.claim(conn) {
            // While it waited for the hold, this very order may have been taken out of it: that is looked up once more.
            Err(_) if !manner.waits => return Err(Again::Apart(Apart::Wait)),
            claimed => claimed?,
        };
        stock.insert(conversion.pool.id, claimed);
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
        stock.insert(pool_id, claimed.into());
    }
    Ok(stock)
}

/// Writes a batch: the profiles of each order, or nothing where its reference is taken.
fn write(
    conn: &mut Conn<'_>,
    vault: &Vault,
    batch: &mut [Filled<'_>],
    now: DateTime<Utc>,
) -> Result<Vec<Option<Vec<Allotted>>>, Again> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    // In one order in every process, so that two batches never wait for each other's references.
    let mut sorted: Vec<(usize, &mut Filled<'_>)> = batch.iter_mut().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| reference(&a.new).cmp(&reference(&b.new)));
    let new: Vec<&NewOrder> = sorted.iter().map(|(_, filled)| &filled.new).collect();
    let Written::Each(allotted) = intake::write(conn, vault, &new, now)? else {
        return Err(Again::Apart(Apart::LookFirst));
    };
    let (mut new_bundles, mut new_operations) = (Vec::new(), Vec::new());
    for ((_, filled), allotted) in sorted.iter_mut().zip(&allotted) {
        for (made, allotted) in std::mem::take(&mut filled.made).into_iter().zip(allotted.iter().flatten()) {
            let Some(mut made) = made else { continue };
            made.operation.allocation_id = Some(allotted.allocation);
            new_bundles.extend(made.bundle);
            new_operations.push(made.operation);
        }
    }
    let mut by_place: Vec<_> = sorted.into_iter().map(|(place, _)| place).zip(allotted).collect();
    by_place.sort_by_key(|(place, _)| *place);
    if !new_operations.is_empty() {
        bundles::insert_many(conn, &new_bundles)?;
        // Due by the clock that the workers go by.
        let due = conn.now()?;
        operations::insert_many(conn, &new_operations, due)?;
    }
    Ok(by_place.into_iter().map(|(_, allotted)| allotted).collect())
}

fn reference(new: &NewOrder) -> (&str, &str) {
    (new.order.channel.as_str(), new.order.reference.as_str())
}
