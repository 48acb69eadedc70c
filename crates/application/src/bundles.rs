//! Top-ups: another product on a profile that was sold, and what is left of the bundles on it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use simdepot_domain::bundle::{BundleStatus, OrderType};
use simdepot_domain::carrier::{BundleReading, Capability};
use simdepot_domain::channel::{AccountName, ChannelName};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{BundleId, OperationId};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::bundles::{self, Bundle, BundleSeen};
use simdepot_persistence::operations::{self, NewOperation};
use simdepot_persistence::profiles::{Profile, get as profile_of, lock};
use simdepot_persistence::{Conn, StoreError, allocations, events, orders, pools};

use crate::adoption::{self, Known, Stranger};
use crate::bundle_sightings::{self, Told};
use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::idempotency::{self, IdempotencyKey};
use crate::operations::{Seen, is_unnamed, name_listed};
use crate::orders::{OrderBundle, PlacedAs, order_bundle};
use crate::{products, profiles};

/// Balances younger than this are not read again.
const BALANCE_AGE: TimeDelta = TimeDelta::seconds(60);

/// What a top-up asks for.
#[derive(Debug, Clone)]
pub struct TopUp {
    /// The storefront's own reference, unique among the channel's top-ups for ever.
    pub reference: String,
    /// The carrier's product.
    pub product: String,
    /// How it must be placed; chosen from the line's status when absent.
    pub order_type: Option<OrderType>,
}

/// A top-up and how it came about.
#[derive(Debug)]
pub struct ToppedUp {
    /// How.
    pub placed_as: PlacedAs,
    /// The bundle.
    pub bundle: OrderBundle,
}

/// Puts another product on a profile of the caller's channel, and waits up to `wait` for the carrier.
///
/// # Errors
/// [`AppError::NotFound`] for a profile that is not the channel's; [`AppError::InvalidTransition`] while another
/// operation of the profile is open; [`AppError::ReferenceConflict`]; [`AppError::CarrierRefused`];
/// [`AppError::Unsupported`] when the carrier sells no products.
pub async fn top_up(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    asked: TopUp,
    key: Option<&IdempotencyKey>,
    wait: Duration,
) -> Result<ToppedUp, AppError> {
    let (asked_by, wanted) = (caller.clone(), iccid.clone());
    let (profile, account) = depot
        .store
        .read(move |conn| {
            let profile = chargeable(conn, &asked_by, &wanted)?;
            let account = pools::get(conn, profile.pool_id)?.settings.carrier_account;
            Ok::<_, AppError>((profile, account))
        })
        .await?;
    if !products::is_sold(depot, &account, &asked.product).await? {
        return Err(AppError::invalid("/product", "unknown", "the carrier does not sell this product"));
    }
    let new = new_bundle(depot, caller, &profile, account, &asked);
    let taking = || take(depot, caller, &profile, &asked, new, key);
    let (id, placed_as) = idempotency::place_once(depot, caller, key, taking).await?;
    depot.signals.work.notify_one();
    let bundle = settle(depot, id, wait).await?;
    if placed_as != PlacedAs::Repeated && bundle.bundle.status == BundleStatus::Refused {
        let problem = bundle.operation.and_then(|operation| operation.problem);
        return Err(AppError::carrier_refused(None, Some(id), problem));
    }
    Ok(ToppedUp { placed_as, bundle })
}

