//! Whether an order's price may be paid back: what the carrier's records show of its profiles, and the rule of
//! [`simdepot_domain::refund`] on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use simdepot_domain::bundle::{Balance, BundleStatus};
use simdepot_domain::carrier::BundleReading;
use simdepot_domain::channel::AccountName;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{BundleId, OrderId};
use simdepot_domain::order::ProfileOutcome;
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::refund::{self, BundleEvidence, ProfileEvidence, RefundReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::allocations::{self, Allocation};
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, events, operations, pools};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::carrier_view::{self, CarrierView};
use crate::depot::Depot;
use crate::error::AppError;
use crate::operations::replaced;
use crate::orders::own;

/// Most profiles of an order about which the carrier is asked in one request; of the others the last known counts, which
/// is enough to refuse but not to allow.
const MOST_ASKED: usize = 50;
/// How many profiles are asked about at a time.
const AT_A_TIME: usize = 4;
/// How long the carrier is asked in one request.
const PATIENCE: Duration = Duration::from_secs(20);

/// What stands against paying an order back, or must be known before it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What.
    pub code: RefundReason,
    /// Of which profile.
    pub iccid: Iccid,
}

/// Whether an order may be paid back, and what says so.
#[derive(Debug)]
pub struct Eligibility {
    /// The order.
    pub order: OrderId,
    /// Whether nothing of it was used and nothing is open, by what the carrier said for this answer.
    pub eligible: bool,
    /// Why not, and what else must be known.
    pub reasons: Vec<Reason>,
    /// What is known of every profile that was handed over.
    pub evidence: Vec<ProfileRecord>,
}

/// What is known of one profile.
#[derive(Debug)]
pub struct ProfileRecord {
    /// Which.
    pub iccid: Iccid,
    /// When its code was first shown.
    pub revealed_at: Option<DateTime<Utc>>,
    /// Its line.
    pub sim: Option<SimStatus>,
    /// The eSIM.
    pub esim: Option<EsimStatus>,
    /// Whether a device's EID is bound to it.
    pub eid_bound: bool,
    /// What is on it.
    pub bundles: Vec<BundleRecord>,
    /// When the carrier last said so; `None` when it never did.
    pub observed_at: Option<DateTime<Utc>>,
    /// Whether the carrier was asked for this answer and said all of it.
    pub fresh: bool,
}

/// What is known of one bundle.
#[derive(Debug)]
pub struct BundleRecord {
    /// Its id; `None` for one that the carrier lists and simdepot did not place.
    pub id: Option<BundleId>,
    /// The carrier's product.
    pub product: String,
    /// Where it stands.
    pub status: BundleStatus,
    /// When it started.
    pub activated_at: Option<DateTime<Utc>>,
    /// Whether it has started, or some of it is used up.
    pub used: bool,
}

/// A profile that was handed over with the order, and how the carrier account is called that knows it.
#[derive(Debug, Clone)]
struct HandedOver {
    profile: Profile,
    account: AccountName,
    outcome: ProfileOutcome,
}

/// Whether an order of the caller's channel may be paid back. Asks the carrier; where it does not answer, the last
/// known may speak against it, with its age, but never for it.
///
/// # Errors
/// [`AppError::NotFound`], also for another channel's order.
pub async fn eligibility(depot: &Depot, caller: &Caller, id: OrderId) -> Result<Eligibility, AppError> {
    let channel = caller.channel.clone();
    let handed_over = depot
        .store
        .read(move |conn| {
            let order = own(conn, &channel, id)?;
            handed_over(conn, order.id)
        })
        .await?;
    let asked_at = depot.now();
    let views = ask(depot, &handed_over).await;
    learn(depot, &handed_over, &views, asked_at).await?;
    depot
        .store
        .read(move |conn| {
            let (mut reasons, mut evidence) = (Vec::new(), Vec::new());
            for entry in &handed_over {
                let (record, told) = judge(conn, entry, views.get(&entry.profile.id), asked_at)?;
                reasons.extend(told.into_iter().map(|code| Reason { code, iccid: record.iccid.clone() }));
                evidence.push(record);
            }
            let eligible = !reasons.iter().any(|reason| reason.code.forbids());
            Ok(Eligibility { order: id, eligible, reasons, evidence })
        })
        .await
}

/// The profiles that a customer got, or may have got, with the order: those on it now, and those that were taken back
/// or replaced later and did not go to anybody else since. What never left the depot says nothing about a customer.
fn handed_over(conn: &mut Conn<'_>, order: OrderId) -> Result<Vec<HandedOver>, AppError> {
    let of_order = allocations::of_order(conn, order)?;
    let replaced = replaced(&of_order, &operations::of_order(conn, order)?);
    let counts = |allocation: &&Allocation| {
        allocation.live
            || allocation.outcome == ProfileOutcome::Cancelled
            || replaced.contains(&allocation.id)
    };
    let ids: Vec<i64> = of_order.iter().filter(counts).map(|allocation| allocation.profile_id).collect();
    let known: BTreeMap<i64, Profile> =
        profiles::get_many(conn, &ids)?.into_iter().map(|profile| (profile.id, profile)).collect();
    let mut accounts: BTreeMap<i64, AccountName> = BTreeMap::new();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for allocation in of_order.iter().filter(counts) {
        let Some(profile) = known.get(&allocation.profile_id) else { continue };
        let is_here = allocation.live || stayed_away(conn, profile, order)?;
        if !is_here || !seen.insert(profile.id) {
            continue;
        }
        let account = match accounts.get(&profile.pool_id) {
            Some(account) => account.clone(),
            None => pools::get(conn, profile.pool_id)?.settings.carrier_account,
        };
        accounts.insert(profile.pool_id, account.clone());
        found.push(HandedOver { profile: profile.clone(), account, outcome: allocation.outcome });
    }
    Ok(found)
}

