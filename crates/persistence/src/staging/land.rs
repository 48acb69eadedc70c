//! Staged rows become profiles.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use simdepot_domain::observation::Source;
use simdepot_domain::profile::FormFactor;
use simdepot_domain::stock::StockStatus;

use super::settle::{Settled, number, sim};
use crate::error::{Result, ensure_affected};
use crate::profiles::{Batch, delivered};
use crate::sql_types::{At, Id, Moment, Uid};
use crate::stock_counts::Move;
use crate::store::{Backend, Conn};
use crate::vault::DataKey;

/// Lines per statement.
const SLICE: i64 = 10_000;

/// Where and as what the rows land.
#[derive(Debug, Clone)]
pub struct Landing {
    /// The delivery.
    pub batch: Batch,
    /// What all of them are.
    pub form_factor: FormFactor,
    /// Of when the statuses in the file are.
    pub observed_at: DateTime<Utc>,
    /// Who told them.
    pub source: Source,
}

/// The columns of a profile but its row.
macro_rules! columns {
    () => {
        "iccid, sim_key, form_factor, pool_id, import_id, batch_no, imported_as, stock_status, quarantine_reason, \
         sell_by, msisdn, eid, sim_status, sim_observed_at, sim_dated, sim_received_at, sim_source, recheck_at, tags, \
         created_at, updated_at"
    };
}

/// Their values, of a row of `slice`.
macro_rules! values {
    () => {
        concat!(
            "iccid, ",
            sim!("slice"),
            ", $1, $2, $3, $4, CASE WHEN quarantine_reason IS NULL THEN 'available' ELSE 'quarantined' END, \
             CASE WHEN quarantine_reason IS NULL THEN 'available' ELSE 'quarantined' END, quarantine_reason, sell_by, \
             msisdn, eid, sim_status, CASE WHEN sim_status IS NOT NULL THEN $5 END, \
             CASE WHEN sim_status IS NOT NULL THEN FALSE END, CASE WHEN sim_status IS NOT NULL THEN $6 END, \
             CASE WHEN sim_status IS NOT NULL THEN $7 END, \
             CASE WHEN quarantine_reason = 'code_missing' THEN $6 END, '[]', $6, $6"
        )
    };
}

/// The rows of some lines in order, with what is to be their row in the stock.
macro_rules! slice {
    ($id:literal, $after:literal, $to:literal) => {
        concat!(
            "SELECT ",
            $id,
            " AS id, s.* FROM (SELECT * FROM staged_rows WHERE line > ",
            $after,
            " AND line <= ",
            $to,
            " AND duplicate IS NULL AND told IS NULL ORDER BY line) s"
        )
    };
}

/// Both tables in one statement. It has no use for `$8`.
const POSTGRES: &str = concat!(
    "WITH slice AS MATERIALIZED (",
    slice!("nextval((SELECT pg_get_serial_sequence('profiles', 'id'))::regclass)", "$9", "$10"),
    "), landed AS (INSERT INTO profiles (id, ",
    columns!(),
    ") OVERRIDING SYSTEM VALUE SELECT id, ",
    values!(),
    " FROM slice) INSERT INTO profile_secrets (profile_id, data_key_id, activation_code, code_index, pin, puk) \
     SELECT id, $11, activation_code, code_index, pin, puk FROM slice"
);

/// One table after the other; `$8` is the last row in the stock. SQLite counts parameters as they appear.
const SQLITE_PROFILES: &str = concat!(
    "INSERT INTO profiles (id, ",
    columns!(),
    ") SELECT id, ",
    values!(),
    " FROM (",
    slice!("$8 + ROW_NUMBER() OVER (ORDER BY s.line)", "$9", "$10"),
    ") slice"
);
const SQLITE_SECRETS: &str = concat!(
    "INSERT INTO profile_secrets (profile_id, data_key_id, activation_code, code_index, pin, puk) \
     SELECT id, $1, activation_code, code_index, pin, puk FROM (",
    slice!("$2 + ROW_NUMBER() OVER (ORDER BY s.line)", "$3", "$4"),
    ") slice"
);

