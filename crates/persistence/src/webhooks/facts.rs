//! The feed as webhooks read it: numbered events.

use diesel::prelude::*;
use simdepot_domain::id::EventId;

use crate::error::Result;
use crate::events::{Row, StoredEvent};
use crate::schema::{events, feed};
use crate::sql_types::Uid;
use crate::store::Conn;

/// An event with its number.
pub type Numbered = (i64, StoredEvent);

/// The last number of the feed; 0 when it is empty.
///
/// # Errors
/// When it cannot be read.
pub fn last_seq(conn: &mut Conn<'_>) -> Result<i64> {
    let last: Option<i64> =
        feed::table.order(feed::seq.desc()).select(feed::seq).first(conn.db).optional()?;
    Ok(last.unwrap_or_default())
}

/// The events after a number up to another, at most `limit` of them, in order.
///
/// # Errors
/// When one cannot be read.
pub fn between(conn: &mut Conn<'_>, after: i64, through: i64, limit: i64) -> Result<Vec<Numbered>> {
    feed::table
        .inner_join(events::table.on(events::id.eq(feed::event_id)))
        .filter(feed::seq.gt(after))
        .filter(feed::seq.le(through))
        .order(feed::seq)
        .limit(limit)
        .select((feed::seq, events::all_columns))
        .load::<(i64, Row)>(conn.db)?
        .into_iter()
        .map(|(seq, row)| Ok((seq, StoredEvent::try_from(row)?)))
        .collect()
}

/// One event; `None` when there is none, or none that is numbered yet.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: EventId) -> Result<Option<Numbered>> {
    let found: Option<(i64, Row)> = feed::table
        .inner_join(events::table.on(events::id.eq(feed::event_id)))
        .filter(feed::event_id.eq(Uid(id.0)))
        .select((feed::seq, events::all_columns))
        .first(conn.db)
        .optional()?;
    found.map(|(seq, row)| Ok((seq, StoredEvent::try_from(row)?))).transpose()
}
