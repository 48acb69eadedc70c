//! A connection of the tests' own. The store gives none away, and a test must be able to look behind it.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use simdepot_persistence::Backend;

use super::migrations_of;

/// A connection to a test database.
pub enum RawConnection {
    /// PostgreSQL.
    Postgres(PgConnection),
    /// SQLite.
    Sqlite(SqliteConnection),
}

impl std::fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Postgres(_) => "RawConnection::Postgres",
            Self::Sqlite(_) => "RawConnection::Sqlite",
        })
    }
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Nullable<Text>)]
    value: Option<String>,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

macro_rules! on {
    ($raw:expr, $connection:ident => $run:expr) => {
        match $raw {
            RawConnection::Postgres($connection) => $run,
            RawConnection::Sqlite($connection) => $run,
        }
    };
}

impl RawConnection {
    /// Connects.
    ///
    /// # Panics
    /// When the database cannot be reached.
    pub fn open(backend: Backend, url: &str) -> Self {
        match backend {
            Backend::Postgres => {
                Self::Postgres(PgConnection::establish(url).expect("the PostgreSQL server answers"))
            }
            Backend::Sqlite => {
                let path = url.trim_start_matches("sqlite://");
                let mut connection = SqliteConnection::establish(path).expect("the SQLite file opens");
                connection
                    .batch_execute("PRAGMA busy_timeout = 30000; PRAGMA journal_mode = WAL")
                    .expect("the SQLite file is set up");
                Self::Sqlite(connection)
            }
        }
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What the database says.
    pub fn try_execute(&mut self, sql: &str) -> Result<(), String> {
        on!(self, connection => connection.batch_execute(sql)).map_err(|error| error.to_string())
    }

    /// Runs statements.
    ///
    /// # Panics
    /// When the database refuses one.
    pub fn execute(&mut self, sql: &str) {
        if let Err(error) = self.try_execute(sql) {
            panic!("{sql}: {error}");
        }
    }

    /// The column `value` of every row, as text; NULL is the empty text.
    ///
    /// # Panics
    /// When the database refuses the query.
    pub fn texts(&mut self, sql: &str) -> Vec<String> {
        let rows: QueryResult<Vec<TextRow>> =
            on!(self, connection => diesel::sql_query(sql).load(connection));
        match rows {
            Ok(rows) => rows.into_iter().map(|row| row.value.unwrap_or_default()).collect(),
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// The column `value` of the only row.
    ///
    /// # Panics
    /// When the database refuses the query, or there is no row.
    pub fn number(&mut self, sql: &str) -> i64 {
        let row: QueryResult<NumberRow> =
            on!(self, connection => diesel::sql_query(sql).get_result(connection));
        match row {
            Ok(row) => row.value,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// Applies the migrations of the source tree; returns how many were pending.
    ///
    /// # Panics
    /// When one fails.
    pub fn migrate(&mut self, backend: Backend) -> usize {
        let source = FileBasedMigrations::from_path(migrations_of(backend)).expect("the migrations' folder");
        on!(self, connection => connection.run_pending_migrations(source).expect("migrations up").len())
    }

    /// Takes every migration down.
    ///
    /// # Panics
    /// When one fails.
    pub fn revert(&mut self, backend: Backend) -> usize {
        let source = FileBasedMigrations::from_path(migrations_of(backend)).expect("the migrations' folder");
        on!(self, connection => connection.revert_all_migrations(source).expect("migrations down").len())
    }

    /// The tables of simdepot.
    pub fn tables(&mut self) -> Vec<String> {
        let sql = match self {
            Self::Postgres(_) => {
                "SELECT tablename::text AS value FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            }
            Self::Sqlite(_) => "SELECT name AS value FROM sqlite_master WHERE type = 'table' ORDER BY 1",
        };
        let mut tables = self.texts(sql);
        tables.retain(|table| !table.starts_with("__diesel") && !table.starts_with("sqlite_"));
        tables
    }

    /// Every row of every table as text, bytes as they are shown by the database and as they are.
    pub(super) fn dump_rows(&mut self) -> Vec<u8> {
        let mut dump = String::new();
        for table in self.tables() {
            for row in self.texts(&format!("SELECT t::text AS value FROM {table} t")) {
                dump.push_str(&row);
                dump.push('\n');
            }
        }
        // `bytea` is shown in hex: a code stored there in clear must be found as well.
        let mut bytes = dump.clone().into_bytes();
        for word in dump.split(|c: char| !c.is_ascii_hexdigit()) {
            if word.len() >= 8 && word.len() % 2 == 0 {
                bytes.extend(hex::decode(word).unwrap_or_default());
                bytes.push(b'\n');
            }
        }
        bytes
    }
}
