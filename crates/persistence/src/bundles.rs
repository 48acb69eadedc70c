//! Bundles: products on profiles.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use simdepot_domain::bundle::{Balance, BundleStatus, OrderType};
use simdepot_domain::channel::{AccountName, ChannelName};
use simdepot_domain::id::{BundleId, OrderId};

use crate::dialect::{Both, INSERT_CHUNK, insert_rows};
use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::bundles;
use crate::sql_types::{At, Doc, Uid};
use crate::store::Conn;

/// A bundle as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Its id.
    pub id: BundleId,
    /// On which profile.
    pub profile_id: i64,
    /// With which order it came; absent for a top-up, and for one that was found at the carrier.
    pub order: Option<OrderId>,
    /// Whose it is.
    pub channel: ChannelName,
    /// A top-up's reference.
    pub reference: Option<String>,
    /// SHA-256 of what a top-up asked.
    pub request_hash: Option<Vec<u8>>,
    /// The carrier's product.
    pub product: String,
    /// How it was placed.
    pub order_type: Option<OrderType>,
    /// Where it stands.
    pub status: BundleStatus,
    /// At which carrier account.
    pub carrier_account: AccountName,
    /// The carrier's id of it.
    pub subscription_id: Option<String>,
    /// When it started.
    pub activated_at: Option<DateTime<Utc>>,
    /// Before the start the last day to start, then the end.
    pub expires_at: Option<DateTime<Utc>>,
    /// What was left when last read.
    pub balances: Vec<Balance>,
    /// When the carrier was last asked.
    pub fetched_at: Option<DateTime<Utc>>,
    /// When the status was true, by the carrier where it says so; absent while only our own write tells it.
    pub observed_at: Option<DateTime<Utc>>,
    /// The period whose low balance was told of.
    pub low_told_for: Option<DateTime<Utc>>,
    /// The end whose approach was told of.
    pub expiry_told_for: Option<DateTime<Utc>>,
    /// How many events it has had.
    pub version: i64,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Bundle {
    /// Whether it was found on the line instead of ordered here: it came with no order, and is no top-up.
    pub fn is_adopted(&self) -> bool {
        self.order.is_none() && self.reference.is_none()
    }
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = bundles, treat_none_as_default_value = false)]
struct Row {
    id: Uid,
    profile_id: i64,
    order_id: Option<Uid>,
    channel: String,
    reference: Option<String>,
    request_hash: Option<Vec<u8>>,
    product: String,
    order_type: Option<String>,
    status: String,
    carrier_account: String,
    subscription_id: Option<String>,
    activated_at: Option<At>,
    expires_at: Option<At>,
    balances: Option<Doc>,
    fetched_at: Option<At>,
    observed_at: Option<At>,
    low_told_for: Option<At>,
    expiry_told_for: Option<At>,
    version: i64,
    created_at: At,
    updated_at: At,
}

