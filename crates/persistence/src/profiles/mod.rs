//! Profiles: the record, lookup, search, guarded changes and import. Their secrets are in [`crate::secrets`].

mod change;
mod import;
mod search;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::carrier::LineKey;
use simdepot_domain::channel::{AccountName, ChannelName};
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{HoldId, ImportId};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Observation;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::{StockState, StockStatus};

use crate::error::{Result, StoreError, parse_column, parse_document};
use crate::schema::{allocations, orders, pools, profiles};
use crate::sql_types::{At, Doc, Uid};
use crate::store::{Backend, Conn};

pub use change::{
    Learned, ProfileEdit, any_recheck_due, bump, edit, learn, move_stock, reveal, take_rechecks,
};
pub(crate) use import::delivered;
pub use import::{Batch, NewProfile, delete_untouched, existing_keys, insert_many, untouched};
pub use search::{Found, ProfileFilter, search, search_sql};

/// A profile as it is stored, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its row.
    pub id: i64,
    /// Its SIM.
    pub iccid: Iccid,
    /// eSIM or plastic.
    pub form_factor: FormFactor,
    /// Its pool.
    pub pool_id: i64,
    /// The delivery it came with.
    pub import_id: ImportId,
    /// Where it started.
    pub imported_as: StockStatus,
    /// Where it stands.
    pub stock_status: StockStatus,
    /// Why it is set aside.
    pub quarantine_reason: Option<QuarantineReason>,
    /// Last moment of sale.
    pub sell_by: DateTime<Utc>,
    /// The line's number.
    pub msisdn: Option<Msisdn>,
    /// Of when the number is, where somebody told it after the delivery.
    pub msisdn_at: Option<DateTime<Utc>>,
    /// The device that holds it.
    pub eid: Option<Eid>,
    /// The line, as last observed.
    pub sim: Option<Observation<SimStatus>>,
    /// The eSIM, as last observed.
    pub esim: Option<Observation<EsimStatus>>,
    /// The hold that reserves it.
    pub hold: Option<HoldId>,
    /// When its code first left simdepot.
    pub revealed_at: Option<DateTime<Utc>>,
    /// A person's labels.
    pub tags: Vec<String>,
    /// A person's note.
    pub note: Option<String>,
    /// How many events it has had.
    pub version: i64,
    /// When it was imported.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Profile {
    /// Everything that a carrier may be asked for its line by.
    pub fn line_key(&self) -> LineKey {
        LineKey { msisdn: self.msisdn.clone(), ..LineKey::of(&self.iccid) }
    }

    /// What the stock rules look at.
    pub fn stock_state(&self) -> StockState {
        StockState { status: self.stock_status, sell_by: self.sell_by }
    }
}

#[derive(Queryable)]
pub(crate) struct Row {
    pub(crate) id: i64,
    iccid: String,
    _sim_key: String,
    form_factor: String,
    pool_id: i64,
    import_id: Uid,
    _batch_no: i64,
    imported_as: String,
    stock_status: String,
    quarantine_reason: Option<String>,
    sell_by: At,
    msisdn: Option<String>,
    msisdn_at: Option<At>,
    eid: Option<String>,
    sim_status: Option<String>,
    sim_observed_at: Option<At>,
    sim_dated: Option<bool>,
    sim_received_at: Option<At>,
    sim_source: Option<String>,
    esim_status: Option<String>,
    esim_observed_at: Option<At>,
    esim_dated: Option<bool>,
    esim_received_at: Option<At>,
    esim_source: Option<String>,
    hold_id: Option<Uid>,
    revealed_at: Option<At>,
    _recheck_at: Option<At>,
    tags: Doc,
    note: Option<String>,
    version: i64,
    created_at: At,
    updated_at: At,
}

