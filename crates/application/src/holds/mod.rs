//! Holds: profiles reserved for a channel's checkout until a deadline. Deadlines go by the database's clock, and are
//! decided under the hold's lock: of an expiry and a checkout that meet, one finds what the other did.

mod change;
mod sweep;

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::channel::PoolName;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::hold::{HoldStatus, MAX_HELD, MAX_TTL_SECONDS, MIN_TTL_SECONDS};
use simdepot_domain::id::HoldId;
use simdepot_domain::order::MAX_PROFILES;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::holds::{self, Hold};
use simdepot_persistence::{Conn, events, pools};

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::idempotency::{self, IdempotencyKey, Once, unreadable_record};

pub(crate) use change::{count_converted, decide, end, give_back};
pub use change::{extend, release};
pub use sweep::step;

/// What a storefront wants reserved.
#[derive(Debug, Clone)]
pub struct NewHold {
    /// Of which pool.
    pub pool: PoolName,
    /// How many profiles.
    pub quantity: u32,
    /// For how long, in seconds.
    pub ttl_seconds: u32,
}

/// A hold as it stands at the moment of the look.
#[derive(Debug, Clone)]
pub struct HoldView {
    /// The hold; past its deadline it is `expired`, swept or not.
    pub hold: Hold,
    /// Its pool.
    pub pool: PoolName,
}

fn view(conn: &mut Conn<'_>, mut hold: Hold, now: DateTime<Utc>) -> Result<HoldView, AppError> {
    let pool = pools::get(conn, hold.pool_id)?.settings.pool;
    hold.status = hold.state().status_at(now);
    Ok(HoldView { hold, pool })
}

fn count(outcome: &'static str) {
    metrics::counter!("simdepot_holds_total", "outcome" => outcome).increment(1);
}

fn deadline(conn: &mut Conn<'_>, ttl_seconds: u32) -> Result<DateTime<Utc>, AppError> {
    Ok(conn.now()? + TimeDelta::seconds(i64::from(ttl_seconds)))
}

fn check_ttl(ttl_seconds: u32) -> Option<FieldError> {
    let fits = (MIN_TTL_SECONDS..=MAX_TTL_SECONDS).contains(&ttl_seconds);
    let message = || format!("must be {MIN_TTL_SECONDS} to {MAX_TTL_SECONDS}");
    (!fits).then(|| FieldError::new("/ttl_seconds", "range", message()))
}

/// Reserves profiles for the caller's channel. The second value tells whether an earlier request with the key did it.
///
/// # Errors
/// [`AppError::Invalid`], also when the channel would hold more than [`MAX_HELD`] profiles;
/// [`AppError::OutOfStock`]; the idempotency errors.
pub async fn create(
    depot: &Depot,
    caller: &Caller,
    new: NewHold,
    key: Option<&IdempotencyKey>,
) -> Result<(HoldView, bool), AppError> {
    let mut errors: Vec<FieldError> = check_ttl(new.ttl_seconds).into_iter().collect();
    if !(1..=MAX_PROFILES).contains(&new.quantity) {
        errors.push(FieldError::new("/quantity", "range", format!("must be 1 to {MAX_PROFILES}")));
    }
    if !errors.is_empty() {
        return Err(AppError::Invalid(errors));
    }
    match idempotency::once(depot, caller, key, || make(depot, caller, new, key)).await? {
        Once::Made(made) => {
            count("created");
            Ok((made, false))
        }
        Once::Replayed(id) => {
            let id = id.parse().map_err(|_| unreadable_record())?;
            Ok((get(depot, caller, id).await?, true))
        }
    }
}

async fn make(
    depot: &Depot,
    caller: &Caller,
    new: NewHold,
    key: Option<&IdempotencyKey>,
) -> Result<HoldView, AppError> {
    let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
    depot
        .store
        .write(move |conn| {
            let id = HoldId::generate(work.ids.as_ref());
            idempotency::record(conn, &work, &caller, key.as_ref(), 201, &id.to_string())?;
            let pool = pools::find(conn, &new.pool)?
                .ok_or_else(|| AppError::invalid("/pool", "unknown", "there is no such pool"))?;
            check_cap(conn, &caller, new.quantity)?;
            let now = work.now();
            let claimed = crate::pools::claim(conn, &pool, new.quantity, now)?;
            let hold = Hold {
                id,
                channel: caller.channel.clone(),
                pool_id: pool.id,
                quantity: new.quantity,
                status: HoldStatus::Active,
                // Read after whatever had to be waited for: the whole time is the customer's.
                expires_at: deadline(conn, new.ttl_seconds)?,
                order: None,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            holds::insert(conn, &hold)?;
            holds::reserve(conn, id, &claimed, now)?;
            let created = Fact::HoldCreated {
                channel: hold.channel.clone(),
                pool: new.pool.clone(),
                quantity: hold.quantity,
                expires_at: hold.expires_at,
            };
            let mut facts = vec![work.event(now, Subject::Hold(id), 1, created)];
            facts.extend(claimed.iter().map(|profile| {
                let moved = moved(id, StockStatus::Available, StockStatus::Held);
                work.event(now, Subject::Profile(profile.iccid.clone()), profile.version + 1, moved)
            }));
            events::append(conn, &facts)?;
            Ok(HoldView { hold, pool: new.pool.clone() })
        })
        .await
}

fn moved(hold: HoldId, from: StockStatus, to: StockStatus) -> Fact {
    Fact::StockMoved { from, to, order: None, hold: Some(hold), quarantine: None, reason: None }
}

/// One channel must not reserve the stock of all. What is past its deadline does not count: it is as good as gone.
fn check_cap(conn: &mut Conn<'_>, caller: &Caller, quantity: u32) -> Result<(), AppError> {
    holds::lock_channel(conn, &caller.channel)?;
    let now = conn.now()?;
    let held = holds::held_by(conn, &caller.channel, now)?;
    if held + u64::from(quantity) <= u64::from(MAX_HELD) {
        return Ok(());
    }
    let message = format!("a channel holds at most {MAX_HELD} profiles at a time, yours has {held}");
    Err(AppError::invalid("/quantity", "limit", message))
}

/// A hold of the caller's channel.
///
/// # Errors
/// [`AppError::NotFound`], also for another channel's hold.
pub async fn get(depot: &Depot, caller: &Caller, id: HoldId) -> Result<HoldView, AppError> {
    let caller = caller.clone();
    depot
        .store
        .read(move |conn| {
            let hold = owned(&caller, holds::find(conn, id)?)?;
            let now = conn.now()?;
            view(conn, hold, now)
        })
        .await
}

pub(crate) fn owned(caller: &Caller, found: Option<Hold>) -> Result<Hold, AppError> {
    found.filter(|hold| hold.channel == caller.channel).ok_or(AppError::NotFound { what: "hold" })
}

/// A page of the channel's holds, newest first.
///
/// # Errors
/// When they cannot be read.
pub async fn list(
    depot: &Depot,
    caller: &Caller,
    before: Option<HoldId>,
    limit: i64,
) -> Result<Vec<HoldView>, AppError> {
    let channel = caller.channel.clone();
    depot
        .store
        .read(move |conn| {
            let (now, found) = (conn.now()?, holds::list(conn, &channel, before, limit)?);
            found.into_iter().map(|hold| view(conn, hold, now)).collect()
        })
        .await
}
