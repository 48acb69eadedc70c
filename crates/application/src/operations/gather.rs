//! What must be known before a product is sent: the line, the eSIM, and the subscriptions already there.

use std::time::Duration;

use simdepot_domain::bundle::OrderType;
use simdepot_domain::carrier::{
    BundleReading, Carrier, Concern, EsimReading, LineReading, ReadError, Refusal, Unavailable,
};
use simdepot_domain::line::LineDetails;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::operation::OperationRequest;
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::resolution::Doubt;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::operations::{Lease, Operation};
use simdepot_persistence::pools;
use simdepot_persistence::profiles::{self, Profile};

use super::cancel::order_of;
use super::conclude::{self, Finding};
use crate::depot::{Account, Depot};
use crate::error::AppError;
use crate::observations::Sightings;

/// How often a profile that cannot be read is put off on its first sale, before another is tried.
const UNREADABLE: u32 = 4;

/// A product ready to be sent.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) account: Account,
    pub(super) profile: Profile,
    pub(super) seen: Sightings,
    pub(super) msisdn: Msisdn,
    pub(super) product: String,
    pub(super) order_type: OrderType,
    /// The caller insists on the order type: the other one is not tried.
    pub(super) insisted: bool,
    /// `None` when the carrier does not know the line.
    pub(super) before_set: Option<Vec<String>>,
}

/// What follows from what was read.
#[derive(Debug)]
pub(super) enum Decision {
    /// Send.
    Send(Box<Plan>),
    /// An earlier sending was taken: nothing is to be sent.
    Taken(Box<conclude::Weighed>),
    /// Try again later; nothing was sent.
    Defer(Unavailable),
    /// An earlier sending may have been taken after all: nothing is sent before that is known.
    Doubt(Doubt),
    /// It cannot be done; nothing was sent.
    Refuse(Refusal, Box<Sightings>),
    /// This profile cannot be sold for the first time; another takes its place.
    Substitute(QuarantineReason, Box<Sightings>),
    /// Its order is being taken back: it is not sent any more.
    Cancel,
}

/// An end of the reading that is not a plan.
enum Stop {
    Now(Decision),
    /// The carrier's answer about this profile makes no sense.
    Unreadable(String),
    Error(AppError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Now(match error {
            ReadError::Unavailable(unavailable) => Decision::Defer(unavailable),
            ReadError::Unreadable { what } => return Self::Unreadable(what),
            ReadError::Denied { code } => {
                let detail = Some("the account may not read what must be known before a sale".to_owned());
                Decision::Refuse(Refusal { code, detail, concerns: Concern::Account }, Box::default())
            }
        })
    }
}

impl From<AppError> for Stop {
    fn from(error: AppError) -> Self {
        Self::Error(error)
    }
}

/// Reads what must be known and decides.
///
/// # Errors
/// When the store cannot be asked.
pub(super) async fn gather(depot: &Depot, lease: &Lease) -> Result<Decision, AppError> {
    let operation = &lease.operation;
    let asked = operation.clone();
    let (profile, pool, cancelled) = depot
        .store
        .read(move |conn| {
            let profile = profiles::get(conn, asked.profile_id)?;
            let pool = pools::get(conn, profile.pool_id)?;
            let order = order_of(conn, &asked)?;
            let cancelled = order.is_some_and(|order| order.cancelling_since.is_some());
            Ok::<_, AppError>((profile, pool.settings, cancelled))
        })
        .await?;
    if cancelled && !operation.answer_lost {
        return Ok(Decision::Cancel);
    }
    let account = match depot.account(&operation.carrier_account) {
        Ok(account) => account.clone(),
        // The operator may bring the account back: nothing is lost by waiting.
        Err(error) => {
            return Ok(Decision::Defer(Unavailable { reason: error.to_string(), retry_after_ms: None }));
        }
    };
    // The lease ends while reads are slow; then another worker takes over and this one sends nothing.
    let budget = depot.lease_of(&account).to_std().unwrap_or_default().saturating_sub(account.timeout);
    let reading = async {
        if cancelled {
            return Err(look_once_more(depot, &account, &profile, operation).await);
        }
        read(depot, account, profile, &pool, operation).await
    };
    match tokio::time::timeout(budget.max(Duration::from_secs(1)), Box::pin(reading)).await {
        Ok(Ok(plan)) => Ok(Decision::Send(Box::new(plan))),
        Ok(Err(Stop::Now(decision))) => Ok(decision),
        Ok(Err(Stop::Unreadable(what))) => Ok(unreadable(operation, what)),
        Ok(Err(Stop::Error(error))) => Err(error),
        Err(_) => Ok(Decision::Defer(Unavailable {
            reason: "reads took too long".to_owned(),
            retry_after_ms: None,
        })),
    }
}

