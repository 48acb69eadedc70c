//! Devices.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simdepot_application::AppError;
use simdepot_application::devices::{BlockView, ChangePreview, DeviceView, ModelView, UsedWith};
use simdepot_domain::carrier::DeviceQuery;
use simdepot_domain::channel::AccountName;
use simdepot_domain::device::{self, Tac};
use simdepot_domain::eid::Eid;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::msisdn::Msisdn;
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use super::identifiers;
use super::words::{ChangeType, EsimDelivery, SimStatus};

/// Whose carrier is asked.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeviceQueryParams {
    /// The carrier account.
    #[param(value_type = identifiers::AccountName, inline)]
    pub carrier_account: AccountName,
}

/// Which model, and whose carrier is asked.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ModelQueryParams {
    /// The model's type allocation code.
    #[param(value_type = identifiers::Tac, inline)]
    pub tac: Tac,
    /// The carrier account.
    #[param(value_type = identifiers::AccountName, inline)]
    pub carrier_account: AccountName,
}

/// What a carrier says of a model of devices. What no document of carriers describes the inside of is passed on as it came.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "carrier_account": "wholesale", "imei": "490154203237518", "tac": "49015420", "manufacturer": {"name": "Acme"},
    "equipment_type": "PHONE", "networks": [{"network": "5G SA", "compatible": true}],
    "block_status": {"blocked": false}, "fetched_at": "2026-11-22T10:00:00Z"
}))]
pub struct DeviceModel {
    /// The carrier account.
    #[schema(value_type = identifiers::AccountName)]
    pub carrier_account: AccountName,
    /// The device that was asked for. Absent when the model was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<identifiers::Imei>, nullable = false)]
    pub imei: Option<Imei>,
    /// The model's type allocation code.
    #[schema(value_type = identifiers::Tac)]
    pub tac: Tac,
    /// Who makes it, in the carrier's form; null when it does not say.
    pub manufacturer: Value,
    /// What it is, in the carrier's words.
    pub equipment_type: Option<String>,
    /// The networks that it works in, in the carrier's form.
    pub networks: Vec<Value>,
    /// Whether it is blocked, in the carrier's form; null when it does not say.
    pub block_status: Value,
    /// When the carrier said so.
    pub fetched_at: DateTime<Utc>,
}

impl From<ModelView> for DeviceModel {
    fn from(view: ModelView) -> Self {
        let ModelView { account, asked, model, fetched_at } = view;
        let tac = asked.tac();
        let imei = match asked {
            DeviceQuery::Imei(imei) => Some(imei),
            DeviceQuery::Tac(_) => None,
        };
        Self {
            carrier_account: account,
            imei,
            tac,
            manufacturer: model.manufacturer.unwrap_or_default(),
            equipment_type: model.equipment_type,
            networks: model.networks,
            block_status: model.block_status.unwrap_or_default(),
            fetched_at,
        }
    }
}

/// Whether a device may not be used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "carrier_account": "wholesale", "imei": "490154203237518", "blocked": false, "fetched_at": "2026-11-22T10:00:00Z"
}))]
pub struct DeviceBlock {
    /// The carrier account.
    #[schema(value_type = identifiers::AccountName)]
    pub carrier_account: AccountName,
    /// The device.
    #[schema(value_type = identifiers::Imei)]
    pub imei: Imei,
    /// Whether it is on the carrier's block list.
    pub blocked: bool,
    /// When the carrier said so.
    pub fetched_at: DateTime<Utc>,
}

impl From<BlockView> for DeviceBlock {
    fn from(view: BlockView) -> Self {
        let BlockView { account, imei, blocked, fetched_at } = view;
        Self { carrier_account: account, imei, blocked, fetched_at }
    }
}

/// The line that a device is used with: exactly one of its names.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"iccid": "8988247000000210014"}))]
pub struct DeviceBlockRequest {
    /// Its SIM.
    #[schema(value_type = Option<identifiers::Iccid>)]
    pub iccid: Option<Iccid>,
    /// Its number.
    #[schema(value_type = Option<identifiers::Msisdn>)]
    pub msisdn: Option<Msisdn>,
}

impl DeviceBlockRequest {
    /// The line.
    ///
    /// # Errors
    /// Both names, or none.
    pub fn used_with(self) -> Result<UsedWith, AppError> {
        match (self.iccid, self.msisdn) {
            (Some(iccid), None) => Ok(UsedWith::Iccid(iccid)),
            (None, Some(msisdn)) => Ok(UsedWith::Msisdn(msisdn)),
            (None, None) => Err(AppError::invalid("", "required", "must have the line's iccid or msisdn")),
            (Some(_), Some(_)) => {
                Err(AppError::invalid("/msisdn", "unexpected", "must be left out beside iccid"))
            }
        }
    }
}

