//! A fleet report: what the carrier says once a day of every line. Of SIMs that the stock has it tells the line's status and
//! number; what it tells counts as of the day before, because the file has no date.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::LineReading;
use simdepot_domain::channel::AccountName;
use simdepot_domain::delivery::{Format, Row};
use simdepot_domain::line::LineDetails;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::{REPORT_AGE, Source as ToldBy};
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::imports::Import;
use simdepot_persistence::pools::Pool;
use simdepot_persistence::staging::{self, News};
use simdepot_persistence::store::Session;
use simdepot_persistence::{Conn, profiles};

use super::pulse::Pulse;
use crate::depot::{Depot, write_again_in};
use crate::error::AppError;
use crate::observations::{self, Sightings};
use crate::stock_watch;

/// Rows read at a time.
const CHUNK: i64 = 1_000;
/// Profiles per transaction: others write in between.
const BATCH: usize = 100;

/// Of which account and when the lines of a fleet report are.
#[derive(Debug, Clone)]
pub(super) struct FleetReport {
    account: AccountName,
    observed_at: DateTime<Utc>,
}

impl FleetReport {
    /// The report that an import brings; `None` when it brings a delivery.
    pub(super) fn of(import: &Import, pool: &Pool) -> Option<Self> {
        (import.format == Format::Park).then(|| Self {
            account: pool.settings.carrier_account.clone(),
            observed_at: observed_at(import),
        })
    }

    fn reading(&self, msisdn: Option<Msisdn>, sim_status: Option<SimStatus>) -> LineReading {
        LineReading {
            msisdn,
            sim_status,
            observed_at: self.observed_at,
            dated_by_carrier: false,
            source: ToldBy::Report,
            details: LineDetails::default(),
        }
    }

    /// Which rows are about SIMs of the account that the stock has, by their keys, and whether they say something new.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(super) fn tells(
        &self,
        conn: &mut Conn<'_>,
        rows: Vec<&Row>,
    ) -> Result<HashMap<String, bool>, AppError> {
        let by_key: HashMap<&str, &Row> = rows.into_iter().map(|row| (row.iccid.key(), row)).collect();
        let keys: Vec<&str> = by_key.keys().copied().collect();
        let mut told = HashMap::with_capacity(keys.len());
        for profile in profiles::of_keys(conn, &self.account, &keys)? {
            let row = by_key.get(profile.iccid.key());
            let is_news = row.is_some_and(|row| {
                let reading = self.reading(row.msisdn.clone(), row.sim_status);
                observations::is_news(&profile, &reading, self.observed_at)
            });
            told.insert(profile.iccid.key().to_owned(), is_news);
        }
        Ok(told)
    }
}

/// The moment that a report's lines are of.
pub(super) fn observed_at(import: &Import) -> DateTime<Utc> {
    import.created_at - REPORT_AGE
}

/// Learns what the rows say that are news, some profiles at a time. What is learned stays learned, whatever becomes of
/// the import: the same report says the same again.
///
/// # Errors
/// When the store cannot be asked.
pub(super) async fn learn(pulse: &Pulse, session: &mut Session, report: FleetReport) -> Result<(), AppError> {
    let mut after = 0;
    loop {
        let rows = session.run(move |conn| staging::news(conn, after, CHUNK)).await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.line;
        for batch in rows.chunks(BATCH) {
            let expected = u64::try_from(batch.len()).unwrap_or_default();
            let nothing_new =
                expected.saturating_sub(learn_batch(&pulse.depot, session, &report, batch).await?);
            pulse.count(|counts| {
                counts.updated = counts.updated.saturating_sub(nothing_new);
                counts.unchanged += nothing_new;
            });
        }
    }
}

/// Of how many profiles something was learned: meanwhile something newer may have become known.
async fn learn_batch(
    depot: &Depot,
    session: &mut Session,
    report: &FleetReport,
    rows: &[News],
) -> Result<u64, AppError> {
    let (work, report, rows) = (depot.clone(), report.clone(), rows.to_vec());
    let learned = write_again_in(session, move |conn| {
        let now = work.now();
        let by_key: HashMap<&str, &News> = rows.iter().map(|row| (row.iccid.key(), row)).collect();
        let keys: Vec<&str> = by_key.keys().copied().collect();
        let mut learned = 0;
        // In the order of their rows in the stock, as everybody locks them.
        for known in profiles::of_keys(conn, &report.account, &keys)? {
            let Some(row) = by_key.get(known.iccid.key()) else { continue };
            let (profile, reading) =
                (profiles::lock(conn, known.id)?, report.reading(row.msisdn.clone(), row.sim_status));
            if !observations::is_news(&profile, &reading, now) {
                continue;
            }
            let seen = Sightings { line: Some(reading), ..Sightings::default() };
            let mut profile = observations::learn(conn, &work, profile, &seen, now)?;
            stock_watch::watch(conn, &work, &mut profile, false, now)?;
            learned += 1;
        }
        Ok::<_, AppError>(learned)
    });
    match learned.await {
        Err(error) if error.is_race() => {
            tracing::warn!(%error, "rows of a fleet report met concurrent changes; the next report tells");
            Ok(0)
        }
        Ok(learned) => {
            metrics::counter!("simdepot_fleet_report_profiles_total", "result" => "updated")
                .increment(learned);
            Ok(learned)
        }
        other => other,
    }
}
