//! Whether the sealed secrets can be opened. Nothing of them leaves this file.

use std::collections::HashMap;

use diesel::prelude::*;
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::secret::Secret;

use crate::error::{Result, StoreError};
use crate::schema::profile_secrets;
use crate::sql_types::Uid;
use crate::store::Conn;
use crate::vault::{DataKey, SecretField, Vault};

/// What was seen of a profile's secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsSeen {
    /// Whether there is an activation code.
    pub has_code: bool,
    /// How many sealed values were opened.
    pub opened: u64,
    /// What is wrong with them.
    pub fault: Option<&'static str>,
}

type Row = (i64, Uid, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

/// Opens every secret of these profiles. One without secrets is absent from the answer.
///
/// # Errors
/// When they cannot be read.
pub fn check_secrets(
    conn: &mut Conn<'_>,
    vault: &Vault,
    profiles: &[(i64, Iccid)],
) -> Result<HashMap<i64, SecretsSeen>> {
    let ids: Vec<i64> = profiles.iter().map(|(id, _)| *id).collect();
    let rows: Vec<Row> = profile_secrets::table
        .filter(profile_secrets::profile_id.eq_any(ids))
        .select((
            profile_secrets::profile_id,
            profile_secrets::data_key_id,
            profile_secrets::activation_code,
            profile_secrets::code_index,
            profile_secrets::pin,
            profile_secrets::puk,
        ))
        .load(conn.db)?;
    let iccids: HashMap<i64, &Iccid> = profiles.iter().map(|(id, iccid)| (*id, iccid)).collect();
    let mut seen = HashMap::with_capacity(rows.len());
    for row in rows {
        if let Some(iccid) = iccids.get(&row.0) {
            seen.insert(row.0, check(conn, vault, iccid, &row)?);
        }
    }
    Ok(seen)
}

fn check(conn: &mut Conn<'_>, vault: &Vault, iccid: &Iccid, row: &Row) -> Result<SecretsSeen> {
    let (_, key_id, code, index, pin, puk) = row;
    let mut seen = SecretsSeen { has_code: code.is_some(), ..SecretsSeen::default() };
    let key = match vault.data_key(conn, key_id.0) {
        Ok(key) => key,
        // Not the database's failure, but a key that was changed or is gone.
        Err(StoreError::Vault(_) | StoreError::Database(diesel::result::Error::NotFound)) => {
            seen.fault = Some("its data key cannot be opened");
            return Ok(seen);
        }
        Err(error) => return Err(error),
    };
    let fault = code_fault(vault, &key, iccid, code.as_deref(), index.as_deref(), &mut seen.opened);
    let lines =
        [(SecretField::Pin, pin, "its PIN does not open"), (SecretField::Puk, puk, "its PUK does not open")];
    let others = lines.into_iter().find_map(|(field, sealed, what)| {
        let opens = open(&key, field, iccid, sealed.as_deref()?, &mut seen.opened).is_some();
        (!opens).then_some(what)
    });
    seen.fault = fault.or(others);
    Ok(seen)
}

fn open(key: &DataKey, field: SecretField, iccid: &Iccid, sealed: &[u8], opened: &mut u64) -> Option<Secret> {
    let secret = key.open(field, iccid.as_str(), sealed).ok()?;
    *opened += 1;
    Some(secret)
}

/// A code opens, is one, and has the blind index that finds it.
fn code_fault(
    vault: &Vault,
    key: &DataKey,
    iccid: &Iccid,
    sealed: Option<&[u8]>,
    index: Option<&[u8]>,
    opened: &mut u64,
) -> Option<&'static str> {
    let Some(secret) = open(key, SecretField::ActivationCode, iccid, sealed?, opened) else {
        return Some("its activation code does not open");
    };
    let Ok(code) = ActivationCode::parse(secret.expose()) else {
        return Some("what is sealed as its activation code is none");
    };
    let expected = code.index_input().map(|input| vault.blind_index(&input));
    (expected.as_deref() != index).then_some("its activation code is not the one that its index names")
}
