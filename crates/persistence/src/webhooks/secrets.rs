//! The secrets that sign what is delivered to an endpoint: sealed in its row, under a key of their own.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::webhook::WebhookSecret;
use uuid::Uuid;

use super::endpoints::Endpoint;
use crate::error::{Result, StoreError, ensure_affected};
use crate::schema::webhook_endpoints;
use crate::sql_types::{At, Uid};
use crate::store::Conn;
use crate::vault::{SecretField, Vault};

#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) key: Uuid,
    pub(super) secret: Vec<u8>,
    pub(super) previous: Option<Vec<u8>>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

/// Whether the sealed secrets open.
///
/// # Errors
/// When the key cannot be read.
pub fn all_open(conn: &mut Conn<'_>, vault: &Vault, endpoint: &Endpoint) -> Result<bool> {
    let key = match vault.data_key(conn, endpoint.sealed.key) {
        Ok(key) => key,
        Err(StoreError::Vault(_) | StoreError::Database(diesel::result::Error::NotFound)) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let row = endpoint.id.to_string();
    let sealed = std::iter::once(&endpoint.sealed.secret).chain(&endpoint.sealed.previous);
    Ok(sealed.into_iter().all(|sealed| {
        key.open(SecretField::WebhookSecret, &row, sealed)
            .is_ok_and(|text| WebhookSecret::parse(text.expose()).is_ok())
    }))
}

/// Gives an endpoint another secret; the present one signs as well until `until`, an older one no more.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn rotate(
    conn: &mut Conn<'_>,
    vault: &Vault,
    endpoint: &Endpoint,
    secret: &WebhookSecret,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let key = vault.data_key(conn, endpoint.sealed.key)?;
    let sealed = key.seal(SecretField::WebhookSecret, &endpoint.id.to_string(), secret.text().expose())?;
    let version = endpoint.version + 1;
    let guard = webhook_endpoints::table
        .filter(webhook_endpoints::id.eq(Uid(endpoint.id.0)))
        .filter(webhook_endpoints::version.eq(endpoint.version));
    let touched = diesel::update(guard)
        .set((
            webhook_endpoints::secret.eq(sealed),
            webhook_endpoints::previous_secret.eq(Some(endpoint.sealed.secret.clone())),
            webhook_endpoints::previous_until.eq(Some(At(until))),
            webhook_endpoints::version.eq(version),
            webhook_endpoints::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("rotate webhook secret", 1, touched)?;
    Ok(version)
}

/// The secrets that sign at `now`, the present one first.
///
/// # Errors
/// When one does not open.
pub fn signing(
    conn: &mut Conn<'_>,
    vault: &Vault,
    endpoint: &Endpoint,
    now: DateTime<Utc>,
) -> Result<Vec<WebhookSecret>> {
    let key = vault.data_key(conn, endpoint.sealed.key)?;
    let row = endpoint.id.to_string();
    let previous = endpoint.sealed.previous.as_ref();
    let previous = previous.filter(|_| endpoint.previous_until.is_some_and(|until| until > now));
    std::iter::once(&endpoint.sealed.secret)
        .chain(previous)
        .map(|sealed| {
            let text = key.open(SecretField::WebhookSecret, &row, sealed)?;
            WebhookSecret::parse(text.expose()).map_err(|_| StoreError::Inconsistency {
                table: "webhook_endpoints",
                column: "secret",
                row: row.clone(),
            })
        })
        .collect()
}
