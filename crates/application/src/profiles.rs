//! Profiles: reading, searching, editing, and a person's moves in the stock.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use simdepot_domain::channel::PoolName;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::{Fact, SellByMoved, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ImportId;
use simdepot_domain::line::LineDetails;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::{StockCommand, StockStatus, TransitionError, apply};
use simdepot_persistence::pools;
use simdepot_persistence::profiles::{self, Profile, ProfileEdit, ProfileFilter};
use simdepot_persistence::{Conn, allocations, events, lines, operations, sim_swaps};

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey, Once};

/// A profile with its pool's name.
#[derive(Debug, Clone)]
pub struct ProfileView {
    /// The profile.
    pub profile: Profile,
    /// Its pool.
    pub pool: PoolName,
    /// What the carrier tells of its line beside status and number; nothing when it tells nothing.
    pub line: LineDetails,
}

pub(crate) fn view(conn: &mut Conn<'_>, profile: Profile) -> Result<ProfileView, AppError> {
    let pool = pools::get(conn, profile.pool_id)?.settings.pool;
    let line = lines::find(conn, profile.id)?.map(|line| line.details).unwrap_or_default();
    Ok(ProfileView { profile, pool, line })
}

pub(crate) fn existing(conn: &mut Conn<'_>, iccid: &Iccid) -> Result<Profile, AppError> {
    profiles::find(conn, iccid)?.ok_or(AppError::NotFound { what: "profile" })
}

/// A profile that is allocated to the caller's channel.
pub(crate) fn owned(conn: &mut Conn<'_>, caller: &Caller, iccid: &Iccid) -> Result<Profile, AppError> {
    let profile = existing(conn, iccid)?;
    if profiles::belongs_to(conn, profile.id, &caller.channel)? {
        Ok(profile)
    } else {
        Err(AppError::NotFound { what: "profile" })
    }
}

/// A profile that the caller may know of: any for a stock keeper, for a storefront the channel's own, and the SIMs that
/// had their lines before.
pub(crate) fn visible(conn: &mut Conn<'_>, caller: &Caller, iccid: &Iccid) -> Result<Profile, AppError> {
    let profile = existing(conn, iccid)?;
    if caller.sees_all_stock() || profiles::belongs_to(conn, profile.id, &caller.channel)? {
        return Ok(profile);
    }
    let holder = holder(conn, profile.id)?;
    if holder != profile.id && profiles::belongs_to(conn, holder, &caller.channel)? {
        return Ok(profile);
    }
    Err(AppError::NotFound { what: "profile" })
}

/// The SIM that has a profile's line now: itself, unless the line moved to another.
pub(crate) fn holder(conn: &mut Conn<'_>, profile_id: i64) -> Result<i64, AppError> {
    Ok(sim_swaps::line_of(conn, profile_id)?.last().copied().unwrap_or(profile_id))
}

/// A profile.
///
/// # Errors
/// [`AppError::NotFound`], also for one that the caller may not see.
pub async fn get(depot: &Depot, caller: &Caller, iccid: Iccid) -> Result<ProfileView, AppError> {
    let caller = caller.clone();
    depot
        .store
        .read(move |conn| {
            let profile = visible(conn, &caller, &iccid)?;
            view(conn, profile)
        })
        .await
}

/// What a search asks for. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct SearchProfiles {
    /// In this pool.
    pub pool: Option<PoolName>,
    /// Standing there.
    pub stock_status: Option<StockStatus>,
    /// With the line seen there.
    pub sim_status: Option<SimStatus>,
    /// With the eSIM seen there.
    pub esim_status: Option<EsimStatus>,
    /// From this delivery.
    pub batch: Option<ImportId>,
    /// With a line in this group.
    pub group: Option<String>,
    /// With a line under this reference of the owner's; not unique.
    pub external_reference: Option<String>,
    /// ICCID, MSISDN, EID or order reference, exactly.
    pub q: Option<String>,
    /// After this row.
    pub after: Option<i64>,
}

/// A part of what a search finds.
#[derive(Debug, Clone)]
pub struct FoundProfiles {
    /// The profiles, in the order of their import.
    pub profiles: Vec<ProfileView>,
    /// Up to which row was looked, when there may be more behind it although the page is not full.
    pub looked_up_to: Option<i64>,
}

