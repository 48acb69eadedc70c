//! Holds: the record. The profiles that a hold reserves are moved in `stock.rs`.

mod stock;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use simdepot_domain::channel::ChannelName;
use simdepot_domain::hold::{HoldState, HoldStatus};
use simdepot_domain::id::{HoldId, OrderId};

use crate::dialect::{self, Lock, Passing};
use crate::error::{Result, StoreError, ensure_affected, parse_column};
use crate::schema::holds;
use crate::sql_types::{At, Id, Moment, Uid};
use crate::store::Conn;

pub use stock::{Held, give_back, held, reserve};

/// A hold as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// Whose it is.
    pub channel: ChannelName,
    /// The pool it reserves from.
    pub pool_id: i64,
    /// How many profiles it was made for.
    pub quantity: u32,
    /// Where it stands as it was written; see [`HoldState::status_at`].
    pub status: HoldStatus,
    /// Its deadline, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// The order that it became.
    pub order: Option<OrderId>,
    /// How many events it has had.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Hold {
    /// What the rules look at.
    pub fn state(&self) -> HoldState {
        HoldState { status: self.status, expires_at: self.expires_at }
    }
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = holds, treat_none_as_default_value = false)]
struct Row {
    id: Uid,
    channel: String,
    pool_id: i64,
    quantity: i64,
    status: String,
    expires_at: At,
    order_id: Option<Uid>,
    version: i64,
    created_at: At,
    updated_at: At,
}

impl TryFrom<Row> for Hold {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let unreadable =
            |column| StoreError::Inconsistency { table: "holds", column, row: row.id.0.to_string() };
        Ok(Self {
            id: HoldId(row.id.0),
            channel: parse_column("holds", "channel", row.id.0, &row.channel)?,
            pool_id: row.pool_id,
            quantity: u32::try_from(row.quantity).map_err(|_| unreadable("quantity"))?,
            status: parse_column("holds", "status", row.id.0, &row.status)?,
            expires_at: row.expires_at.0,
            order: row.order_id.map(|id| OrderId(id.0)),
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

/// Writes a new hold.
///
/// # Errors
/// When the database refuses it.
pub fn insert(conn: &mut Conn<'_>, hold: &Hold) -> Result<()> {
    let row = Row {
        id: Uid(hold.id.0),
        channel: hold.channel.to_string(),
        pool_id: hold.pool_id,
        quantity: i64::from(hold.quantity),
        status: hold.status.to_string(),
        expires_at: At(hold.expires_at),
        order_id: hold.order.map(|order| Uid(order.0)),
        version: hold.version,
        created_at: At(hold.created_at),
        updated_at: At(hold.updated_at),
    };
    let written = diesel::insert_into(holds::table).values(row).execute(conn.db)?;
    ensure_affected("insert hold", 1, written)
}

/// A hold by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: HoldId) -> Result<Option<Hold>> {
    let row: Option<Row> = holds::table.find(Uid(id.0)).first(conn.db).optional()?;
    row.map(Hold::try_from).transpose()
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Id)]
    id: Uid,
}

fn lock_with(conn: &mut Conn<'_>, id: HoldId, lock: Lock) -> Result<Option<Hold>> {
    let sql = format!("SELECT id FROM holds WHERE id = $1{}", lock.clause(conn.db));
    let locked: Option<IdRow> =
        diesel::sql_query(sql).bind::<Id, _>(Uid(id.0)).get_result(conn.db).optional()?;
    // Read by a statement of its own: it sees what the one that was waited for has committed.
    match locked {
        Some(row) => find(conn, HoldId(row.id.0)),
        None => Ok(None),
    }
}

/// A hold, locked until the end of the transaction. Whoever ends a hold or reads its deadline to act on it comes
/// through here, before he touches its profiles.
///
/// # Errors
/// When it cannot be read.
pub fn lock(conn: &mut Conn<'_>, id: HoldId) -> Result<Option<Hold>> {
    lock_with(conn, id, Lock::Wait)
}

