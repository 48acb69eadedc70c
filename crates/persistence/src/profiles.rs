//! Profiles: lookup, search and guarded moves. Their secrets are in [`crate::secrets`].

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::channel::ChannelName;
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ImportId;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Observation;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::{StockState, StockStatus, Transition};

use crate::error::{Result, StoreError, document, ensure_affected, parse_column, parse_document};
use crate::schema::{allocations, orders, profiles};
use crate::sql_types::{At, Doc, Uid};
use crate::store::Conn;

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
    /// The device that holds it.
    pub eid: Option<Eid>,
    /// The line, as last observed.
    pub sim: Option<Observation<SimStatus>>,
    /// The eSIM, as last observed.
    pub esim: Option<Observation<EsimStatus>>,
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
            eid: row.eid.as_deref().map(|text| parse_column("profiles", "eid", key, text)).transpose()?,
            sim: sim.read(key)?,
            esim: esim.read(key)?,
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

/// What a search asks for. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct ProfileFilter {
    /// In this pool.
    pub pool_id: Option<i64>,
    /// Standing there.
    pub stock_status: Option<StockStatus>,
    /// With the line seen there.
    pub sim_status: Option<SimStatus>,
    /// With the eSIM seen there.
    pub esim_status: Option<EsimStatus>,
    /// From this delivery.
    pub batch: Option<ImportId>,
    /// ICCID, MSISDN, EID or order reference, exactly.
    pub q: Option<String>,
    /// After this row.
    pub after: Option<i64>,
}

/// A page of profiles in the order of their import, at most `limit`.
///
/// # Errors
/// When it cannot be read.
pub fn search(conn: &mut Conn<'_>, filter: &ProfileFilter, limit: i64) -> Result<Vec<Profile>> {
    let mut query = profiles::table.order(profiles::id).limit(limit).into_boxed();
    if let Some(after) = filter.after {
        query = query.filter(profiles::id.gt(after));
    }
    if let Some(pool_id) = filter.pool_id {
        query = query.filter(profiles::pool_id.eq(pool_id));
    }
    if let Some(status) = filter.stock_status {
        query = query.filter(profiles::stock_status.eq(status.to_string()));
    }
    if let Some(status) = filter.sim_status {
        query = query.filter(profiles::sim_status.eq(status.to_string()));
    }
    if let Some(status) = filter.esim_status {
        query = query.filter(profiles::esim_status.eq(status.to_string()));
    }
    if let Some(batch) = filter.batch {
        query = query.filter(profiles::import_id.eq(Uid(batch.0)));
    }
    if let Some(text) = &filter.q {
        query = query.filter(profiles::id.eq_any(ids_matching(conn, text)?));
    }
    profiles_of(query.load(conn.db)?)
}

/// Rows allocated now to orders with a reference, in whatever channel.
fn allocated_under(conn: &mut Conn<'_>, reference: &str) -> Result<Vec<i64>> {
    Ok(allocations::table
        .inner_join(orders::table.on(orders::id.eq(allocations::order_id)))
        .filter(allocations::ended_at.is_null())
        .filter(orders::reference.eq(reference))
        .select(allocations::profile_id)
        .load(conn.db)?)
}

/// Every identifier is looked up by its own index; the results are few.
fn ids_matching(conn: &mut Conn<'_>, text: &str) -> Result<Vec<i64>> {
    let text = text.trim();
    let mut ids = allocated_under(conn, text)?;
    if let Ok(iccid) = Iccid::parse(text) {
        ids.extend(
            profiles::table
                .filter(profiles::sim_key.eq(iccid.key()))
                .select(profiles::id)
                .load::<i64>(conn.db)?,
        );
    }
    if let Ok(msisdn) = Msisdn::parse(text) {
        let found = profiles::table.filter(profiles::msisdn.eq(msisdn.as_str())).select(profiles::id);
        ids.extend(found.load::<i64>(conn.db)?);
    }
    if let Ok(eid) = Eid::parse(text) {
        ids.extend(
            profiles::table
                .filter(profiles::eid.eq(eid.as_str()))
                .select(profiles::id)
                .load::<i64>(conn.db)?,
        );
    }
    Ok(ids)
}

