//! What the operator knows of device models, by type allocation code.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many digits of a PEI name the device; the rest is a check digit or a software version (TS 23.003).
const DEVICE_DIGITS: usize = 14;
const TAC_DIGITS: usize = 8;

/// A model of device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceModel {
    /// Maker.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// `equipmentType`; the published sample has `PHONE`.
    pub equipment_type: String,
    /// Networks that it works on; none for a device that fits no network.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Whether the operator sells it. Others are brought by the customer, and need an EID with an eSIM (S16).
    #[serde(default)]
    pub sold_by_operator: bool,
}

impl DeviceModel {
    /// The answer of the compatibility call; what is inside its objects is not published.
    pub(super) fn view(&self, blocked: bool) -> Value {
        let networks: Vec<Value> =
            self.networks.iter().map(|network| json!({ "network": network, "compatible": true })).collect();
        json!({
            "manufacturer": { "name": self.manufacturer, "model": self.model },
            "equipmentType": self.equipment_type,
            "networkCompatibilityList": networks,
            "blockStatus": { "isBlocked": blocked },
        })
    }
}

/// The device of a PEI: what an IMEI, an IMEISV and a printed label of one device have in common.
pub(super) fn device_of(pei: &str) -> &str {
    pei.get(..DEVICE_DIGITS).unwrap_or(pei)
}

/// The type allocation code of a PEI or of a longer code.
pub(super) fn tac_of(pei: &str) -> &str {
    pei.get(..TAC_DIGITS).unwrap_or(pei)
}

/// Made up models under type allocation codes of the published examples and of test devices.
pub(super) fn sandbox_devices() -> Vec<(String, DeviceModel)> {
    let model = |tac: &str, name: &str, kind: &str, networks: &[&str], sold: bool| {
        let model = DeviceModel {
            manufacturer: "Twin Devices".to_owned(),
            model: name.to_owned(),
            equipment_type: kind.to_owned(),
            networks: networks.iter().map(|network| (*network).to_owned()).collect(),
            sold_by_operator: sold,
        };
        (tac.to_owned(), model)
    };
    vec![
        model("22881518", "One", "PHONE", &["5G", "LTE"], true),
        model("35646252", "Two", "PHONE", &["5G", "LTE"], true),
        model("49015420", "Brought Along", "PHONE", &["LTE"], false),
        model("26053179", "Out of Date", "PHONE", &[], false),
        model("35900011", "Tracker", "IOT_MODULE", &["LTE"], false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_pei_are_one_device() {
        for pei in ["490154203237518", "4901542032375101", "49015420323751801"] {
            assert_eq!((device_of(pei), tac_of(pei)), ("49015420323751", "49015420"));
        }
        assert_eq!((device_of("123"), tac_of("123")), ("123", "123"));
    }

    #[test]
    fn a_model_shows_what_the_page_names() {
        let (_, model) = sandbox_devices().remove(0);
        let view = model.view(true);
        assert_eq!(
            (&view["equipmentType"], &view["blockStatus"]["isBlocked"]),
            (&json!("PHONE"), &json!(true))
        );
        assert_eq!(view["networkCompatibilityList"].as_array().map(Vec::len), Some(2));
    }
}
