//! One statement: a CTE per table, fed by arrays.
//!
//! The parts of a CTE run with one snapshot and do not see each other's rows; what hangs on an order is written only if
//! the order is, so that a taken reference ends in a count that does not fit instead of an error of the database.

mod columns;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use simdepot_domain::event::Event;

use self::columns::Columns;
use super::{NewOrder, Written};
use crate::allocations::NewAllocation;
use crate::error::{Result, ensure_affected};
use crate::idempotency::KEPT;
use crate::sql_types::Id;
use crate::stock_counts::day_of;

pub(super) fn write(
    pg: &mut PgConnection,
    batch: &[&NewOrder],
    facts: &[Event],
    now: DateTime<Utc>,
) -> Result<Written> {
    let statement =
        Statement { columns: Columns::of(batch, facts)?, now, day: day_of(now), keys_expire: now + KEPT };
    let columns = &statement.columns;
    let asked = (columns.orders.id.len(), columns.keys.key.len(), columns.places.profile.len());
    let (orders, keys, moved, profiles, allocations): Counts = statement.get_result(pg)?;
    let count = |rows: i64| usize::try_from(rows).unwrap_or_default();
    if (count(orders), count(keys)) != (asked.0, asked.1) {
        return Ok(Written::Taken);
    }
    ensure_affected("allocate profiles", asked.2, count(moved))?;
    ensure_affected("insert allocations", asked.2, allocations.len())?;
    let rows: HashMap<i64, i64> = profiles.into_iter().zip(allocations).collect();
    let row_of = |place: &NewAllocation| rows.get(&place.profile.id).copied().unwrap_or_default();
    Ok(Written::All(batch.iter().map(|new| new.places.iter().map(row_of).collect()).collect()))
}

/// Orders, keys and profiles that were written, and the allocations with their profiles.
type Counts = (i64, i64, i64, Vec<i64>, Vec<i64>);

struct Statement<'a> {
    columns: Columns<'a>,
    now: DateTime<Utc>,
    day: DateTime<Utc>,
    keys_expire: DateTime<Utc>,
}

impl QueryId for Statement<'_> {
    type QueryId = Statement<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Statement<'_> {
    type SqlType = (BigInt, BigInt, BigInt, Array<BigInt>, Array<BigInt>);
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}

/// Text and parameters of the statement, in turn: what is behind `=>` is the type of the parameter before it.
macro_rules! sql {
    ($out:ident, $($text:literal $(, [$($sql:ty => $value:expr),+ $(,)?])?);+ $(;)?) => {
        $(
            $out.push_sql($text);
            $(sql!(@parameters $out, $($sql => $value),+);)?
        )+
    };
    (@parameters $out:ident, $first:ty => $value:expr $(, $sql:ty => $more:expr)*) => {
        $out.push_bind_param::<$first, _>(&$value)?;
        $(
            $out.push_sql(", ");
            $out.push_bind_param::<$sql, _>(&$more)?;
        )*
    };
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        self.orders(out.reborrow())?;
        self.lines(out.reborrow())?;
        self.places(out.reborrow())?;
        self.keys(out.reborrow())?;
        self.events(out.reborrow())?;
        out.push_sql(
            "SELECT (SELECT COUNT(*) FROM o), (SELECT COUNT(*) FROM k), (SELECT COUNT(*) FROM p), \
             COALESCE((SELECT array_agg(a.profile_id ORDER BY a.id) FROM a), '{}'), \
             COALESCE((SELECT array_agg(a.id ORDER BY a.id) FROM a), '{}')",
        );
        Ok(())
    }
}