/// Moves a profile that still stands where it was read. Returns its new version.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else moved it in between.
pub fn move_stock(
    conn: &mut Conn<'_>,
    profile: &Profile,
    transition: Transition,
    quarantine: Option<QuarantineReason>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let version = profile.version + 1;
    let guard = profiles::table
        .filter(profiles::id.eq(profile.id))
        .filter(profiles::stock_status.eq(transition.from.as_ref()))
        .filter(profiles::version.eq(profile.version));
    let touched = diesel::update(guard)
        .set((
            profiles::stock_status.eq(transition.to.as_ref()),
            profiles::quarantine_reason.eq(quarantine.map(|reason| reason.to_string())),
            profiles::recheck_at.eq(None::<At>),
            profiles::version.eq(version),
            profiles::updated_at.eq(At(now)),
        ))
        .execute(conn.db)?;
    ensure_affected("move profile", 1, touched)?;
    Ok(version)
}

/// What a profile may learn from its carrier.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// The line's status.
    pub sim: Option<Observation<SimStatus>>,
    /// The eSIM's status.
    pub esim: Option<Observation<EsimStatus>>,
    /// The line's number.
    pub msisdn: Option<Msisdn>,
    /// The device that holds the eSIM.
    pub eid: Option<Eid>,
    /// It is plastic after all.
    pub form_factor: Option<FormFactor>,
}

#[derive(AsChangeset)]
#[diesel(table_name = profiles)]
struct LearnedChanges {
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
    msisdn: Option<String>,
    eid: Option<String>,
    form_factor: Option<String>,
    version: i64,
    updated_at: At,
}

/// Records what the carrier said, under the profile's version; `facts` of it became events.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed the profile in between.
pub fn learn(
    conn: &mut Conn<'_>,
    profile: &Profile,
    learned: &Learned,
    facts: usize,
    now: DateTime<Utc>,
) -> Result<()> {
    let (sim, esim) = (learned.sim.as_ref(), learned.esim.as_ref());
    let changes = LearnedChanges {
        sim_status: sim.map(|seen| seen.status.to_string()),
        sim_observed_at: sim.map(|seen| At(seen.observed_at)),
        sim_dated: sim.map(|seen| seen.dated_by_carrier),
        sim_received_at: sim.map(|seen| At(seen.received_at)),
        sim_source: sim.map(|seen| seen.source.to_string()),
        esim_status: esim.map(|seen| seen.status.to_string()),
        esim_observed_at: esim.map(|seen| At(seen.observed_at)),
        esim_dated: esim.map(|seen| seen.dated_by_carrier),
        esim_received_at: esim.map(|seen| At(seen.received_at)),
        esim_source: esim.map(|seen| seen.source.to_string()),
        msisdn: learned.msisdn.as_ref().map(ToString::to_string),
        eid: learned.eid.as_ref().map(ToString::to_string),
        form_factor: learned.form_factor.map(|form| form.to_string()),
        version: profile.version + i64::try_from(facts).unwrap_or_default(),
        updated_at: At(now),
    };
    let guard =
        profiles::table.filter(profiles::id.eq(profile.id)).filter(profiles::version.eq(profile.version));
    ensure_affected("learn about profile", 1, diesel::update(guard).set(&changes).execute(conn.db)?)
}

/// What a person may edit.
#[derive(Debug, Clone, Default)]
pub struct ProfileEdit {
    /// Another pool.
    pub pool_id: Option<i64>,
    /// Labels.
    pub tags: Option<Vec<String>>,
    /// Note; `Some(None)` takes it away.
    pub note: Option<Option<String>>,
    /// Last moment of sale.
    pub sell_by: Option<DateTime<Utc>>,
}

#[derive(AsChangeset)]
#[diesel(table_name = profiles)]
struct EditChanges {
    pool_id: Option<i64>,
    tags: Option<Doc>,
    note: Option<Option<String>>,
    sell_by: Option<At>,
    version: i64,
    updated_at: At,
}

