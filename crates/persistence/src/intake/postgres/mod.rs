//! One statement: a CTE per table, fed by arrays.
//!
//! The parts of a CTE run with one snapshot and do not see each other's rows; what hangs on an order is written only if
//! the order is, so that one whose reference is taken leaves nothing behind and keeps no other from being written.

mod columns;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};

use self::columns::Columns;
use super::{NewOrder, Place};
use crate::dialect::statement;
use crate::error::{Result, ensure_affected};
use crate::idempotency::KEPT;
use crate::schema::profiles;
use crate::sql_types::Id;
use crate::stock_counts::day_of;

/// Writes a batch without those whose reference is taken; `None` when another's key is.
pub(super) fn write(
    pg: &mut PgConnection,
    batch: &[&NewOrder],
    now: DateTime<Utc>,
) -> Result<Option<Vec<Place>>> {
    let statement =
        Statement { columns: Columns::of(batch)?, now, day: day_of(now), keys_expire: now + KEPT };
    let rows: Vec<Row> = statement.load(pg)?;
    let count = |rows: i64| usize::try_from(rows).unwrap_or_default();
    let (asked, keys, claimed, moved) = rows.first().map_or((0, 0, 0, 0), |(counts, _)| *counts);
    if asked != keys {
        return Ok(None);
    }
    ensure_affected("allocate profiles", count(claimed), count(moved))?;
    let places: Vec<Place> = rows.into_iter().filter_map(|(_, place)| place).collect();
    ensure_affected("insert allocations", count(claimed), places.len())?;
    Ok(Some(places))
}

/// Of the orders that were written: how many keys they had and how many were written, how many profiles they claimed and
/// how many moved; and one of the places.
type Row = ((i64, i64, i64, i64), Option<Place>);
type RowType = (
    (BigInt, BigInt, BigInt, BigInt),
    Nullable<(BigInt, profiles::SqlType, Nullable<(Id, Nullable<Binary>)>)>,
);

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
    type SqlType = RowType;
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        self.orders(out.reborrow())?;
        self.lines(out.reborrow())?;
        self.places(out.reborrow())?;
        self.keys(out.reborrow())?;
        self.events(out.reborrow())?;
        // The sealed code by a look-up for each: a plan for any number of rows would read all codes.
        out.push_sql("SELECT c.*, a.id, ");
        profiles::all_columns.walk_ast(out.reborrow())?;
        out.push_sql(
            ", s.* FROM (SELECT (SELECT COUNT(*) FROM x), (SELECT COUNT(*) FROM k), (SELECT COUNT(*) FROM t), \
             (SELECT COUNT(*) FROM p)) AS c \
             LEFT JOIN (a JOIN p AS profiles ON profiles.id = a.profile_id) ON TRUE \
             LEFT JOIN LATERAL (SELECT data_key_id, activation_code FROM profile_secrets \
             WHERE profile_id = profiles.id LIMIT 1) AS s ON TRUE",
        );
        Ok(())
    }
}

impl Statement<'_> {
    fn orders<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let orders = &self.columns.orders;
        statement!(out,
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
        statement!(out,
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
        statement!(out,
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
            // The array as well: whatever is known of the tables' sizes, nothing but the key finds the rows.
            " FROM t WHERE profiles.id = t.profile_id AND profiles.id = ANY (", [Array<BigInt> => places.profile];
            ") AND profiles.stock_status = t.stood RETURNING ");
        profiles::all_columns.walk_ast(out.reborrow())?;
        statement!(out,
            ", t.stood), \
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
        statement!(out,
            "x AS MATERIALIZED (SELECT x.* FROM unnest(", [
                Array<Id> => keys.order, Array<Text> => keys.channel, Array<Text> => keys.key,
                Array<Text> => keys.request, Array<Binary> => keys.body_hash, Array<Integer> => keys.status,
                Array<Text> => keys.resource,
            ];
            ") AS x (order_id, channel, key, request, body_hash, status, resource_id) JOIN o ON o.id = x.order_id), \
             k AS (INSERT INTO idempotency_keys (channel, key, request, body_hash, status, resource_id, created_at, \
             expires_at) SELECT channel, key, request, body_hash, status, resource_id, ",
            [Timestamptz => self.now, Timestamptz => self.keys_expire];
            " FROM x ORDER BY channel, key ON CONFLICT (channel, key) DO NOTHING RETURNING key), ";
        );
        Ok(())
    }

    fn events<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let events = &self.columns.events;
        statement!(out,
            "e AS (INSERT INTO events (id, at, subject_kind, subject_id, version, type_name, data) \
             SELECT x.id, x.at, x.subject_kind, x.subject_id, x.version, x.type_name, x.data FROM unnest(", [
                Array<Id> => events.order, Array<Id> => events.id, Array<Timestamptz> => events.at,
                Array<Text> => events.subject_kind, Array<Text> => events.subject_id,
                Array<BigInt> => events.version, Array<Text> => events.type_name, Array<Jsonb> => events.data,
            ];
            ") AS x (order_id, id, at, subject_kind, subject_id, version, type_name, data) \
             JOIN o ON o.id = x.order_id) ";
        );
        Ok(())
    }
}
