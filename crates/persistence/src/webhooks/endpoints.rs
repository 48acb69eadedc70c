//! Webhook endpoints. Their secrets are sealed, each under a data key of the endpoint.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::channel::ChannelName;
use simdepot_domain::id::WebhookEndpointId;
use simdepot_domain::webhook::{EndpointStatus, Health, WebhookSecret};

use super::secrets::Sealed;
use crate::dialect::{self, Lock, Passing};
use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::webhook_endpoints;
use crate::sql_types::{At, Doc, Id, Uid};
use crate::store::Conn;
use crate::vault::{SecretField, Vault};

/// What its owner decides about an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Where deliveries go.
    pub url: String,
    /// What it is, for people.
    pub description: Option<String>,
    /// Event types that it gets; all when absent.
    pub types: Option<Vec<String>>,
    /// Whether it gets any.
    pub status: EndpointStatus,
    /// Why it does not.
    pub disabled_reason: Option<String>,
}

/// The address may carry its owner's token.
impl fmt::Debug for EndpointSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSettings").field("status", &self.status).finish_non_exhaustive()
    }
}

/// An endpoint as it is stored.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Whose it is.
    pub channel: ChannelName,
    /// What its owner decides.
    pub settings: EndpointSettings,
    /// Until when the secret before signs as well.
    pub previous_until: Option<DateTime<Utc>>,
    /// The feed up to here has become deliveries.
    pub position: i64,
    /// How its tries went.
    pub health: Health,
    /// How many events it has had.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its owner last changed it.
    pub updated_at: DateTime<Utc>,
    pub(super) sealed: Sealed,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = webhook_endpoints, treat_none_as_default_value = false)]
struct Row {
    id: Uid,
    channel: String,
    url: String,
    description: Option<String>,
    types: Option<Doc>,
    status: String,
    disabled_reason: Option<String>,
    secret_key_id: Uid,
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_until: Option<At>,
    position: i64,
    failures: i32,
    not_before: Option<At>,
    version: i64,
    created_at: At,
    updated_at: At,
}

#[derive(AsChangeset)]
#[diesel(table_name = webhook_endpoints, treat_none_as_null = true)]
struct Changes {
    url: String,
    description: Option<String>,
    types: Option<Doc>,
    status: String,
    disabled_reason: Option<String>,
    failures: i32,
    not_before: Option<At>,
    version: i64,
    updated_at: At,
}

impl TryFrom<Row> for Endpoint {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let key = row.id.0;
        let types = row.types.map(|types| parse_document("webhook_endpoints", "types", key, &types.0));
        Ok(Self {
            id: WebhookEndpointId(key),
            channel: parse_column("webhook_endpoints", "channel", key, &row.channel)?,
            settings: EndpointSettings {
                url: row.url,
                description: row.description,
                types: types.transpose()?,
                status: parse_column("webhook_endpoints", "status", key, &row.status)?,
                disabled_reason: row.disabled_reason,
            },
            previous_until: row.previous_until.map(|at| at.0),
            position: row.position,
            health: Health {
                failures: u32::try_from(row.failures).unwrap_or_default(),
                not_before: row.not_before.map(|at| at.0),
            },
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
            sealed: Sealed { key: row.secret_key_id.0, secret: row.secret, previous: row.previous_secret },
        })
    }
}

fn types_column(settings: &EndpointSettings) -> Result<Option<Doc>> {
    settings.types.as_ref().map(|types| document(types).map(Doc)).transpose()
}

/// A new endpoint.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Whose it is.
    pub channel: ChannelName,
    /// What its owner decides.
    pub settings: EndpointSettings,
    /// It gets what comes in the feed after this number.
    pub position: i64,
}

