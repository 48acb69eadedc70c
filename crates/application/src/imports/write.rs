//! The second pass: the accepted rows, in one transaction.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Days, NaiveTime, Utc};
use sha2::{Digest, Sha256};
use simdepot_domain::delivery::{Format, Row};
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::import::{ImportCounts, ImportStatus};
use simdepot_domain::observation::{Observation, Source as ObservedBy};
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::profile::FormFactor;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::imports::{self, Import, ImportEnd};
use simdepot_persistence::pools::Pool;
use simdepot_persistence::profiles::{self, Batch, NewProfile};
use simdepot_persistence::secrets::{self, Sealed};
use simdepot_persistence::vault::DataKey;
use simdepot_persistence::{Conn, events};

use super::report;
use super::source::Source;
use crate::depot::Depot;
use crate::error::AppError;

/// Rows per statement.
pub(super) const CHUNK: usize = 500;

/// What the second pass works with.
pub(super) struct Writing {
    pub(super) depot: Depot,
    pub(super) import: Import,
    pub(super) pool: Pool,
    pub(super) counts: ImportCounts,
    pub(super) skipped: HashSet<u64>,
}

/// What was written.
#[derive(Default)]
pub(super) struct Written {
    available: u64,
    quarantined: u64,
    digest: Sha256,
    sell_by: Sha256,
}

impl Writing {
    /// Writes the accepted rows and completes the import, in the caller's transaction. `written` shows how far it is.
    ///
    /// # Errors
    /// When the store refuses; then nothing of the file is in the stock.
    pub(super) fn run(self, conn: &mut Conn<'_>, path: &Path, written: &AtomicU64) -> Result<(), AppError> {
        let now = self.depot.now();
        let key = self.depot.store.vault().new_data_key(conn)?;
        let batch =
            Batch { import: self.import.id, batch_no: self.import.batch_no, pool_id: self.pool.id, at: now };
        let mut source =
            Source::open(path, self.import.format).map_err(|error| AppError::Internal(error.to_string()))?;
        let mut total = Written::default();
        loop {
            let chunk = source.chunk(CHUNK);
            if chunk.is_empty() {
                break;
            }
            let rows: Vec<Row> = chunk
                .into_iter()
                .filter_map(Result::ok)
                .filter(|row| !self.skipped.contains(&row.line))
                .collect();
            self.insert(conn, batch, &key, &rows, &mut total)?;
            written.fetch_add(u64::try_from(rows.len()).unwrap_or_default(), Ordering::Relaxed);
        }
        complete(conn, &self.depot, (&self.import, &self.pool.settings), self.counts, total, now)
    }

    fn insert(
        &self,
        conn: &mut Conn<'_>,
        batch: Batch,
        key: &DataKey,
        rows: &[Row],
        total: &mut Written,
    ) -> Result<(), AppError> {
        if rows.is_empty() {
            return Ok(());
        }
        let vault = self.depot.store.vault();
        let mut new = Vec::with_capacity(rows.len());
        for row in rows {
            let (code, pin, puk) = (row.activation_code.as_ref(), row.pin.as_ref(), row.puk.as_ref());
            let sealed = Sealed::seal(vault, key, &row.iccid, code, pin, puk)?;
            new.push((new_profile(&self.pool.settings, &self.import, row, batch.at), sealed));
        }
        insert(conn, batch, key, &new, total)?;
        Ok(())
    }
}

