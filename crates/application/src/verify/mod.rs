//! `simdepot verify`: what stands in the tables must follow from the ledger, and the ledger must be whole.
//!
//! Both directions: every row must have the events that made it, and whatever an event tells of must be there. It runs
//! beside a live server, in chunks; the two sides of a chunk are read in one moment.

mod catalogues;
mod chain;
mod checkpoints;
mod imports;
mod keys;
mod line_jobs;
mod orders;
mod profiles;
mod reservations;
mod walk;

use simdepot_persistence::verification;

use crate::depot::Depot;
use crate::error::AppError;
use crate::feed::KeptCheckpoints;

/// Rows per chunk.
const CHUNK: i64 = 1_000;
/// Findings shown of one kind.
const SHOWN: i64 = 20;
/// How often something is looked at again before it counts.
const LOOKS: usize = 5;

/// Something that does not follow from the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, and where.
    pub what: String,
}

/// What was checked and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Profiles recomputed.
    pub profiles: u64,
    /// Their sealed codes, PINs and PUKs that were opened.
    pub secrets: u64,
    /// Orders recomputed.
    pub orders: u64,
    /// Bundles recomputed.
    pub bundles: u64,
    /// Carrier operations recomputed.
    pub operations: u64,
    /// Batches recomputed.
    pub batches: u64,
    /// Pools recomputed.
    pub pools: u64,
    /// Holds recomputed.
    pub holds: u64,
    /// API keys compared.
    pub api_keys: u64,
    /// Webhook endpoints compared.
    pub endpoints: u64,
    /// Reconciliations compared.
    pub reconciliations: u64,
    /// Line jobs compared.
    pub line_jobs: u64,
    /// Rate plans compared.
    pub rate_plans: u64,
    /// Service profiles compared.
    pub service_profiles: u64,
    /// What the ledger tells of and was looked for.
    pub subjects: u64,
    /// Events read for it.
    pub events: u64,
    /// Entries of the feed whose hashes were recomputed.
    pub entries: u64,
    /// Checkpoints held against the feed.
    pub checkpoints: u64,
    /// What does not agree.
    pub findings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, what: String) {
        self.findings.push(Finding { what });
    }

    /// Rows looked at so far, for the progress.
    fn rows(&self) -> u64 {
        self.profiles
            + self.orders
            + self.bundles
            + self.operations
            + self.holds
            + self.subjects
            + self.entries
    }
}

/// Recomputes the tables from the ledger, and the ledger's own chain. `progress` is told how many rows were checked.
///
/// # Errors
/// When the store cannot be read.
pub async fn run(depot: &Depot, progress: &(dyn Fn(u64) + Send + Sync)) -> Result<Report, AppError> {
    run_against(depot, &KeptCheckpoints::none(), progress).await
}

/// As [`run`], and against checkpoints that were kept outside the database.
///
/// # Errors
/// When the store cannot be read.
pub async fn run_against(
    depot: &Depot,
    kept: &KeptCheckpoints,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Report, AppError> {
    let mut report = Report::default();
    walk::verify::<profiles::Profiles>(depot, &mut report, progress).await?;
    walk::verify::<orders::Orders>(depot, &mut report, progress).await?;
    walk::verify::<orders::Bundles>(depot, &mut report, progress).await?;
    walk::verify::<orders::Operations>(depot, &mut report, progress).await?;
    walk::verify::<imports::Imports>(depot, &mut report, progress).await?;
    imports::recount(depot, &mut report, progress).await?;
    walk::verify::<reservations::Pools>(depot, &mut report, progress).await?;
    walk::verify::<reservations::Holds>(depot, &mut report, progress).await?;
    walk::verify::<keys::ApiKeys>(depot, &mut report, progress).await?;
    walk::verify::<keys::Endpoints>(depot, &mut report, progress).await?;
    walk::verify::<keys::Reconciliations>(depot, &mut report, progress).await?;
    walk::verify::<line_jobs::LineJobs>(depot, &mut report, progress).await?;
    walk::verify::<catalogues::RatePlans>(depot, &mut report, progress).await?;
    walk::verify::<catalogues::ServiceProfiles>(depot, &mut report, progress).await?;
    walk::verify_subjects(depot, &mut report, progress).await?;
    chain::verify_chain(depot, &mut report, progress).await?;
    checkpoints::verify_checkpoints(depot, &mut report, kept).await?;
    chain::verify_all_numbered(depot, &mut report).await?;
    for broken in depot.store.read(|conn| Ok::<_, AppError>(verification::broken_invariants(conn)?)).await? {
        report.find(format!("broken in {} rows: {}", broken.rows, broken.invariant));
    }
    Ok(report)
}