/// Writes a new endpoint, enabled, and its secret under a data key of its own.
///
/// # Errors
/// When it cannot be sealed or stored.
pub fn insert(
    conn: &mut Conn<'_>,
    vault: &Vault,
    new: &NewEndpoint,
    secret: &WebhookSecret,
    now: DateTime<Utc>,
) -> Result<()> {
    let key = vault.new_data_key(conn)?;
    let sealed = key.seal(SecretField::WebhookSecret, &new.id.to_string(), secret.text().expose())?;
    let row = Row {
        id: Uid(new.id.0),
        channel: new.channel.to_string(),
        url: new.settings.url.clone(),
        description: new.settings.description.clone(),
        types: types_column(&new.settings)?,
        status: new.settings.status.to_string(),
        disabled_reason: new.settings.disabled_reason.clone(),
        secret_key_id: Uid(key.id),
        secret: sealed,
        previous_secret: None,
        previous_until: None,
        position: new.position,
        failures: 0,
        not_before: None,
        version: 1,
        created_at: At(now),
        updated_at: At(now),
    };
    diesel::insert_into(webhook_endpoints::table).values(row).execute(conn.db)?;
    Ok(())
}

/// An endpoint by id.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    let row: Option<Row> = webhook_endpoints::table.find(Uid(id.0)).first(conn.db).optional()?;
    row.map(Endpoint::try_from).transpose()
}

/// An endpoint, locked to the end of the transaction; waits for whoever has it locked.
///
/// # Errors
/// When it cannot be read.
pub fn lock(conn: &mut Conn<'_>, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    locked(conn, id, Lock::Wait)
}

/// An endpoint, locked to the end of the transaction; `None` also when somebody else has it locked.
///
/// # Errors
/// When it cannot be read.
pub fn lock_if_free(conn: &mut Conn<'_>, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    locked(conn, id, Lock::Skip)
}

fn locked(conn: &mut Conn<'_>, id: WebhookEndpointId, how: Lock) -> Result<Option<Endpoint>> {
    #[derive(QueryableByName)]
    struct IdRow {
        #[diesel(sql_type = Id)]
        id: Uid,
    }
    let sql = format!("SELECT id FROM webhook_endpoints WHERE id = $1{}", how.clause(conn.db));
    let found: Option<IdRow> =
        diesel::sql_query(sql).bind::<Id, _>(Uid(id.0)).get_result(conn.db).optional()?;
    // Read behind the lock: what was read before it may be older.
    match found {
        Some(row) => find(conn, WebhookEndpointId(row.id.0)),
        None => Ok(None),
    }
}

/// Lets the transactions that make endpoints for a channel pass one by one, so that [`count`] counts what others made.
///
/// # Errors
/// When the database cannot be asked.
pub fn lock_channel(conn: &mut Conn<'_>, channel: &ChannelName) -> Result<()> {
    dialect::one_by_one(conn.db, Passing::Endpoints, channel.as_str())
}