/// A page of profiles in the order of their import, at most `limit`. The cursor is the last one's row.
///
/// # Errors
/// [`AppError::NotFound`] for a pool that does not exist.
pub async fn search(depot: &Depot, asked: SearchProfiles, limit: i64) -> Result<FoundProfiles, AppError> {
    depot
        .store
        .snapshot(move |conn| {
            let pool_id = match &asked.pool {
                Some(name) => Some(crate::pools::require(conn, name)?.id),
                None => None,
            };
            let filter = ProfileFilter {
                pool_id,
                stock_status: asked.stock_status,
                sim_status: asked.sim_status,
                esim_status: asked.esim_status,
                batch: asked.batch,
                group: asked.group,
                external_reference: asked.external_reference,
                q: asked.q,
                after: asked.after,
            };
            let found = profiles::search(conn, &filter, limit)?;
            let ids: Vec<i64> = found.profiles.iter().map(|profile| profile.id).collect();
            let mut details = lines::of_profiles(conn, &ids)?;
            let mut names: BTreeMap<i64, PoolName> = BTreeMap::new();
            let mut views = Vec::with_capacity(ids.len());
            for profile in found.profiles {
                let pool = match names.get(&profile.pool_id) {
                    Some(name) => name.clone(),
                    None => pools::get(conn, profile.pool_id)?.settings.pool,
                };
                names.insert(profile.pool_id, pool.clone());
                let line = details.remove(&profile.id).map(|line| line.details).unwrap_or_default();
                views.push(ProfileView { profile, pool, line });
            }
            Ok(FoundProfiles { profiles: views, looked_up_to: found.looked_up_to })
        })
        .await
}

/// What a person may edit. `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct EditProfile {
    /// Another pool of the same carrier account.
    pub pool: Option<PoolName>,
    /// Other labels.
    pub tags: Option<Vec<String>>,
    /// Another note; `Some(None)` takes it away.
    pub note: Option<Option<String>>,
    /// Another last moment of sale.
    pub sell_by: Option<DateTime<Utc>>,
}

