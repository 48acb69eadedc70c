//! What differs between the two databases, apart from column types. Nothing else matches on the connection.

use chrono::{DateTime, Utc};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

use crate::connection::{AnyConnection, MultiBackend};
use crate::error::Result;
use crate::sql_types::{At, Moment};

type Manager = <AnyConnection as Connection>::TransactionManager;

/// Begins a write. SQLite must take its lock at once: a transaction that reads first and writes later can fail with
/// "database is locked" whatever the busy timeout says.
pub(crate) fn begin_write(db: &mut AnyConnection) -> Result<()> {
    match db {
        AnyConnection::Sqlite(sqlite) => {
            AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?;
        }
        AnyConnection::Pg(_) => Manager::begin_transaction(db)?,
    }
    Ok(())
}

/// Begins a write whose statements take any number of rows and are planned once per connection: what PostgreSQL knows of
/// the arrays of one batch says nothing about the next, and planning anew costs more than a small batch. So that the one
/// plan fits every batch and every size of the tables, it goes by the indexes.
///
/// Many wait for a batch, so it gives way when another transaction stands in its way.
pub(crate) fn begin_batch(db: &mut AnyConnection) -> Result<()> {
    begin_planned(db, "BEGIN; SET LOCAL lock_timeout = '1s'")
}

/// As [`begin_batch`], for a write that waits for others, as long as somebody may wait for an answer.
pub(crate) fn begin_alone(db: &mut AnyConnection) -> Result<()> {
    begin_planned(db, "BEGIN; SET LOCAL lock_timeout = '10s'")
}

fn begin_planned(db: &mut AnyConnection, begin: &str) -> Result<()> {
    match db {
        AnyConnection::Sqlite(_) => begin_write(db)?,
        AnyConnection::Pg(pg) => {
            let settings = "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; \
                            SET LOCAL enable_sort = off; SET LOCAL enable_mergejoin = off";
            AnsiTransactionManager::begin_transaction_sql(pg, &format!("{begin}; {settings}"))?;
        }
    }
    Ok(())
}

/// Begins a read that sees one moment, however many statements it takes. It holds no lock that a writer waits for.
pub(crate) fn begin_snapshot(db: &mut AnyConnection) -> Result<()> {
    match db {
        AnyConnection::Sqlite(sqlite) => {
            AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN DEFERRED")?;
        }
        AnyConnection::Pg(pg) => {
            AnsiTransactionManager::begin_transaction_sql(
                pg,
                "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            )?;
        }
    }
    Ok(())
}

pub(crate) fn commit(db: &mut AnyConnection) -> Result<()> {
    Ok(Manager::commit_transaction(db)?)
}

pub(crate) fn rollback(db: &mut AnyConnection) -> Result<()> {
    Ok(Manager::rollback_transaction(db)?)
}

/// Runs `work` inside a savepoint and rolls back to it when it returns `None`: on PostgreSQL that also releases the
/// row locks that it took.
pub(crate) fn attempt<T>(
    db: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<Option<T>>,
) -> Result<Option<T>> {
    db.batch_execute("SAVEPOINT attempt")?;
    let outcome = work(db)?;
    db.batch_execute(match outcome {
        Some(_) => "RELEASE SAVEPOINT attempt",
        None => "ROLLBACK TO SAVEPOINT attempt",
    })?;
    Ok(outcome)
}

/// PostgreSQL's clock.
pub(crate) fn database_now(db: &mut AnyConnection) -> Result<DateTime<Utc>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Moment)]
        now: At,
    }
    let row: Row = diesel::sql_query("SELECT clock_timestamp() AS now").get_result(db)?;
    Ok(row.now.0)
}

/// The moment `moment`, put off by `micros` microseconds; both are SQL.
pub(crate) fn put_off(db: &AnyConnection, moment: &str, micros: &str) -> String {
    match db {
        AnyConnection::Sqlite(_) => format!("({moment}) + {micros}"),
        AnyConnection::Pg(_) => format!("({moment}) + {micros} * INTERVAL '1 microsecond'"),
    }
}

