//! The second part: the accepted rows become stock, in one transaction.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use simdepot_domain::delivery::Format;
use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::import::{ImportCounts, ImportStatus};
use simdepot_domain::observation::Source;
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::profile::FormFactor;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::imports::{self, Import, ImportEnd};
use simdepot_persistence::pools::Pool;
use simdepot_persistence::profiles::Batch;
use simdepot_persistence::staging::{self, Landing, Settled};
use simdepot_persistence::vault::DataKey;
use simdepot_persistence::{Conn, events};

use super::check::name;
use super::report;
use crate::depot::Depot;
use crate::error::AppError;

/// Rows read at a time.
const CHUNK: i64 = 10_000;

/// What the second part works with.
pub(super) struct Writing {
    pub(super) depot: Depot,
    pub(super) import: Import,
    pub(super) pool: Pool,
    pub(super) counts: ImportCounts,
    pub(super) settled: Settled,
    /// What the rows' secrets are sealed with.
    pub(super) key: DataKey,
}

/// What was written.
#[derive(Clone, Default)]
pub(super) struct Written {
    available: u64,
    quarantined: u64,
    digest: Sha256,
    sell_by: Sha256,
}

impl Writing {
    /// Counts the rows that become stock. That takes no lock, so it is done before the transaction.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn count(&self, conn: &mut Conn<'_>) -> Result<Written, AppError> {
        let (mut total, mut after) = (Written::default(), 0);
        loop {
            let rows = staging::accepted(conn, after, CHUNK)?;
            let Some(last) = rows.last() else {
                return Ok(total);
            };
            after = last.line;
            for row in &rows {
                total.add(&row.iccid, row.status, row.sell_by);
            }
        }
    }

    /// Writes the accepted rows and completes the import, in the caller's transaction. `written` shows how far it is.
    ///
    /// # Errors
    /// When the store refuses; then nothing of the file is in the stock.
    pub(super) fn run(
        &self,
        conn: &mut Conn<'_>,
        counted: Written,
        written: &AtomicU64,
    ) -> Result<(), AppError> {
        let late = staging::mark_latecomers(conn, self.import.id, &self.settled, name)?;
        let total = if late > 0 { self.count(conn)? } else { counted };
        let now = self.depot.now();
        self.depot.store.vault().keep_data_key(conn, &self.key)?;
        let landing = self.landing(now);
        let show = |so_far| written.store(so_far, Ordering::Relaxed);
        staging::land(conn, &self.settled, &landing, &self.key, total.inserted(), show)?;
        complete(conn, &self.depot, (&self.import, &self.pool.settings), self.counts, total, now)
    }

    fn landing(&self, now: DateTime<Utc>) -> Landing {
        let import = &self.import;
        let (observed_at, source) = match import.format {
            Format::Delivery => (import.created_at, Source::Import),
            Format::Park => (report::observed_at(import), Source::Report),
        };
        let batch = Batch { import: import.id, batch_no: import.batch_no, pool_id: self.pool.id, at: now };
        Landing { batch, form_factor: FormFactor::Esim, observed_at, source }
    }
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
    // Another import may have brought some of the SIMs since they were checked: those are duplicates after all.
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

    pub(super) fn add(&mut self, iccid: &str, status: StockStatus, sell_by: DateTime<Utc>) {
        if status == StockStatus::Available {
            self.available += 1;
        } else {
            self.quarantined += 1;
        }
        self.digest.update(digest_line(iccid, status));
        self.sell_by.update(sell_by_line(iccid, sell_by));
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
