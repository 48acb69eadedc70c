//! The accounts' fleets, page by page: what the carriers' search indexes say of every line, and which lines are not in
//! the stock at all.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::{Capability, FleetPage, LineReading, ReadError};
use simdepot_domain::channel::AccountName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ReconciliationId;
use simdepot_domain::reconciliation::{Cursor, PAGE_TRIES, ReconciliationCounts};
use simdepot_persistence::lines::{self, Line};
use simdepot_persistence::pools;
use simdepot_persistence::profiles::{self, Profile};

use super::Progress;
use super::compare::{moved_since, open_drifts};
use crate::depot::Depot;
use crate::error::AppError;
use crate::imports::{self, Adoption};
use crate::line_learning;
use crate::observations::{self, Sightings};
use crate::stock_watch;

/// SIMs looked up at a time.
const LOOKUP: usize = 500;

/// What becomes of lines that the stock lacks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adopting {
    /// The reconciliation.
    pub(super) by: ReconciliationId,
    /// The pool that takes those of its account in.
    pub(super) pool_id: Option<i64>,
}

/// Reads one page of one account's fleet.
///
/// # Errors
/// When the store cannot be asked. A page that cannot be read is tried again, and then fails the reconciliation: what
/// was not read is not known.
pub(super) async fn step(
    depot: &Depot,
    (account, page, tries): (u32, u32, u32),
    adopting: Adopting,
    mut counts: ReconciliationCounts,
) -> Result<Progress, AppError> {
    let names = depot.accounts.iter().nth(usize::try_from(account).unwrap_or(usize::MAX));
    let Some((name, at_work)) = names else {
        return Ok(Progress::to(Cursor::Profiles { after: 0 }, counts));
    };
    let next_account = Cursor::Fleet { account: account + 1, page: 1, tries: 0 };
    if !at_work.has(Capability::Fleet) {
        return Ok(Progress::to(next_account, counts));
    }
    let read = match at_work.carrier.fleet(page).await {
        Ok(read) => read,
        Err(ReadError::Denied { code }) if page == 1 => {
            tracing::info!(account = %name, code, "the account's fleet cannot be listed; its profiles are compared one by one");
            return Ok(Progress::to(next_account, counts));
        }
        Err(error) => return Ok(failed(name, (account, page, tries), counts, &error)),
    };
    // A page without lines is the last one, whatever the index says of how many there are.
    let pages = if read.lines.is_empty() && read.unreadable == 0 { page } else { read.pages };
    let adopt_into = pool_of(depot, name, adopting.pool_id).await?;
    let origin = format!("{} {name} page {page}", adopting.by);
    record(depot, name, read, (adopt_into, &origin), &mut counts).await?;
    let next = if page < pages { Cursor::Fleet { account, page: page + 1, tries: 0 } } else { next_account };
    Ok(Progress::to(next, counts))
}

fn failed(
    name: &AccountName,
    (account, page, tries): (u32, u32, u32),
    counts: ReconciliationCounts,
    error: &ReadError,
) -> Progress {
    let tries = tries + 1;
    tracing::warn!(account = %name, page, tries, %error, "a fleet page cannot be read");
    let progress = Progress::to(Cursor::Fleet { account, page, tries }, counts);
    if tries < PAGE_TRIES {
        // 1, 2, 4, 8 s: longer than an open circuit breaker.
        return progress.after(chrono::TimeDelta::seconds(1 << (tries - 1)));
    }
    progress.failed(format!("page {page} of the fleet of account {name} cannot be read: {error}"))
}

/// The pool that adopts, when it is of the account.
async fn pool_of(
    depot: &Depot,
    account: &AccountName,
    pool_id: Option<i64>,
) -> Result<Option<i64>, AppError> {
    let Some(pool_id) = pool_id else {
        return Ok(None);
    };
    let pool = depot.store.read(move |conn| pools::get(conn, pool_id)).await?;
    Ok((pool.settings.carrier_account == *account).then_some(pool_id))
}

