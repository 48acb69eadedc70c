//! Pools: made and changed by stock keepers.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::carrier::Capability;
use simdepot_domain::channel::{AccountName, PoolName};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::allocations::{self, Claim, Claimed};
use simdepot_persistence::pools::{self, Pool, StockCounts};
use simdepot_persistence::{Conn, StoreError, events, stock_counts};
use strum::VariantArray as _;

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::idempotency::{self, IdempotencyKey, Once};

/// A pool by name.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn get(depot: &Depot, name: PoolName) -> Result<Pool, AppError> {
    depot.store.read(move |conn| require(conn, &name)).await
}

/// A pool by name, inside a unit of work.
pub(crate) fn require(conn: &mut Conn<'_>, name: &PoolName) -> Result<Pool, AppError> {
    pools::find(conn, name)?.ok_or(AppError::NotFound { what: "pool" })
}

/// Claims profiles of a pool for this transaction.
///
/// # Errors
/// [`AppError::OutOfStock`]: nothing is taken.
pub(crate) fn claim(
    conn: &mut Conn<'_>,
    pool: &Pool,
    requested: u32,
    now: DateTime<Utc>,
) -> Result<Vec<Claimed>, AppError> {
    match allocations::claim(conn, pool, requested, now)? {
        Claim::Taken(claimed) => Ok(claimed),
        Claim::OutOfStock { available } => {
            Err(AppError::OutOfStock { pool: pool.settings.pool.to_string(), requested, available })
        }
    }
}

/// All pools, by name.
///
/// # Errors
/// When they cannot be read.
pub async fn list(depot: &Depot) -> Result<Vec<Pool>, AppError> {
    depot.store.read(|conn| Ok(pools::list(conn)?)).await
}

/// What the carrier of an account has, in the order of [`Capability::VARIANTS`]; nothing while the account is not
/// configured.
pub fn capabilities(depot: &Depot, account: &AccountName) -> Vec<Capability> {
    let account = depot.accounts.get(account);
    let has = |capability: &Capability| account.is_some_and(|account| account.has(*capability));
    Capability::VARIANTS.iter().copied().filter(has).collect()
}

/// Makes a pool. Returns it, and whether an earlier request with the key had made it.
///
/// # Errors
/// [`AppError::PoolExists`]; [`AppError::Invalid`] when its settings contradict each other.
pub async fn create(
    depot: &Depot,
    caller: &Caller,
    settings: PoolSettings,
    key: Option<&IdempotencyKey>,
) -> Result<(Pool, bool), AppError> {
    check(depot, &settings)?;
    let name = settings.pool.clone();
    let made = idempotency::once(depot, caller, key, || insert(depot, caller, settings, key)).await?;
    Ok((get(depot, name).await?, matches!(made, Once::Replayed(_))))
}

async fn insert(
    depot: &Depot,
    caller: &Caller,
    settings: PoolSettings,
    key: Option<&IdempotencyKey>,
) -> Result<(), AppError> {
    let (work, caller, key) = (depot.clone(), caller.clone(), key.cloned());
    let made = depot.store.write(move |conn| {
        let now = work.now();
        idempotency::record(conn, &work, &caller, key.as_ref(), 201, settings.pool.as_str())?;
        pools::insert(conn, &settings, now)?;
        let fact = Fact::PoolCreated { carrier_account: settings.carrier_account.clone() };
        events::append(conn, &[work.event(now, Subject::Pool(settings.pool), 1, fact)])?;
        Ok(())
    });
    match made.await {
        Err(AppError::Store(StoreError::Unique { .. })) => Err(AppError::PoolExists),
        other => other,
    }
}

/// What may be changed about a pool. `None` leaves a setting as it is, `Some(None)` takes it away.
#[derive(Debug, Clone, Default)]
pub struct PoolChange {
    /// Another account.
    pub carrier_account: Option<AccountName>,
    /// Another title.
    pub name: Option<String>,
    /// Another low threshold.
    pub low_threshold: Option<Option<u32>>,
    /// Another critical threshold.
    pub critical_threshold: Option<Option<u32>>,
    /// Another buffer.
    pub safety_buffer: Option<u32>,
    /// Another lead time.
    pub lead_time_days: Option<Option<u32>>,
    /// Another shelf life, for later imports.
    pub shelf_life_days: Option<Option<u32>>,
    /// Another share of data that is little.
    pub balance_low_percent: Option<Option<u32>>,
    /// Another warning before a plan's end.
    pub expiry_warning_days: Option<Option<u32>>,
    /// Other sellable statuses.
    pub sellable_statuses: Option<Vec<SimStatus>>,
    /// Other activation data.
    pub activation: Option<Option<serde_json::Value>>,
}

impl PoolChange {
    fn apply(self, settings: &mut PoolSettings) -> Vec<String> {
        let before = settings.clone();
        fn set<T>(slot: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *slot = value;
            }
        }
        set(&mut settings.carrier_account, self.carrier_account);
        set(&mut settings.name, self.name);
        set(&mut settings.low_threshold, self.low_threshold);
        set(&mut settings.critical_threshold, self.critical_threshold);
        set(&mut settings.safety_buffer, self.safety_buffer);
        set(&mut settings.lead_time_days, self.lead_time_days);
        set(&mut settings.shelf_life_days, self.shelf_life_days);
        set(&mut settings.balance_low_percent, self.balance_low_percent);
        set(&mut settings.expiry_warning_days, self.expiry_warning_days);
        set(&mut settings.sellable_statuses, self.sellable_statuses);
        set(&mut settings.activation, self.activation);
        [
            ("carrier_account", before.carrier_account != settings.carrier_account),
            ("name", before.name != settings.name),
            ("low_threshold", before.low_threshold != settings.low_threshold),
            ("critical_threshold", before.critical_threshold != settings.critical_threshold),
            ("safety_buffer", before.safety_buffer != settings.safety_buffer),
            ("lead_time_days", before.lead_time_days != settings.lead_time_days),
            ("shelf_life_days", before.shelf_life_days != settings.shelf_life_days),
            ("balance_low_percent", before.balance_low_percent != settings.balance_low_percent),
            ("expiry_warning_days", before.expiry_warning_days != settings.expiry_warning_days),
            ("sellable_statuses", before.sellable_statuses != settings.sellable_statuses),
            ("activation", before.activation != settings.activation),
        ]
        .into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(setting, _)| setting.to_owned())
        .collect()
    }
}

