//! API keys, by the hash of the key.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::channel::{ChannelName, Scope};
use simdepot_domain::id::ApiKeyId;

use crate::dialect::{Both, both};
use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::api_keys;
use crate::sql_types::{At, Doc, Uid};
use crate::store::Conn;

/// A key as it is stored. The key itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// Its channel.
    pub channel: ChannelName,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the key.
    pub hash: Vec<u8>,
    /// Its first characters.
    pub hint: String,
    /// How many events it has had.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Whether it works at `now`.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expiry| expiry > now)
    }
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = api_keys, treat_none_as_default_value = false)]
struct Row {
    id: Uid,
    name: String,
    channel: String,
    scopes: Doc,
    hash: Vec<u8>,
    hint: String,
    version: i64,
    created_at: At,
    expires_at: Option<At>,
    last_used_at: Option<At>,
    revoked_at: Option<At>,
}

impl TryFrom<Row> for ApiKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let key = row.id.0;
        Ok(Self {
            id: ApiKeyId(key),
            name: row.name,
            channel: parse_column("api_keys", "channel", key, &row.channel)?,
            scopes: parse_document("api_keys", "scopes", key, &row.scopes.0)?,
            hash: row.hash,
            hint: row.hint,
            version: row.version,
            created_at: row.created_at.0,
            expires_at: row.expires_at.map(|at| at.0),
            last_used_at: row.last_used_at.map(|at| at.0),
            revoked_at: row.revoked_at.map(|at| at.0),
        })
    }
}

/// Writes a new key; `false` when the same key exists already.
///
/// # Errors
/// When the database refuses it for another reason.
pub fn insert(conn: &mut Conn<'_>, key: &ApiKey) -> Result<bool> {
    let row = Row {
        id: Uid(key.id.0),
        name: key.name.clone(),
        channel: key.channel.to_string(),
        scopes: Doc(document(&key.scopes)?),
        hash: key.hash.clone(),
        hint: key.hint.clone(),
        version: key.version,
        created_at: At(key.created_at),
        expires_at: key.expires_at.map(At),
        last_used_at: None,
        revoked_at: None,
    };
    let insert = diesel::insert_into(api_keys::table).values(row).on_conflict(api_keys::hash).do_nothing();
    Ok(Both(insert).execute(conn.db)? == 1)
}

/// The keys with these hashes, each with its own; one that cannot be read is an error of its own. The index compares the
/// hash of a 256-bit secret, so its timing tells nothing.
///
/// # Errors
/// When they cannot be read.
pub fn with_hashes(conn: &mut Conn<'_>, hashes: &[&[u8]]) -> Result<Vec<(Vec<u8>, Result<ApiKey>)>> {
    let found = api_keys::table.filter(api_keys::hash.eq_any(hashes));
    let rows: Vec<Row> = both!(conn.db, c => found.load(c))?;
    Ok(rows.into_iter().map(|row| (row.hash.clone(), ApiKey::try_from(row))).collect())
}

/// A key by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: ApiKeyId) -> Result<Option<ApiKey>> {
    let row: Option<Row> = api_keys::table.find(Uid(id.0)).first(conn.db).optional()?;
    row.map(ApiKey::try_from).transpose()
}

/// A page of keys, newest first.
///
/// # Errors
/// When they cannot be read.
pub fn list(conn: &mut Conn<'_>, before: Option<ApiKeyId>, limit: i64) -> Result<Vec<ApiKey>> {
    let mut query = api_keys::table.order(api_keys::id.desc()).limit(limit).into_boxed();
    if let Some(before) = before {
        query = query.filter(api_keys::id.lt(Uid(before.0)));
    }
    query.load::<Row>(conn.db)?.into_iter().map(ApiKey::try_from).collect()
}

/// Revokes a key that is still at its version.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it was revoked already.
pub fn revoke(conn: &mut Conn<'_>, key: &ApiKey, now: DateTime<Utc>) -> Result<i64> {
    let version = key.version + 1;
    let guard = api_keys::table
        .filter(api_keys::id.eq(Uid(key.id.0)))
        .filter(api_keys::version.eq(key.version))
        .filter(api_keys::revoked_at.is_null());
    let touched = diesel::update(guard)
        .set((api_keys::revoked_at.eq(At(now)), api_keys::version.eq(version)))
        .execute(conn.db)?;
    ensure_affected("revoke key", 1, touched)?;
    Ok(version)
}

/// Records when keys were last used. A key that is gone is passed over: this is a note, not a state.
///
/// # Errors
/// When the database cannot be asked.
pub fn touch(conn: &mut Conn<'_>, used: &[(ApiKeyId, DateTime<Utc>)]) -> Result<()> {
    for (id, at) in used {
        diesel::update(api_keys::table.find(Uid(id.0)))
            .set(api_keys::last_used_at.eq(At(*at)))
            .execute(conn.db)?;
    }
    Ok(())
}
