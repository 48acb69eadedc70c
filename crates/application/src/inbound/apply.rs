//! Applying kept events: as observations, weighed by their dates.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_domain::carrier::{EsimReading, LineReading};
use simdepot_domain::carrier_event::{
    BundleNews, CarrierEvent, CarrierEventStatus, LineChange, News, try_again_after,
};
use simdepot_domain::channel::AccountName;
use simdepot_domain::line::LineDetails;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::operation::OperationRequest;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::carrier_events::{self, TakenEvent};
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, StoreError, pools};

use crate::adoption::{self, Known, Met, Stranger};
use crate::batch::write_each;
use crate::bundle_sightings::{self, Told};
use crate::deliveries::keep_code;
use crate::depot::{Account, Depot};
use crate::error::AppError;
use crate::line_operations;
use crate::observations::{Sightings, learn_from};
use crate::operations::{self, Heard};
use crate::reconciliation::sweep;
use crate::stock_watch;

/// Events per step.
const BATCH: i64 = 64;
/// How long a worker has a taken event for itself.
const TURN: TimeDelta = TimeDelta::seconds(60);
/// When an event of an account that is not configured is looked at again: the operator may bring it back.
const NO_ACCOUNT: TimeDelta = TimeDelta::minutes(5);
/// Applies some events that are due. `false` when there was none.
///
/// # Errors
/// When the store cannot be asked. An event at work is then taken again later.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    // Looked for without a write transaction first: idle workers must not queue for SQLite's only writer.
    let due = depot.store.read(|conn| {
        let now = conn.now()?;
        carrier_events::any_due(conn, now)
    });
    if !due.await? {
        return Ok(false);
    }
    let taken = depot
        .store
        .write(|conn| {
            let now = conn.now()?;
            carrier_events::take_due(conn, now, now + TURN, BATCH)
        })
        .await?;
    let any = !taken.is_empty();
    for event in apply_lines(depot, taken).await? {
        let id = event.event_id.clone();
        match apply(depot, event.clone()).await {
            // Another worker has it, or somebody else kept changing the profile: it is taken again later.
            Err(error) if error.is_race() => {
                tracing::info!(event = id, %error, "a carrier event met a concurrent change");
            }
            Err(error) if error.is_outage() => return Err(error),
            // Whatever is wrong with this one, the others must not wait behind it.
            Err(error) => {
                tracing::error!(event = id, %error, "a carrier event cannot be applied");
                set_back(depot, event).await?;
            }
            Ok(()) => {}
        }
    }
    Ok(any)
}

/// Applies what is told of lines in one transaction: a job that tells many lines something hears of each. Returns the
/// events that are to be applied one by one.
async fn apply_lines(depot: &Depot, taken: Vec<TakenEvent>) -> Result<Vec<TakenEvent>, AppError> {
    let (mut lines, mut others) = (Vec::new(), Vec::new());
    for event in taken {
        let told = match depot.account(&event.account) {
            Ok(account) => read(depot, account, &event)?.filter(|told| matches!(told.news, News::Line(_))),
            Err(_) => None,
        };
        let profile = match &told {
            Some(told) => find_profile(depot, &event.account, told).await?,
            None => None,
        };
        match (told, profile) {
            (Some(told), Some(profile)) => lines.push((profile.id, event, told)),
            _ => others.push(event),
        }
    }
    if lines.len() < 2 {
        others.extend(lines.into_iter().map(|(_, event, _)| event));
        return Ok(others);
    }
    // Whoever locks several profiles does so in one order. What is told of one stays in the order in which it came.
    lines.sort_by_key(|(profile, ..)| *profile);
    let (work, kept) = (depot.clone(), lines.iter().map(|(_, event, _)| event.clone()).collect::<Vec<_>>());
    let written = write_each(depot, lines, move |conn, (profile, event, told)| {
        record(conn, &work, event, told, *profile)
    });
    for (event, written) in kept.into_iter().zip(written.await?) {
        if let Err(error) = written {
            tracing::debug!(event = event.event_id, %error, "a carrier event is applied by itself");
            others.push(event);
        }
    }
    Ok(others)
}

