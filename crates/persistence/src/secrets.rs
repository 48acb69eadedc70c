//! The sealed secrets of profiles: the only place that writes or opens them.

use diesel::prelude::*;
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::secret::Secret;

use crate::dialect::both;
use crate::error::{Result, StoreError, ensure_affected};
use crate::profiles::{Profile, Row as ProfileRow};
use crate::schema::{profile_secrets, profiles};
use crate::sql_types::Uid;
use crate::store::Conn;
use crate::vault::{DataKey, SecretField, Vault};

/// The secrets of one delivered profile, sealed. Sealing costs time, so it is done before the transaction.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub(crate) activation_code: Option<Vec<u8>>,
    pub(crate) code_index: Option<Vec<u8>>,
    pub(crate) pin: Option<Vec<u8>>,
    pub(crate) puk: Option<Vec<u8>>,
}

impl Sealed {
    /// Seals what was delivered for `iccid`.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn seal(
        vault: &Vault,
        key: &DataKey,
        iccid: &Iccid,
        code: Option<&ActivationCode>,
        pin: Option<&Secret>,
        puk: Option<&Secret>,
    ) -> Result<Self> {
        let seal = |field, secret: &str| key.seal(field, iccid.as_str(), secret);
        Ok(Self {
            activation_code: code.map(|code| seal(SecretField::ActivationCode, code.code())).transpose()?,
            code_index: code.and_then(ActivationCode::index_input).map(|input| vault.blind_index(&input)),
            pin: pin.map(|pin| seal(SecretField::Pin, pin.expose())).transpose()?,
            puk: puk.map(|puk| seal(SecretField::Puk, puk.expose())).transpose()?,
        })
    }
}

impl Sealed {
    /// No secrets, but what tells a code from others: enough to find duplicates.
    pub fn index_only(vault: &Vault, code: Option<&ActivationCode>) -> Self {
        let code_index = code.and_then(ActivationCode::index_input).map(|input| vault.blind_index(&input));
        Self { activation_code: None, code_index, pin: None, puk: None }
    }
}

#[derive(Insertable)]
#[diesel(table_name = profile_secrets, treat_none_as_default_value = false)]
struct NewRow<'a> {
    profile_id: i64,
    data_key_id: Uid,
    activation_code: Option<&'a [u8]>,
    code_index: Option<&'a [u8]>,
    pin: Option<&'a [u8]>,
    puk: Option<&'a [u8]>,
}

/// Stores the secrets of freshly imported profiles.
///
/// # Errors
/// [`StoreError::Unique`] when a code is already in the stock.
pub fn insert_many(conn: &mut Conn<'_>, key: &DataKey, sealed: &[(i64, &Sealed)]) -> Result<()> {
    if sealed.is_empty() {
        return Ok(());
    }
    let rows: Vec<NewRow<'_>> = sealed
        .iter()
        .map(|(profile_id, sealed)| NewRow {
            profile_id: *profile_id,
            data_key_id: Uid(key.id),
            activation_code: sealed.activation_code.as_deref(),
            code_index: sealed.code_index.as_deref(),
            pin: sealed.pin.as_deref(),
            puk: sealed.puk.as_deref(),
        })
        .collect();
    let written = both!(conn.db, c => diesel::insert_into(profile_secrets::table).values(&rows).execute(c))?;
    ensure_affected("insert secrets", rows.len(), written)
}

/// Adds the activation code that a delivery lacked.
///
/// # Errors
/// [`StoreError::Unique`] when the code is already in the stock.
pub fn add_code(conn: &mut Conn<'_>, vault: &Vault, profile: &Profile, code: &ActivationCode) -> Result<()> {
    write_code(conn, vault, profile, code, false)
}

/// Puts the activation code of an eSIM that was issued again in the place of the one before.
///
/// # Errors
/// [`StoreError::Unique`] when the code is already in the stock.
pub fn replace_code(
    conn: &mut Conn<'_>,
    vault: &Vault,
    profile: &Profile,
    code: &ActivationCode,
) -> Result<()> {
    write_code(conn, vault, profile, code, true)
}

/// Those of the profiles that have an activation code.
///
/// # Errors
/// When it cannot be read.
pub fn with_code(conn: &mut Conn<'_>, profile_ids: &[i64]) -> Result<Vec<i64>> {
    Ok(profile_secrets::table
        .filter(profile_secrets::profile_id.eq_any(profile_ids))
        .filter(profile_secrets::activation_code.is_not_null())
        .select(profile_secrets::profile_id)
        .load(conn.db)?)
}