impl TryFrom<Row> for Bundle {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let key = row.id.0;
        let order_type = row.order_type.as_deref();
        let balances = row.balances.as_ref();
        Ok(Self {
            id: BundleId(key),
            profile_id: row.profile_id,
            order: row.order_id.map(|id| OrderId(id.0)),
            channel: parse_column("bundles", "channel", key, &row.channel)?,
            reference: row.reference,
            request_hash: row.request_hash,
            product: row.product,
            order_type: order_type
                .map(|text| parse_column("bundles", "order_type", key, text))
                .transpose()?,
            status: parse_column("bundles", "status", key, &row.status)?,
            carrier_account: parse_column("bundles", "carrier_account", key, &row.carrier_account)?,
            subscription_id: row.subscription_id,
            activated_at: row.activated_at.map(|at| at.0),
            expires_at: row.expires_at.map(|at| at.0),
            balances: balances
                .map(|document| parse_document("bundles", "balances", key, &document.0))
                .transpose()?
                .unwrap_or_default(),
            fetched_at: row.fetched_at.map(|at| at.0),
            observed_at: row.observed_at.map(|at| at.0),
            low_told_for: row.low_told_for.map(|at| at.0),
            expiry_told_for: row.expiry_told_for.map(|at| at.0),
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

impl TryFrom<&Bundle> for Row {
    type Error = StoreError;

    fn try_from(bundle: &Bundle) -> Result<Self> {
        Ok(Self {
            id: Uid(bundle.id.0),
            profile_id: bundle.profile_id,
            order_id: bundle.order.map(|id| Uid(id.0)),
            channel: bundle.channel.to_string(),
            reference: bundle.reference.clone(),
            request_hash: bundle.request_hash.clone(),
            product: bundle.product.clone(),
            order_type: bundle.order_type.map(|order_type| order_type.to_string()),
            status: bundle.status.to_string(),
            carrier_account: bundle.carrier_account.to_string(),
            subscription_id: bundle.subscription_id.clone(),
            activated_at: bundle.activated_at.map(At),
            expires_at: bundle.expires_at.map(At),
            balances: Some(Doc(document(&bundle.balances)?)),
            fetched_at: bundle.fetched_at.map(At),
            observed_at: bundle.observed_at.map(At),
            low_told_for: bundle.low_told_for.map(At),
            expiry_told_for: bundle.expiry_told_for.map(At),
            version: bundle.version,
            created_at: At(bundle.created_at),
            updated_at: At(bundle.updated_at),
        })
    }
}

/// Writes the bundles of an order.
///
/// # Errors
/// When the database refuses one.
pub fn insert_many(conn: &mut Conn<'_>, new: &[Bundle]) -> Result<()> {
    for chunk in new.chunks(INSERT_CHUNK) {
        let rows = chunk.iter().map(Row::try_from).collect::<Result<Vec<_>>>()?;
        let written = insert_rows!(&mut *conn.db, bundles::table, &rows)?;
        ensure_affected("insert bundles", rows.len(), written)?;
    }
    Ok(())
}

/// Writes a top-up; `false` when the channel has used the reference. Waits for a parallel one of that reference.
///
/// # Errors
/// When the database refuses it for another reason.
pub fn insert_top_up(conn: &mut Conn<'_>, bundle: &Bundle) -> Result<bool> {
    let insert = diesel::insert_into(bundles::table).values(Row::try_from(bundle)?).on_conflict_do_nothing();
    Ok(Both(insert).execute(conn.db)? == 1)
}

/// Writes a bundle that was found at the carrier; `false` when its subscription is evidence for another one. Waits for a
/// parallel one of that subscription.
///
/// # Errors
/// When the database refuses it for another reason.
pub fn insert_adopted(conn: &mut Conn<'_>, bundle: &Bundle) -> Result<bool> {
    insert_top_up(conn, bundle)
}

/// A bundle by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: BundleId) -> Result<Option<Bundle>> {
    let row: Option<Row> = bundles::table.find(Uid(id.0)).first(conn.db).optional()?;
    row.map(Bundle::try_from).transpose()
}

/// A top-up by the channel's reference.
///
/// # Errors
/// When it cannot be read.
pub fn find_by_reference(
    conn: &mut Conn<'_>,
    channel: &ChannelName,
    reference: &str,
) -> Result<Option<Bundle>> {
    bundles::table
        .filter(bundles::channel.eq(channel.as_str()))
        .filter(bundles::reference.eq(reference))
        .first::<Row>(conn.db)
        .optional()?
        .map(Bundle::try_from)
        .transpose()
}

/// The bundles of a profile, oldest first.
///
/// # Errors
/// When they cannot be read.
pub fn of_profile(conn: &mut Conn<'_>, profile_id: i64) -> Result<Vec<Bundle>> {
    let rows: Vec<Row> =
        bundles::table.filter(bundles::profile_id.eq(profile_id)).order(bundles::id).load(conn.db)?;
    rows.into_iter().map(Bundle::try_from).collect()
}

/// The bundles that came with an order.
///
/// # Errors
/// When they cannot be read.
pub fn of_order(conn: &mut Conn<'_>, order: OrderId) -> Result<Vec<Bundle>> {
    let rows: Vec<Row> =
        bundles::table.filter(bundles::order_id.eq(Uid(order.0))).order(bundles::id).load(conn.db)?;
    rows.into_iter().map(Bundle::try_from).collect()
}

/// Which of these subscriptions of an account are evidence for bundles other than `except`.
///
/// # Errors
/// When they cannot be read.
pub fn claimed_subscriptions(
    conn: &mut Conn<'_>,
    account: &AccountName,
    subscriptions: &[String],
    except: Option<BundleId>,
) -> Result<Vec<String>> {
    let mut query = bundles::table
        .filter(bundles::carrier_account.eq(account.as_str()))
        .filter(bundles::subscription_id.eq_any(subscriptions))
        .select(bundles::subscription_id.assume_not_null())
        .into_boxed();
    if let Some(except) = except {
        query = query.filter(bundles::id.ne(Uid(except.0)));
    }
    Ok(query.load(conn.db)?)
}

/// What an outcome changes.
#[derive(Debug, Clone, Default)]
pub struct BundleChange {
    /// The new status.
    pub status: Option<BundleStatus>,
    /// How it was placed.
    pub order_type: Option<OrderType>,
    /// The carrier's id of it.
    pub subscription_id: Option<String>,
}

#[derive(AsChangeset)]
#[diesel(table_name = bundles)]
struct Changes {
    status: Option<String>,
    order_type: Option<String>,
    subscription_id: Option<String>,
    version: i64,
    updated_at: At,
}

/// Changes a bundle that is still at its version; the change is one event.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it, [`StoreError::Unique`] when the subscription is
/// evidence for another bundle.
pub fn change(
    conn: &mut Conn<'_>,
    bundle: &Bundle,
    change: &BundleChange,
    now: DateTime<Utc>,
) -> Result<i64> {
    let changes = Changes {
        status: change.status.map(|status| status.to_string()),
        order_type: change.order_type.map(|order_type| order_type.to_string()),
        subscription_id: change.subscription_id.clone(),
        version: bundle.version + 1,
        updated_at: At(now),
    };
    let guard =
        bundles::table.filter(bundles::id.eq(Uid(bundle.id.0))).filter(bundles::version.eq(bundle.version));
    ensure_affected("change bundle", 1, diesel::update(guard).set(&changes).execute(conn.db)?)?;
    Ok(changes.version)
}

/// What the carrier said of a bundle; what is `None` stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BundleSeen {
    /// The status that it moved to, which is one event.
    pub moved_to: Option<BundleStatus>,
    /// When the status was true.
    pub observed_at: Option<DateTime<Utc>>,
    /// When it started.
    pub activated_at: Option<DateTime<Utc>>,
    /// Before the start the last day to start, then the end.
    pub expires_at: Option<DateTime<Utc>>,
    /// What is left.
    pub balances: Option<Vec<Balance>>,
    /// When the carrier was asked.
    pub fetched_at: Option<DateTime<Utc>>,
}

#[derive(AsChangeset)]
#[diesel(table_name = bundles)]
struct SeenChanges {
    status: Option<String>,
    observed_at: Option<At>,
    activated_at: Option<At>,
    expires_at: Option<At>,
    balances: Option<Doc>,
    fetched_at: Option<At>,
    version: i64,
    updated_at: At,
}

/// Records what the carrier said of a bundle. Returns its version.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn observe(conn: &mut Conn<'_>, bundle: &Bundle, seen: &BundleSeen, now: DateTime<Utc>) -> Result<i64> {
    let changes = SeenChanges {
        status: seen.moved_to.map(|status| status.to_string()),
        observed_at: seen.observed_at.map(At),
        activated_at: seen.activated_at.map(At),
        expires_at: seen.expires_at.map(At),
        balances: seen.balances.as_ref().map(|balances| document(balances).map(Doc)).transpose()?,
        fetched_at: seen.fetched_at.map(At),
        version: bundle.version + i64::from(seen.moved_to.is_some()),
        updated_at: At(now),
    };
    let guard =
        bundles::table.filter(bundles::id.eq(Uid(bundle.id.0))).filter(bundles::version.eq(bundle.version));
    ensure_affected("observe bundle", 1, diesel::update(guard).set(&changes).execute(conn.db)?)?;
    Ok(changes.version)
}