fn new_bundle(
    depot: &Depot,
    caller: &Caller,
    profile: &Profile,
    account: AccountName,
    asked: &TopUp,
) -> Bundle {
    let now = depot.now();
    let content = format!("{}\n{}\n{:?}", profile.iccid.key(), asked.product, asked.order_type);
    Bundle {
        id: BundleId::generate(depot.ids.as_ref()),
        profile_id: profile.id,
        order: None,
        channel: caller.channel.clone(),
        reference: Some(asked.reference.clone()),
        request_hash: Some(Sha256::digest(content.as_bytes()).to_vec()),
        product: asked.product.clone(),
        order_type: None,
        status: BundleStatus::Ordering,
        carrier_account: account,
        subscription_id: None,
        activated_at: None,
        expires_at: None,
        balances: Vec::new(),
        fetched_at: None,
        observed_at: None,
        low_told_for: None,
        expiry_told_for: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

async fn take(
    depot: &Depot,
    caller: &Caller,
    profile: &Profile,
    asked: &TopUp,
    bundle: Bundle,
    key: Option<&IdempotencyKey>,
) -> Result<(BundleId, PlacedAs), AppError> {
    let (work, caller, key, profile) = (depot.clone(), caller.clone(), key.cloned(), profile.clone());
    let order_type = asked.order_type;
    let id = bundle.id;
    let taken = depot.store.write(move |conn| {
        if !bundles::insert_top_up(conn, &bundle)? {
            return repeat(conn, &bundle);
        }
        check_order(conn, &profile, &bundle.channel)?;
        let operation = NewOperation {
            id: OperationId::generate(work.ids.as_ref()),
            carrier_account: bundle.carrier_account.clone(),
            request: OperationRequest::PlaceBundle {
                product: bundle.product.clone(),
                order_type,
                first_sale: false,
            },
            profile_id: profile.id,
            allocation_id: None,
            order: None,
            bundle: Some(id),
            sealed: None,
        };
        let now = bundle.created_at;
        let facts = events_of(&work, &profile, &bundle, operation.id, now);
        // Due by the clock that the workers go by.
        let due = conn.now()?;
        operations::insert_many(conn, &[operation], due)?;
        events::append(conn, &facts)?;
        idempotency::record(conn, &work, &caller, key.as_ref(), 201, &id.to_string())?;
        Ok((id, PlacedAs::Created))
    });
    match taken.await {
        // The one-open-operation index: a second write must not start before the first is decided.
        Err(AppError::Store(StoreError::Unique { .. })) => Err(AppError::InvalidTransition {
            from: "operation_open".to_owned(),
            command: "top_up".to_owned(),
            detail: "another carrier operation of this profile is open; try again when it has ended"
                .to_owned(),
        }),
        other => other,
    }
}

/// A profile that takes products: the channel's own, or a line that was taken into use without having been sold, for who
/// works all lines.
fn chargeable(conn: &mut Conn<'_>, caller: &Caller, iccid: &Iccid) -> Result<Profile, AppError> {
    let profile = profiles::existing(conn, iccid)?;
    if caller.works_all_lines() && is_in_service(&profile) {
        return Ok(profile);
    }
    profiles::owned(conn, caller, iccid)
}

fn is_in_service(profile: &Profile) -> bool {
    profile.quarantine_reason == Some(QuarantineReason::InService)
}

/// The profile is still the channel's, and its order is not being taken back: under the order's lock, so that a
/// cancellation sees this top-up or this top-up the cancellation.
fn check_order(conn: &mut Conn<'_>, profile: &Profile, channel: &ChannelName) -> Result<(), AppError> {
    const NOT_FOUND: AppError = AppError::NotFound { what: "profile" };
    // Nobody's order, and nobody's to take back. Locked only then: an order is locked before its profiles.
    if is_in_service(&profile_of(conn, profile.id)?) {
        let still = is_in_service(&lock(conn, profile.id)?);
        return if still { Ok(()) } else { Err(NOT_FOUND) };
    }
    let live = allocations::live_of(conn, profile.id)?.ok_or(NOT_FOUND)?;
    let order = orders::lock(conn, live.order)?;
    // Looked for again: it may have left the order while the lock was waited for.
    if order.channel != *channel || allocations::live_of(conn, profile.id)? != Some(live) {
        return Err(NOT_FOUND);
    }
    if order.cancelling_since.is_some() {
        return Err(AppError::InvalidTransition {
            from: order.status.to_string(),
            command: "top_up".to_owned(),
            detail: format!("order {} is being cancelled", order.id),
        });
    }
    Ok(())
}

fn events_of(
    depot: &Depot,
    profile: &Profile,
    bundle: &Bundle,
    operation: OperationId,
    now: DateTime<Utc>,
) -> [simdepot_domain::event::Event; 2] {
    let iccid = || profile.iccid.clone();
    let ordered = Fact::BundleOrdered {
        iccid: iccid(),
        product: bundle.product.clone(),
        order: None,
        channel: bundle.channel.clone(),
        reference: bundle.reference.clone(),
    };
    let to = OperationStatus::Pending;
    let pending = Fact::OperationStatusChanged {
        iccid: iccid(),
        kind: Some("place_bundle".to_owned()),
        from: None,
        to,
        order_type: None,
        code: None,
        reason: None,
    };
    [
        depot.event(now, Subject::Bundle(bundle.id), 1, ordered),
        depot.event(now, Subject::Operation(operation), 1, pending),
    ]
}

fn repeat(conn: &mut Conn<'_>, bundle: &Bundle) -> Result<(BundleId, PlacedAs), AppError> {
    let reference = bundle.reference.clone().unwrap_or_default();
    let existing = bundles::find_by_reference(conn, &bundle.channel, &reference)?.ok_or_else(|| {
        AppError::Internal("the top-up that holds the reference cannot be found".to_owned())
    })?;
    if existing.request_hash == bundle.request_hash {
        return Ok((existing.id, PlacedAs::Repeated));
    }
    Err(AppError::ReferenceConflict { reference, existing: existing.id.to_string() })
}

async fn settle(depot: &Depot, id: BundleId, wait: Duration) -> Result<OrderBundle, AppError> {
    let load = move |conn: &mut Conn<'_>| {
        let bundle = bundles::find(conn, id)?.ok_or(AppError::NotFound { what: "bundle" })?;
        order_bundle(conn, bundle)
    };
    let look = || async {
        let found = depot.store.read(load).await?;
        Ok::<_, AppError>((found.bundle.status != BundleStatus::Ordering).then_some(found))
    };
    match depot.signals.wait_for(id.0, wait, look).await? {
        Some(found) => Ok(found),
        None => depot.store.read(load).await,
    }
}

/// The bundles of a profile, oldest first, with balances at most a minute old where the carrier can be asked.
///
/// # Errors
/// [`AppError::NotFound`] for a profile that the caller may not see; [`AppError::Unsupported`] when its carrier has no
/// bundles, and it has none of another account's.
pub async fn list(depot: &Depot, caller: &Caller, iccid: Iccid) -> Result<Vec<OrderBundle>, AppError> {
    let asked_by = caller.clone();
    let (profile, account, known) = depot
        .store
        .read(move |conn| {
            let asked = profiles::visible(conn, &asked_by, &iccid)?;
            // Bundles are on the line, whichever SIM has it now.
            let holder = profiles::holder(conn, asked.id)?;
            let profile = profile_of(conn, holder)?;
            let account = pools::get(conn, profile.pool_id)?.settings.carrier_account;
            let known = bundles::of_profile(conn, profile.id)?;
            Ok::<_, AppError>((profile, account, known))
        })
        .await?;
    if known.is_empty()
        && let Some(account) = depot.accounts.get(&account)
    {
        account.require(Capability::Products)?;
    }
    let now = depot.now();
    let old = |bundle: &Bundle| {
        let is_listed = bundle.subscription_id.is_some() || is_unnamed(bundle);
        is_listed && bundle.fetched_at.is_none_or(|at| now - at > BALANCE_AGE)
    };
    if known.iter().any(old) {
        refresh(depot, &profile, &known).await;
    }
    depot
        .store
        .read(move |conn| {
            let known = bundles::of_profile(conn, profile.id)?;
            known.into_iter().map(|bundle| order_bundle(conn, bundle)).collect()
        })
        .await
}

/// Reads what the carrier says of the line's bundles. When it cannot be asked the old balances stand, with their age.
async fn refresh(depot: &Depot, profile: &Profile, known: &[Bundle]) {
    let (Some(msisdn), Some(account)) =
        (&profile.msisdn, known.first().map(|bundle| &bundle.carrier_account))
    else {
        return;
    };
    let Some(_turn) = depot.carrier_reads.balances().await else {
        return;
    };
    let asked_at = depot.now();
    let seen = match depot.account(account) {
        Ok(account) => match account.carrier.bundles(msisdn).await {
            Ok(seen) => Ok(seen),
            Err(error) => Err(AppError::from(error)),
        },
        Err(error) => Err(error),
    };
    let recorded = match seen {
        Ok(Some(seen)) => record(depot, account.clone(), profile.id, seen, asked_at).await,
        // Of a line that the carrier does not know it has listed nothing.
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        tracing::warn!(iccid = %profile.iccid, %error, "balances cannot be refreshed");
    }
}

/// Records what the carrier's complete list, asked for at `asked_at`, says of the bundles of a profile.
pub(crate) async fn record(
    depot: &Depot,
    account: AccountName,
    profile_id: i64,
    listed: Vec<BundleReading>,
    asked_at: DateTime<Utc>,
) -> Result<(), AppError> {
    let work = depot.clone();
    let write = depot.write_again(move |conn| {
        let profile = lock(conn, profile_id)?;
        observe(conn, &work, &account, profile, &listed, asked_at)
    });
    write.await
}

/// Records what the carrier's complete list, asked for at `asked_at`, says of the bundles of a locked profile, in the
/// caller's transaction.
///
/// # Errors
/// [`AppError::Store`] with `RowsAffected` when somebody else changed one in between.
pub(crate) fn observe(
    conn: &mut Conn<'_>,
    depot: &Depot,
    account: &AccountName,
    mut profile: Profile,
    listed: &[BundleReading],
    asked_at: DateTime<Utc>,
) -> Result<(), AppError> {
    let now = depot.now();
    // In this order: an operation that ends in between has made its bundle known by then.
    let open = operations::open_sale_of(conn, profile.id)?;
    name_listed(conn, depot, account, &profile, listed, now)?;
    for reading in listed {
        let told = Told::reading(reading, asked_at);
        match bundles::of_subscription(conn, account, &reading.subscription_id)? {
            Some(bundle) if bundle.profile_id == profile.id => {
                bundle_sightings::tell(conn, depot, &profile.iccid, &bundle, &told, now)?;
                adoption::settle(conn, depot, &mut profile, Known::listed(&bundle, reading), now)?;
            }
            // On another SIM than ours.
            Some(_) => {}
            None => match &open {
                Some(operation) => Seen::listed(reading).tell(conn, operation)?,
                // What is seen on a profile that nobody has is for a comparison to judge.
                None if profile.stock_status != StockStatus::Allocated => {}
                None => {
                    let stranger = Stranger::listed(reading, &told);
                    adoption::meet(conn, depot, account, &mut profile, stranger, now)?;
                }
            },
        }
    }
    for bundle in bundles::of_profile(conn, profile.id)?.iter().filter(|bundle| is_unnamed(bundle)) {
        // Asked for without being found: it is not asked for again at once.
        let seen = BundleSeen { fetched_at: Some(now), ..BundleSeen::default() };
        bundles::observe(conn, bundle, &seen, now)?;
    }
    Ok(())
}
