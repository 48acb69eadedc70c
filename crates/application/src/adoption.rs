//! Subscriptions on a line that nobody ordered here.
//!
//! On a profile that was sold such a one is the customer's, wherever it was bought: it is taken into the books, so that
//! it is shown with its balances, followed, and seen by refunds and cancellations. What may be a purchase of our own that
//! was made twice is taken in as well, but it stays a difference: somebody should ask the carrier for the money back.

use chrono::{DateTime, Utc};
use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::carrier::BundleReading;
use simdepot_domain::channel::{AccountName, ChannelName};
use simdepot_domain::drift::{DriftKind, DriftStatus};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::id::{BundleId, OperationId};
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{Conn, allocations, drifts, events, operations, orders};

use crate::bundle_sightings::Told;
use crate::depot::Depot;
use crate::drifts::{expected_bundle, unexpected_bundle};
use crate::error::AppError;
use crate::operations::unnamed_of;
use crate::plan_watch;

/// A subscription that is no bundle of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stranger<'a> {
    /// The carrier's id of it.
    pub(crate) subscription_id: &'a str,
    /// The carrier's product, when it was told.
    pub(crate) product: Option<&'a str>,
    /// The reference that it was ordered with, where the carrier echoes it.
    pub(crate) reference: Option<&'a str>,
    /// What was told of it.
    pub(crate) told: &'a Told,
}

impl<'a> Stranger<'a> {
    /// One that the carrier's list shows, with what it tells.
    pub(crate) fn listed(reading: &'a BundleReading, told: &'a Told) -> Self {
        Self {
            subscription_id: &reading.subscription_id,
            product: Some(&reading.product),
            reference: reading.reference.as_deref(),
            told,
        }
    }
}

/// What became of a subscription that was no bundle of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// It had ended, and that was known.
    Over,
    /// It differs, or ended before anybody saw it.
    Differs,
    /// It may be one that a person called done without naming it: the carrier's complete list may tell.
    MayBeUnnamed,
    /// It is in our books now, and nothing differs.
    Adopted,
}