/// What was told of a bundle that runs out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BundleWarned {
    /// The period whose low balance was told of.
    pub low_for: Option<DateTime<Utc>>,
    /// The end whose approach was told of.
    pub expiry_for: Option<DateTime<Utc>>,
}

/// Records what was told of a bundle that is still at `version`, with one event each. What is `None` stays as it was.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn warned(conn: &mut Conn<'_>, id: BundleId, version: i64, warned: &BundleWarned) -> Result<()> {
    #[derive(AsChangeset)]
    #[diesel(table_name = bundles)]
    struct Changes {
        low_told_for: Option<At>,
        expiry_told_for: Option<At>,
        version: i64,
    }
    let facts = i64::from(warned.low_for.is_some()) + i64::from(warned.expiry_for.is_some());
    let changes = Changes {
        low_told_for: warned.low_for.map(At),
        expiry_told_for: warned.expiry_for.map(At),
        version: version + facts,
    };
    let guard = bundles::table.filter(bundles::id.eq(Uid(id.0))).filter(bundles::version.eq(version));
    ensure_affected("warn of bundle", 1, diesel::update(guard).set(&changes).execute(conn.db)?)
}

/// Running bundles of a pool that end in a span and have not been told of, the first to end first.
///
/// # Errors
/// When they cannot be read.
pub fn ending(
    conn: &mut Conn<'_>,
    pool_id: i64,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Bundle>> {
    let untold = bundles::expiry_told_for
        .is_null()
        .or(bundles::expiry_told_for.assume_not_null().ne(bundles::expires_at.assume_not_null()));
    // Not a join, and the statuses as the index has them: the few that end soon come before the pool's many profiles.
    let of_pool = sql::<Bool>("(SELECT p.pool_id FROM profiles p WHERE p.id = bundles.profile_id) = ");
    let rows: Vec<Row> = bundles::table
        .filter(sql::<Bool>("bundles.status IN ('active', 'exhausted')"))
        .filter(of_pool.bind::<BigInt, _>(pool_id))
        .filter(bundles::expires_at.gt(At(after)))
        .filter(bundles::expires_at.le(At(until)))
        .filter(untold)
        .order((bundles::expires_at, bundles::id))
        .limit(limit)
        .select(bundles::all_columns)
        .load(conn.db)?;
    rows.into_iter().map(Bundle::try_from).collect()
}

/// The bundle that a carrier's subscription is evidence for.
///
/// # Errors
/// When it cannot be read.
pub fn of_subscription(
    conn: &mut Conn<'_>,
    account: &AccountName,
    subscription_id: &str,
) -> Result<Option<Bundle>> {
    bundles::table
        .filter(bundles::carrier_account.eq(account.as_str()))
        .filter(bundles::subscription_id.eq(subscription_id))
        .first::<Row>(conn.db)
        .optional()?
        .map(Bundle::try_from)
        .transpose()
}

/// Moves the bundles of a line to the SIM that took it over. Returns their new versions.
///
/// # Errors
/// When the store refuses.
pub fn move_to(conn: &mut Conn<'_>, old: i64, new: i64) -> Result<Vec<(BundleId, i64)>> {
    let moved: Vec<(Uid, i64)> = bundles::table
        .filter(bundles::profile_id.eq(old))
        .select((bundles::id, bundles::version))
        .load(conn.db)?;
    let touched = diesel::update(bundles::table.filter(bundles::profile_id.eq(old)))
        .set((bundles::profile_id.eq(new), bundles::version.eq(bundles::version + 1)))
        .execute(conn.db)?;
    ensure_affected("move bundles", moved.len(), touched)?;
    Ok(moved.into_iter().map(|(id, version)| (BundleId(id.0), version + 1)).collect())
}
