//! New entries of the feed: one prepared statement over arrays on PostgreSQL, prepared row by row on SQLite.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary};

use crate::connection::AnyConnection;
use crate::dialect::statement;
use crate::error::Result;
use crate::schema::feed;
use crate::sql_types::{Id, Uid};

/// Entries, column by column.
#[derive(Default)]
pub(super) struct Entries {
    seq: Vec<i64>,
    event: Vec<Uid>,
    hash: Vec<Vec<u8>>,
}

impl Entries {
    pub(super) fn add(&mut self, seq: i64, event: Uid, hash: Vec<u8>) {
        self.seq.push(seq);
        self.event.push(event);
        self.hash.push(hash);
    }

    /// Writes them; returns how many were written.
    pub(super) fn insert(self, db: &mut AnyConnection) -> Result<usize> {
        let sqlite = match db {
            AnyConnection::Pg(pg) => return Ok(self.execute(pg)?),
            AnyConnection::Sqlite(sqlite) => sqlite,
        };
        let mut written = 0;
        for ((seq, event), hash) in self.seq.into_iter().zip(self.event).zip(self.hash) {
            let row = (feed::seq.eq(seq), feed::event_id.eq(event), feed::hash.eq(hash));
            written += diesel::insert_into(feed::table).values(row).execute(sqlite)?;
        }
        Ok(written)
    }
}

impl QueryId for Entries {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for Entries {}

impl QueryFragment<Pg> for Entries {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        statement!(out,
            "INSERT INTO feed (seq, event_id, hash) SELECT * FROM unnest(", [
                Array<BigInt> => self.seq, Array<Id> => self.event, Array<Binary> => self.hash,
            ];
            ")";
        );
        Ok(())
    }
}