/// How rows are locked for an update. SQLite's writer is alone anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Pass over rows that another transaction holds.
    Skip,
    /// Wait for them.
    Wait,
}

impl Lock {
    /// The clause at the end of a SELECT.
    pub(crate) fn clause(self, db: &AnyConnection) -> &'static str {
        match (db, self) {
            (AnyConnection::Sqlite(_), _) => "",
            (AnyConnection::Pg(_), Self::Skip) => " FOR UPDATE SKIP LOCKED",
            (AnyConnection::Pg(_), Self::Wait) => " FOR UPDATE",
        }
    }
}

/// What passes one by one. Each has a class of advisory locks; locks of other purposes have one key, not two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// New holds of a channel.
    Holds,
    /// New webhook endpoints of a channel.
    Endpoints,
    /// What brings profiles into the stock: their rows are in the order of its commits.
    Imports,
    /// What puts profiles of a pool on sale: its numbers are in the order of its commits.
    Restocks,
}

impl Passing {
    /// A word in ASCII.
    const fn class(self) -> i32 {
        match self {
            Self::Holds => i32::from_be_bytes(*b"hold"),
            Self::Endpoints => i32::from_be_bytes(*b"hook"),
            Self::Imports => i32::from_be_bytes(*b"impo"),
            Self::Restocks => i32::from_be_bytes(*b"rest"),
        }
    }
}

/// Lets the transactions that name the same thing pass one by one, each to its end. SQLite's writer is alone anyway.
pub(crate) fn one_by_one(db: &mut AnyConnection, what: Passing, name: &str) -> Result<()> {
    if let AnyConnection::Pg(pg) = db {
        diesel::sql_query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
            .bind::<diesel::sql_types::Integer, _>(what.class())
            .bind::<diesel::sql_types::Text, _>(name)
            .execute(pg)?;
    }
    Ok(())
}

/// A statement that is valid on both databases but that diesel does not offer on the combined one (upserts).
#[derive(Debug, QueryId)]
pub(crate) struct Both<T>(pub(crate) T);

impl<T> QueryFragment<MultiBackend> for Both<T>
where
    T: QueryFragment<diesel::pg::Pg> + QueryFragment<diesel::sqlite::Sqlite>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        MultiBackend::walk_variant_ast(&self.0, pass)
    }
}

impl<T: Query> Query for Both<T> {
    type SqlType = T::SqlType;
}

impl<T> RunQueryDsl<AnyConnection> for Both<T> {}

/// Runs an expression once per database: batch inserts and other statements whose SQL diesel builds per database.
macro_rules! both {
    ($db:expr, $connection:ident => $run:expr) => {
        match $db {
            $crate::connection::AnyConnection::Pg($connection) => $run,
            $crate::connection::AnyConnection::Sqlite($connection) => $run,
        }
    };
}
pub(crate) use both;

/// Pushes a statement piece by piece: text, then the parameters behind it, each with its type.
macro_rules! statement {
    ($out:ident, $($text:literal $(, [$($sql:ty => $value:expr),+ $(,)?])?);+ $(;)?) => {
        $(
            $out.push_sql($text);
            $($crate::dialect::statement!(@parameters $out, $($sql => $value),+);)?
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
pub(crate) use statement;

/// Inserts rows, and tells how many were written: one statement on PostgreSQL, where each costs a round trip. On SQLite,
/// which has none, it is one prepared statement again and again: a statement for many rows is prepared each time.
macro_rules! insert_rows {
    ($db:expr, $table:expr, $rows:expr) => {
        match $db {
            $crate::connection::AnyConnection::Pg(pg) => {
                diesel::insert_into($table).values($rows).execute(pg)
            }
            $crate::connection::AnyConnection::Sqlite(sqlite) => {
                let insert = |written, row| {
                    diesel::insert_into($table).values(row).execute(sqlite).map(|one| written + one)
                };
                $rows.iter().try_fold(0usize, insert)
            }
        }
    };
}
pub(crate) use insert_rows;

/// Rows per INSERT: PostgreSQL takes 65,535 parameters in one statement, SQLite 32,766.
pub(crate) const INSERT_CHUNK: usize = 500;