/// Inserts the rows that are no duplicates, with their secrets, in the order of their lines. `landed` is called with how
/// many there are so far.
///
/// # Errors
/// [`StoreError::Unique`](crate::StoreError::Unique) when a SIM or a code came in meanwhile after all;
/// [`StoreError::RowsAffected`](crate::StoreError::RowsAffected) when there are not `expected` rows.
pub fn land(
    conn: &mut Conn<'_>,
    settled: &Settled,
    landing: &Landing,
    key: &DataKey,
    expected: u64,
    mut landed: impl FnMut(u64),
) -> Result<()> {
    let mut inserted = 0;
    let mut line = 0;
    while line < settled.last_line {
        inserted += match conn.backend() {
            Backend::Postgres => profiles(conn, POSTGRES, line, 0, landing, Some(key))?,
            Backend::Sqlite => sqlite(conn, line, landing, key)?,
        };
        landed(u64::try_from(inserted).unwrap_or(u64::MAX));
        line += SLICE;
    }
    ensure_affected("import profiles", usize::try_from(expected).unwrap_or(usize::MAX), inserted)?;
    let moves = moves(conn, landing.batch.pool_id)?;
    delivered(conn, landing.batch, &moves)
}

/// The rows that landed, as moves into their pool.
fn moves(conn: &mut Conn<'_>, pool_id: i64) -> Result<Vec<Move>> {
    #[derive(QueryableByName)]
    struct Landed {
        #[diesel(sql_type = Bool)]
        available: bool,
        #[diesel(sql_type = Moment)]
        sell_by: At,
        #[diesel(sql_type = BigInt)]
        profiles: i64,
    }
    let landed: Vec<Landed> = diesel::sql_query(
        "SELECT quarantine_reason IS NULL AS available, sell_by, COUNT(*) AS profiles FROM staged_rows \
         WHERE duplicate IS NULL AND told IS NULL GROUP BY quarantine_reason IS NULL, sell_by",
    )
    .load(conn.db)?;
    let status = |available| if available { StockStatus::Available } else { StockStatus::Quarantined };
    let moves = landed.into_iter().map(|landed| Move {
        pool_id,
        from: None,
        to: Some(status(landed.available)),
        sell_by: landed.sell_by.0,
        profiles: landed.profiles,
    });
    Ok(moves.collect())
}

fn sqlite(conn: &mut Conn<'_>, line: i64, landing: &Landing, key: &DataKey) -> Result<usize> {
    let last =
        number(conn, "SELECT COALESCE(MAX(seq), 0) AS value FROM sqlite_sequence WHERE name = 'profiles'")?;
    let inserted = profiles(conn, SQLITE_PROFILES, line, last, landing, None)?;
    let sealed = diesel::sql_query(SQLITE_SECRETS)
        .bind::<Id, _>(Uid(key.id))
        .bind::<BigInt, _>(last)
        .bind::<BigInt, _>(line)
        .bind::<BigInt, _>(line + SLICE)
        .execute(conn.db)?;
    ensure_affected("import secrets", inserted, sealed)?;
    Ok(inserted)
}

fn profiles(
    conn: &mut Conn<'_>,
    statement: &str,
    line: i64,
    last: i64,
    landing: &Landing,
    key: Option<&DataKey>,
) -> Result<usize> {
    let (form_factor, source): (&'static str, &'static str) =
        (landing.form_factor.into(), landing.source.into());
    let batch = &landing.batch;
    let insert = diesel::sql_query(statement)
        .bind::<Text, _>(form_factor)
        .bind::<BigInt, _>(batch.pool_id)
        .bind::<Id, _>(Uid(batch.import.0))
        .bind::<BigInt, _>(batch.batch_no)
        .bind::<Moment, _>(At(landing.observed_at))
        .bind::<Moment, _>(At(batch.at))
        .bind::<Text, _>(source)
        .bind::<BigInt, _>(last)
        .bind::<BigInt, _>(line)
        .bind::<BigInt, _>(line + SLICE);
    Ok(match key {
        Some(key) => insert.bind::<Id, _>(Uid(key.id)).execute(conn.db)?,
        None => insert.execute(conn.db)?,
    })
}
