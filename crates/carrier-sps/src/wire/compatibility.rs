//! What the operator knows of a model of devices (Subscription Device Management, compatibility). The page folds the inner
//! objects away, so they are passed on as they come.

use serde_json::Value;
use simdepot_carrier_http::{Answer, Request};
use simdepot_domain::carrier::{DeviceModelReading, DeviceQuery, ReadError};

use super::Call;
use super::problem::read;

/// Asks for a model, by a device of it or by its code: one of the two.
pub(crate) fn request(asked: &DeviceQuery) -> Request {
    let request = Request::get(Call::DeviceModel, "/compatibility");
    match asked {
        DeviceQuery::Imei(imei) => request.query("pei", imei.as_str()),
        DeviceQuery::Tac(tac) => request.query("tac", tac.as_str()),
    }
}

/// Reads it; `None` when the operator does not know the model.
pub(crate) fn parse(answer: &Answer) -> Result<Option<DeviceModelReading>, ReadError> {
    let Some(fields) = read(answer, "a model of devices")? else { return Ok(None) };
    let networks = match fields.value(&["networkCompatibilityList"]) {
        Some(Value::Array(list)) => list.clone(),
        Some(other) => vec![other.clone()],
        None => Vec::new(),
    };
    Ok(Some(DeviceModelReading {
        manufacturer: fields.value(&["manufacturer"]).cloned(),
        equipment_type: fields.text(&["equipmentType"]),
        networks,
        block_status: fields.value(&["blockStatus"]).cloned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use simdepot_domain::device::Tac;
    use simdepot_domain::imei::Imei;

    fn told(body: &Value) -> DeviceModelReading {
        parse(&Answer::of(200, &body.to_string())).unwrap().unwrap()
    }

    #[test]
    fn by_device_or_by_model() {
        let imei = DeviceQuery::Imei(Imei::parse("2288151828896431").unwrap());
        let tac = DeviceQuery::Tac(Tac::parse("35646252").unwrap());
        assert_eq!(request(&imei).query, [("pei", "2288151828896431".to_owned())]);
        assert_eq!(request(&tac).query, [("tac", "35646252".to_owned())]);
        assert_eq!(request(&tac).path, "/compatibility");
    }

    /// The page's sample, whose objects are folded.
    #[test]
    fn the_sample_and_whatever_is_inside() {
        let sample = json!({
            "manufacturer": {}, "equipmentType": "PHONE", "networkCompatibilityList": [], "blockStatus": {},
        });
        let reading = told(&sample);
        assert_eq!(reading.equipment_type.as_deref(), Some("PHONE"));
        assert_eq!((reading.manufacturer, reading.block_status), (Some(json!({})), Some(json!({}))));
        assert!(reading.networks.is_empty());
        let other = json!({
            "manufacturer": "ACME", "networkCompatibilityList": { "5G": true }, "blockStatus": [1], "new": 1,
        });
        let reading = told(&other);
        assert_eq!(reading.manufacturer, Some(json!("ACME")));
        assert_eq!(reading.networks, [json!({ "5G": true })]);
        assert_eq!((reading.equipment_type, reading.block_status), (None, Some(json!([1]))));
    }

    #[test]
    fn unknown_or_not_understood() {
        assert_eq!(parse(&Answer::of(404, "")), Ok(None));
        assert!(matches!(parse(&Answer::of(200, "[]")), Err(ReadError::Unreadable { .. })));
        assert!(matches!(parse(&Answer::of(503, "")), Err(ReadError::Unavailable(_))));
    }
}
