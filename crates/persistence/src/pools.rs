//! Pools.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use simdepot_domain::channel::PoolName;
use simdepot_domain::pool::{AlertLevel, PoolSettings};
use simdepot_domain::stock::StockStatus;

use crate::dialect::both;
use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::{pools, profiles};
use crate::sql_types::{At, Doc};
use crate::stock_counts;
use crate::store::Conn;

/// A pool as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its row.
    pub id: i64,
    /// Its settings.
    pub settings: PoolSettings,
    /// The last stock alert.
    pub alert_level: AlertLevel,
    /// Profiles that expire up to this moment have been told of.
    pub expiring_through: Option<DateTime<Utc>>,
    /// How many events it has had.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

#[derive(Queryable)]
struct Row {
    id: i64,
    pool: String,
    carrier_account: String,
    name: String,
    low_threshold: Option<i64>,
    critical_threshold: Option<i64>,
    safety_buffer: i64,
    lead_time_days: Option<i64>,
    shelf_life_days: Option<i64>,
    balance_low_percent: Option<i64>,
    expiry_warning_days: Option<i64>,
    sellable_statuses: Doc,
    activation: Option<Doc>,
    alert_level: String,
    expiring_through: Option<At>,
    version: i64,
    created_at: At,
    updated_at: At,
}

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = pools, treat_none_as_default_value = false, treat_none_as_null = true)]
struct Settings {
    pool: String,
    carrier_account: String,
    name: String,
    low_threshold: Option<i64>,
    critical_threshold: Option<i64>,
    safety_buffer: i64,
    lead_time_days: Option<i64>,
    shelf_life_days: Option<i64>,
    balance_low_percent: Option<i64>,
    expiry_warning_days: Option<i64>,
    sellable_statuses: Doc,
    activation: Option<Doc>,
}

impl TryFrom<Row> for Pool {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let count = |column, value: Option<i64>| {
            value
                .map(|value| {
                    u32::try_from(value).map_err(|_| StoreError::Inconsistency {
                        table: "pools",
                        column,
                        row: row.pool.clone(),
                    })
                })
                .transpose()
        };
        Ok(Self {
            id: row.id,
            settings: PoolSettings {
                pool: parse_column("pools", "pool", row.id, &row.pool)?,
                carrier_account: parse_column("pools", "carrier_account", &row.pool, &row.carrier_account)?,
                low_threshold: count("low_threshold", row.low_threshold)?,
                critical_threshold: count("critical_threshold", row.critical_threshold)?,
                safety_buffer: count("safety_buffer", Some(row.safety_buffer))?.unwrap_or_default(),
                lead_time_days: count("lead_time_days", row.lead_time_days)?,
                shelf_life_days: count("shelf_life_days", row.shelf_life_days)?,
                balance_low_percent: count("balance_low_percent", row.balance_low_percent)?,
                expiry_warning_days: count("expiry_warning_days", row.expiry_warning_days)?,
                sellable_statuses: parse_document(
                    "pools",
                    "sellable_statuses",
                    &row.pool,
                    &row.sellable_statuses.0,
                )?,
                activation: row.activation.map(|document| document.0),
                name: row.name,
            },
            alert_level: parse_column("pools", "alert_level", row.id, &row.alert_level)?,
            expiring_through: row.expiring_through.map(|at| at.0),
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

impl TryFrom<&PoolSettings> for Settings {
    type Error = StoreError;

    fn try_from(settings: &PoolSettings) -> Result<Self> {
        Ok(Self {
            pool: settings.pool.to_string(),
            carrier_account: settings.carrier_account.to_string(),
            name: settings.name.clone(),
            low_threshold: settings.low_threshold.map(i64::from),
            critical_threshold: settings.critical_threshold.map(i64::from),
            safety_buffer: i64::from(settings.safety_buffer),
            lead_time_days: settings.lead_time_days.map(i64::from),
            shelf_life_days: settings.shelf_life_days.map(i64::from),
            balance_low_percent: settings.balance_low_percent.map(i64::from),
            expiry_warning_days: settings.expiry_warning_days.map(i64::from),
            sellable_statuses: Doc(document(&settings.sellable_statuses)?),
            activation: settings.activation.clone().map(Doc),
        })
    }
}

/// Writes a new pool.
///
/// # Errors
/// [`StoreError::Unique`] when the name is taken.
pub fn insert(conn: &mut Conn<'_>, settings: &PoolSettings, now: DateTime<Utc>) -> Result<()> {
    let stamps = (pools::version.eq(1), pools::created_at.eq(At(now)), pools::updated_at.eq(At(now)));
    diesel::insert_into(pools::table).values((Settings::try_from(settings)?, stamps)).execute(conn.db)?;
    Ok(())
}

/// Replaces the settings of a pool that is still at `version`.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn update(conn: &mut Conn<'_>, pool: &Pool, settings: &PoolSettings, now: DateTime<Utc>) -> Result<i64> {
    let version = pool.version + 1;
    let touched =
        diesel::update(pools::table.filter(pools::id.eq(pool.id)).filter(pools::version.eq(pool.version)))
            .set((Settings::try_from(settings)?, pools::version.eq(version), pools::updated_at.eq(At(now))))
            .execute(conn.db)?;
    ensure_affected("update pool", 1, touched)?;
    Ok(version)
}

/// One pool by name.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, name: &PoolName) -> Result<Option<Pool>> {
    let row: Option<Row> = pools::table.filter(pools::pool.eq(name.as_str())).first(conn.db).optional()?;
    row.map(Pool::try_from).transpose()
}

/// One pool by row.
///
/// # Errors
/// When it cannot be read.
pub fn get(conn: &mut Conn<'_>, id: i64) -> Result<Pool> {
    pools::table.find(id).first::<Row>(conn.db)?.try_into()
}

/// The pool of a profile.
///
/// # Errors
/// When it cannot be read.
pub fn of_profile(conn: &mut Conn<'_>, profile_id: i64) -> Result<Pool> {
    let row: Row = pools::table
        .inner_join(profiles::table.on(profiles::pool_id.eq(pools::id)))
        .filter(profiles::id.eq(profile_id))
        .select(pools::all_columns)
        .first(conn.db)?;
    row.try_into()
}

/// Those of the pools that there are.
///
/// # Errors
/// When one cannot be read.
pub fn named(conn: &mut Conn<'_>, names: &BTreeSet<&PoolName>) -> Result<Vec<Pool>> {
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let found = pools::table.filter(pools::pool.eq_any(names));
    let rows: Vec<Row> = both!(conn.db, c => found.load(c))?;
    rows.into_iter().map(Pool::try_from).collect()
}

/// All pools, by name.
///
/// # Errors
/// When one cannot be read.
pub fn list(conn: &mut Conn<'_>) -> Result<Vec<Pool>> {
    pools::table.order(pools::pool).load::<Row>(conn.db)?.into_iter().map(Pool::try_from).collect()
}

/// How many profiles stand where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StockCounts {
    /// Profiles by stock status; statuses without a profile are absent.
    pub by_status: BTreeMap<StockStatus, u64>,
    /// Of the available ones, those whose `sell_by` has passed.
    pub expired: u64,
}

