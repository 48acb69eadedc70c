//! Row by row: the writer is alone, and its statements are prepared.

use chrono::{DateTime, Utc};
use simdepot_domain::event::Event;

use super::{NewOrder, Written};
use crate::error::Result;
use crate::store::Conn;
use crate::{allocations, events, idempotency, orders};

pub(super) fn write(
    conn: &mut Conn<'_>,
    batch: &[&NewOrder],
    facts: &[Event],
    now: DateTime<Utc>,
) -> Result<Written> {
    let mut rows = Vec::with_capacity(batch.len());
    for new in batch {
        if !orders::insert(conn, &new.order, &new.lines)? {
            return Ok(Written::Taken);
        }
        if let Some(key) = &new.key
            && !idempotency::insert(conn, key, now)?
        {
            return Ok(Written::Taken);
        }
        rows.push(allocations::allocate(conn, new.order.id, &new.places, new.revealed, now)?);
    }
    events::append(conn, facts)?;
    Ok(Written::All(rows))
}
