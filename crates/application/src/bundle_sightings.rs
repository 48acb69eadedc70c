//! What the carrier says of a bundle, in a list or in an event, becomes the bundle's record and its events.

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::{Balance, BundleSighting, BundleStatus, BundleVerdict};
use simdepot_domain::carrier::BundleReading;
use simdepot_domain::carrier_event::BundleNews;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_persistence::bundles::{self, Bundle, BundleSeen};
use simdepot_persistence::{Conn, events};

use crate::depot::Depot;
use crate::error::AppError;
use crate::plan_watch;

/// What was told of a bundle.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Its status, when that was told.
    pub(crate) status: Option<BundleStatus>,
    /// The carrier's date of it, or the time of its reply.
    pub(crate) observed_at: DateTime<Utc>,
    dated_by_carrier: bool,
    /// When it started.
    pub(crate) activated_at: Option<DateTime<Utc>>,
    /// Before the start the last day to start, then the end.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// What is left; present in a list alone.
    pub(crate) balances: Option<Vec<Balance>>,
}

impl Told {
    /// By the carrier's list that was asked for at `asked_at`: what it says was true then or later.
    pub(crate) fn reading(reading: &BundleReading, asked_at: DateTime<Utc>) -> Self {
        Self {
            status: Some(reading.status),
            observed_at: asked_at,
            dated_by_carrier: false,
            activated_at: reading.activated_at,
            expires_at: reading.expires_at,
            balances: Some(reading.balances.clone()),
        }
    }

    /// By an event that happened at `at`, or reached us at `received_at`.
    pub(crate) fn news(news: &BundleNews, at: Option<DateTime<Utc>>, received_at: DateTime<Utc>) -> Self {
        Self {
            status: news.status,
            observed_at: at.unwrap_or(received_at),
            dated_by_carrier: at.is_some(),
            activated_at: news.activated_at,
            expires_at: news.expires_at,
            balances: None,
        }
    }

    fn verdict(&self, bundle: &Bundle) -> BundleVerdict {
        let (observed_at, dated_by_carrier) = (self.observed_at, self.dated_by_carrier);
        match self.status {
            Some(status) => {
                let seen = BundleSighting { status, observed_at, dated_by_carrier };
                bundle.status.weigh(bundle.observed_at, &seen)
            }
            None => BundleVerdict::Confirms,
        }
    }
}

/// Records what was told of a bundle of the profile `iccid`, in the caller's transaction. Older words fill gaps and
/// overwrite nothing.
///
/// # Errors
/// [`AppError::Store`] with `RowsAffected` when somebody else changed the bundle in between.
pub(crate) fn tell(
    conn: &mut Conn<'_>,
    depot: &Depot,
    iccid: &Iccid,
    bundle: &Bundle,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let verdict = told.verdict(bundle);
    let newest =
        verdict == BundleVerdict::Moves || bundle.observed_at.is_none_or(|at| at <= told.observed_at);
    let keep = |known: Option<DateTime<Utc>>, new: Option<DateTime<Utc>>| {
        new.filter(|_| known.is_none() || (newest && verdict != BundleVerdict::Stale))
            .filter(|new| known != Some(*new))
    };
    // A confirmation moves the date only when the carrier dates it: its lists lag behind its events.
    let dated_anew = match verdict {
        BundleVerdict::Moves => true,
        BundleVerdict::Confirms => newest && told.dated_by_carrier && told.status.is_some(),
        BundleVerdict::Stale => false,
    };
    let seen = BundleSeen {
        moved_to: told.status.filter(|_| verdict == BundleVerdict::Moves),
        observed_at: dated_anew.then_some(told.observed_at),
        activated_at: keep(bundle.activated_at, told.activated_at),
        expires_at: keep(bundle.expires_at, told.expires_at),
        balances: told.balances.clone().filter(|_| verdict != BundleVerdict::Stale),
        fetched_at: told.balances.is_some().then_some(now),
    };
    if seen == BundleSeen::default() {
        return Ok(());
    }
    let version = bundles::observe(conn, bundle, &seen, now)?;
    if let Some(to) = seen.moved_to {
        let fact = Fact::BundleStatusChanged { iccid: iccid.clone(), from: bundle.status, to };
        events::append(conn, &[depot.event(now, Subject::Bundle(bundle.id), version, fact)])?;
    }
    plan_watch::warn(conn, depot, iccid, &after(bundle, seen, version), now)?;
    Ok(())
}

/// The bundle with what was recorded of it.
fn after(bundle: &Bundle, seen: BundleSeen, version: i64) -> Bundle {
    let balances = seen.balances.unwrap_or_else(|| bundle.balances.clone());
    Bundle {
        status: seen.moved_to.unwrap_or(bundle.status),
        expires_at: seen.expires_at.or(bundle.expires_at),
        balances,
        version,
        ..bundle.clone()
    }
}
