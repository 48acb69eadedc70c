//! Lists of operations, newest first, at a cost that does not grow with the operations.

use diesel::prelude::*;
use diesel::sql_types::Text;
use simdepot_domain::channel::ChannelName;
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::OperationStatus;

use super::{Operation, get_many};
use crate::connection::MultiBackend;
use crate::error::Result;
use crate::schema::operations;
use crate::sql_types::{At, Id, Moment, Uid};
use crate::store::Conn;

/// So many operations are looked at for one page of a channel.
const WINDOW: i64 = 2_000;

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// The operations, newest first.
    pub operations: Vec<Operation>,
    /// Up to which one was looked, when there may be more behind it although the page is not full.
    pub looked_up_to: Option<OperationId>,
}

/// A page of operations, newest first; with a channel those on the profiles of its orders alone. Its
/// statements must all see the same moment ([`Store::snapshot`]): what was looked at ends where the list does.
///
/// [`Store::snapshot`]: crate::Store::snapshot
///
/// # Errors
/// When they cannot be read.
pub fn list(
    conn: &mut Conn<'_>,
    channel: Option<&ChannelName>,
    status: Option<OperationStatus>,
    before: Option<OperationId>,
    limit: i64,
) -> Result<Listed> {
    let before = match before {
        Some(id) => place(conn, id)?,
        None => None,
    };
    let asked = Asked { channel, status, before, limit };
    let found = asked.run(conn, false)?;
    let full = i64::try_from(found.len()).is_ok_and(|found| found >= limit);
    let end = if channel.is_some() && !full { asked.run(conn, true)? } else { Vec::new() };
    Ok(Listed {
        operations: get_many(conn, &found, status.is_some())?,
        looked_up_to: end.first().map(|id| OperationId(id.0)),
    })
}

fn place(conn: &mut Conn<'_>, id: OperationId) -> Result<Option<(At, Uid)>> {
    let at: Option<At> =
        operations::table.find(Uid(id.0)).select(operations::created_at).first(conn.db).optional()?;
    Ok(at.map(|at| (at, Uid(id.0))))
}

struct Asked<'a> {
    channel: Option<&'a ChannelName>,
    status: Option<OperationStatus>,
    before: Option<(At, Uid)>,
    limit: i64,
}

impl Asked<'_> {
    /// The page, or the last operation that was looked at for it if there are more.
    fn run(&self, conn: &mut Conn<'_>, end_of_window: bool) -> Result<Vec<Uid>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Id)]
            id: Uid,
        }
        let mut query = diesel::sql_query(self.sql(end_of_window)).into_boxed::<MultiBackend>();
        if let Some(status) = self.status {
            query = query.bind::<Text, _>(<&str>::from(status));
        }
        if let Some((at, id)) = self.before {
            query = match self.status {
                Some(_) => query.bind::<Moment, _>(at).bind::<Id, _>(id),
                None => query.bind::<Id, _>(id),
            };
        }
        if let Some(channel) = self.channel.filter(|_| !end_of_window) {
            query = query.bind::<Text, _>(channel.as_str());
        }
        let rows: Vec<Row> = query.load(conn.db)?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    fn sql(&self, end_of_window: bool) -> String {
        // By status in the order of the index alone, which the primary key does not have: no plan walks that.
        let (condition, before, order) = match self.status {
            Some(_) => ("status = $1", "(created_at, id) < ($2, $3)", "created_at DESC, id DESC"),
            None => ("1 = 1", "id < $1", "id DESC"),
        };
        let before = self.before.map(|_| format!(" AND {before}")).unwrap_or_default();
        let along = format!("FROM operations WHERE {condition}{before} ORDER BY {order}");
        if end_of_window {
            return format!("SELECT id {along} LIMIT 1 OFFSET {}", WINDOW.max(self.limit) - 1);
        }
        if self.channel.is_none() {
            return format!("SELECT id {along} LIMIT {}", self.limit);
        }
        let values = usize::from(self.status.is_some())
            + self.before.map_or(0, |_| if self.status.is_some() { 2 } else { 1 });
        format!(
            "SELECT id FROM (SELECT id, created_at, profile_id {along} LIMIT {}) seen WHERE \
             (SELECT o.channel FROM allocations a JOIN orders o ON o.id = a.order_id \
              WHERE a.profile_id = seen.profile_id AND a.ended_at IS NULL) = ${} ORDER BY {order} LIMIT {}",
            WINDOW.max(self.limit),
            values + 1,
            self.limit
        )
    }
}