/// The five columns of one carrier axis.
struct Axis {
    columns: [&'static str; 2],
    status: Option<String>,
    observed_at: Option<At>,
    dated: Option<bool>,
    received_at: Option<At>,
    source: Option<String>,
}

impl Axis {
    fn read<S: std::str::FromStr>(self, row: &str) -> Result<Option<Observation<S>>> {
        let [status_column, source_column] = self.columns;
        match (self.status, self.observed_at, self.dated, self.received_at, self.source) {
            (None, ..) => Ok(None),
            (Some(status), Some(observed_at), Some(dated_by_carrier), Some(received_at), Some(source)) => {
                Ok(Some(Observation {
                    status: parse_column("profiles", status_column, row, &status)?,
                    observed_at: observed_at.0,
                    dated_by_carrier,
                    received_at: received_at.0,
                    source: parse_column("profiles", source_column, row, &source)?,
                }))
            }
            (Some(_), ..) => Err(StoreError::Inconsistency {
                table: "profiles",
                column: status_column,
                row: row.to_owned(),
            }),
        }
    }
}

impl TryFrom<Row> for Profile {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let key = row.iccid.as_str();
        let sim = Axis {
            columns: ["sim_status", "sim_source"],
            status: row.sim_status,
            observed_at: row.sim_observed_at,
            dated: row.sim_dated,
            received_at: row.sim_received_at,
            source: row.sim_source,
        };
        let esim = Axis {
            columns: ["esim_status", "esim_source"],
            status: row.esim_status,
            observed_at: row.esim_observed_at,
            dated: row.esim_dated,
            received_at: row.esim_received_at,
            source: row.esim_source,
        };
        let reason = row.quarantine_reason.as_deref();
        Ok(Self {
            id: row.id,
            iccid: parse_column("profiles", "iccid", row.id, key)?,
            form_factor: parse_column("profiles", "form_factor", key, &row.form_factor)?,
            pool_id: row.pool_id,
            import_id: ImportId(row.import_id.0),
            imported_as: parse_column("profiles", "imported_as", key, &row.imported_as)?,
            stock_status: parse_column("profiles", "stock_status", key, &row.stock_status)?,
            quarantine_reason: reason
                .map(|text| parse_column("profiles", "quarantine_reason", key, text))
                .transpose()?,
            sell_by: row.sell_by.0,
            msisdn: row
                .msisdn
                .as_deref()
                .map(|text| parse_column("profiles", "msisdn", key, text))
                .transpose()?,
            msisdn_at: row.msisdn_at.map(|at| at.0),
            eid: row.eid.as_deref().map(|text| parse_column("profiles", "eid", key, text)).transpose()?,
            sim: sim.read(key)?,
            esim: esim.read(key)?,
            hold: row.hold_id.map(|id| HoldId(id.0)),
            revealed_at: row.revealed_at.map(|at| at.0),
            tags: parse_document("profiles", "tags", key, &row.tags.0)?,
            note: row.note,
            version: row.version,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

fn profiles_of(rows: Vec<Row>) -> Result<Vec<Profile>> {
    rows.into_iter().map(Profile::try_from).collect()
}

/// The profile of a SIM. A 20-digit ICCID whose first 19 digits exist (or the reverse) is the same SIM.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, iccid: &Iccid) -> Result<Option<Profile>> {
    let row: Option<Row> =
        profiles::table.filter(profiles::sim_key.eq(iccid.key())).first(conn.db).optional()?;
    row.map(Profile::try_from).transpose()
}

/// A profile by row.
///
/// # Errors
/// When it cannot be read.
pub fn get(conn: &mut Conn<'_>, id: i64) -> Result<Profile> {
    profiles::table.find(id).first::<Row>(conn.db)?.try_into()
}

/// A profile by row, locked until the transaction ends: who learns about it from several sources decides one by one.
///
/// # Errors
/// When it cannot be read.
pub fn lock(conn: &mut Conn<'_>, id: i64) -> Result<Profile> {
    if conn.backend() == Backend::Postgres {
        diesel::sql_query("SELECT id FROM profiles WHERE id = $1 FOR UPDATE")
            .bind::<diesel::sql_types::BigInt, _>(id)
            .execute(conn.db)?;
    }
    get(conn, id)
}

/// The profiles of a carrier account that have a number; more than one when a number was given again.
///
/// # Errors
/// When one cannot be read.
pub fn of_msisdn(conn: &mut Conn<'_>, account: &AccountName, msisdn: &Msisdn) -> Result<Vec<Profile>> {
    let found = profiles::table
        .inner_join(pools::table.on(pools::id.eq(profiles::pool_id)))
        .filter(profiles::msisdn.eq(msisdn.as_str()))
        .filter(pools::carrier_account.eq(account.as_str()))
        .order(profiles::id)
        .select(profiles::all_columns);
    profiles_of(found.load(conn.db)?)
}

/// The profiles of a carrier account by the keys of their SIMs ([`Iccid::key`]).
///
/// # Errors
/// When one cannot be read.
pub fn of_keys(conn: &mut Conn<'_>, account: &AccountName, keys: &[&str]) -> Result<Vec<Profile>> {
    let found = profiles::table
        .inner_join(pools::table.on(pools::id.eq(profiles::pool_id)))
        .filter(profiles::sim_key.eq_any(keys))
        .filter(pools::carrier_account.eq(account.as_str()))
        .order(profiles::id)
        .select(profiles::all_columns);
    profiles_of(found.load(conn.db)?)
}

/// The profiles by the keys of their SIMs ([`Iccid::key`]), whatever their account.
///
/// # Errors
/// When one cannot be read.
pub fn of_sims(conn: &mut Conn<'_>, keys: &[&str]) -> Result<Vec<Profile>> {
    let found = profiles::table.filter(profiles::sim_key.eq_any(keys)).order(profiles::id);
    profiles_of(found.load(conn.db)?)
}

/// Those of the profiles that are allocated to orders of `channel` now.
///
/// # Errors
/// When they cannot be read.
pub fn of_channel(conn: &mut Conn<'_>, ids: &[i64], channel: &ChannelName) -> Result<Vec<i64>> {
    let owned = allocations::table
        .inner_join(orders::table.on(orders::id.eq(allocations::order_id)))
        .filter(allocations::profile_id.eq_any(ids))
        .filter(allocations::ended_at.is_null())
        .filter(orders::channel.eq(channel.as_str()))
        .select(allocations::profile_id);
    Ok(owned.load(conn.db)?)
}

/// The next profile by row, if any.
///
/// # Errors
/// When it cannot be read.
pub fn next_after(conn: &mut Conn<'_>, after: i64) -> Result<Option<Profile>> {
    let row: Option<Row> =
        profiles::table.filter(profiles::id.gt(after)).order(profiles::id).first(conn.db).optional()?;
    row.map(Profile::try_from).transpose()
}

/// Profiles by row, in the order of their rows: whoever changes several does so in one order.
///
/// # Errors
/// When one cannot be read.
pub fn get_many(conn: &mut Conn<'_>, ids: &[i64]) -> Result<Vec<Profile>> {
    profiles_of(profiles::table.filter(profiles::id.eq_any(ids)).order(profiles::id).load(conn.db)?)
}

/// Whether the profile is allocated to an order of `channel` now.
///
/// # Errors
/// When it cannot be read.
pub fn belongs_to(conn: &mut Conn<'_>, profile_id: i64, channel: &ChannelName) -> Result<bool> {
    let found = allocations::table
        .inner_join(orders::table.on(orders::id.eq(allocations::order_id)))
        .filter(allocations::profile_id.eq(profile_id))
        .filter(allocations::ended_at.is_null())
        .filter(orders::channel.eq(channel.as_str()))
        .select(allocations::id)
        .first::<i64>(conn.db)
        .optional()?;
    Ok(found.is_some())
}