impl Statement<'_> {
    fn orders<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let orders = &self.columns.orders;
        sql!(out,
            "o AS (INSERT INTO orders (id, channel, reference, request_hash, status, reveal, version, created_at, \
             updated_at) SELECT x.*, ", [Timestamptz => self.now, Timestamptz => self.now];
            " FROM unnest(", [
                Array<Id> => orders.id, Array<Text> => orders.channel, Array<Text> => orders.reference,
                Array<Binary> => orders.request_hash, Array<Text> => orders.status, Array<Bool> => orders.reveal,
                Array<BigInt> => orders.version,
            ];
            ") AS x ON CONFLICT (channel, reference) DO NOTHING RETURNING id), ";
        );
        Ok(())
    }

    fn lines<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let lines = &self.columns.lines;
        sql!(out,
            "l AS (INSERT INTO order_lines (order_id, line_no, pool_id, product, quantity, carrier_parameters) \
             SELECT x.* FROM unnest(", [
                Array<Id> => lines.order, Array<Integer> => lines.line_no, Array<BigInt> => lines.pool,
                Array<Nullable<Text>> => lines.product, Array<BigInt> => lines.quantity,
                Array<Nullable<Jsonb>> => lines.parameters,
            ];
            ") AS x (order_id, line_no, pool_id, product, quantity, carrier_parameters) JOIN o ON o.id = x.order_id), ";
        );
        Ok(())
    }

    fn places<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let places = &self.columns.places;
        sql!(out,
            "t AS MATERIALIZED (SELECT x.* FROM unnest(", [
                Array<BigInt> => places.profile, Array<Id> => places.order, Array<Integer> => places.line_no,
                Array<Integer> => places.position, Array<Text> => places.outcome, Array<Text> => places.from,
                Array<Bool> => places.revealed,
            ];
            ") AS x (profile_id, order_id, line_no, position, outcome, stood, revealed) JOIN o ON o.id = x.order_id), \
             p AS (UPDATE profiles SET stock_status = 'allocated', hold_id = NULL, \
             version = profiles.version + CASE WHEN t.revealed THEN 2 ELSE 1 END, \
             revealed_at = CASE WHEN t.revealed THEN ", [Timestamptz => self.now];
            " ELSE profiles.revealed_at END, updated_at = ", [Timestamptz => self.now];
            " FROM t WHERE profiles.id = t.profile_id AND profiles.stock_status = t.stood \
             RETURNING profiles.id, profiles.pool_id, profiles.sell_by, t.stood), \
             m AS (INSERT INTO stock_moves (pool_id, from_status, to_status, sell_by, day, profiles) \
             SELECT p.pool_id, p.stood, 'allocated', CASE WHEN p.stood = 'available' THEN p.sell_by ELSE 'epoch' END, \
             ", [Timestamptz => self.day];
            ", COUNT(*) FROM p GROUP BY 1, 2, 4), \
             a AS (INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at) \
             SELECT t.profile_id, t.order_id, t.line_no, t.position, t.outcome, ", [Timestamptz => self.now];
            " FROM t RETURNING id, profile_id), ";
        );
        Ok(())
    }

    fn keys<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let keys = &self.columns.keys;
        sql!(out,
            "k AS (INSERT INTO idempotency_keys (channel, key, request, body_hash, status, resource_id, created_at, \
             expires_at) SELECT x.*, ", [Timestamptz => self.now, Timestamptz => self.keys_expire];
            " FROM unnest(", [
                Array<Text> => keys.channel, Array<Text> => keys.key, Array<Text> => keys.request,
                Array<Binary> => keys.body_hash, Array<Integer> => keys.status, Array<Text> => keys.resource,
            ];
            ") AS x ON CONFLICT (channel, key) DO NOTHING RETURNING key), ";
        );
        Ok(())
    }

    fn events<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let events = &self.columns.events;
        sql!(out,
            "e AS (INSERT INTO events (id, at, subject_kind, subject_id, version, type_name, data) \
             SELECT * FROM unnest(", [
                Array<Id> => events.id, Array<Timestamptz> => events.at, Array<Text> => events.subject_kind,
                Array<Text> => events.subject_id, Array<BigInt> => events.version,
                Array<Text> => events.type_name, Array<Jsonb> => events.data,
            ];
            ")) ";
        );
        Ok(())
    }
}
