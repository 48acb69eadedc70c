//! Deliveries without activation codes are completed from the carrier's eSIM records before they go on sale.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::carrier::{Capability, Carrier, EsimReading, LineKey, ReadError};
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::pool::{InitialStock, PoolSettings};
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::{StockCommand, StockStatus, apply};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, StoreError, events, pools, secrets};

use crate::depot::Depot;
use crate::error::AppError;
use crate::observations::{self, Sightings};

/// Profiles per step.
const BATCH: i64 = 20;
/// When a profile whose record is not ready is looked at again.
const AGAIN: TimeDelta = TimeDelta::minutes(10);

/// Completes some profiles that wait for their code. `false` when none is due.
///
/// # Errors
/// When the store cannot be asked.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let waiting = depot.store.read(|conn| {
        let now = conn.now()?;
        profiles::any_recheck_due(conn, now)
    });
    if !waiting.await? {
        return Ok(false);
    }
    let taken = depot
        .store
        .write(|conn| {
            let now = conn.now()?;
            profiles::take_rechecks(conn, now, now + AGAIN, BATCH)
        })
        .await?;
    let any = !taken.is_empty();
    for profile in taken {
        complete(depot, profile).await?;
    }
    Ok(any)
}

async fn complete(depot: &Depot, profile: Profile) -> Result<(), AppError> {
    let pool_id = profile.pool_id;
    let pool = depot.store.read(move |conn| pools::get(conn, pool_id)).await?;
    let account = match depot.account(&pool.settings.carrier_account) {
        Ok(account) => account,
        Err(error) => {
            tracing::warn!(iccid = %profile.iccid, %error, "delivery cannot be completed");
            return Ok(());
        }
    };
    // A carrier that tells nothing of its eSIMs never tells a code here, either.
    if !account.has(Capability::EsimStatus) {
        return Ok(());
    }
    match read(account.carrier.as_ref(), &profile.iccid).await {
        Ok(Some(seen)) => record(depot, profile, pool.settings, seen).await,
        Ok(None) => {
            tracing::warn!(iccid = %profile.iccid, "the carrier does not know this SIM; asked again later");
            Ok(())
        }
        Err(error) => {
            tracing::warn!(iccid = %profile.iccid, %error, "the SIM's record cannot be read; asked again later");
            Ok(())
        }
    }
}

/// The eSIM's record. Without one the SIM is plastic and needs no code, if the carrier knows its line; `None` when the
/// carrier knows neither, which proves nothing.
async fn read(carrier: &dyn Carrier, iccid: &Iccid) -> Result<Option<Sightings>, ReadError> {
    if let Some(esim) = carrier.esim(iccid).await? {
        return Ok(Some(Sightings { esim: Some(esim), ..Sightings::default() }));
    }
    let line = carrier.line(&LineKey::of(iccid)).await?;
    Ok(line.map(|line| Sightings { line: Some(line), esim: None, is_physical: true }))
}

async fn record(
    depot: &Depot,
    profile: Profile,
    pool: PoolSettings,
    seen: Sightings,
) -> Result<(), AppError> {
    let (work, iccid) = (depot.clone(), profile.iccid.clone());
    let recorded = depot.store.write(move |conn| {
        let now = work.now();
        let profile = observations::learn(conn, &work, profile, &seen, now)?;
        match (&seen.esim, &seen.line) {
            (Some(esim), _) => add_code(conn, &work, &profile, esim, now),
            (None, Some(line)) if pool.initial_stock(true, line.sim_status) == InitialStock::Available => {
                put_on_sale(conn, &work, &profile, now)
            }
            (None, _) => Ok(()),
        }
    });
    match recorded.await {
        Err(AppError::Store(StoreError::Unique { .. })) => {
            tracing::warn!(%iccid, "the carrier's record gives a code that another profile holds; set aside");
            Ok(())
        }
        Err(error) if error.is_race() => Ok(()),
        other => other,
    }
}

fn add_code(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    esim: &EsimReading,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let Some(code) = &esim.activation_code else {
        return Ok(());
    };
    let profile = keep_code(conn, depot, profile.clone(), (code, false), now)?;
    release_if_fresh(conn, depot, &profile, esim, now)
}

/// Keeps the code of a profile that came without one. A code that it has is overwritten only when it was `reissued`.
///
/// # Errors
/// `Unique` when another profile has the code.
pub(crate) fn keep_code(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: Profile,
    (code, reissued): (&ActivationCode, bool),
    now: DateTime<Utc>,
) -> Result<Profile, AppError> {
    match secrets::activation_code(conn, depot.store.vault(), &profile)? {
        None => secrets::add_code(conn, depot.store.vault(), &profile, code)?,
        Some(known) if reissued && known.code() != code.code() => {
            secrets::replace_code(conn, depot.store.vault(), &profile, code)?;
        }
        Some(_) => return Ok(profile),
    }
    let version = profiles::bump(conn, &profile, now)?;
    let fact = Fact::CodeReceived {};
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    Ok(profiles::get(conn, profile.id)?)
}

/// On sale only when nobody has it.
fn release_if_fresh(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    esim: &EsimReading,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    if esim.status == Some(EsimStatus::Released) && esim.eid.is_none() {
        put_on_sale(conn, depot, profile, now)
    } else {
        Ok(())
    }
}

fn put_on_sale(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let waits = profile.stock_status == StockStatus::Quarantined
        && profile.quarantine_reason == Some(QuarantineReason::CodeMissing);
    if !waits {
        return Ok(());
    }
    let transition = apply(profile.stock_state(), StockCommand::CompleteDelivery, now)
        .map_err(crate::profiles::invalid_transition)?;
    let version = profiles::move_stock(conn, profile, transition, None, now)?;
    let (from, to) = (transition.from, transition.to);
    let fact = Fact::StockMoved { from, to, order: None, hold: None, quarantine: None, reason: None };
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    Ok(())
}