/// The device that a line is used in, as the carrier has it now. Null is what it does not tell.
// No `Debug`: it is personal, and not to be logged.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "iccid": "8988247000000210014", "msisdn": "13035551111", "imsi": "313340000001234", "imei": "490154203237518",
    "eid": "89049032020008884800228685583432", "blocked": false, "status": "Active", "subscriber": "ord-1042",
    "fetched_at": "2026-11-22T10:00:00Z"
}))]
pub struct Device {
    /// The line's SIM.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// The line's number.
    #[schema(value_type = Option<identifiers::Msisdn>)]
    pub msisdn: Option<Msisdn>,
    /// The subscriber's number in the network, in the carrier's form.
    pub imsi: Option<String>,
    /// The device.
    #[schema(value_type = Option<identifiers::Imei>)]
    pub imei: Option<Imei>,
    /// The chip that the eSIM is on.
    #[schema(value_type = Option<identifiers::Eid>)]
    pub eid: Option<Eid>,
    /// Whether the device is on the carrier's block list.
    pub blocked: Option<bool>,
    /// Its status, in the carrier's word.
    pub status: Option<String>,
    /// The subscriber, as named at the activation.
    pub subscriber: Option<String>,
    /// When the carrier said so.
    pub fetched_at: DateTime<Utc>,
}

impl From<DeviceView> for Device {
    fn from(view: DeviceView) -> Self {
        let DeviceView { profile, device, fetched_at } = view;
        Self {
            iccid: profile.iccid,
            msisdn: device.msisdn.or(profile.msisdn),
            imsi: device.imsi,
            imei: device.imei,
            eid: device.eid,
            blocked: device.blocked,
            status: device.status,
            subscriber: device.subscriber,
            fetched_at,
        }
    }
}

/// A change of a line's device, SIM or both. Which fields go with it is a matter of its type: `device_only` needs
/// `new_imei`; `psim_only` needs `new_iccid`; `device_and_psim` needs both; `device_and_esim` needs `new_imei` and may have
/// the others.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "change_type": "device_and_esim", "new_imei": "490154203237518",
    "new_eid": "89049032020008884800228685583432", "delivery": "qr"
}))]
pub struct DeviceChangeRequest {
    /// What changes.
    pub change_type: ChangeType,
    /// The new device.
    #[schema(value_type = Option<identifiers::Imei>)]
    pub new_imei: Option<Imei>,
    /// The new SIM: a profile on sale in a pool of the same carrier account.
    #[schema(value_type = Option<identifiers::Iccid>)]
    pub new_iccid: Option<Iccid>,
    /// The chip of the new device; carriers need it of devices that they do not know.
    #[schema(value_type = Option<identifiers::Eid>)]
    pub new_eid: Option<Eid>,
    /// How the eSIM is delivered; the carrier's default when absent.
    pub delivery: Option<EsimDelivery>,
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

impl From<DeviceChangeRequest> for device::DeviceChange {
    fn from(request: DeviceChangeRequest) -> Self {
        Self {
            change_type: request.change_type.into(),
            new_imei: request.new_imei,
            new_iccid: request.new_iccid,
            new_eid: request.new_eid,
            delivery: request.delivery.map(Into::into),
        }
    }
}

/// What a change of a line's device would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "dry_run": true, "iccid": "8988247000000210014", "command": "change_device", "from": "active",
    "change_type": "device_only", "new_imei": "490154203237518", "new_iccid": null, "new_eid": null, "delivery": null
}))]
pub struct DeviceChangePreview {
    /// Always true.
    pub dry_run: bool,
    /// The line.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// The kind that its operation would be of.
    pub command: String,
    /// How the line stands.
    pub from: Option<SimStatus>,
    /// What would change.
    pub change_type: ChangeType,
    /// The new device.
    #[schema(value_type = Option<identifiers::Imei>)]
    pub new_imei: Option<Imei>,
    /// The SIM that would take the line over.
    #[schema(value_type = Option<identifiers::Iccid>)]
    pub new_iccid: Option<Iccid>,
    /// The chip of the new device.
    #[schema(value_type = Option<identifiers::Eid>)]
    pub new_eid: Option<Eid>,
    /// How the eSIM would be delivered.
    pub delivery: Option<EsimDelivery>,
}

impl From<ChangePreview> for DeviceChangePreview {
    fn from(preview: ChangePreview) -> Self {
        let ChangePreview { iccid, change, from } = preview;
        Self {
            dry_run: true,
            iccid,
            command: "change_device".to_owned(),
            from: from.map(Into::into),
            change_type: change.change_type.into(),
            new_imei: change.new_imei,
            new_iccid: change.new_iccid,
            new_eid: change.new_eid,
            delivery: change.delivery.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> Result<UsedWith, AppError> {
        serde_json::from_str::<DeviceBlockRequest>(body).unwrap().used_with()
    }

    #[test]
    fn a_line_has_exactly_one_name() {
        assert!(matches!(asked(r#"{"iccid": "8988247000000210014"}"#), Ok(UsedWith::Iccid(_))));
        assert!(matches!(asked(r#"{"msisdn": "13035551111", "iccid": null}"#), Ok(UsedWith::Msisdn(_))));
        for (body, pointer) in
            [("{}", ""), (r#"{"iccid": "8988247000000210014", "msisdn": "13035551111"}"#, "/msisdn")]
        {
            let Err(AppError::Invalid(errors)) = asked(body) else { panic!("{body}") };
            assert_eq!(errors[0].pointer, pointer);
        }
    }
}
