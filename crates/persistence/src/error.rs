//! What can go wrong in the store. Callers ask for the meaning; the driver's text is for the log.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use thiserror::Error;

/// An error of the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Every connection is taken: try again shortly.
    #[error("no database connection became free in time")]
    Busy,
    /// Another transaction holds what this one needs: try again shortly.
    #[error("another transaction holds what this one needs")]
    Held,
    /// The database cannot be reached, or went away.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The driver or the database refused a statement.
    #[error("database error: {0}")]
    Database(#[source] DieselError),
    /// A unique index refused a row.
    #[error("already exists ({constraint})")]
    Unique {
        /// The index, where the database names it.
        constraint: String,
    },
    /// A guarded statement did not touch the rows it should have: somebody else was faster, or the caller is wrong.
    #[error("{what}: expected {expected} affected rows, got {actual}")]
    RowsAffected {
        /// Which statement.
        what: &'static str,
        /// Rows that it had to touch.
        expected: usize,
        /// Rows that it touched.
        actual: usize,
    },
    /// The database made this transaction give way to another: decide again.
    #[error("the database made this transaction give way: {0}")]
    GaveWay(String),
    /// A stored value that the domain does not know.
    #[error("unreadable value in {table}.{column} of row {row}")]
    Inconsistency {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
    },
    /// Encryption or decryption failed.
    #[error(transparent)]
    Vault(#[from] crate::vault::VaultError),
    /// A migration failed, or the database is newer than this binary.
    #[error("migration: {0}")]
    Migration(String),
    /// The unit of work panicked; its transaction was rolled back.
    #[error("the unit of work was aborted: {0}")]
    Aborted(String),
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info) => {
                // PostgreSQL names the index; SQLite names the columns in its message.
                let constraint = info.constraint_name().unwrap_or_else(|| info.message()).to_owned();
                Self::Unique { constraint }
            }
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, info) => {
                Self::Unreachable(info.message().to_owned())
            }
            DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, info) => {
                Self::GaveWay(info.message().to_owned())
            }
            // What diesel has no kind for is told apart by the database's English words; a server that speaks another
            // language is answered as for any database error.
            DieselError::DatabaseError(_, ref info) if info.message().contains("deadlock detected") => {
                Self::GaveWay(info.message().to_owned())
            }
            DieselError::DatabaseError(_, ref info)
                if ["database is locked", "statement timeout"]
                    .iter()
                    .any(|words| info.message().contains(words)) =>
            {
                Self::Busy
            }
            DieselError::DatabaseError(_, ref info) if info.message().contains("lock timeout") => Self::Held,
            other => Self::Database(other),
        }
    }
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Every statement that changes state asserts how many rows it touched.
pub(crate) fn ensure_affected(what: &'static str, expected: usize, actual: usize) -> Result<()> {
    if expected == actual { Ok(()) } else { Err(StoreError::RowsAffected { what, expected, actual }) }
}

/// Reads a stored text as a domain value; a value that the domain does not know is an inconsistency, never a default.
pub(crate) fn parse_column<T: std::str::FromStr>(
    table: &'static str,
    column: &'static str,
    row: impl std::fmt::Display,
    text: &str,
) -> Result<T> {
    text.parse().map_err(|_| StoreError::Inconsistency { table, column, row: row.to_string() })
}

/// Reads a stored document as a domain value.
pub(crate) fn parse_document<T: serde::de::DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    row: impl std::fmt::Display,
    document: &serde_json::Value,
) -> Result<T> {
    T::deserialize(document).map_err(|_| StoreError::Inconsistency { table, column, row: row.to_string() })
}

/// Writes a domain value as a document. Domain values always serialise; a failure is a programming error.
pub(crate) fn document<T: serde::Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| StoreError::Aborted(error.to_string()))
}
