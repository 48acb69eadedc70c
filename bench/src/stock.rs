//! Stock to sell: delivery files as a carrier sends them, and databases that are full of it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::Range;
use std::path::Path;

use anyhow::{Result, bail};

use crate::cluster::Cluster;
use crate::depot::{Depot, Imported};
use crate::tools::say;

/// The pool that everything is sold from, and its row.
pub const POOL: &str = "bench";
/// The pool's row in every database: the first one.
pub const POOL_ID: &str = "1";

/// Clears up before a measurement, for whoever comes next the same. Only what is full: a table that is vacuumed while it is
/// empty is planned for as an empty one until the next look, however many rows it gets meanwhile.
pub const FRESH: &str = "VACUUM ANALYZE profiles, profile_secrets, pools, imports";

/// Writes a delivery of the profiles with these numbers, every one with a code, a PIN and a PUK.
///
/// # Errors
/// When it cannot be written.
pub fn write_delivery(path: &Path, numbers: Range<u64>) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write!(file, "TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode\r\n")?;
    for number in numbers {
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
pub fn fill(cluster: &Cluster, binary: &Path, database: &str, rows: u64) -> Result<Imported> {
    say(&format!("  stock: {rows} profiles"));
    cluster.sql("postgres", &format!("CREATE DATABASE {database}"))?;
    let mut depot = Depot::start(binary, &cluster.url(database))?;
    depot.make_pool()?;
    let imported = deliver(&depot, 0..rows)?;
    depot.stop();
    let found = cluster.number(database, "SELECT count(*) FROM profiles WHERE stock_status = 'available'")?;
    let pool_id = cluster.sql(database, &format!("SELECT id FROM pools WHERE pool = '{POOL}'"))?;
    if found != rows || pool_id != POOL_ID {
        bail!("{found} of {rows} profiles are on sale, in pool {pool_id}");
    }
    cluster.sql(database, FRESH)?;
    Ok(imported)
}

/// Imports the profiles with these numbers.
///
/// # Errors
/// When the import does not take every row.
pub fn deliver(depot: &Depot, numbers: Range<u64>) -> Result<Imported> {
    let file = depot.folder().join("delivery.csv");
    write_delivery(&file, numbers)?;
    let imported = depot.import(&file)?;
    std::fs::remove_file(&file)?;
    Ok(imported)
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