/// Edits a profile. Only what is in the stock moves to another pool: a sold profile stays where it was sold from.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] for a pool that does not exist or belongs to another account;
/// [`AppError::InvalidTransition`] for a sold profile's pool.
pub async fn edit(depot: &Depot, iccid: Iccid, edit: EditProfile) -> Result<ProfileView, AppError> {
    let work = depot.clone();
    depot
        .write_again(move |conn| {
            let profile = existing(conn, &iccid)?;
            let target = match &edit.pool {
                Some(name) => check_move(conn, &profile, name)?,
                None => None,
            };
            let changes = ProfileEdit {
                pool_id: target,
                tags: edit.tags.clone().filter(|tags| *tags != profile.tags),
                note: edit.note.clone().filter(|note| *note != profile.note),
                sell_by: edit.sell_by.filter(|sell_by| *sell_by != profile.sell_by),
            };
            let fields = changed_fields(&changes);
            if fields.is_empty() {
                return view(conn, profile);
            }
            let now = work.now();
            let version = profiles::edit(conn, &profile, &changes, now)?;
            let sell_by = changes.sell_by.map(|to| SellByMoved { from: profile.sell_by, to });
            let fact = Fact::ProfileEdited { fields, pool: target.and(edit.pool.clone()), sell_by };
            events::append(conn, &[work.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
            let profile = existing(conn, &iccid)?;
            view(conn, profile)
        })
        .await
}

fn changed_fields(changes: &ProfileEdit) -> Vec<String> {
    [
        ("pool", changes.pool_id.is_some()),
        ("tags", changes.tags.is_some()),
        ("note", changes.note.is_some()),
        ("sell_by", changes.sell_by.is_some()),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(field, _)| field.to_owned())
    .collect()
}

/// The row of the pool to move to; `None` when it is there already.
fn check_move(conn: &mut Conn<'_>, profile: &Profile, name: &PoolName) -> Result<Option<i64>, AppError> {
    let target = pools::find(conn, name)?
        .ok_or_else(|| AppError::invalid("/pool", "unknown", "there is no such pool"))?;
    if target.id == profile.pool_id {
        return Ok(None);
    }
    let current = pools::get(conn, profile.pool_id)?;
    if current.settings.carrier_account != target.settings.carrier_account {
        let message = "a profile stays with the carrier account that delivered it";
        return Err(AppError::invalid("/pool", "account", message));
    }
    match profile.stock_status {
        StockStatus::Available | StockStatus::Quarantined => Ok(Some(target.id)),
        StockStatus::Held | StockStatus::Allocated | StockStatus::Retired => {
            Err(AppError::InvalidTransition {
                from: profile.stock_status.to_string(),
                command: "move".to_owned(),
                detail: "only available and quarantined profiles move to another pool".to_owned(),
            })
        }
    }
}

/// What a person may do with a profile in the stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Set it aside.
    Quarantine,
    /// Put it back on sale.
    Release,
    /// Take it out of the stock for good.
    Retire,
}

impl Move {
    fn command(self) -> StockCommand {
        match self {
            Self::Quarantine => StockCommand::Quarantine,
            Self::Release => StockCommand::Release,
            Self::Retire => StockCommand::Retire,
        }
    }
}

/// Moves a profile by a person's decision. The second value tells whether an earlier request with the key did it.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::InvalidTransition`] when the rules forbid it.
pub async fn command(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    asked: Move,
    reason: String,
    key: Option<&IdempotencyKey>,
) -> Result<(ProfileView, bool), AppError> {
    let moved = idempotency::once(depot, caller, key, || {
        let (work, caller, key, iccid) = (depot.clone(), caller.clone(), key.cloned(), iccid.clone());
        async move {
            let write = depot.write_again(move |conn| {
                idempotency::record(conn, &work, &caller, key.as_ref(), 200, iccid.as_str())?;
                carry_out(conn, &work, &iccid, asked, reason.clone())
            });
            write.await
        }
    });
    let replayed = matches!(moved.await?, Once::Replayed(_));
    Ok((get(depot, caller, iccid).await?, replayed))
}

fn carry_out(
    conn: &mut Conn<'_>,
    depot: &Depot,
    iccid: &Iccid,
    asked: Move,
    reason: String,
) -> Result<(), AppError> {
    let now = depot.now();
    let profile = existing(conn, iccid)?;
    let transition = apply(profile.stock_state(), asked.command(), now).map_err(invalid_transition)?;
    if profile.quarantine_reason == Some(QuarantineReason::InService) {
        let open = match operations::open_of(conn, profile.id)? {
            Some(operation) => Some(operation.id),
            None => sim_swaps::reserved_by(conn, profile.id)?,
        };
        if let Some(operation) = open {
            return Err(AppError::InvalidTransition {
                from: profile.stock_status.to_string(),
                command: asked.command().kind().to_string(),
                detail: format!("operation {operation} is about this SIM and not ended yet"),
            });
        }
    }
    if transition.from == StockStatus::Allocated {
        return Err(sold(&profile, conn)?);
    }
    let quarantine = (transition.to == StockStatus::Quarantined).then_some(QuarantineReason::Manual);
    let version = profiles::move_stock(conn, &profile, transition, quarantine, now)?;
    let (from, to) = (transition.from, transition.to);
    let fact =
        Fact::StockMoved { from, to, order: None, hold: profile.hold, quarantine, reason: Some(reason) };
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid), version, fact)])?;
    Ok(())
}

pub(crate) fn invalid_transition(error: TransitionError) -> AppError {
    AppError::InvalidTransition {
        from: error.from.to_string(),
        command: error.command.to_string(),
        detail: error.to_string(),
    }
}

/// A sold profile belongs to its order: taking it out of the stock would take it from a customer.
fn sold(profile: &Profile, conn: &mut Conn<'_>) -> Result<AppError, AppError> {
    let order = allocations::live_of(conn, profile.id)?.map(|allocation| allocation.order.to_string());
    Ok(AppError::InvalidTransition {
        from: profile.stock_status.to_string(),
        command: "retire".to_owned(),
        detail: format!("the profile belongs to order {}", order.unwrap_or_default()),
    })
}
