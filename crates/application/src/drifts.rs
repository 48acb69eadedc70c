//! Drift: where our books and the carrier's differ. What is found is open until a rule makes it right, or a later
//! comparison does not find it any more.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::drift::{DriftKind, DriftStatus};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::observation::Lifecycle;
use simdepot_persistence::drifts::{self, Drift, NewDrift};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, pools};
use strum::VariantArray;

use crate::depot::Depot;
use crate::error::AppError;

/// Something that differs.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// How.
    pub(crate) kind: DriftKind,
    /// About what: a subscription, a status.
    pub(crate) about: String,
    /// What was seen, for people. No secrets.
    pub(crate) details: Json,
}

/// Records a difference, in the caller's transaction; the profile is then as it is after it. `false` when it was open
/// already.
///
/// # Errors
/// [`AppError::Store`] with `RowsAffected` when somebody else changed the profile in between.
pub(crate) fn found(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    difference: Difference,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    see(conn, depot, profile, difference, DriftStatus::Open, now)
}

/// Records a difference that is over as it is found: a rule has made it right, or it ended before anybody looked.
///
/// # Errors
/// As [`found`].
pub(crate) fn found_over(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    difference: Difference,
    status: DriftStatus,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let (kind, about) = (difference.kind, difference.about.clone());
    see(conn, depot, profile, difference, status, now)?;
    tell(conn, depot, profile, Fact::DriftClosed { kind, about, status }, now)
}

fn see(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    difference: Difference,
    status: DriftStatus,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    let Difference { kind, about, details } = difference;
    let account = pools::get(conn, profile.pool_id)?.settings.carrier_account;
    let new = NewDrift { account, profile_id: profile.id, kind, subject: about.clone(), details, status };
    if !drifts::see(conn, &new, now)? {
        return Ok(false);
    }
    metrics::counter!("simdepot_drift_total", "kind" => kind.to_string()).increment(1);
    tracing::warn!(iccid = %profile.iccid, %kind, about, %status, "our books and the carrier's differ");
    tell(conn, depot, profile, Fact::DriftFound { kind, about }, now)?;
    Ok(true)
}

/// Closes an open difference, in the caller's transaction.
///
/// # Errors
/// As [`found`].
pub(crate) fn close(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    drift: &Drift,
    status: DriftStatus,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    drifts::close(conn, drift, status, now)?;
    let fact = Fact::DriftClosed { kind: drift.kind, about: drift.subject.clone(), status };
    tell(conn, depot, profile, fact, now)
}

fn tell(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    fact: Fact,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let version = profiles::bump(conn, profile, now)?;
    events::append(conn, &[depot.event(now, Subject::Profile(profile.iccid.clone()), version, fact)])?;
    *profile = profiles::get(conn, profile.id)?;
    Ok(())
}

/// What an impossible move of an axis is about.
pub(crate) fn about_move(axis: &str, from: impl Display, to: impl Display) -> String {
    format!("{axis} {from} to {to}")
}

/// A word that came late may explain a move that seemed impossible when its step in between was not known.
///
/// # Errors
/// As [`found`].
pub(crate) fn explain<S: Lifecycle + Display + VariantArray>(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    axis: &str,
    late: S,
    known: S,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    if !late.allows(known) {
        return Ok(());
    }
    let explained: Vec<String> = S::VARIANTS
        .iter()
        .filter(|from| from.allows(late))
        .map(|from| about_move(axis, from, known))
        .collect();
    for drift in drifts::of_profile(conn, profile.id)? {
        let is_it = drift.kind == DriftKind::ImpossibleMove && explained.contains(&drift.subject);
        if is_it && drift.status == DriftStatus::Open {
            close(conn, depot, profile, &drift, DriftStatus::Healed, now)?;
        }
    }
    Ok(())
}

/// A subscription that is a bundle of ours, whatever was thought of it before.
///
/// # Errors
/// As [`found`].
pub(crate) fn expected_bundle(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    subscription_id: &str,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    for drift in drifts::of_profile(conn, profile.id)? {
        let is_it = drift.kind == DriftKind::UnexpectedBundle && drift.subject == subscription_id;
        if is_it && drift.status == DriftStatus::Open {
            close(conn, depot, profile, &drift, DriftStatus::Healed, now)?;
        }
    }
    Ok(())
}

/// A bundle at the carrier that nobody ordered here and that no open operation may have ordered. Its end closes the
/// difference; one that had ended before it was first seen is told all the same, because it was paid for. Returns
/// whether it differs now, or is told for the first time.
///
/// # Errors
/// As [`found`].
pub(crate) fn unexpected_bundle(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    subscription_id: &str,
    product: Option<&str>,
    status: Option<BundleStatus>,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    let kind = DriftKind::UnexpectedBundle;
    let difference = || Difference {
        kind,
        about: subscription_id.to_owned(),
        details: json!({ "product": product, "status": status }),
    };
    if !status.is_some_and(BundleStatus::is_final) {
        found(conn, depot, profile, difference(), now)?;
        return Ok(true);
    }
    let of_profile = drifts::of_profile(conn, profile.id)?;
    let known = of_profile.iter().rev().find(|drift| drift.kind == kind && drift.subject == subscription_id);
    match known {
        Some(drift) if drift.status == DriftStatus::Open => {
            close(conn, depot, profile, drift, DriftStatus::Gone, now)?;
            Ok(false)
        }
        Some(_) => Ok(false),
        None => {
            found_over(conn, depot, profile, difference(), DriftStatus::Gone, now)?;
            Ok(true)
        }
    }
}
