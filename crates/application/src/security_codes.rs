//! Revealing PIN and PUK of a SIM card. The reveal is an event before the codes leave; nothing else keeps them than the
//! vault that the delivery filled.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::carrier::SecurityCodes;
use simdepot_domain::event::{Fact, Subject, SubjectKind};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ApiKeyId;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, secrets};

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::lines;

/// Where codes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodesFrom {
    /// The delivery file.
    Delivery,
    /// The carrier's record, asked now.
    Carrier,
}

/// The codes of a SIM card.
#[derive(Debug)]
pub struct RevealedCodes {
    /// The SIM.
    pub iccid: Iccid,
    /// Its codes; `Debug` does not show them.
    pub codes: SecurityCodes,
    /// Where they come from.
    pub from: CodesFrom,
}

/// The security codes of a profile's SIM card: as they were delivered, else as the carrier has them.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Unsupported`] when they were not delivered and the carrier does not tell them;
/// [`AppError::CarrierUnavailable`].
pub async fn reveal(depot: &Depot, caller: &Caller, iccid: Iccid) -> Result<RevealedCodes, AppError> {
    let (profile, _, account) = lines::find(depot, caller, iccid).await?;
    let (codes, from) = match delivered(depot, &profile).await? {
        Some(codes) => (codes, CodesFrom::Delivery),
        None => (lines::read_card(depot, &account, &profile).await?.codes, CodesFrom::Carrier),
    };
    if codes == SecurityCodes::default() {
        return Err(AppError::NotFound { what: "security codes" });
    }
    record(depot, caller, &profile).await?;
    let key = caller.key.map(|key| key.to_string());
    tracing::info!(iccid = %profile.iccid, key, channel = %caller.channel, ?from, "security codes revealed");
    let label = match from {
        CodesFrom::Delivery => "delivery",
        CodesFrom::Carrier => "carrier",
    };
    metrics::counter!("simdepot_security_codes_revealed_total", "source" => label).increment(1);
    Ok(RevealedCodes { iccid: profile.iccid, codes, from })
}

async fn delivered(depot: &Depot, profile: &Profile) -> Result<Option<SecurityCodes>, AppError> {
    let (store, profile) = (depot.store.clone(), profile.clone());
    let opened = depot.store.read(move |conn| secrets::pin_and_puk(conn, store.vault(), &profile));
    Ok(match opened.await? {
        (None, None) => None,
        (pin1, puk1) => Some(SecurityCodes { pin1, puk1, ..SecurityCodes::default() }),
    })
}

/// Records that the codes leave: one event per profile, key and hour.
async fn record(depot: &Depot, caller: &Caller, profile: &Profile) -> Result<(), AppError> {
    let (work, key, id, now) = (depot.clone(), caller.key, profile.id, depot.now());
    let shown = profile.clone();
    // Most reveals are repeats within the hour: they are found out without a write.
    if depot.store.read(move |conn| was_told(conn, &shown, key, now)).await? {
        return Ok(());
    }
    depot
        .write_again(move |conn| {
            // Looked for again: a parallel reveal may have told it already.
            let profile = profiles::lock(conn, id)?;
            if was_told(conn, &profile, key, now)? {
                return Ok(());
            }
            let version = profiles::bump(conn, &profile, now)?;
            let fact = Fact::SecurityCodesRevealed { key };
            events::append(conn, &[work.event(now, Subject::Profile(profile.iccid), version, fact)])?;
            Ok(())
        })
        .await
}

fn was_told(
    conn: &mut Conn<'_>,
    profile: &Profile,
    key: Option<ApiKeyId>,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    let type_name = Fact::SecurityCodesRevealed { key: None }.type_name();
    let ids = [profile.iccid.to_string()];
    let told = events::of_subjects_and_type(conn, SubjectKind::Profile, &ids, type_name)?;
    Ok(told.iter().rev().any(|event| {
        event.fact == Fact::SecurityCodesRevealed { key } && now - event.at < TimeDelta::hours(1)
    }))
}