/// Applies an edit under the profile's version. Returns the new version.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed the profile in between.
pub fn edit(conn: &mut Conn<'_>, profile: &Profile, edit: &ProfileEdit, now: DateTime<Utc>) -> Result<i64> {
    let changes = EditChanges {
        pool_id: edit.pool_id,
        tags: edit.tags.as_ref().map(|tags| document(tags).map(Doc)).transpose()?,
        note: edit.note.clone(),
        sell_by: edit.sell_by.map(At),
        version: profile.version + 1,
        updated_at: At(now),
    };
    let guard =
        profiles::table.filter(profiles::id.eq(profile.id)).filter(profiles::version.eq(profile.version));
    ensure_affected("edit profile", 1, diesel::update(guard).set(&changes).execute(conn.db)?)?;
    Ok(changes.version)
}

/// Records that the codes of these profiles leave simdepot: one version each. Later reveals keep the first moment.
///
/// # Errors
/// [`StoreError::RowsAffected`] when a profile changed in between.
pub fn reveal(conn: &mut Conn<'_>, revealed: &[Profile], now: DateTime<Utc>) -> Result<()> {
    for profile in revealed {
        let guard =
            profiles::table.filter(profiles::id.eq(profile.id)).filter(profiles::version.eq(profile.version));
        let touched = diesel::update(guard)
            .set((
                profiles::revealed_at.eq(At(profile.revealed_at.unwrap_or(now))),
                profiles::version.eq(profile.version + 1),
                profiles::updated_at.eq(At(now)),
            ))
            .execute(conn.db)?;
        ensure_affected("reveal profile", 1, touched)?;
    }
    Ok(())
}

