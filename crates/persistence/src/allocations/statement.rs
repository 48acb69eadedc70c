//! The claim's statements, prepared once per connection.
//!
//! Ordered by what only the index `profiles_claim` holds, so that no plan can walk allocated rows.

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Text};
use diesel::sqlite::Sqlite;

use super::head::Head;
use crate::connection::AnyConnection;
use crate::dialect::Lock;
use crate::error::Result;
use crate::sql_types::{At, Moment};

/// What a claim returns of a row: id, pool, ICCID, last moment of sale, version.
pub(super) type Row = (i64, i64, String, At, i64);
type RowType = (BigInt, BigInt, Text, Moment, BigInt);

const SELECT: &str = "SELECT id, pool_id, iccid, sell_by, version FROM profiles WHERE pool_id = ";
const SELLABLE: &str = " AND stock_status = 'available' AND sell_by > ";
const ORDER: &str = " ORDER BY sell_by, batch_no, id LIMIT ";

/// The claim with `$1`, `$2` and `$3` for the pool, the moment and the number of rows, and without its lock. For the
/// tests of its plan.
pub fn claim_sql() -> String {
    format!("{SELECT}$1{SELLABLE}$2{ORDER}$3")
}

/// Which sellable rows of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) pool_id: i64,
    pub(super) now: At,
    pub(super) limit: i64,
}

impl Wanted {
    /// The first ones.
    pub(super) fn first(self, db: &mut AnyConnection, lock: Lock) -> Result<Vec<Row>> {
        Ok(match (db, lock) {
            (AnyConnection::Pg(pg), Lock::Skip) => FromStart::<false>(self).load(pg)?,
            (AnyConnection::Pg(pg), Lock::Wait) => FromStart::<true>(self).load(pg)?,
            (AnyConnection::Sqlite(sqlite), _) => FromStart::<false>(self).load(sqlite)?,
        })
    }

    /// The first ones from a head on; none when something came on sale since it was found.
    pub(super) fn first_from(self, pg: &mut PgConnection, head: &Head, lock: Lock) -> Result<Vec<Row>> {
        Ok(match lock {
            Lock::Skip => FromHead::<false>(self, head).load(pg)?,
            Lock::Wait => FromHead::<true>(self, head).load(pg)?,
        })
    }

    fn select<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<Moment>,
        At: ToSql<Moment, DB>,
        i64: ToSql<BigInt, DB>,
    {
        out.push_sql(SELECT);
        out.push_bind_param::<BigInt, _>(&self.pool_id)?;
        out.push_sql(SELLABLE);
        out.push_bind_param::<Moment, _>(&self.now)
    }

    fn order<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend,
        i64: ToSql<BigInt, DB>,
    {
        out.push_sql(ORDER);
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

/// PostgreSQL's lock.
fn for_update(waits: bool) -> &'static str {
    if waits { " FOR UPDATE" } else { " FOR UPDATE SKIP LOCKED" }
}

struct FromStart<const WAITS: bool>(Wanted);

impl<const WAITS: bool> QueryId for FromStart<WAITS> {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const WAITS: bool> Query for FromStart<WAITS> {
    type SqlType = RowType;
}

impl<const WAITS: bool, C> RunQueryDsl<C> for FromStart<WAITS> {}

impl<const WAITS: bool> QueryFragment<Pg> for FromStart<WAITS> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.select(&mut out)?;
        self.0.order(&mut out)?;
        out.push_sql(for_update(WAITS));
        Ok(())
    }
}

impl<const WAITS: bool> QueryFragment<Sqlite> for FromStart<WAITS> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.select(&mut out)?;
        self.0.order(&mut out)
    }
}

/// PostgreSQL alone: see [`super::head`].
struct FromHead<'a, const WAITS: bool>(Wanted, &'a Head);

impl<const WAITS: bool> QueryId for FromHead<'_, WAITS> {
    type QueryId = FromHead<'static, WAITS>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const WAITS: bool> Query for FromHead<'_, WAITS> {
    type SqlType = RowType;
}

impl<const WAITS: bool> RunQueryDsl<PgConnection> for FromHead<'_, WAITS> {}

impl<const WAITS: bool> QueryFragment<Pg> for FromHead<'_, WAITS> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self(wanted, head) = self;
        wanted.select(&mut out)?;
        out.push_sql(" AND (sell_by, batch_no, id) >= (");
        out.push_bind_param::<Moment, _>(&head.sell_by)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&head.batch_no)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&head.id)?;
        // Looked up once, before the index is read.
        out.push_sql(") AND COALESCE((SELECT MAX(number) FROM restocks WHERE restocks.pool_id = ");
        out.push_bind_param::<BigInt, _>(&wanted.pool_id)?;
        out.push_sql("), 0) = ");
        out.push_bind_param::<BigInt, _>(&head.restocks)?;
        wanted.order(&mut out)?;
        out.push_sql(for_update(WAITS));
        Ok(())
    }
}