/// Inserts profiles with their secrets, and counts them. Returns row and ICCID of what was inserted.
pub(super) fn insert(
    conn: &mut Conn<'_>,
    batch: Batch,
    key: &DataKey,
    new: &[(NewProfile, Sealed)],
    total: &mut Written,
) -> Result<Vec<(i64, String)>, AppError> {
    let profiles: Vec<NewProfile> = new.iter().map(|(profile, _)| profile.clone()).collect();
    let inserted = profiles::insert_many(conn, batch, &profiles)?;
    let by_iccid: HashMap<&str, &(NewProfile, Sealed)> =
        new.iter().map(|one| (one.0.iccid.as_str(), one)).collect();
    let mut secrets = Vec::with_capacity(inserted.len());
    for (id, iccid) in &inserted {
        let (profile, sealed) = by_iccid.get(iccid.as_str()).ok_or_else(|| unknown_row(iccid))?;
        total.add(profile);
        secrets.push((*id, sealed));
    }
    secrets::insert_many(conn, key, &secrets)?;
    Ok(inserted)
}

/// Completes an import, with its event, in the transaction that wrote its profiles.
pub(super) fn complete(
    conn: &mut Conn<'_>,
    depot: &Depot,
    (import, pool): (&Import, &PoolSettings),
    mut counts: ImportCounts,
    total: Written,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    // Another import may have brought some of the SIMs between the two passes: those are duplicates after all.
    let inserted = total.inserted();
    counts.duplicates += counts.accepted.saturating_sub(inserted);
    counts.accepted = inserted;
    let end = ImportEnd { counts, problem: None, event: true };
    let open = [ImportStatus::Queued, ImportStatus::Running];
    imports::finish(conn, import.id, &open, ImportStatus::Completed, &end, now)?;
    let fact = Fact::ImportCompleted {
        pool: pool.pool.clone(),
        file_sha256: import.file_sha256.clone(),
        counts,
        available: total.available,
        quarantined: total.quarantined,
        digest: hex::encode(total.digest.finalize()),
        sell_by_digest: hex::encode(total.sell_by.finalize()),
    };
    let version = import.version + 1;
    events::append(conn, &[depot.event(now, Subject::Import(import.id), version, fact)])?;
    Ok(())
}

impl Written {
    /// How many profiles.
    pub(super) fn inserted(&self) -> u64 {
        self.available + self.quarantined
    }

    fn add(&mut self, profile: &NewProfile) {
        let (iccid, status) = (profile.iccid.as_str(), profile.stock.status());
        if status == StockStatus::Available {
            self.available += 1;
        } else {
            self.quarantined += 1;
        }
        self.digest.update(digest_line(iccid, status));
        self.sell_by.update(sell_by_line(iccid, profile.sell_by));
    }
}

/// One line of a batch's digest.
pub(crate) fn digest_line(iccid: &str, status: StockStatus) -> String {
    format!("{iccid} {status}\n")
}

/// One line of a batch's digest of last moments of sale, to the microsecond that the databases keep.
pub(crate) fn sell_by_line(iccid: &str, sell_by: DateTime<Utc>) -> String {
    format!("{iccid} {}\n", sell_by.timestamp_micros())
}

fn unknown_row(iccid: &str) -> AppError {
    AppError::Internal(format!("the database returned a row that was not inserted: {iccid}"))
}

fn new_profile(pool: &PoolSettings, import: &Import, row: &Row, now: DateTime<Utc>) -> NewProfile {
    // A day means through that day: sold until the next one begins.
    let in_file = row.sell_by.map(|day| (day + Days::new(1)).and_time(NaiveTime::MIN).and_utc());
    let (stock, observed_at, source) = match import.format {
        Format::Delivery => {
            let stock = pool.initial_stock(row.activation_code.is_some(), row.sim_status);
            (stock, import.created_at, ObservedBy::Import)
        }
        Format::Park => (pool.adopted_stock(row.sim_status), report::observed_at(import), ObservedBy::Report),
    };
    NewProfile {
        iccid: row.iccid.clone(),
        form_factor: FormFactor::Esim,
        stock,
        sell_by: pool.sell_by(in_file, import.sell_by, now),
        msisdn: row.msisdn.clone(),
        eid: row.eid.clone(),
        sim: row.sim_status.map(|status| Observation {
            status,
            observed_at,
            dated_by_carrier: false,
            received_at: now,
            source,
        }),
    }
}
