//! What a line uses: what is left of its bundles, and what was used by interval where the carrier counts that.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::bundle::{Balance, BundleStatus};
use simdepot_domain::carrier::{
    BundleReading, Capability, ReadError, UNSUPPORTED, UsageInterval, UsageQuery, UsageReading,
};
use simdepot_domain::channel::AccountName;
use simdepot_domain::iccid::Iccid;
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::profiles::Profile;

use crate::bundles::record;
use crate::caller::Caller;
use crate::depot::{Account, Depot};
use crate::error::{AppError, FieldError};
use crate::lines;

/// The period when the caller does not say.
const PERIOD: TimeDelta = TimeDelta::days(30);
/// Longest period.
const LONGEST: TimeDelta = TimeDelta::days(366);
/// Why there are no intervals, where the adapter has no source for them.
const NOT_SET: &str = "usage by interval is not switched on for this carrier account: set `network_usage` in its \
                       `[carriers.paths]`";
/// Why there are none from a carrier that does not count them at all.
const NOT_COUNTED: &str = "this carrier does not count usage by interval";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct AskUsage {
    /// From this moment; 30 days before the end when absent.
    pub from: Option<DateTime<Utc>>,
    /// To this moment, not included; now when absent.
    pub to: Option<DateTime<Utc>>,
    /// By which interval.
    pub by: UsageInterval,
}

/// What is left of one bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleLeft {
    /// The carrier's product id.
    pub product: String,
    /// The carrier's id of it.
    pub subscription_id: Option<String>,
    /// Where it stands.
    pub status: BundleStatus,
    /// What is left; empty before the start.
    pub balances: Vec<Balance>,
    /// Before the start the last moment to start, then the end.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What was used by interval, or why that is not known.
pub type Intervals = Result<Vec<UsageReading>, String>;

/// What a line uses.
#[derive(Debug, Clone)]
pub struct LineUsage {
    /// The SIM.
    pub iccid: Iccid,
    /// From this moment.
    pub from: DateTime<Utc>,
    /// To this moment, not included.
    pub to: DateTime<Utc>,
    /// By which interval.
    pub by: UsageInterval,
    /// Whether the bundles were read now; otherwise they are what was known.
    pub is_live: bool,
    /// What is left.
    pub bundles: Vec<BundleLeft>,
    /// What was used.
    pub intervals: Intervals,
}

/// What a line of any profile uses.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] for a period that is none, or too long; [`AppError::Unsupported`] when
/// the carrier has neither bundles nor usage.
pub async fn get(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
    asked: AskUsage,
) -> Result<LineUsage, AppError> {
    let (from, to) = period(depot.now(), asked)?;
    let (profile, name, account) = lines::find(depot, caller, iccid).await?;
    if !account.has(Capability::Products) {
        account.require(Capability::Usage)?;
    }
    let query =
        UsageQuery { iccid: profile.iccid.clone(), msisdn: profile.msisdn.clone(), from, to, by: asked.by };
    let usage = lines::ask(depot, &account, "usage", account.carrier.usage(&query));
    let (bundles, usage) = tokio::join!(bundles_of(depot, name, &account, &profile), usage);
    let (bundles, is_live) = bundles?;
    let intervals = usage.map_err(|error| why_not(&account, &error));
    Ok(LineUsage { iccid: profile.iccid, from, to, by: asked.by, is_live, bundles, intervals })
}

fn period(now: DateTime<Utc>, asked: AskUsage) -> Result<(DateTime<Utc>, DateTime<Utc>), AppError> {
    let to = asked.to.unwrap_or(now);
    let from = asked.from.unwrap_or(to - PERIOD);
    if from >= to {
        return Err(AppError::invalid("?from", "range", "must be before `to`"));
    }
    if to - from > LONGEST {
        let message = format!("must be at most {} days before `to`", LONGEST.num_days());
        return Err(AppError::Invalid(vec![FieldError::new("?from", "range", message)]));
    }
    Ok((from, to))
}

fn why_not(account: &Account, error: &ReadError) -> String {
    match error {
        ReadError::Denied { .. } if !account.has(Capability::Usage) => NOT_COUNTED.to_owned(),
        ReadError::Denied { code } if code == UNSUPPORTED => NOT_SET.to_owned(),
        ReadError::Denied { code } => format!("the carrier does not let this account read usage: {code}"),
        ReadError::Unavailable(_) | ReadError::Unreadable { .. } => {
            tracing::warn!(%error, "usage cannot be read");
            "the carrier cannot be asked now".to_owned()
        }
    }
}

/// Everything on the line, as the carrier lists it now; what is in the books when it cannot be asked. Whether it was asked.
async fn bundles_of(
    depot: &Depot,
    name: AccountName,
    account: &Account,
    profile: &Profile,
) -> Result<(Vec<BundleLeft>, bool), AppError> {
    if let Some(msisdn) = profile.msisdn.as_ref().filter(|_| account.has(Capability::Products)) {
        let asked_at = depot.now();
        match lines::ask(depot, account, "bundles", account.carrier.bundles(msisdn)).await {
            Ok(Some(listed)) => {
                let left = listed.iter().cloned().map(BundleLeft::from).collect();
                // What was listed goes into the books. When that fails it is told all the same.
                if let Err(error) = record(depot, name, profile.id, listed, asked_at).await {
                    tracing::warn!(iccid = %profile.iccid, %error, "balances that were read cannot be recorded");
                }
                return Ok((left, true));
            }
            Ok(None) => tracing::info!(iccid = %profile.iccid, "the carrier does not know the line's number"),
            Err(error) => tracing::warn!(iccid = %profile.iccid, %error, "balances cannot be read"),
        }
    }
    let id = profile.id;
    let known = depot.store.read(move |conn| bundles::of_profile(conn, id)).await?;
    Ok((known.into_iter().map(BundleLeft::from).collect(), false))
}

impl From<BundleReading> for BundleLeft {
    fn from(reading: BundleReading) -> Self {
        Self {
            product: reading.product,
            subscription_id: Some(reading.subscription_id),
            status: reading.status,
            balances: reading.balances,
            expires_at: reading.expires_at,
        }
    }
}

impl From<Bundle> for BundleLeft {
    fn from(bundle: Bundle) -> Self {
        Self {
            product: bundle.product,
            subscription_id: bundle.subscription_id,
            status: bundle.status,
            balances: bundle.balances,
            expires_at: bundle.expires_at,
        }
    }
}