fn write_code(
    conn: &mut Conn<'_>,
    vault: &Vault,
    profile: &Profile,
    code: &ActivationCode,
    has_one: bool,
) -> Result<()> {
    let key_id: Uid =
        profile_secrets::table.find(profile.id).select(profile_secrets::data_key_id).first(conn.db)?;
    let key = vault.data_key(conn, key_id.0)?;
    let sealed = Sealed::seal(vault, &key, &profile.iccid, Some(code), None, None)?;
    let guard = profile_secrets::table
        .filter(profile_secrets::profile_id.eq(profile.id))
        .filter(profile_secrets::activation_code.is_not_null().eq(has_one));
    let touched = diesel::update(guard)
        .set((
            profile_secrets::activation_code.eq(sealed.activation_code),
            profile_secrets::code_index.eq(sealed.code_index),
        ))
        .execute(conn.db)?;
    ensure_affected("add activation code", 1, touched)
}

/// An activation code that nobody has opened yet.
#[derive(Clone)]
pub struct SealedCode {
    key: DataKey,
    iccid: Iccid,
    sealed: Vec<u8>,
}

impl std::fmt::Debug for SealedCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedCode").field("iccid", &self.iccid).finish_non_exhaustive()
    }
}

impl SealedCode {
    /// Opens it.
    ///
    /// # Errors
    /// When it does not open, or is no activation code.
    pub fn open(&self) -> Result<ActivationCode> {
        let secret = self.key.open(SecretField::ActivationCode, self.iccid.as_str(), &self.sealed)?;
        ActivationCode::parse(secret.expose()).map_err(|_| StoreError::Inconsistency {
            table: "profile_secrets",
            column: "activation_code",
            row: self.iccid.to_string(),
        })
    }
}

/// Opens a profile's activation code; `None` when it has none.
///
/// # Errors
/// When it does not open, or is no activation code.
pub fn activation_code(
    conn: &mut Conn<'_>,
    vault: &Vault,
    profile: &Profile,
) -> Result<Option<ActivationCode>> {
    let row: Option<(Uid, Option<Vec<u8>>)> = profile_secrets::table
        .find(profile.id)
        .select((profile_secrets::data_key_id, profile_secrets::activation_code))
        .first(conn.db)
        .optional()?;
    let Some((key_id, Some(sealed))) = row else {
        return Ok(None);
    };
    let code = SealedCode { key: vault.data_key(conn, key_id.0)?, iccid: profile.iccid.clone(), sealed };
    code.open().map(Some)
}

/// Profiles by row with their sealed codes.
pub(crate) fn profiles_with_codes(
    conn: &mut Conn<'_>,
    ids: &[i64],
) -> Result<Vec<(ProfileRow, Option<SealedRow>)>> {
    let query = profiles::table
        .left_join(profile_secrets::table.on(profile_secrets::profile_id.eq(profiles::id)))
        .filter(profiles::id.eq_any(ids))
        .order(profiles::id)
        .select((
            profiles::all_columns,
            (profile_secrets::data_key_id, profile_secrets::activation_code).nullable(),
        ));
    both!(&mut *conn.db, c => query.load(c)).map_err(Into::into)
}

/// The key and the sealed code of a profile, as they are read.
pub(crate) type SealedRow = (Uid, Option<Vec<u8>>);

/// A profile's code as it was read, with the key that opens it.
pub(crate) fn sealed_code(
    conn: &mut Conn<'_>,
    vault: &Vault,
    profile: &Profile,
    sealed: Option<SealedRow>,
) -> Option<Result<SealedCode>> {
    let (key_id, Some(sealed)) = sealed? else { return None };
    let key = vault.data_key(conn, key_id.0);
    Some(key.map(|key| SealedCode { key, iccid: profile.iccid.clone(), sealed }))
}

#[derive(Queryable)]
struct SealedPins {
    data_key_id: Uid,
    pin: Option<Vec<u8>>,
    puk: Option<Vec<u8>>,
}

/// Opens the PIN and the PUK that were delivered with a profile.
///
/// # Errors
/// When one does not open.
pub fn pin_and_puk(
    conn: &mut Conn<'_>,
    vault: &Vault,
    profile: &Profile,
) -> Result<(Option<Secret>, Option<Secret>)> {
    let sealed = profile_secrets::table
        .find(profile.id)
        .select((profile_secrets::data_key_id, profile_secrets::pin, profile_secrets::puk))
        .first(conn.db)
        .optional()?;
    let Some(SealedPins { data_key_id: key_id, pin, puk }) = sealed else {
        return Ok((None, None));
    };
    if pin.is_none() && puk.is_none() {
        return Ok((None, None));
    }
    let key = vault.data_key(conn, key_id.0)?;
    let open = |field, sealed: Option<Vec<u8>>| {
        sealed.map(|sealed| key.open(field, profile.iccid.as_str(), &sealed)).transpose()
    };
    Ok((open(SecretField::Pin, pin)?, open(SecretField::Puk, puk)?))
}
