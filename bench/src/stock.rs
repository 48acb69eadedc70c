//! Stock to sell: delivery files as a carrier sends them, and databases that are full of it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Result, bail};

use crate::cluster::Cluster;
use crate::depot::Depot;
use crate::tools::say;

/// The pool that everything is sold from, and its row.
pub const POOL: &str = "bench";
/// The pool's row in every database: the first one.
pub const POOL_ID: &str = "1";

/// Clears up before a measurement, for whoever comes next the same. Only what is full: a table that is vacuumed while it is
/// empty is planned for as an empty one until the next look, however many rows it gets meanwhile.
pub const FRESH: &str = "VACUUM ANALYZE profiles, profile_secrets, pools, imports";

/// Writes a delivery of so many profiles, every one with a code, a PIN and a PUK.
///
/// # Errors
/// When it cannot be written.
pub fn write_delivery(path: &Path, rows: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write!(file, "TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode\r\n")?;
    for number in 0..rows {
        let iccid = iccid(number);
        let code = format!("1$smdp.example${number:032X}");
        write!(file, "900100;+336{number:09};R1;{iccid};Pre-Activated;1234;12345678;{code}\r\n")?;
    }
    file.flush()?;
    Ok(())
}

/// The ICCID of a profile: 19 digits, the last one a check digit.
pub fn iccid(number: u64) -> String {
    let body = format!("89882470{number:010}");
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit.saturating_sub(b'0')) * if place % 2 == 0 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// Makes a database with simdepot's schema and a pool with so many profiles, imported by simdepot itself.
///
/// # Errors
/// When the import does not take every row.
pub fn fill(cluster: &Cluster, binary: &Path, database: &str, rows: u64) -> Result<()> {
    say(&format!("  stock: {rows} profiles"));
    cluster.sql("postgres", &format!("CREATE DATABASE {database}"))?;
    let mut depot = Depot::start(binary, &cluster.url(database))?;
    depot.make_pool()?;
    let file = depot.folder().join("delivery.csv");
    write_delivery(&file, rows)?;
    depot.import(&file)?;
    depot.stop();
    let found = cluster.number(database, "SELECT count(*) FROM profiles WHERE stock_status = 'available'")?;
    let pool_id = cluster.sql(database, &format!("SELECT id FROM pools WHERE pool = '{POOL}'"))?;
    if found != rows || pool_id != POOL_ID {
        bail!("{found} of {rows} profiles are on sale, in pool {pool_id}");
    }
    cluster.sql(database, FRESH)?;
    Ok(())
}

/// Adds so many profiles behind those that are there, by the database itself: as many bytes as an import writes, but codes
/// that nobody can open. They are never reached.
///
/// # Errors
/// When the database refuses it.
pub fn pad(cluster: &Cluster, database: &str, from: u64, rows: u64) -> Result<()> {
    say(&format!("  stock: {rows} profiles more"));
    let until = from + rows - 1;
    let columns = "form_factor, pool_id, import_id, batch_no, imported_as, stock_status, sell_by, sim_status, \
        sim_observed_at, sim_dated, sim_received_at, sim_source, tags, created_at, updated_at";
    let profiles = format!(
        "INSERT INTO profiles (iccid, sim_key, msisdn, {columns}) \
         SELECT '89882480' || lpad(n::text, 11, '0'), '89882480' || lpad(n::text, 11, '0'), '337' || lpad(n::text, 9, '0'), \
         {columns} FROM (SELECT * FROM profiles ORDER BY id LIMIT 1) AS first, generate_series({from}, {until}) AS n"
    );
    let secrets = "INSERT INTO profile_secrets (profile_id, data_key_id, activation_code, code_index, pin, puk) \
        SELECT p.id, k.id, decode(repeat(md5(p.iccid), 5), 'hex'), sha256(p.iccid::bytea), decode(repeat(md5(p.iccid), 2), 'hex'), \
        decode(repeat(md5(p.iccid), 2), 'hex') FROM profiles p, (SELECT id FROM wrapped_keys WHERE purpose = 'data' LIMIT 1) AS k \
        WHERE p.iccid LIKE '89882480%'";
    cluster.sql(database, &profiles)?;
    cluster.sql(database, secrets)?;
    cluster.sql(database, FRESH)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::iccid;

    #[test]
    fn iccids_have_their_check_digit() {
        assert_eq!(iccid(0), "8988247000000000001");
        assert_eq!(iccid(1), "8988247000000000019");
        assert_eq!(iccid(2), "8988247000000000027");
    }
}