/// What an event says, when it can be read.
fn read(depot: &Depot, account: &Account, event: &TakenEvent) -> Result<Option<CarrierEvent>, AppError> {
    let journal = depot.store.vault().journal_key().map_err(StoreError::from)?;
    let body = journal.open(event.account.as_str(), &event.event_id, &event.body);
    Ok(body.ok().and_then(|body| account.carrier.event(&body).ok()))
}

/// Puts an event off that failed, or gives it up after its last try.
async fn set_back(depot: &Depot, event: TakenEvent) -> Result<(), AppError> {
    match try_again_after(event.tries) {
        Some(pause) => put_off(depot, event, pause).await,
        None => decide(depot, event, CarrierEventStatus::Unreadable).await,
    }
}

async fn apply(depot: &Depot, event: TakenEvent) -> Result<(), AppError> {
    let Ok(account) = depot.account(&event.account) else {
        tracing::warn!(account = %event.account, "events of an account that is not configured wait");
        return put_off(depot, event, NO_ACCOUNT).await;
    };
    let Some(told) = read(depot, account, &event)? else {
        return decide(depot, event, CarrierEventStatus::Unreadable).await;
    };
    if told.news == News::Nothing && told.activation_code.is_none() {
        return decide(depot, event, CarrierEventStatus::Ignored).await;
    }
    let Some(profile) = find_profile(depot, &event.account, &told).await? else {
        return match try_again_after(event.tries) {
            Some(pause) => put_off(depot, event, pause).await,
            None => {
                tracing::warn!(account = %event.account, event_type = event.event_type, "a carrier event names no SIM of the stock");
                decide(depot, event, CarrierEventStatus::Unmatched).await
            }
        };
    };
    if let News::Bundle(news) = &told.news {
        let heard = operations::hear_of_bundle(depot, &event.account, &profile, news).await?;
        if let Heard::OpenOperation { until: Some(until) } = heard {
            return depot.store.write(move |conn| Ok(carrier_events::put_off(conn, &event, until)?)).await;
        }
    }
    let (work, mut told) = (depot.clone(), told);
    let (again, known) = (event.clone(), told.clone());
    match depot.write_again(move |conn| record(conn, &work, &again, &known, profile.id)).await {
        // Whatever else it says is still true.
        Err(AppError::Store(StoreError::Unique { .. })) if told.activation_code.is_some() => {
            tracing::error!(iccid = %profile.iccid, "a carrier event gives a code that another profile has; left out");
            told.activation_code = None;
            let work = depot.clone();
            depot.write_again(move |conn| record(conn, &work, &event, &told, profile.id)).await
        }
        recorded => recorded,
    }
}

async fn put_off(depot: &Depot, event: TakenEvent, pause: TimeDelta) -> Result<(), AppError> {
    depot
        .store
        .write(move |conn| {
            let again = conn.now()? + pause;
            Ok(carrier_events::put_off(conn, &event, again)?)
        })
        .await
}

async fn decide(depot: &Depot, event: TakenEvent, status: CarrierEventStatus) -> Result<(), AppError> {
    depot.store.write(move |conn| finish(conn, &event, status, None)).await
}

fn finish(
    conn: &mut Conn<'_>,
    event: &TakenEvent,
    status: CarrierEventStatus,
    profile_id: Option<i64>,
) -> Result<(), AppError> {
    let now = conn.now()?;
    carrier_events::finish(conn, event, status, profile_id, now)?;
    metrics::counter!("simdepot_carrier_events_applied_total", "status" => status.to_string()).increment(1);
    Ok(())
}

/// The profile that an event is about: by its SIM, else by its number, else by the command that it names, and only in
/// pools of the account.
async fn find_profile(
    depot: &Depot,
    account: &AccountName,
    told: &CarrierEvent,
) -> Result<Option<Profile>, AppError> {
    let (account, iccid, msisdn) = (account.clone(), told.iccid.clone(), told.msisdn.clone());
    let transaction = match &told.news {
        News::Line(news) => news.transaction.clone(),
        News::Esim(..) | News::Bundle(_) | News::Nothing => None,
    };
    depot
        .store
        .read(move |conn| {
            if let Some(profile) =
                iccid.as_ref().map(|iccid| profiles::find(conn, iccid)).transpose()?.flatten()
            {
                let owner = pools::get(conn, profile.pool_id)?.settings.carrier_account;
                return Ok(Some(profile).filter(|_| owner == account));
            }
            let msisdn = msisdn.filter(|_| iccid.is_none());
            if let Some(found) =
                msisdn.map(|msisdn| of_number(conn, &account, &msisdn)).transpose()?.flatten()
            {
                return Ok(Some(found));
            }
            let named =
                transaction.map(|id| line_operations::named(conn, &account, &id)).transpose()?.flatten();
            Ok(named.map(|operation| profiles::get(conn, operation.profile_id)).transpose()?)
        })
        .await
}