impl StockCounts {
    /// How many may be sold: available, not expired, above the buffer.
    pub fn sellable(&self, safety_buffer: u32) -> u64 {
        let available = self.by_status.get(&StockStatus::Available).copied().unwrap_or_default();
        available.saturating_sub(self.expired).saturating_sub(u64::from(safety_buffer))
    }
}

/// How many profiles may be sold now.
///
/// # Errors
/// When it cannot be read.
pub fn sellable(conn: &mut Conn<'_>, pool: &Pool, now: DateTime<Utc>) -> Result<u64> {
    let on_sale = stock_counts::on_sale(conn, pool.id, now)?;
    Ok(on_sale.saturating_sub(u64::from(pool.settings.safety_buffer)))
}

/// Profiles on sale whose last moment of sale lies in a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    /// How many.
    pub profiles: u64,
    /// The first of these moments.
    pub first: DateTime<Utc>,
    /// The last.
    pub last: DateTime<Utc>,
}

/// Whether a pool has any profile.
///
/// # Errors
/// When it cannot be read.
pub fn has_profiles(conn: &mut Conn<'_>, pool_id: i64) -> Result<bool> {
    let found: Option<i64> = profiles::table
        .filter(profiles::pool_id.eq(pool_id))
        .select(profiles::id)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

/// Whether eSIMs of a pool are on sale, or kept for an order, that have no activation code yet.
///
/// # Errors
/// When it cannot be read.
pub fn has_stock_without_code(conn: &mut Conn<'_>, pool_id: i64) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        profiles: i64,
    }
    // From what lacks a code, which an index has, to its profile: most pools lack none, and have millions. SQLite reads a
    // cross join in its order. Every profile has its row of secrets from its import on.
    let found: Found = diesel::sql_query(
        "SELECT COUNT(*) AS profiles FROM (SELECT p.id FROM profile_secrets s CROSS JOIN profiles p \
         WHERE s.activation_code IS NULL AND p.id = s.profile_id AND p.pool_id = $1 \
         AND p.stock_status IN ('available', 'held') AND p.form_factor = 'esim' LIMIT 1) found",
    )
    .bind::<BigInt, _>(pool_id)
    .get_result(conn.db)?;
    Ok(found.profiles > 0)
}

/// Records what a pool that is still at its version was alerted as; it becomes `version`. Its settings stay.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn set_alerts(
    conn: &mut Conn<'_>,
    pool: &Pool,
    level: AlertLevel,
    expiring_through: Option<DateTime<Utc>>,
    version: i64,
) -> Result<()> {
    let guard = pools::table.filter(pools::id.eq(pool.id)).filter(pools::version.eq(pool.version));
    let touched = diesel::update(guard)
        .set((
            pools::alert_level.eq(level.as_ref()),
            pools::expiring_through.eq(expiring_through.map(At)),
            pools::version.eq(version),
        ))
        .execute(conn.db)?;
    ensure_affected("record pool alerts", 1, touched)
}