/// Learns what the page says of profiles, and adopts or counts its lines that are not in the stock.
async fn record(
    depot: &Depot,
    account: &AccountName,
    page: FleetPage,
    (adopt_into, origin): (Option<i64>, &str),
    counts: &mut ReconciliationCounts,
) -> Result<(), AppError> {
    if page.unreadable > 0 {
        tracing::warn!(%account, lines = page.unreadable, "lines of a fleet page cannot be read");
    }
    let mut strangers = Vec::new();
    for lines in page.lines.chunks(LOOKUP) {
        let (name, keys) =
            (account.clone(), lines.iter().map(|(iccid, _)| iccid.clone()).collect::<Vec<_>>());
        let (known, details) = depot
            .store
            .read(move |conn| {
                let keys: Vec<&str> = keys.iter().map(Iccid::key).collect();
                let known = profiles::of_keys(conn, &name, &keys)?;
                let ids: Vec<i64> = known.iter().map(|profile| profile.id).collect();
                let details = lines::of_profiles(conn, &ids)?;
                Ok::<_, AppError>((known, details))
            })
            .await?;
        let by_key: HashMap<&str, &Profile> =
            known.iter().map(|profile| (profile.iccid.key(), profile)).collect();
        for (iccid, line) in lines {
            match by_key.get(iccid.key()) {
                Some(profile) if is_news(profile, details.get(&profile.id), line, depot.now()) => {
                    let learned = learn(depot, profile.id, line.clone()).await?;
                    counts.drifts += learned.drifts;
                    counts.healed += learned.healed;
                }
                Some(_) => {}
                None => strangers.push((iccid.clone(), line.clone())),
            }
        }
    }
    let unknown = u64::try_from(strangers.len()).unwrap_or_default();
    let adopted = match adopt_into.filter(|_| unknown > 0) {
        Some(pool_id) => adopt(depot, pool_id, origin, strangers).await?,
        None => 0,
    };
    counts.adopted += adopted;
    counts.unknown_lines += unknown.saturating_sub(adopted);
    Ok(())
}

/// Takes lines into a pool; returns how many.
async fn adopt(
    depot: &Depot,
    pool_id: i64,
    origin: &str,
    lines: Vec<(Iccid, LineReading)>,
) -> Result<u64, AppError> {
    let (work, adoption) = (depot.clone(), Adoption { pool_id, origin: origin.to_owned(), lines });
    let adopted = depot.write_again(move |conn| imports::adopt(conn, &work, &adoption)).await?;
    tracing::info!(origin, adopted, "lines that the stock lacked were adopted");
    Ok(adopted)
}

fn is_news(profile: &Profile, details: Option<&Line>, line: &LineReading, now: DateTime<Utc>) -> bool {
    let known = profile.sim.as_ref().map(|seen| seen.status);
    if !line.details.is_empty() && line_learning::is_news(details, line, known) {
        return true;
    }
    observations::is_news(profile, line, now)
}

/// Learns what one line of the page says; returns what it found.
async fn learn(depot: &Depot, profile_id: i64, line: LineReading) -> Result<ReconciliationCounts, AppError> {
    let work = depot.clone();
    let seen = Sightings { line: Some(line), ..Sightings::default() };
    let learned = depot.write_again(move |conn| {
        let now = work.now();
        let profile = profiles::lock(conn, profile_id)?;
        let before = open_drifts(conn, profile_id)?;
        let mut profile = observations::learn(conn, &work, profile, &seen, now)?;
        let moves = u64::try_from(moved_since(conn, profile_id, &before)?).unwrap_or_default();
        let healed = u64::from(stock_watch::watch(conn, &work, &mut profile, false, now)?);
        Ok(ReconciliationCounts { drifts: moves + healed, healed, ..ReconciliationCounts::default() })
    });
    match learned.await {
        // The profile is compared by itself afterwards.
        Err(error) if error.is_race() => Ok(ReconciliationCounts::default()),
        other => other,
    }
}