/// The line that has a number now: it may be given again once its line has ended.
fn of_number(
    conn: &mut Conn<'_>,
    account: &AccountName,
    msisdn: &Msisdn,
) -> Result<Option<Profile>, AppError> {
    let mut with_number = profiles::of_msisdn(conn, account, msisdn)?;
    if with_number.len() > 1 {
        with_number.retain(may_have_number);
    }
    Ok((with_number.len() == 1).then(|| with_number.pop()).flatten())
}

fn may_have_number(profile: &Profile) -> bool {
    let ended = matches!(
        profile.sim.as_ref().map(|seen| seen.status),
        Some(SimStatus::Terminated | SimStatus::Ceased)
    );
    !ended && profile.stock_status != StockStatus::Retired
}

/// Applies an event, in one transaction with its end.
fn record(
    conn: &mut Conn<'_>,
    depot: &Depot,
    event: &TakenEvent,
    told: &CarrierEvent,
    profile_id: i64,
) -> Result<(), AppError> {
    let now = depot.now();
    let profile = profiles::lock(conn, profile_id)?;
    let ends = ends(conn, &event.account, &profile, told)?;
    let seen = sightings(&profile, told, ends.is_some(), event.received_at);
    let mut profile = learn_from(conn, depot, profile, &seen, Source::Event, now)?;
    let is_its_own = told.iccid.as_ref().is_none_or(|iccid| iccid.key() == profile.iccid.key());
    if let Some(code) = told.activation_code.as_ref().filter(|_| is_its_own) {
        // Another device gets the profile with a code of its own.
        let reissued =
            ends.is_some_and(|ended| matches!(ended.request, OperationRequest::ChangeDevice { .. }));
        profile = keep_code(conn, depot, profile, (code, reissued), now)?;
    }
    let mut has_bundle = false;
    if let News::Line(news) = &told.news {
        let heard =
            line_operations::hear(conn, depot, &event.account, profile.id, (news, told.iccid.as_ref()))?;
        profile = profiles::get(conn, profile.id)?;
        // Nothing follows it up, and by itself it proves nothing: the line is read soon, unless it stands so already.
        let known = profile.sim.as_ref().map(|seen| seen.status);
        let tells_more =
            news.transaction.is_none() || (news.sim_status.is_some() && news.sim_status != known);
        if news.hearsay && !heard && tells_more {
            sweep::look_soon(conn, profile.id)?;
        }
    }
    if let News::Bundle(news) = &told.news {
        has_bundle = true;
        if !hear_bundle(conn, depot, event, &mut profile, news, told.at, now)? {
            return Ok(());
        }
    }
    stock_watch::watch(conn, depot, &mut profile, has_bundle, now)?;
    finish(conn, event, CarrierEventStatus::Applied, Some(profile_id))
}

/// The command on the profile whose good end an event tells.
fn ends(
    conn: &mut Conn<'_>,
    account: &AccountName,
    profile: &Profile,
    told: &CarrierEvent,
) -> Result<Option<Operation>, AppError> {
    let News::Line(news) = &told.news else {
        return Ok(None);
    };
    let Some(transaction) = news.transaction.as_ref().filter(|_| news.failed.is_none()) else {
        return Ok(None);
    };
    if news.change != LineChange::CommandEnded {
        return Ok(None);
    }
    let named = line_operations::named(conn, account, transaction)?;
    Ok(named.filter(|operation| operation.profile_id == profile.id))
}

