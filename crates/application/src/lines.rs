//! Reading one line for a person: how it stands at the carrier now, and what its SIM card is.

use std::future::Future;

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::{LineReading, ReadError, SimCard, Unavailable};
use simdepot_domain::channel::AccountName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::LineDetails;
use simdepot_domain::observation::Source;
use simdepot_persistence::profiles::{self, Profile};
use simdepot_persistence::{Conn, lines, pools};

use crate::caller::Caller;
use crate::depot::{Account, Depot};
use crate::error::AppError;
use crate::observations::{self, Sightings};
use crate::profiles::{existing, owned};
use crate::stock_watch;

/// When to come back to reads that too many others make.
const COME_BACK_MS: u64 = 2_000;

/// A line as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineView {
    /// Its SIM, with number and status.
    pub profile: Profile,
    /// The rest.
    pub details: LineDetails,
    /// When that was so: the carrier's date, or the time of its reply; `None` when nothing was ever told.
    pub observed_at: Option<DateTime<Utc>>,
    /// Who said so.
    pub source: Option<Source>,
}

/// A profile whose line the caller may work with, and the carrier account that it is of. A storefront's key reaches its
/// own channel's; one that is made for lines or the stock all of them.
pub(crate) fn operable(
    conn: &mut Conn<'_>,
    caller: &Caller,
    iccid: &Iccid,
) -> Result<(Profile, AccountName), AppError> {
    let profile = if caller.works_all_lines() { existing(conn, iccid)? } else { owned(conn, caller, iccid)? };
    let account = pools::get(conn, profile.pool_id)?.settings.carrier_account;
    Ok((profile, account))
}

/// As [`operable`], in a read of its own.
pub(crate) async fn find(
    depot: &Depot,
    caller: &Caller,
    iccid: Iccid,
) -> Result<(Profile, AccountName, Account), AppError> {
    let caller = caller.clone();
    let (profile, account) = depot.store.read(move |conn| operable(conn, &caller, &iccid)).await?;
    let at_work = depot.account(&account)?.clone();
    Ok((profile, account, at_work))
}

/// Reads something of a line at its carrier, in a turn of its own: all calls of an account share its rate, and these must
/// not keep the sales waiting.
pub(crate) async fn ask<T>(
    depot: &Depot,
    account: &Account,
    what: &'static str,
    read: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    let answer = in_turn(depot, account, read).await;
    let result = result_of(&answer);
    metrics::counter!("simdepot_line_reads_total", "what" => what, "result" => result).increment(1);
    answer
}

/// As [`ask`], for what is counted elsewhere.
pub(crate) async fn in_turn<T>(
    depot: &Depot,
    account: &Account,
    read: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    let unavailable = |reason: &str, retry_after_ms| {
        ReadError::Unavailable(Unavailable { reason: reason.to_owned(), retry_after_ms })
    };
    match depot.carrier_reads.lines().await {
        None => Err(unavailable("too many lines are being read", Some(COME_BACK_MS))),
        // An adapter has its own time-out for each of its calls; this one only guards against one that hangs.
        Some(_turn) => match tokio::time::timeout(account.timeout * 3, read).await {
            Ok(answer) => answer,
            Err(_) => Err(unavailable("the carrier did not answer in time", None)),
        },
    }
}

/// How a read ended, for the metrics.
pub(crate) fn result_of<T>(answer: &Result<T, ReadError>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(ReadError::Denied { .. }) => "denied",
        Err(ReadError::Unavailable(_)) => "unavailable",
        Err(ReadError::Unreadable { .. }) => "unreadable",
    }
}

/// How a line stands: read at the carrier and learned. Of a carrier that does not let its lines be read, what was last
/// known.
///
/// # Errors
/// [`AppError::NotFound`], also when the carrier does not know the SIM; [`AppError::CarrierUnavailable`].
pub async fn read(depot: &Depot, caller: &Caller, iccid: Iccid) -> Result<LineView, AppError> {
    let (profile, _, account) = find(depot, caller, iccid).await?;
    let answer = ask(depot, &account, "line", account.carrier.line(&profile.line_key())).await;
    match answer {
        Ok(Some(reading)) => learn(depot, &profile, reading).await,
        Ok(None) => Err(AppError::NotFound { what: "line at the carrier" }),
        Err(ReadError::Denied { code }) => {
            tracing::debug!(iccid = %profile.iccid, code, "the carrier does not let its lines be read");
            depot.store.read(move |conn| known(conn, profile)).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn learn(depot: &Depot, profile: &Profile, reading: LineReading) -> Result<LineView, AppError> {
    let (work, id) = (depot.clone(), profile.id);
    let learned = depot.write_again(move |conn| {
        let seen = Sightings { line: Some(reading.clone()), ..Sightings::default() };
        let profile = profiles::lock(conn, id)?;
        let mut profile = observations::learn(conn, &work, profile, &seen, work.now())?;
        stock_watch::watch(conn, &work, &mut profile, false, work.now())?;
        let view = known(conn, profile)?;
        // What was told now is of now, also where it only confirms what was known; what is newer still stands.
        // A status that cannot be understood tells nothing of how the line stands: what is known keeps its own date.
        let newer =
            reading.sim_status.is_some() && view.observed_at.is_none_or(|at| at <= reading.observed_at);
        let told = (Some(reading.observed_at), Some(reading.source));
        let (observed_at, source) = if newer { told } else { (view.observed_at, view.source) };
        Ok(LineView { observed_at, source, ..view })
    });
    learned.await
}

/// What is known of a line, with the newest word on it.
fn known(conn: &mut Conn<'_>, profile: Profile) -> Result<LineView, AppError> {
    let line = lines::find(conn, profile.id)?;
    let words = [
        line.as_ref().map(|line| (line.observed_at, line.source)),
        profile.sim.map(|seen| (seen.observed_at, seen.source)),
    ];
    let newest = words.into_iter().flatten().max_by_key(|(at, _)| *at);
    Ok(LineView {
        details: line.map(|line| line.details).unwrap_or_default(),
        observed_at: newest.map(|(at, _)| at),
        source: newest.map(|(_, source)| source),
        profile,
    })
}

/// What a profile's SIM card is, as the carrier has it on record, with its codes.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Unsupported`] when the carrier has no such record for the account;
/// [`AppError::CarrierUnavailable`].
pub async fn sim_card(depot: &Depot, caller: &Caller, iccid: Iccid) -> Result<(Profile, SimCard), AppError> {
    let (profile, _, account) = find(depot, caller, iccid).await?;
    let card = read_card(depot, &account, &profile).await?;
    Ok((profile, card))
}

pub(crate) async fn read_card(
    depot: &Depot,
    account: &Account,
    profile: &Profile,
) -> Result<SimCard, AppError> {
    match ask(depot, account, "sim_card", account.carrier.sim_card(&profile.iccid)).await {
        Ok(Some(card)) => Ok(card),
        Ok(None) => Err(AppError::NotFound { what: "SIM card at the carrier" }),
        Err(ReadError::Denied { code }) => Err(AppError::Unsupported { code }),
        Err(error) => Err(error.into()),
    }
}