/// Whether a profile that left the order was set aside and has stayed so.
fn stayed_away(conn: &mut Conn<'_>, profile: &Profile, order: OrderId) -> Result<bool, AppError> {
    match profile.stock_status {
        StockStatus::Quarantined | StockStatus::Retired => {}
        StockStatus::Available | StockStatus::Held | StockStatus::Allocated => return Ok(false),
    }
    let story = events::of_subject(conn, SubjectKind::Profile, profile.iccid.as_str())?;
    let sold_to = story.iter().rev().find_map(|event| match &event.fact {
        Fact::StockMoved { to: StockStatus::Allocated, order, .. } => Some(*order),
        _ => None,
    });
    Ok(sold_to == Some(Some(order)))
}

/// Asks the carrier, a few profiles at a time and not for ever.
async fn ask(depot: &Depot, handed_over: &[HandedOver]) -> BTreeMap<i64, CarrierView> {
    let deadline = Instant::now() + PATIENCE;
    let asked = handed_over.iter().take(MOST_ASKED).cloned().map(|entry| async move {
        let look = carrier_view::look(depot, &entry.account, &entry.profile, true);
        let view = tokio::time::timeout_at(deadline, look).await.unwrap_or_default();
        (entry.profile.id, view)
    });
    futures_util::stream::iter(asked).buffered(AT_A_TIME).collect().await
}

/// Keeps what the carrier said.
async fn learn(
    depot: &Depot,
    handed_over: &[HandedOver],
    views: &BTreeMap<i64, CarrierView>,
    asked_at: DateTime<Utc>,
) -> Result<(), AppError> {
    for entry in handed_over {
        let Some(view) = views.get(&entry.profile.id).cloned() else { continue };
        let (work, profile_id, account) = (depot.clone(), entry.profile.id, entry.account.clone());
        let write = depot.write_again(move |conn| {
            let profile = profiles::lock(conn, profile_id)?;
            let now = conn.now()?;
            let profile = crate::observations::learn(conn, &work, profile, &view.seen, now)?;
            match view.bundles.as_deref() {
                Some(listed) => crate::bundles::observe(conn, &work, &account, profile, listed, asked_at),
                None => Ok(()),
            }
        });
        write.await?;
    }
    Ok(())
}

/// What is known of a profile now, and what the rule says of it.
fn judge(
    conn: &mut Conn<'_>,
    entry: &HandedOver,
    view: Option<&CarrierView>,
    asked_at: DateTime<Utc>,
) -> Result<(ProfileRecord, Vec<RefundReason>), AppError> {
    let profile = profiles::get(conn, entry.profile.id)?;
    let known = bundles::of_profile(conn, profile.id)?;
    let PoolSettings { sellable_statuses, .. } = pools::get(conn, profile.pool_id)?.settings;
    let fresh = view.is_some_and(|view| view.complete);
    let observed_at = if fresh { Some(asked_at) } else { last_observed(&profile, &known) };
    let mut records: Vec<BundleRecord> = known.iter().map(placed).collect();
    let listed = view.and_then(|view| view.bundles.as_deref()).unwrap_or_default();
    records.extend(listed.iter().filter(|reading| !is_known(&known, reading)).map(foreign));
    let record = ProfileRecord {
        iccid: profile.iccid.clone(),
        revealed_at: profile.revealed_at,
        sim: profile.sim.as_ref().map(|seen| seen.status),
        esim: profile.esim.as_ref().map(|seen| seen.status),
        eid_bound: profile.eid.is_some(),
        bundles: records,
        observed_at,
        fresh,
    };
    let told = refund::reasons(&ProfileEvidence {
        outcome: entry.outcome,
        revealed: record.revealed_at.is_some(),
        sim: record.sim,
        sold_as: sellable_statuses,
        esim: record.esim,
        eid_bound: record.eid_bound,
        bundles: record
            .bundles
            .iter()
            .map(|bundle| BundleEvidence { status: bundle.status, touched: bundle.used })
            .collect(),
        verified: record.fresh,
    });
    Ok((record, told))
}

/// The oldest of what the carrier said last: the evidence is as old as its oldest part.
fn last_observed(profile: &Profile, known: &[Bundle]) -> Option<DateTime<Utc>> {
    let line = profile.sim.as_ref().map(|seen| seen.received_at);
    let esim = profile.esim.as_ref().map(|seen| seen.received_at);
    let bundles = known.iter().filter_map(|bundle| bundle.fetched_at);
    line.into_iter().chain(esim).chain(bundles).min()
}

fn is_known(known: &[Bundle], reading: &BundleReading) -> bool {
    known.iter().any(|bundle| bundle.subscription_id.as_ref() == Some(&reading.subscription_id))
}

fn placed(bundle: &Bundle) -> BundleRecord {
    let touched = bundle.activated_at.is_some() || bundle.balances.iter().any(is_touched);
    BundleRecord {
        id: Some(bundle.id),
        product: bundle.product.clone(),
        status: bundle.status,
        activated_at: bundle.activated_at,
        used: BundleEvidence { status: bundle.status, touched }.used(),
    }
}

fn foreign(reading: &BundleReading) -> BundleRecord {
    let touched = reading.activated_at.is_some() || reading.balances.iter().any(is_touched);
    BundleRecord {
        id: None,
        product: reading.product.clone(),
        status: reading.status,
        activated_at: reading.activated_at,
        used: BundleEvidence { status: reading.status, touched }.used(),
    }
}

/// Whether some of it is gone.
fn is_touched(balance: &Balance) -> bool {
    matches!((balance.remaining, balance.total), (Some(remaining), Some(total)) if remaining < total)
}