/// As [`lock`], but `None` when somebody else has it: a sweeper has others to look at.
///
/// # Errors
/// When it cannot be read.
pub fn lock_if_free(conn: &mut Conn<'_>, id: HoldId) -> Result<Option<Hold>> {
    lock_with(conn, id, Lock::Skip)
}

/// Lets the transactions that make holds for a channel pass one by one, so that [`held_by`] counts what others made.
///
/// # Errors
/// When the database cannot be asked.
pub fn lock_channel(conn: &mut Conn<'_>, channel: &ChannelName) -> Result<()> {
    dialect::one_by_one(conn.db, Passing::Holds, channel.as_str())
}

/// How many profiles the channel's active holds were made for.
///
/// # Errors
/// When it cannot be read.
pub fn held_by(conn: &mut Conn<'_>, channel: &ChannelName, now: DateTime<Utc>) -> Result<u64> {
    #[derive(QueryableByName)]
    struct Sum {
        #[diesel(sql_type = BigInt)]
        profiles: i64,
    }
    // The status is written out: a parameter would keep the planner off the partial index.
    let sum: Sum = diesel::sql_query(
        "SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT) AS profiles FROM holds \
         WHERE channel = $1 AND status = 'active' AND expires_at > $2",
    )
    .bind::<Text, _>(channel.as_str())
    .bind::<Moment, _>(At(now))
    .get_result(conn.db)?;
    Ok(u64::try_from(sum.profiles).unwrap_or_default())
}

/// Active holds whose deadline has passed, the longest overdue first.
///
/// # Errors
/// When they cannot be read.
pub fn due(conn: &mut Conn<'_>, now: DateTime<Utc>, limit: i64) -> Result<Vec<HoldId>> {
    let rows: Vec<IdRow> = diesel::sql_query(
        "SELECT id FROM holds WHERE status = 'active' AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
    )
    .bind::<Moment, _>(At(now))
    .bind::<BigInt, _>(limit)
    .load(conn.db)?;
    Ok(rows.into_iter().map(|row| HoldId(row.id.0)).collect())
}

/// What changes about a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    /// Another deadline.
    Deadline(DateTime<Utc>),
    /// Its end, and the order that it became.
    End(HoldStatus, Option<OrderId>),
}

/// Changes an active hold that is still at its version. Returns the new version.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn change(conn: &mut Conn<'_>, hold: &Hold, change: HoldChange, now: DateTime<Utc>) -> Result<i64> {
    let version = hold.version + 1;
    let guard = holds::table
        .filter(holds::id.eq(Uid(hold.id.0)))
        .filter(holds::status.eq(HoldStatus::Active.as_ref()))
        .filter(holds::version.eq(hold.version));
    let stamps = (holds::version.eq(version), holds::updated_at.eq(At(now)));
    let touched = match change {
        HoldChange::Deadline(expires_at) => {
            diesel::update(guard).set((stamps, holds::expires_at.eq(At(expires_at)))).execute(conn.db)?
        }
        HoldChange::End(status, order) => {
            let order = order.map(|order| Uid(order.0));
            diesel::update(guard)
                .set((stamps, holds::status.eq(status.to_string()), holds::order_id.eq(order)))
                .execute(conn.db)?
        }
    };
    ensure_affected("change hold", 1, touched)?;
    Ok(version)
}

/// A page of a channel's holds, newest first.
///
/// # Errors
/// When they cannot be read.
pub fn list(
    conn: &mut Conn<'_>,
    channel: &ChannelName,
    before: Option<HoldId>,
    limit: i64,
) -> Result<Vec<Hold>> {
    let mut query = holds::table
        .filter(holds::channel.eq(channel.to_string()))
        .order(holds::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(holds::id.lt(Uid(before.0)));
    }
    query.load::<Row>(conn.db)?.into_iter().map(Hold::try_from).collect()
}