/// Takes up to `limit` profiles whose delivery waits for the carrier's record, and postpones their next turn to
/// `next`: a worker that dies leaves them to the next round.
///
/// # Errors
/// When they cannot be read.
pub fn take_rechecks(
    conn: &mut Conn<'_>,
    now: DateTime<Utc>,
    next: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Profile>> {
    let ids: Vec<i64> = profiles::table
        .filter(profiles::recheck_at.le(At(now)))
        .order(profiles::recheck_at)
        .limit(limit)
        .select(profiles::id)
        .load(conn.db)?;
    // Guarded again by the date: of two workers that read the same rows one gets each.
    let taken: Vec<i64> = diesel::update(
        profiles::table.filter(profiles::id.eq_any(ids)).filter(profiles::recheck_at.le(At(now))),
    )
    .set(profiles::recheck_at.eq(At(next)))
    .returning(profiles::id)
    .get_results(conn.db)?;
    get_many(conn, &taken)
}

/// Profiles of an import that nobody has touched, as a count, and of all.
///
/// # Errors
/// When they cannot be counted.
pub fn untouched(conn: &mut Conn<'_>, import: ImportId) -> Result<(i64, i64)> {
    let of_import = || profiles::table.filter(profiles::import_id.eq(Uid(import.0)));
    let all: i64 = of_import().count().get_result(conn.db)?;
    let fresh: i64 = of_import().filter(profiles::version.eq(0)).count().get_result(conn.db)?;
    Ok((fresh, all))
}

/// Removes the untouched profiles of an import, with their secrets.
///
/// # Errors
/// [`StoreError::RowsAffected`] when one was touched in between.
pub fn delete_untouched(conn: &mut Conn<'_>, import: ImportId, expected: i64) -> Result<()> {
    let guard = profiles::table.filter(profiles::import_id.eq(Uid(import.0))).filter(profiles::version.eq(0));
    let removed = diesel::delete(guard).execute(conn.db)?;
    ensure_affected("remove imported profiles", usize::try_from(expected).unwrap_or_default(), removed)
}

/// The first keys of [`Iccid::key`] that are already there.
///
/// # Errors
/// When they cannot be read.
pub fn existing_keys(conn: &mut Conn<'_>, keys: &[&str]) -> Result<Vec<String>> {
    Ok(profiles::table.filter(profiles::sim_key.eq_any(keys)).select(profiles::sim_key).load(conn.db)?)
}

/// A profile about to be imported.
#[derive(Debug, Clone)]
pub struct NewProfile {
    /// Its SIM.
    pub iccid: Iccid,
    /// eSIM or plastic.
    pub form_factor: FormFactor,
    /// Where it starts.
    pub stock: simdepot_domain::pool::InitialStock,
    /// Last moment of sale.
    pub sell_by: DateTime<Utc>,
    /// The line's number.
    pub msisdn: Option<Msisdn>,
    /// The device that holds it.
    pub eid: Option<Eid>,
    /// The line's status in the file.
    pub sim: Option<Observation<SimStatus>>,
}

#[derive(Insertable)]
#[diesel(table_name = profiles, treat_none_as_default_value = false)]
struct NewRow {
    iccid: String,
    sim_key: String,
    form_factor: &'static str,
    pool_id: i64,
    import_id: Uid,
    batch_no: i64,
    imported_as: &'static str,
    stock_status: &'static str,
    quarantine_reason: Option<&'static str>,
    sell_by: At,
    msisdn: Option<String>,
    eid: Option<String>,
    sim_status: Option<&'static str>,
    sim_observed_at: Option<At>,
    sim_dated: Option<bool>,
    sim_received_at: Option<At>,
    sim_source: Option<&'static str>,
    recheck_at: Option<At>,
    tags: Doc,
    created_at: At,
    updated_at: At,
}

/// Where imported profiles go.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// The import.
    pub import: ImportId,
    /// Its number: oldest deliveries are sold first.
    pub batch_no: i64,
    /// Its pool.
    pub pool_id: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Inserts profiles in order; ICCIDs that appeared meanwhile are left out. Returns row and ICCID of what was inserted.
///
/// # Errors
/// When the database refuses a row for another reason.
pub fn insert_many(conn: &mut Conn<'_>, batch: Batch, new: &[NewProfile]) -> Result<Vec<(i64, String)>> {
    let rows: Vec<NewRow> = new.iter().map(|profile| new_row(batch, profile)).collect();
    let inserted = crate::dialect::both!(conn.db, c => diesel::insert_into(profiles::table)
        .values(&rows)
        .on_conflict_do_nothing()
        .returning((profiles::id, profiles::iccid))
        .get_results(c))?;
    Ok(inserted)
}

fn new_row(batch: Batch, profile: &NewProfile) -> NewRow {
    let status: &'static str = profile.stock.status().into();
    let reason = profile.stock.reason();
    let sim = profile.sim.as_ref();
    NewRow {
        iccid: profile.iccid.to_string(),
        sim_key: profile.iccid.key().to_owned(),
        form_factor: profile.form_factor.into(),
        pool_id: batch.pool_id,
        import_id: Uid(batch.import.0),
        batch_no: batch.batch_no,
        imported_as: status,
        stock_status: status,
        quarantine_reason: reason.map(Into::into),
        sell_by: At(profile.sell_by),
        msisdn: profile.msisdn.as_ref().map(ToString::to_string),
        eid: profile.eid.as_ref().map(ToString::to_string),
        sim_status: sim.map(|seen| seen.status.into()),
        sim_observed_at: sim.map(|seen| At(seen.observed_at)),
        sim_dated: sim.map(|seen| seen.dated_by_carrier),
        sim_received_at: sim.map(|seen| At(seen.received_at)),
        sim_source: sim.map(|seen| seen.source.into()),
        recheck_at: (reason == Some(QuarantineReason::CodeMissing)).then_some(At(batch.at)),
        tags: Doc(serde_json::json!([])),
        created_at: At(batch.at),
        updated_at: At(batch.at),
    }
}

/// Whether a profile that waits for the carrier's record is due.
///
/// # Errors
/// When it cannot be read.
pub fn any_recheck_due(conn: &mut Conn<'_>, now: DateTime<Utc>) -> Result<bool> {
    let found: Option<i64> = profiles::table
        .filter(profiles::recheck_at.le(At(now)))
        .order(profiles::recheck_at)
        .select(profiles::id)
        .first(conn.db)
        .optional()?;
    Ok(found.is_some())
}

/// Moves the version alone, for an event whose change lies in another table.
///
/// # Errors
/// [`StoreError::RowsAffected`] when somebody else changed the profile in between.
pub fn bump(conn: &mut Conn<'_>, profile: &Profile, now: DateTime<Utc>) -> Result<i64> {
    let version = profile.version + 1;
    let guard =
        profiles::table.filter(profiles::id.eq(profile.id)).filter(profiles::version.eq(profile.version));
    let touched = diesel::update(guard)
        .set((profiles::version.eq(version), profiles::updated_at.eq(At(now))))
        .execute(conn.db)?;
    ensure_affected("bump profile", 1, touched)?;
    Ok(version)
}