/// How many endpoints a channel has, disabled ones included.
///
/// # Errors
/// When they cannot be counted.
pub fn count(conn: &mut Conn<'_>, channel: &ChannelName) -> Result<u64> {
    let of_channel = webhook_endpoints::table.filter(webhook_endpoints::channel.eq(channel.as_str()));
    let count: i64 = of_channel.count().get_result(conn.db)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// A page of a channel's endpoints, newest first.
///
/// # Errors
/// When they cannot be read.
pub fn list(
    conn: &mut Conn<'_>,
    channel: &ChannelName,
    before: Option<WebhookEndpointId>,
    limit: i64,
) -> Result<Vec<Endpoint>> {
    let mut query = webhook_endpoints::table
        .filter(webhook_endpoints::channel.eq(channel.as_str()))
        .order(webhook_endpoints::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(webhook_endpoints::id.lt(Uid(before.0)));
    }
    query.load::<Row>(conn.db)?.into_iter().map(Endpoint::try_from).collect()
}

/// The next endpoints after an id, of every channel, in order.
pub(crate) fn all_after(conn: &mut Conn<'_>, after: WebhookEndpointId, limit: i64) -> Result<Vec<Endpoint>> {
    let rows: Vec<Row> = webhook_endpoints::table
        .filter(webhook_endpoints::id.gt(Uid(after.0)))
        .order(webhook_endpoints::id)
        .limit(limit)
        .load(conn.db)?;
    rows.into_iter().map(Endpoint::try_from).collect()
}

/// Enabled endpoints that have not seen the feed up to `last`.
///
/// # Errors
/// When they cannot be read.
pub fn behind(conn: &mut Conn<'_>, last: i64) -> Result<Vec<WebhookEndpointId>> {
    let ids: Vec<Uid> = webhook_endpoints::table
        .filter(webhook_endpoints::status.eq(EndpointStatus::Enabled.as_ref()))
        .filter(webhook_endpoints::position.lt(last))
        .order(webhook_endpoints::position)
        .select(webhook_endpoints::id)
        .load(conn.db)?;
    Ok(ids.into_iter().map(|id| WebhookEndpointId(id.0)).collect())
}

/// Moves an enabled endpoint on in the feed.
///
/// # Errors
/// [`StoreError::RowsAffected`] when it stands elsewhere by now, or is disabled.
pub fn advance(conn: &mut Conn<'_>, endpoint: &Endpoint, position: i64) -> Result<()> {
    let guard = webhook_endpoints::table
        .filter(webhook_endpoints::id.eq(Uid(endpoint.id.0)))
        .filter(webhook_endpoints::status.eq(EndpointStatus::Enabled.as_ref()))
        .filter(webhook_endpoints::position.eq(endpoint.position));
    let touched = diesel::update(guard).set(webhook_endpoints::position.eq(position)).execute(conn.db)?;
    ensure_affected("advance webhook endpoint", 1, touched)
}

/// Replaces the settings of an endpoint that is still at its version; it becomes `version`. How it does is `health`
/// from now on: at another address, or switched on again, it is another one.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn update(
    conn: &mut Conn<'_>,
    endpoint: &Endpoint,
    settings: &EndpointSettings,
    health: Health,
    version: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let changes = Changes {
        url: settings.url.clone(),
        description: settings.description.clone(),
        types: types_column(settings)?,
        status: settings.status.to_string(),
        disabled_reason: settings.disabled_reason.clone(),
        failures: failures_column(health),
        not_before: health.not_before.map(At),
        version,
        updated_at: At(now),
    };
    let guard = webhook_endpoints::table
        .filter(webhook_endpoints::id.eq(Uid(endpoint.id.0)))
        .filter(webhook_endpoints::version.eq(endpoint.version));
    let touched = diesel::update(guard).set(&changes).execute(conn.db)?;
    ensure_affected("update webhook endpoint", 1, touched)
}

fn failures_column(health: Health) -> i32 {
    i32::try_from(health.failures).unwrap_or(i32::MAX)
}

/// Notes how an endpoint does. It is what tries came to, not what somebody decided: no event tells of it.
///
/// # Errors
/// When the database refuses it.
pub fn set_health(conn: &mut Conn<'_>, endpoint: &Endpoint, health: Health) -> Result<()> {
    if health == endpoint.health {
        return Ok(());
    }
    let touched = diesel::update(webhook_endpoints::table.find(Uid(endpoint.id.0)))
        .set((
            webhook_endpoints::failures.eq(failures_column(health)),
            webhook_endpoints::not_before.eq(health.not_before.map(At)),
        ))
        .execute(conn.db)?;
    ensure_affected("note health of webhook endpoint", 1, touched)
}

/// Removes an endpoint that is still at its version, with its deliveries and the key of its secrets, which seals
/// nothing else.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed it.
pub fn delete(conn: &mut Conn<'_>, vault: &Vault, endpoint: &Endpoint) -> Result<()> {
    let guard = webhook_endpoints::table
        .filter(webhook_endpoints::id.eq(Uid(endpoint.id.0)))
        .filter(webhook_endpoints::version.eq(endpoint.version));
    let touched = diesel::delete(guard).execute(conn.db)?;
    ensure_affected("delete webhook endpoint", 1, touched)?;
    vault.delete_data_key(conn, endpoint.sealed.key)
}
