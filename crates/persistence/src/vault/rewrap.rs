//! Rotating the operator's key: every wrapped key is opened and wrapped again. What the keys seal stays as it is.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{Vault, VaultError, WrappedKey};
use crate::error::{Result, ensure_affected};
use crate::schema::wrapped_keys;
use crate::store::Conn;

/// What is wrapped with what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrapped {
    /// Keys that are wrapped with the current key.
    pub current: u64,
    /// Keys that are wrapped with the one before it.
    pub previous: u64,
}

impl Vault {
    /// Counts the wrapped keys.
    ///
    /// # Errors
    /// [`VaultError::KeyMissing`] when one is wrapped with a key that was not given.
    pub fn wrapped(&self, conn: &mut Conn<'_>) -> Result<Wrapped> {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = Text)]
            key_id: String,
            #[diesel(sql_type = BigInt)]
            keys: i64,
        }
        let counts: Vec<Count> = diesel::sql_query(
            "SELECT key_id, COUNT(*) AS keys FROM wrapped_keys GROUP BY key_id ORDER BY key_id",
        )
        .load(conn.db)?;
        let number = |count: &Count| u64::try_from(count.keys).unwrap_or_default();
        let total = counts.iter().map(number).sum();
        let mut wrapped = Wrapped::default();
        for count in counts {
            let keys = number(&count);
            if count.key_id == self.keys.current.id() {
                wrapped.current += keys;
            } else if self.keys.previous.as_ref().is_some_and(|previous| previous.id() == count.key_id) {
                wrapped.previous += keys;
            } else {
                return Err(VaultError::KeyMissing { needed: count.key_id, keys, total }.into());
            }
        }
        Ok(wrapped)
    }

    /// Wraps up to `limit` keys with the current key, in the caller's transaction; returns how many. 0 means that all
    /// are wrapped with it. Processes that know both keys open either form meanwhile.
    ///
    /// # Errors
    /// [`VaultError::WrongKey`] when one is wrapped with a key that was not given;
    /// [`StoreError::RowsAffected`](crate::StoreError::RowsAffected) when another rotation was faster.
    pub fn rewrap(&self, conn: &mut Conn<'_>, limit: i64) -> Result<u64> {
        let current = &self.keys.current;
        let old: Vec<WrappedKey> = wrapped_keys::table
            .filter(wrapped_keys::key_id.ne(current.id()))
            .order(wrapped_keys::id)
            .limit(limit)
            .load(conn.db)?;
        for row in &old {
            let bytes = self.keys.open(&row.key_id, row.id.0, &row.wrapped)?;
            let wrapped = self.keys.wrap(row.id.0, &bytes)?;
            let guard = wrapped_keys::table
                .filter(wrapped_keys::id.eq(row.id))
                .filter(wrapped_keys::key_id.eq(&row.key_id));
            let touched = diesel::update(guard)
                .set((wrapped_keys::key_id.eq(current.id()), wrapped_keys::wrapped.eq(wrapped)))
                .execute(conn.db)?;
            ensure_affected("wrap key again", 1, touched)?;
        }
        Ok(u64::try_from(old.len()).unwrap_or_default())
    }
}