/// Meets a subscription of a locked profile that is no bundle of ours and that no open operation may have ordered, in
/// the caller's transaction: it is a difference, and on a sold profile adopted.
///
/// # Errors
/// [`AppError::Store`] with `RowsAffected` when somebody else changed the profile in between.
pub(crate) fn meet(
    conn: &mut Conn<'_>,
    depot: &Depot,
    account: &AccountName,
    profile: &mut Profile,
    stranger: Stranger<'_>,
    now: DateTime<Utc>,
) -> Result<Met, AppError> {
    let Stranger { subscription_id, product, reference, told } = stranger;
    if !unexpected_bundle(conn, depot, profile, subscription_id, product, told.status, now)? {
        return Ok(Met::Over);
    }
    let usable = told.status.filter(|status| status.is_usable());
    let (Some(status), Some(channel)) = (usable, holder(conn, profile)?) else {
        return Ok(Met::Differs);
    };
    let unnamed = unnamed_of(conn, account, profile.id)?;
    if unnamed.iter().any(|unnamed| unnamed.may_be(subscription_id, product, reference)) {
        return Ok(Met::MayBeUnnamed);
    }
    let Some(product) = product else {
        return Ok(Met::Differs);
    };
    let suspected = may_be_bought_twice(conn, profile.id, subscription_id, product, reference)?;
    let bundle = Bundle {
        id: BundleId::generate(depot.ids.as_ref()),
        profile_id: profile.id,
        order: None,
        channel,
        reference: None,
        request_hash: None,
        product: product.to_owned(),
        order_type: None,
        status,
        carrier_account: account.clone(),
        subscription_id: Some(subscription_id.to_owned()),
        activated_at: told.activated_at,
        expires_at: told.expires_at,
        balances: told.balances.clone().unwrap_or_default(),
        fetched_at: told.balances.is_some().then_some(now),
        observed_at: Some(told.observed_at),
        low_told_for: None,
        expiry_told_for: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    if !bundles::insert_adopted(conn, &bundle)? {
        return Ok(Met::Differs);
    }
    append_adoption(conn, depot, profile, &bundle, now)?;
    plan_watch::warn(conn, depot, &profile.iccid, &bundle, now)?;
    tracing::info!(iccid = %profile.iccid, bundle = %bundle.id, subscription_id, suspected, "a bundle was adopted");
    metrics::counter!("simdepot_bundles_adopted_total").increment(1);
    if suspected {
        return Ok(Met::Differs);
    }
    expected_bundle(conn, depot, profile, subscription_id, now)?;
    Ok(Met::Adopted)
}

fn append_adoption(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &Profile,
    bundle: &Bundle,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let fact = Fact::BundleAdopted {
        iccid: profile.iccid.clone(),
        product: bundle.product.clone(),
        channel: bundle.channel.clone(),
        subscription_id: bundle.subscription_id.clone().unwrap_or_default(),
        status: bundle.status,
    };
    events::append(conn, &[depot.event(now, Subject::Bundle(bundle.id), bundle.version, fact)])?;
    Ok(())
}

/// Whose a sold profile is.
fn holder(conn: &mut Conn<'_>, profile: &Profile) -> Result<Option<ChannelName>, AppError> {
    if profile.stock_status != StockStatus::Allocated {
        return Ok(None);
    }
    let Some(live) = allocations::live_of(conn, profile.id)? else {
        return Ok(None);
    };
    Ok(orders::find(conn, live.order)?.map(|order| order.channel))
}

/// Whether it may be a purchase of our own: it says so, or the same product was sent for here when it was not on the line
/// yet. Whatever became of that sending, the carrier may have carried it out once more, and has no means to tell.
fn may_be_bought_twice(
    conn: &mut Conn<'_>,
    profile_id: i64,
    subscription_id: &str,
    product: &str,
    reference: Option<&str>,
) -> Result<bool, AppError> {
    if let Some(named) = reference.and_then(|reference| reference.parse::<OperationId>().ok())
        && operations::find(conn, named)?.is_some()
    {
        return Ok(true);
    }
    Ok(operations::of_profile(conn, profile_id)?.iter().any(|operation| {
        let mut before = operation.before_set.iter().flatten();
        operation.first_sent_at.is_some()
            && operation.request.places() == Some(product)
            && !before.any(|known| known == subscription_id)
    }))
}

/// What was told of a subscription that is a bundle of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The bundle, as it was before.
    pub(crate) bundle: &'a Bundle,
    /// The reference that it was ordered with, where the carrier echoes it.
    pub(crate) reference: Option<&'a str>,
    /// Its status, where it was told.
    pub(crate) status: Option<BundleStatus>,
}

impl<'a> Known<'a> {
    /// One that the carrier's list shows.
    pub(crate) fn listed(bundle: &'a Bundle, reading: &'a BundleReading) -> Self {
        Self { bundle, reference: reading.reference.as_deref(), status: Some(reading.status) }
    }
}

/// Settles the difference that a subscription may have been, now that it is a bundle of ours: it is none, unless it was
/// adopted under suspicion. Then it is one until the subscription ends, whenever it is seen, also when its report was
/// closed meanwhile. Returns whether it still differs.
///
/// # Errors
/// As [`meet`].
pub(crate) fn settle(
    conn: &mut Conn<'_>,
    depot: &Depot,
    profile: &mut Profile,
    known: Known<'_>,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    let Known { bundle, reference, status } = known;
    let Some(id) = bundle.subscription_id.as_deref() else {
        return Ok(false);
    };
    let open = drifts::of_profile(conn, profile.id)?.into_iter().any(|drift| {
        drift.kind == DriftKind::UnexpectedBundle && drift.subject == id && drift.status == DriftStatus::Open
    });
    if bundle.is_adopted() {
        let over = bundle.status.is_final() || status.is_some_and(BundleStatus::is_final);
        if open || (!over && may_be_bought_twice(conn, profile.id, id, &bundle.product, reference)?) {
            return unexpected_bundle(conn, depot, profile, id, Some(&bundle.product), status, now);
        }
    } else if open {
        expected_bundle(conn, depot, profile, id, now)?;
    }
    Ok(false)
}