/// What is not sent again any more, but was sent: it ends as what the carrier has made of it, if it has made anything.
async fn look_once_more(depot: &Depot, account: &Account, profile: &Profile, operation: &Operation) -> Stop {
    let carrier = account.carrier.as_ref();
    let look = async {
        let msisdn = match &profile.msisdn {
            Some(msisdn) => Some(msisdn.clone()),
            None => read_line(carrier, profile).await?.and_then(|line| line.msisdn),
        };
        if let Some(msisdn) = msisdn {
            read_inventory(depot, carrier, &msisdn, operation).await?;
        }
        Ok(())
    };
    look.await.err().unwrap_or(Stop::Now(Decision::Cancel))
}

/// An answer that makes no sense may do so later. One about a profile that is on its first sale is not waited for to
/// the end: it would be the next order's profile, too.
fn unreadable(operation: &Operation, what: String) -> Decision {
    if operation.request.is_first_sale() && operation.deferrals >= UNREADABLE {
        let code = "carrier_answer_unreadable".to_owned();
        let refusal = Refusal { code, detail: Some(what), concerns: Concern::Request };
        return Decision::Refuse(refusal, Box::default());
    }
    Decision::Defer(Unavailable { reason: what, retry_after_ms: None })
}

async fn read(
    depot: &Depot,
    account: Account,
    profile: Profile,
    pool: &PoolSettings,
    operation: &Operation,
) -> Result<Plan, Stop> {
    let OperationRequest::PlaceBundle { product, order_type: insisted, first_sale } = &operation.request
    else {
        return Err(Stop::Error(AppError::Internal(format!("operation {} sells nothing", operation.id))));
    };
    let carrier = account.carrier.as_ref();
    // Before anything else: an earlier sending may have been taken and is listed only now. That must not wait for a line
    // that cannot be read.
    let early = match &profile.msisdn {
        Some(msisdn) if operation.answer_lost => {
            Some(read_inventory(depot, carrier, msisdn, operation).await?)
        }
        _ => None,
    };
    let mut seen = Sightings { line: read_line(carrier, &profile).await?, ..Sightings::default() };
    let msisdn = seen.line.as_ref().and_then(|line| line.msisdn.clone()).or_else(|| profile.msisdn.clone());
    let inventory = match (&msisdn, early) {
        (Some(_), Some(listed)) if msisdn == profile.msisdn => listed,
        (Some(msisdn), _) => read_inventory(depot, carrier, msisdn, operation).await?,
        (None, _) => None,
    };
    if *first_sale {
        seen.esim = read_esim(carrier, &profile).await?;
        check_first_sale(pool, &profile, &seen, inventory.is_some())?;
        check_unused(operation, inventory.as_deref().unwrap_or_default(), &seen)?;
    }
    let Some(msisdn) = msisdn else {
        return Err(no_number(*first_sale, seen));
    };
    let status = line_status(&profile, &seen);
    let order_type = match choose(*insisted, operation.refused_type, status, *first_sale) {
        Ok(order_type) => order_type,
        Err(refusal) => return Err(Stop::Now(Decision::Refuse(refusal, Box::new(seen)))),
    };
    let before_set = inventory.as_deref().map(known_subscriptions);
    let (product, insisted) = (product.clone(), insisted.is_some());
    Ok(Plan { account, profile, seen, msisdn, product, order_type, insisted, before_set })
}

/// The line; an account that may not read it goes by what we last knew.
async fn read_line(carrier: &dyn Carrier, profile: &Profile) -> Result<Option<LineReading>, Stop> {
    match carrier.line(&profile.line_key()).await {
        Ok(line) => Ok(line),
        Err(ReadError::Denied { code }) => {
            tracing::debug!(iccid = %profile.iccid, code, "line cannot be read; going by the last known state");
            Ok(Some(last_known(profile)))
        }
        Err(error) => Err(error.into()),
    }
}

fn last_known(profile: &Profile) -> LineReading {
    let known = profile.sim.as_ref();
    LineReading {
        msisdn: profile.msisdn.clone(),
        sim_status: known.map(|seen| seen.status),
        observed_at: known.map_or(profile.created_at, |seen| seen.observed_at),
        dated_by_carrier: known.is_some_and(|seen| seen.dated_by_carrier),
        source: known.map_or(Source::Import, |seen| seen.source),
        details: LineDetails::default(),
    }
}

async fn read_esim(carrier: &dyn Carrier, profile: &Profile) -> Result<Option<EsimReading>, Stop> {
    if profile.form_factor == FormFactor::Psim {
        return Ok(None);
    }
    Ok(carrier.esim(&profile.iccid).await?)
}