/// Applies news of a bundle. `false` when the event was put off: an operation is open that may have placed it.
fn hear_bundle(
    conn: &mut Conn<'_>,
    depot: &Depot,
    event: &TakenEvent,
    profile: &mut Profile,
    news: &BundleNews,
    at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    // In this order: an operation that ends in between has made its bundle known by then.
    let open = simdepot_persistence::operations::open_sale_of(conn, profile.id)?.is_some();
    let told = Told::news(news, at, event.received_at);
    let known = known_or_named(conn, depot, event, profile, news, now)?;
    if let Some(bundle) = known {
        if bundle.profile_id == profile.id {
            bundle_sightings::tell(conn, depot, &profile.iccid, &bundle, &told, now)?;
            let known = Known { bundle: &bundle, reference: news.reference.as_deref(), status: news.status };
            adoption::settle(conn, depot, profile, known, now)?;
            // It says that something was used up to a threshold, and not how much is left: the balances are read soon.
            if news.status.is_none() {
                sweep::look_soon(conn, profile.id)?;
            }
        } else {
            tracing::warn!(bundle = %bundle.id, "the carrier tells of a bundle on another SIM than ours");
        }
        return Ok(true);
    }
    if open {
        let Some(pause) = try_again_after(event.tries) else {
            return Ok(true);
        };
        let again = conn.now()? + pause;
        carrier_events::put_off(conn, event, again)?;
        return Ok(false);
    }
    let stranger = Stranger {
        subscription_id: &news.subscription_id,
        product: news.product.as_deref(),
        reference: news.reference.as_deref(),
        told: &told,
    };
    if adoption::meet(conn, depot, &event.account, profile, stranger, now)? == Met::MayBeUnnamed {
        sweep::look_soon(conn, profile.id)?;
    }
    Ok(true)
}

/// The bundle that an event is about: by its id, or by the reference of an operation that a person called done without
/// naming it.
fn known_or_named(
    conn: &mut Conn<'_>,
    depot: &Depot,
    event: &TakenEvent,
    profile: &Profile,
    news: &BundleNews,
    now: DateTime<Utc>,
) -> Result<Option<Bundle>, AppError> {
    let id = news.subscription_id.as_str();
    if let Some(known) = bundles::of_subscription(conn, &event.account, id)? {
        return Ok(Some(known));
    }
    let reference = news.reference.as_deref();
    if let Some(unnamed) = operations::unnamed_by(conn, &event.account, profile.id, reference)? {
        operations::name(conn, depot, profile, &unnamed, id, now)?;
    }
    Ok(bundles::of_subscription(conn, &event.account, id)?)
}

/// What an event shows, in the form that reads have.
fn sightings(
    profile: &Profile,
    told: &CarrierEvent,
    ends_command: bool,
    received_at: DateTime<Utc>,
) -> Sightings {
    let observed_at = told.at.unwrap_or(received_at);
    let sim_status = match &told.news {
        News::Line(news) if news.failed.is_none() && !news.hearsay => news.sim_status,
        News::Line(_) | News::Esim(..) | News::Bundle(_) | News::Nothing => None,
    };
    let msisdn = match &told.news {
        // Whoever tells of the end of our own command knows the line's number; a delivery file may have had another.
        News::Line(news) if news.hearsay => {
            let same_sim = told.iccid.as_ref().is_none_or(|iccid| iccid.key() == profile.iccid.key());
            // Of a line that somebody has, a number fills a gap: without one it may not even be readable.
            let in_use = profile.stock_status == StockStatus::Allocated && told.iccid.is_some();
            let fills_gap = in_use && profile.msisdn.is_none() && news.failed.is_none();
            told.msisdn.clone().filter(|_| same_sim && (ends_command || fills_gap))
        }
        // A number fills a gap. It does not replace one: the event may be older than a swap.
        News::Line(_) | News::Esim(..) | News::Bundle(_) | News::Nothing => {
            told.msisdn.clone().filter(|_| profile.msisdn.is_none())
        }
    };
    let line = (sim_status.is_some() || msisdn.is_some()).then(|| LineReading {
        msisdn,
        sim_status,
        observed_at,
        dated_by_carrier: told.at.is_some(),
        source: Source::Event,
        details: LineDetails::default(),
    });
    let esim = match &told.news {
        News::Esim(status, eid) => Some(EsimReading {
            status: Some(*status),
            status_date: told.at,
            eid: eid.clone(),
            activation_code: None,
            observed_at: received_at,
        }),
        News::Line(_) | News::Bundle(_) | News::Nothing => None,
    };
    Sightings { line, esim, ..Sightings::default() }
}
