//! Bundles that a person called done without naming the carrier's subscription. They take it when it becomes known,
//! or when a person says it: until then no event and no list can be about them, and the subscription itself looks like nobody's.

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::BundleReading;
use simdepot_domain::channel::AccountName;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::OperationId;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::resolution::Case;
use simdepot_persistence::bundles::{self, Bundle, BundleChange};
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events};

use crate::depot::Depot;
use crate::drifts::expected_bundle;
use crate::error::AppError;

/// A bundle that is at the carrier under an id that nobody has told us, with the operation that placed it.
#[derive(Debug, Clone)]
pub(crate) struct Unnamed {
    operation: Operation,
    bundle: Bundle,
}

impl Unnamed {
    fn of(conn: &mut Conn<'_>, account: &AccountName, bundle: Bundle) -> Result<Option<Self>, AppError> {
        if !is_unnamed(&bundle) || bundle.carrier_account != *account {
            return Ok(None);
        }
        let operation = operations::of_bundle(conn, bundle.id)?;
        Ok(operation
            .filter(|operation| operation.status == OperationStatus::Done)
            .map(|operation| Self { operation, bundle }))
    }

    /// The bundle.
    pub(crate) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Whether a subscription that nobody has may be this one: of its product, not there before, and not known to be
    /// another's.
    pub(crate) fn may_be(&self, id: &str, product: Option<&str>, reference: Option<&str>) -> bool {
        let before = self.operation.before_set.as_deref().unwrap_or_default();
        reference.is_none_or(|reference| reference == self.operation.id.to_string())
            && product.is_none_or(|product| product == self.bundle.product)
            && !before.iter().any(|known| known == id)
    }

    /// The one of the carrier's complete list that it is.
    fn found_in(
        &self,
        conn: &mut Conn<'_>,
        listed: &[BundleReading],
    ) -> Result<Option<BundleReading>, AppError> {
        let ids: Vec<String> = listed.iter().map(|bundle| bundle.subscription_id.clone()).collect();
        let claimed = bundles::claimed_subscriptions(conn, &self.bundle.carrier_account, &ids, None)?;
        let case = Case {
            reference: &self.operation.id.to_string(),
            product: self.operation.request.places().unwrap_or_default(),
            before: self.operation.before_set.as_deref(),
            claimed: &claimed,
            first_sent_at: self.operation.first_sent_at.unwrap_or(self.operation.created_at),
            inventory: Some(listed),
        };
        Ok(case.name().cloned())
    }
}

/// Whether the carrier has a bundle whose id nobody has told us.
pub(crate) fn is_unnamed(bundle: &Bundle) -> bool {
    bundle.subscription_id.is_none()
        && match bundle.status {
            // On its way, open, or not there at all.
            BundleStatus::Ordering | BundleStatus::Unknown | BundleStatus::Refused => false,
            BundleStatus::Preloaded
            | BundleStatus::Ready
            | BundleStatus::Scheduled
            | BundleStatus::Active
            | BundleStatus::Exhausted
            | BundleStatus::Expired
            | BundleStatus::Terminated => true,
        }
}

/// The unnamed bundles of a profile, oldest first.
///
/// # Errors
/// When the store refuses.
pub(crate) fn unnamed_of(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile_id: i64,
) -> Result<Vec<Unnamed>, AppError> {
    let mut found = Vec::new();
    for bundle in bundles::of_profile(conn, profile_id)? {
        found.extend(Unnamed::of(conn, account, bundle)?);
    }
    Ok(found)
}

/// The unnamed bundle of the operation that `reference` names, if it is on the profile.
///
/// # Errors
/// When the store refuses.
pub(crate) fn unnamed_by(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile_id: i64,
    reference: Option<&str>,
) -> Result<Option<Unnamed>, AppError> {
    let Some(named) = reference.and_then(|reference| reference.parse::<OperationId>().ok()) else {
        return Ok(None);
    };
    let operation = operations::find(conn, named)?.filter(|operation| operation.profile_id == profile_id);
    let Some(bundle) = operation.and_then(|operation| operation.bundle) else {
        return Ok(None);
    };
    match bundles::find(conn, bundle)? {
        // Of a bundle's operations the newest counts; an earlier one was not done.
        Some(bundle) => Ok(Unnamed::of(conn, account, bundle)?.filter(|found| found.operation.id == named)),
        None => Ok(None),
    }
}

