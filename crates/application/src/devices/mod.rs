//! Devices: what a carrier says of a model, of the device that a line is used in and of its list of devices that may not
//! be used, and what it is told of them. Most carriers have nothing of the kind.
//!
//! Nothing that is read here is kept: it is the carrier's, and some of it is personal.

mod change;

use std::future::Future;

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::{Capability, DeviceModelReading, DeviceQuery, DeviceReading, ReadError};
use simdepot_domain::channel::AccountName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_persistence::pools;
use simdepot_persistence::profiles::Profile;

pub use change::{ChangePreview, UsedWith, block, change, preview};

use crate::caller::Caller;
use crate::depot::{Account, Depot};
use crate::error::AppError;
use crate::lines;

/// A model of devices, as the carrier knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelView {
    /// At which account.
    pub account: AccountName,
    /// What was asked for.
    pub asked: DeviceQuery,
    /// What the carrier says.
    pub model: DeviceModelReading,
    /// When it said so.
    pub fetched_at: DateTime<Utc>,
}

/// The device that a line is used in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// The line's SIM.
    pub profile: Profile,
    /// What the carrier says.
    pub device: DeviceReading,
    /// When it said so.
    pub fetched_at: DateTime<Utc>,
}

/// Whether a device may not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockView {
    /// At which account.
    pub account: AccountName,
    /// The device.
    pub imei: Imei,
    /// Whether it is on the block list.
    pub blocked: bool,
    /// When the carrier said so.
    pub fetched_at: DateTime<Utc>,
}

/// What the carrier of an account knows of a model of devices.
///
/// # Errors
/// [`AppError::NotFound`] for an account that there is not, and for a model that the carrier does not know;
/// [`AppError::Unsupported`]; [`AppError::CarrierUnavailable`].
pub async fn model(depot: &Depot, name: AccountName, asked: DeviceQuery) -> Result<ModelView, AppError> {
    let account = named(depot, &name).await?;
    account.require(Capability::DeviceCompatibility)?;
    let read = ask(depot, &account, "device_model", account.carrier.device_model(&asked)).await?;
    let model = read.ok_or(AppError::NotFound { what: "device model at the carrier" })?;
    Ok(ModelView { account: name, asked, model, fetched_at: depot.now() })
}

/// The device that a profile's line is used in.
///
/// # Errors
/// [`AppError::NotFound`], also when the carrier does not know the line; [`AppError::Unsupported`];
/// [`AppError::CarrierUnavailable`].
pub async fn of_line(depot: &Depot, caller: &Caller, iccid: Iccid) -> Result<DeviceView, AppError> {
    let (profile, _, account) = lines::find(depot, caller, iccid).await?;
    account.require(Capability::Device)?;
    let key = profile.line_key();
    let read = ask(depot, &account, "device", account.carrier.device(&key)).await?;
    let device = read.ok_or(AppError::NotFound { what: "device at the carrier" })?;
    // The number may have moved to another SIM, which may be another customer's.
    if let Some(other) = device.iccid.as_ref().filter(|found| found.key() != profile.iccid.key()) {
        tracing::warn!(iccid = %profile.iccid, %other, "the carrier tells the device of another SIM");
        return Err(AppError::NotFound { what: "device at the carrier" });
    }
    Ok(DeviceView { profile, device, fetched_at: depot.now() })
}

/// Whether a device is on the block list of an account's carrier.
///
/// # Errors
/// [`AppError::NotFound`] for an account that there is not; [`AppError::Unsupported`]; [`AppError::CarrierUnavailable`].
pub async fn is_blocked(depot: &Depot, name: AccountName, imei: Imei) -> Result<BlockView, AppError> {
    let account = named(depot, &name).await?;
    account.require(Capability::DeviceBlocklist)?;
    let blocked = ask(depot, &account, "blocklist", account.carrier.is_blocked(&imei)).await?;
    Ok(BlockView { account: name, imei, blocked, fetched_at: depot.now() })
}

/// The account that a request names. One that pools have and the configuration lacks is the operator's to bring back.
async fn named(depot: &Depot, name: &AccountName) -> Result<Account, AppError> {
    if let Some(account) = depot.accounts.get(name) {
        return Ok(account.clone());
    }
    let all = depot.store.read(|conn| Ok::<_, AppError>(pools::list(conn)?)).await?;
    if all.iter().any(|pool| pool.settings.carrier_account == *name) {
        return Err(AppError::UnknownAccount { account: name.clone() });
    }
    Err(AppError::NotFound { what: "carrier account" })
}

/// Reads something of a device at its carrier, in a turn of its own.
async fn ask<T>(
    depot: &Depot,
    account: &Account,
    what: &'static str,
    read: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, AppError> {
    let answer = lines::in_turn(depot, account, read).await;
    let outcome = lines::result_of(&answer);
    metrics::counter!("simdepot_device_reads_total", "what" => what, "outcome" => outcome).increment(1);
    answer.map_err(|error| match error {
        ReadError::Denied { code } => AppError::Unsupported { code },
        error => error.into(),
    })
}
