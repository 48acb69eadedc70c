//! Row by row: the writer is alone, and its statements are prepared.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{NewOrder, Place};
use crate::error::Result;
use crate::store::Conn;
use crate::{allocations, events, idempotency, orders, secrets};

/// Writes a batch without those whose reference is taken; `None` when another's key is.
pub(super) fn write(
    conn: &mut Conn<'_>,
    batch: &[&NewOrder],
    now: DateTime<Utc>,
) -> Result<Option<Vec<Place>>> {
    let mut allocations = HashMap::with_capacity(batch.len());
    for new in batch {
        if !orders::insert(conn, &new.order, &new.lines)? {
            continue;
        }
        if let Some(key) = &new.key
            && !idempotency::insert(conn, key, now)?
        {
            return Ok(None);
        }
        let allocated = allocations::allocate(conn, new.order.id, &new.places, new.revealed, now)?;
        allocations.extend(new.places.iter().map(|place| place.profile.id).zip(allocated));
        events::append(conn, &new.events)?;
    }
    let ids: Vec<i64> = allocations.keys().copied().collect();
    let read = secrets::profiles_with_codes(conn, &ids)?.into_iter();
    let place = |(profile, sealed): (crate::profiles::Row, _)| {
        allocations.get(&profile.id).map(|allocation| (*allocation, profile, sealed))
    };
    Ok(Some(read.filter_map(place).collect()))
}
