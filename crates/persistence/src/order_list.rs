//! Lists of a channel's orders, newest first, at a cost that does not grow with the orders.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;
use simdepot_domain::channel::ChannelName;
use simdepot_domain::id::OrderId;
use simdepot_domain::order::OrderStatus;
use strum::VariantArray as _;

use crate::error::Result;
use crate::orders::{self, Order};
use crate::schema::orders as table;
use crate::sql_types::{At, Id, Moment, Uid};
use crate::store::Conn;

/// What a list of orders asks for.
#[derive(Debug, Clone)]
pub struct OrderFilter {
    /// Of this channel.
    pub channel: ChannelName,
    /// With this reference.
    pub reference: Option<String>,
    /// Standing there.
    pub status: Option<OrderStatus>,
    /// Taken after this moment.
    pub created_after: Option<DateTime<Utc>>,
    /// Before this order, as the list goes.
    pub before: Option<OrderId>,
}

impl OrderFilter {
    /// All orders of a channel.
    pub fn of(channel: ChannelName) -> Self {
        Self { channel, reference: None, status: None, created_after: None, before: None }
    }

    fn allows(&self, order: &Order, before: Option<(DateTime<Utc>, Uid)>) -> bool {
        self.status.is_none_or(|status| order.status == status)
            && self.created_after.is_none_or(|after| order.created_at > after)
            && before.is_none_or(|(at, id)| (order.created_at, order.id.0) < (at, id.0))
    }
}

/// A page of a channel's orders, newest first. Its statements must all see the same moment ([`Store::snapshot`]): an order
/// that moved between two of them would be listed twice or never.
///
/// [`Store::snapshot`]: crate::Store::snapshot
///
/// # Errors
/// When they cannot be read.
pub fn list(conn: &mut Conn<'_>, filter: &OrderFilter, limit: i64) -> Result<Vec<Order>> {
    let before = match filter.before {
        Some(id) => place(conn, id)?,
        None => None,
    };
    if let Some(reference) = &filter.reference {
        let found = orders::find_by_reference(conn, &filter.channel, reference)?;
        return Ok(found.into_iter().filter(|order| filter.allows(order, before)).collect());
    }
    // One index has them by status, and in each by age. An order that would come from the other end, by its key or by a
    // filter on what lies in between, is not to be had from it: no plan walks what is not asked for.
    let statuses = match filter.status {
        Some(status) => vec![status],
        None => OrderStatus::VARIANTS.to_vec(),
    };
    let mut found: Vec<(At, Uid)> = Vec::new();
    for status in statuses {
        found.extend(newest(conn, filter, status, before, limit)?);
    }
    found.sort_unstable_by_key(|one| std::cmp::Reverse((one.0, one.1.0)));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let ids: Vec<Uid> = found.into_iter().map(|(_, id)| id).collect();
    orders::get_many(conn, &ids)
}

fn place(conn: &mut Conn<'_>, id: OrderId) -> Result<Option<(DateTime<Utc>, Uid)>> {
    let at: Option<At> = table::table.find(Uid(id.0)).select(table::created_at).first(conn.db).optional()?;
    Ok(at.map(|at| (at.0, Uid(id.0))))
}

fn newest(
    conn: &mut Conn<'_>,
    filter: &OrderFilter,
    status: OrderStatus,
    before: Option<(DateTime<Utc>, Uid)>,
    limit: i64,
) -> Result<Vec<(At, Uid)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Id)]
        id: Uid,
        #[diesel(sql_type = Moment)]
        created_at: At,
    }
    let mut sql = "SELECT id, created_at FROM orders WHERE channel = $1 AND status = $2".to_owned();
    if before.is_some() {
        sql.push_str(" AND (created_at, id) < ($3, $4)");
    }
    if filter.created_after.is_some() {
        sql.push_str(if before.is_some() { " AND created_at > $5" } else { " AND created_at > $3" });
    }
    sql.push_str(&format!(" ORDER BY created_at DESC, id DESC LIMIT {limit}"));
    let mut query = diesel::sql_query(sql)
        .into_boxed::<crate::connection::MultiBackend>()
        .bind::<Text, _>(filter.channel.as_str())
        .bind::<Text, _>(<&str>::from(status));
    if let Some((at, id)) = before {
        query = query.bind::<Moment, _>(At(at)).bind::<Id, _>(id);
    }
    if let Some(after) = filter.created_after {
        query = query.bind::<Moment, _>(At(after));
    }
    let rows: Vec<Row> = query.load(conn.db)?;
    Ok(rows.into_iter().map(|row| (row.created_at, row.id)).collect())
}