/// Changes a pool.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] when the settings would contradict each other.
pub async fn change(depot: &Depot, name: PoolName, change: PoolChange) -> Result<Pool, AppError> {
    let work = depot.clone();
    depot
        .write_again(move |conn| {
            let pool = require(conn, &name)?;
            let mut settings = pool.settings.clone();
            let changed = change.clone().apply(&mut settings);
            if changed.is_empty() {
                return Ok(pool);
            }
            check(&work, &settings)?;
            if !is_same_kind(&work, &pool.settings, &settings) && pools::has_profiles(conn, pool.id)? {
                let message = "its profiles stay with the kind of carrier that delivered them: make another pool";
                return Err(AppError::invalid("/carrier_account", "in-use", message));
            }
            let takes_away = pool.settings.activation.is_some() && settings.activation.is_none();
            if takes_away && pools::has_stock_without_code(conn, pool.id)? {
                let message = "profiles without a code are on sale, which get it with their activation: set them aside first";
                return Err(AppError::invalid("/activation", "in-use", message));
            }
            let now = work.now();
            let version = pools::update(conn, &pool, &settings, now)?;
            let moved = settings.carrier_account != pool.settings.carrier_account;
            let carrier_account = moved.then(|| settings.carrier_account.clone());
            let fact = Fact::PoolChanged { settings: changed, carrier_account };
            events::append(conn, &[work.event(now, Subject::Pool(name.clone()), version, fact)])?;
            require(conn, &name)
        })
        .await
}

/// Whether two accounts are with carriers that do the same. What an account was that the configuration lacks by now is not
/// known.
fn is_same_kind(depot: &Depot, before: &PoolSettings, now: &PoolSettings) -> bool {
    let capabilities = |settings: &PoolSettings| {
        depot.account(&settings.carrier_account).ok().map(|account| account.carrier.capabilities())
    };
    match (capabilities(before), capabilities(now)) {
        (Some(before), Some(now)) => before == now,
        _ => true,
    }
}

fn check(depot: &Depot, settings: &PoolSettings) -> Result<(), AppError> {
    let mut errors = Vec::new();
    match (depot.accounts.get(&settings.carrier_account), &settings.activation) {
        (Some(account), Some(activation)) => {
            let checked = account.carrier.check_activation(activation);
            errors.extend(FieldError::within("/activation", checked.err().unwrap_or_default()));
        }
        (Some(account), None) if account.sells_by_activation() => {
            let message =
                "this carrier's profiles have no line before they are activated: say what is activated";
            errors.push(FieldError::new("/activation", "required", message));
        }
        (Some(_), None) => {}
        (None, _) => {
            let known = depot.accounts.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let message = format!("no such carrier account is configured; known: {known}");
            errors.push(FieldError::new("/carrier_account", "unknown", message));
        }
    }
    if let (Some(low), Some(critical)) = (settings.low_threshold, settings.critical_threshold)
        && critical > low
    {
        errors.push(FieldError::new("/critical_threshold", "range", "must not be above low_threshold"));
    }
    if settings.sellable_statuses.is_empty() {
        errors.push(FieldError::new("/sellable_statuses", "length", "must name at least one line status"));
    }
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

/// A pool's counts at a moment.
#[derive(Debug, Clone)]
pub struct Stock {
    /// The pool.
    pub pool: Pool,
    /// Its counts.
    pub counts: StockCounts,
    /// Profiles that are handed out on a day, on average over the last four weeks, or since the pool was made.
    pub burn_rate: f64,
    /// When they were counted.
    pub counted_at: DateTime<Utc>,
}

/// Days (UTC, today's as far as it goes) that the burn rate is the average of; of a younger pool those since it was made.
const BURN_DAYS: i64 = 28;

fn burn_rate(conn: &mut Conn<'_>, pool: &Pool, now: DateTime<Utc>) -> Result<f64, StoreError> {
    let age = (now.date_naive() - pool.created_at.date_naive()).num_days() + 1;
    let days = i32::try_from(age.clamp(1, BURN_DAYS)).unwrap_or(1);
    let sold = stock_counts::sold_since(conn, pool.id, now - TimeDelta::days(BURN_DAYS))?;
    Ok(f64::from(u32::try_from(sold).unwrap_or(u32::MAX)) / f64::from(days))
}

/// Counts a pool's profiles.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn stock(depot: &Depot, name: PoolName) -> Result<Stock, AppError> {
    let counted_at = depot.now();
    depot
        .store
        .read(move |conn| {
            let pool = require(conn, &name)?;
            let counts = stock_counts::of_pool(conn, pool.id, counted_at)?;
            let burn_rate = burn_rate(conn, &pool, counted_at)?;
            Ok(Stock { pool, counts, burn_rate, counted_at })
        })
        .await
}

/// How many profiles of a pool may be sold now.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn availability(depot: &Depot, name: PoolName) -> Result<u64, AppError> {
    let now = depot.now();
    depot
        .store
        .read(move |conn| {
            let pool = require(conn, &name)?;
            Ok(pools::sellable(conn, &pool, now)?)
        })
        .await
}
