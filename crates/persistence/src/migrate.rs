//! Embedded migrations, applied under a lock.

use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::connection::AnyConnection;
use crate::dialect::{self, both};
use crate::error::{Result, StoreError};

const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// Key of the advisory lock: "simdepot" in ASCII.
const LOCK: &str = "8316568962098917236";

fn source(db: &AnyConnection) -> EmbeddedMigrations {
    match db {
        AnyConnection::Pg(_) => POSTGRES,
        AnyConnection::Sqlite(_) => SQLITE,
    }
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Migration(error.to_string())
}

/// Applies what is pending. Of several processes that start together one does it and the others wait.
pub(crate) fn run_pending(db: &mut AnyConnection) -> Result<usize> {
    if let AnyConnection::Pg(pg) = db {
        pg.batch_execute(&format!("SET statement_timeout = 0; SELECT pg_advisory_lock({LOCK})"))?;
    }
    let alone = matches!(db, AnyConnection::Sqlite(_));
    if alone {
        // SQLite's lock is the write transaction; each migration is a savepoint in it.
        dialect::begin_write(db)?;
    }
    let migrations = source(db);
    let applied = both!(db, c => c.run_pending_migrations(migrations).map(|done| done.len())).map_err(failed);
    if alone {
        if applied.is_ok() { dialect::commit(db)? } else { dialect::rollback(db)? }
    }
    if let AnyConnection::Pg(pg) = db {
        pg.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))?;
    }
    applied
}

/// Refuses a database that lacks a migration of this binary.
pub(crate) fn require_current(db: &mut AnyConnection) -> Result<()> {
    let migrations = source(db);
    let pending = both!(db, c => c.has_pending_migration(migrations)).map_err(failed)?;
    if pending {
        Err(StoreError::Migration("the database lacks migrations: run `simdepot migrate`".to_owned()))
    } else {
        Ok(())
    }
}
