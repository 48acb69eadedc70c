//! Lines that the carrier's index shows and the stock lacks, taken into a pool: an import of their own, without a file.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use simdepot_domain::carrier::LineReading;
use simdepot_domain::delivery::Format;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::ImportId;
use simdepot_domain::import::{ImportCounts, OnError};
use simdepot_domain::observation::Observation;
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::profile::FormFactor;
use simdepot_persistence::imports::{self, NewImport};
use simdepot_persistence::lines::{self, Line};
use simdepot_persistence::profiles::{self, Batch, NewProfile};
use simdepot_persistence::secrets::{self, Sealed};
use simdepot_persistence::vault::DataKey;
use simdepot_persistence::{Conn, pools};

use super::existing;
use super::write::{self, Written};
use crate::depot::Depot;
use crate::error::AppError;

/// The name of an adoption in the place of a file's.
const FILE_NAME: &str = "sim-search";
/// Rows per statement.
const CHUNK: usize = 500;

/// What is adopted.
#[derive(Debug, Clone)]
pub(crate) struct Adoption {
    /// Into which pool.
    pub(crate) pool_id: i64,
    /// What shows the lines, and where: no other adoption has it.
    pub(crate) origin: String,
    /// The lines.
    pub(crate) lines: Vec<(Iccid, LineReading)>,
}

/// Takes lines into a pool that the stock lacks, in the caller's transaction, as one completed import. Those that the stock
/// has by now are left out. Returns how many were taken in.
///
/// # Errors
/// When the store refuses.
pub(crate) fn adopt(conn: &mut Conn<'_>, depot: &Depot, adoption: &Adoption) -> Result<u64, AppError> {
    let keys: Vec<&str> = adoption.lines.iter().map(|(iccid, _)| iccid.key()).collect();
    let mut known: HashSet<String> = profiles::existing_keys(conn, &keys)?.into_iter().collect();
    let lines: Vec<&(Iccid, LineReading)> =
        adoption.lines.iter().filter(|(iccid, _)| known.insert(iccid.key().to_owned())).collect();
    if lines.is_empty() {
        return Ok(0);
    }
    let now = depot.now();
    let pool = pools::get(conn, adoption.pool_id)?;
    let import = {
        let new = new_import(depot, adoption, &lines);
        imports::insert(conn, &new, now)?;
        existing(conn, new.id)?
    };
    let vault = depot.store.vault();
    let key = vault.new_data_key(conn)?;
    let batch = Batch { import: import.id, batch_no: import.batch_no, pool_id: pool.id, at: now };
    let mut total = Written::default();
    for lines in lines.chunks(CHUNK) {
        let mut new = Vec::with_capacity(lines.len());
        for (iccid, line) in lines {
            let sealed = Sealed::seal(vault, &key, iccid, None, None, None)?;
            new.push((new_profile(&pool.settings, iccid, line, now), sealed));
        }
        let inserted = insert(conn, batch, &key, &new, &mut total)?;
        keep_details(conn, lines, &inserted)?;
    }
    let (rows, adopted) = (u64::try_from(lines.len()).unwrap_or_default(), total.inserted());
    let counts = ImportCounts { rows, accepted: rows, ..ImportCounts::default() };
    write::complete(conn, depot, (&import, &pool.settings), counts, total, now)?;
    metrics::counter!("simdepot_lines_adopted_total").increment(adopted);
    Ok(adopted)
}

/// Inserts profiles with their secrets, and counts them. Returns row and ICCID of what was inserted.
fn insert(
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
        total.add(profile.iccid.as_str(), profile.stock.status(), profile.sell_by);
        secrets.push((*id, sealed));
    }
    secrets::insert_many(conn, key, &secrets)?;
    Ok(inserted)
}

fn unknown_row(iccid: &str) -> AppError {
    AppError::Internal(format!("the database returned a row that was not inserted: {iccid}"))
}

fn new_import(depot: &Depot, adoption: &Adoption, lines: &[&(Iccid, LineReading)]) -> NewImport {
    let mut content = Sha256::new();
    content.update(format!("{}\n", adoption.origin));
    for (iccid, _) in lines {
        content.update(format!("{iccid}\n"));
    }
    NewImport {
        id: ImportId::generate(depot.ids.as_ref()),
        pool_id: adoption.pool_id,
        format: Format::Park,
        on_error: OnError::Skip,
        dry_run: false,
        sell_by: None,
        file_name: Some(FILE_NAME.to_owned()),
        file_sha256: hex::encode(content.finalize()),
    }
}

fn new_profile(pool: &PoolSettings, iccid: &Iccid, line: &LineReading, now: DateTime<Utc>) -> NewProfile {
    NewProfile {
        iccid: iccid.clone(),
        form_factor: FormFactor::Esim,
        stock: pool.adopted_stock(line.sim_status),
        sell_by: pool.sell_by(None, None, now),
        msisdn: line.msisdn.clone(),
        eid: None,
        sim: line.sim_status.map(|status| Observation {
            status,
            observed_at: line.observed_at,
            dated_by_carrier: line.dated_by_carrier,
            received_at: now,
            source: line.source,
        }),
    }
}

/// The details are part of the first state, as the status is: the import tells of them, and no event of their own.
fn keep_details(
    conn: &mut Conn<'_>,
    lines: &[&(Iccid, LineReading)],
    inserted: &[(i64, String)],
) -> Result<(), AppError> {
    let by_iccid: HashMap<&str, &LineReading> =
        lines.iter().map(|(iccid, line)| (iccid.as_str(), line)).collect();
    let mut details = Vec::new();
    for (id, iccid) in inserted {
        if let Some(line) = by_iccid.get(iccid.as_str()).filter(|line| !line.details.is_empty()) {
            let (source, observed_at) = (line.source, line.observed_at);
            details.push((*id, Line { details: line.details.clone(), source, observed_at }));
        }
    }
    lines::insert_many(conn, &details).map_err(Into::into)
}