/// A line that is not found may only be missing in an index that lags (Transatel's SIM Search). When the carrier knows
/// the SIM by its eSIM record or its bundles, the last known state stands.
fn check_first_sale(
    pool: &PoolSettings,
    profile: &Profile,
    seen: &Sightings,
    has_list: bool,
) -> Result<(), Stop> {
    let substitute = |reason| Stop::Now(Decision::Substitute(reason, Box::new(seen.clone())));
    let known = seen.esim.is_some() || has_list;
    let line = seen.line.clone().or_else(|| known.then(|| last_known(profile)));
    let line = line.ok_or_else(|| substitute(QuarantineReason::UnknownToCarrier))?;
    pool.check_first_sale(profile.form_factor, &line, seen.esim.as_ref()).map_err(substitute)
}

fn no_number(first_sale: bool, seen: Sightings) -> Stop {
    let seen = Box::new(seen);
    if first_sale {
        return Stop::Now(Decision::Substitute(QuarantineReason::LineNotSellable, seen));
    }
    let detail = Some("the line has no number yet".to_owned());
    let refusal = Refusal { code: "line_without_number".to_owned(), detail, concerns: Concern::LineStatus };
    Stop::Now(Decision::Refuse(refusal, seen))
}

/// The line's status as read, else as last known.
fn line_status(profile: &Profile, seen: &Sightings) -> Option<SimStatus> {
    let read = seen.line.as_ref().and_then(|line| line.sim_status);
    read.or_else(|| profile.sim.as_ref().map(|known| known.status))
}

/// How the product is placed: as the caller insists; else the type that was not refused; else by the line's status.
/// A first sale on a line that nobody knows anything of is a preload: that is how profiles are delivered.
fn choose(
    insisted: Option<OrderType>,
    refused: Option<OrderType>,
    status: Option<SimStatus>,
    first_sale: bool,
) -> Result<OrderType, Refusal> {
    if let Some(order_type) = insisted.or(refused.map(OrderType::other)) {
        return Ok(order_type);
    }
    let default = if first_sale { OrderType::Preload } else { OrderType::Subscribe };
    let Some(status) = status else {
        return Ok(default);
    };
    OrderType::for_line(status).ok_or_else(|| Refusal {
        code: "line_not_eligible".to_owned(),
        detail: Some(format!("a line that is {status} takes no product")),
        concerns: Concern::LineStatus,
    })
}

/// A fresh line carries nothing. What an earlier sending of this operation may have put there was weighed before.
fn check_unused(operation: &Operation, listed: &[BundleReading], seen: &Sightings) -> Result<(), Stop> {
    let carries = listed.iter().any(|bundle| !bundle.status.is_final());
    if !operation.answer_lost && carries {
        return Err(Stop::Now(Decision::Substitute(QuarantineReason::SeenInUse, Box::new(seen.clone()))));
    }
    Ok(())
}

/// Everything on the line. When it shows what an earlier sending has made, or leaves that open, it is not sent again.
async fn read_inventory(
    depot: &Depot,
    carrier: &dyn Carrier,
    msisdn: &Msisdn,
    operation: &Operation,
) -> Result<Option<Vec<BundleReading>>, Stop> {
    let inventory = carrier.bundles(msisdn).await?;
    if operation.first_sent_at.is_some() {
        let (listed, operation) = (inventory.clone(), operation.clone());
        let found = depot
            .store
            .read(move |conn| conclude::weigh(conn, &operation, listed.as_deref()))
            .await
            .map_err(Stop::Error)?;
        match found {
            Finding::Taken(found) => return Err(Stop::Now(Decision::Taken(found))),
            Finding::Doubtful(doubt) => return Err(Stop::Now(Decision::Doubt(doubt))),
            Finding::Nothing => {}
        }
    }
    Ok(inventory)
}

fn known_subscriptions(bundles: &[BundleReading]) -> Vec<String> {
    bundles.iter().map(|bundle| bundle.subscription_id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::VariantArray;

    #[test]
    fn the_order_type_fits_the_line() {
        let choose = |refused, status, first_sale| choose(None, refused, status, first_sale).ok();
        assert_eq!(choose(None, Some(SimStatus::Preactivated), true), Some(OrderType::Preload));
        assert_eq!(choose(None, Some(SimStatus::Active), false), Some(OrderType::Subscribe));
        assert_eq!(choose(None, None, true), Some(OrderType::Preload));
        assert_eq!(choose(None, None, false), Some(OrderType::Subscribe));
        // Once refused, the other one is tried whatever a lagging read says.
        assert_eq!(
            choose(Some(OrderType::Preload), Some(SimStatus::Preactivated), true),
            Some(OrderType::Subscribe)
        );
        for status in SimStatus::VARIANTS {
            let takes = matches!(status, SimStatus::Preactivated | SimStatus::Active);
            assert_eq!(choose(None, Some(*status), false).is_some(), takes, "{status}");
        }
        let insisted = super::choose(Some(OrderType::Preload), None, Some(SimStatus::Active), false);
        assert_eq!(insisted, Ok(OrderType::Preload));
    }
}
