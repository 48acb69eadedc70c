//! FreeRADIUS' own procedure for "a unique item out of a pool": addresses out of `radippool`. Its package is fetched when it is
//! measured, and none of its text is kept here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::cluster::Cluster;
use crate::tools::{in_path, installed, missing, run, say};

/// The Debian package that has the procedure.
const PACKAGE: &str = "freeradius-config";

/// One address for a customer who has none: the procedure, and what its caller does.
pub const SCRIPT: &str = "\\set r random(1, 4611686018427387904)\n\
    SELECT fr_allocate_previous_or_new_framedipaddress('bench', 'user' || :r::bigint, 'line' || :r::bigint, '192.0.2.1', '', 86400);\n";

/// Schema and procedure, fetched into a folder.
///
/// # Errors
/// When Debian's package tools are missing, or the package is not to be had.
pub fn fetch(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("bench-radius");
    let sql = folder.join("etc/freeradius/3.0/mods-config/sql/ippool/postgresql");
    if sql.join("procedure.sql").is_file() {
        return Ok(sql);
    }
    if in_path("apt-get").is_none() || in_path("dpkg").is_none() {
        return Err(missing(format!("apt-get and dpkg are missing, so {PACKAGE} cannot be fetched")));
    }
    say("  fetching FreeRADIUS' SQL");
    std::fs::create_dir_all(&folder)?;
    installed(run(Command::new("apt-get").args(["download", "-qq", PACKAGE]).current_dir(&folder)))?;
    let package = std::fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| anyhow!("apt-get downloaded no package"))?;
    run(Command::new("dpkg").arg("-x").arg(package).arg(&folder))?;
    if sql.join("procedure.sql").is_file() {
        return Ok(sql);
    }
    // Debian's older and newer packages may lie under another version.
    find(&folder, "ippool/postgresql/procedure.sql")
        .and_then(|file| Some(file.parent()?.to_owned()))
        .ok_or_else(|| missing(format!("{PACKAGE} has no mods-config/sql/ippool/postgresql/procedure.sql")))
}

fn find(folder: &Path, ending: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() { find(&path, ending) } else { Some(path).filter(|path| path.ends_with(ending)) }
    })
}

/// Makes a database with a pool of so many addresses.
///
/// # Errors
/// When the database refuses it.
pub fn fill(cluster: &Cluster, sql: &Path, database: &str, addresses: u64) -> Result<()> {
    cluster.sql("postgres", &format!("CREATE DATABASE {database}"))?;
    for file in ["schema.sql", "procedure.sql"] {
        cluster.sql(database, &std::fs::read_to_string(sql.join(file))?)?;
    }
    let addresses = format!(
        "INSERT INTO radippool (pool_name, framedipaddress, expiry_time) \
         SELECT 'bench', '10.0.0.0'::inet + n, now() - interval '1 day' FROM generate_series(1, {addresses}) AS n"
    );
    cluster.sql(database, &addresses)?;
    cluster.sql(database, "VACUUM ANALYZE")?;
    Ok(())
}

/// Addresses that were handed out.
///
/// # Errors
/// When the database does not answer.
pub fn handed_out(cluster: &Cluster, database: &str) -> Result<u64> {
    cluster.number(database, "SELECT count(*) FROM radippool WHERE expiry_time > now()")
}