/// Gives an unnamed bundle the carrier's id of it, in the caller's transaction.
///
/// # Errors
/// [`AppError::Store`] with `RowsAffected` when somebody else changed the bundle in between, with `Unique` when the
/// subscription became evidence for another one.
pub(crate) fn name(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    unnamed: &Unnamed,
    subscription_id: &str,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    identify(conn, depot, profile, unnamed, subscription_id, None, now)?;
    tell_identified(unnamed.operation.id, subscription_id);
    Ok(())
}

/// Gives the unnamed bundle of a done operation the carrier's id of it as a person says it, in the caller's transaction.
/// `false` when the operation has none.
///
/// # Errors
/// As [`name`].
pub(super) fn name_by_hand(
    conn: &mut Conn<'_>,
    depot: &Depot,
    operation: &Operation,
    subscription_id: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    let mut profile = profiles::lock(conn, operation.profile_id)?;
    let reference = operation.id.to_string();
    let Some(unnamed) = unnamed_by(conn, &operation.carrier_account, profile.id, Some(&reference))? else {
        return Ok(false);
    };
    identify(conn, depot, &profile, &unnamed, subscription_id, Some(reason), now)?;
    expected_bundle(conn, depot, &mut profile, subscription_id, now)?;
    Ok(true)
}

/// Tells that a bundle has its id.
pub(super) fn tell_identified(operation: OperationId, subscription_id: &str) {
    tracing::info!(%operation, subscription_id, "the carrier's id of a bundle became known");
    metrics::counter!("simdepot_bundles_identified_total").increment(1);
}

fn identify(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    Unnamed { bundle, .. }: &Unnamed,
    subscription_id: &str,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let change =
        BundleChange { subscription_id: Some(subscription_id.to_owned()), ..BundleChange::default() };
    let version = bundles::change(conn, bundle, &change, now)?;
    let fact = Fact::BundleIdentified {
        iccid: profile.iccid.clone(),
        subscription_id: subscription_id.to_owned(),
        reason: reason.map(str::to_owned),
    };
    events::append(conn, &[depot.event(now, Subject::Bundle(bundle.id), version, fact)])?;
    Ok(())
}

/// Gives the unnamed bundles of a profile the ids that the carrier's complete list shows to be theirs, in the caller's
/// transaction. Returns those that stay unnamed. While an operation of the profile is open, what is new may be its own:
/// then only a reference decides.
///
/// # Errors
/// As [`name`].
pub(crate) fn name_listed(
    conn: &mut Conn<'_>,
    depot: &Depot,
    account: &AccountName,
    profile: &Profile,
    listed: &[BundleReading],
    now: DateTime<Utc>,
) -> Result<Vec<Unnamed>, AppError> {
    let mut left = unnamed_of(conn, account, profile.id)?;
    if left.is_empty() {
        return Ok(left);
    }
    let busy = operations::open_sale_of(conn, profile.id)?.is_some();
    // What one of them takes may leave another a single one to choose from.
    let mut again = true;
    while again {
        again = false;
        for unnamed in std::mem::take(&mut left) {
            let found = unnamed.found_in(conn, listed)?;
            let exact = |bundle: &BundleReading| {
                bundle.reference.as_ref().is_some_and(|echo| *echo == unnamed.operation.id.to_string())
            };
            match found.filter(|bundle| !busy || exact(bundle)) {
                Some(bundle) => {
                    name(conn, depot, profile, &unnamed, &bundle.subscription_id, now)?;
                    again = true;
                }
                None => left.push(unnamed),
            }
        }
    }
    Ok(left)
}
